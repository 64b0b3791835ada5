"""What one database of a test has compiled, the next one need not: all speak the same SQL.

A program opens one engine and compiles each statement once. A run of tests opens thousands, and
would compile all of them anew each time: a sixth of the processor's time of a story.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

_COMPILED: LRUCache[Any, Any] = LRUCache(4000)


class _Shared:
    """Dialects of one kind are equal, which is all that the key of a compiled statement asks."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine.update_execution_options(compiled_cache=_COMPILED)


class Sqlite(_Shared, SQLiteDialect_pysqlite):
    """The dialect of every SQLite file of a run."""

    supports_statement_cache = True


class Postgres(_Shared, PGDialect_psycopg):
    """The dialect of every PostgreSQL database of a run: all are served by the same programs."""

    supports_statement_cache = True


def share_compiled() -> None:
    """From now on, engines of this process share what they compiled."""
    registry.register("sqlite", __name__, Sqlite.__name__)
    registry.register("postgresql.psycopg", __name__, Postgres.__name__)
