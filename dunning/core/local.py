"""When a line of a timeline comes for one customer: their time of day, their days, their hours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from dunning.core.calendar import (
    ALL_HOURS,
    MOST_QUIET,
    Hours,
    Local,
    at_time,
    on_day,
    opening,
    zone_of,
)
from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.policy import Policy, Rung
from dunning.core.remembered import per_policy
from dunning.core.words import MESSAGES


def local_of(case: Case, policy: Policy) -> Local:
    """How the days of the case's customer go, as far as it is known."""
    return _locals(policy)(case.word("timezone"), case.word("country"))


@per_policy
def _locals(policy: Policy) -> Callable[[str | None, str | None], Local]:
    """How they go by what is known of a customer, made once each: plans ask all day."""

    @lru_cache(maxsize=256)
    def local(timezone: str | None, country: str | None) -> Local:
        zone = zone_of(timezone, country, policy.timezone)
        return Local(zone, country, policy.paydays, policy.works)

    return local


def moment_of(rung: Rung, start: datetime, key: str, local: Local, hours: Hours) -> datetime:
    """When the line comes, counted from `start`: time of day, then day, then chance, then hours."""
    due = start
    if rung.clock is not None:
        due = at_time(due, rung.clock, local.zone)
    if rung.on:
        due = on_day(due, rung.on, local, rung.patience)
    if rung.jitter:
        due += chance(key, rung.jitter)
    return opening(due, hours, local)


def latest(rung: Rung, hours: Hours) -> timedelta:
    """No more than this can a line be moved by its clock, days, chance and hours."""
    clock = _CLOCKS if rung.clock is not None else timedelta(0)
    days = rung.patience + _CLOCKS if rung.on else timedelta(0)
    opens = _CLOCKS if hours.between is not None else timedelta(0)
    quiet = timedelta(days=MOST_QUIET) + _CLOCKS if hours.quiet else timedelta(0)
    return clock + days + rung.jitter + opens + quiet


# A time of day comes within so long, whatever is done to the clocks.
_CLOCKS = timedelta(days=2)


def hours_of(rung: Rung | None, kind: StepKind, policy: Policy) -> Hours:
    """At which hours of the customer's day a step may begin, and for a message on which days."""
    between = rung.between if rung is not None else None
    if kind in MESSAGES:
        return Hours(between, policy.quiet_days) if between else message_hours(policy)
    return Hours(between) if between else ALL_HOURS


@per_policy
def message_hours(policy: Policy) -> Hours:
    """At which hours, and on which days, the policy lets emails go out."""
    return Hours(policy.send_between, policy.quiet_days)


def chance(key: str, most: timedelta) -> timedelta:
    """A wait of up to `most`, always the same for the same step: whole seconds."""
    drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return timedelta(seconds=drawn % max(most // timedelta(seconds=1), 1))
