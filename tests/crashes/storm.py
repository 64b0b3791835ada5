"""A storm: weeks of many customers while processes are killed and servers forget or stop."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field

import redis
from sqlmodel import func, select

from dunning.sandbox.population import Population
from dunning.sandbox.world import DAY
from dunning.store import InboxRow
from tests.crashes.house import House
from tests.servers import Server

KINDS = ("web", "worker-1", "worker-2", "worker-3", "dispatch")


@dataclass(slots=True)
class Storm:
    """What is done to a house, by chance from a seed, and how often."""

    house: House
    postgres: Server
    redis: Server
    seed: int = 7
    kill_every: float = 2.0
    flush_every: float = 4.0
    stop_at: tuple[float, ...] = ()  # shares of the virtual time at which PostgreSQL is killed
    counts: Counter[str] = field(default_factory=Counter)

    def rages(self, days: float, *, seconds: float) -> None:
        """Let so many days pass in the storm, or as many as fit into these seconds."""
        house, chance = self.house, random.Random(self.seed)
        began = time.monotonic()
        kill, flush = began + self.kill_every, began + self.flush_every
        first = house.sandbox.now
        stops = [first + share * days * DAY for share in self.stop_at]
        house.sandbox.clock.advance(first + int(days * DAY))
        while not house.sandbox.clock.wait(0.02):
            now = time.monotonic()
            if now - began > seconds:
                break
            if now >= kill:
                victim = chance.choice(KINDS)
                house.lives[victim].dies()
                self.counts[f"kill -9 of {victim.partition('-')[0]}"] += 1
                house.revive()
                # From when it is back: time stands still for as long as it is not.
                kill = time.monotonic() + self.kill_every * chance.uniform(0.5, 1.5)
            if now >= flush:
                with redis.Redis.from_url(self.redis.url) as client:
                    client.flushall()
                self.counts["FLUSHALL"] += 1
                flush = now + self.flush_every * chance.uniform(0.5, 1.5)
            if stops and house.sandbox.now >= stops[0]:
                stops.pop(0)
                self.postgres.kill()
                self.counts["PostgreSQL killed"] += 1
                self.postgres.start()
            house.revive()
        # Whoever is dead comes back; where time had not arrived, it ends here.
        with house.sandbox.world.lock:
            if house.sandbox.world.now < house.sandbox.world.target:
                house.sandbox.world.target = house.sandbox.world.now + 1
        house.passes()
        self.counts["virtual days"] = (house.sandbox.now - first) // DAY


def moves_in(house: House, customers: int, days: float) -> Population:
    """Customers with a life of their own, half of whose renewals fail."""
    people = Population(house.sandbox, customers=customers, seed=7, days=days, failure_share=0.5)
    people.install()
    return people


def figures(house: House, storm: Storm) -> dict[str, int]:
    """What happened, for those who read."""
    lines = house.sandbox.books()["invoices"].values()
    ours = [one for line in lines for one in line["attempts"] if one["by"] == "api"]
    with house.world.session() as session:
        events = session.exec(select(func.count()).select_from(InboxRow)).one()
    return {
        **dict(sorted(storm.counts.items())),
        "processes begun again": sum(house.deaths.values()),
        "webhooks kept": events,
        "charges we made": len(ours),
        "of them paid": sum(1 for one in ours if one["outcome"] == "succeed"),
        "messages that arrived": len(house.world.mailbox.messages),
        "calls the product took": len(house.world.product.calls),
        "cases": len(house.world.cases()),
    }
