"""Lost and withdrawn revenue, checked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.errors import RefusedError
from dunning.reports import lost, recovered
from dunning.reports.scope import Scope
from tests.reports.shop import NOW, Shop, on


def rows_of(shop: Shop, **asked: Any) -> list[dict[str, Any]]:
    with shop.reading() as session:
        return lost(session, NOW, Scope(**asked)).rows


def every_ending(shop: Shop) -> None:
    shop.failed(on(1, 5), 1).given_up(on(2, 2))
    shop.failed(on(1, 5), 2).ended(on(2, 2), "payment_failed")
    shop.failed(on(1, 5), 4).uncollectible(on(2, 2))
    shop.failed(on(1, 5), 8).voided(on(2, 2))
    shop.failed(on(1, 5), 16).ended(on(2, 2), "cancellation_requested")
    shop.failed(on(1, 5), 32).credited(on(2, 2), 32)
    shop.failed(on(1, 5), 64).closed_by_hand(on(2, 2))


def test_each_cause_is_of_one_kind(shop: Shop) -> None:
    every_ending(shop)
    found = {
        row["cause"]: (row["kind"], row["net"], row["cases"])
        for row in rows_of(shop, by=("kind", "cause"))
    }
    assert found == {
        "given_up": ("lost", 1, 1),
        "ended_for_non_payment": ("lost", 2, 1),
        "written_off_elsewhere": ("lost", 4, 1),
        "voided": ("withdrawn", 8, 1),
        "cancelled": ("withdrawn", 16, 1),
        "credited": ("withdrawn", 32, 1),
        "closed_by_hand": ("withdrawn", 64, 1),
    }
    [row] = rows_of(shop)
    assert row == {
        "month": "2026-02",
        "currency": "usd",
        "lost": 7,
        "withdrawn": 120,
        "late_recovery": 0,
        "net": 127,
        "cases": 7,
    }


def test_a_late_payment_has_a_minus_in_its_own_month(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.given_up(on(2, 2))
    unpaid.paid(on(4, 1))
    february, april = rows_of(shop)
    assert (february["lost"], february["net"]) == (4900, 4900)
    assert (april["month"], april["late_recovery"], april["net"]) == ("2026-04", -4900, -4900)
    by_kind = {row["kind"]: row["net"] for row in rows_of(shop, by=("kind",))}
    assert by_kind == {"lost": 4900, "late_recovery": -4900}
    with shop.reading() as session:
        [total] = lost(session, NOW).totals
        [came_in] = recovered(session, NOW).rows
    assert (total["net"], total["cases"]) == (0, 1)
    assert (came_in["month"], came_in["recovered"]) == ("2026-04", 4900)


def test_what_was_withdrawn_and_paid_after_all_is_late_as_well(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.closed_by_hand(on(2, 2))
    unpaid.paid(on(4, 1))
    by_kind = {row["kind"]: row["net"] for row in rows_of(shop, by=("kind",))}
    assert by_kind == {"withdrawn": 4900, "late_recovery": -4900}


def test_a_credit_note_moves_what_was_lost_to_withdrawn(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5), 1000)
    unpaid.given_up(on(2, 2))
    unpaid.credited(on(3, 1), 300)
    _, march = rows_of(shop)
    assert (march["lost"], march["withdrawn"], march["net"]) == (-300, 300, 0)
    march_by_kind = [row for row in rows_of(shop, by=("month", "kind")) if "03" in row["month"]]
    assert [(row["kind"], row["net"], row["cases"]) for row in march_by_kind] == [
        ("lost", -300, 1),
        ("withdrawn", 300, 1),
    ]


def test_a_payment_that_came_before_the_loss_corrects_its_month(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.given_up(on(2, 2))
    assert len(rows_of(shop)) == 1
    unpaid.paid(on(1, 30))  # heard of only now
    assert rows_of(shop) == []
    with shop.reading() as session:
        assert [row["month"] for row in recovered(session, NOW).rows] == ["2026-01"]


def test_nothing_lost_and_wrong_keys(shop: Shop) -> None:
    with shop.reading() as session:
        assert lost(session, NOW).note.startswith("nothing lost")
        with pytest.raises(RefusedError, match="Did you mean 'kind'"):
            lost(session, NOW, Scope(by=("kinds",)))
