"""Customers with something ahead of them, and the cases and policies of their notices."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dunning.core.ahead import Ahead, Outlook
from dunning.core.case import advance, new_case
from dunning.core.facts import Case
from dunning.core.outlook import Billed, Card, Person, lies_ahead, news
from dunning.core.policy import Policy
from dunning.core.words import Kind
from tests.policies import rung

NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)
DAY = timedelta(days=1)
MONTHLY = Outlook(
    renews_at=datetime(2026, 4, 2, 10, tzinfo=UTC),
    began_at=NOW,
    started_at=datetime(2025, 3, 2, 10, tzinfo=UTC),
    price=4900,
    currency="usd",
    term="month",
    anchor_day=2,
)
YEARLY = replace(
    MONTHLY,
    renews_at=datetime(2027, 3, 2, 10, tzinfo=UTC),
    began_at=NOW,
    term="year",
)
VISA = Card(id="pm_1", type="card", network="visa", last4="4242", exp_month=4, exp_year=2026)
LASTING = Card(id="pm_2", type="card", last4="4444", exp_month=12, exp_year=2034)


def policy(kind: Kind, *leads: float, **more: Any) -> Policy:
    lines = (
        rung("email", before=timedelta(days=lead), template=f"told_{lead:g}", **more)
        for lead in leads
    )
    zero = timedelta(0)
    return Policy(name="told", kind=kind, grace=zero, window=zero, timeline=tuple(lines))


EXPIRY, RENEWAL = policy(Kind.CARD_EXPIRY, 30, 7), policy(Kind.RENEWAL, 30)


def sub(outlook: Outlook = MONTHLY, **other: Any) -> Billed:
    return Billed(**{"id": "sub_1", "status": "active", "outlook": outlook, **other})


def person(*billed: Billed, cards: tuple[Card, ...] = (VISA,), **other: Any) -> Person:
    known = {"id": "cus_1", "default": "pm_1", "cards": cards, "billed": billed}
    return Person(**{**known, **other})


def expiring(who: Person, now: datetime = NOW) -> Ahead | None:
    found = [told.ahead for told in lies_ahead(who, now).values() if told.kind is Kind.CARD_EXPIRY]
    assert len(found) <= 1
    return found[0] if found else None


def noticed(who: Person, kind: Kind = Kind.CARD_EXPIRY, at: datetime = NOW) -> Case:
    """The case that a look at this person begins."""
    (told,) = (one for one in news(who, {}, at) if one.kind is kind)
    return advance(new_case("stripe", "stripe", told.invoice), told)
