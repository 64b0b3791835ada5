"""A place on the timeline is a moment, never a count of failures: no rung is skipped or doubled."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import stripe
from sqlmodel import select

from dunning.store import StepRow
from tests.world import World


def dates(world: World) -> list[str]:
    """When each step was done, as the record has it."""
    with world.session() as session:
        rows = session.exec(select(StepRow).where(StepRow.kind != "reconcile")).all()
    done = sorted((row.ended_at, row.kind == "email", row.key) for row in rows if row.ended_at)
    return [f"{at:%a %d %b %H:%M} {key.partition('/')[2]}" for at, _, key in done]


def test_every_rung_of_the_default_is_reached_on_its_day_and_once(world: World) -> None:
    world.failing(times=20)
    world.passes(days=28)
    assert dates(world) == [
        "Thu 02 Apr 11:00 email:1",
        "Fri 03 Apr 11:00 retry:1",
        "Sun 05 Apr 11:00 email:2",
        "Mon 06 Apr 08:00 retry:2",
        "Thu 09 Apr 11:00 retry:3",
        "Sun 12 Apr 11:00 restrict:1",
        "Mon 13 Apr 11:00 email:3",
        "Wed 15 Apr 11:00 retry:4",
        "Thu 16 Apr 11:00 suspend:1",
        "Thu 16 Apr 11:00 email:suspended",
        "Thu 23 Apr 11:00 retry:5",
        "Thu 30 Apr 11:00 give_up:1",
    ]


def test_charges_by_others_neither_use_up_a_rung_nor_skip_one(world: World) -> None:
    ann = world.failing(times=40)
    invoice = world.case(ann)["invoice"]
    world.passes(hours=2)
    assert world.pays(ann) == "decline"
    world.passes(days=1, hours=22, expect=["retry:1 declined"])
    with pytest.raises(stripe.CardError):
        world.stripe.v1.invoices.pay(invoice)
    world.passes(days=26)
    done = [line.split()[-1] for line in dates(world)]
    assert done == [
        *("email:1", "retry:1", "email:2", "retry:2", "retry:3", "restrict:1", "email:3"),
        *("retry:4", "suspend:1", "email:suspended", "retry:5", "give_up:1"),
    ]
    case = world.case(ann)["id"]
    ours = [one["key"] for one in world.books(ann)["attempts"] if one["key"]]
    assert [key for key in ours if key.startswith(case)] == [
        f"{case}/retry:{number}" for number in range(1, 6)
    ]


def test_tries_by_others_count_against_the_limits_of_the_card_and_hold_up_nothing_else(
    world: World,
) -> None:
    ann = world.failing(times=99)
    for _ in range(12):
        world.passes(hours=1)
        world.pays(ann)
    world.passes(
        days=28,
        expect=[
            "retry:1 skipped",
            "email reminder",
            "retry:2 skipped",
            "retry:3 skipped",
            "restrict:1",
            "product access.restricted",
            "email final_notice",
            "retry:4 skipped",
            "suspend:1",
            "product access.suspended",
            "email suspended",
            "retry:5 skipped",
            "give_up:1",
            "product case.lost",
        ],
    )
    assert "are allowed" in world.step(ann, "retry:2").why
    assert world.tries(ann) == ["stripe decline", *["customer decline"] * 12]


def test_a_retry_by_hand_uses_up_no_rung(world: World) -> None:
    ann = world.failing(times=3)
    world.passes(hours=2)
    world.hands.retry(world.case(ann)["id"], world.ops)
    (one,) = world.passes(minutes=1)
    assert one.startswith("retry:hand:")
    assert one.endswith("declined")
    # Two charges are as far apart as the bank's answer asks for.
    world.passes(days=1, expect=["retry:1 declined"])
    world.passes(
        days=3,
        expect=["email reminder", "retry:2 paid", "product case.recovered", "email recovered"],
    )
    assert world.how(ann) == ["retry:2"]


def test_an_outage_is_no_decline_and_burns_nothing(world: World) -> None:
    ann = world.failing(times=2)
    with world.stripe_away():
        world.passes(days=1, hours=20, expect=[])
    assert world.tries(ann) == ["stripe decline"]
    assert world.step(ann, "retry:1").state in ("deferred", "unknown")
    world.passes(hours=6.5, expect=["retry:1 declined"])
    world.passes(
        days=2,
        expect=["email reminder", "retry:2 paid", "product case.recovered", "email recovered"],
    )


def test_rungs_missed_in_an_outage_are_dropped_on_record_and_not_fired_in_a_burst(
    world: World,
) -> None:
    ann = world.failing(times=20)
    with world.stripe_away():
        world.passes(days=9, expect=["retry:1 skipped", "retry:2 skipped"])
    world.passes(hours=7, expect=["retry:3 declined", "email reminder"])
    assert "retry:2 is due as well" in world.step(ann, "retry:1").why
    assert world.tries(ann) == ["stripe decline", "api decline"]


def test_a_part_payment_skips_no_state(world: World) -> None:
    ann = world.failing(times=30)
    world.passes(days=5)
    world.sandbox.world.faults.charges.clear()
    world.pays_part(ann, 1900)
    world.declines(ann, times=30)
    world.passes(
        days=24,
        expect=[
            "retry:3 declined",
            "restrict:1",
            "product access.restricted",
            "email final_notice",
            "retry:4 declined",
            "suspend:1",
            "product access.suspended",
            "email suspended",
            "retry:5 declined",
            "give_up:1",
            "product case.lost",
        ],
    )
    assert world.balances(ann) == {"recovered": 1900, "lost": 3000}


def test_months_are_not_counted_in_days(world: World) -> None:
    """The story's dates follow from 28 days, whatever the month is."""
    assert world.now == datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    world.failing()
    assert world.now == datetime(2026, 4, 2, 11, 0, tzinfo=UTC)
