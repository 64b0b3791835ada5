"""What brought the money in. What we did not cause is never claimed.

Each payment has one mechanism, the first of these that fits: a charge made for a step of ours;
paid outside; paid where our page had led the customer shortly before; the provider's own retry,
after the card network had refreshed the card or not; paid after a message of ours; natural. What
would be ours is `holdout` where the customer is held out for comparison.

Apart from it stands what the customer had last heard from us, and done on their page, by then
(`Touch`): it says nothing of why the money came, and no amount is counted by both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from dunning.core.events import Actor, Attempt, AttemptStatus, StepEnded, StepResult
from dunning.core.facts import BACKUP, Case
from dunning.core.merge import DEBITS
from dunning.core.visits import PAY
from dunning.core.words import THANKS

OUTSIDE = "outside"  # marked as paid elsewhere: a cheque, a transfer
PROVIDER = "provider_retry"
UPDATER = "network_updater"  # the same, after the card network had refreshed the card
NEW_CARD = "new_card"  # our charge, made because the customer gave a new card
BACKUP_METHOD = "backup_method"  # our charge of another method the customer had saved
BY_HAND = "retry_by_hand"
LINK = "link"  # the customer paid on our page's lead, or after a message had reached them
NATURAL = "natural"  # paid without any act of ours
HOLDOUT = "holdout"  # would be ours, but the customer is held out so that ours can be measured

OUR_STEPS = (BACKUP_METHOD, BY_HAND, NEW_CARD)
_RUNG = "retry:"

# Clicks are named by the button that led on to the provider, and these:
FOLLOWED = "link"  # a link followed before there was a page behind it
FETCHED = "page"  # the page was fetched, and nothing pressed: maybe by a scanner of mail

# How far a charge and the payment it brought may lie apart; one further off brought another.
NEAR = timedelta(days=1)
NEAR_DEBIT = timedelta(days=14)
# A customer who was led on to pay has paid within so long, or was not brought by that.
LED_ON = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """The last message that had reached the customer, and their last click, before a payment.

    Empty where there was none. The step is named without its case.
    """

    email_step: str = ""
    email_template: str = ""
    email_at: datetime | None = None
    click: str = ""
    click_at: datetime | None = None


TOUCH = tuple(field.name for field in fields(Touch))


def told_of(touch: Touch | None) -> dict[str, Any]:
    """A touch as columns of its entry; nothing for what is no payment."""
    return {name: getattr(touch, name, None) for name in TOUCH}


def as_booked(row: Any, how: str, touch: Touch | None) -> bool:
    """Whether an entry says of a payment what the facts say.

    One of before a touch was kept has none, and may still claim what was held out.
    """
    if row.email_step is None:
        return row.how == how or (how == HOLDOUT and is_ours(row.how))
    kept = {name: getattr(row, name) for name in TOUCH}
    return row.how == how and kept == told_of(touch)


def mechanism(case: Case, paid_at: datetime) -> str:
    """Name what the payment of that moment is booked under; what is held out is never ours."""
    found = brought_in(case, paid_at)
    if case.drawn is not None and case.drawn.held_out and is_ours(found):
        return HOLDOUT
    return found


def is_ours(how: str) -> bool:
    """Whether an act of ours brought it in: the only money that is claimed."""
    return how == LINK or how in OUR_STEPS or is_rung(how)


def is_rung(how: str) -> bool:
    """Whether a planned charge of ours brought it in: of the timeline, or of a branch of it."""
    return how.startswith(_RUNG) or f".{_RUNG}" in how


def touched(case: Case, paid_at: datetime) -> Touch:
    """What the customer had last heard and done when the payment of that moment came."""
    email = max(_written(case, paid_at), key=lambda step: (step.at, step.id), default=None)
    click, click_at = _clicked(case, paid_at)
    return Touch(
        email_step=email.id.removeprefix(case.id + "/") if email else "",
        email_template=(email.template or "") if email else "",
        email_at=email.at if email else None,
        click=click,
        click_at=click_at,
    )


def _clicked(case: Case, paid_at: datetime) -> tuple[str, datetime | None]:
    clicks = [(press.at, press.button) for press in case.presses]
    if case.link_opened_at is not None:
        clicks.append((case.link_opened_at, FOLLOWED))
    at, button = max((one for one in clicks if one[0] <= paid_at), default=(None, ""))
    fetched = case.page_opened_at
    if at is None and fetched is not None and fetched <= paid_at:
        return FETCHED, fetched
    return button, at


def _written(case: Case, paid_at: datetime) -> Iterator[StepEnded]:
    """The messages that had reached the customer by then, as far as anybody can know."""
    for step in case.done:
        # Thanks follow a payment, be it within the same second.
        if step.template == THANKS:
            continue
        if step.told and step.result is not StepResult.DOUBTFUL and step.at <= paid_at:
            yield step


def brought_in(case: Case, paid_at: datetime) -> str:
    """What brought in the payment of that moment; `retry:3` is the third of the ladder."""
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
    return LINK if any(_written(case, paid_at)) else NATURAL


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
