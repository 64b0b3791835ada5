"""A charge whose answer got lost: it is looked up, never repeated blindly, never counted twice."""

from __future__ import annotations

import pytest

from tests.world import World

PAID = ["retry:1 paid", "product case.recovered", "email recovered"]


def was_charged_once(world: World) -> None:
    (ann,) = world.cases()
    line = world.sandbox.books()["invoices"][ann["invoice"]]
    assert line["successful_charges"] == 1
    assert line["amount_paid"] == 4900
    charges = [r for r in world.sandbox.world.requests if r["path"].endswith("/pay")]
    assert {r["key"] for r in charges} == {f"{ann['id']}/retry:1"}
    assert ann["state"] == "recovered"


@pytest.mark.parametrize(
    "lost",
    [{"drop": "after"}, {"hang": 3}, {"status": 500, "when": "after"}],
    ids=["the line was cut", "no answer in time", "an error after the fact"],
)
def test_a_charge_that_went_through_unheard_is_found_and_not_made_again(
    world: World, lost: dict[str, object]
) -> None:
    ann = world.failing()
    world.sandbox.next_charge(lost, customer=ann.id)
    world.passes(days=1, expect=PAID)
    assert world.how(ann) == ["retry:1"]
    was_charged_once(world)


@pytest.mark.parametrize(
    "lost",
    [
        {"drop": "before"},
        {"status": 500},
        {"status": 429, "retry_after": 1},
        {"status": 429, "retry_after": 120},
        {"status": 409},
    ],
    ids=["the line was cut", "an error", "too many requests", "a long pause", "busy"],
)
def test_a_charge_that_did_not_go_through_is_made_later_under_the_same_key(
    world: World, lost: dict[str, object]
) -> None:
    ann = world.failing()
    for _ in range(3):  # the adapter itself tries three times where that is safe
        world.sandbox.next_request(lost, path="/pay", method="POST")
    world.passes(days=1)
    world.sandbox.world.faults.requests.clear()
    assert world.case(ann)["state"] == "in_grace"
    assert world.tries(ann) == ["stripe decline"]
    world.passes(hours=1, expect=PAID)
    assert world.step(ann, "retry:1").tries == 2
    was_charged_once(world)


def goes_dark(world: World) -> None:
    """The next charge goes through; from then on Stripe answers nothing and says nothing."""
    stripe = world.sandbox.world

    def issuer(_attempt: object) -> None:
        assert stripe.request is not None
        stripe.request.drop_after = True
        stripe.issuer = None
        world.sandbox.next_request({"drop": "before"}, times=100_000)

    stripe.issuer = issuer
    world.sandbox.deliver("hold")


def gets_light(world: World) -> None:
    """Stripe answers again; its webhooks still do not come."""
    world.sandbox.world.faults.requests.clear()


def is_heard_of(world: World) -> None:
    """The webhooks come as well, and change nothing."""
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.settles(expect=[])


def test_while_nobody_can_be_asked_the_charge_waits_and_then_it_is_found(world: World) -> None:
    ann = world.failing()
    goes_dark(world)
    world.passes(days=1, expect=[])
    assert world.step(ann, "retry:1").state == "unknown"
    assert world.case(ann)["state"] == "in_grace"
    gets_light(world)
    world.passes(minutes=10, expect=PAID)
    assert world.step(ann, "retry:1").why == "found at the provider after an unknown ending"
    is_heard_of(world)
    was_charged_once(world)


def test_after_four_dark_days_the_payment_is_found_and_nothing_is_charged_again(
    world: World,
) -> None:
    ann = world.failing()
    goes_dark(world)
    world.passes(days=4, expect=[])
    gets_light(world)
    world.passes(
        hours=6,
        expect=[
            "retry:1 not_owed",
            "retry:2 not_owed",
            "product case.recovered",
            "email:2 not_owed",
            "email recovered",
        ],
    )
    is_heard_of(world)
    assert world.how(ann) == ["retry:1"]
    was_charged_once(world)
    assert world.tries(ann) == ["stripe decline", "api succeed"]


def test_a_webhook_settles_the_doubt_before_we_can_ask(world: World) -> None:
    ann = world.failing()
    goes_dark(world)
    world.passes(days=1, expect=[])
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.settles(expect=["retry:1 paid", "product case.recovered"])
    assert world.how(ann) == ["retry:1"]
    gets_light(world)
    world.passes(hours=1, expect=["email recovered"])
    was_charged_once(world)


def test_a_key_too_old_to_trust_charges_only_after_stripe_said_there_was_no_try(
    world: World,
) -> None:
    ann = world.failing()
    world.sandbox.next_request({"drop": "before"}, path="/pay", times=1)
    world.passes(hours=23.99)
    world.passes(minutes=1, expect=[])
    assert world.step(ann, "retry:1").state == "unknown"
    with world.stripe_away():
        world.passes(days=1, expect=[])
    assert world.tries(ann) == ["stripe decline"]
    world.passes(hours=7, expect=PAID)
    was_charged_once(world)


def test_an_answer_that_never_changes_is_not_asked_for_for_ever(world: World) -> None:
    """Stripe repeats a stored error to whoever repeats the request."""
    ann = world.failing()
    world.sandbox.next_request({"status": 500}, path="/pay", method="POST", times=1000)
    world.passes(days=1, hours=3, expect=["retry:1 skipped"])
    step = world.step(ann, "retry:1")
    assert "records show no try" in step.why
    asked = [r for r in world.sandbox.world.requests if r["path"].endswith("/pay")]
    assert 1 < len(asked) <= 3 * 3
    world.sandbox.world.faults.requests.clear()
    world.passes(days=5, expect=["email reminder", "retry:2 paid", *PAID[1:]])
    assert world.tries(ann) == ["stripe decline", "api succeed"]
