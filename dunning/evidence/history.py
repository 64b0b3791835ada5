"""simulate(): the cases on record under another policy, beside what really happened."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dunning.core.policy import Policy
from dunning.evidence.cells import STRENGTH, Cell, Tally, added, rates
from dunning.evidence.records import Record
from dunning.evidence.ways import (
    FIGURES,
    Chances,
    Stop,
    Sums,
    Walks,
    Way,
    chances,
    really,
    tally_of,
    way,
)
from dunning.reports.intervals import BLOCKS, Interval, percentiles

TURNS = 400
Chooser = Callable[[Record], Policy]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one currency: as it was, as it would be, and what that rests on."""

    currency: str
    name: str
    really: float
    estimate: Interval
    apart: Interval  # the estimate less what really happened
    at_most: float | None  # if nobody paid: exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What the figures of one currency rest on."""

    cases: int
    customers: int
    known: int  # kept as they were: nothing of them is estimated
    sure: int  # paid in any case, with another number of acts on the way
    estimated_part: float  # of the money recovered, what is estimated
    thin_part: float  # of the money recovered, what comes in by thin cells


@dataclass(slots=True)
class Simulated:
    """What came of it. `check` is the same method on the policies the cases were walked under."""

    seed: int
    figures: list[Figure] = field(default_factory=list)
    basis: dict[str, Basis] = field(default_factory=dict)
    check: list[Figure] = field(default_factory=list)
    rates: dict[Cell, float] = field(default_factory=dict)
    used: dict[Cell, float] = field(default_factory=dict)  # what came in by each cell, in cases
    tally: Tally = field(default_factory=Tally)


def simulate(
    records: Sequence[Record],
    choose: Chooser,
    *,
    seed: int,
    turns: int = TURNS,
    check: bool = True,
    keep: bool = True,
) -> Simulated:
    """Walk the records under the policies that `choose` names.

    With `keep` what is known from the facts is kept; the check never does.
    """
    made = Simulated(seed)
    if not records:
        return made
    chosen = [choose(record) for record in records]
    paydays = chosen[0].paydays
    blocks = _Blocks(records, [tally_of(record, paydays) for record in records])
    walks = Walks()
    ways = [
        way(record, policy, walks.of(record, policy), keep=keep)
        for record, policy in zip(records, chosen, strict=True)
    ]
    estimate = _Estimate(records, ways, blocks)
    own = None
    if check:
        again = [
            way(one, one.policy, walks.of(one, one.policy, drawn=True), keep=False)
            for one in records
        ]
        own = _Estimate(records, again, blocks)
    made.tally = added((tally, 1) for tally in blocks.tallies)
    made.rates = rates(made.tally, estimate.cells)
    made.figures, made.check = _intervals(records, estimate, own, blocks, _chance(seed), turns)
    most = estimate.planned()
    made.figures = [_with_most(figure, most) for figure in made.figures]
    made.basis, made.used = estimate.basis(made.rates, made.tally)
    return made


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same seed, the same interval


def _with_most(figure: Figure, most: Mapping[str, Sums]) -> Figure:
    if figure.name not in ("charges", "emails", "texts", "suspensions", "free_days"):
        return figure
    value = getattr(most[figure.currency], figure.name)
    return Figure(figure.currency, figure.name, figure.really, figure.estimate, figure.apart, value)


class _Blocks:
    """The customers, or where there are very many, blocks of them: what is drawn again."""

    def __init__(self, records: Sequence[Record], tallies: Sequence[Tally]) -> None:
        names = {name: place for place, name in enumerate(sorted({r.customer for r in records}))}
        self.of = [names[record.customer] % BLOCKS for record in records]
        self.count = min(len(names), BLOCKS)
        by_block: dict[int, list[Tally]] = defaultdict(list)
        for block, tally in zip(self.of, tallies, strict=True):
            by_block[block].append(tally)
        self.tallies = [added((one, 1) for one in by_block[b]) for b in range(self.count)]

    def draw(self, chance: random.Random) -> list[int]:
        """How often each block is drawn."""
        times = [0] * self.count
        for block in chance.choices(range(self.count), k=self.count):
            times[block] += 1
        return times


_Vector = list[float]
_KNOWN = len(FIGURES)


class _Estimate:
    """The ways of all cases, with those that are alike worked out together."""

    def __init__(self, records: Sequence[Record], ways: Sequence[Way], blocks: _Blocks) -> None:
        self._records, self._ways = records, ways
        self.currencies = sorted({record.start.currency for record in records})
        self.cells: set[Cell] = set()
        # Known sums and, for each kind of way, what hangs on its chances: by block and currency.
        self._fixed: dict[tuple[int, str], _Vector] = {}
        kinds: dict[tuple[tuple[Stop, ...], bool], dict[tuple[int, str], _Vector]] = {}
        for record, one, block in zip(records, ways, blocks.of, strict=True):
            place = (block, record.start.currency)
            _add(self._fixed.setdefault(place, [0.0] * _KNOWN), _values(one.sums))
            if not one.known or one.stops:
                kind = kinds.setdefault((one.stops, one.sure), {})
                _add(kind.setdefault(place, [0.0] * 3), (1.0, float(one.rest), one.free_days))
                self.cells |= {cell for stop in one.stops for cell in (stop[1], stop[3]) if cell}
        self._kinds = [(key, list(places.items())) for key, places in kinds.items()]

    def sums(self, found: Mapping[Cell, float], times: Sequence[int] | None) -> dict[str, _Vector]:
        """The figures of each currency at these rates, each block counted so many times."""
        whole = {currency: [0.0] * len(FIGURES) for currency in self.currencies}
        for (block, currency), vector in self._fixed.items():
            _add(whole[currency], vector, 1 if times is None else times[block])
        for (stops, sure), places in self._kinds:
            told = chances(stops, found)
            counts: dict[str, _Vector] = {}
            for (block, currency), vector in places:
                if often := 1 if times is None else times[block]:
                    _add(counts.setdefault(currency, [0.0] * 3), vector, often)
            for currency, vector in counts.items():
                _add(whole[currency], _came_to(told, vector, sure=sure))
        return whole

    def planned(self) -> dict[str, Sums]:
        """If nobody paid: by currency."""
        whole = {currency: [0.0] * len(FIGURES) for currency in self.currencies}
        for record, one in zip(self._records, self._ways, strict=True):
            _add(whole[record.start.currency], _values(one.planned))
        return {currency: Sums(*vector) for currency, vector in whole.items()}

    def basis(
        self, found: Mapping[Cell, float], tally: Tally
    ) -> tuple[dict[str, Basis], dict[Cell, float]]:
        """What the figures of each currency rest on, and what comes in by each cell."""
        made, used = {}, dict[Cell, float]()
        for currency in self.currencies:
            pairs = [
                (record, one)
                for record, one in zip(self._records, self._ways, strict=True)
                if record.start.currency == currency
            ]
            sums = self.sums(found, None)[currency][1]
            estimated = thin = 0.0
            for _, one in pairs:
                by_cell: dict[Cell, float] = {}
                chances(one.stops, found, by_cell)
                if one.sure:
                    continue
                for cell, part in by_cell.items():
                    used[cell] = used.get(cell, 0.0) + part
                    estimated += part * one.rest
                    thin += part * one.rest if tally.is_thin(cell) else 0.0
            made[currency] = Basis(
                cases=len(pairs),
                customers=len({record.customer for record, _ in pairs}),
                known=sum(one.known and not one.stops for _, one in pairs),
                sure=sum(one.sure and bool(one.stops) for _, one in pairs),
                estimated_part=estimated / sums if sums else 0.0,
                thin_part=thin / sums if sums else 0.0,
            )
        return made, used


def _values(sums: Sums) -> tuple[float, ...]:
    return tuple(getattr(sums, name) for name in FIGURES)


def _add(vector: _Vector, more: Iterable[float], times: float = 1.0) -> None:
    for place, value in enumerate(more):
        vector[place] += value * times


def _came_to(told: Chances, vector: _Vector, *, sure: bool) -> tuple[float, ...]:
    """What so many cases of one kind, with so much money and so many days, came to."""
    cases, rest, days = vector
    paid, lost = (1.0, 0.0) if sure else (told.paid, told.lost)
    return (
        cases * paid,
        rest * paid,
        cases * lost,
        cases * told.charges,
        cases * told.emails,
        cases * told.texts,
        cases * told.suspensions,
        days * lost,
    )


def _intervals(
    records: Sequence[Record],
    estimate: _Estimate,
    own: _Estimate | None,
    blocks: _Blocks,
    chance: random.Random,
    turns: int,
) -> tuple[list[Figure], list[Figure]]:
    """The figures with their intervals: customers drawn again, and the cells with them."""
    happened = _Estimate(records, [Way(sums=really(record)) for record in records], blocks)
    asked = [estimate] if own is None else [estimate, own]
    cells = set[Cell]().union(*(one.cells for one in asked))
    tally = added((one, 1) for one in blocks.tallies)
    truth = happened.sums({}, None)
    points = [one.sums(rates(tally, cells), None) for one in asked]
    drawn: list[list[dict[str, _Vector]]] = [[] for _ in asked]
    less: list[dict[str, _Vector]] = []
    for _ in range(turns):
        times = blocks.draw(chance)
        found = rates(added(zip(blocks.tallies, times, strict=True)), cells, chance)
        for place, one in enumerate(asked):
            drawn[place].append(one.sums(found, times))
        less.append(happened.sums({}, times))
    made: list[list[Figure]] = [[], []]
    for place, point in enumerate(points):
        for currency in estimate.currencies:
            for number, name in enumerate(FIGURES):
                whole = [turn[currency][number] for turn in drawn[place]]
                gaps = [
                    value - turn[currency][number] for value, turn in zip(whole, less, strict=True)
                ]
                was, value = truth[currency][number], point[currency][number]
                figure = Figure(
                    currency, name, was, _within(value, whole), _within(value - was, gaps), None
                )
                made[place].append(figure)
    return made[0], made[1]


def _within(value: float, drawn: list[float]) -> Interval:
    low, high = percentiles(drawn)
    return Interval(value, min(low, value), max(high, value))


def fits(check: Iterable[Figure]) -> bool:
    """Whether the method gives back what happened: money and cases within their intervals."""
    return all(
        math.floor(figure.estimate.low) <= figure.really <= math.ceil(figure.estimate.high)
        for figure in check
        if figure.name in ("recovered_cases", "recovered")
    )


__all__ = ["STRENGTH", "Basis", "Figure", "Simulated", "fits", "simulate"]
