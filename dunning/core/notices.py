"""Cases that only tell of what lies ahead: how looks merge, what they count from, how they end.

No money is at risk in them: they have no entries, no charges and no steps that take access.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dunning.core.ahead import Ahead, NoticeReported
from dunning.core.calendar import zone_of
from dunning.core.events import Exempted, StepKind
from dunning.core.facts import Case
from dunning.core.merge import earliest, with_words
from dunning.core.policy import Policy
from dunning.core.steps import Step
from dunning.core.words import Kind, Over

# A case begins so long before its first line, so that a daily look is never too late for it.
BEGINS_AHEAD = timedelta(days=2)
# So long after a renewal the provider is asked how it went: its calendar has moved on by then.
SETTLES = timedelta(hours=6)


def with_notice(case: Case, event: NoticeReported) -> Case:
    """Take one look in: the last one holds, and of two of one moment the one that ended it."""
    told = with_words(
        case, event.at, event.id, customer=event.customer, subscription=event.subscription
    )
    known = case.notice
    return replace(
        told,
        currency="",  # nothing is owed in any; the amount that is told has its own
        notice=event if known is None else max(known, event, key=_order),
        noticed_at=earliest(case.noticed_at, event.at),
    )


def _order(told: NoticeReported) -> tuple[datetime, bool, str, str]:
    return (told.at, told.over is not None, told.id, repr(told))


def kind_of(case: Case) -> Kind:
    """What the case is about."""
    return case.notice.kind if case.notice is not None else Kind.RECOVERY


# --- the moment it counts to -----------------------------------------------------------------


@lru_cache(maxsize=4_096)
def expires_at(year: int, month: int, zone: ZoneInfo) -> datetime:
    """The end of the last day on which a card is good: midnight where the customer lives."""
    first = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=zone)
    return first.astimezone(UTC)


def moment_of_ahead(kind: Kind, ahead: Ahead, zone: ZoneInfo) -> datetime:
    """What the lines of a notice are placed before: the card's last day, or the renewal."""
    if kind is Kind.CARD_EXPIRY and ahead.exp_year and ahead.exp_month:
        return expires_at(ahead.exp_year, ahead.exp_month, zone)
    return ahead.renews_at


def moment(case: Case, otherwise: str = "UTC") -> datetime:
    """The same of a case; `otherwise` is the zone of customers of whom none is known."""
    assert case.notice is not None
    zone = zone_of(case.word("timezone"), case.word("country"), otherwise)
    return moment_of_ahead(case.notice.kind, case.notice.ahead, zone)


def longest_lead(policy: Policy) -> timedelta:
    """How long before the moment the first line of a notice policy stands."""
    return max((rung.before for rung in policy.timeline if rung.before), default=timedelta(0))


def begins_by(case: Case, policy: Policy, now: datetime) -> bool:
    """Whether it is time for the case to begin: neither too soon, nor when all has passed."""
    at = moment(case, policy.timezone)
    return now < at <= now + longest_lead(policy) + BEGINS_AHEAD


def term_space(case: Case) -> str:
    """What the names of lines begin with: who was told of one date hears of another one too.

    A card's expiry is a part of the case's own name; a renewal may be moved.
    """
    told = case.notice
    if told is None or told.kind is not Kind.RENEWAL:
        return ""
    return f"{told.ahead.renews_at:%Y%m%d}."


# --- how it ends -----------------------------------------------------------------------------


def ending(case: Case) -> tuple[Over, datetime] | None:
    """Why and when it came to an end, if it did."""
    told = case.notice
    assert told is not None
    by_hand = case.closed_by_hand
    if by_hand is not None:
        return Over.BY_HAND, by_hand.at
    if told.over is not None:
        return told.over, told.at
    said = case.exemption
    if isinstance(said, Exempted) and (said.until is None or said.until >= moment(case)):
        return Over.EXEMPT, said.at
    if case.customer_deleted_at is not None:
        return Over.CANCELLED, case.customer_deleted_at
    end = case.end
    if end is not None and end.at < told.ahead.renews_at:
        return Over.CANCELLED, end.at
    return None


def settles(kind: Kind) -> timedelta:
    """How long after its moment a notice is looked at for the last time."""
    return SETTLES if kind is Kind.RENEWAL else timedelta(0)


END_STEP = "reconcile:passed"


def last_look(case: Case, policy: Policy) -> Step:
    """Once the moment has come the provider is asked what became of it, and the case ends."""
    return Step(
        key=f"{case.id}/{END_STEP}",
        kind=StepKind.RECONCILE,
        due_at=moment(case, policy.timezone) + settles(kind_of(case)),
        order=1_000_000_000,
        why="the moment has come: ask the provider how it went",
    )


def in_time(case: Case, policy: Policy, steps: Iterable[Step], now: datetime) -> list[Step]:
    """Mark the lines that tell nothing: those that come too late, or of a term not yet begun."""
    told = case.notice
    assert told is not None
    at = moment(case, policy.timezone)

    def why_not(step: Step) -> str | None:
        if step.rung is None or step.rung.before is None:
            return None
        if max(step.due_at, now) >= at:
            return "the moment it tells of has come"
        began = told.ahead.began_at
        if told.kind is Kind.RENEWAL and began is not None and at - step.rung.before < began:
            return "its moment lies before the present term began: the term is too short for it"
        return None

    return [
        step._replace(skip=why) if step.skip is None and (why := why_not(step)) else step
        for step in steps
    ]
