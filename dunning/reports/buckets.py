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


def begin_of(
    dialect: str,
    unit: Unit,
    offsets: Sequence[Offset],
    moment: ColumnElement[datetime] | None = None,
    year_from: int = 1,
) -> ColumnElement[str]:
    """The first day of the row's period in local time, as `2026-03-01`.

    `year_from` is the month in which years, and so their quarters, begin.
    """
    at: Any = col(EntryRow.occurred_at) if moment is None else moment
    months = year_from - 1 if unit in ("quarter", "year") else 0
    if dialect == "sqlite":
        return _on_sqlite(unit, offsets, at, months)
    local = func.timezone("UTC", at) + _chosen(
        at, [(since, literal(offset, Interval())) for since, offset in offsets]
    )
    if months:
        back = func.make_interval(0, months)
        begins = func.date_trunc(unit, local - back) + back
    else:
        begins = func.date_trunc(unit, local)
    return func.to_char(begins, "YYYY-MM-DD", type_=Text())


def _on_sqlite(
    unit: Unit, offsets: Sequence[Offset], moment: ColumnElement[datetime], months: int
) -> ColumnElement[str]:
    # Without the fraction of a second, which SQLite would round up into the next day.
    at = func.substr(cast(moment, Text()), 1, 19)
    shift = _chosen(
        moment,
        [
            (since, literal(f"{offset.total_seconds():+.0f} seconds", Text()))
            for since, offset in offsets
        ],
    )
    # The month first, since a 31st has no day a month earlier.
    back, forth = ("start of month", f"-{months} months"), f"+{months} months"
    match unit:
        case "day":
            return func.date(at, shift)
        case "week":
            return func.date(at, shift, "weekday 0", "-6 days")
        case "month":
            return func.date(at, shift, "start of month")
        case "quarter":
            month = cast(func.strftime("%m", at, shift, *back), Integer())
            over = literal("-", Text()).concat(cast((month - 1) % 3, Text())).concat(" months")
            return func.date(at, shift, *back, over, forth)
        case "year":
            return func.date(at, shift, *back, "start of year", forth)


def _chosen(
    moment: ColumnElement[datetime], choices: Sequence[tuple[datetime, ColumnElement[Any]]]
) -> ColumnElement[Any]:
    """The last choice whose moment the row has reached; the first one also for what is earlier."""
    first, *later = choices
    if not later:
        return first[1]
    whens = [(moment >= since, value) for since, value in reversed(later)]
    return case(*whens, else_=first[1])
