"""What brought the money in. What we did not cause is never claimed.

Each payment has one mechanism, the first of these that fits: a charge made for a step of ours;
paid outside; paid where our page had led the customer shortly before; the provider's own retry,
after the card network had refreshed the card or not; paid after a message of ours; natural.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.core.events import Actor, Attempt, AttemptStatus, StepResult
from dunning.core.facts import BACKUP, Case
from dunning.core.merge import DEBITS
from dunning.core.visits import PAY

OUTSIDE = "outside"  # marked as paid elsewhere: a cheque, a transfer
PROVIDER = "provider_retry"
UPDATER = "network_updater"  # the same, after the card network had refreshed the card
NEW_CARD = "new_card"  # our charge, made because the customer gave a new card
BACKUP_METHOD = "backup_method"  # our charge of another method the customer had saved
BY_HAND = "retry_by_hand"
LINK = "link"  # the customer paid on our page's lead, or after a message had reached them
NATURAL = "natural"  # paid without any act of ours

# How far a charge and the payment it brought may lie apart; one further off brought another.
NEAR = timedelta(days=1)
NEAR_DEBIT = timedelta(days=14)
# A customer who was led on to pay has paid within so long, or was not brought by that.
LED_ON = timedelta(hours=2)


def mechanism(case: Case, paid_at: datetime) -> str:
    """Name what brought in the payment of that moment; `retry:3` is the third of the ladder."""
    attempt = _nearest(case, paid_at)
    if attempt is not None and attempt.key and attempt.key.startswith(case.id + "/"):
        return _own(attempt.key.removeprefix(case.id + "/"))
    if case.out_of_band:
        return OUTSIDE
    # A bank debit is paid days after it was begun.
    if _pressed_to_pay(case, attempt.at if attempt is not None else paid_at):
        return LINK
    if attempt is not None and attempt.by is Actor.PROVIDER and _provider_retried(case):
        return UPDATER if _refreshed(case, attempt.at) else PROVIDER
    written = any(
        step.told and step.result is not StepResult.DOUBTFUL and step.at <= paid_at
        for step in case.done
    )
    return LINK if written else NATURAL


def _own(step: str) -> str:
    step = step.rpartition(".")[2]  # the third of whichever version of the timeline
    if step.startswith("retry:card"):
        return NEW_CARD
    if step.startswith(BACKUP):
        return BACKUP_METHOD
    return BY_HAND if step.startswith("retry:hand") else step


def _nearest(case: Case, paid_at: datetime) -> Attempt | None:
    near = [
        attempt
        for attempt in case.attempts
        if attempt.status is AttemptStatus.SUCCEEDED
        and abs(attempt.at - paid_at) <= (NEAR_DEBIT if attempt.method_type in DEBITS else NEAR)
    ]
    return min(near, key=lambda attempt: (abs(attempt.at - paid_at), attempt.id), default=None)


def _pressed_to_pay(case: Case, at: datetime) -> bool:
    """Whether the customer went from our page to the provider's to pay, shortly before."""
    return any(
        press.button == PAY and press.at <= at <= press.at + LED_ON for press in case.presses
    )


def _refreshed(case: Case, at: datetime) -> bool:
    """Whether the network refreshed a card of the customer between the failure and a charge."""
    failed_at = case.failed_at
    return failed_at is not None and any(
        failed_at <= moment <= at for moment in case.network_updates
    )


def _provider_retried(case: Case) -> bool:
    """Whether the provider itself tried again: its count grows with its own tries only.

    A payment on its hosted page looks the same as its own retry but for this.
    """
    return case.bill is not None and case.bill.attempt_count > 1
