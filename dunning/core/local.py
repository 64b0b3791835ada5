"""When a line of a timeline comes for one customer: their time of day, their days, their hours."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, time, timedelta
from functools import lru_cache

from dunning.core.calendar import Local, at_time, in_window, on_day, zone_of
from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.policy import Policy, Rung
from dunning.core.remembered import per_policy


def local_of(case: Case, policy: Policy) -> Local:
    """How the days of the case's customer go, as far as it is known."""
    return _locals(policy)(case.word("timezone"), case.word("country"))


@per_policy
def _locals(policy: Policy) -> Callable[[str | None, str | None], Local]:
    @lru_cache(maxsize=1_024)
    def known(timezone: str | None, country: str | None) -> Local:
        return Local(
            zone=zone_of(timezone, country, policy.timezone),
            country=country,
            paydays=policy.paydays,
            works=policy.works,
        )

    return known


def moment_of(rung: Rung, start: datetime, key: str, local: Local, hours: Hours) -> datetime:
    """When the line comes, counted from `start`: time of day, then day, then chance, then hours."""
    due = start
    if rung.clock is not None:
        due = at_time(due, rung.clock, local.zone)
    if rung.on:
        due = on_day(due, rung.on, local, rung.patience)
    if rung.jitter:
        due += chance(key, rung.jitter)
    return in_window(due, hours, local.zone)


def latest(rung: Rung, hours: Hours) -> timedelta:
    """No more than this can a line be moved by its clock, days, chance and hours."""
    clock = _CLOCKS if rung.clock is not None else timedelta(0)
    days = rung.patience + _CLOCKS if rung.on else timedelta(0)
    return clock + days + rung.jitter + (_CLOCKS if hours is not None else timedelta(0))


# A time of day comes within so long, whatever is done to the clocks.
_CLOCKS = timedelta(days=2)

Hours = tuple[time, time] | None


def hours_of(rung: Rung | None, kind: StepKind, policy: Policy) -> Hours:
    """Between which hours of the customer's day a step may begin; None: at any."""
    if rung is not None and rung.between is not None:
        return rung.between
    return policy.send_between if kind is StepKind.EMAIL else None


def chance(key: str, most: timedelta) -> timedelta:
    """A wait of up to `most`, always the same for the same step: whole seconds."""
    drawn = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return timedelta(seconds=drawn % max(most // timedelta(seconds=1), 1))
