"""Short stories in which a process may die anywhere: each ends with the money where it belongs."""

from __future__ import annotations

from collections.abc import Callable

from tests.crashes.house import House
from tests.world import Customer

Story = Callable[[House, Customer], None]


def people(house: House, count: int, *, every: float = 2) -> list[Customer]:
    """Who subscribe some days after each other, before we are there."""
    found = []
    for number in range(count):
        # The same amount of the same card too often would be too much for the house.
        who = house.world.customer(email=f"ann{number}@example.com", amount=4900 + number)
        found.append(who)
        house.passes(days=every)
    return found


def is_paid_the_next_day(house: House, ann: Customer) -> None:
    """A renewal fails; a case, a call, an email; the first retry is paid."""
    house.world.declines(ann)
    house.renewal(ann)
    house.passes(days=1, minutes=2)
    house.rests()
    assert house.world.state(ann) == ("recovered", "full", "paid")
    assert house.world.tries(ann) == ["stripe decline", "api succeed"]


def is_suspended_and_restored(house: House, ann: Customer) -> None:
    """Nothing helps for two weeks; suspended, the customer pays on the hosted page."""
    house.passes(days=0.2)
    house.rests()
    assert house.world.state(ann)[:2] == ("suspended", "suspended")
    house.sandbox.world.faults.charges.clear()
    house.world.pays(ann, "4242424242424242")
    house.passes(minutes=5)
    house.rests()
    assert house.world.state(ann) == ("recovered", "full", "paid")
    subscription = house.world.stripe.v1.subscriptions.retrieve(ann.subscription)
    assert subscription.pause_collection is None


def before_suspension(house: House, ann: Customer) -> None:
    """Up to an hour or two before a customer is suspended; nobody dies so far."""
    house.world.declines(ann, times=40)
    house.renewal(ann)
    house.passes(days=13.9)
    house.rests()
