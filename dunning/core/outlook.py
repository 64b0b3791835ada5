"""What lies ahead of one customer: which card will be charged for which renewal, and when.

Pure, from what is known of their subscriptions and cards. A passed expiry is no proof that a card
will fail, since issuers renew cards under the same number; so it is told of ahead, and that is all.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from dunning.core.ahead import Ahead, NoticeReported, Outlook
from dunning.core.calendar import zone_of
from dunning.core.notices import SETTLES, expires_at, moment_of_ahead, term_of
from dunning.core.words import Kind, Over

# Subscriptions in these states are billed at the end of their term.
LIVE = frozenset(("active", "trialing", "past_due"))
CARD = "card"
_SAME = timedelta(days=1)  # a bill is made within the hours around the end of its term
_FURTHEST = 1200  # terms that are counted on


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A way to pay as last heard of."""

    id: str
    type: str | None = None
    network: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """A subscription as last heard of; `upcoming` is what the provider said of its next bill."""

    id: str
    status: str
    outlook: Outlook
    ended: bool = False
    upcoming: tuple[datetime, int, str] | None = None  # for the term that ends then: how much


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer with all that is known of what they pay, and with what."""

    id: str
    timezone: str | None = None
    country: str | None = None
    default: str | None = None
    deleted: bool = False
    cards: tuple[Card, ...] = ()
    billed: tuple[Billed, ...] = ()

    def card_for(self, one: Billed) -> Card | None:
        """What will really be charged: its own, else the customer's default, else their only one.

        A default that nobody has shown us is not guessed at.
        """
        named = one.outlook.method or self.default
        known = [card for card in self.cards if not card.gone]
        if named is not None:
            return next((card for card in known if card.id == named), None)
        return known[0] if len(known) == 1 else None


@dataclass(frozen=True, slots=True)
class Told:
    """A notice by its name."""

    kind: Kind
    ahead: Ahead


def lies_ahead(person: Person, now: datetime) -> dict[str, Told]:
    """Every notice there is to give, by its name, however far ahead."""
    found: dict[str, Told] = {}
    if person.deleted:
        return found
    for one in person.billed:
        if (renews := _renewal(person, one)) is not None and now < renews.renews_at + SETTLES:
            found[_of_renewal(renews)] = Told(Kind.RENEWAL, renews)
    for name, ahead in _expiring(person):
        told = Told(Kind.CARD_EXPIRY, ahead)
        if _moment(person, told) <= now:
            continue
        known = found.get(name)
        if known is None or _sooner(ahead, known.ahead):
            found[name] = told
    return found


def why_over(report: NoticeReported, person: Person, now: datetime) -> Over:
    """Why what was told of does not lie ahead any more."""
    told = report.ahead
    if _moment(person, Told(report.kind, told)) <= now and report.kind is Kind.CARD_EXPIRY:
        return Over.PASSED
    one = next((each for each in person.billed if each.id == told.subscription), None)
    if report.kind is Kind.RENEWAL:
        return _why_not_renewed(told, one, person, now)
    if person.deleted or not any(_renews_after(person, each, told) for each in person.billed):
        return _why_not_billed(one)
    card = next((each for each in person.cards if each.id == told.method), None)
    charged = [found for each in person.billed if (found := person.card_for(each))]
    if card is not None and any(found.id == card.id for found in charged):
        return Over.UPDATED
    return Over.NEW_CARD if charged else Over.REMOVED


def _why_not_renewed(told: Ahead, one: Billed | None, person: Person, now: datetime) -> Over:
    if one is None or person.deleted or one.ended:
        return Over.CANCELLED
    began, before = one.outlook.began_at, told.began_at
    if began is not None and (before is None or began > before):
        # A renewal comes at its moment; a term that began earlier took its place.
        return Over.RENEWED if began >= told.renews_at - timedelta(days=1) else Over.MOVED
    if told.renews_at + SETTLES <= now:
        return Over.PASSED
    return _why_not_billed(one)


def _why_not_billed(one: Billed | None) -> Over:
    paused = one is not None and not one.ended and one.outlook.paused
    return Over.PAUSED if paused else Over.CANCELLED


# --- renewals --------------------------------------------------------------------------------


def _renewal(person: Person, one: Billed) -> Ahead | None:
    """The end of the present term, if a bill for the next one comes with it."""
    outlook = one.outlook
    if not _is_billed(one) or outlook.renews_at is None:
        return None
    return _ahead(person, one, outlook.renews_at, person.card_for(one))


def _is_billed(one: Billed) -> bool:
    return one.status in LIVE and not one.ended and not one.outlook.paused


def _ahead(person: Person, one: Billed, renews_at: datetime, card: Card | None) -> Ahead | None:
    outlook = one.outlook
    if outlook.cancels_at is not None and outlook.cancels_at <= renews_at:
        return None
    exact = renews_at == outlook.renews_at
    amount, currency = _amount(one, renews_at)
    return Ahead(
        customer=person.id,
        subscription=one.id,
        renews_at=renews_at,
        exact=exact,
        began_at=outlook.began_at if exact else None,
        first=exact and _is_first(outlook),
        amount=amount,
        currency=currency,
        term=outlook.term,
        method=card.id if card else None,
        method_type=card.type if card else None,
        network=card.network if card else None,
        last4=card.last4 if card else None,
        exp_month=card.exp_month if card else None,
        exp_year=card.exp_year if card else None,
    )


def _is_first(outlook: Outlook) -> bool:
    began, started = outlook.began_at, outlook.started_at
    return began is not None and started is not None and began - started < _SAME


def _amount(one: Billed, renews_at: datetime) -> tuple[int | None, str]:
    """What the provider said of this very bill, else the price where it cannot be another."""
    if one.upcoming is not None and abs(one.upcoming[0] - renews_at) < _SAME:
        return one.upcoming[1], one.upcoming[2]
    outlook = one.outlook
    known = outlook.price is not None and outlook.currency
    return (outlook.price, outlook.currency or "") if known else (None, "")


def _of_renewal(ahead: Ahead) -> str:
    """One name for one term, wherever its end is moved to."""
    term = ahead.began_at or ahead.renews_at
    return f"renewal:{ahead.subscription}:{term:%Y-%m-%d}"


def renewal_from(outlook: Outlook, moment: datetime) -> datetime | None:
    """The first renewal at or after a moment, as far as it can be reckoned."""
    first = outlook.renews_at
    if first is None or first >= moment:
        return first
    months, span = term_of(outlook.term)
    if span:
        return first + span * -((first - moment) // span)
    if not months:
        return None
    turns = (_month_of(moment) - _month_of(first)) // months
    for count in (max(turns - 1, 1), max(turns, 1), turns + 1, turns + 2):
        found = _months_on(first, count * months, outlook.anchor_day)
        if found >= moment and count <= _FURTHEST:
            return found
    return None


def _month_of(moment: datetime) -> int:
    return moment.year * 12 + moment.month


def _months_on(moment: datetime, months: int, anchor_day: int | None) -> datetime:
    shown = moment.astimezone(UTC)
    years, month = divmod(shown.month - 1 + months, 12)
    year = shown.year + years
    last = calendar.monthrange(year, month + 1)[1]
    day = date(year, month + 1, min(anchor_day or shown.day, last))
    return datetime.combine(day, shown.timetz())


# --- cards -----------------------------------------------------------------------------------


def _expiring(person: Person) -> Iterator[tuple[str, Ahead]]:
    """The cards that will be charged for a renewal after their last day, one for each renewal."""
    for one in person.billed:
        card = person.card_for(one)
        if card is None or card.type not in (CARD, None) or not one.outlook.automatic:
            continue
        if not card.exp_year or not card.exp_month or not _is_billed(one):
            continue
        zone = zone_of(person.timezone, person.country, "UTC")
        renews_at = renewal_from(one.outlook, expires_at(card.exp_year, card.exp_month, zone))
        ahead = _ahead(person, one, renews_at, card) if renews_at is not None else None
        if ahead is not None:
            yield f"card_expiry:{card.id}:{card.exp_year}-{card.exp_month:02}", ahead


def _renews_after(person: Person, one: Billed, told: Ahead) -> bool:
    """Whether a renewal comes after the card's last day, whatever it will be charged to."""
    after = _moment(person, Told(Kind.CARD_EXPIRY, told))
    renews_at = renewal_from(one.outlook, after) if _is_billed(one) else None
    return renews_at is not None and _ahead(person, one, renews_at, None) is not None


def _sooner(one: Ahead, other: Ahead) -> bool:
    return (one.renews_at, one.subscription) < (other.renews_at, other.subscription)


def _moment(person: Person, told: Told) -> datetime:
    zone = zone_of(person.timezone, person.country, "UTC")
    return moment_of_ahead(told.kind, told.ahead, zone)


# --- one look --------------------------------------------------------------------------------


def news(
    person: Person, known: Mapping[str, NoticeReported], now: datetime
) -> Iterator[NoticeReported]:
    """What one look says: what lies ahead where it is new or other, and what does not any more."""
    found = lies_ahead(person, now)
    for name, told in found.items():
        before = known.get(name)
        if before is None or before.over is not None or before.ahead != told.ahead:
            yield _report(name, told.kind, told.ahead, _after(before, now))
    for name, before in known.items():
        if name not in found and before.over is None:
            over = why_over(before, person, now)
            yield _report(name, before.kind, before.ahead, _after(before, now), over)


def _after(before: NoticeReported | None, now: datetime) -> datetime:
    """Our clock may be behind that of whoever looked last: this look is newer all the same."""
    return now if before is None else max(now, before.at + timedelta(microseconds=1))


def _report(
    name: str, kind: Kind, ahead: Ahead, now: datetime, over: Over | None = None
) -> NoticeReported:
    return NoticeReported(
        id=f"look:{name}:{now:%Y%m%dT%H%M%S.%f}",
        at=now,
        invoice=name,
        kind=kind,
        ahead=ahead,
        over=over,
    )
