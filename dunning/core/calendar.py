"""Local time: send windows, times of day, paydays. The zone is a name; the tables are Python's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dunning.core.policy import Day

# A rung waits at most this long for the day it prefers; then it goes on as it is.
PREFERENCE_DAYS = 3
PAYDAYS = frozenset((1, 15))


@lru_cache(maxsize=512)
def known_zone(name: str) -> ZoneInfo | None:
    """The zone of that name, or None when nobody knows it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_of(customer: str | None, policy: str) -> ZoneInfo:
    """The customer's own zone when it is known and real, else the policy's, else UTC.

    The rule for an unknown zone is stated, not guessed: the policy's `timezone` applies.
    """
    own = known_zone(customer) if customer else None
    return own or known_zone(policy) or ZoneInfo("UTC")


def at_time(moment: datetime, clock: time, zone: ZoneInfo) -> datetime:
    """The first time the customer's clock shows `clock` at or after `moment`, in UTC."""
    today = moment.astimezone(zone).date()
    for fold in (0, 1):  # on the night the clocks go back it shows some times twice
        candidate = datetime.combine(today, clock.replace(fold=fold), tzinfo=zone)
        if candidate.astimezone(UTC) >= moment:
            return candidate.astimezone(UTC)
    tomorrow = datetime.combine(today + timedelta(days=1), clock, tzinfo=zone)
    return tomorrow.astimezone(UTC)


def on_day(moment: datetime, days: Sequence[Day], zone: ZoneInfo) -> datetime:
    """Move to the first preferred day within three days; same time of day. None fits: unmoved."""
    local = moment.astimezone(zone)
    for day in days:
        for shift in range(PREFERENCE_DAYS + 1):
            candidate = datetime.combine(
                local.date() + timedelta(days=shift), local.timetz().replace(tzinfo=None), zone
            )
            if _is(day, candidate):
                return candidate.astimezone(UTC)
    return moment


def _is(day: Day, local: datetime) -> bool:
    match day:
        case Day.WEEKDAY:
            return local.weekday() < 5
        case Day.PAYDAY:
            tomorrow = local.date() + timedelta(days=1)
            return local.day in PAYDAYS or tomorrow.day == 1


def in_window(moment: datetime, between: tuple[time, time] | None, zone: ZoneInfo) -> datetime:
    """The first moment at or after this one at which mail may be sent."""
    if between is None:
        return moment
    opens, closes = between
    local = moment.astimezone(zone).timetz().replace(tzinfo=None)
    if opens <= local < closes:
        return moment
    return at_time(moment, opens, zone)
