"""Periods: days, weeks, months, quarters and years by the calendar of one time zone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from dunning.core.calendar import known_zone
from dunning.errors import RefusedError

Unit = Literal["day", "week", "month", "quarter", "year"]
UNITS: tuple[Unit, ...] = get_args(Unit)

# Outside of these no amount can have moved, and a calendar's arithmetic may overflow.
FIRST, LAST = date(1970, 1, 1), date(2999, 12, 31)


@dataclass(frozen=True, slots=True)
class Period:
    """From `starts` up to, and without, `ends`; both in UTC."""

    label: str  # 2026-03-01, 2026-W09, 2026-03, 2026-Q1, 2026
    starts: datetime
    ends: datetime


def zone_named(name: str) -> ZoneInfo:
    """The zone; `RefusedError` when nobody knows it, since a guess would move a day's money."""
    # What a machine calls local is another zone on the next machine.
    zone = known_zone(name) if name != "localtime" else None
    if zone is None:
        known = sorted(available_timezones() - {"localtime"})
        near = [real for real in known if name and name.lower() in real.lower()][:5]
        such_as = ", ".join(near or ("UTC", "Europe/Berlin", "America/New_York"))
        raise RefusedError(f"time zone {name!r} is not known; use one such as {such_as}")
    return zone


def first_moment(day: date, zone: ZoneInfo) -> datetime:
    """When the day begins in that zone, in UTC."""
    # Where clocks skip midnight, the earlier offset gives the very moment of the skip.
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def span(
    since: date | None, until: date | None, zone: ZoneInfo
) -> tuple[datetime | None, datetime | None]:
    """The moments between which a report looks: both days are part of it."""
    for day in (since, until):
        if day is not None and not FIRST <= day <= LAST:
            raise RefusedError(f"{day} is no date of a payment; use one from {FIRST} to {LAST}")
    if since and until and since > until:
        raise RefusedError(f"the range ends on {until}, before it begins on {since}")
    starts = first_moment(since, zone) if since else None
    ends = first_moment(until + timedelta(days=1), zone) if until else None
    return starts, ends


def unit_of(by: Sequence[str]) -> Unit | None:
    """The one period a breakdown is by, if any; `RefusedError` for two."""
    units = [key for key in by if key in UNITS]
    if len(units) > 1:
        raise RefusedError(f"by {units[0]} or by {units[1]}, not both: periods do not nest")
    return units[0] if units else None


def calendar(unit: Unit, first: datetime, last: datetime, zone: ZoneInfo) -> list[Period]:
    """Every period from the one that holds `first` to the one that holds `last`."""
    periods = []
    day = _begin(unit, first.astimezone(zone).date())
    while (starts := first_moment(day, zone)) <= last:
        following = _next(unit, day)
        periods.append(Period(_label(unit, day), starts, first_moment(following, zone)))
        day = following
    return periods


def label_at(periods: Sequence[Period], at: datetime) -> str | None:
    """The label of the period that holds this moment."""
    place = bisect_right(periods, at, key=lambda period: period.starts) - 1
    return periods[place].label if place >= 0 and at < periods[place].ends else None


def _begin(unit: Unit, day: date) -> date:
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return date(day.year, day.month - (day.month - 1) % 3, 1)
        case "year":
            return date(day.year, 1, 1)


_LONGEST = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def _next(unit: Unit, begin: date) -> date:
    return _begin(unit, begin + timedelta(days=_LONGEST[unit]))


def _label(unit: Unit, day: date) -> str:
    match unit:
        case "day":
            return day.isoformat()
        case "week":
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{day:%Y-%m}"
        case "quarter":
            return f"{day.year}-Q{(day.month + 2) // 3}"
        case "year":
            return str(day.year)
