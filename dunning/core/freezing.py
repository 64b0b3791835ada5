"""What stops the clock of a case: people, disputes, payments under way."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dunning.core.events import Attempt, AttemptStatus, DisputeStatus, Exempted, Held
from dunning.core.facts import Case
from dunning.core.merge import last_words
from dunning.core.money import Money
from dunning.core.promises import running


class Stop(enum.StrEnum):
    """What a case stands still for."""

    EXEMPT = "exempt"
    HOLD = "hold"
    PROMISE = "promise"
    DISPUTE = "dispute"
    IN_PROCESS = "in_process"

    @property
    def by_people(self) -> bool:
        """Whether only people let the case go on: asking the provider would tell nothing."""
        return self in (Stop.EXEMPT, Stop.HOLD, Stop.PROMISE)


@dataclass(frozen=True, slots=True)
class Freeze:
    """The timeline stands still, until `until` or until something happens (None)."""

    why: str
    until: datetime | None
    since: datetime
    stop: Stop


_PROCESSING = AttemptStatus.PROCESSING
_EVER = datetime.max.replace(tzinfo=UTC)


def freeze(case: Case, now: datetime) -> Freeze | None:
    """A dispute, a bank debit under way, or a person's word stops every step.

    Of several words of people the one that lasts longest is told.
    """
    if case.exemption or case.hold or case.promises:
        said = max(_by_people(case, now), key=lambda one: one.until or _EVER, default=None)
        if said is not None:
            return said
    for dispute in last_words(case.disputes):
        if dispute.status is DisputeStatus.OPEN:
            why = "a charge of this invoice is disputed"
            return Freeze(why, None, dispute.opened_at, Stop.DISPUTE)
    for attempt in case.attempts:
        if attempt.status is _PROCESSING and not _settled(case, attempt):
            return Freeze("a payment is in process", None, attempt.at, Stop.IN_PROCESS)
    return None


def exempt(case: Case, now: datetime) -> Freeze | None:
    """Whether the customer is taken out of dunning."""
    said = case.exemption
    if isinstance(said, Exempted) and (said.until is None or said.until > now):
        return Freeze(f"the customer is exempt: {said.why}", said.until, said.at, Stop.EXEMPT)
    return None


def _by_people(case: Case, now: datetime) -> Iterator[Freeze]:
    if (said := exempt(case, now)) is not None:
        yield said
    held = case.hold
    if isinstance(held, Held) and (held.until is None or held.until > now):
        yield Freeze(f"on hold: {held.why}", held.until, held.at, Stop.HOLD)
    promise = running(case, now)
    if promise is not None:
        part = f" {Money(promise.amount, case.currency)}" if promise.amount is not None else ""
        why = f"the customer promised to pay{part}: {promise.why}"
        yield Freeze(why, promise.until, promise.at, Stop.PROMISE)


# A try may be heard of before its charge exists: by its payment intent, or by our own key.
_SAME_TRY = timedelta(minutes=5)


def _settled(case: Case, waiting: Attempt) -> bool:
    """Whether a try known without its charge has ended since, under the charge's own name."""
    if waiting.charge is not None:
        return False
    names = {waiting.payment_intent, waiting.key} - {None}
    return any(payment.id in names for payment in case.payments) or any(
        not names.isdisjoint((other.payment_intent, other.key))
        and other.status is not AttemptStatus.PROCESSING
        and other.at >= waiting.at - _SAME_TRY
        for other in case.attempts
    )
