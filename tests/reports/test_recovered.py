"""Recovered revenue, checked by hand: what brought it in, what went back, what is claimed."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from dunning.core.events import DisputeStatus
from dunning.errors import MoneyError, RefusedError
from dunning.reports import recovered
from dunning.reports.scope import Scope
from dunning.store import InboxRow
from tests.reports.shop import NOW, Shop, on


def rows_of(shop: Shop, **asked: Any) -> list[dict[str, Any]]:
    with shop.reading() as session:
        return recovered(session, NOW, Scope(**asked)).rows


def row(shop: Shop, **asked: Any) -> dict[str, Any]:
    [only] = rows_of(shop, **asked)
    return only


def test_a_row_has_the_key_the_currency_the_amount_and_the_cases(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.charged(on(1, 6), "retry:1")
    unpaid.paid(on(1, 6))
    assert row(shop) == {
        "month": "2026-01",
        "currency": "usd",
        "recovered": 4900,
        "gross": 4900,
        "refunded": 0,
        "disputed": 0,
        "claimed": 4900,
        "cases": 1,
    }


def every_mechanism(shop: Shop) -> None:
    for number, key in enumerate(("retry:1", "retry:3", "retry:card:17", "retry:hand:a", None)):
        unpaid = shop.failed(on(1, 5), 1000 + number)
        unpaid.charged(on(1, 8), key)
        unpaid.paid(on(1, 8))
    linked = shop.failed(on(1, 5), 2000)
    linked.written_to(on(1, 6))
    linked.paid(on(1, 8))
    shop.failed(on(1, 5), 3000).paid(on(1, 8))
    shop.failed(on(1, 5), 4000).paid(on(1, 8), outside=True)


def test_what_we_did_not_cause_is_shown_and_never_claimed(shop: Shop) -> None:
    every_mechanism(shop)
    found = {
        told["mechanism"]: (told["recovered"], told["claimed"], told["cases"])
        for told in rows_of(shop, by=("mechanism",))
    }
    assert found == {
        "our_retry": (1000 + 1001, 1000 + 1001, 2),
        "new_card": (1002, 1002, 1),
        "retry_by_hand": (1003, 1003, 1),
        "link": (2000, 2000, 1),
        "provider_retry": (1004, 0, 1),
        "natural": (3000, 0, 1),
        "outside": (4000, 0, 1),
    }
    with shop.reading() as session:
        [total] = recovered(session, NOW, Scope(by=("mechanism",))).totals
    assert total["claimed"] == 1000 + 1001 + 1002 + 1003 + 2000
    assert total["recovered"] == total["claimed"] + 1004 + 3000 + 4000
    assert total["cases"] == 8


def test_a_step_is_the_rung_and_nothing_where_no_charge_of_ours_was(shop: Shop) -> None:
    every_mechanism(shop)
    found = {told["step"]: told["recovered"] for told in rows_of(shop, by=("step",))}
    assert found == {
        "retry:1": 1000,
        "retry:3": 1001,
        "new_card": 1002,
        "retry_by_hand": 1003,
        None: 1004 + 2000 + 3000 + 4000,
    }


def test_a_refund_lowers_the_month_of_the_refund(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.paid(on(1, 8))
    unpaid.refunded(on(2, 3), 1500)
    january, february = rows_of(shop)
    assert (january["recovered"], january["refunded"], january["cases"]) == (4900, 0, 1)
    assert (february["recovered"], february["refunded"], february["cases"]) == (-1500, 1500, 0)
    with shop.reading() as session:
        [total] = recovered(session, NOW).totals
    assert (total["recovered"], total["gross"], total["cases"]) == (3400, 4900, 1)


def test_a_refund_that_failed_later_is_as_if_it_had_never_been(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.paid(on(1, 8))
    unpaid.refunded(on(2, 3))
    assert len(rows_of(shop)) == 2
    unpaid.refunded(on(2, 3), live=False)
    assert [told["recovered"] for told in rows_of(shop)] == [4900]


def test_a_dispute_takes_back_until_it_is_won(shop: Shop) -> None:
    won, lost, asked = (shop.failed(on(1, 5), amount) for amount in (1000, 2000, 4000))
    for unpaid in (won, lost, asked):
        unpaid.paid(on(1, 8))
    won.disputed(on(2, 1))
    lost.disputed(on(2, 1))
    asked.disputed(on(2, 1), DisputeStatus.INQUIRY)
    january, february = rows_of(shop)
    assert (january["recovered"], february["recovered"]) == (7000, -3000)
    won.disputed(on(2, 1), DisputeStatus.WON, days=40)
    lost.disputed(on(2, 1), DisputeStatus.LOST, days=40)
    _, february, march = rows_of(shop)
    assert (february["disputed"], march["disputed"]) == (3000, -1000)
    assert march["recovered"] == 1000


def test_a_refund_takes_back_the_newest_money_first(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5), 1000)
    unpaid.charged(on(1, 6), "retry:1", 600)
    unpaid.charged(on(1, 20), None, 400)
    unpaid.refunded(on(1, 25), 500)
    found = {told["mechanism"]: told for told in rows_of(shop, by=("mechanism",))}
    ours, theirs = found["our_retry"], found["provider_retry"]
    assert (ours["gross"], ours["refunded"], ours["recovered"], ours["claimed"]) == (
        *(600, 100, 500, 500),
    )
    assert (theirs["gross"], theirs["refunded"], theirs["recovered"], theirs["claimed"]) == (
        *(400, 400, 0, 0),
    )
    assert row(shop)["claimed"] == 500


def test_what_a_won_dispute_returns_is_what_it_was(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5), 1000)
    unpaid.charged(on(1, 6), "retry:1", 600)
    unpaid.charged(on(1, 20), None, 400)
    unpaid.disputed(on(1, 25), DisputeStatus.WON, days=5)
    found = {told["mechanism"]: told for told in rows_of(shop, by=("mechanism",))}
    assert {name: (told["recovered"], told["disputed"]) for name, told in found.items()} == {
        "our_retry": (600, 0),
        "provider_retry": (400, 0),
    }


def test_currencies_stand_beside_each_other(shop: Shop) -> None:
    shop.failed(on(1, 5), 4900, "usd").paid(on(1, 8))
    shop.failed(on(1, 5), 500, "jpy").paid(on(1, 8))
    shop.failed(on(1, 5), 1234, "kwd").paid(on(1, 8))
    with shop.reading() as session:
        report = recovered(session, NOW)
    expected = {"jpy": 500, "kwd": 1234, "usd": 4900}
    assert {told["currency"]: told["recovered"] for told in report.rows} == expected
    assert {told["currency"]: told["recovered"] for told in report.totals} == expected


def test_filters_and_several_keys(shop: Shop) -> None:
    shop.failed(on(1, 5), 60_000, code="lost_card").paid(on(1, 8))
    shop.failed(on(1, 5), 4900, source="second").paid(on(2, 8))
    both = rows_of(shop, by=("quarter", "policy", "decline_code", "source"))
    assert [(r["policy"], r["decline_code"], r["source"], r["recovered"]) for r in both] == [
        ("patient", "lost_card", "stripe", 60_000),
        ("standard", "insufficient_funds", "second", 4900),
    ]
    assert row(shop, policy="patient")["recovered"] == 60_000
    assert row(shop, source="second")["recovered"] == 4900
    assert rows_of(shop, currency="EUR") == []
    assert row(shop, by=("currency",), currency="USD")["recovered"] == 64_900
    assert list(row(shop, by=("currency",), policy="patient"))[:2] == ["currency", "recovered"]


def test_both_dates_are_part_of_the_range(shop: Shop) -> None:
    for day, amount in ((9, 1), (10, 2), (15, 4), (20, 8), (21, 16)):
        at = on(1, day, 23, 59) if day in (9, 20) else on(1, day, 0)  # on either side
        shop.failed(on(1, 5), amount).paid(at)
    assert row(shop, since=date(2026, 1, 10), until=date(2026, 1, 20))["recovered"] == 14
    assert row(shop, since=date(2026, 1, 10))["recovered"] == 30
    assert row(shop, until=date(2026, 1, 20))["recovered"] == 15
    assert row(shop, since=date(2026, 1, 10), until=date(2026, 1, 10))["recovered"] == 2


def test_a_refund_of_an_earlier_payment_is_in_the_range_of_the_refund(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.charged(on(1, 6), "retry:1")
    unpaid.refunded(on(2, 3))
    told = row(shop, since=date(2026, 2, 1), by=("mechanism",))
    assert (told["mechanism"], told["recovered"], told["claimed"]) == ("our_retry", -4900, -4900)


def test_each_refund_is_in_its_own_range(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.charged(on(1, 6), "retry:1")
    for month, amount in ((2, 100), (3, 200), (4, 400)):
        unpaid.refunded(on(month, 1, 0), amount)
    march = {"since": date(2026, 3, 1), "until": date(2026, 3, 31)}
    assert row(shop, **march)["refunded"] == 200
    assert row(shop, by=("step",), **march)["recovered"] == -200


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("UTC", ["2026-03-01", "2026-03-02"]),
        ("America/New_York", ["2026-02-28", "2026-03-01"]),
        ("Asia/Kolkata", ["2026-03-01", "2026-03-02"]),
    ],
)
def test_a_day_ends_where_the_zone_says(shop: Shop, zone: str, days: list[str]) -> None:
    shop.failed(on(1, 5), 100).paid(on(3, 1, 4, 59))
    shop.failed(on(1, 5), 200).paid(on(3, 2, 0, 0))
    found = rows_of(shop, by=("day",), zone=zone)
    assert [(told["day"], told["recovered"]) for told in found] == [
        (days[0], 100),
        (days[1], 200),
    ]
    with shop.reading() as session:
        assert zone in recovered(session, NOW, Scope(zone=zone)).definitions["period"]


def test_every_unit_has_its_label(shop: Shop) -> None:
    shop.failed(on(1, 5)).paid(on(5, 15))
    labels = {
        unit: row(shop, by=(unit,))[unit] for unit in ("day", "week", "month", "quarter", "year")
    }
    assert labels == {
        "day": "2026-05-15",
        "week": "2026-W20",
        "month": "2026-05",
        "quarter": "2026-Q2",
        "year": "2026",
    }


def test_nothing_yet(shop: Shop) -> None:
    with shop.reading() as session:
        report = recovered(session, NOW)
    assert (report.rows, report.totals) == ([], [])
    assert report.note.startswith("nothing recovered yet: no payment has failed")
    shop.failed(on(1, 5))
    with shop.reading() as session:
        assert "goes from 2026-01-05 12:00 UTC" in recovered(session, NOW).note
        misspelt = recovered(session, NOW, Scope(policy="standrad")).note
    assert "no case is of policy 'standrad'; there are cases of standard" in misspelt


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"by": ("mechanims",)}, "Did you mean 'mechanism'?"),
        ({"by": ("age",)}, "it can be day, week, month"),
        ({"by": ("week", "month")}, "not both"),
        ({"zone": "Berlin"}, "Europe/Berlin"),
        ({"zone": "Nowhere/At_All"}, "UTC"),
        ({"since": date(2026, 2, 1), "until": date(2026, 1, 1)}, "before it begins"),
        ({"until": date.max}, "no date of a payment"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked: dict[str, Any], words: str, shop: Shop) -> None:
    with shop.reading() as session, pytest.raises(RefusedError, match=r".") as refused:
        recovered(session, NOW, Scope(**asked))
    assert words in str(refused.value)


def test_a_currency_is_three_letters(shop: Shop) -> None:
    with shop.reading() as session, pytest.raises(MoneyError):
        recovered(session, NOW, Scope(currency="$"))


def test_figures_are_complete_up_to_the_oldest_event_still_to_be_handled(shop: Shop) -> None:
    with shop.reading() as session:
        assert recovered(session, NOW).data_until == NOW
    with shop.writing() as session:
        for number, state in enumerate(("new", "parked", "handled")):
            session.add(
                InboxRow(
                    source="stripe",
                    event_id=f"evt_{state}",
                    type="invoice.paid",
                    created_at=on(6, 1),
                    received_at=on(6, 2 + number),
                    body=b"{}",
                    state=state,
                    wake_at=on(6, 3),
                )
            )
    with shop.reading() as session:
        report = recovered(session, NOW)
    assert report.data_until == on(6, 2)
    assert "Parked and not counted: 1" in report.definitions["data_until"]


def test_every_money_column_and_key_is_defined(shop: Shop) -> None:
    with shop.reading() as session:
        report = recovered(session, NOW, Scope(by=("month", "mechanism", "step", "decline_code")))
    named = {column.name for column in report.shown} - {"month"}
    assert named <= set(report.definitions)
