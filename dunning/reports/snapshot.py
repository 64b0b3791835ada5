"""snapshot(): one unmoving, read-only view of the database, for reports and proofs.

A report of several statements would otherwise see the money of one moment and the totals of the
next. It keeps no writer waiting: on SQLite the program's own transactions would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, text
from sqlmodel import Session

_SETTINGS = (
    # Compiling a report's statements takes longer than they do.
    text("SET LOCAL jit = off"),
    # A month is a small part of what there is: found by an index, on any disk without a moving arm.
    text("SET LOCAL random_page_cost = 1.1"),
    text("SET LOCAL work_mem = '64MB'"),
)


@contextmanager
def snapshot(engine: Engine) -> Iterator[Session]:
    """Read as of one moment. Nothing can be written."""
    if engine.dialect.name != "sqlite":
        steady = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        with Session(steady, autoflush=False) as session, session.begin():
            for setting in _SETTINGS:
                session.execute(setting)
            yield session
        return
    # Its transactions begin without the write lock, so it needs connections of its own.
    reader = create_engine(engine.url, poolclass=NullPool, connect_args={"timeout": 30})
    event.listen(reader, "connect", _prepare)
    event.listen(reader, "begin", _begin)
    try:
        with Session(reader, autoflush=False) as session, session.begin():
            yield session
    finally:
        reader.dispose()


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA query_only=ON")


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")
