"""Engine, transaction(), reading(): SQLite and PostgreSQL from the same code."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session, SQLModel
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random

from dunning.errors import ConfigError

# A server that does not answer for so long is away.
CONNECT_SECONDS = 5
# So long a writer of the embedded database waits for the one before it.
BUSY_SECONDS = 30
# There are more statements than the 128 a connection keeps by itself.
PREPARED = 512
# No step of the running program takes so long: a statement that does is stuck, and a transaction
# that does nothing for so long belongs to somebody who hangs while others wait for its locks.
STATEMENT_SECONDS = 60
LOCK_SECONDS = 30
IDLE_SECONDS = 60
# A peer that is gone without a word is noticed after about a minute.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# How many connections a process holds, and how many more it may open for a moment.
POOLS = {"web": (4, 4), "worker": (8, 8), "dispatch": (2, 2), "command": (1, 3), "up": (8, 8)}


def engine_for(
    url: str, *, role: str = "up", pool_size: int | None = None, patient: bool = False
) -> Engine:
    """Connect to the database behind the URL; nothing is opened yet.

    `role` bounds the connections (`POOLS`). A `patient` one lets a statement take as long as it
    likes: migrations, proofs, moving.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url,
            connect_args={
                "timeout": BUSY_SECONDS,
                "check_same_thread": False,
                "cached_statements": PREPARED,
            },
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    if parsed.get_backend_name() == "postgresql":
        size, more = (pool_size, pool_size) if pool_size else POOLS[role]
        engine = create_engine(
            url,
            pool_size=size,
            max_overflow=more,
            pool_pre_ping=True,
            # What customers are called belongs into no error and no log.
            hide_parameters=True,
            connect_args={"connect_timeout": CONNECT_SECONDS, **KEEPALIVES, **parsed.query},
        )
        limits = _PATIENT if patient else _LIMITS
        event.listen(engine, "connect", lambda line, _record: _limit(line, limits))
        return engine
    message = f"database {parsed.get_backend_name()!r} is not supported; use sqlite or postgresql"
    raise ConfigError(message)


def _milliseconds(statement: int, lock: int, idle: int) -> tuple[str, ...]:
    return tuple(str(seconds * 1000) for seconds in (statement, lock, idle))


_LIMITS = _milliseconds(STATEMENT_SECONDS, LOCK_SECONDS, IDLE_SECONDS)
_PATIENT = _milliseconds(0, LOCK_SECONDS, 0)
_SET_LIMITS = (
    "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false), "
    "set_config('idle_in_transaction_session_timeout', %s, false)"
)


def _limit(connection: Any, limits: tuple[str, ...]) -> None:
    connection.execute(_SET_LIMITS, limits)
    connection.commit()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    # Only a new file takes it up: pages that are free can then be given back. On any other it would
    # wait for whoever writes just now, and that may be the very thread that opens this connection.
    if cursor.execute("PRAGMA page_count").fetchone() == (0,):
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    _use_wal(cursor)
    # FULL: a 2xx is only given for what survives a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # Without it INSERT OR REPLACE would slip past the ledger's DELETE trigger.
    cursor.execute("PRAGMA recursive_triggers=ON")
    cursor.close()


@retry(
    retry=retry_if_exception_type(sqlite3.OperationalError),
    stop=stop_after_delay(BUSY_SECONDS),
    wait=wait_random(0.01, 0.05),
    reraise=True,
)
def _use_wal(cursor: Any) -> None:
    # Two who open a new file at once: SQLite refuses one of them without waiting.
    cursor.execute("PRAGMA journal_mode=WAL")


def _begin_immediate(connection: Any) -> None:
    # A deferred BEGIN that reads and then writes fails at once under a concurrent writer; one
    # that only reads need not wait for the writer.
    only_reads = connection.get_execution_options().get(_ONLY_READS, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


_ONLY_READS = "dunning_only_reads"


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A look at one moment of the database, which keeps nobody from writing."""
    options: dict[str, Any] = {_ONLY_READS: True}
    if engine.dialect.name == "postgresql":
        # Otherwise each statement sees a moment of its own, and what is handed from one state to
        # the next between two of them is in neither.
        options["isolation_level"] = "REPEATABLE READ"
    view = engine.execution_options(**options)
    with Session(view, expire_on_commit=False, autoflush=False) as session, session.begin():
        yield session


@contextmanager
def transaction(engine: Engine | Connection) -> Iterator[Session]:
    """One unit of work: commits at the end, rolls back on any error. Never open over a call out."""
    with Session(engine, expire_on_commit=False, autoflush=False) as session, session.begin():
        yield session


def is_passing(error: DBAPIError) -> bool:
    """Deadlocks, serialisation failures and a busy file: the same work may go well in a moment."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return state[:2] == "40" or state == LOCK_TIMEOUT or is_away(error)


# Somebody held a lock for longer than we wait.
LOCK_TIMEOUT = "55P03"


def is_away(error: DBAPIError) -> bool:
    """Whether the database as a whole failed, and not what it was asked."""
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)
    return state[:2] in ("08", "53", "57", "58")


def insert_into(session: Session, table: type[SQLModel]) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT on both databases."""
    module = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    return module.insert(table)


def guard(session: Session, names: Collection[str]) -> None:
    """Make everybody who speaks of these things wait for this transaction to end.

    A row cannot be locked before it exists; what a name stands for may not exist yet. Taken in
    one order by all, before any row is locked. SQLite has one writer anyway.
    """
    if names and session.get_bind().dialect.name == "postgresql":
        session.execute(_GUARD, {"names": list(names)})


def guard_at_once(session: Session, names: Collection[str]) -> bool:
    """The same without waiting, for names that came up late: False if somebody has one of them.

    Whoever waited here while others wait for what was guarded first could wait for ever.
    """
    if not names or session.get_bind().dialect.name != "postgresql":
        return True
    return bool(session.execute(_GUARD_AT_ONCE, {"names": list(names)}).scalar_one())


_GUARD_AT_ONCE = text(
    """
    SELECT coalesce(bool_and(pg_try_advisory_xact_lock(key)), true) FROM (
        SELECT DISTINCT hashtextextended(name, 0) AS key
        FROM unnest(CAST(:names AS text[])) AS name ORDER BY key
    ) AS keys
    """
)

_GUARD = text(
    """
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended(name, 0) AS key
        FROM unnest(CAST(:names AS text[])) AS name ORDER BY key
    ) AS keys
    """
)
