"""Recurring revenue through the real door: booked once, in any order, proved, closed, reported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, select

from dunning import closing, ledger, statements
from dunning import recurring as book
from dunning.closing import Wish
from dunning.core.events import InvoiceNews
from dunning.proving import prove
from dunning.reports import Report, recurring, verify_all
from dunning.reports.scope import Scope
from dunning.store import RecurringRow, reading, transaction
from tests.reports.shop import NOW, Shop, Unpaid, on

FIGURES = ("at_risk_before", "failed", "saved", "lost", "withdrawn", "at_risk_after")


def report(shop: Shop, **asked: Any) -> Report:
    with shop.reading() as session:
        return recurring(session, NOW, Scope(**asked))


def figures(row: dict[str, Any]) -> tuple[int, ...]:
    found = tuple(row[name] for name in FIGURES)
    assert found[0] + found[1] == sum(found[2:])
    return found


def months(made: Report, currency: str = "usd") -> dict[str, tuple[int, ...]]:
    return {row["month"]: figures(row) for row in made.rows if row["currency"] == currency}


def standing(session: Session) -> list[Any]:
    rows = session.scalars(select(RecurringRow).where(*book.standing()))
    return sorted((r.base, r.debit, r.credit, r.amount, r.occurred_at) for r in rows)


def test_each_month_each_subscription_once(shop: Shop) -> None:
    paid = shop.failed(on(1, 5), monthly=1000)
    paid.charged(on(1, 8), "retry:1")
    paid.paid(on(1, 8))
    # Two invoices of one subscription: the first is given up, the second paid.
    first = shop.failed(on(1, 10), monthly=2000)
    second = shop.failed(on(2, 10), of=first)
    first.given_up(on(2, 20))
    second.paid(on(3, 2))
    # Given up, and its next invoice too; it is lost once.
    lost = shop.failed(on(1, 20), monthly=500)
    lost.given_up(on(2, 1))
    shop.failed(on(2, 15), of=lost).given_up(on(3, 1))
    # Nothing is heard of this one for all of February.
    shop.failed(on(1, 25), monthly=300).paid(on(3, 10))
    shop.failed(on(3, 3), 700, "jpy", monthly=700)
    shop.failed(on(3, 4))  # its price was never told
    made = report(shop)
    assert months(made) == {
        "2026-01": (0, 3800, 1000, 0, 0, 2800),
        "2026-02": (2800, 0, 0, 0, 0, 2800),
        "2026-03": (2800, 0, 2300, 500, 0, 0),
    }
    assert months(made, "jpy")["2026-06"] == (700, 0, 0, 0, 0, 700)
    # A part of it says the same, and the total is of the whole range.
    part = report(shop, since=on(2, 1).date(), until=on(3, 31).date(), currency="usd")
    assert months(part) == {name: of for name, of in months(made).items() if name > "2026-01"}
    (total,) = part.totals
    assert figures(total) == (2800, 0, 2300, 500, 0, 0)
    assert (total["subscriptions_saved"], total["subscriptions_lost"]) == (2, 1)
    # So does each month alone, whatever came after it.
    for month in (1, 2, 3):
        alone = report(shop, since=on(month, 1).date(), until=on(month, 28).date(), currency="usd")
        assert months(alone) == {
            name: of for name, of in months(made).items() if name == f"2026-0{month}"
        }
    by = report(shop, by=("mechanism", "policy"), currency="usd")
    saved = {row["mechanism"]: row["saved"] for row in by.rows if row["saved"]}
    assert saved["our_retry"] == 1000
    assert sum(saved.values()) == 3300
    assert report(shop, policy="nobody").rows == []
    with shop.reading() as session:
        proof = verify_all(session)
    assert proof.faults == []
    assert proof.recurring["usd"]["saved"] == 3300
    assert proof.recurring["jpy"]["at_risk"] == 700


ENDINGS: dict[str, Callable[[Unpaid, Any], None]] = {
    "paid": lambda unpaid, at: unpaid.paid(at),
    "given up": lambda unpaid, at: unpaid.given_up(at),
    "written off": lambda unpaid, at: unpaid.uncollectible(at),
    "voided": lambda unpaid, at: unpaid.voided(at),
    "closed": lambda unpaid, at: unpaid.closed_by_hand(at),
    "ended": lambda unpaid, at: unpaid.ended(at, "payment_failed"),
}
# Of each subscription its invoices: after how many hours it fails, and what comes then, and when.
INVOICE = st.tuples(
    st.integers(0, 60 * 24),
    st.lists(st.tuples(st.sampled_from(sorted(ENDINGS)), st.integers(1, 70 * 24)), max_size=2),
)
SUBSCRIPTIONS = st.lists(st.lists(INVOICE, min_size=1, max_size=4), min_size=1, max_size=4)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subscriptions=SUBSCRIPTIONS)
def test_a_month_alone_is_as_it_is_among_all(shop: Shop, subscriptions: list[Any]) -> None:
    """What is read of the past of a month is enough, and so is not to look beyond it."""
    with shop.trial() as session:
        for invoices in subscriptions:
            first = None
            for after, endings in invoices:
                began = on(1, 5) + timedelta(hours=after)
                first = unpaid = shop.failed(began, monthly=1000 + after, of=first)
                for name, hours in endings:
                    ENDINGS[name](unpaid, began + timedelta(hours=hours))
        for by in (("month",), ("month", "mechanism")):
            whole = recurring(session, NOW, Scope(by=by)).rows
            for month in range(1, 7):
                days = on(month, 1).date(), (on(month + 1, 1) - timedelta(days=1)).date()
                alone = recurring(session, NOW, Scope(by=by, since=days[0], until=days[1]))
                assert alone.rows == [row for row in whole if row["month"] == f"2026-0{month}"]


def test_events_in_any_order_book_the_same(shop: Shop) -> None:
    invoice = Unpaid(shop, "in_1", 4900, "usd", "stripe")
    other = Unpaid(shop, "in_2", 4900, "usd", "stripe", invoice)
    # Of an invoice nothing is kept here before its failure; of a subscription everything.
    of_invoice: list[Sequence[Callable[[], object]]] = [
        (
            lambda: invoice.shown(InvoiceNews.PAYMENT_FAILED, on(1, 5)),
            lambda: invoice.uncollectible(on(1, 9)),
            lambda: invoice.paid(on(1, 25)),
        ),
        (
            lambda: other.shown(InvoiceNews.PAYMENT_FAILED, on(1, 7)),
            lambda: other.paid(on(1, 30)),
            lambda: other.uncollectible(on(1, 20)),
        ),
    ]
    of_subscription: list[Callable[[], object]] = [
        lambda: invoice.priced(on(1, 1), 1000),
        lambda: invoice.priced(on(1, 4), 2000),
        lambda: invoice.priced(on(1, 6), 3000),
        lambda: invoice.ended(on(1, 28), "cancellation_requested"),
    ]
    chance = Random(7)
    outcomes = []
    for _ in range(20):
        happens = list(of_subscription)
        chance.shuffle(happens)
        for first, *others in of_invoice:
            chance.shuffle(others)
            place = 0
            for happen in (first, *others):
                place = chance.randint(place, len(happens))
                happens.insert(place, happen)
                place += 1
        with shop.trial() as session:
            for happen in happens:
                happen()
            session.flush()
            outcomes.append(standing(session))
            assert verify_all(session).faults == []
    assert all(outcome == outcomes[0] for outcome in outcomes)
    # The first was paid late while the subscription ran, the second after it had ended.
    assert [row[2:4] for row in outcomes[0] if "lost" in row[1]] == [("saved", 2000)]


def test_the_database_refuses_to_change_it_and_what_was_changed_is_found(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5), monthly=1000)
    assert prove(shop.engine, NOW).proof.holds
    unpaid.paid(on(1, 9))
    assert prove(shop.engine, NOW).proof.monthly_rows == 2
    insert = (
        "INSERT INTO recurring_entries (key, base, case_id, place, source, subscription, debit,"
        " credit, amount, currency, cause, how, occurred_at, recorded_at) SELECT key, base,"
        " case_id, {place}, source, subscription, debit, credit, amount, currency, cause, how,"
        " occurred_at, recorded_at FROM recurring_entries WHERE place = 1"
    )
    changes = (
        "UPDATE recurring_entries SET amount = 1",
        "DELETE FROM recurring_entries",
        insert.format(place=4),
        insert.format(place=2),
    )
    for change in changes:
        with pytest.raises(DBAPIError), transaction(shop.engine) as session:
            session.execute(text(change))
    with transaction(shop.engine) as session:
        session.execute(text(insert.format(place=3)))
    for full in (False, True):
        said = {wrong for _, wrong in prove(shop.engine, NOW, full=full).proof.faults}
        assert any("by its state" in wrong for wrong in said), said


def test_a_closed_month_seals_it_and_what_comes_late_is_the_next_one_s(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5), monthly=1000)
    told = closing.close(shop.engine, Wish(period="2026-01", by="ann"), NOW)
    unpaid.paid(on(1, 9))
    with reading(shop.engine) as session:
        closed, _ = statements.named(session, "2026-01")
        rows = list(statements.entries_of(session, closed, recurring=True))
        lines = b"".join(map(statements.line_of, rows))
        assert told.content["recurring"]["entries_digest"] == hashlib.sha256(lines).hexdigest()
        assert [(row["credit"], row["closed_period"]) for row in rows] == [("at_risk", None)]
        late = list(ledger.export(session, recurring=True))[-1]
    assert (late["credit"], late["closed_period"]) == ("saved", "2026-01")
    told = closing.close(shop.engine, Wish(period="2026-02", by="ann"), NOW)
    (saved,) = told.content["recurring"]["transfers"]["usd"]
    assert (saved["credit"], saved["amount"]) == ("saved", 1000)
    assert prove(shop.engine, NOW, full=True).proof.faults == []
