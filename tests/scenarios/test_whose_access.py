"""Whose access a debt takes: one subscription's or the customer's; and who gives it back when."""

from __future__ import annotations

from typing import Any

from tests.scenarios.conftest import Begin
from tests.world import Customer, World

OPENED = "product case.opened"
SHORT = {"decline_code": "insufficient_funds"}
# Small invoices take one subscription, large ones everything the customer has.
MIXED = """
version: 1
policies:
  wide:
    grace: 2d
    window: 60d
    access: {scope: customer}
    timeline:
      - {at: 1d, do: restrict, tell: {banner: amber, exports: off}}
      - {at: 4d, do: suspend, tell: {banner: red}}
      - {at: 60d, do: give_up, subscription: keep, invoice: keep}
  narrow:
    grace: 2d
    window: 60d
    timeline:
      - {at: 2d, do: suspend}
      - {at: 60d, do: give_up, subscription: keep, invoice: keep}
choose:
  - {when: {amount: {at_least: 100 USD}}, policy: wide}
  - {policy: narrow}
"""


def paused(world: World, who: Customer) -> bool:
    return world.stripe.v1.subscriptions.retrieve(who.subscription).pause_collection is not None


def fails(world: World, who: Customer) -> None:
    """The subscription's renewal fails now, and nothing else of the customer does."""
    world.sandbox.next_charge(SHORT, times=1, subscription=who.subscription)
    world.renewal(who)
    assert world.happened() == [OPENED]


def told(world: World) -> list[tuple[str, str]]:
    """What the product was told of access: which level, of what."""
    calls = [call for call in world.product.calls if call["type"].startswith("access.")]
    return [(call["type"].partition(".")[2], call["data"]["scope"]) for call in calls]


def test_with_the_customer_as_scope_everything_they_have_goes_off_and_comes_back(
    begin: Begin,
) -> None:
    world = begin(policy=MIXED)
    yearly = world.customer(interval="year", amount=48_000)
    monthly = world.subscribe(yearly.id, yearly.method, amount=20_000)
    stopped = world.subscribe(yearly.id, yearly.method, amount=100, interval="year")
    # The customer asked for this pause; it is not ours to lift.
    behaviour: Any = {"pause_collection": {"behavior": "void"}}
    world.stripe.v1.subscriptions.update(stopped.subscription, behaviour)
    fails(world, monthly)
    world.passes(days=1, expect=["restrict:1", "product access.restricted"])
    data = world.product.calls[-1]["data"]
    assert (data["scope"], data["scope_kind"]) == (yearly.id, "customer")
    assert data["tell"] == {"banner": "amber", "exports": "off"}
    assert data["next"]["step"] == "suspend"
    assert data["why"] == "policy wide: restrict 1 at 1d"
    assert not paused(world, yearly)
    world.passes(days=3, expect=["suspend:1", "product access.suspended", "email suspended"])
    assert world.product.calls[-1]["data"]["tell"] == {"banner": "red"}
    assert paused(world, yearly)
    assert paused(world, monthly)
    world.pays(monthly)
    world.settles(expect=["restore:1", "product case.recovered", "product access.restored"])
    assert not paused(world, yearly)
    assert not paused(world, monthly)
    assert paused(world, stopped)
    world.passes(days=1, expect=["email recovered"])
    assert {scope for _, scope in told(world)} == {yearly.id}


def test_a_suspension_that_came_about_in_part_is_undone_when_the_money_comes(
    begin: Begin,
) -> None:
    world = begin(policy=MIXED)
    monthly = world.customer(amount=20_000)
    yearly = world.subscribe(monthly.id, monthly.method, amount=48_000, interval="year")
    fails(world, monthly)
    world.passes(days=3.9, expect=["restrict:1", "product access.restricted"])
    # Of two pauses one is made, and the other never is.
    path = f"/v1/subscriptions/{monthly.subscription}"
    world.sandbox.next_request({"status": 500}, path=path, method="POST", times=30)
    world.passes(hours=2.5, expect=[])
    assert (paused(world, monthly), paused(world, yearly)) == (False, True)
    world.sandbox.world.faults.requests.clear()
    world.pays(monthly)
    world.passes(
        minutes=5,
        expect=[
            "suspend:1 doubtful",
            "restore:1",
            "product case.recovered",
            "product access.restored",
        ],
    )
    assert (paused(world, monthly), paused(world, yearly)) == (False, False)


def test_a_pause_that_was_there_before_is_neither_changed_nor_lifted(begin: Begin) -> None:
    world = begin(policy=MIXED)
    ann = world.failing(times=1, at_once=[OPENED])
    behaviour: Any = {"pause_collection": {"behavior": "void"}}
    world.stripe.v1.subscriptions.update(ann.subscription, behaviour)
    world.passes(days=2, expect=["suspend:1", "product access.suspended", "email suspended"])
    world.pays(ann)
    world.passes(minutes=5)
    assert told(world)[-1] == ("restored", ann.subscription)
    pause = world.stripe.v1.subscriptions.retrieve(ann.subscription).pause_collection
    assert pause is not None
    assert pause.behavior == "void"


def two_debts(begin: Begin) -> tuple[World, Customer, Customer]:
    """One customer: a small subscription that is off, and a large debt that turns all off."""
    world = begin(policy=MIXED)
    small = world.customer(amount=4900)
    large = world.subscribe(small.id, small.method, amount=20_000)
    for who in (small, large):
        world.sandbox.next_charge(SHORT, times=1, subscription=who.subscription)
    world.renewal(large)
    assert world.happened() == [OPENED, OPENED]
    return world, small, large


def test_of_mixed_scopes_the_worst_counts_and_the_last_to_let_go_gives_back(
    begin: Begin,
) -> None:
    world, small, large = two_debts(begin)
    everything = small.id
    world.passes(days=3)
    assert told(world) == [("restricted", everything), ("suspended", small.subscription)]
    assert (paused(world, small), paused(world, large)) == (True, False)
    world.passes(days=2)
    assert told(world)[2:] == [("suspended", everything)]
    assert (paused(world, small), paused(world, large)) == (True, True)
    world.pays(large)
    world.passes(minutes=5)
    # All of it comes back, but for the one whose own invoice is still unpaid.
    assert told(world)[3:] == [("restored", everything), ("suspended", small.subscription)]
    assert world.product.calls[-1]["data"]["why"] == "another unpaid invoice"
    assert (paused(world, small), paused(world, large)) == (True, False)
    world.pays(small)
    world.passes(minutes=5)
    assert told(world)[5:] == [("restored", small.subscription)]
    assert (paused(world, small), paused(world, large)) == (False, False)


def test_while_everything_is_off_one_subscription_does_not_come_back_alone(begin: Begin) -> None:
    world, small, large = two_debts(begin)
    world.passes(days=5)
    before = len(told(world))
    world.pays(small)
    world.passes(minutes=5)
    assert len(told(world)) == before
    assert (paused(world, small), paused(world, large)) == (True, True)
    world.pays(large)
    world.passes(minutes=5)
    assert told(world)[before:] == [("restored", small.id)]
    assert (paused(world, small), paused(world, large)) == (False, False)


def test_a_word_on_the_customer_does_not_lighten_what_one_subscription_has(begin: Begin) -> None:
    """Restricting all of it would read as better news for the one that is suspended."""
    lines = MIXED.replace("at: 1d, do: restrict", "at: 3d, do: restrict")
    world = begin(policy=lines)
    small = world.customer(amount=4900)
    large = world.subscribe(small.id, small.method, amount=20_000)
    for who in (small, large):
        world.sandbox.next_charge(SHORT, times=1, subscription=who.subscription)
    world.renewal(large)
    world.passes(days=3, hours=1)
    assert told(world) == [
        ("suspended", small.subscription),
        ("restricted", small.id),
        ("suspended", small.subscription),
    ]


ANNOUNCING = """
version: 1
policies:
  standard:
    grace: 6d
    window: 20d
    timeline:
      - {at: 2d, do: announce, name: show_banner, tell: {banner: red, text: Please pay}}
      - {at: 4d, do: announce, name: lock_exports}
      - {at: 6d, do: suspend}
      - {at: 20d, do: give_up}
"""


def test_an_announcement_tells_the_product_once_what_the_policy_says(begin: Begin) -> None:
    world = begin(policy=ANNOUNCING)
    ann = world.failing("lost_card", times=9, at_once=[OPENED])
    assert world.product.calls[-1]["data"]["why"] == "the payment failed"
    # It is not a charge: a card that must not be tried does not stand in its way.
    world.passes(days=2, expect=["announce:1", "product case.announced"])
    data = world.product.calls[-1]["data"]
    assert data["name"] == "show_banner"
    assert data["tell"] == {"banner": "red", "text": "Please pay"}
    assert (data["access"], data["amount_at_risk"], data["currency"]) == ("full", 4900, "usd")
    assert data["next"]["step"] == "announce"
    assert data["next"]["name"] == "lock_exports"
    assert data["next"]["at"] == "2026-04-06T11:00:00Z"
    world.passes(days=2, expect=["announce:2", "product case.announced"])
    assert "tell" not in world.product.calls[-1]["data"]
    world.passes(days=26)
    assert world.product.types.count("case.announced") == 2
    assert world.tries(ann) == ["stripe decline"]


def test_no_announcement_is_made_of_a_debt_that_was_paid(begin: Begin) -> None:
    world = begin(policy=ANNOUNCING)
    ann = world.failing(times=1, at_once=[OPENED])
    world.pays(ann)
    world.settles(expect=["product case.recovered"])
    world.passes(days=20, expect=[])


def test_what_is_announced_late_comes_in_order_and_not_behind_the_door(begin: Begin) -> None:
    world = begin(policy=ANNOUNCING)
    ann = world.failing(times=9, at_once=[OPENED])
    world.hands.hold(world.case(ann)["id"], world.ops, until=None)
    world.passes(days=5, expect=[])
    world.hands.resume(world.case(ann)["id"], world.ops)
    world.passes(
        minutes=1,
        expect=["announce:1", "announce:2", "product case.announced", "product case.announced"],
    )
    names = [call["data"]["name"] for call in world.product.calls[-2:]]
    assert names == ["show_banner", "lock_exports"]


def one_off(world: World, amount: int = 30_000) -> Customer:
    """A customer with a paid subscription, and an invoice of its own that fails now."""
    who = world.customer(interval="year")
    world.declines(who, times=9)
    v1 = world.stripe.v1
    made: Any = v1.invoices.create({"customer": who.id, "auto_advance": True})
    v1.invoice_items.create(
        {"customer": who.id, "invoice": made.id, "amount": amount, "currency": "usd"}
    )
    v1.invoices.finalize_invoice(made.id)
    world.passes(hours=1)
    return who


ONE_OFF = """
version: 1
policies:
  standard:
    grace: 3d
    window: 9d
    access: {scope: %s}
    timeline:
      - {at: 1d, do: retry}
      - {at: 2d, do: restrict}
      - {at: 3d, do: suspend}
      - {at: 9d, do: give_up, subscription: cancel, invoice: void}
"""


def test_a_one_off_invoice_does_not_take_the_subscription_that_is_paid(begin: Begin) -> None:
    world = begin(policy=ONE_OFF % "subscription")
    who = one_off(world)
    (case,) = world.cases(customer=who.id)
    assert (case["subscription"], case["state"]) == (None, "in_grace")
    world.passes(days=4, expect=["retry:1 declined", "restrict:1 skipped", "suspend:1 skipped"])
    assert "belongs to no subscription" in world.record()
    world.passes(days=5, expect=["give_up:1", "product case.lost"])
    assert told(world) == []
    assert world.stripe.v1.subscriptions.retrieve(who.subscription).status == "active"
    assert world.stripe.v1.invoices.retrieve(case["invoice"]).status == "void"


def test_a_one_off_invoice_may_have_a_policy_of_its_own(begin: Begin) -> None:
    single = "choose: [{when: {subscription: false}, policy: standard}, {policy: renewals}]"
    renewals = "  renewals: {grace: 3d, window: 9d, timeline: [{at: 0h, do: restrict}]}"
    world = begin(policy="\n".join([ONE_OFF % "subscription", renewals, single]))
    who = one_off(world)
    (case,) = world.cases(customer=who.id)
    assert case["policy"] == "standard"


def test_a_one_off_invoice_takes_the_customers_access_where_the_policy_says_so(
    begin: Begin,
) -> None:
    world = begin(policy=ONE_OFF % "customer")
    who = one_off(world)
    (case,) = world.cases(customer=who.id)
    world.passes(days=9, hours=1)
    assert told(world) == [("restricted", who.id), ("suspended", who.id)]
    assert paused(world, who)
    assert world.stripe.v1.subscriptions.retrieve(who.subscription).status == "active"
    assert world.cases(customer=who.id)[0]["state"] == "lost"
    world.sandbox.world.faults.charges.clear()
    # It was voided, so nothing of it can be paid any more.
    assert world.stripe.v1.invoices.retrieve(case["invoice"]).status == "void"
