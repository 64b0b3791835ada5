"""What the bank said decides whether a card may be charged again, and what the customer hears."""

from __future__ import annotations

import pytest

from tests.world import World

NO_CHARGES = [
    "retry:1 skipped",
    "email new_card_needed",
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
]
TOLD = ["product case.opened", "email new_card_needed"]


@pytest.mark.parametrize("code", ["lost_card", "expired_card", "incorrect_cvc"])
def test_a_card_that_is_dead_is_never_charged_again_and_the_customer_is_asked_for_another(
    world: World, code: str
) -> None:
    ann = world.failing(code, times=50, at_once=TOLD)
    happened = world.passes(days=28)
    assert [one for one in happened if one != "email new_card_needed"] == [
        one for one in NO_CHARGES if one != "email new_card_needed"
    ]
    assert world.tries(ann) == ["stripe decline"]


def test_a_stolen_card_is_not_charged_every_night_but_the_customer_still_hears_of_it(
    world: World,
) -> None:
    ann = world.failing("stolen_card", times=50, at_once=TOLD)
    world.passes(days=28, expect=NO_CHARGES)
    assert world.tries(ann) == ["stripe decline"]
    assert all("stop" in world.step(ann, f"retry:{n}").why for n in range(1, 6))


def test_a_later_hard_decline_stops_the_charges_and_is_told_at_once(world: World) -> None:
    ann = world.failing()
    world.declines(ann, "expired_card")
    world.passes(days=1, expect=["retry:1 declined", "email new_card_needed"])
    world.passes(days=5, expect=["email new_card_needed", "retry:2 skipped"])
    assert world.tries(ann) == ["stripe decline", "api decline"]
    world.sandbox.new_card(ann.id)
    world.settles(
        expect=[
            f"retry:card:{int(world.now.timestamp())} paid",
            "product case.recovered",
            "email recovered",
        ]
    )


def test_fraud_words_are_never_told_to_the_customer(world: World) -> None:
    world.failing("stolen_card", times=9, at_once=TOLD)
    (message,) = world.mailbox.messages
    text = message.as_string().lower()
    assert "stolen" not in text
    assert "fraud" not in text


def test_somebody_without_any_card_is_asked_for_one_and_nothing_is_charged(world: World) -> None:
    ann = world.customer()
    world.stripe.v1.payment_methods.detach(ann.method)
    world.renewal(ann)
    assert world.happened() == ["product case.opened", "email payment_failed"]
    # The first rung asks Stripe, which has nothing to charge; no other one does.
    expect = ["retry:1 declined", "email new_card_needed", *NO_CHARGES[1:]]
    world.passes(days=28, expect=expect)
    assert world.tries(ann) == ["stripe no_method"]


def test_what_only_the_merchant_can_mend_is_not_put_to_the_customer(world: World) -> None:
    ann = world.failing("merchant_blacklist", times=9)
    world.passes(days=4, expect=["retry:1 skipped", "email reminder", "retry:2 skipped"])
    assert world.tries(ann) == ["stripe decline"]
