"""Another saved method of the customer is charged where the policy allows it, and only then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.conftest import Begin
from tests.world import Customer, World

OPENED = ["product case.opened"]
PAID = ["product case.recovered"]
POLICY = """
version: 1
policies:
  standard:
    grace: 10d
    window: 20d
    backup_methods: %s
    timeline:
      - {at: 2d, do: retry}
      - {at: 4d, do: retry}
      - {at: 10d, do: suspend}
      - {at: 20d, do: give_up}
"""


def saves(world: World, who: Customer, card: str, usage: str = "off_session") -> str:
    """The customer saves a method beside the one they pay with; its id."""
    wish: Any = {
        "customer": who.id,
        "payment_method": card,
        "payment_method_types": ["sepa_debit" if "sepa" in card else "card"],
        "usage": usage,
        "confirm": True,
    }
    return str(world.stripe.v1.setup_intents.create(wish).payment_method)


def refuses(world: World, method: str, code: str, times: int = 9) -> None:
    """The bank behind this method says no to the next charges."""
    world.sandbox.next_charge({"decline_code": code}, times=times, payment_method=method)


def default_of(world: World, who: Customer) -> str:
    customer: Any = world.stripe.v1.customers.retrieve(who.id)
    return str(customer.invoice_settings.default_payment_method)


def failing(world: World, who: Customer, code: str) -> None:
    refuses(world, who.method, code)
    world.renewal(who)
    assert world.happened()[: len(OPENED)] == OPENED


def test_when_the_card_is_lost_the_next_saved_one_is_charged(begin: Begin) -> None:
    world = begin(policy=POLICY % "[card]")
    who = world.customer()
    other = saves(world, who, "pm_card_mastercard")
    refuses(world, who.method, "lost_card")
    world.renewal(who)
    world.passes(minutes=5, expect=[*OPENED, f"retry:backup:{other} paid", *PAID])
    assert world.tries(who) == ["stripe decline", "api succeed"]
    assert world.books(who)["attempts"][-1]["payment_method"] == other
    assert world.how(who) == ["backup_method"]
    assert default_of(world, who) == who.method
    subscription = world.stripe.v1.subscriptions.retrieve(who.subscription)
    assert subscription.default_payment_method is None


def test_without_the_key_no_other_method_is_touched(begin: Begin) -> None:
    world = begin(policy=POLICY.replace("    backup_methods: %s\n", ""))
    who = world.customer()
    saves(world, who, "pm_card_mastercard")
    failing(world, who, "lost_card")
    world.passes(days=9, expect=["retry:1 skipped", "retry:2 skipped"])


def test_one_saved_for_use_in_the_customers_presence_is_left_alone(begin: Begin) -> None:
    world = begin(policy=POLICY % "any")
    who = world.customer()
    saves(world, who, "pm_card_mastercard", "on_session")
    world.stripe.v1.payment_methods.attach("pm_card_amex", {"customer": who.id})
    failing(world, who, "lost_card")
    world.passes(days=9, expect=["retry:1 skipped", "retry:2 skipped"])
    assert world.tries(who) == ["stripe decline"]


def test_the_order_is_the_policys_each_once_and_a_day_apart(begin: Begin) -> None:
    world = begin(policy=POLICY % "[sepa_debit, card]")
    who = world.customer()
    card = saves(world, who, "pm_card_mastercard")
    saves(world, who, "pm_usBankAccount_success")
    world.passes(minutes=5)
    second = saves(world, who, "pm_card_amex")
    refuses(world, card, "insufficient_funds")
    refuses(world, second, "stolen_card")
    refuses(world, who.method, "lost_card")
    world.renewal(who)
    # The one saved last goes first; the type that the policy does not name is left alone.
    world.passes(minutes=5, expect=[*OPENED, f"retry:backup:{second} declined"])
    world.passes(days=0.9, expect=[])
    world.passes(days=0.2, expect=[f"retry:backup:{card} declined"])
    world.passes(days=8, expect=["retry:1 skipped", "retry:2 skipped"])
    assert world.tries(who) == ["stripe decline", "api decline", "api decline"]


def test_a_refused_backup_says_nothing_of_the_card_that_is_the_default(begin: Begin) -> None:
    world = begin(policy=POLICY % "{order: [card], also: after_last_retry}")
    who = world.customer()
    other = saves(world, who, "pm_card_mastercard")
    refuses(world, who.method, "insufficient_funds", times=3)
    refuses(world, other, "stolen_card")
    world.renewal(who)
    world.passes(days=3, expect=[*OPENED, "retry:1 declined"])
    world.passes(days=2, expect=["retry:2 declined", f"retry:backup:{other} declined"])
    case = world.case(who)
    assert (case["decline_code"], case["advice"]) == ("insufficient_funds", "wait")
    # So a person may still have the good one tried.
    world.hands.retry(case["id"], world.ops)
    (again, *rest) = world.passes(minutes=5)
    assert again.startswith("retry:hand:")
    assert again.endswith("paid")
    assert rest == PAID


def test_after_the_last_retry_the_door_waits_for_the_backup(begin: Begin) -> None:
    lines = POLICY.replace("at: 4d, do: retry", "before: suspend 1h, do: retry")
    world = begin(policy=lines % "{order: any, also: after_last_retry}")
    who = world.customer()
    other = saves(world, who, "pm_card_mastercard")
    failing(world, who, "insufficient_funds")
    world.passes(
        days=11,
        expect=["retry:1 declined", "retry:2 declined", f"retry:backup:{other} paid", *PAID],
    )


@pytest.mark.parametrize("code", ["fraudulent", "revocation_of_all_authorizations"])
def test_who_is_suspected_or_refuses_is_not_charged_another_way(begin: Begin, code: str) -> None:
    world = begin(policy=POLICY % "any")
    who = world.customer()
    saves(world, who, "pm_card_mastercard")
    failing(world, who, code)
    world.passes(days=9, expect=["retry:1 skipped", "retry:2 skipped"])


def test_a_card_that_was_taken_away_gives_way_to_another(begin: Begin) -> None:
    world = begin(policy=POLICY % "any")
    who = world.customer()
    other = saves(world, who, "pm_card_mastercard")
    failing(world, who, "insufficient_funds")
    world.stripe.v1.payment_methods.detach(who.method)
    world.passes(minutes=5, expect=[f"retry:backup:{other} paid", *PAID])


def test_one_saved_after_the_failure_is_known_by_then(begin: Begin) -> None:
    world = begin(policy=POLICY % "any")
    who = world.customer()
    failing(world, who, "lost_card")
    world.passes(days=1, expect=[])
    other = saves(world, who, "pm_card_mastercard")
    # A new card is tried as the provider would: it still has the lost one as the default.
    # All of it in one second, told by name.
    (second, first, *rest) = world.passes(minutes=5)
    assert first.startswith("retry:card:")
    assert first.endswith("declined")
    assert second == f"retry:backup:{other} paid"
    assert rest == PAID
