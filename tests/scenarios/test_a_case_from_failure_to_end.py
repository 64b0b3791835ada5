"""The main job: a failed charge is recovered or lost, and the ledger says so."""

from __future__ import annotations

from tests.world import World


def test_an_unpaid_invoice_is_walked_to_the_end_and_lost(world: World) -> None:
    ann = world.failing(times=20)
    world.passes(days=1, expect=["email payment_failed", "retry:1 declined"])


def test_a_retry_that_succeeds_recovers_the_invoice(world: World) -> None:
    ann = world.failing(times=2)
    print(world.passes(days=10))
    assert world.case(ann)["state"] == "recovered"
    assert world.balances(ann) == {"recovered": 4900}
    assert world.charges_paid(ann) == 1
