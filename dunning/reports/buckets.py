"""The period of a ledger row, in SQL: which day, week, month, quarter or year it falls in.

The databases add an offset that Python looked up, so that a period has the same boundaries on both,
whatever time zone tables a server has.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, Interval, Text, case, cast, func, literal
from sqlmodel import col

from dunning.reports.periods import Unit
from dunning.store import EntryRow

# From this moment on, local time is UTC and that much.
Offset = tuple[datetime, timedelta]


def begin_of(dialect: str, unit: Unit, offsets: Sequence[Offset]) -> ColumnElement[str]:
    """The first day of the row's period in local time, as `2026-03-01`."""
    if dialect == "sqlite":
        return _on_sqlite(unit, offsets)
    local = func.timezone("UTC", col(EntryRow.occurred_at)) + _chosen(
        [(since, literal(offset, Interval())) for since, offset in offsets]
    )
    return func.to_char(func.date_trunc(unit, local), "YYYY-MM-DD", type_=Text())


def _on_sqlite(unit: Unit, offsets: Sequence[Offset]) -> ColumnElement[str]:
    # Without the fraction of a second, which SQLite would round up into the next day.
    at = func.substr(cast(col(EntryRow.occurred_at), Text()), 1, 19)
    shift = _chosen(
        [
            (since, literal(f"{offset.total_seconds():+.0f} seconds", Text()))
            for since, offset in offsets
        ]
    )
    match unit:
        case "day":
            return func.date(at, shift)
        case "week":
            return func.date(at, shift, "weekday 0", "-6 days")
        case "month":
            return func.date(at, shift, "start of month")
        case "quarter":
            month = cast(func.strftime("%m", at, shift), Integer())
            back = literal("-", Text()).concat(cast((month - 1) % 3, Text())).concat(" months")
            return func.date(at, shift, "start of month", back)
        case "year":
            return func.date(at, shift, "start of year")


def _chosen(choices: Sequence[tuple[datetime, ColumnElement[Any]]]) -> ColumnElement[Any]:
    """The last choice whose moment the row has reached; the first one also for what is earlier."""
    occurred = col(EntryRow.occurred_at)
    first, *later = choices
    if not later:
        return first[1]
    whens = [(occurred >= since, value) for since, value in reversed(later)]
    return case(*whens, else_=first[1])
