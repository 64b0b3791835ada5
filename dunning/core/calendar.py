"""Local time: zones, send windows, times of day, days to wait for. The tables are Python's.

Where clocks go back and an hour comes twice, its first showing that is not too early counts. Where
they go forward and an hour is left out, it counts as the same time after the change: 2:30 is then
shown as 3:30.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dunning.core.days import (
    PATIENCE,
    PAYDAYS,
    Quiet,
    Wish,
    Works,
    is_day,
    is_quiet,
    monday_to_friday,
)

FILE = "zones.csv"


@lru_cache(maxsize=512)
def known_zone(name: str) -> ZoneInfo | None:
    """The zone of that name, or None when nobody knows it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=4_096)
def zone_of(customer: str | None, country: str | None, otherwise: str) -> ZoneInfo:
    """The customer's own zone when it is known and real, else their country's, else `otherwise`.

    Of a country with several zones it is one in its middle, or where most people live
    (`zones.csv`): mail for 9 to 18 o'clock then reaches nobody at night.
    """
    own = known_zone(customer) if customer else None
    theirs = zones().get(country.upper()) if country else None
    return own or (known_zone(theirs) if theirs else None) or known_zone(otherwise) or _UTC


_UTC = ZoneInfo("UTC")


@cache
def zones() -> dict[str, str]:
    """Which zone a country's customers are taken to live in, by its two letters."""
    table = resources.files("dunning.core").joinpath(FILE).read_text(encoding="utf-8")
    return {row["country"]: row["zone"] for row in csv.DictReader(table.splitlines())}


@dataclass(frozen=True, slots=True)
class Local:
    """How the days of one customer go."""

    zone: ZoneInfo
    country: str | None = None
    paydays: tuple[Wish, ...] = PAYDAYS
    works: Works = monday_to_friday

    def is_day(self, wish: Wish, day: date) -> bool:
        """Whether it is such a day there."""
        return is_day(wish, day, self.paydays, lambda day: self.works(self.country, day))


def at_time(moment: datetime, clock: time, zone: ZoneInfo) -> datetime:
    """The first time the customer's clock shows `clock` at or after `moment`, in UTC."""
    return _first_showing(moment, clock, moment.astimezone(zone).date(), zone)


def _first_showing(moment: datetime, clock: time, today: date, zone: ZoneInfo) -> datetime:
    shown = _showings(today, clock, zone)
    for each in shown:
        if each >= moment:
            return each
    return shown[-1]


# Many cases ask for the same hour of the same day: most of what a plan costs was to find it.
@lru_cache(maxsize=16_384)
def _showings(today: date, clock: time, zone: ZoneInfo) -> tuple[datetime, ...]:
    """When the customer's clock shows `clock` around a day, in the order in which to take them."""
    # Where clocks go back over midnight a date comes twice, and its times with it.
    near = [
        datetime.combine(day, clock.replace(fold=fold), tzinfo=zone)
        for day in (today - timedelta(days=1), today, today + timedelta(days=1))
        for fold in (0, 1)
    ]
    last = datetime.combine(today + timedelta(days=2), clock, tzinfo=zone)
    shown = [each for each in near if _is_shown(each, each.fold)]
    return tuple(each.astimezone(UTC) for each in (*shown, last))


def _is_shown(local: datetime, fold: int) -> bool:
    """A second showing only where there is one; a time that is left out counts once."""
    return fold == 0 or local.astimezone(UTC).astimezone(local.tzinfo).fold == 1


def on_day(
    moment: datetime, wishes: Sequence[Wish], local: Local, patience: timedelta = PATIENCE
) -> datetime:
    """Move to the first wanted day within so many days, same time of day. None fits: unmoved."""
    shown = moment.astimezone(local.zone)
    today = shown.date()
    day = _wanted_day(today, tuple(wishes), local, patience.days)
    if day is None or day == today:
        return moment
    clock = shown.time().replace(fold=shown.fold)
    return max(datetime.combine(day, clock, tzinfo=local.zone).astimezone(UTC), moment)


@lru_cache(maxsize=16_384)
def _wanted_day(first: date, wishes: tuple[Wish, ...], local: Local, most: int) -> date | None:
    """The first of the most wanted days within so many days."""
    days = [first + timedelta(days=shift) for shift in range(most + 1)]
    return next((day for wish in wishes for day in days if local.is_day(wish, day)), None)


@dataclass(frozen=True, slots=True)
class Hours:
    """When a step may begin: between two times of the customer's day (None: at any), and on a day
    that is not quiet.
    """

    between: tuple[time, time] | None = None
    quiet: tuple[Quiet, ...] = ()


ALL_HOURS = Hours()
# So many quiet days in a row are passed over: more than any country has. Then they do not count.
MOST_QUIET = 40


def opening(moment: datetime, hours: Hours, local: Local) -> datetime:
    """The first moment from this one on within the hours, on a day that is not quiet."""
    opens = in_window(moment, hours.between, local.zone)
    if not hours.quiet:
        return opens
    today = opens.astimezone(local.zone).date()
    day = _first_not_quiet(today, hours.quiet, local)
    if day == today:
        return opens
    return in_window(day_begins(day, local.zone), hours.between, local.zone)


@lru_cache(maxsize=16_384)
def _first_not_quiet(first: date, quiet: tuple[Quiet, ...], local: Local) -> date:
    days = (first + timedelta(days=shift) for shift in range(MOST_QUIET + 1))
    free = (day for day in days if not is_quiet(quiet, day, local.country, local.works))
    return next(free, first)


def day_begins(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of that day there, in UTC; where midnight is left out, what follows it."""
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """Which day it is there."""
    return moment.astimezone(zone).date()


def next_opening(moment: datetime, hours: Hours, local: Local) -> datetime:
    """When the hours open on a later day than this moment's."""
    tomorrow = day_of(moment, local.zone) + timedelta(days=1)
    return opening(max(day_begins(tomorrow, local.zone), moment), hours, local)


def in_window(moment: datetime, between: tuple[time, time] | None, zone: ZoneInfo) -> datetime:
    """The first moment at or after this one at which the customer's clock is between the two."""
    if between is None:
        return moment
    opens, closes = between
    local = moment.astimezone(zone)
    if opens <= local.time() < closes:
        return moment
    return _first_showing(moment, opens, local.date(), zone)
