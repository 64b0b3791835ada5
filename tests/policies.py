"""Fixed values: policies, with the timeline of the built-in default; see `tests.builders`."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from typing import Any

from dunning.core.days import Day
from dunning.core.events import StepKind
from dunning.core.policy import Invoice, Policy, Rung, Subscription


def rung(do: StepKind | str, at: float | None = None, **other: Any) -> Rung:
    """A line of a timeline, `at` that many days: `rung("retry", 3, clock=time(8))`.

    Without `at` give `before=timedelta(...)` and `anchor=StepKind.SUSPEND`.
    """
    after = None if at is None else timedelta(days=at)
    return Rung(do=StepKind(do), after=after, **other)


STANDARD = Policy(
    name="standard",
    grace=timedelta(days=14),
    window=timedelta(days=28),
    send_between=(time(9), time(18)),
    timeline=(
        rung("email", 0, template="payment_failed"),
        rung("retry", 1),
        rung("retry", 3, clock=time(8)),
        rung("email", 3, template="reminder"),
        rung("retry", 7, on=(Day.PAYDAY, Day.WEEKDAY)),
        rung("restrict", 10),
        rung("email", 11, template="final_notice"),
        rung("retry", before=timedelta(days=1), anchor=StepKind.SUSPEND),
        rung("suspend", 14),
        rung("retry", 21),
        rung("give_up", 28, subscription=Subscription.CANCEL, invoice=Invoice.UNCOLLECTIBLE),
    ),
)
"""The timeline of the built-in default policy."""


def policy(*timeline: Rung, **changes: Any) -> Policy:
    """The standard policy with another timeline, or with other fields."""
    if timeline:
        changes["timeline"] = timeline
    return replace(STANDARD, **changes)
