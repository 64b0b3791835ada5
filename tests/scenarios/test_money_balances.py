"""What was paid, credited, given back or taken back: every cent is in one account, and stays."""

from __future__ import annotations

from typing import Any

from tests.scenarios.conftest import Begin
from tests.world import Customer, World

PAID = ["product case.recovered", "email recovered"]


def recovered(world: World, **more: Any) -> Customer:
    """A customer whose first retry went through."""
    ann = world.failing(**more)
    world.passes(days=1, expect=["retry:1 paid", *PAID])
    return ann


def charge_of(world: World, who: Customer) -> str:
    (payment,) = world.books(who)["payments"]
    return str(payment["charge"])


def test_a_part_is_paid_and_then_the_rest(world: World) -> None:
    ann = world.failing()
    world.passes(hours=1)
    world.pays_part(ann, 1000)
    world.settles(expect=[])
    assert world.balances(ann) == {"recovered": 1000, "at_risk": 3900}
    assert world.case(ann)["amount_at_risk"] == 3900
    world.passes(days=1, expect=["retry:1 paid", *PAID])
    assert world.entries(ann) == [
        ("owed", "at_risk", 4900),
        ("at_risk", "recovered", 1000),
        ("at_risk", "recovered", 3900),
    ]


def test_a_credit_note_takes_a_part_of_the_debt_away(world: World) -> None:
    ann = world.failing(times=2)
    world.passes(hours=1)
    invoice = world.case(ann)["invoice"]
    world.stripe.v1.credit_notes.create({"invoice": invoice, "amount": 900})
    world.settles(expect=[])
    assert world.balances(ann) == {"withdrawn": 900, "at_risk": 4000}
    world.passes(days=4, expect=["retry:1 declined", "email reminder", "retry:2 paid", *PAID])
    assert world.balances(ann) == {"withdrawn": 900, "recovered": 4000}


def test_a_credit_note_over_all_of_it_ends_the_case_without_a_recovery(world: World) -> None:
    ann = world.failing(times=9)
    world.passes(hours=1)
    world.stripe.v1.credit_notes.create({"invoice": world.case(ann)["invoice"], "amount": 4900})
    world.settles(expect=["product case.closed"])
    assert world.balances(ann) == {"withdrawn": 4900}
    assert world.state(ann) == ("closed", "full", "credited")
    world.passes(days=20, expect=[])


def test_a_refund_takes_back_what_was_recovered(world: World) -> None:
    ann = recovered(world)
    world.passes(days=2, expect=[])
    world.stripe.v1.refunds.create({"charge": charge_of(world, ann), "amount": 1500})
    world.settles(expect=[])
    assert world.balances(ann) == {"recovered": 3400, "refunded": 1500}
    world.stripe.v1.refunds.create({"charge": charge_of(world, ann)})
    world.settles(expect=[])
    assert world.balances(ann) == {"refunded": 4900}
    assert world.state(ann)[0] == "recovered"


def test_a_refund_that_fails_later_is_recovered_money_again(world: World) -> None:
    ann = recovered(world)
    refund = world.stripe.v1.refunds.create({"charge": charge_of(world, ann)})
    world.settles(expect=[])
    assert world.balances(ann) == {"refunded": 4900}
    world.passes(days=3)
    world.control("POST", f"refunds/{refund.id}/fail")
    world.settles(expect=[])
    assert world.balances(ann) == {"recovered": 4900}


def test_a_dispute_that_is_lost_takes_the_money_for_good(world: World) -> None:
    ann = recovered(world)
    world.passes(days=5)
    dispute = world.sandbox.disputes(ann.id, charge_of(world, ann))
    world.settles(expect=[])
    assert world.balances(ann) == {"disputed": 4900}
    world.passes(days=9)
    world.control("POST", f"disputes/{dispute['id']}/close", {"status": "lost"})
    world.settles(expect=[])
    assert world.balances(ann) == {"disputed": 4900}


def test_a_dispute_that_is_won_brings_the_money_back(world: World) -> None:
    ann = recovered(world)
    world.passes(days=5)
    dispute = world.sandbox.disputes(ann.id, charge_of(world, ann))
    world.passes(days=9, expect=[])
    world.control("POST", f"disputes/{dispute['id']}/close", {"status": "won"})
    world.settles(expect=[])
    assert world.balances(ann) == {"recovered": 4900}
    assert world.entries(ann)[2:] == [
        ("recovered", "disputed", 4900),
        ("disputed", "recovered", 4900),
    ]


def test_money_that_came_by_another_way_is_told_apart(world: World) -> None:
    ann = world.failing()
    world.passes(hours=3)
    world.stripe.v1.invoices.pay(world.case(ann)["invoice"], {"paid_out_of_band": True})
    world.settles(expect=PAID[:1])
    assert world.how(ann) == ["outside"]
    world.passes(days=1, expect=PAID[1:])


def test_what_we_did_not_cause_is_not_claimed(begin: Begin) -> None:
    silent = """
version: 1
policies: {standard: {grace: 9d, window: 9d, timeline: [{at: 5d, do: retry}]}}
"""
    world = begin(policy=silent)
    ann = world.failing(at_once=["product case.opened"])
    world.passes(hours=3)
    world.pays(ann)
    world.settles(expect=["product case.recovered"])
    assert world.how(ann) == ["natural"]


def test_currencies_are_never_mixed(world: World) -> None:
    ann = world.failing(times=9)
    world.passes(days=1, expect=["retry:1 declined"])
    bob = world.customer(currency="eur", amount=9900, email="bob@example.com")
    kim = world.customer(currency="jpy", amount=7200, email="kim@example.com")
    world.declines(bob, times=9)
    world.declines(kim, times=9)
    world.renewal(bob)
    world.happened()
    at_risk = {case["currency"]: case["amount_at_risk"] for case in world.cases(state="in_grace")}
    assert at_risk == {"eur": 9900, "jpy": 7200}
    assert world.balances(ann) == {"lost": 4900}
    subjects = [str(message["Subject"]) for message in world.mailbox.messages[-2:]]
    assert any("€99.00" in subject for subject in subjects)
    assert any("¥7,200" in subject for subject in subjects)
