"""Intervals: how far a rate, a difference or a sum may be off, by the cases behind it.

All of them are for 95 %. What belongs to one customer is not independent, and counts as less.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Z = 1.959964  # of the normal distribution, 95 % lie within
BLOCKS = 500  # more customers than that are resampled in so many blocks
TURNS = 1_000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the bounds between which the truth is to be looked for."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Counted:
    """So many good ones of so many; `alike` is how much the cases of one customer are alike."""

    good: float
    of: float
    alike: float = 1.0

    @property
    def rate(self) -> float:
        """The share of good ones; 0 of none."""
        return self.good / self.of if self.of else 0.0


def counted(customers: Iterable[tuple[int, int]]) -> Counted:
    """Add up (good, of) by customer; `alike` is the design effect of their being clustered."""
    clusters = list(customers)
    good, of = sum(one[0] for one in clusters), sum(one[1] for one in clusters)
    many = len(clusters)
    if many < 2 or not 0 < good < of:
        return Counted(good, of, max(1.0, of / max(1, many)))
    rate = good / of
    spread = sum((x - rate * n) ** 2 for x, n in clusters) * many / (many - 1)
    return Counted(good, of, max(1.0, spread / (of * rate * (1 - rate))))


def wilson(told: Counted) -> Interval:
    """The score interval of a rate; never outside of 0 and 1, and never a point of few cases."""
    of, rate = told.of / told.alike, told.rate
    if not of:
        return Interval(0.0, 0.0, 1.0)
    middle = rate + Z * Z / (2 * of)
    reach = Z * math.sqrt(rate * (1 - rate) / of + Z * Z / (4 * of * of))
    whole = 1 + Z * Z / of
    return Interval(rate, max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole))


def difference(one: Counted, other: Counted) -> Interval:
    """The difference of two rates, from their score intervals (Newcombe)."""
    a, b = wilson(one), wilson(other)
    apart = a.value - b.value
    down = math.hypot(a.value - a.low, b.high - b.value)
    up = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(apart, apart - down, apart + up)


# --- by drawing customers again ------------------------------------------------------------

Sums = tuple[float, ...]


def in_blocks(customers: Sequence[Sums]) -> list[Sums]:
    """The customers, or where there are very many, every 500th of them added up."""
    if len(customers) <= BLOCKS:
        return list(customers)
    return [
        tuple(sum(column) for column in zip(*customers[place::BLOCKS], strict=True))
        for place in range(BLOCKS)
    ]


def resampled(
    groups: Sequence[Sequence[Sums]], figure: Callable[[list[Sums]], float], seed: int
) -> Interval:
    """A figure of the sums of each group, each drawn again by customers with replacement."""
    chance = random.Random(seed)  # noqa: S311 - the same seed, the same interval
    drawn = []
    for _ in range(TURNS):
        sums = [_sums(chance.choices(group, k=len(group))) for group in groups]
        drawn.append(figure(sums))
    low, high = percentiles(drawn)
    value = figure([_sums(group) for group in groups])
    return Interval(value, min(low, value), max(high, value))


def percentiles(drawn: list[float]) -> tuple[float, float]:
    """Between which 95 % of them lie."""
    drawn = sorted(drawn)
    out = int(len(drawn) * 0.025)
    return drawn[out], drawn[-1 - out]


def _sums(group: Sequence[Sums]) -> Sums:
    return tuple(sum(column) for column in zip(*group, strict=True))
