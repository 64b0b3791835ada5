"""web, worker and dispatch on PostgreSQL and Redis: each dies where only it can, one by one."""

from __future__ import annotations

import pytest
import redis

from tests.crashes import stories
from tests.crashes.house import House
from tests.world import Customer

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)

POINTS = {
    "web": ("webhook.read", "inbox.before_commit", "inbox.committed", "webhook.answering"),
    "worker": (
        *("handle.before_commit", "message.taken", "intent.committed", "act.done"),
        *("outcome.before_commit", "message.done"),
    ),
    "dispatch": ("claim.committed", "broker.pushed"),
}


def customers(house: House, count: int) -> list[Customer]:
    """Who subscribe two days after each other, before we are there."""
    found = []
    for number in range(count):
        # The same amount of the same card too often would be too much for the house.
        who = house.world.customer(email=f"ann{number}@example.com", amount=4900 + number)
        found.append(who)
        house.passes(days=2)
    return found


@pytest.mark.parametrize("kind", POINTS)
def test_each_kind_of_process_dies_at_its_points(apart: House, kind: str) -> None:
    people = customers(apart, len(POINTS[kind]))
    for name in POINTS:
        apart.start(name)
    for number, (point, who) in enumerate(zip(POINTS[kind], people, strict=True), 1):
        apart.swap(kind, crash=f"{point}:1")
        stories.is_paid_the_next_day(apart, who)
        assert apart.deaths == {kind: number}, f"nobody died at {point}\n{apart.said()}"
        apart.audit()


def test_two_of_each_die_in_turn(apart: House, redis_url: str) -> None:
    """Two webs hear everything twice, two dispatchers claim, two workers do; any of them dies."""
    people = customers(apart, 6)
    pairs = [f"{kind}-{number}" for kind in POINTS for number in (1, 2)]
    for name in pairs:
        apart.start(name)
    for name, who in zip(pairs, people, strict=True):
        apart.world.declines(who)
        apart.renewal(who)
        apart.kill(name)
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        apart.passes(days=1, minutes=2)
        apart.rests()
        assert apart.world.state(who) == ("recovered", "full", "paid")
    assert apart.deaths == dict.fromkeys(pairs, 1)
    apart.audit()
