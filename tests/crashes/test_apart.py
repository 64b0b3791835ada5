"""web, worker and dispatch on PostgreSQL and Redis: each dies where only it can, one by one."""

from __future__ import annotations

import pytest
import redis

from tests.crashes import stories
from tests.crashes.house import House
from tests.crashes.stories import people

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)

# Each is started again with the order for its next death.
ORDERS = {
    "web": ("webhook.read:1", "inbox.before_commit:1", "inbox.committed:1", "webhook.answering:1"),
    "worker": (
        *("handle.before_commit:1", "message.taken:1", "intent.committed:1", "act.done:1"),
        *("outcome.before_commit:1", "message.done:1"),
    ),
    "dispatch": ("claim.committed:1", "broker.pushed:1"),
}


def test_each_kind_of_process_dies_at_its_points(apart: House) -> None:
    known = people(apart, 3)
    for name, orders in ORDERS.items():
        apart.is_to_die(name, *orders)
    apart.start_all(ORDERS)
    for who in known:
        stories.is_paid_the_next_day(apart, who)
        apart.audit()
    assert sorted(apart.died) == sorted(order for some in ORDERS.values() for order in some)
    assert apart.deaths == {name: len(orders) for name, orders in ORDERS.items()}, apart.said()


def test_two_of_each_die_in_turn(apart: House, redis_url: str) -> None:
    """Two webs hear everything twice, two dispatchers claim, two workers do; any of them dies."""
    known = people(apart, 2)
    pairs = [f"{kind}-{number}" for kind in ORDERS for number in (1, 2)]
    apart.start_all(pairs)
    for number, who in enumerate(known, 1):
        apart.world.declines(who)
        apart.renewal(who)
        for kind in ORDERS:
            apart.kill(f"{kind}-{number}")
            with redis.Redis.from_url(redis_url) as client:
                client.flushall()
            apart.passes(minutes=1)
        apart.passes(days=1)
        apart.rests()
        assert apart.world.state(who) == ("recovered", "full", "paid")
        assert apart.world.tries(who) == ["stripe decline", "api succeed"]
    assert apart.deaths == dict.fromkeys(pairs, 1)
    apart.audit()
