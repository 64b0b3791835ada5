"""A worker that is stopped for longer than its lease, and one that is dead: who goes on, and when."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.crashes.house import LEASE_SECONDS, LIMIT, House, house_on
from tests.crashes.test_apart import customers
from tests.databases import PostgresDatabases
from tests.world import Customer

# Beside what is promised: the machine may have other things to do.
SLACK = 10.0
INVOICES = "/v1/invoices"


def charges(house: House, who: Customer) -> list[str]:
    """The tries by our key; there may be no case yet."""
    lines = house.sandbox.books()["invoices"].values()
    mine = [one for line in lines if line["customer"] == who.id for one in line["attempts"]]
    return [f"{one['by']} {one['outcome']}" for one in mine]


def requests_of(house: House, part: str) -> int:
    with house.sandbox.world.lock:
        return sum(1 for one in house.sandbox.world.requests if part in one["path"])


def test_a_worker_that_stands_still_and_comes_back_writes_nothing(apart: House) -> None:
    """Its charge went through; another found it; what the first one says afterwards is refused."""
    (ann,) = customers(apart, 1)
    apart.world.declines(ann)
    for name in ("web", "dispatch"):
        apart.start(name)
    slow = apart.start("worker-1")
    apart.renewal(ann)
    apart.passes(days=0.9)
    apart.rests()
    # The charge is made, its answer takes its time.
    apart.sandbox.next_charge({"hang": 3.0})
    apart.sandbox.clock.advance(apart.sandbox.now + 4 * 3600)
    apart.until(lambda: "api succeed" in charges(apart, ann), "the charge is made")
    slow.signal(signal.SIGSTOP)
    apart.start("worker-2")
    apart.passes()
    apart.rests()
    assert apart.world.state(ann) == ("recovered", "full", "paid")
    before = apart.world.record()
    slow.signal(signal.SIGCONT)
    apart.until(lambda: "step.lease_lost" in slow.said(), "the late one is refused")
    assert apart.world.record() == before
    assert charges(apart, ann) == ["stripe decline", "api succeed"]
    apart.audit()


def test_what_a_killed_worker_held_is_gone_on_with_a_lease_later(
    tmp_path: Path, postgres_databases: PostgresDatabases, redis_url: str
) -> None:
    """Virtual seconds are as long as real ones here."""
    url = postgres_databases.create(migrated=True)
    with house_on(url, tmp_path, broker_url=redis_url, speed=1.0, tick=1) as house:
        ann = house.world.customer()
        house.world.declines(ann)
        for name in ("web", "dispatch"):
            house.start(name)
        victim = house.start("worker-1")
        house.sandbox.next_request({"hang": LIMIT}, path=INVOICES)
        house.sandbox.clock.advance(int(ann.renews_at.timestamp()) + 2 * 3600)
        house.until(lambda: requests_of(house, INVOICES) == 1, "its first step is under way")
        house.start("worker-2")
        del house.lives["worker-1"]
        house.past.append(victim)
        assert requests_of(house, INVOICES) == 1, "a lease that is kept is taken by nobody"
        victim.dies()
        began = time.monotonic()
        house.until(lambda: requests_of(house, INVOICES) > 1, "somebody goes on with it")
        took = time.monotonic() - began
        print(f"\nafter kill -9 work went on within {took:.2f} s; the lease is {LEASE_SECONDS} s")
        assert took <= LEASE_SECONDS + 2 + SLACK
    postgres_databases.drop(url)
