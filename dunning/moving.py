"""Move everything from the embedded database to PostgreSQL: the same rows under the same ids.

The source is held alone for as long as it takes, so that it is one moment of it that is copied. The
target gets everything in one transaction, proved before it is committed: a move that is stopped
half-way has done nothing and is begun again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    NullPool,
    Table,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, SQLModel

from dunning import crashpoints, rollups, store
from dunning.errors import ConfigError
from dunning.reports.proof import verify_all
from dunning.store import day_of_id, engine_for, partitions
from dunning.store.partitions import Partition

BATCH = 2_000
# The database of the target writes these by itself; what it wrote is compared.
_BY_ITSELF = {"tallies"}
# Made by the migration of each database.
_OWN = {"fits"}
_LAST = ("closings", "statements")


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved: rows per table, and what both ledgers say."""

    rows: dict[str, int]
    ledger: str


# Called with the table, how many of its rows are there, and how many there will be.
Progress = Callable[[str, int, int], None]


def move(
    source: str, target: str, progress: Progress = lambda _table, _done, _whole: None
) -> Moved:
    """Copy the SQLite database to an empty PostgreSQL; `ConfigError` when that cannot be."""
    _of_kind(source, "sqlite", "only an embedded database is moved; DUNNING_DATA names its folder")
    _of_kind(target, "postgresql", "give --to the address of a PostgreSQL database")
    _needs_ours(source)
    store.migrate(target)
    engine = engine_for(target, patient=True)
    try:
        with _alone(source) as there, Session(engine, autoflush=False) as here:
            with engine.begin() as connection:
                _needs_nothing(connection)
            partitions.make(engine, _parts(there))
            connection = here.connection()
            # Two who move to one place: the second finds it full.
            connection.execute(partitions.LOCK)
            _needs_nothing(connection)
            rows = {
                table.name: _copy(there, connection, table, progress)
                # No entry is taken into a period that is closed: the closings come last.
                for table in sorted(SQLModel.metadata.sorted_tables, key=_turn)
                if table.name not in _BY_ITSELF | _OWN
            }
            _count_on(connection)
            ledger = _compare(there, here, rows)
            crashpoints.reach("move.before_commit")
            here.commit()
    finally:
        engine.dispose()
    return Moved(rows, ledger)


def _turn(table: Table) -> int:
    return _LAST.index(table.name) + 1 if table.name in _LAST else 0


def _of_kind(url: str, kind: str, remedy: str) -> None:
    have = make_url(url).get_backend_name()
    if have != kind:
        raise ConfigError(f"{have} is not {kind}; {remedy}")


def _needs_ours(source: str) -> None:
    path = make_url(source).database
    if not path or not Path(path).exists():
        raise ConfigError(f"there is no database at {path}; --data names its folder")
    engine = engine_for(source)
    try:
        if why := store.misfit(engine):
            raise ConfigError(f"the database {path} {why}")
    finally:
        engine.dispose()


def _needs_nothing(target: Connection) -> None:
    for table in SQLModel.metadata.sorted_tables:
        if table.name in _OWN:
            continue
        if target.execute(select(table).limit(1)).first() is not None:
            raise ConfigError(
                f"the target is not empty: there are {table.name} in it; name a new database"
            )


# --- the source ------------------------------------------------------------------------------


@contextmanager
def _alone(url: str) -> Iterator[Session]:
    """The source at one moment, which nobody else may even have open."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 1})
    event.listen(engine, "connect", _exclusive)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN EXCLUSIVE"))
    with Session(engine, autoflush=False) as session:
        try:
            session.begin()
            session.connection()
        except OperationalError as error:
            raise ConfigError(
                f"the database {make_url(url).database} is in use ({error.orig}); "
                "stop `dunning up` and whatever else works on it, then move"
            ) from None
        yield session


def _exclusive(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    # With a write-ahead log this is only given to somebody who is alone.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")


# --- copying ---------------------------------------------------------------------------------


def _parts(source: Session) -> Iterator[Partition]:
    """A partition for every day, week and month there is something of."""
    for digits in source.scalars(_DAYS):
        day = day_of_id(digits * _COUNTER)
        if day is not None:
            yield partitions.inbox_day(day)
    for day in _days(source, "seen", "created_at"):
        yield partitions.seen_week(day)
    for table, column in (("attempts", "at"), ("entries", "recorded_at")):
        for day in _days(source, table, column):
            yield partitions.month(table, day)


_COUNTER = 1_000_000_000
_DAYS = text("SELECT DISTINCT id / 1000000000 FROM inbox ORDER BY 1")


def _days(source: Session, table: str, column: str) -> Iterator[date]:
    times = SQLModel.metadata.tables[table].c[column]
    day = func.date(times).label("day")
    for each in source.scalars(select(day).distinct().order_by(day)):
        yield date.fromisoformat(each)


def _copy(source: Session, target: Connection, table: Table, progress: Progress) -> int:
    """All rows of a table, in the order of its key, at most a batch of them in memory."""
    whole = source.scalar(select(func.count()).select_from(table)) or 0
    key = list(table.primary_key)
    # With RETURNING many rows go in one statement.
    into = table.insert().returning(key[0])
    rows = select(table).order_by(*key).execution_options(yield_per=BATCH)
    done = 0
    for part in source.execute(rows).mappings().partitions(BATCH):
        target.execute(into, [dict(row) for row in part])
        done += len(part)
        progress(table.name, done, whole)
        crashpoints.reach("move.batch")
    return done


def _count_on(target: Connection) -> None:
    """Let the counters go on from the highest id."""
    for table in SQLModel.metadata.sorted_tables:
        ids = table.c.get("id")
        if ids is None or not isinstance(ids.type, Integer):
            continue
        named = {"table": table.name}
        if (counter := target.scalar(_COUNTER_OF, named)) is None:
            continue
        # Those of the inbox begin with a day; the counter is what comes after.
        last = func.max(ids % _COUNTER if table.name == "inbox" else ids)
        if (highest := target.scalar(select(last))) is not None:
            target.execute(_COUNT_ON, {"counter": counter, "highest": highest})


_COUNTER_OF = text("SELECT pg_get_serial_sequence(:table, 'id')")
_COUNT_ON = text("SELECT setval(CAST(:counter AS regclass), greatest(:highest, 1))")


def _compare(source: Session, target: Session, moved: dict[str, int]) -> str:
    """What the ledger says, when it says the same in both; `ConfigError` when anything differs."""
    for name in (*moved, *_BY_ITSELF):
        table = SQLModel.metadata.tables[name]
        counted = [
            session.scalar(select(func.count()).select_from(table)) for session in (source, target)
        ]
        if counted[0] != counted[1]:
            raise ConfigError(f"{name}: {counted[0]} rows here, {counted[1]} there; nothing moved")
    here, there = rollups.fingerprint(source), rollups.fingerprint(target)
    proof = verify_all(target)
    if here != there or not proof.holds:
        raise ConfigError(
            "the copy's ledger does not hold, so nothing was moved; `dunning ledger verify` says "
            "what is wrong with the original"
        )
    return here
