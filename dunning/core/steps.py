"""Step: one thing a case is to do, when, and why, or why not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple

from dunning.core.declines import Advice, Verdict
from dunning.core.events import StepKind
from dunning.core.policy import Rung


class Step(NamedTuple):
    """A planned step. `key` is also its idempotency key, wherever it is acted on.

    A plan makes and changes dozens of them, and a tuple takes a third of the time of a dataclass.

    `skip` says why it will not be done; `held` that its moment depends on something else; `moved`
    why it is not at its own place; `forced` that a person overrides the advice and our ceiling.
    """

    key: str
    kind: StepKind
    due_at: datetime
    why: str
    order: int = 0
    rung: Rung | None = None
    template: str | None = None
    method: str | None = None  # to be charged in place of the present one
    skip: str | None = None
    held: bool = False
    moved: str | None = None
    forced: bool = False

    # Twice as fast as `_replace`, and most of what a plan does to a step is one of the two.
    def put_to(self, moment: datetime) -> Step:
        """The same at another moment."""
        return _new(Step, (self[0], self[1], moment, *self[3:]))

    def left_out(self, why: str) -> Step:
        """The same, not to be done."""
        return _new(Step, (*self[:8], why, *self[9:]))


_new = tuple.__new__
_IN_ORDER = itemgetter(2, 4, 0)  # its moment, its place, its key


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps, soonest first; those of one moment by their place."""
    return tuple(sorted(steps, key=_IN_ORDER))


def short_name(step: Step) -> str:
    """Its key without the case's."""
    return step.key.rpartition("/")[2]


# Which message says what the customer has to do, once the bank has said so.
_ABOUT_THE_DEBT = frozenset(("payment_failed", "reminder"))
_FOR_ADVICE = {
    Advice.AUTHENTICATE: "action_required",
    Advice.NEW_METHOD: "new_card_needed",
    Advice.STOP: "new_card_needed",
}


# Those that speak of a card, and have a twin for who pays by hand.
_OF_CARDS = (*_ABOUT_THE_DEBT, "final_notice", "suspended")


# What the names of texts begin with; the rest is that of the email that says the same at length.
TEXT = "sms_"
_TEXT_BY_HAND = {"sms_payment_failed": "sms_reminder"}


def is_text(template: str) -> bool:
    """Whether it is a text to a phone, and no email."""
    return template.startswith(TEXT)


def fitting_template(template: str, said: Verdict | None, *, by_hand: bool = False) -> str:
    """The message to send: a plain one gives way to the one that says what will help.

    What only the merchant can mend is not put to the customer as a matter of their card.
    """
    if is_text(template):
        if by_hand:  # the others say nothing of cards
            return _TEXT_BY_HAND.get(template, template)
        return TEXT + fitting_template(template.removeprefix(TEXT), said)
    if by_hand:
        return f"{template}_by_hand" if template in _OF_CARDS else template
    if template not in _ABOUT_THE_DEBT or said is None:
        return template
    if said.advice is Advice.STOP and said.tell_ops:
        return template
    return _FOR_ADVICE.get(said.advice, template)
