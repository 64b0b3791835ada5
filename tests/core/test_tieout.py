"""Why two books differ: each cause by the rule that names it, and no unit is ever lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dunning.core.bookings import (
    Booking,
    Export,
    Fate,
    Flow,
    Known,
    Pair,
    Posted,
    Webhook,
    counted,
)
from dunning.core.tieout import CAUSES, EXPLAINED, Difference, differences, what_next
from tests.builders import AMOUNT, days, hours

NOW = days(30)
HEARD = {
    Flow.PAID: frozenset({"ch_1", "pi_1"}),
    Flow.REFUNDED: frozenset({"re_1"}),
    Flow.DISPUTED: frozenset({"du_1"}),
}


def booked(amount: int = AMOUNT, at: datetime | None = None, **more: Any) -> Booking:
    given: dict[str, Any] = {"flow": Flow.PAID, "id": "ch_1", "currency": "usd"} | more
    return Booking(amount=amount, at=at or days(5), **given)


def posted(amount: int = AMOUNT, at: datetime | None = None, **more: Any) -> Posted:
    at = at or days(5)
    told: dict[str, Any] = {"flow": Flow.PAID, "currency": "usd", "counted_at": at} | more
    return Posted(amount=amount, at=at, **told)


def known(**more: Any) -> Known:
    told: dict[str, Any] = {"opened_at": days(0), "heard": HEARD} | more
    return Known(case="case_1", source="stripe", invoice="in_1", currency="usd", **told)


def pair(**more: Any) -> Pair:
    told: dict[str, Any] = {"known": known(), "flow": Flow.PAID, "currency": "usd"} | more
    return Pair(period=None, data_until=NOW, **told)


def refund(amount: int = 900, name: str = "re_1", **more: Any) -> Booking:
    return booked(amount, flow=Flow.REFUNDED, id=name, **more)


def hook(state: str) -> Webhook:
    return Webhook(id=77, event="evt_9", type="invoice.paid", state=state)


REFUND = {"flow": Flow.REFUNDED}
FILE = Export("october.csv", days(1), days(20))
NEW = {"known": known(heard={})}
PLANTED: list[tuple[str, dict[str, Any]]] = [
    ("webhook_waiting", {**NEW, "booked": (booked(),), "webhooks": {"in_1": hook("new")}}),
    ("webhook_parked", {**NEW, "booked": (booked(),), "webhooks": {"ch_1": hook("parked")}}),
    ("webhook_missing", {**NEW, "booked": (booked(),)}),
    ("webhook_missing", {"booked": (booked(fate=Fate.OUTSIDE, id="in_1"),)}),
    ("later_than_data", {**NEW, "booked": (booked(at=NOW + timedelta(seconds=1)),)}),
    ("later_than_data", {**NEW, "booked": (booked(at=NOW - timedelta(minutes=2)),)}),
    ("currency", {"currency": "eur", "booked": (booked(currency="eur"),)}),
    ("currency", {"posted": (posted(),), "booked_elsewhere": (booked(currency="eur"),)}),
    ("other_period", {"booked": (booked(),), "posted_elsewhere": (posted(at=days(5.5)),)}),
    ("other_period", {"posted": (posted(),), "booked_elsewhere": (booked(at=days(4.5)),)}),
    (
        "other_period",  # by the name of the refund, however far off
        {
            **REFUND,
            "booked": (refund(),),
            "posted_elsewhere": (posted(900, days(25), flow=Flow.REFUNDED, about="re_1"),),
        },
    ),
    (
        "closed_month",
        {"booked": (booked(),), "posted_elsewhere": (posted(counted_at=days(27), closed="x"),)},
    ),
    ("closed_month", {"posted": (posted(counted_at=days(27), closed="2026-01"),)}),
    (
        "closed_month",  # taken back in a later month, as its own had been closed
        {"posted": (posted(),), "posted_elsewhere": (posted(-AMOUNT, closed="2026-01"),)},
    ),
    ("before_the_case", {"booked": (booked(at=hours(-1)),)}),
    (
        "before_the_case",
        {
            **REFUND,
            "known": known(uncounted=frozenset({"ch_0"})),
            "booked": (refund(names=("ch_0",)),),
        },
    ),
    ("adopted", {"known": known(adopted_at=days(9)), "booked": (booked(),)}),
    ("not_applied", {"known": known(uncounted=frozenset({"ch_1"})), "booked": (booked(),)}),
    (
        "credit_note",
        {
            "known": known(too_much=900, forgiven=900),
            "posted": (posted(AMOUNT - 900),),
            "booked": (booked(),),
        },
    ),
    (
        "overpaid",
        {
            "known": known(too_much=700),
            "posted": (posted(),),
            "booked": (booked(), booked(700, id="pi_1")),
        },
    ),
    (
        "refund_failed",
        {
            **REFUND,
            "posted": (posted(900, flow=Flow.REFUNDED),),
            "booked": (refund(fate=Fate.FAILED),),
        },
    ),
    (
        "refund_undone",
        {
            **REFUND,
            "known": known(failed_refunds=frozenset({"re_1"})),
            "booked": (refund(),),
        },
    ),
    (
        "refund_pending",
        {**REFUND, **NEW, "booked": (refund(name="re_9", fate=Fate.PENDING),)},
    ),
    ("out_of_band", {"export": FILE, "posted": (posted(outside=True),)}),
    ("beyond_the_export", {"export": FILE, "posted": (posted(at=days(21)),)}),
    ("other_amount", {"posted": (posted(),), "booked": (booked(AMOUNT + 1),)}),
    ("unknown", {"booked": (booked(),)}),
    ("not_there", {"posted": (posted(),)}),
    ("not_there", {"export": FILE, "posted": (posted(),)}),
    (
        "webhook_missing",  # of the dispute we know, not that it was won
        {"flow": Flow.DISPUTED, "booked": (booked(-900, flow=Flow.DISPUTED, id="du_1"),)},
    ),
]


@pytest.mark.parametrize(("cause", "told"), PLANTED)
def test_what_was_planted_is_found_with_its_cause(cause: str, told: dict[str, Any]) -> None:
    planted = pair(**told)
    (found,) = differences(planted)
    assert found.cause.name == cause, found
    assert found.amount == counted(planted.booked) - sum(one.amount for one in planted.posted)


def test_every_cause_can_be_found() -> None:
    assert {cause for cause, _ in PLANTED} == {cause.name for cause in CAUSES}


def test_what_to_do_names_the_case_the_row_and_the_day() -> None:
    def next_of(told: dict[str, Any]) -> str:
        (found,) = differences(pair(**told))
        return what_next(found)

    planted = dict(PLANTED[::-1])
    assert next_of(planted["webhook_parked"]) == "dunning inbox replay 77"
    assert next_of(planted["unknown"]) == "dunning cases show case_1"
    missing = next_of({**NEW, "booked": (booked(),)})
    assert missing == "dunning reconcile --source stripe --since 2026-01-09"
    (old,) = differences(replace(pair(**NEW, booked=(booked(),)), data_until=days(40)))
    assert what_next(old) == "dunning cases show case_1"  # nobody keeps its event any more
    for cause in CAUSES:
        assert bool(cause.next) == (cause.verdict != EXPLAINED), cause.name


def test_a_payment_from_before_is_told_apart_from_one_with_another_amount() -> None:
    early, wrong = booked(1000, hours(-2), id="ch_0"), booked(AMOUNT + 1)
    found = differences(pair(posted=(posted(),), booked=(early, wrong)))
    assert [(one.cause.name, one.amount) for one in found] == [
        ("before_the_case", 1000),
        ("other_amount", 1),
    ]


def test_a_refund_that_failed_is_no_difference_where_the_ledger_knows_it() -> None:
    assert differences(pair(**REFUND, booked=(refund(fate=Fate.FAILED),))) == []


amounts = st.integers(1, 5)
moments = st.integers(-3, 40).map(days)


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Two books that know little of each other."""
    theirs = draw(
        st.lists(st.builds(booked, amounts, moments, fate=st.sampled_from(Fate)), max_size=4)
    )
    ours = draw(st.lists(st.builds(posted, amounts, moments, outside=st.booleans()), max_size=4))
    export = draw(st.sampled_from((None, FILE)))
    elsewhere = draw(st.lists(st.builds(posted, amounts, moments), max_size=2))
    return pair(
        known=known(too_much=draw(amounts), forgiven=draw(st.integers(0, 3))),
        booked=tuple(replace(one, id=f"ch_{place}") for place, one in enumerate(theirs)),
        posted=tuple(ours),
        posted_elsewhere=tuple(elsewhere),
        export=export,
    )


@settings(max_examples=60)
@given(pairs())
def test_the_parts_come_to_the_whole_difference(two: Pair) -> None:
    found: list[Difference] = differences(two)
    whole = counted(two.booked) - sum(one.amount for one in two.posted)
    assert sum(one.amount for one in found) == whole
    assert bool(found) == bool(whole)
