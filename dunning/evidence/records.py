"""A case on record, as far as it says something of other policies: what was done and came of it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dunning.core.attribution import BY_HAND, LINK, NATURAL, NEW_CARD, OUTSIDE, brought_in
from dunning.core.calendar import zone_of
from dunning.core.choosing import Subject
from dunning.core.declines import UNKNOWN, Advice, advise
from dunning.core.entries import Account, Cause
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptStatus,
    Decline,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.holdout import Drawn
from dunning.core.merge import DEBITS
from dunning.core.policy import Policy
from dunning.core.status import State, Status
from dunning.core.words import MESSAGES
from dunning.evidence.walking import Act, Start, start_of

# `retry:3`, or `funds.retry:3` of a branch; not a new card's, and not one asked for by hand.
_OF_THE_LADDER = re.compile(r"(?:[a-z_]+\.)?retry:[0-9]+")
_SEEN = (
    StepKind.RETRY,
    *MESSAGES,
    StepKind.RESTRICT,
    StepKind.SUSPEND,
    StepKind.GIVE_UP,
)
_MADE = (
    StepResult.DONE,
    StepResult.DECLINED,
    StepResult.ACTION_NEEDED,
    StepResult.PROCESSING,
    StepResult.DOUBTFUL,
)
_DECIDED = (AttemptStatus.SUCCEEDED, AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED)
BANK_DEBIT = "bank_debit"
# A step is written down a moment after the payment it brought.
AFTER = timedelta(minutes=10)


class Outcome(enum.StrEnum):
    """How a case ended: paid before it was given up, given up, or owed no more."""

    RECOVERED = "recovered"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Try:
    """A charge without the customer: what the last answer had been, and whether it went through."""

    at: datetime
    family: str
    good: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One case that has ended, whose window has closed."""

    customer: str  # with its source: what belongs together is drawn together
    start: Start
    subject: Subject
    policy: Policy  # it was walked by
    drawn: Drawn | None = None
    family: str = Advice.RETRY.value
    zone: ZoneInfo
    acts: tuple[Act, ...] = ()
    tries: tuple[Try, ...] = ()
    outcome: Outcome
    ended_at: datetime
    came_in: tuple[tuple[datetime, int], ...] = ()  # what was paid, and when, before the end
    reacted: bool = False  # the customer brought it in: by a link, a new card, by themselves
    settled_aside: bool = False  # paid outside, or by a charge that a person asked for
    natural: bool = False  # before the first act of ours
    late: bool = False  # paid after it had been given up

    @property
    def suspended_at(self) -> datetime | None:
        """When the service was cut off."""
        return next((act.at for act in self.acts if act.kind is StepKind.SUSPEND), None)

    @property
    def paid(self) -> int:
        """What came in before the end, in minor units."""
        return sum(amount for _, amount in self.came_in)


def family_of(decline: Decline | None, method_type: str | None) -> str:
    """What charges have in common after such an answer: our advice, or that it is a bank debit."""
    if method_type in DEBITS:
        return BANK_DEBIT
    return (advise(decline) if decline else UNKNOWN).advice.value


def record_of(case: Case, present: Status, policy: Policy, subject: Subject) -> Record:
    """What a case that has ended says."""
    amount = sum(entry.amount for entry in present.books.entries if entry.debit is Account.OWED)
    start = start_of(case, amount)
    outcome, ended_at = _ending(case, present)
    acts = _acts(case, ended_at)
    came_in = tuple(
        (entry.at, entry.amount)
        for entry in present.books.entries
        if entry.cause is Cause.PAID and entry.credit is Account.RECOVERED and entry.at <= ended_at
    )
    paid = [e.at for e in present.books.entries if e.cause is Cause.PAID and e.at <= ended_at]
    last = brought_in(case, paid[-1]) if paid and outcome is Outcome.RECOVERED else ""
    reacted = last in (LINK, NATURAL, NEW_CARD)
    first = min((act.at for act in acts), default=None)
    moved_at = _moved_at(case, last, ended_at)
    return Record(
        customer=f"{case.source}/{case.customer or case.invoice}",
        start=start,
        subject=subject,
        policy=policy,
        drawn=case.drawn,
        family=family_of(start.decline, start.method_type),
        zone=zone_of(case.word("timezone"), case.word("country"), policy.timezone),
        acts=acts,
        tries=tuple(_tries(case, ended_at)),
        outcome=outcome,
        ended_at=ended_at,
        came_in=came_in,
        reacted=reacted,
        settled_aside=last in (OUTSIDE, BY_HAND),
        natural=reacted and (first is None or moved_at < first),
        late=outcome is Outcome.LOST and present.state is State.RECOVERED,
    )


def _ending(case: Case, present: Status) -> tuple[Outcome, datetime]:
    """How it ended for the policy: what came after giving up came without it."""
    assert present.ended_at is not None
    gave_up = min(
        (
            step.at
            for step in case.done
            if step.kind is StepKind.GIVE_UP and step.result is StepResult.DONE
        ),
        default=None,
    )
    if gave_up is not None and gave_up <= present.ended_at:
        return Outcome.LOST, gave_up
    if present.state is State.RECOVERED:
        return Outcome.RECOVERED, present.ended_at
    return (Outcome.LOST if present.state is State.LOST else Outcome.CLOSED), present.ended_at


def _moved_at(case: Case, how: str, ended_at: datetime) -> datetime:
    """When the customer moved: a new card is charged by us, but it was given by them."""
    return case.method_at if how == NEW_CARD and case.method_at else ended_at


def _acts(case: Case, ended_at: datetime) -> tuple[Act, ...]:
    """What the timeline did, in order; acts by hand and what follows the end left out."""
    acts = [
        Act(step.kind, step.at, step.template if step.kind in MESSAGES else None)
        for step in case.done
        if step.kind in _SEEN
        and step.result in _MADE
        and step.at <= ended_at + AFTER
        and step.template != "recovered"
        and (step.kind is not StepKind.RETRY or is_of_the_ladder(step.id))
    ]
    acts += [
        Act(StepKind.RETRY, step.at)
        for step in case.done
        if step.kind is StepKind.ANNOUNCE
        and step.result in _MADE
        and step.at <= ended_at + AFTER
        and is_of_the_ladder(step.id)
    ]
    return tuple(sorted(acts, key=lambda act: (act.at, _SEEN.index(act.kind))))


def is_of_the_ladder(key: str) -> bool:
    """Whether a step's key is a planned charge's."""
    return _OF_THE_LADDER.fullmatch(key.rpartition("/")[2]) is not None


def _tries(case: Case, ended_at: datetime) -> Iterable[Try]:
    """The charges made without the customer after the first failure, ours and the provider's."""
    said: Attempt | None = None
    for attempt in sorted(case.attempts, key=lambda one: (one.at, one.id)):
        if attempt.status not in _DECIDED or attempt.at > ended_at + AFTER:
            continue
        ours = attempt.key is not None and is_of_the_ladder(attempt.key)
        theirs = attempt.by is Actor.PROVIDER and attempt.key is None
        if said is not None and (ours or theirs) and case.failed_at and attempt.at > case.failed_at:
            good = attempt.status is AttemptStatus.SUCCEEDED
            yield Try(attempt.at, family_of(said.decline, said.method_type), good)
        if attempt.status is not AttemptStatus.SUCCEEDED:
            said = attempt
