"""Who has left is left alone; who was lost for not paying is counted as that."""

from __future__ import annotations

import pytest

from dunning.store import SubscriptionRow
from tests.scenarios.conftest import Begin
from tests.world import Customer, World


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
        ("subscription: pause, invoice: uncollectible", "uncollectible", "active"),
        ("subscription: unpaid, invoice: keep", "open", "past_due"),
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
    off = "pause" in end or "unpaid" in end
    told = ["product access.suspended"] if off else []
    world.passes(days=0.2, expect=["give_up:1", *told, "product case.lost"])
    assert world.invoice(ann).status == invoice
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).status == subscription
    assert world.balances(ann) == {"lost": 4900}


def paused(world: World, who: Customer) -> str | None:
    """What becomes of the subscription's later invoices while it is paused."""
    pause = world.stripe.v1.subscriptions.retrieve(who.subscription).pause_collection
    return pause.behavior if pause else None


@pytest.mark.parametrize(
    ("end", "behaviour", "later"), [("pause", "void", "void"), ("unpaid", "keep_as_draft", "draft")]
)
def test_a_late_payment_undoes_a_pause(begin: Begin, end: str, behaviour: str, later: str) -> None:
    policy = f"""
version: 1
policies:
  standard:
    grace: 3d
    window: 3d
    timeline:
      - {{at: 3d, do: give_up, subscription: {end}}}
"""
    world = begin(policy=policy)
    ann = world.failing(times=1, at_once=["product case.opened"])
    world.passes(days=3, expect=["give_up:1", "product access.suspended", "product case.lost"])
    assert world.state(ann) == ("lost", "suspended", "given_up")
    assert paused(world, ann) == behaviour
    world.passes(days=31, expect=[])
    newest = world.stripe.v1.invoices.list({"subscription": ann.subscription, "limit": 1}).data[0]
    assert newest.status == later
    world.pays(ann)
    world.settles(expect=["restore:1", "product case.recovered", "product access.restored"])
    assert paused(world, ann) is None
    assert world.state(ann) == ("recovered", "full", "paid")


def test_a_late_payment_does_not_bring_back_what_was_cancelled(begin: Begin) -> None:
    policy = """
version: 1
policies:
  standard:
    grace: 3d
    window: 4d
    timeline:
      - {at: 3d, do: suspend}
      - {at: 4d, do: give_up, subscription: cancel}
"""
    world = begin(policy=policy)
    ann = world.failing(times=1, at_once=["product case.opened"])
    world.passes(days=5)
    world.pays(ann)
    world.passes(minutes=5)
    assert world.state(ann) == ("recovered", "full", "paid")
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).status == "canceled"


CANCELLING = """
version: 1
policies:
  standard:
    grace: 4d
    window: 6d
    on_cancel: %s
    timeline:
      - {at: 2d, do: retry}
      - {at: 4d, do: suspend}
      - {at: 6d, do: give_up, subscription: cancel}
"""
OPENED = ["product case.opened"]


def test_what_a_customer_owes_who_cancels_may_be_pursued_all_the_same(begin: Begin) -> None:
    world = begin(policy=CANCELLING % "keep")
    ann = world.failing(times=9, at_once=OPENED)
    world.sandbox.cancels(ann.id)
    world.settles(expect=[])
    assert world.state(ann) == ("in_grace", "full", None)
    assert world.balances(ann) == {"at_risk": 4900}
    # The service is gone: there is nothing to suspend.
    world.passes(days=4, expect=["retry:1 declined", "suspend:1 skipped"])
    assert "subscription has ended" in world.step(ann, "suspend:1").why
    world.passes(days=2, expect=["give_up:1", "product case.lost"])
    assert world.balances(ann) == {"lost": 4900}


def test_a_charge_after_the_cancellation_is_a_recovery_where_the_debt_is_kept(
    begin: Begin,
) -> None:
    world = begin(policy=CANCELLING % "keep")
    ann = world.failing(times=1, at_once=OPENED)
    world.sandbox.cancels(ann.id)
    world.passes(days=2, expect=["retry:1 paid", "product case.recovered"])
    assert world.balances(ann) == {"recovered": 4900}


@pytest.mark.parametrize("wish", ["void", "void_if_wholly_unpaid"])
def test_a_cancellation_may_void_what_is_owed(begin: Begin, wish: str) -> None:
    world = begin(policy=CANCELLING % wish)
    ann = world.failing(times=9, at_once=OPENED)
    world.sandbox.cancels(ann.id)
    world.settles(expect=["void:1", "product case.closed"])
    assert world.invoice(ann).status == "void"
    assert world.state(ann) == ("closed", "full", "cancelled")
    assert world.balances(ann) == {"withdrawn": 4900}
    assert len(world.entries(ann)) == 2
    world.passes(days=20, expect=[])


def test_voiding_waits_for_stripe_and_happens_once(begin: Begin) -> None:
    world = begin(policy=CANCELLING % "void")
    ann = world.failing(times=9, at_once=OPENED)
    world.sandbox.next_request({"status": 500}, path="/void", times=1)
    world.sandbox.cancels(ann.id)
    world.passes(hours=1)
    assert world.step(ann, "void:1").result == "done"
    assert world.invoice(ann).status == "void"
    assert world.balances(ann) == {"withdrawn": 4900}


def test_of_a_partly_paid_invoice_the_rest_stays_owed(begin: Begin) -> None:
    world = begin(policy=CANCELLING % "void_if_wholly_unpaid")
    ann = world.failing(times=1, at_once=OPENED)
    world.passes(hours=3)
    world.pays_part(ann, 900)
    world.sandbox.cancels(ann.id)
    world.settles(expect=[])
    assert world.balances(ann) == {"at_risk": 4000, "recovered": 900}
    assert world.invoice(ann).status == "open"
    world.passes(days=2, expect=["retry:1 paid", "product case.recovered"])
    assert world.balances(ann) == {"recovered": 4900}


def test_of_a_partly_paid_invoice_the_rest_may_be_voided_as_well(begin: Begin) -> None:
    world = begin(policy=CANCELLING % "void")
    ann = world.failing(times=1, at_once=OPENED)
    world.passes(hours=3)
    world.pays_part(ann, 900)
    world.sandbox.cancels(ann.id)
    world.settles(expect=["void:1", "product case.closed"])
    assert world.balances(ann) == {"withdrawn": 4000, "recovered": 900}


def test_who_is_let_go_by_a_cancellation_keeps_what_else_they_have(begin: Begin) -> None:
    """The whole customer was off for one subscription; that is gone now, and nothing is owed."""
    wide = CANCELLING.replace("on_cancel: %s", "on_cancel: void\n    access: {scope: customer}")
    world = begin(policy=wide)
    yearly = world.customer(interval="year")
    monthly = world.subscribe(yearly.id, yearly.method)
    outcome = {"decline_code": "insufficient_funds"}
    world.sandbox.next_charge(outcome, times=9, subscription=monthly.subscription)
    world.renewal(monthly)
    world.passes(days=5)
    assert paused(world, yearly) == "keep_as_draft"
    world.stripe.v1.subscriptions.cancel(monthly.subscription)
    world.passes(minutes=5)
    assert world.state(monthly) == ("closed", "full", "cancelled")
    assert paused(world, yearly) is None
    assert world.product.types[-2:] == ["case.closed", "access.restored"]
