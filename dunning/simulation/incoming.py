"""Webhooks on their way from the simulated Stripe to us, and what may become of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dunning.crashpoints import Killed
from dunning.sandbox import delivery

if TYPE_CHECKING:
    from dunning.simulation.world import World

MOST_AT_ONCE = 8  # webhooks in one commit


@dataclass(slots=True)
class Arrival:
    """A webhook on its way to us."""

    due: int
    post: delivery.Post
    copy: bool = False  # Stripe hears what came of the first of them


class Incoming:
    """What Stripe has posted and we have not answered, and what we have answered with a 200."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._arrivals: list[Arrival] = []
        self.acked: set[str] = set()

    def moments(self) -> list[int]:
        """When they arrive."""
        return [arrival.due for arrival in self._arrivals]

    def due(self) -> list[tuple[str, Callable[[], object]]]:
        """Those that may arrive now."""
        now = self._world.now
        return [
            (f"webhook {one.post.item.event.type}", partial(self._arrive, one))
            for one in self._arrivals
            if one.due <= now
        ]

    def collect(self) -> None:
        """Take over what Stripe sends now; it may be lost, doubled or late."""
        world = self._world
        stripe = world.stripe
        if not stripe.outbound:
            return
        for post in delivery.take_due(stripe):
            order = world.weather.of_post()
            fate, what = (order.fate, order.what) if order else ("", {})
            due = world.now + world.chance.choice(world.script.delays)
            if fate == "refuse":
                delivery.settle(stripe, post, 503, None)
            elif fate == "lose":
                # Stripe believes that it was delivered.
                delivery.settle(stripe, post, 200, None)
            elif fate == "delay":
                # Still at Stripe's: it is signed when it leaves.
                post.item.due = world.now + what["seconds"]
                heapq.heappush(stripe.outbound, post.item)
            else:
                if fate == "hold back":
                    due += min(what["seconds"], 3_600)
                copies = what["copies"] if fate == "copies" else 1
                self._arrivals += [Arrival(due, post, bool(n)) for n in range(copies)]

    def _arrive(self, first: Arrival) -> None:
        """A webhook arrives; what comes in the same moment may share its commit, in any order."""
        world = self._world
        came = [first]
        if world.chance.random() < world.script.together:
            others = [one for one in self._arrivals if one.due <= world.now and one is not first]
            came += world.chance.sample(others, min(len(others), MOST_AT_ONCE - 1))
        for one in came:
            self._arrivals.remove(one)
        for one in came[1:]:
            world.say(f"  and {one.post.item.event.type}")
        if world.is_down:
            self._settle(came, [None] * len(came), "connection refused")
            return
        posted = [(one.post.body, one.post.headers) for one in came]
        error = ""
        statuses: list[int | None]
        try:
            statuses = list(world.process.receive(posted))
        except Killed:
            self._settle(came, [None] * len(came), "connection reset")
            raise
        except Exception as wrong:  # noqa: BLE001 - the receiver answers 503
            statuses, error = [503] * len(came), type(wrong).__name__
        world.feeding.forward()
        self._settle(came, statuses, error)

    def _settle(self, came: Sequence[Arrival], statuses: Sequence[int | None], error: str) -> None:
        """Stripe hears how each of them was answered."""
        world = self._world
        for one, status in zip(came, statuses, strict=True):
            if status == 200:
                self.acked.add(one.post.item.event.id)
            elif status is not None:
                world.say(f"  answered {status} {error}")
            if not one.copy:
                delivery.settle(world.stripe, one.post, status, error or None)
