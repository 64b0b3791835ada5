"""What is at risk now, checked by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dunning.errors import RefusedError
from dunning.reports import at_risk
from dunning.reports.scope import Scope
from tests.reports.shop import NOW, Shop, on


def rows_of(shop: Shop, **asked: Any) -> list[dict[str, Any]]:
    with shop.reading() as session:
        return at_risk(session, NOW, Scope(**{"by": ("currency",)} | asked)).rows


def test_only_what_is_still_owed_and_pursued(shop: Shop) -> None:
    shop.failed(on(6, 1))
    partly = shop.failed(on(6, 2), 1000)
    partly.part_paid(on(6, 3), 400)
    shop.failed(on(6, 1)).paid(on(6, 2))
    shop.failed(on(6, 1)).voided(on(6, 2))
    shop.failed(on(6, 1)).given_up(on(6, 28))
    shop.failed(on(6, 3), 700, "eur")
    with shop.reading() as session:
        report = at_risk(session, NOW)
    assert report.rows == [
        {"currency": "eur", "at_risk": 700, "cases": 1, "oldest": on(6, 3)},
        {"currency": "usd", "at_risk": 5500, "cases": 2, "oldest": on(6, 1)},
    ]
    assert report.totals == report.rows
    assert report.data_until == NOW


@pytest.mark.parametrize(
    ("days", "age"),
    [
        *((-1, "0-3d"), (0, "0-3d"), (3.99, "0-3d"), (4, "4-7d"), (7.99, "4-7d"), (8, "8-14d")),
        *((14.99, "8-14d"), (15, "15-30d"), (30.99, "15-30d"), (31, "30d+"), (400, "30d+")),
    ],
)
def test_age_is_whole_days_since_the_first_failure(shop: Shop, days: float, age: str) -> None:
    shop.failed(NOW - timedelta(days=days))
    assert [row["age"] for row in rows_of(shop, by=("age",))] == [age]


def test_ages_stand_in_their_own_order(shop: Shop) -> None:
    for days in (40, 20, 10, 5, 1):
        shop.failed(NOW - timedelta(days=days), days)
    found = rows_of(shop, by=("age",))
    assert [row["age"] for row in found] == ["0-3d", "4-7d", "8-14d", "15-30d", "30d+"]
    assert [row["at_risk"] for row in found] == [1, 5, 10, 20, 40]


def test_a_suspended_case_is_still_at_risk(shop: Shop) -> None:
    shop.failed(on(6, 1), 100)
    shop.failed(on(6, 1), 200).suspended(on(6, 15))
    found = {row["state"]: row["at_risk"] for row in rows_of(shop, by=("state",))}
    assert found == {"in_grace": 100, "suspended": 200}


def test_filters_and_the_other_keys(shop: Shop) -> None:
    shop.failed(on(6, 1), 60_000, code="expired_card")
    shop.failed(on(6, 1), 100, source="second")
    found = rows_of(shop, by=("policy", "decline_code", "source", "currency"))
    assert [tuple(row.values())[:5] for row in found] == [
        ("patient", "expired_card", "stripe", "usd", 60_000),
        ("standard", "insufficient_funds", "second", "usd", 100),
    ]
    assert [row["at_risk"] for row in rows_of(shop, policy="standard")] == [100]
    assert [row["at_risk"] for row in rows_of(shop, source="stripe")] == [60_000]
    assert rows_of(shop, currency="eur") == []


def test_nothing_open(shop: Shop) -> None:
    with shop.reading() as session:
        report = at_risk(session, NOW)
    assert (report.rows, report.totals) == ([], [])
    assert report.note.startswith("nothing is at risk: no case is open")


def test_a_wrong_key_names_the_nearest(shop: Shop) -> None:
    with shop.reading() as session, pytest.raises(RefusedError, match="Did you mean 'age'"):
        at_risk(session, NOW, Scope(by=("ages",)))
