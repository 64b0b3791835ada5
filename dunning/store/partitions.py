"""Partitions of the tables that only grow, made ahead; on SQLite there are none.

The inbox goes by the day in its ids, `seen` by the week, attempts and entries by the month. What
comes before its partition was made lands in the default one, `<table>_rest`, and is never refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import DDL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError

DAYS_AHEAD = 7
# An id of the inbox is the day it came, as yymmdd, before a counter of nine digits. Programs that
# keep numbers as floats still read it exactly.
_COUNTER = 1_000_000_000
# Whoever makes or drops partitions, or migrates, does so alone.
LOCK = text("SELECT pg_advisory_xact_lock(715517)")


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a table: from the first bound up to the second, which is not in it."""

    table: str
    name: str
    low: str
    high: str
    ends: datetime  # nothing in it is as late as this


def first_id(day: date) -> int:
    """Where the ids of a day begin; the next day's are all greater."""
    return ((day.year % 100 * 100 + day.month) * 100 + day.day) * _COUNTER


def day_of_id(row_id: int) -> date | None:
    """The day a row of the inbox came; None for a number that is no such id."""
    digits = row_id // _COUNTER
    try:
        return date(2000 + digits // 10_000, digits // 100 % 100, digits % 100)
    except ValueError:
        return None


def inbox_day(day: date) -> Partition:
    """The partition of one day's webhooks."""
    after = day + timedelta(days=1)
    low, high = str(first_id(day)), str(first_id(after))
    return Partition("inbox", f"inbox_d{day:%Y%m%d}", low, high, _midnight(after))


def seen_week(day: date) -> Partition:
    """The partition of the events created in the week of that day, from Monday."""
    monday = day - timedelta(days=day.weekday())
    return _of_times("seen", f"seen_w{monday:%Y%m%d}", monday, monday + timedelta(days=7))


def month(table: str, day: date) -> Partition:
    """The partition of one month of attempts or entries."""
    first = day.replace(day=1)
    return _of_times(table, f"{table}_m{first:%Y%m}", first, _next_month(first))


def ahead(engine: Engine, now: datetime) -> list[str]:
    """Make the partitions that will be needed soon; the names of the new ones."""
    if engine.dialect.name != "postgresql":
        return []
    return make(engine, _wanted(now.astimezone(UTC).date()))


def make(engine: Engine, wanted: Iterable[Partition]) -> list[str]:
    """Make those that are not there, each in a transaction of its own.

    Together they would hold one table while they wait for another, and others the other way round.
    """
    with engine.connect() as connection:
        there = {name for table in TABLES for name in names(connection, table)}
    made = []
    for part in wanted:
        if part.name in there:
            continue
        there.add(part.name)
        if _make(engine, part):
            made.append(part.name)
    return made


def _make(engine: Engine, part: Partition) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(_WAIT)
            connection.execute(LOCK)
            if part.name in names(connection, part.table):
                return False
            _add(connection, part)
    except DBAPIError as error:
        # The default one has rows of this span already, and keeps them; or somebody works in it,
        # and there are days left to try again.
        if getattr(error.orig, "sqlstate", None) in _NOT_NOW:
            return False
        raise
    return True


_NOT_NOW = ("23514", "55P03", "40P01")
# So long at most others wait behind us for a lock that we cannot get.
_WAIT = text("SELECT set_config('lock_timeout', '1000', true)")
TABLES = ("inbox", "seen", "attempts", "entries")


def names(connection: Connection, table: str) -> list[str]:
    """The partitions a table has, by name."""
    return sorted(connection.scalars(_PARTS, {"table": table}))


_PARTS = text(
    "SELECT CAST(inhrelid AS regclass)::text FROM pg_inherits "
    "WHERE inhparent = CAST(:table AS regclass)"
)


def drop(connection: Connection, part: Partition) -> None:
    """Let go of a partition with everything in it."""
    connection.execute(_ddl("DROP TABLE %(name)s", _words(part)))


def detach(connection: Connection, part: Partition) -> None:
    """Make a table of its own of a partition."""
    connection.execute(_ddl("ALTER TABLE %(table)s DETACH PARTITION %(name)s", _words(part)))


def parse(name: str) -> Partition | None:
    """The partition of that name; None for a default one, and for one that we did not make."""
    table, _, mark = name.rpartition("_")
    form = {"inbox": "d%Y%m%d", "seen": "w%Y%m%d"}.get(table, "m%Y%m")
    try:
        day = datetime.strptime(mark, form).replace(tzinfo=UTC).date()
    except ValueError:
        return None
    if table == "inbox":
        return inbox_day(day)
    return seen_week(day) if table == "seen" else month(table, day)


def _wanted(today: date) -> Iterator[Partition]:
    for days in range(-1, DAYS_AHEAD + 1):
        yield inbox_day(today + timedelta(days=days))
    # A provider delivers for some days; what it created last week comes this week.
    for days in (-7, 0, 7):
        yield seen_week(today + timedelta(days=days))
    first = today.replace(day=1)
    after = _next_month(first)
    yield month("attempts", first - timedelta(days=1))
    for table in ("attempts", "entries"):
        yield month(table, first)
        yield month(table, after)


def _add(connection: Connection, part: Partition) -> None:
    """Attached when it is whole, and not made in place: nobody is kept from reading and writing."""
    words = _words(part)
    connection.execute(_ddl("CREATE TABLE %(name)s (LIKE %(table)s INCLUDING ALL)", words))
    for guard in _ENTRY_GUARDS if part.table == "entries" else ():
        connection.execute(_ddl(guard, words))
    connection.execute(
        _ddl(
            "ALTER TABLE %(table)s ATTACH PARTITION %(name)s "
            "FOR VALUES FROM ('%(low)s') TO ('%(high)s')",
            words,
        )
    )


# PostgreSQL hands row triggers on to partitions, and these not.
_ENTRY_GUARDS = (
    (
        "CREATE TRIGGER entries_no_truncate BEFORE TRUNCATE ON %(name)s "
        "FOR EACH STATEMENT EXECUTE FUNCTION entries_append_only()"
    ),
    (
        "CREATE TRIGGER entries_in_order AFTER INSERT ON %(name)s REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION entries_in_order()"
    ),
)


def _ddl(statement: str, words: dict[str, str]) -> DDL:
    """Names cannot be parameters; these are all made here, of days."""
    return DDL(statement, context=words)  # type: ignore[no-untyped-call]


def _words(part: Partition) -> dict[str, str]:
    return {"table": part.table, "name": part.name, "low": part.low, "high": part.high}


def _of_times(table: str, name: str, first: date, after: date) -> Partition:
    low, high = _midnight(first), _midnight(after)
    return Partition(table, name, low.isoformat(), high.isoformat(), high)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)
