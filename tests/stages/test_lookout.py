"""Looking ahead on real databases: any order of news, page by page, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from dunning.cases import CaseBook
from dunning.core.ahead import Outlook
from dunning.core.choosing import Subject
from dunning.core.events import (
    BillingEvent,
    CustomerReported,
    MethodChanged,
    MethodNews,
    RenewalUpcoming,
    SubscriptionReported,
)
from dunning.core.policy import Policy
from dunning.core.watching import watch_of
from dunning.core.words import Kind
from dunning.lookout import BATCH, Lookout
from dunning.store import CaseRow, EntryRow, LookAgainRow, LookoutRow, engine_for, transaction
from tests.core.ahead import policy
from tests.policies import STANDARD

NOW = datetime(2026, 4, 20, 10, tzinfo=UTC)
EXPIRY, RENEWAL = policy(Kind.CARD_EXPIRY, 30, 7), policy(Kind.RENEWAL, 30)
POLICIES = {"expiry": EXPIRY, "renewal": RENEWAL, "standard": STANDARD}
CHOICE = {Kind.CARD_EXPIRY: EXPIRY, Kind.RENEWAL: RENEWAL, Kind.RECOVERY: STANDARD}


class Shop:
    """A database with what is known of customers, and whoever looks ahead."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = engine_for(url)
        self.watch = watch_of(POLICIES)
        self.book = CaseBook(choose=self._choose, watches=lambda: True)
        self.lookout = Lookout(self.engine, self.book, lambda: self.watch, {"stripe": "stripe"})

    def _choose(self, subject: Subject) -> Policy | None:
        return CHOICE[subject.kind] if subject.intervals != ("month",) else EXPIRY

    def hears(self, *events: BillingEvent, at: datetime = NOW) -> None:
        with transaction(self.engine) as session:
            self.book.apply(session, "stripe", "stripe", events, at)

    def notices(self) -> list[tuple[str, str, str | None]]:
        with transaction(self.engine) as session:
            rows = session.exec(select(CaseRow).order_by(CaseRow.invoice)).all()
            return [(row.invoice, row.state, row.closed_reason) for row in rows]

    def count(self, table: type[EntryRow | LookAgainRow]) -> int:
        with transaction(self.engine) as session:
            return len(session.exec(select(table)).all())


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Shop]:
    shop = Shop(migrated_url)
    yield shop
    shop.engine.dispose()


def known(number: int = 1, term: str = "year", month: int = 5) -> list[BillingEvent]:
    """A customer who renews on the 2nd of May, and whose card ends with that month or another."""
    who, card = f"cus_{number}", f"pm_{number}"
    outlook = Outlook(
        renews_at=datetime(2026, 5, 2, 10, tzinfo=UTC) + timedelta(minutes=number),
        began_at=datetime(2025, 5, 2, 10, tzinfo=UTC),
        price=4900,
        currency="usd",
        term=term,
    )
    at = NOW - timedelta(days=9)
    return [
        CustomerReported(id=f"c{who}", at=at, customer=who, default_method=card, metadata=()),
        MethodChanged(
            id=f"m{who}", at=at, customer=who, news=MethodNews.NEW, method=card,
            method_type="card", last4="4242", exp_month=month, exp_year=2026,
        ),
        SubscriptionReported(
            id=f"s{who}", at=at, subscription=f"sub_{number}", customer=who, status="active",
            intervals=(term,), outlook=outlook,
        ),
    ]  # fmt: skip


def later(number: int = 1) -> list[BillingEvent]:
    """News of the next days: an announced bill, and an update by the card network."""
    who, card, at = f"cus_{number}", f"pm_{number}", NOW - timedelta(days=8)
    return [
        RenewalUpcoming(
            id=f"u{who}", at=at, customer=who, subscription=f"sub_{number}", amount=5100,
            currency="usd", due_at=None, period_end=datetime(2026, 5, 2, 10, 1, tzinfo=UTC),
        ),
        MethodChanged(
            id=f"n{who}", at=at, customer=who, news=MethodNews.NETWORK_UPDATED, method=card,
            method_type="card", last4="4242", exp_month=5, exp_year=2029,
        ),
    ]  # fmt: skip


def test_who_there_is_news_of_is_looked_at_once(shop: Shop) -> None:
    shop.hears(*known(month=5))
    assert shop.count(LookAgainRow) == 1
    assert shop.lookout.run(NOW) > 0
    renewal = ("renewal:sub_1:2025-05-02", "ahead", None)
    # The card's last day is the 31st of May, and the renewal of a year later comes after it.
    assert shop.notices() == [renewal]
    assert shop.count(LookAgainRow) == 0
    assert shop.lookout.run(NOW) == 0
    shop.lookout.run(NOW + timedelta(days=10))
    assert [name for name, _, _ in shop.notices()] == ["card_expiry:pm_1:2026-05", renewal[0]]
    assert shop.count(EntryRow) == 0


@pytest.mark.parametrize("seed", range(6))
def test_any_order_and_repetition_of_news_comes_to_the_same(shop: Shop, seed: int) -> None:
    chance = Random(seed)
    events = [*known(month=4), *later()]
    told = [*events, *chance.sample(events, 3)]
    chance.shuffle(told)
    for event in told:
        shop.hears(event)
        if chance.random() < 0.5:
            shop.lookout.run(NOW + timedelta(seconds=chance.randrange(60)))
    shop.lookout.run(NOW + timedelta(minutes=5))
    # Whether the card was ever told of hangs on when somebody looked; how it stands does not.
    standing = [(name, state) for name, state, _ in shop.notices() if state == "ahead"]
    assert standing == [("renewal:sub_1:2025-05-02", "ahead")]
    before = shop.notices()
    for event in events:
        shop.hears(event)
    shop.lookout.run(NOW + timedelta(minutes=6))
    assert shop.notices() == before
    with transaction(shop.engine) as session:
        row = session.exec(select(CaseRow).where(CaseRow.kind == "renewal")).one()
        assert '"amount":5100' in row.facts


def test_everybody_is_looked_at_page_by_page_once_a_day(shop: Shop) -> None:
    many = BATCH + 7
    shop.hears(*(event for n in range(1, many + 1) for event in known(n, month=4)))
    with transaction(shop.engine) as session:  # nobody was told of the news
        for row in session.exec(select(LookAgainRow)).all():
            session.delete(row)
    turns = 0
    while shop.lookout.tick(NOW):
        turns += 1
    assert turns >= 4  # two kinds, two pages each
    assert len(shop.notices()) == 2 * many
    with transaction(shop.engine) as session:
        place = session.get_one(LookoutRow, "stripe")
        assert (place.stage, place.began_at) == ("done", NOW)
    assert shop.lookout.tick(NOW + timedelta(hours=23)) == 0
    assert shop.lookout.follow(NOW + timedelta(hours=1)) == NOW + timedelta(days=1)
    shop.lookout.run(NOW + timedelta(days=1))
    assert len(shop.notices()) == 2 * many


def test_other_policies_are_looked_for_at_once(shop: Shop) -> None:
    shop.watch = watch_of({"expiry": EXPIRY})
    shop.hears(*known(month=4))
    shop.lookout.run(NOW)
    assert [name for name, _, _ in shop.notices()] == ["card_expiry:pm_1:2026-04"]
    shop.watch = watch_of(POLICIES)
    shop.lookout.run(NOW + timedelta(minutes=1))
    assert len(shop.notices()) == 2
    shop.watch = watch_of({})
    assert shop.lookout.tick(NOW + timedelta(days=3)) == 0
