"""A new card is charged at once, once; what the card network refreshes by itself is not."""

from __future__ import annotations

import pytest

from tests.world import World

PAID = ["product case.recovered", "email recovered"]


def card_retry(world: World) -> str:
    return f"retry:card:{int(world.now.timestamp())}"


def test_a_suspended_customer_gives_a_card_pays_and_is_served_again(world: World) -> None:
    ann = world.failing(times=20)
    world.passes(days=15)
    assert world.state(ann) == ("suspended", "suspended", None)
    paused = world.stripe.v1.subscriptions.retrieve(ann.subscription).pause_collection
    assert paused is not None
    assert paused.behavior == "keep_as_draft"
    world.sandbox.world.faults.charges.clear()
    world.sandbox.new_card(ann.id)
    world.settles(
        expect=[
            f"{card_retry(world)} paid",
            "restore:1",
            "product case.recovered",
            "product access.restored",
            "email recovered",
        ]
    )
    assert world.state(ann) == ("recovered", "full", "paid")
    assert world.how(ann) == ["new_card"]
    assert world.product.types == [
        "case.opened",
        "access.restricted",
        "access.suspended",
        "case.recovered",
        "access.restored",
    ]
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).pause_collection is None
    world.passes(days=13, expect=[])


def test_a_new_card_in_grace_pays_the_old_invoice(world: World) -> None:
    ann = world.failing()
    world.passes(hours=5)
    world.sandbox.new_card(ann.id)
    world.settles(expect=[f"{card_retry(world)} paid", PAID[0]])
    assert world.tries(ann) == ["stripe decline", "api succeed"]
    world.passes(days=1, expect=[PAID[1]])


def test_a_new_card_that_fails_too_costs_no_rung(world: World) -> None:
    ann = world.failing(times=2)
    world.passes(hours=5)
    world.sandbox.new_card(ann.id)
    world.settles(expect=[f"{card_retry(world)} declined"])
    world.passes(days=2, expect=["retry:1 paid", *PAID])


def test_a_dead_card_is_replaced_and_the_ladder_goes_on(world: World) -> None:
    ann = world.failing("stolen_card", at_once=["product case.opened", "email new_card_needed"])
    world.passes(days=1, expect=["retry:1 skipped"])
    world.declines(ann)
    world.sandbox.new_card(ann.id)
    world.settles(expect=[f"{card_retry(world)} declined"])
    happened = world.passes(days=3)
    assert happened[-3:] == ["retry:2 paid", *PAID]


def test_two_cards_in_a_row_and_the_customers_own_try_make_no_double_charge(world: World) -> None:
    ann = world.failing()
    world.passes(hours=5)
    world.sandbox.new_card(ann.id, "5555555555554444")
    world.sandbox.new_card(ann.id)
    world.pays(ann)
    # Our own try may be begun before the payment is heard of; it charges nothing either way.
    happened = world.passes()
    assert [one for one in happened if one != f"{card_retry(world)} not_owed"] == [PAID[0]]
    world.passes(days=1, expect=[PAID[1]])
    assert world.tries(ann) == ["stripe decline", "customer succeed"]


def test_two_new_cards_are_charged_once(world: World) -> None:
    ann = world.failing()
    world.passes(hours=5)
    world.sandbox.new_card(ann.id, "5555555555554444")
    world.passes(minutes=1, expect=[f"{card_retry(world)} paid", PAID[0]])
    world.sandbox.new_card(ann.id)
    world.passes(days=1, expect=[PAID[1]])
    assert world.tries(ann) == ["stripe decline", "api succeed"]


def test_the_card_on_the_subscription_gives_way_to_the_new_one(world: World) -> None:
    """Stripe itself would go on charging the subscription's own, dead card."""
    ann = world.customer()
    old = world.stripe.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": ann.id})
    world.stripe.v1.subscriptions.update(ann.subscription, {"default_payment_method": old.id})
    world.renewal(ann)
    assert world.happened() == ["product case.opened", "email payment_failed"]
    world.passes(hours=30, expect=["retry:1 declined"])
    world.sandbox.new_card(ann.id)
    world.settles(expect=[f"{card_retry(world)} paid", *PAID])


def test_fresh_details_from_the_card_network_start_no_charge_and_reset_nothing(
    world: World,
) -> None:
    ann = world.failing(times=3)
    world.passes(days=2)
    world.sandbox.automatically_updated(ann.method)
    world.settles(expect=[])
    world.passes(days=3, expect=["email reminder", "retry:2 declined"])
    world.sandbox.automatically_updated(ann.method)
    world.passes(days=5, expect=["retry:3 paid", *PAID])
    assert len(world.tries(ann)) == 4


def test_an_expired_card_that_the_network_renewed_is_charged_on_the_next_rung(
    world: World,
) -> None:
    ann = world.failing("expired_card", at_once=["product case.opened", "email new_card_needed"])
    world.passes(days=1, expect=["retry:1 skipped"])
    world.sandbox.automatically_updated(ann.method)
    world.settles(expect=[])
    happened = world.passes(days=3)
    assert happened[-3:] == ["retry:2 paid", *PAID]


@pytest.mark.parametrize(("number", "charged"), [("4000056655665556", True), ("", False)])
def test_the_limits_are_those_of_the_card_and_not_of_the_customer(
    world: World, number: str, charged: bool
) -> None:
    ann = world.failing(times=99)
    for _ in range(8):
        world.passes(minutes=10)
        world.pays(ann)
    world.sandbox.world.faults.charges.clear()
    if charged:
        world.sandbox.new_card(ann.id, number)
        world.settles(expect=[f"{card_retry(world)} paid", PAID[0]])
        world.passes(days=1, expect=[PAID[1]])
    else:
        world.sandbox.new_card(ann.id)  # the same card once more
        world.settles(expect=[f"{card_retry(world)} skipped"])
