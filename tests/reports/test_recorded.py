"""By when it was recorded: what was reported of a month stays; fiscal years and their quarters."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.reports import Report, lost, recovered
from dunning.reports.periods import UNITS, Unit, label_of, period_after, period_from
from dunning.reports.scope import Dated, Scope
from tests.reports.shop import NOW, Shop, money, on


def by_month(report: Report, figure: str = "recovered") -> dict[str, int]:
    return {row["month"]: row[figure] for row in report.rows if row[figure]}


def month_by_month(shop: Shop, dated: Dated, ask: object = recovered) -> Report:
    assert callable(ask)
    with shop.reading() as session:
        report = ask(session, NOW, Scope(by=("month",), date=dated))
    assert isinstance(report, Report)
    return report


def test_a_payment_heard_of_late_counts_when_it_was_written_down(shop: Shop) -> None:
    # The shop writes everything down at its present, in June.
    shop.failed(on(1, 5)).paid(on(1, 8))
    assert by_month(month_by_month(shop, "occurred")) == {"2026-01": 4900}
    assert by_month(month_by_month(shop, "recorded")) == {"2026-06": 4900}


def test_a_correction_counts_when_it_was_made(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5), 1000)
    shop.now = on(2, 2)
    unpaid.part_paid(on(1, 9), 600)
    shop.now = on(2, 3)
    unpaid.refunded(on(1, 20), 100)
    # The refund turns out to have failed: a counter-entry in April.
    shop.now = on(4, 4)
    unpaid.refunded(on(1, 20), 100, live=False)
    assert by_month(month_by_month(shop, "occurred")) == {"2026-01": 600}
    report = month_by_month(shop, "recorded")
    assert by_month(report) == {"2026-02": 500, "2026-04": 100}
    assert by_month(report, "refunded") == {"2026-02": 100, "2026-04": -100}
    assert money(report.rows, "recovered") == money(report.totals, "recovered") == {"usd": 600}


def test_what_was_lost_and_then_was_not(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5), 1000)
    shop.now = on(2, 2)
    unpaid.uncollectible(on(2, 2))
    shop.now = on(3, 3)
    unpaid.paid(on(1, 30))
    assert by_month(month_by_month(shop, "occurred", lost), "lost") == {}
    told = by_month(month_by_month(shop, "recorded", lost), "lost")
    assert told == {"2026-02": 1000, "2026-03": -1000}


@pytest.mark.parametrize("dated", ["occurred", "recorded"])
def test_both_times_come_to_the_same_in_the_end(shop: Shop, dated: Dated) -> None:
    unpaid = shop.failed(on(1, 5), 1000)
    shop.now = on(2, 2)
    unpaid.charged(on(1, 9), "retry:1", 600)
    shop.now = on(3, 3)
    unpaid.disputed(on(2, 9))
    with shop.reading() as session:
        report = recovered(session, NOW, Scope(by=("mechanism", "step"), date=dated))
    assert money(report.totals, "gross") == {"usd": 600}
    assert money(report.totals, "disputed") == {"usd": 600}
    assert {row["mechanism"] for row in report.rows} == {"our_retry"}


# --- fiscal years --------------------------------------------------------------------------

DAYS = st.dates(date(1999, 1, 1), date(2040, 1, 1))


@given(DAYS, st.sampled_from(UNITS), st.integers(1, 12))
def test_every_day_is_in_its_period(day: date, unit: Unit, year_from: int) -> None:
    first = period_from(unit, day, year_from)
    after = period_after(unit, first)
    assert first <= day < after
    assert period_from(unit, after, year_from) == after
    labels = {label_of(unit, each, year_from) for each in (first, day, after - timedelta(days=1))}
    assert len(labels) == 1
    assert label_of(unit, after, year_from) not in labels


@pytest.mark.parametrize(
    ("day", "year_from", "quarter", "year"),
    [
        (date(2026, 3, 31), 4, "FY2025/26-Q4", "FY2025/26"),
        (date(2026, 4, 1), 4, "FY2026/27-Q1", "FY2026/27"),
        (date(2026, 12, 31), 1, "2026-Q4", "2026"),
        (date(2099, 11, 5), 10, "FY2099/00-Q1", "FY2099/00"),
    ],
)
def test_labels_of_fiscal_years(day: date, year_from: int, quarter: str, year: str) -> None:
    assert label_of("quarter", day, year_from) == quarter
    assert label_of("year", day, year_from) == year


@pytest.mark.parametrize("year_from", [1, 2, 4, 7, 12])
@pytest.mark.parametrize("unit", ["quarter", "year"])
def test_the_databases_know_fiscal_years(shop: Shop, unit: Unit, year_from: int) -> None:
    days = [on(1, 31), on(2, 28), on(3, 31), on(4, 1), on(5, 31), on(6, 30, 0)]
    with shop.trial() as session:
        for day in days:
            shop.failed(on(1, 1)).paid(day)
        report = recovered(session, NOW, Scope(by=(unit,), year_from=year_from))
    expected: dict[str, int] = {}
    for day in days:
        label = label_of(unit, day.date(), year_from)
        expected[label] = expected.get(label, 0) + 4900
    assert {row[unit]: row["recovered"] for row in report.rows} == expected
