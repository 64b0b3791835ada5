"""Webhooks on their way from the simulated Stripe to us, and what may become of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dunning.crashpoints import Killed
from dunning.sandbox import delivery

if TYPE_CHECKING:
    from dunning.simulation.world import World

SWEEP_SECONDS = 31  # by then a kept webhook whose hint was lost is due


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
            due = world.now + world.chance.choice((0, 0, 1, 2, 5))
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

    def _arrive(self, arrival: Arrival) -> None:
        self._arrivals.remove(arrival)
        world, post = self._world, arrival.post
        status: int | None = None
        error = None
        if world.is_down:
            error = "connection refused"
        else:
            try:
                status = world.process.receive(post.body, post.headers)
            except Killed:
                if not arrival.copy:
                    delivery.settle(world.stripe, post, None, "connection reset")
                raise
            except Exception as wrong:  # noqa: BLE001 - the receiver answers 503
                status, error = 503, type(wrong).__name__
            world.forward()
        world.look_at = min(world.look_at, world.now + SWEEP_SECONDS)
        if status == 200:
            self.acked.add(post.item.event.id)
        elif not world.is_down:
            world.say(f"  answered {status} {error or ''}")
        if not arrival.copy:
            delivery.settle(world.stripe, post, status, error)
