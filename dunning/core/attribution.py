"""What brought the money in. What we did not cause is never claimed."""

from __future__ import annotations

from datetime import datetime

from dunning.core.events import Actor, Attempt, AttemptStatus, StepKind, StepResult
from dunning.core.facts import Case

OUTSIDE = "outside"  # marked as paid elsewhere: a cheque, a transfer
PROVIDER = "provider_retry"
NEW_CARD = "new_card"  # our charge, made because the customer gave a new card
BY_HAND = "retry_by_hand"
LINK = "link"  # the customer paid after one of our messages had reached them
NATURAL = "natural"  # paid without any act of ours


def mechanism(case: Case, paid_at: datetime) -> str:
    """Name what brought in the payment of that moment; `retry:3` is the third of the ladder."""
    attempt = _nearest(case, paid_at)
    if attempt is not None and attempt.key and attempt.key.startswith(case.id + "/"):
        return _own(attempt.key.removeprefix(case.id + "/"))
    if case.out_of_band:
        return OUTSIDE
    if attempt is not None and attempt.by is Actor.PROVIDER:
        return PROVIDER
    written = any(
        step.kind is StepKind.EMAIL and step.result is StepResult.DONE and step.at <= paid_at
        for step in case.done
    )
    return LINK if written else NATURAL


def _own(step: str) -> str:
    if step.startswith("retry:card"):
        return NEW_CARD
    return BY_HAND if step.startswith("retry:hand") else step


def _nearest(case: Case, paid_at: datetime) -> Attempt | None:
    succeeded = [a for a in case.attempts if a.status is AttemptStatus.SUCCEEDED]
    if not succeeded:
        return None
    return min(succeeded, key=lambda a: (abs((a.at - paid_at).total_seconds()), a.id))
