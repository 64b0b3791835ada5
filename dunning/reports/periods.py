"""Periods: days, weeks, months, quarters and years by the calendar of one time zone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from dunning.core.calendar import known_zone
from dunning.errors import RefusedError

Unit = Literal["day", "week", "month", "quarter", "year"]
UNITS: tuple[Unit, ...] = get_args(Unit)

# Outside of these no amount can have moved, and a calendar's arithmetic may overflow.
FIRST, LAST = date(1970, 1, 1), date(2999, 12, 31)


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


def label_at(unit: Unit, at: datetime, zone: ZoneInfo, year_from: int = 1) -> str:
    """The label of the period that holds this moment: 2026-03-01, 2026-W09, 2026-03, 2026-Q1."""
    return label_of(unit, at.astimezone(zone).date(), year_from)


def label_of(unit: Unit, day: date, year_from: int = 1) -> str:
    """The label of the period that holds this day.

    A year that begins in April is FY2026/27, and its first quarter FY2026/27-Q1.
    """
    match unit:
        case "day":
            return day.isoformat()
        case "week":
            year, week, _ = day.isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return f"{day:%Y-%m}"
        case "quarter":
            return f"{_year(day, year_from)}-Q{(day.month - year_from) % 12 // 3 + 1}"
        case "year":
            return _year(day, year_from)


def _year(day: date, year_from: int) -> str:
    first = day.year if day.month >= year_from else day.year - 1
    return str(first) if year_from == 1 else f"FY{first}/{(first + 1) % 100:02}"


def period_from(unit: Unit, day: date, year_from: int = 1) -> date:
    """The first day of the period that holds this day."""
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return _months_back(day, (day.month - year_from) % 3)
        case "year":
            return _months_back(day, (day.month - year_from) % 12)


def _months_back(day: date, months: int) -> date:
    total = day.year * 12 + day.month - 1 - months
    return date(total // 12, total % 12 + 1, 1)


def period_after(unit: Unit, first: date) -> date:
    """The first day of the period that follows the one beginning on this day."""
    months = {"month": 1, "quarter": 3, "year": 12}.get(unit)
    if months is None:
        return first + timedelta(days=7 if unit == "week" else 1)
    return _months_back(first, -months)


Period = tuple[str, datetime, datetime]  # its label, its first moment, the first one after it
MOST_PERIODS = 1_000


def periods_between(
    unit: Unit | None, starts: datetime, closes: datetime, zone: ZoneInfo, year_from: int = 1
) -> Iterator[Period]:
    """Every period from one moment to another, the quiet ones too; without a unit only one.

    `RefusedError` for more of them than anybody reads.
    """
    at = starts
    for turn in itertools.count():
        if at >= closes:
            return
        if turn == MOST_PERIODS:
            raise RefusedError(
                f"the range has more than {MOST_PERIODS:,} of its periods ({unit}); "
                "ask for a shorter range, or by a longer period"
            )
        day = at.astimezone(zone).date()
        ends = closes
        if unit is not None:
            ends = first_moment(period_after(unit, period_from(unit, day, year_from)), zone)
        yield (label_of(unit, day, year_from) if unit else "", at, min(ends, closes))
        at = ends


def offsets(zone: ZoneInfo, first: datetime, last: datetime) -> list[tuple[datetime, timedelta]]:
    """What local time adds to UTC from which moment on, to the second."""

    def offset(at: datetime) -> timedelta:
        found = at.astimezone(zone).utcoffset()
        assert found is not None
        return found

    found = [(first, offset(first))]
    day = first
    while day <= last:
        following = day + timedelta(days=1)
        if offset(following) != found[-1][1]:
            # Clocks change at most once a day; the very second is halved out.
            before, after = day, following
            while after - before > timedelta(seconds=1):
                middle = before + (after - before) // 2
                if offset(middle) == found[-1][1]:
                    before = middle
                else:
                    after = middle
            found.append((after.replace(microsecond=0), offset(after)))
        day = following
    return found
