"""Who has left is left alone; who was lost for not paying is counted as that."""

from __future__ import annotations

import pytest

from dunning.store import SubscriptionRow
from tests.scenarios.conftest import Begin
from tests.world import World


def test_who_cancels_is_neither_charged_nor_written_to_again(world: World) -> None:
    ann = world.failing(times=9)
    world.passes(hours=3)
    world.sandbox.cancels(ann.id)
    world.settles(expect=["product case.closed"])
    assert world.state(ann) == ("closed", "full", "cancelled")
    assert world.balances(ann) == {"withdrawn": 4900}
    world.passes(days=40, expect=[])
    assert world.tries(ann) == ["stripe decline"]
    assert len(world.mailbox.messages) == 1


def test_the_word_of_a_cancellation_that_comes_late_is_found_before_the_charge(
    world: World,
) -> None:
    ann = world.failing(times=9)
    world.sandbox.deliver("drop", types=["customer.subscription.deleted"])
    world.sandbox.cancels(ann.id)
    happened = world.passes(days=1)
    assert happened == ["retry:1 not_owed", "product case.closed"]
    assert world.tries(ann) == ["stripe decline"]


def test_who_cancels_for_the_end_of_the_period_still_owes_this_one(world: World) -> None:
    ann = world.failing()
    world.sandbox.cancels(ann.id, at_period_end=True)
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])
    assert world.state(ann)[0] == "recovered"


def test_a_late_customer_can_cancel_and_what_they_pay_later_still_counts(world: World) -> None:
    ann = world.failing(times=5)
    world.passes(days=15)
    world.sandbox.cancels(ann.id)
    world.settles(expect=["product case.closed"])
    world.sandbox.world.faults.charges.clear()
    world.pays(ann, "4242424242424242")
    world.settles(
        expect=["restore:1", "product case.recovered", "product access.restored", "email recovered"]
    )
    assert world.balances(ann) == {"recovered": 4900}


def test_a_subscription_that_stripe_ends_for_non_payment_is_lost_and_not_cancelled(
    begin: Begin,
) -> None:
    policy = """
version: 1
policies:
  standard:
    grace: 5d
    window: 20d
    retries: provider
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 5d, do: suspend}
      - {at: 20d, do: give_up}
"""
    world = begin(policy=policy, smart_retries=[1, 1], after_exhaustion="cancel")
    ann = world.failing(times=9)
    world.passes(days=2, expect=["product case.lost"])
    assert world.state(ann) == ("lost", "full", "ended_for_non_payment")
    assert world.balances(ann) == {"lost": 4900}


def test_giving_up_leaves_our_reason_so_that_it_is_counted_as_involuntary(world: World) -> None:
    ann = world.failing(times=20)
    world.passes(days=28)
    subscription = world.stripe.v1.subscriptions.retrieve(ann.subscription)
    assert subscription.metadata is not None
    assert "unpaid" in subscription.metadata["dunning_reason"]
    with world.session() as session:
        row = session.get_one(SubscriptionRow, ("stripe", ann.subscription))
        assert row.ended_by_us


def test_an_invoice_that_is_voided_ends_the_case(world: World) -> None:
    ann = world.failing(times=9)
    world.passes(days=2)
    world.stripe.v1.invoices.void_invoice(world.case(ann)["invoice"])
    world.settles(expect=["product case.closed"])
    assert world.state(ann) == ("closed", "full", "voided")
    assert world.balances(ann) == {"withdrawn": 4900}
    world.passes(days=25, expect=[])


def test_what_is_written_off_elsewhere_is_lost_money_but_not_pursued(world: World) -> None:
    ann = world.failing(times=9)
    world.passes(days=15)
    world.stripe.v1.invoices.mark_uncollectible(world.case(ann)["invoice"])
    world.settles(expect=["restore:1", "product case.closed", "product access.restored"])
    assert world.state(ann) == ("closed", "full", "written_off_elsewhere")
    assert world.balances(ann) == {"lost": 4900}
    world.passes(days=13, expect=[])


def test_a_deleted_customer_is_left_alone(world: World) -> None:
    ann = world.failing(times=9)
    world.passes(days=2)
    world.stripe.v1.customers.delete(ann.id)
    world.settles(expect=["product case.closed"])
    assert world.balances(ann) == {"withdrawn": 4900}
    world.passes(days=40, expect=[])


def test_a_payment_after_everybody_gave_up_is_booked_as_a_late_recovery(world: World) -> None:
    ann = world.failing(times=6)
    world.passes(days=29)
    assert world.state(ann)[0] == "lost"
    world.pays(ann, "4242424242424242")
    world.settles(
        expect=["restore:1", "product case.recovered", "product access.restored", "email recovered"]
    )
    assert world.entries(ann)[-1] == ("lost", "recovered", 4900)
    assert world.state(ann) == ("recovered", "full", "paid")


@pytest.mark.parametrize(
    ("end", "invoice", "subscription"),
    [
        ("subscription: cancel, invoice: void", "void", "canceled"),
        ("subscription: keep, invoice: uncollectible", "uncollectible", "active"),
        ("subscription: keep, invoice: keep", "open", "past_due"),
    ],
)
def test_how_an_unpaid_invoice_ends_is_said_by_the_policy(
    begin: Begin, end: str, invoice: str, subscription: str
) -> None:
    policy = f"""
version: 1
policies:
  standard:
    grace: 3d
    window: 3d
    timeline:
      - {{at: 3d, do: give_up, {end}}}
"""
    world = begin(policy=policy)
    ann = world.failing(times=9, at_once=["product case.opened"])
    world.passes(days=2.9, expect=[])
    assert world.invoice(ann).status == "open"
    world.passes(days=0.2, expect=["give_up:1", "product case.lost"])
    assert world.invoice(ann).status == invoice
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).status == subscription
    assert world.balances(ann) == {"lost": 4900}
