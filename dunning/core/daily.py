"""At most one message per customer and day: whose day it is, what a message says, what waits.

A day is one of the customer's own zone. Whoever is about to write takes it; a message speaks of
every debt of the customer that may be written about. What it said for another case as well is not
said again, and what it did not say waits for the next day on which there are hours to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from dunning.core.calendar import day_begins, day_of, next_opening
from dunning.core.facts import Case
from dunning.core.freezing import exempt, freeze
from dunning.core.local import hours_of, local_of
from dunning.core.permission import why_held_out, why_no_email
from dunning.core.policy import Policy
from dunning.core.status import State, status
from dunning.core.steps import TEXT, Step, is_text
from dunning.core.words import MESSAGES, THANKS

FINAL_NOTICE = "final_notice"
# How much a message about a debt says. One that we do not know says as much as a reminder.
_STRENGTH = {
    "payment_failed": 1,
    "reminder": 2,
    "new_card_needed": 3,
    "action_required": 3,
    FINAL_NOTICE: 4,
    "suspended": 5,
}
_UNKNOWN = _STRENGTH["reminder"]
_LESS = 10  # by which a text is the weaker one
# These say something of their own, and nothing about a debt.
_APART = frozenset((THANKS, "card_expiring", "card_expiring_soon", "renewal_notice"))
# Somebody is about to send: so long until it is asked what became of it.
SOON = timedelta(minutes=1)
# A stronger message that should have left so long ago is not waited for.
OVERDUE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class MailDay:
    """A day of one customer, and when it is over."""

    source: str
    customer: str
    day: date
    ends_at: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        """By which it is kept."""
        return self.source, self.customer, self.day.isoformat()


@dataclass(frozen=True, slots=True)
class Taken:
    """Who has a day: the step, and once its message is about to leave, what that is.

    `left`: the message has left, or may have; else somebody may be sending it at this moment.
    """

    step: str
    template: str | None
    cases: tuple[str, ...]
    left: bool


@dataclass(frozen=True, slots=True)
class Put:
    """Why a message does not leave now: another one said it, or it waits until then."""

    why: str
    said_in: str | None = None
    until: datetime | None = None


def mail_day(case: Case, policy: Policy, now: datetime) -> MailDay:
    """The customer's day; of an invoice of nobody known it is the invoice's own."""
    zone = local_of(case, policy).zone
    day = day_of(now, zone)
    ends_at = day_begins(day + timedelta(days=1), zone)
    return MailDay(case.source, case.customer or case.id, day, ends_at)


def about_a_debt(template: str) -> bool:
    """Whether it speaks of money that is owed, and so of all that the customer owes."""
    return template not in _APART


def strength(template: str | None) -> int:
    """How much it says of a debt; none at all for what is not about one.

    Any email says more than a text.
    """
    name = (template or "").removesuffix("_by_hand")
    if is_text(name):
        return strength(name.removeprefix(TEXT)) - _LESS
    return 0 if name in _APART else _STRENGTH.get(name, _UNKNOWN)


def says_it(said: str, planned: str) -> bool:
    """Whether the one message says what the other would have; a text and an email never do."""
    if is_text(said) != is_text(planned):
        return False
    if not about_a_debt(said) or not about_a_debt(planned):
        return said == planned
    return strength(said) >= strength(planned)


def instead(case: Case, policy: Policy, step: Step, taken: Taken, now: datetime) -> Put:
    """What becomes of a message whose day somebody else has."""
    other = taken.step.partition("/")[0]
    whose = "this case" if other == case.id else f"case {other}"
    if not taken.left:
        return Put(f"a message of {whose} is about to leave", until=now + SOON)
    if case.id in taken.cases and says_it(taken.template or "", step.template or ""):
        return Put(f"said today in the message of {whose}", said_in=taken.step)
    hours = hours_of(step.rung, step.kind, policy)
    until = next_opening(now, hours, local_of(case, policy))
    return Put(f"one message a day: today's was that of {whose}", until=until)


def stronger(step: Step, others: Iterable[Step], day: MailDay, now: datetime) -> Put | None:
    """Whether a message of another case says more and comes today: then this one waits for it."""
    mine = strength(step.template)
    waited_for = [
        other
        for other in others
        if other.kind in MESSAGES
        and other.skip is None
        and not other.held
        and now - OVERDUE <= other.due_at < day.ends_at
        and strength(other.template) > mine
    ]
    if not waited_for:
        return None
    first = min(waited_for, key=lambda other: (other.due_at, other.key))
    case = first.key.partition("/")[0]
    why = f"the message of case {case} says more, and comes today"
    return Put(why, until=max(first.due_at, now) + SOON)


def may_be_told(
    case: Case, policy: Policy, template: str, now: datetime, *, looked: bool = True
) -> bool:
    """Whether a message may speak of this case beside its own.

    Before the provider was `looked` at, whether it is worth a look: of what is open a payment may
    not have been heard of yet.
    """
    if template == THANKS:
        thanked = case.step(thanks_key(case)) is not None
        due = any(step.told for step in case.done) and not thanked and exempt(case, now) is None
        return due and (not looked or status(case).state is State.RECOVERED)
    return (
        status(case).state.is_open
        and freeze(case, now) is None
        and why_held_out(case) is None
        and why_no_email(case, policy) is None
    )


def thanks_key(case: Case) -> str:
    """The step that says that all is paid."""
    return f"{case.id}/email:{THANKS}"
