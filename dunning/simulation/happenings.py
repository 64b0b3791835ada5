"""Carries out what the script says: each happening when its moment has come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from dunning.core.case import case_id
from dunning.core.returned import Fate
from dunning.errors import DunningError
from dunning.simulation.process import SOURCE
from dunning.simulation.script import Happening
from dunning.simulation.weather import Order

if TYPE_CHECKING:
    from dunning.simulation.world import World

BY_HAND = frozenset(("hold", "resume", "retry", "close"))


class Happenings:
    """The part of the script that is still ahead."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ahead = list(world.script.happenings)
        self.last_kill: dict[str, Any] = {}

    @property
    def next_at(self) -> int | None:
        """When the next one is."""
        start = self._world.script.start
        return min((start + one.at for one in self._ahead), default=None)

    def due(self) -> list[tuple[str, Callable[[], object]]]:
        """Those whose moment has come. The first of them first: a script has an order."""
        elapsed = self._world.now - self._world.script.start
        found = next((one for one in self._ahead if one.at <= elapsed), None)
        return [(f"* {found}", partial(self._do, found))] if found else []

    def _do(self, one: Happening) -> None:
        self._ahead.remove(one)
        world, what = self._world, one.what
        if one.kind == "customer":
            world.people.move_in(what)
        elif one.kind in BY_HAND:
            self._by_hand(one.kind, what)
        elif one.kind == "bounces":
            self._bounces(what)
        elif "who" in what:
            came = world.people.do(one.kind, what)
            world.say(f"  {came}")
            if one.kind == "cancels" and what["at once"] and came == "done":
                self._write_cancelled(what["who"])
        else:
            self._break(one.kind, what)

    def _write_cancelled(self, who: int) -> None:
        """The provider's books are of money only; the auditor wants to know of this as well."""
        stripe = self._world.stripe
        invoice = stripe.find("invoice", self._world.people.invoice_of(who))
        if invoice is not None:
            stripe.books.write("cancelled", stripe.now, invoice["id"], invoice["currency"])

    def _by_hand(self, kind: str, what: dict[str, Any]) -> None:
        """People at the command line; what they ask for may be refused."""
        world = self._world
        invoice = world.people.invoice_of(what["who"])
        if invoice is None or world.is_down:
            return
        process, name = world.process, case_id(SOURCE, invoice)
        until = process.now + timedelta(hours=what["hours"]) if what.get("hours") else None
        try:
            if kind == "hold":
                process.hands.hold(name, process.ops, until=until)
            elif kind == "resume":
                process.hands.resume(name, process.ops)
            elif kind == "retry":
                process.hands.retry(name, process.ops)
            else:
                process.hands.close(name, process.ops)
        except DunningError as refused:
            world.say(f"  refused: {refused}"[:100])
        except Exception as error:  # noqa: BLE001 - a person would read it and try again
            world.say(f"  failed: {type(error).__name__}")

    def _bounces(self, what: dict[str, Any]) -> None:
        """The last message to somebody comes back."""
        world = self._world
        address = f"ann{what['who']}@example.com"
        mail = next((one for one in reversed(world.post.mails) if one.to == address), None)
        if mail is None or world.is_down:
            return
        try:
            world.say(f"  {world.process.returned(mail.id, address, Fate(what['fate']))}")
        except Exception as error:  # noqa: BLE001 - whoever reports it reports it again
            world.say(f"  failed: {type(error).__name__}")

    def _break(self, kind: str, what: dict[str, Any]) -> None:
        """A fault sets in."""
        world = self._world
        weather = world.weather
        lists = {
            "request": weather.requests,
            "mail": weather.mails,
            "product": weather.calls,
            "posts": weather.posts,
            "broker": weather.broker,
        }
        if kind in lists:
            lists[kind].append(Order(what["fate"], what["times"], what))
        elif kind == "stripe away":
            weather.away_until = world.now + what["seconds"]
        elif kind == "stripe limits":
            weather.limited_until = world.now + what["seconds"]
        elif kind == "database busy":
            weather.busy += what["times"]
        elif kind == "pause":
            weather.pauses.append(Order("pause", 1, what))
        elif kind == "clock wrong":
            world.clock.go_wrong(what["by"])
        elif kind == "kill":
            self.last_kill = what
            world.say(f"  at {weather.order_kill(what)}")
        elif kind == "reconcile" and not world.is_down:
            self.catch_up(what["days"])

    def catch_up(self, days: int) -> None:
        """`dunning reconcile`; when it fails, somebody reads why."""
        try:
            self._world.process.catch_up(days)
        except Exception as error:  # noqa: BLE001 - a person would read it and try again
            self._world.say(f"  failed: {type(error).__name__}: {error}"[:120])
