"""When a line of a timeline comes for one customer: their time of day, their days, their hours."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from dunning.core.calendar import ALL_HOURS, Hours, Local, at_time, on_day, opening, zone_of
from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.policy import Policy, Rung


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


def hours_of(rung: Rung | None, kind: StepKind, policy: Policy) -> Hours:
    """At which hours of the customer's day a step may begin, and for an email on which days."""
    between = rung.between if rung is not None else None
    if kind is StepKind.EMAIL:
        return Hours(between or policy.send_between, policy.quiet_days)
    return Hours(between) if between else ALL_HOURS


def chance(key: str, most: timedelta) -> timedelta:
    """A wait of up to `most`, always the same for the same step: whole seconds."""
    drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return timedelta(seconds=drawn % max(most // timedelta(seconds=1), 1))
