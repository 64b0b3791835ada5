"""The faults that are about in a world: ordered by happenings, used up as they strike."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dunning
from dunning.crashpoints import Killed
from dunning.simulation import line, outside
from dunning.simulation.line import Request

# Points that a simulation adds to those in the source: every way out, and every commit.
OUTSIDE = (
    "outside.request",
    "outside.answer",
    "outside.charge",
    "outside.charged",
    "outside.mail",
    "outside.mailed",
    "outside.call",
    "outside.called",
    "sql.commit",
    "sql.committed",
)


@cache
def points_in_source() -> tuple[str, ...]:
    """The name of every `crashpoints.reach("…")` there is in the program."""
    root = Path(dunning.__file__).parent
    names = set()
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "crashpoints" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="reach") | ast.Name(id="reach"),
                    args=[ast.Constant(value=str(name))],
                ):
                    names.add(name)
                case _:
                    pass
    return tuple(sorted(names))


@dataclass(slots=True)
class Order:
    """A fault that strikes the next few times it could."""

    fate: str
    times: int
    what: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Weather:
    """Everything that is wrong at present. `struck` counts what did strike, by name."""

    requests: list[Order] = field(default_factory=list)
    mails: list[Order] = field(default_factory=list)
    calls: list[Order] = field(default_factory=list)
    posts: list[Order] = field(default_factory=list)
    broker: list[Order] = field(default_factory=list)
    pauses: list[Order] = field(default_factory=list)
    kills: list[Order] = field(default_factory=list)
    busy: int = 0
    away_until: int = 0
    limited_until: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    # What was reached since a death was last ordered, and since somebody last died; while there
    # are faults.
    after_order: Counter[str] = field(default_factory=Counter)
    after_death: Counter[str] = field(default_factory=Counter)
    over: bool = False

    def clear(self) -> None:
        """The last fault is over."""
        self.over = True
        for orders in (self.requests, self.mails, self.calls, self.posts, self.broker):
            orders.clear()
        self.pauses.clear()
        self.kills.clear()
        self.busy = self.away_until = self.limited_until = 0

    # --- what becomes of things --------------------------------------------------------------

    def of_request(self, request: Request, now: int) -> str:
        """The fate of a request."""
        fate = line.FINE
        if now < self.away_until:
            fate = line.REFUSED
        elif now < self.limited_until:
            fate = line.LIMITED
        elif order := _take(self.requests, lambda one: one.what["path"] in request.path):
            fate = order.fate
            # The line that broke once stays broken for a while.
            self.away_until = now + order.what.get("away", 0)
        return self._strike("request", fate, line.FINE)

    def of_mail(self) -> str:
        """The fate of a message."""
        order = _take(self.mails)
        return self._strike("mail", order.fate if order else outside.TAKEN, outside.TAKEN)

    def of_call(self) -> str:
        """The fate of a call to the product."""
        order = _take(self.calls)
        return self._strike("product", order.fate if order else outside.TAKEN, outside.TAKEN)

    def of_post(self) -> Order | None:
        """What happens to a webhook on its way to us."""
        order = _take(self.posts)
        self._strike("post", order.fate if order else "", "")
        return order

    def of_message(self) -> Order | None:
        """What the broker does to a message."""
        order = _take(self.broker)
        self._strike("broker", order.fate if order else "", "")
        return order

    def pause(self, path: str, side: str) -> int:
        """How long whoever goes out by this path stands still, in seconds."""
        order = _take(
            self.pauses,
            lambda one: one.what["side"] == side and one.what["path"] in path,
        )
        self._strike("pause", side if order else "", "")
        return int(order.what["seconds"]) if order else 0

    def is_busy(self) -> bool:
        """Whether somebody else holds the database just now."""
        if self.busy <= 0:
            return False
        self.busy -= 1
        self._strike("database", "busy", "")
        return True

    # --- the points at which a process may die -----------------------------------------------

    def reach(self, point: str) -> None:
        """A process came by a point: it may be its last."""
        self.reached[point] += 1
        if not self.over:
            self.after_order[point] += 1
            self.after_death[point] += 1
        for order in self.kills:
            if order.fate in ("any", point):
                order.times -= 1
                if order.times <= 0:
                    self.kills.remove(order)
                    self.killed[point] += 1
                    self.struck["kill"] += 1
                    self.after_death.clear()
                    raise Killed(point)

    def order_kill(self, what: dict[str, Any]) -> str:
        """Have a process die at a point: the n-th to be reached, or the n-th time of one."""
        names = (*points_in_source(), *OUTSIDE)
        point = what["point"]
        name = "any" if point is None else point
        if isinstance(point, int):
            name = names[point % len(names)]
        self.kills.append(Order(name, what["count"], what))
        self.after_order.clear()
        return name

    def _strike(self, kind: str, fate: str, fine: str) -> str:
        if fate != fine:
            self.struck[f"{kind} {fate}"] += 1
        return fate


def _take(orders: list[Order], fits: Any = None) -> Order | None:
    for order in orders:
        if fits is None or fits(order):
            order.times -= 1
            if order.times <= 0:
                orders.remove(order)
            return order
    return None
