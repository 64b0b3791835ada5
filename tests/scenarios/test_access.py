"""Access follows the policy, per subscription: not a day too early, back by itself on payment."""

from __future__ import annotations

from datetime import timedelta

from tests.scenarios.conftest import Begin
from tests.world import Customer, World

PAID = ["product case.recovered", "email recovered"]


def test_service_goes_on_through_the_whole_grace_period(world: World) -> None:
    ann = world.failing(times=20)
    world.passes(days=13.9)
    case = world.case(ann)
    assert case["state"] == "in_grace"
    assert "access.suspended" not in world.product.types
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).pause_collection is None
    world.passes(days=0.2, expect=["suspend:1", "product access.suspended", "email suspended"])
    assert world.product.calls[-1]["data"]["scope"] == ann.subscription


def test_stripes_retries_neither_restart_the_grace_period_nor_repeat_a_message(
    begin: Begin,
) -> None:
    policy = """
version: 1
policies:
  standard:
    grace: 6d
    window: 9d
    retries: provider
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 6d, do: suspend}
      - {at: 9d, do: give_up}
"""
    world = begin(policy=policy, smart_retries=[1, 1, 1, 1, 1])
    ann = world.failing(times=20)
    world.passes(
        days=9,
        expect=[
            "suspend:1",
            "product access.suspended",
            "email suspended",
            "give_up:1",
            "product case.lost",
        ],
    )
    assert world.step(ann, "suspend:1").due_at == world.now - timedelta(days=3)
    assert world.tries(ann) == ["stripe decline"] * 6


def test_a_late_success_gives_no_free_days_and_the_next_failure_a_grace_of_its_own(
    world: World,
) -> None:
    ann = world.failing(times=5)
    world.passes(days=13)
    world.sandbox.world.faults.charges.clear()
    world.pays(ann)
    world.settles(
        expect=["restore:1", "product case.recovered", "product access.restored", "email recovered"]
    )
    renews = world.stripe.v1.subscriptions.retrieve(ann.subscription)["items"]["data"][0]
    assert renews["current_period_end"] == int((ann.renews_at + timedelta(days=30)).timestamp())
    world.declines(ann, times=9)
    world.passes(days=17, hours=2, expect=["product case.opened", "email payment_failed"])
    (first, second) = world.cases(customer=ann.id)
    assert (first["state"], second["state"]) == ("recovered", "in_grace")
    world.passes(days=13, expect=None)
    assert world.cases(customer=ann.id)[1]["state"] == "in_grace"
    assert "access.suspended" not in world.product.types


def yearly_and_monthly(world: World) -> tuple[Customer, Customer]:
    """One customer, a yearly subscription that is paid, a monthly one that fails now."""
    yearly = world.customer(interval="year", amount=48_000)
    monthly = world.subscribe(yearly.id, yearly.method)
    world.sandbox.next_charge(
        {"decline_code": "insufficient_funds"}, times=20, subscription=monthly.subscription
    )
    world.renewal(monthly)
    assert world.happened() == ["product case.opened", "email payment_failed"]
    return yearly, monthly


def test_an_unpaid_monthly_subscription_does_not_stop_the_yearly_one_that_is_paid(
    world: World,
) -> None:
    yearly, monthly = yearly_and_monthly(world)
    world.passes(days=28)
    assert world.state(monthly) == ("lost", "suspended", "given_up")
    retrieve = world.stripe.v1.subscriptions.retrieve
    assert retrieve(yearly.subscription).status == "active"
    assert retrieve(yearly.subscription).pause_collection is None
    assert retrieve(monthly.subscription).status == "canceled"
    assert {call["data"]["scope"] for call in world.product.calls} == {monthly.subscription}


def test_two_unpaid_invoices_of_one_subscription_let_go_only_together(begin: Begin) -> None:
    policy = """
version: 1
policies:
  standard:
    grace: 8d
    window: 40d
    timeline:
      - {at: 8d, do: suspend}
      - {at: 40d, do: give_up}
"""
    world = begin(policy=policy)
    ann = world.failing(times=9, at_once=["product case.opened"], interval="week")

    def paused() -> bool:
        known = world.stripe.v1.subscriptions.retrieve(ann.subscription)
        return known.pause_collection is not None

    world.passes(days=7, expect=["product case.opened"])
    world.passes(days=1, expect=["suspend:1", "product access.suspended", "email suspended"])
    # The application knows already; only the case is told apart.
    world.passes(days=7, expect=["suspend:1", "email suspended"])
    first, second = world.cases(customer=ann.id)
    world.sandbox.world.faults.charges.clear()
    world.sandbox.pays(ann.id, second["invoice"])
    # This case lets go; the subscription stays off for the sake of the other one.
    world.settles(expect=["restore:1", "product case.recovered"])
    assert paused()
    world.sandbox.pays(ann.id, first["invoice"])
    world.settles(expect=["restore:1", "product case.recovered", "product access.restored"])
    assert not paused()
    # They were written to today already; tomorrow they are thanked for both.
    world.passes(days=1, expect=["email recovered", "email:recovered skipped"])


def test_a_partly_paid_invoice_is_suspended_and_ended_by_the_policy_and_by_nothing_else(
    world: World,
) -> None:
    ann = world.failing(times=20)
    world.passes(days=2)
    world.sandbox.world.faults.charges.clear()
    world.pays_part(ann, 4000)
    world.declines(ann, times=20)
    world.passes(days=11.9)
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).status == "past_due"
    world.passes(days=0.2, expect=["suspend:1", "product access.suspended", "email suspended"])
    assert world.balances(ann) == {"recovered": 4000, "at_risk": 900}
