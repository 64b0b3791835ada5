"""Many things of one kind become one message: how many, the sum of each currency, the largest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dunning.config import Alert
from dunning.core.money import Money
from dunning.staff.notice import Notice, Part

SHOWN = 10  # of each currency, or of all that have no money

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Shape:
    """How things of a kind are told."""

    many: str
    head: tuple[str, ...]
    do: str
    tone: str = "warning"


_SHAPES = {
    Alert.HIGH_VALUE: _Shape(
        "payments of high value failed",
        ("Amount", "Customer", "Refused as", "Case"),
        "dunning cases show CASE",
    ),
    Alert.SUSPENDED: _Shape(
        "services suspended",
        ("Owed", "Customer", "Case"),
        "dunning cases show CASE",
    ),
    Alert.BREAKER: _Shape(
        "holds and releases",
        ("Source", "What", "By", "Why"),
        "dunning breaker list",
        "bad",
    ),
    Alert.BAD_ADDRESS: _Shape(
        "addresses marked bad",
        ("Address", "What", "Why"),
        "dunning addresses list",
    ),
    Alert.PROMISE_BROKEN: _Shape(
        "promises to pay broken",
        ("Owed", "Customer", "Promised until", "Case"),
        "dunning cases show CASE",
    ),
    Alert.PARKED: _Shape(
        "webhooks not understood",
        ("Type", "Source", "Why", "Id"),
        "dunning inbox list --state parked",
        "bad",
    ),
    Alert.NEEDS_PERSON: _Shape(
        "things need a person",
        ("What", "Case", "Why"),
        "dunning cases show CASE",
        "bad",
    ),
}


def gathered(alert: Alert, bodies: Sequence[Body]) -> Notice:
    """One message of everything that was found of a kind."""
    shape = _SHAPES[alert]
    count = len(bodies)
    title = str(bodies[0]["one"]) if count == 1 else f"{count:,} {shape.many}"
    shown = [row for rows in _largest(bodies) for row in rows]
    more = f"The largest {len(shown)} of {count:,} are shown. " if count > len(shown) else ""
    if more and not _sums(bodies):
        more = f"The first {len(shown)} of {count:,} are shown. "
    rows = tuple(tuple(str(cell) for cell in body["cells"]) for body in shown)
    return Notice(
        title=title,
        lead=_lead(bodies) if count > 1 else "",
        parts=(Part(title="", head=shape.head, rows=rows, note=f"{more}See: {shape.do}"),),
        tone=_tone(alert, shape, bodies),
    )


def _tone(alert: Alert, shape: _Shape, bodies: Sequence[Body]) -> str:
    """Of a source that goes on again there is good news."""
    if alert is Alert.BREAKER and bodies[-1]["cells"][1] == "released":
        return "good"
    return shape.tone


def _lead(bodies: Sequence[Body]) -> str:
    """`3 of 9,000.00 USD together, the largest 5,000.00 USD`: each currency by itself."""
    told = []
    for currency, amounts in sorted(_sums(bodies).items()):
        whole, largest = Money(sum(amounts), currency), Money(max(amounts), currency)
        only = len(amounts) == 1
        told.append(f"{whole}" if only else f"{whole} in {len(amounts):,}, the largest {largest}")
    return "; ".join(told) + "." if told else ""


def _sums(bodies: Iterable[Body]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for body in bodies:
        if body["currency"] is not None:
            found[body["currency"]].append(body["amount"])
    return found


def _largest(bodies: Sequence[Body]) -> list[list[Body]]:
    """The largest of each currency; what has no amount as it came."""
    groups: dict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        groups[body["currency"] or ""].append(body)
    return [
        sorted(groups[currency], key=lambda body: -(body["amount"] or 0))[:SHOWN]
        for currency in sorted(groups)
    ]
