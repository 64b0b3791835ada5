"""The main job: a failed charge is recovered or lost, and the ledger says so."""

from __future__ import annotations

from tests.world import World


def test_an_unpaid_invoice_is_walked_to_the_end_and_lost(world: World) -> None:
    ann = world.failing(times=20)
    world.passes(
        days=28,
        expect=[
            "retry:1 declined",
            "email reminder",
            "retry:2 declined",
            "retry:3 declined",
            "restrict:1",
            "product access.restricted",
            "email final_notice",
            "retry:4 declined",
            "suspend:1",
            "product access.suspended",
            "email suspended",
            "retry:5 declined",
            "give_up:1",
            "product case.lost",
        ],
    )
    assert world.state(ann) == ("lost", "suspended", "given_up")
    assert world.entries(ann) == [("owed", "at_risk", 4900), ("at_risk", "lost", 4900)]
    assert world.tries(ann) == ["stripe decline", *["api decline"] * 5]
    assert world.product.types == [
        "case.opened",
        "access.restricted",
        "access.suspended",
        "case.lost",
    ]
    assert [row.template for row in world.messages()] == [
        "payment_failed",
        "reminder",
        "final_notice",
        "suspended",
    ]
    assert world.invoice(ann).status == "uncollectible"
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).status == "canceled"
    world.passes(days=60, expect=[])
