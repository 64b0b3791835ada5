"""How long it took, at which hours, what grace cost and what was kept: by hand, and adding up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from dunning.core.heard import pairs_to
from dunning.core.money import Money
from dunning.core.worth import Term, Value
from dunning.errors import RefusedError
from dunning.reports import (
    Report,
    grace,
    hours,
    recovered,
    timing,
    to_csv,
    to_html,
    to_json,
    to_xlsx,
)
from dunning.reports import value as kept
from dunning.reports.grace import BY as GRACE_BY
from dunning.reports.hours import BY as HOURS_BY
from dunning.reports.hours import Clock, step_of_key
from dunning.reports.intervals import Counted, wilson
from dunning.reports.scope import Scope
from dunning.reports.timing import BY as TIMING_BY
from dunning.reports.value import BY as VALUE_BY
from dunning.store import AttemptRow, CaseRow, CustomerRow, StepRow, SubscriptionRow
from tests.happenings import adopted
from tests.reports.shop import NOW, Shop, Unpaid, money, on
from tests.reports.test_breakdowns import LEDGERS, live

THREE_YEARS = Value(
    expected_years=Term(given=Fraction(3)),
    acquisition_cost=Term(given=Money(12_000, "usd")),
)


def add(shop: Shop, *rows: Any) -> None:
    with shop.writing() as session:
        for row in rows:
            session.merge(row)
        session.flush()


def subscription(unpaid: Unpaid, **told: Any) -> SubscriptionRow:
    given: dict[str, Any] = {"currency": unpaid.currency, "as_of": on(1, 1)} | told
    return SubscriptionRow(source=unpaid.source, id=f"sub_{unpaid.invoice}", **given)


def suspend(unpaid: Unpaid, at: datetime) -> None:
    unpaid.suspended(at)
    times: dict[str, Any] = dict.fromkeys(
        ("due_at", "started_at", "first_started_at", "ended_at"), at
    )
    told = times | {"kind": "suspend", "state": "ended", "result": "done"}
    add(unpaid.shop, StepRow(key=f"{unpaid.case}/suspend:1", case_id=unpaid.case, **told))


# --- how long ------------------------------------------------------------------------------


def test_what_part_had_been_paid_by_then_is_of_those_watched_so_long(shop: Shop) -> None:
    shop.failed(on(1, 1)).paid(on(1, 4, 11, 59))  # a minute less than three days
    shop.failed(on(1, 1)).paid(on(1, 4, 12, 0))
    shop.failed(on(6, 25)).paid(on(6, 25, 13))
    shop.failed(on(6, 29, 13))  # 23 hours ago
    shop.failed(on(5, 1)).ended(on(5, 2), "cancellation_requested")
    with shop.reading() as session:
        report = timing(session, NOW, Scope(by=("took",)))
        (whole,) = timing(session, NOW, Scope(by=())).rows
    told = {row["took"]: (row["cases"], row["paid_by_then"], row["watched"]) for row in report.rows}
    assert told == {
        "0d": (1, 1, 4),
        "1d": (0, 1, 4),
        "2-3d": (2, 3, 4),
        "4-7d": (0, 2, 3),
        "8-14d": (0, 2, 3),
        "15-30d": (0, 2, 3),
        "31-60d": (0, 2, 2),
        "60d+": (0, None, None),
    }
    assert report.rows[2]["rate_by_then"] == 0.75
    assert (whole["cases"], whole["paid"], whole["open"], whole["unpaid"]) == (5, 3, 1, 1)
    assert (whole["median"], whole["p90"]) == (2.9993, 3.0)


def test_a_payment_that_was_corrected_counts_at_its_right_moment(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 1))
    unpaid.paid(on(1, 9))
    unpaid.part_paid(on(1, 3), unpaid.amount)  # heard later: it was there all along
    with shop.reading() as session:
        (row,) = timing(session, NOW, Scope(by=("month",))).rows
        spread = timing(session, NOW, Scope(by=("took", "month"))).rows
    assert (row["month"], row["median"], row["amount"]) == ("2026-01", 2.0, 4900)
    assert {one["took"]: one["amount"] for one in spread if one["amount"]} == {"2-3d": 4900}


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories=LEDGERS)
def test_whatever_happened_it_adds_up_to_what_was_recovered(
    shop: Shop, histories: list[Any]
) -> None:
    with shop.trial() as session:
        live(shop, histories)
        gross = {row["currency"]: row["gross"] for row in recovered(session, NOW).totals}
        spread, plain = timing(session, NOW, Scope(by=("took", "source"))), timing(session, NOW)
        for report in (spread, plain):
            assert_same(money(report.rows, "amount"), gross)
            assert_same(money(report.totals, "amount"), gross)
        for row in plain.rows:
            assert row["cases"] == row["paid"] + row["open"] + row["unpaid"]
        assert_same(money(plain.rows, "paid"), money(spread.rows, "cases"))
        cost = grace(session, NOW, Scope(by=("outcome",)))
        assert_same(money(cost.rows, "cases"), money(plain.rows, "cases"))
        for currency, won in money(cost.rows, "won_back").items():
            assert won <= gross.get(currency, 0)


def assert_same(one: dict[str, int], other: dict[str, int]) -> None:
    assert {k: v for k, v in one.items() if v} == {k: v for k, v in other.items() if v}


def test_every_key_adds_up_and_every_figure_is_defined(shop: Shop) -> None:
    with shop.trial() as session:
        for number, name in enumerate(("paid", "given up", "ended", "refunded", "written to")):
            happenings = [("part of ours", 24, 0.5), (name, 900, 0.9)]
            live(shop, [(1000 + number, "usd", "stripe", "expired_card", happenings)])
        asked: list[tuple[Any, Sequence[str], dict[str, Any]]] = [
            (timing, TIMING_BY, {}),
            (hours, HOURS_BY, {"made_by": "all"}),
            (grace, GRACE_BY, {}),
            (kept, VALUE_BY, {"formula": THREE_YEARS}),
        ]
        for ask, keys, told in asked:
            made: list[Report] = [ask(session, NOW, Scope(by=(key,)), **told) for key in keys]
            for report in made:
                assert report.rows
                for name in (column.name for column in report.shown if column.is_money):
                    sums = money(report.rows, name)
                    assert sums == money(report.totals, name), (report.filters["by"], name)
            report = made[0]
            words = " ".join((*report.definitions, *report.definitions.values()))
            assert all(column.name in words for column in report.shown), report.name
            assert to_json(report)
            assert to_csv(report)
            assert to_xlsx(report)
            assert "What the figures mean" in to_html([report])


# --- at which hours ------------------------------------------------------------------------


def charged(unpaid: Unpaid, *times: datetime, good: int = 0, **told: Any) -> None:
    """Charges of ours at these times, the first so many of which went through."""
    rows = []
    for number, at in enumerate(times):
        given: dict[str, Any] = {
            "status": "succeeded" if number < good else "declined",
            "by": "ours",
            "key": f"{unpaid.case}/retry:2",
            "amount": unpaid.amount,
        } | told
        name = f"ch_{unpaid.invoice}_{at:%m%d%H%M}_{number}_{given['status']}_{given['by']}"
        fixed: dict[str, Any] = {
            "source": unpaid.source,
            "case_id": unpaid.case,
            "currency": unpaid.currency,
        }
        rows.append(AttemptRow(id=name, at=at, **fixed, **given))
    add(unpaid.shop, *rows)


def buckets(shop: Shop, by: str, clock: Clock = "customer", **asked: Any) -> dict[str, int]:
    with shop.reading() as session:
        rows = hours(session, NOW, Scope(by=(by,), **asked), clock=clock).rows
    return {row[by]: row["attempts"] for row in rows}


def test_hours_and_days_are_those_where_the_customer_lives(shop: Shop) -> None:
    india, york, nowhere = (shop.failed(on(1, 1)) for _ in range(3))
    lives: dict[str, Any] = {"source": "stripe", "as_of": on(1, 1)}
    add(
        shop,
        CustomerRow(id=f"cus_{india.invoice}", country="IN", **lives),
        CustomerRow(id=f"cus_{york.invoice}", timezone="America/New_York", country="IN", **lives),
    )
    charged(india, on(1, 31, 20))  # half past one, on Sunday the first
    charged(york, on(3, 8, 6, 59), on(3, 8, 7, 0))  # between them clocks go on by an hour
    charged(nowhere, on(2, 2, 9))
    assert buckets(shop, "hour") == {"01:00": 2, "03:00": 1, "09:00": 1}
    assert buckets(shop, "weekday") == {"Mon": 1, "Sun": 3}
    assert buckets(shop, "monthday") == {"01": 1, "02": 1, "08": 2}
    by_books = buckets(shop, "hour", "books", zone="Asia/Tokyo")
    assert by_books == {"05:00": 1, "15:00": 1, "16:00": 1, "18:00": 1}
    assert buckets(shop, "hour", since=date(2026, 2, 1), until=date(2026, 2, 2)) == {"09:00": 1}


def test_rates_of_hours_by_hand(shop: Shop) -> None:
    at_ten = [on(1, 5, 10, minute) for minute in range(10)]
    with shop.trial() as session:
        for number in range(4):
            one = shop.failed(on(1, 1))
            charged(one, *at_ten, good=5)
            charged(one, *(on(1, 6, 11, n) for n in range(7 + number // 3)))
            charged(one, on(1, 7, 12), by="provider")
            charged(one, on(1, 8, 10), status="processing")
        report = hours(session, NOW)
        makers = hours(session, NOW, Scope(by=("made_by",))).rows
    ten, eleven = report.rows
    assert [ten[name] for name in ("hour", "attempts", "succeeded", "undecided")] == [
        *("10:00", 40, 20, 4),
    ]
    assert (ten["rate"], ten["amount"]) == (0.5, 20 * 4900)
    # Each customer pays as often as any other: nobody's charges are alike.
    bounds = wilson(Counted(20, 40))
    assert (ten["low"], ten["high"]) == (round(bounds.low, 6), round(bounds.high, 6))
    assert ten["verdict"] == "above"  # of 20 in 69
    assert (eleven["rate"], eleven["verdict"]) == (None, "not enough data yet: 29 of 30 attempts")
    # The charges that began the cases are not counted.
    assert {row["made_by"]: row["attempts"] for row in makers} == {"ours": 69, "provider": 4}


def test_charges_of_one_customer_say_less_than_those_of_many(shop: Shop) -> None:
    one, other = shop.failed(on(1, 1)), shop.failed(on(1, 1))
    minutes = [on(1, 5, 10) + timedelta(minutes=n) for n in range(40)]
    charged(one, *minutes, good=40)
    charged(other, *minutes)
    with shop.reading() as session:
        (row,) = hours(session, NOW).rows
    assert (row["attempts"], row["rate"], row["verdict"]) == (80, 0.5, "no difference")
    assert row["high"] - row["low"] > 0.8  # as if there were two of them


@pytest.mark.parametrize(
    ("key", "step"),
    [
        ("retry:2", "retry:2"),
        ("hard.retry:1", "hard.retry:1"),
        ("retry:card:1767", "retry:card"),
        ("retry:backup:pm_1", "retry:backup"),
        (None, None),
    ],
)
def test_steps_of_charges(key: str | None, step: str | None) -> None:
    assert step_of_key(key) == step


# --- what grace cost -----------------------------------------------------------------------


def test_grace_by_hand(shop: Shop) -> None:
    early, late, never, still, metered = (shop.failed(on(1, 1), 10_000) for _ in range(5))
    for one in (early, late, never, still):
        add(shop, subscription(one, recurring=36_500))  # 12.00 a day
    add(shop, subscription(metered))
    early.part_paid(on(1, 3), 2_000)
    early.paid(on(1, 5))
    for one in (late, never):
        suspend(one, on(1, 15))
    late.paid(on(1, 20))
    never.given_up(on(1, 29))
    metered.ended(on(1, 11), "payment_failed")
    taken_over = shop.failed(on(1, 1))
    taken_over.by_us(adopted(on(1, 20)))  # nobody knows what service they had
    with shop.reading() as session:
        report = grace(session, on(2, 10), Scope(by=("outcome",)))
        later = grace(session, on(2, 10), Scope(by=("outcome",)), cut_off=3)
    told = {
        row["outcome"]: (row["cases"], row["service"], row["won_back"], row["without_price"])
        for row in report.rows
    }
    assert told == {
        "paid_in_grace": (1, 4 * 1200, 10_000, 0),
        "paid_later": (1, 14 * 1200, 0, 0),
        "open": (1, 40 * 1200, 0, 0),
        "unpaid": (2, 14 * 1200, 0, 1),
    }
    (total,) = report.totals
    assert (total["service_unpaid"], total["service_open"]) == (14 * 1200, 40 * 1200)
    assert total["net"] == 10_000 - 14 * 1200
    after = {row["outcome"]: (row["service"], row["won_back"]) for row in later.rows}
    assert after["paid_in_grace"] == (1 * 1200, 8_000)
    assert after["unpaid"] == (11 * 1200, 0)
    with shop.reading() as session, pytest.raises(RefusedError, match="use 0 to 365"):
        grace(session, NOW, cut_off=-1)


# --- what was kept -------------------------------------------------------------------------


def details(minor: int, currency: str) -> str:
    return json.dumps({"yearly": [minor, currency]})


def test_value_by_hand(shop: Shop) -> None:
    ann, ben, cem, dee, eli = (shop.failed(on(1, 5)) for _ in range(5))
    yen = shop.failed(on(1, 5), 5000, "jpy")
    for one in (ann, ben):
        add(shop, subscription(one, details=details(58_800, "usd")))
    add(shop, subscription(dee, details=details(58_800, "usd"), ended_at=on(3, 1)))
    add(shop, subscription(yen, details=details(60_000, "jpy")))
    ann.charged(on(1, 6), "retry:1")
    for one in (ben, cem, dee, yen):
        one.paid(on(2, 8))
    eli.part_paid(on(2, 8), 100)  # not recovered
    with shop.reading() as session:
        report = kept(session, NOW, formula=THREE_YEARS)
        none = kept(session, NOW, formula=None)
    each = 3 * 58_800 - 12_000
    told = {(row["month"], row["currency"]): row for row in report.rows}
    january, february = told["2026-01", "usd"], told["2026-02", "usd"]
    assert (january["value"], january["claimed"], january["subscriptions"]) == (each, each, 1)
    assert (february["value"], february["claimed"]) == (each, 0)
    counts = [february[name] for name in ("subscriptions", "ended", "without_inputs", "valued")]
    assert counts == [3, 1, 1, 1]
    assert told["2026-02", "jpy"]["without_inputs"] == 1  # the cost is in dollars
    said = report.definitions["without_inputs"]
    assert "1 x the yearly revenue of the subscription is not known" in said
    assert "1 x `acquisition_cost` is in USD, the invoice in JPY" in said
    assert "expected years (3.0) - acquisition cost (120.00 USD)" in report.definitions["formula"]
    assert none.note.startswith("no value is reckoned")
    assert money(none.rows, "valued") == {"usd": 0, "jpy": 0}


def test_value_by_what_the_customer_s_metadata_says(shop: Shop) -> None:
    formula = Value(
        expected_years=Term(metadata="years"),
        margin=Term(metadata="margin", given=Fraction(1, 2)),
    )
    for number, pairs in enumerate(((), (("years", "2"),), (("years", "2"), ("margin", "80%")))):
        one = shop.failed(on(1, 5))
        text = pairs_to(pairs)
        who: dict[str, Any] = {"source": "stripe", "id": f"cus_{one.invoice}", "as_of": on(1, 1)}
        add(shop, CustomerRow(**who, pairs=text))
        add(shop, subscription(one, details=details(1_000 + number, "usd")))
        one.paid(on(1, 7))
    with shop.reading() as session:
        (row,) = kept(session, NOW, formula=formula).rows
    assert (row["valued"], row["without_inputs"]) == (2, 1)
    assert row["value"] == 1_001 + 1_603  # 1,002 x 2 x 80 % = 1,603.2, rounded down


def test_a_subscription_counts_once_in_a_report(shop: Shop) -> None:
    one, other = shop.failed(on(1, 5)), shop.failed(on(2, 5))
    add(shop, subscription(one, details=details(1_000, "usd")))
    for unpaid in (one, other):
        unpaid.paid(on(3, 1))
    with shop.writing() as session:
        session.get_one(CaseRow, other.case).subscription = f"sub_{one.invoice}"
    with shop.reading() as session:
        report = kept(session, NOW, formula=Value(expected_years=Term(given=Fraction(1))))
    assert Counter(row["month"] for row in report.rows) == {"2026-03": 1}
    assert [row["value"] for row in report.totals] == [1_000]
