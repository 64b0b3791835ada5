"""A payment in process and a dispute freeze the timeline; so does a person's hold."""

from __future__ import annotations

from datetime import timedelta

from tests.world import World

PAID = ["product case.recovered", "email recovered"]
DEBIT = {"processing": {"seconds": 5 * 86_400, "then": "succeed"}}
RETURNED = {"decline_code": "insufficient_funds", "network_decline_code": "R01"}
BANK = "pm_usBankAccount_success"
BOUNCES = {"processing": {"seconds": 5 * 86_400, "then": RETURNED}}


def test_a_debit_in_process_freezes_everything_and_then_pays(world: World) -> None:
    ann = world.failing(RETURNED, card=BANK)
    world.declines(ann, DEBIT)
    world.passes(days=1, expect=["retry:1 processing"])
    world.passes(days=4.9, expect=[])
    assert world.state(ann) == ("in_grace", "full", None)
    world.passes(days=0.2, expect=PAID)
    assert world.how(ann) == ["retry:1"]
    assert len(world.tries(ann)) == 2


def test_a_debit_that_fails_after_days_lets_the_timeline_go_on(world: World) -> None:
    ann = world.failing(RETURNED, card=BANK)
    world.declines(ann, BOUNCES)
    world.passes(days=1, expect=["retry:1 processing"])
    world.passes(days=4.9, expect=[])
    # What was due meanwhile is done now, and nothing twice.
    world.passes(days=0.2, expect=["retry:2 processing", "email reminder"])
    world.passes(days=5, expect=PAID)
    assert world.how(ann) == ["retry:2"]


def test_a_debit_of_the_customers_own_is_not_charged_on_top_of(world: World) -> None:
    ann = world.failing()
    world.declines(ann, DEBIT)
    world.passes(hours=1)
    assert world.pays(ann) == "processing"
    world.passes(days=4, expect=[])
    world.passes(days=2, expect=PAID)
    assert world.tries(ann) == ["stripe decline", "customer processing"]


def test_a_debit_begins_the_timeline_when_it_fails_and_not_when_it_is_made(world: World) -> None:
    ann = world.customer(card=BANK)
    world.declines(ann, BOUNCES)
    world.renewal(ann)
    world.passes(days=4.9, expect=[])
    assert world.cases() == []
    world.passes(days=0.1, expect=["product case.opened", "email payment_failed"])
    assert world.case(ann)["opened_at"] == f"{world.now:%Y-%m-%dT%H:%M:%SZ}"


def test_a_disputed_payment_freezes_what_is_left_of_the_debt(world: World) -> None:
    ann = world.failing()
    world.passes(hours=1)
    world.pays_part(ann, 1900)
    world.settles(expect=[])
    assert world.balances(ann) == {"at_risk": 3000, "recovered": 1900}
    world.declines(ann, times=20)
    dispute = world.sandbox.disputes(ann.id)
    world.passes(days=12, expect=[])
    assert world.balances(ann) == {"at_risk": 3000, "disputed": 1900}
    world.control("POST", f"disputes/{dispute['id']}/close", {"status": "won"})
    world.passes(
        days=0.9,
        expect=[
            "retry:1 skipped",
            "retry:2 skipped",
            "retry:3 declined",
            "restrict:1",
            "product access.restricted",
            "email:2 skipped",
            "email final_notice",
        ],
    )


def test_a_hold_stops_everything_until_it_ends_and_nothing_comes_in_a_burst(world: World) -> None:
    ann = world.failing(times=20)
    until = world.now + timedelta(days=8)
    world.hands.hold(world.case(ann)["id"], world.ops, until=until)
    world.passes(days=7.9, expect=[])
    world.passes(
        days=0.2,
        expect=["retry:1 skipped", "retry:2 skipped", "retry:3 declined", "email reminder"],
    )
    assert world.tries(ann) == ["stripe decline", "api decline"]


def test_a_held_case_goes_on_when_somebody_resumes_it(world: World) -> None:
    ann = world.failing(times=9)
    world.hands.hold(world.case(ann)["id"], world.ops)
    world.passes(days=2, expect=[])
    world.hands.resume(world.case(ann)["id"], world.ops)
    world.passes(minutes=1, expect=["retry:1 declined"])
    world.passes(days=2, expect=["email reminder", "retry:2 declined"])


def test_a_payment_during_a_hold_recovers_at_once(world: World) -> None:
    ann = world.failing()
    world.hands.hold(world.case(ann)["id"], world.ops)
    world.passes(days=2, expect=[])
    world.pays(ann)
    world.settles(expect=PAID)


def test_a_case_closed_by_hand_is_left_alone(world: World) -> None:
    ann = world.failing(times=2)
    world.passes(days=1)
    world.hands.close(world.case(ann)["id"], world.ops)
    world.passes(days=28, expect=["product case.closed"])
    assert world.state(ann) == ("closed", "full", "closed_by_hand")
    assert world.balances(ann) == {"withdrawn": 4900}
