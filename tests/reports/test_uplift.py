"""Treated and held out side by side, checked by hand; silent until there is enough to say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dunning.cases import CaseBook
from dunning.core.holdout import Holdout, draw
from dunning.errors import RefusedError
from dunning.reports import to_csv, to_json, to_xlsx, uplift
from dunning.reports.intervals import Counted, counted, difference, resampled, wilson
from dunning.reports.scope import Scope
from tests.policies import STANDARD
from tests.reports.shop import NOW, Shop, Unpaid, on

HALF = replace(STANDARD, holdout=Holdout(share=5_000))


@pytest.fixture
def halved(shop: Shop) -> Shop:
    """A shop whose policy holds out every second customer."""
    shop.book = CaseBook(choose=lambda _: HALF)
    return shop


def is_held_out(unpaid: Unpaid) -> bool:
    drawn = draw(HALF, "stripe", f"cus_{unpaid.invoice}")
    assert drawn is not None
    return drawn.held_out


def report_of(shop: Shop, **asked: Any) -> list[dict[str, Any]]:
    with shop.reading() as session:
        return uplift(session, NOW, Scope(**{"by": ("policy",)} | asked)).rows


def by_group(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["group"]: row for row in rows}


def fill(shop: Shop, count: int, treated: int = 7, held_out: int = 1) -> dict[str, list[int]]:
    """Of each eight cases of a group so many are paid; (cases, recovered) as they came."""
    seen: dict[str, list[int]] = {"treated": [0, 0], "held_out": [0, 0]}
    with shop.trial() as session:
        for _ in range(count):
            unpaid = shop.failed(on(1, 5), 1000)
            name = "held_out" if is_held_out(unpaid) else "treated"
            pays = seen[name][0] % 8 < (held_out if name == "held_out" else treated)
            seen[name][0] += 1
            if pays:
                seen[name][1] += 1
                unpaid.paid(on(1, 9))
        session.commit()
    return seen


def test_both_groups_and_the_difference(halved: Shop) -> None:
    seen = fill(halved, 210)
    rows = by_group(report_of(halved))
    for name, (cases, recovered) in seen.items():
        row = rows[name]
        assert (row["policy"], row["held_out"], row["currency"]) == (
            "standard",
            "50 %, left alone",
            "usd",
        )
        assert (row["cases"], row["customers"], row["recovered_cases"]) == (cases, cases, recovered)
        assert (row["failed"], row["recovered"]) == (cases * 1000, recovered * 1000)
        assert row["rate"] == pytest.approx(recovered / cases, abs=1e-6)
        assert row["rate_low"] < row["rate"] < row["rate_high"]
        assert row["money_low"] < row["money_rate"] < row["money_high"]
    apart = rows["difference"]
    rate = seen["treated"][1] / seen["treated"][0] - seen["held_out"][1] / seen["held_out"][0]
    assert apart["rate"] == pytest.approx(rate, abs=1e-6)
    assert apart["rate_low"] > 0
    assert apart["verdict"] == "more is recovered of the treated"
    extra = (apart["extra_low"], apart["extra"], apart["extra_high"])
    assert all(isinstance(value, int) for value in extra)
    assert extra[0] <= extra[1] <= extra[2]


def test_too_few_say_nothing_but_how_many_are_missing(halved: Shop) -> None:
    fill(halved, 24)
    apart = by_group(report_of(halved))["difference"]
    told = ("rate", "rate_low", "rate_high", "money_rate", "extra")
    assert [apart[name] for name in told] == [None] * 5
    assert apart["verdict"] == f"not enough data yet: needs about {apart['needed']:,} more cases"
    assert 100 <= apart["needed"] <= 450  # half and half: some 170 to 380 cases in all


def test_only_a_closed_window_counts_and_only_what_came_in_time(halved: Shop) -> None:
    treated = held_out = None
    while treated is None or held_out is None:
        unpaid = halved.failed(on(1, 5), 1000)
        unpaid.paid(on(2, 20))  # the window closed on 2 February
        if is_held_out(unpaid):
            held_out = unpaid
        else:
            treated = unpaid
    halved.failed(on(6, 20), 1000).paid(on(6, 21))
    rows = by_group(report_of(halved))
    assert [rows[name]["recovered_cases"] for name in ("treated", "held_out")] == [0, 0]
    assert rows["difference"]["open"] == 1


def test_refunds_and_parts_in_time_are_counted_off(halved: Shop) -> None:
    whole, part, back = (halved.failed(on(1, 5), 1000) for _ in range(3))
    whole.paid(on(1, 8))
    part.part_paid(on(1, 8), 400)
    back.paid(on(1, 8))
    back.refunded(on(1, 12))
    rows = report_of(halved)
    sides = [row for row in rows if row["group"] != "difference"]
    assert sum(row["recovered_cases"] for row in sides) == 1
    assert sum(row["recovered"] for row in sides) == 1400
    assert sum(row["failed"] for row in sides) == 3000


def test_by_month_and_filters(halved: Shop) -> None:
    halved.failed(on(1, 5))
    halved.failed(on(2, 5))
    halved.failed(on(2, 6), currency="eur")
    rows = report_of(halved, by=["month"])
    assert {(row["month"], row["currency"]) for row in rows} == {
        ("2026-01", "usd"),
        ("2026-02", "usd"),
        ("2026-02", "eur"),
    }
    assert report_of(halved, currency="eur")[0]["currency"] == "eur"
    assert report_of(halved, policy="patient") == []
    since = report_of(halved, since=on(2, 6).date())
    assert sum(row["cases"] or 0 for row in since) == 1
    with pytest.raises(RefusedError, match="mechanism"):
        report_of(halved, by=["mechanism"])


def test_other_terms_are_another_comparison(halved: Shop) -> None:
    halved.failed(on(1, 5))
    gentle = replace(STANDARD, name="gentle", window=timedelta(days=40))
    tenth = replace(STANDARD, holdout=Holdout(share=1_000, policy="gentle", instead=gentle))
    halved.book = CaseBook(choose=lambda _: tenth)
    halved.failed(on(1, 5))
    assert {row["held_out"] for row in report_of(halved)} == {
        "50 %, left alone",
        "10 %, policy gentle",
    }


def test_without_a_hold_out_the_report_says_where_to_read(shop: Shop) -> None:
    shop.failed(on(1, 5))
    with shop.reading() as session:
        report = uplift(session, NOW)
    assert report.rows == []
    assert report.note.startswith("no case of a policy with a hold-out")


def test_every_form(halved: Shop) -> None:
    fill(halved, 8)
    with halved.reading() as session:
        report = uplift(session, NOW)
    assert '"verdict": "not enough data yet' in to_json(report)
    assert "rate_low" in to_csv(report).splitlines()[0]
    assert to_xlsx(report)[:2] == b"PK"
    assert sum(total["cases"] for total in report.totals) == 8


# --- the arithmetic ----------------------------------------------------------------------------


def test_wilson_as_published() -> None:
    # Newcombe (1998), table I: 81 of 263, and 0 of 20.
    told = wilson(Counted(81, 263))
    assert (round(told.low, 4), round(told.high, 4)) == (0.2553, 0.3662)
    none = wilson(Counted(0, 20))
    assert (none.low, round(none.high, 4)) == (0.0, 0.1611)


def test_the_difference_as_published() -> None:
    # Newcombe (1998), method 10: 56 of 70 against 48 of 80.
    told = difference(Counted(56, 70), Counted(48, 80))
    assert (round(told.low, 4), round(told.high, 4)) == (0.0524, 0.3339)


def test_cases_of_one_customer_count_as_fewer() -> None:
    alone = counted([(1, 1)] * 50 + [(0, 1)] * 50)
    together = counted([(2, 2)] * 25 + [(0, 2)] * 25)
    assert alone.alike == pytest.approx(1.0, abs=0.02)
    assert together.alike == pytest.approx(2.0, abs=0.05)
    assert wilson(together).half > 1.35 * wilson(alone).half


def test_drawing_again_is_the_same_with_the_same_seed() -> None:
    group = [[(float(number % 3), 2.0) for number in range(60)]]

    def figure(sums: list[tuple[float, ...]]) -> float:
        return sums[0][0] / sums[0][1]

    assert resampled(group, figure, 1) == resampled(group, figure, 1)
    assert resampled(group, figure, 1) != resampled(group, figure, 2)
    assert resampled(group, figure, 1).value == 0.5
