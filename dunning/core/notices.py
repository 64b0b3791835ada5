"""Cases that only tell of what lies ahead: how looks merge, what they count from, how they end.

No money is at risk in them: they have no entries, no charges and no steps that take access.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


_MONTHS: Mapping[str, int] = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
_SPANS: Mapping[str, timedelta] = {"day": timedelta(days=1), "week": timedelta(weeks=1)}
_MONTH = timedelta(days=31)


def term_of(term: str | None) -> tuple[int, timedelta]:
    """`quarter` or `2 weeks` as so many months, or else so long; neither where it is unknown."""
    number, _, unit = (term or "").rpartition(" ")
    times, unit = (int(number), unit.removesuffix("s")) if number.isdecimal() else (1, unit)
    return _MONTHS.get(unit, 0) * times, _SPANS.get(unit, timedelta(0)) * times


def _is_too_short(told: Ahead, lead: timedelta) -> bool:
    """Whether so long before the renewal the term had not begun, as it never has.

    A term that began late because the renewal was moved is told of: another date was said before.
    """
    if told.began_at is None or told.renews_at - lead >= told.began_at:
        return False
    months, span = term_of(told.term)
    usual = months * _MONTH + span
    return told.first or not usual or usual <= lead + timedelta(days=1)


# --- how it ends -----------------------------------------------------------------------------


def ending(case: Case) -> tuple[Over, datetime] | None:
    """Why and when it came to an end, if it did: what came first decides."""
    return min(_endings(case), key=lambda ended: (ended[1], ended[0]), default=None)


def _endings(case: Case) -> Iterator[tuple[Over, datetime]]:
    told = case.notice
    assert told is not None
    if told.over is not None:
        yield told.over, told.at
    if case.closed_by_hand is not None:
        yield Over.BY_HAND, case.closed_by_hand.at
    said = case.exemption
    if isinstance(said, Exempted) and (said.until is None or said.until >= moment(case)):
        yield Over.EXEMPT, said.at
    if case.customer_deleted_at is not None:
        yield Over.CANCELLED, case.customer_deleted_at
    if case.end is not None and case.end.at < told.ahead.renews_at:
        yield Over.CANCELLED, case.end.at


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
        if told.kind is Kind.RENEWAL and _is_too_short(told.ahead, step.rung.before):
            return "its moment lies before the present term began: the term is too short for it"
        return None

    return [
        step._replace(skip=why) if step.skip is None and (why := why_not(step)) else step
        for step in steps
    ]
