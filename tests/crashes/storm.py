"""A storm: weeks of many customers while processes are killed and servers forget or stop."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import redis
from sqlmodel import func, select

from dunning.sandbox.population import Population
from dunning.sandbox.world import DAY
from dunning.store import InboxRow, StepRow
from tests.crashes.house import LIMIT, House
from tests.servers import Server

KINDS = (
    *("web-1", "web-2"),
    *("worker-1", "worker-2", "worker-3"),
    *("dispatch-1", "dispatch-2"),
)


@dataclass(slots=True)
class Storm:
    """What is done to a house, by chance from a seed, and how often.

    Whoever was killed comes back beside the others, who go on. One of each kind is left alive:
    with nobody who keeps step, or nobody who listens, the sandbox's months would pass unheard.
    """

    house: House
    postgres: Server
    redis: Server
    seed: int = 7
    kill_every: float = 1.0
    flush_every: float = 8.0
    stop_every: float = 20.0
    counts: Counter[str] = field(default_factory=Counter)
    _coming: dict[str, threading.Thread] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    def rages(self, days: float, *, seconds: float, kills: int) -> None:
        """Let so many days pass in the storm, or as many as fit into the seconds or the kills."""
        house, chance = self.house, random.Random(self.seed)
        began = time.monotonic()
        kill, flush, stop = (
            began + span for span in (self.kill_every, self.flush_every, self.stop_every)
        )
        first = house.sandbox.now
        house.sandbox.clock.advance(first + int(days * DAY))
        while not house.sandbox.clock.wait(0.02):
            now = time.monotonic()
            if now - began > seconds or self.counts["kill -9"] >= kills:
                break
            if now >= kill:
                self._kills(chance)
                kill = now + self.kill_every * chance.uniform(0.5, 1.5)
            if now >= flush:
                with redis.Redis.from_url(self.redis.url) as client:
                    client.flushall()
                self.counts["FLUSHALL"] += 1
                flush = now + self.flush_every * chance.uniform(0.5, 1.5)
            if now >= stop:
                self.postgres.kill()
                self.postgres.start()
                self.counts["PostgreSQL killed"] += 1
                stop = time.monotonic() + self.stop_every * chance.uniform(0.5, 1.5)
            self._looks()
        self._ends(first)
        self.counts["seconds"] = int(time.monotonic() - began)

    def _kills(self, chance: random.Random) -> None:
        up = [name for name in KINDS if not self._is_coming(name)]
        kinds = Counter(name.partition("-")[0] for name in up)
        able = [name for name in up if kinds[name.partition("-")[0]] > 1]
        if not able:
            return
        victim = chance.choice(able)
        self.counts["kill -9"] += 1
        self.counts[f"kill -9 of {victim.partition('-')[0]}"] += 1
        self._coming[victim] = thread = threading.Thread(target=self._dies, args=(victim,))
        thread.start()

    def _is_coming(self, name: str) -> bool:
        return name in self._coming and self._coming[name].is_alive()

    def _dies(self, name: str) -> None:
        try:
            self.house.lives[name].dies()
            while not self.house.comes_back(name):
                # As whoever looks after it would: the database is away for a moment.
                self.counts["started in vain"] += 1
        except Exception as fault:  # noqa: BLE001 - told by whoever lets the storm rage
            self._faults.append(f"{name}: {fault}")

    def _looks(self) -> None:
        """Nobody ends but by our hand."""
        for name, life in self.house.lives.items():
            if not self._is_coming(name) and life.code() is not None:
                self._faults.append(f"{name} ended with {life.code()}:\n{life.said()[-3000:]}")
        assert not self._faults, "\n".join(self._faults)

    def _ends(self, first: int) -> None:
        """Whoever is dead comes back; where time had not arrived, it ends here."""
        world = self.house.sandbox.world
        for thread in self._coming.values():
            thread.join(LIMIT)
        self._looks()
        with world.lock:
            if world.now < world.target:
                world.target = world.now + 1
        self.house.passes()
        self.counts["virtual days"] = (self.house.sandbox.now - first) // DAY


def moves_in(house: House, customers: int, days: float) -> Population:
    """Customers with a life of their own, half of whose renewals fail."""
    people = Population(house.sandbox, customers=customers, seed=7, days=days, failure_share=0.5)
    people.install()
    return people


def charges(house: House) -> int:
    """How many charges we made so far."""
    lines = house.sandbox.books()["invoices"].values()
    return sum(one["by"] == "api" for line in lines for one in line["attempts"])


def figures(house: House, storm: Storm) -> dict[str, int]:
    """What happened, for those who read."""
    lines = house.sandbox.books()["invoices"].values()
    ours = [one for line in lines for one in line["attempts"] if one["by"] == "api"]
    with house.world.session() as session:
        events = session.exec(select(func.count()).select_from(InboxRow)).one()
        doubtful = session.exec(
            select(func.count()).select_from(StepRow).where(StepRow.result == "doubtful")
        ).one()
    return {
        **dict(sorted(storm.counts.items())),
        "webhooks kept": events,
        "charges we made": len(ours),
        "of them paid": sum(1 for one in ours if one["outcome"] == "succeed"),
        "emails that arrived": len(house.world.mailbox.messages),
        "steps on record as doubtful": doubtful,
        "calls the product took": len(house.world.product.calls),
        "cases": len(house.world.cases()),
    }
