"""What became of the customer's promises to pay: a function of the facts, so a late word counts.

A promise ends by what comes first: the money is there (kept), its date (broken), another promise
(replaced), a resumption (withdrawn), or the end of the debt without a payment (void).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta

from dunning.core.entries import Cause
from dunning.core.events import Promised
from dunning.core.facts import Case
from dunning.core.places import starts_at
from dunning.core.policy import Policy
from dunning.core.status import Status, status

# How far ahead a promise may lie where the policy's window ends sooner.
FURTHEST = timedelta(days=31)


class Ending(enum.StrEnum):
    """How a promise stands."""

    OPEN = "open"
    KEPT = "kept"
    BROKEN = "broken"
    REPLACED = "replaced"
    WITHDRAWN = "withdrawn"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A promise, how it stands, and since when (None: it is open)."""

    promise: Promised
    ending: Ending
    at: datetime | None


def running(case: Case, now: datetime) -> Promised | None:
    """The promise that is waited for, paid or not; one that is paid ends the case by itself."""
    last = max(case.promises, key=_order, default=None)
    if last is None or last.until <= now or _withdrawn_at(case, last) is not None:
        return None
    return last


def judged(case: Case, now: datetime, known: Status | None = None) -> tuple[Judged, ...]:
    """Every promise of the case with what became of it, the oldest first."""
    if not case.promises:
        return ()
    present = known or status(case)
    told = sorted(case.promises, key=_order)
    following = [*told[1:], None]
    return tuple(
        _judged(case, present, one, after, now) for one, after in zip(told, following, strict=True)
    )


def furthest(case: Case, policy: Policy, now: datetime) -> datetime:
    """The latest date that may be promised: the end of the window, or a month from now."""
    return max(starts_at(case, policy) + policy.window, now + FURTHEST)


def _judged(
    case: Case, present: Status, one: Promised, after: Promised | None, now: datetime
) -> Judged:
    ends = [
        (_kept_at(present, one), 0, Ending.KEPT),
        (_over_at(present, one), 1, Ending.VOID),
        (_withdrawn_at(case, one), 2, Ending.WITHDRAWN),
        (after.at if after else None, 3, Ending.REPLACED),
        (one.until if one.until <= now else None, 4, Ending.BROKEN),
    ]
    came = [(at, rank, ending) for at, rank, ending in ends if at is not None]
    if not came:
        return Judged(promise=one, ending=Ending.OPEN, at=None)
    at, _, ending = min(came)
    return Judged(promise=one, ending=ending, at=at)


def _kept_at(present: Status, one: Promised) -> datetime | None:
    """When what was promised had come in, if it was in time."""
    paid = sorted(
        (entry.at, entry.amount)
        for entry in present.books.entries
        if entry.cause is Cause.PAID and one.at <= entry.at <= one.until
    )
    whole = 0
    for at, amount in paid:
        whole += amount
        if one.amount is not None and whole >= one.amount:
            return at
    over = present.ended_at
    settled = paid and present.at_risk == 0 and over is not None and over <= one.until
    return paid[-1][0] if settled else None


def _over_at(present: Status, one: Promised) -> datetime | None:
    """When the debt ended, if it did; the promise was void from the start if it had before."""
    ended = present.ended_at
    return max(ended, one.at) if ended is not None else None


def _withdrawn_at(case: Case, one: Promised) -> datetime | None:
    return min((said.at for said in case.resumptions if said.at >= one.at), default=None)


def _order(one: Promised) -> tuple[datetime, str]:
    return one.at, one.id
