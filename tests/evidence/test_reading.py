"""What is read of the database: which cases can be walked again, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from dunning.core.choosing import Subject
from dunning.core.policy import Policy, Retries
from dunning.evidence import History, read, simulate
from dunning.evidence.records import Outcome, Record
from dunning.evidence.telling import as_json, judge
from tests.policies import STANDARD, rung
from tests.reports.shop import NOW, Shop, on


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Shop]:
    """An empty shop on each database."""
    shop = Shop(migrated_url)
    yield shop
    shop.engine.dispose()


def history_of(shop: Shop, policy: Policy = STANDARD, walked_by: str | None = None) -> History:
    def choose(_: Subject) -> Policy:
        return policy

    with shop.reading() as session:
        return read(session, NOW, choose, policy=walked_by)


def only(history: History) -> Record:
    (record,) = history.records
    return record


def test_a_recovery_by_a_charge_of_ours(shop: Shop) -> None:
    unpaid = shop.failed(on(3, 1), 4900)
    unpaid.written_to(on(3, 1, 13))
    unpaid.charged(on(3, 2), "retry:1")
    unpaid.paid(on(3, 2))
    record = only(history_of(shop))
    assert record.outcome is Outcome.RECOVERED
    assert (record.start.amount, record.paid, record.ended_at) == (4900, 4900, on(3, 2))
    assert [act.kind.value for act in record.acts] == ["email"]
    assert [(one.good, one.family) for one in record.tries] == [(True, "wait")]
    assert (record.reacted, record.natural, record.late) == (False, False, False)


def test_a_recovery_by_the_customer_before_and_after_we_wrote(shop: Shop) -> None:
    shop.failed(on(3, 1)).paid(on(3, 2))
    record = only(history_of(shop))
    assert (record.natural, record.reacted) == (True, True)
    unpaid = shop.failed(on(3, 2))
    unpaid.written_to(on(3, 2, 13))
    unpaid.paid(on(3, 3))
    (later,) = (one for one in history_of(shop).records if one.acts)
    assert (later.natural, later.reacted) == (False, True)


def test_what_came_after_giving_up_is_late(shop: Shop) -> None:
    unpaid = shop.failed(on(3, 1))
    unpaid.suspended(on(3, 15))
    unpaid.given_up(on(3, 29))
    unpaid.paid(on(4, 20))
    record = only(history_of(shop))
    assert (record.outcome, record.late, record.paid) == (Outcome.LOST, True, 0)
    assert record.suspended_at == on(3, 15)


def test_what_is_told_apart(shop: Shop) -> None:
    shop.failed(on(6, 20)).paid(on(6, 21))  # young
    shop.failed(on(3, 1))  # still open
    shop.failed(on(3, 1)).voided(on(3, 4))
    history = history_of(shop)
    assert dict(history.apart) == {"young": 1, "open": 1}
    assert only(history).outcome is Outcome.CLOSED
    longer = replace(STANDARD, window=timedelta(days=200))
    assert history_of(shop, longer).apart["young"] == 3
    theirs = replace(STANDARD, retries=Retries.PROVIDER)
    assert history_of(shop, theirs).apart["provider"] == 1


def test_filters(shop: Shop) -> None:
    shop.failed(on(3, 1), 4900).voided(on(3, 2))
    shop.failed(on(3, 1), 90_000).voided(on(3, 2))
    assert only(history_of(shop, walked_by="patient")).start.amount == 90_000


def test_too_little_says_how_much_is_missing_and_no_number(shop: Shop) -> None:
    shop.failed(on(3, 1)).paid(on(3, 2))
    other = replace(STANDARD, timeline=(rung("retry", 2), rung("give_up", 28)))
    history = history_of(shop, other)
    made = simulate(history.records, lambda _: other, seed=7)
    assert judge(made, 1).silent == {
        "usd": "not enough data yet: needs about 29 more cases whose window has closed"
    }
    told = as_json(made, history, "new.yaml", {}, [other])
    assert {row["estimate"] for row in told["rows"]} == {None}
    rows = {row["figure"]: row for row in told["rows"]}
    assert rows["recovered"]["really"] == 4900
    assert rows["charges"]["at_most"] == 1
    assert rows["charges"]["at_most_kind"] == "exact, if nobody paid"
