"""Rates: each cohort by hand, under every definition; sums of a breakdown are the totals."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlmodel import Session

from dunning.errors import RefusedError
from dunning.reports import Report, cells, rates, to_csv
from dunning.reports.origins import PAYMENT_KEYS
from dunning.reports.published import ALL, NAMES
from dunning.reports.rates import BY
from dunning.reports.scope import Scope
from tests.reports.shop import NOW, Shop, on


def tell(shop: Shop) -> None:
    """January has five cases, February only late money, June is too young."""
    paid = shop.failed(on(1, 5), 4900)
    paid.charged(on(1, 8), "retry:1")
    paid.paid(on(1, 8))
    shop.failed(on(1, 6), 10_000, code="expired_card").given_up(on(2, 3))
    late = shop.failed(on(1, 5), 2000)
    late.given_up(on(2, 2))
    late.paid(on(2, 14))
    part = shop.failed(on(1, 7), 1000)
    part.part_paid(on(1, 27), 400)
    part.given_up(on(2, 4))
    back = shop.failed(on(1, 5), 3000, "eur")
    back.paid(on(1, 7))
    back.refunded(on(1, 15))
    shop.failed(on(6, 20), 700).paid(on(6, 22))
    shop.failed(on(6, 21), 300)


def found(report: Report, **keys: str) -> dict[str, Any]:
    """The one row with these keys."""
    [row] = [row for row in report.rows if all(row[key] == keys[key] for key in keys)]
    return row


def figures(row: dict[str, Any]) -> tuple[int, int]:
    return row["numerator"], row["denominator"]


def asked(session: Session, **more: Any) -> Report:
    definitions = more.pop("definitions", [ALL])
    return rates(session, NOW, Scope(**more), definitions=definitions)


JANUARY = {
    # 4900 and 400 in the window; the case paid in February came after it.
    "ours": (5300, 17_900),
    "ours_cases": (1, 4),
    "ours_so_far": (7300, 17_900),
    "stripe": (7300, 17_900),
    "recurly": (1, 4),
    "churn_buster": (5300, 17_900),
    # What came in during January, whenever it had failed.
    "baremetrics": (5300, 17_900),
    # The part came after 20 days.
    "retain": (1, 4),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_definition_by_hand(shop: Shop, name: str) -> None:
    with shop.trial() as session:
        tell(shop)
        report = asked(session)
    row = found(report, month="2026-01", currency="usd", definition=name)
    assert figures(row) == JANUARY[name]
    assert row["rate"] == round(JANUARY[name][0] / JANUARY[name][1], 6)
    assert (row["cases"], row["mature"]) == (4, 1.0)
    assert report.definitions[name].count("Source: ") == 1


def test_a_refund_is_taken_off_ours_and_not_off_those_who_do_not_say_so(shop: Shop) -> None:
    with shop.trial() as session:
        tell(shop)
        report = asked(session)
    told = {name: figures(found(report, currency="eur", definition=name)) for name in NAMES}
    assert told["ours"] == told["ours_so_far"] == (0, 3000)
    assert told["ours_cases"] == told["recurly"] == (0, 1)
    assert told["stripe"] == told["churn_buster"] == told["baremetrics"] == (3000, 3000)


def test_a_young_cohort_says_so_and_has_no_final_rate(shop: Shop) -> None:
    with shop.trial() as session:
        tell(shop)
        report = asked(session)
    final = found(report, month="2026-06", definition="ours")
    assert (final["mature"], final["rate"], figures(final)) == (0.0, None, (0, 0))
    assert figures(found(report, month="2026-06", definition="ours_so_far")) == (700, 1000)


def test_cash_of_a_month_without_a_failure_has_no_rate(shop: Shop) -> None:
    with shop.trial() as session:
        tell(shop)
        report = asked(session, definitions=["baremetrics"])
    row = found(report, month="2026-02")
    assert (figures(row), row["rate"], row["cases"]) == ((2000, 0), None, 0)


def test_both_days_are_of_the_first_failure(shop: Shop) -> None:
    with shop.trial() as session:
        tell(shop)
        report = asked(session, since=on(1, 6).date(), until=on(1, 7).date(), by=("policy",))
    row = found(report, currency="usd", definition="ours_so_far")
    assert (row["cases"], figures(row)) == (2, (400, 11_000))


def test_every_breakdown_adds_up(shop: Shop) -> None:
    with shop.trial() as session:
        tell(shop)
        for key in BY:
            report = asked(session, by=(key,))
            # However it came in, it came in of the whole cohort.
            whole = ("cases", "denominator")
            added = ("numerator",) if key in PAYMENT_KEYS else ("numerator", *whole)
            sums: Counter[tuple[str, str, str]] = Counter()
            for row in report.rows:
                for name in added:
                    sums[row["currency"], row["definition"], name] += row[name]
            for total in report.totals:
                if key in PAYMENT_KEYS:
                    same = [row for row in report.rows if _of(row) == _of(total)]
                    assert {tuple(row[name] for name in whole) for row in same} <= {
                        tuple(total[name] for name in whole)
                    }
                # A customer of two rows is counted in both; here nobody is.
                for name in added:
                    told = sums[total["currency"], total["definition"], name]
                    assert told == total[name], (key, total)


def _of(row: dict[str, Any]) -> tuple[str, str]:
    return row["currency"], row["definition"]


def test_a_cohort_by_what_brought_it_in(shop: Shop) -> None:
    with shop.trial() as session:
        tell(shop)
        report = asked(session, by=("month", "mechanism"), until=on(1, 31).date())
        named = {"currency": "usd", "month": "2026-01"}
        ours = found(report, definition="ours_so_far", mechanism="our_retry", **named)
        natural = found(report, definition="ours_so_far", mechanism="natural", **named)
    assert (figures(ours), figures(natural)) == ((4900, 17_900), (2400, 17_900))


def test_a_word_nobody_knows_is_refused_with_the_nearest(shop: Shop) -> None:
    with shop.trial() as session, pytest.raises(RefusedError, match="'churn_buster'"):
        asked(session, definitions=["churnbuster"])


def test_money_is_shown_as_money_and_cases_as_numbers(shop: Shop) -> None:
    with shop.trial() as session:
        tell(shop)
        report = rates(session, NOW, Scope(until=on(1, 31).date()))
    lines = {line[2]: line for line in cells(report) if "USD" in line[1]}
    assert "53.00 USD" in lines["ours"]
    assert lines["ours_cases"].count("1") == 1
    assert "5300,53.00,17900,179.00" in to_csv(report)
    assert "cases,1,,4,," in to_csv(report)
