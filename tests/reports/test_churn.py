"""Churn: who was there, who left, and of whose will."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dunning.core.events import SubscriptionReported
from dunning.reports import Report, churn
from dunning.reports.scope import Scope
from tests.reports.shop import NOW, Shop, on

BEFORE = datetime.fromisoformat("2025-06-01T00:00:00+00:00")


def subscribed(
    shop: Shop,
    name: str,
    *,
    customer: str | None = None,
    since: datetime | None = BEFORE,
    ended: datetime | None = None,
    why: str | None = None,
    recurring: int | None = 1000,
    currency: str | None = "usd",
    ours: bool = False,
) -> None:
    """A subscription as its provider tells of it."""
    shop.tell(
        "stripe",
        SubscriptionReported(
            id=f"evt_{name}",
            at=ended or since or BEFORE,
            subscription=name,
            customer=customer or f"cus_{name}",
            status="canceled" if ended else "active",
            started_at=since,
            ended_at=ended,
            end_reason=why,
            ended_by_us=ours,
            recurring=recurring,
            currency=currency,
        ),
    )


def told(shop: Shop, **asked: Any) -> Report:
    with shop.reading() as session:
        return churn(session, NOW, Scope(**asked))


def year(shop: Shop, **asked: Any) -> Report:
    return told(shop, since=on(1, 1).date(), until=on(3, 31).date(), **asked)


def fill(shop: Shop) -> None:
    for number in range(6):
        subscribed(shop, f"sub_{number}")
    subscribed(shop, "sub_ours", ended=on(1, 10), ours=True, recurring=2000)
    subscribed(shop, "sub_left", ended=on(1, 20), why="cancellation_requested")
    # A second one of somebody who stays.
    subscribed(shop, "sub_second", customer="cus_sub_0", ended=on(2, 5), why="payment_failed")
    # Began and ended within a month.
    subscribed(shop, "sub_short", since=on(2, 2), ended=on(2, 20), why="cancellation_requested")
    subscribed(shop, "sub_euro", currency="eur")


def row(report: Report, **keys: Any) -> dict[str, Any]:
    [found] = [one for one in report.rows if all(one[key] == keys[key] for key in keys)]
    return found


def test_what_was_there_and_what_was_lost(shop: Shop) -> None:
    fill(shop)
    january = row(year(shop), month="2026-01", currency="usd")
    assert january["customers_at_start"] == 8
    assert january["subscriptions_at_start"] == 9
    assert january["recurring_at_start"] == 10_000
    assert (january["customers_lost"], january["subscriptions_lost"]) == (2, 2)
    assert january["recurring_lost"] == 3000
    assert january["customer_churn"] == 0.25
    assert january["subscription_churn"] == round(2 / 9, 6)
    assert january["recurring_churn"] == 0.3


def test_who_keeps_another_subscription_is_no_customer_lost(shop: Shop) -> None:
    fill(shop)
    february = row(year(shop), month="2026-02", currency="usd")
    assert (february["subscriptions_lost"], february["customers_lost"]) == (2, 1)
    # What began in the month was not there at its start.
    assert february["subscriptions_lost_of_start"] == 1
    assert february["customers_lost_of_start"] == 0
    assert february["customer_churn"] == 0.0


def test_a_quiet_month_and_another_currency_are_told(shop: Shop) -> None:
    fill(shop)
    report = year(shop)
    assert row(report, month="2026-03", currency="usd")["subscriptions_lost"] == 0
    assert row(report, month="2026-01", currency="eur")["customers_at_start"] == 1
    assert "ended before this program" in report.definitions["cannot_be_known"]


def test_involuntary_and_voluntary_apart(shop: Shop) -> None:
    fill(shop)
    in_dunning = shop.failed(on(1, 3))
    in_dunning.ended(on(1, 12), "cancellation_requested")
    silent = shop.failed(on(1, 4))
    shop.tell(
        "stripe",
        SubscriptionReported(
            id="evt_silent",
            at=on(1, 14),
            subscription=f"sub_{silent.invoice}",
            customer=f"cus_{silent.invoice}",
            status="canceled",
            ended_at=on(1, 14),
        ),
    )
    subscribed(shop, "sub_strange", ended=on(1, 15))
    report = year(shop, by=("month", "kind"))
    lost = {one["kind"]: 0 for one in report.rows}
    for one in report.rows:
        if one["month"] == "2026-01":
            lost[one["kind"]] += one["subscriptions_lost"]
    assert lost == {"involuntary": 2, "voluntary": 1, "voluntary_in_dunning": 1, "unknown": 1}


def test_the_parts_add_up_to_the_totals(shop: Shop) -> None:
    fill(shop)
    for by in (("month",), ("month", "kind"), ("kind",), ("week",), ("source", "quarter"), ()):
        report = year(shop, by=by)
        for total in report.totals:
            rows = [one for one in report.rows if one["currency"] == total["currency"]]
            for name in ("customers_lost", "subscriptions_lost", "recurring_lost"):
                assert sum(one[name] or 0 for one in rows) == (total[name] or 0), (by, name)


def test_a_start_that_was_never_told_is_before_everything(shop: Shop) -> None:
    subscribed(shop, "sub_old", since=None, ended=on(2, 3), why="payment_failed", recurring=None)
    [february] = [one for one in told(shop).rows if one["month"] == "2026-02"]
    assert february["subscriptions_at_start"] == 1
    assert (february["recurring_lost"], february["recurring_churn"]) == (0, None)


def test_a_subscription_without_a_price_has_no_currency_and_no_amount(shop: Shop) -> None:
    subscribed(shop, "sub_metered", ended=on(2, 3), recurring=None, currency=None)
    [february] = [one for one in told(shop).rows if one["month"] == "2026-02"]
    assert (february["currency"], february["customers_lost"]) == (None, 1)
    assert february["recurring_lost"] is february["recurring_churn"] is None
