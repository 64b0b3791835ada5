"""When a line of a timeline comes for one customer: their time of day, their days, their hours."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

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
from dunning.core.words import MESSAGES


def local_of(case: Case, policy: Policy) -> Local:
    """How the days of the case's customer go, as far as it is known."""
    country = case.word("country")
    return Local(
        zone=zone_of(case.word("timezone"), country, policy.timezone),
        country=country,
        paydays=policy.paydays,
        works=policy.works,
    )


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
        return Hours(between or policy.send_between, policy.quiet_days)
    return Hours(between) if between else ALL_HOURS


def chance(key: str, most: timedelta) -> timedelta:
    """A wait of up to `most`, always the same for the same step: whole seconds."""
    drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return timedelta(seconds=drawn % max(most // timedelta(seconds=1), 1))
