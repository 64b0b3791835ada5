"""Two deaths in a row at any pair of points: a process dies at one, and the next at another.

A few short stories are told again and again. First each with one death, at each point it comes by;
that also shows which points the next process comes by. Then with both deaths, for every such pair.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dunning.simulation.plots import HOUR
from dunning.simulation.run import Outcome, perform
from dunning.simulation.script import Happening, Script
from dunning.simulation.weather import OUTSIDE, points_in_source

SEED = 1
START = int(datetime(2026, 3, 2, 10, tzinfo=UTC).timestamp())
FAILS = 2 * HOUR  # into a story its renewal is first charged


@dataclass(frozen=True, slots=True)
class Story:
    """A short life, and when the first death begins to threaten."""

    declines: int
    threatened_at: int
    acts: tuple[tuple[int, str, dict[str, Any]], ...] = ()

    def script(self, first: str | None = None, second: str | None = None) -> Script:
        """The story, with up to two deaths."""
        rolls: list[tuple[int, str, dict[str, Any]]] = [(0, "customer", _customer(self.declines))]
        if first is not None:
            death = {"point": first, "count": 1, "forgets": True, "then": second}
            rolls.append((self.threatened_at, "kill", death))
        rolls += self.acts
        return Script(
            seed=SEED,
            start=START,
            policy="brisk",
            bustle=0.0,
            together=0.5,
            delays=(0, 0, 0, 1),
            breaker=True,
            notices=False,
            happenings=tuple(Happening(index, *roll) for index, roll in enumerate(rolls)),
        )


def _customer(declines: int) -> dict[str, Any]:
    return {
        "who": 0,
        "amount": 4900,
        "currency": "usd",
        "zone": None,
        "renews": HOUR,
        "declines": ["insufficient_funds"] * declines,
        "email": True,
    }


_PAYS = (FAILS + 54 * HOUR, "pays", {"who": 0, "own card": False})
STORIES = {
    # The renewal fails and the customer is written to; a retry fails, and the next one succeeds.
    "failing": Story(2, 0),
    "retried": Story(2, FAILS + 5 * HOUR),
    "recovered": Story(1, FAILS + 5 * HOUR),
    # Every retry fails, the service is suspended; then the customer pays, and has it back.
    "suspended": Story(20, FAILS + 47 * HOUR, (_PAYS,)),
    "restored": Story(20, FAILS + 53 * HOUR, (_PAYS,)),
    # Nobody pays.
    "lost": Story(20, FAILS + 95 * HOUR),
}


@dataclass(slots=True)
class Told:
    """What came of a story with a death at one point, and of those with a second one."""

    story: str
    first: str
    dies: bool = False
    seconds: list[str] = field(default_factory=list)  # points the next process came by
    played: int = 0
    pairs: list[str] = field(default_factory=list)  # of those, where it died as well
    failing: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Pairs:
    """What all pairs came to."""

    worlds: int = 0
    played: int = 0
    known: int = 0  # pairs there are, played or not
    points: Counter[str] = field(default_factory=Counter)  # in how many pairs each point was
    reached: set[str] = field(default_factory=set)
    distinct: set[tuple[str, str]] = field(default_factory=set)  # pairs, in whichever story
    failing: dict[str, list[str]] = field(default_factory=dict)

    def add(self, told: Told) -> None:
        """Take in one first point of one story."""
        self.worlds += told.played
        self.failing |= told.failing
        if not told.dies:
            return
        self.reached |= {told.first, *told.seconds}
        self.known += len(told.seconds)
        self.played += told.played - 1
        for second in told.pairs:
            self.points.update({told.first, second})
            self.distinct.add((told.first, second))

    @property
    def in_no_pair(self) -> list[str]:
        """Points that stories come by, and at which nobody died as one of two."""
        return sorted(self.reached - set(self.points))

    @property
    def never_reached(self) -> list[str]:
        """Points of the program that no story comes by: they are in no pair."""
        return sorted({*points_in_source(), *OUTSIDE} - self.reached)

    def data(self) -> dict[str, object]:
        """For programs."""
        return {
            "worlds": self.worlds,
            "pairs_known": self.known,
            "pairs_played": self.played,
            "pairs_distinct": len(self.distinct),
            "points_never_reached": self.never_reached,
            "points": len(self.points),
            "points_in_no_pair": self.in_no_pair,
            "failing": self.failing,
        }


def parse_pair(words: str) -> tuple[str, str, str | None] | None:
    """`STORY/POINT` or `STORY/POINT/POINT`; None if it is neither."""
    story, *points = words.split("/")
    known = {*points_in_source(), *OUTSIDE}
    if story not in STORIES or not 1 <= len(points) <= 2 or not known.issuperset(points):
        return None
    return story, points[0], points[1] if len(points) == 2 else None


def play_pair(story: str, first: str, second: str | None = None) -> Outcome:
    """Tell a story in which a process dies at a point, and the next one at another."""
    return perform(STORIES[story].script(first, second))


def play_pairs(
    sample: int | None = None,
    *,
    workers: int = 1,
    progress: Callable[[Pairs], None] = lambda _pairs: None,
) -> Pairs:
    """Play every pair, or of each first point so many that there are about `sample` in all."""
    firsts = [(story, point) for story in STORIES for point in _points(story)]
    each = None if sample is None else max(1, round(sample / len(firsts)))
    pairs = Pairs()
    for told in _all([(*first, place, each) for place, first in enumerate(firsts)], workers):
        pairs.add(told)
        progress(pairs)
    return pairs


def _points(story: str) -> list[str]:
    """The points that a story comes by once death threatens."""
    seen = perform(STORIES[story].script("nowhere")).after_order
    return sorted(seen)


Orders = tuple[str, str, int, int | None]


def _all(orders: list[Orders], workers: int) -> Iterator[Told]:
    if workers <= 1:
        yield from map(_tell, orders)
        return
    with multiprocessing.get_context("spawn").Pool(workers, gc.disable) as pool:
        yield from pool.imap(_tell, orders)


def _tell(orders: Orders) -> Told:
    """One first point with all of its second ones, or with a few, other ones each time."""
    story, first, place, each = orders
    told = Told(story, first)
    alone = _audited(told, None)
    told.dies = alone.killed[first] == 1
    told.seconds = sorted(alone.after_death)
    chosen = told.seconds
    if each is not None and len(chosen) > each:
        step = len(chosen) / each
        chosen = [chosen[int(place * each + turn * step) % len(chosen)] for turn in range(each)]
    for second in dict.fromkeys(chosen):
        outcome = _audited(told, second)
        if outcome.killed.total() == 2:
            told.pairs.append(second)
        else:
            name = f"{story}/{first}/{second}"
            told.failing.setdefault(name, []).append("I0 the second death did not come")
    return told


def _audited(told: Told, second: str | None) -> Outcome:
    try:
        outcome = play_pair(told.story, told.first, second)
    except Exception as error:  # noqa: BLE001 - a simulation that breaks is a finding as well
        broke = f"I0 the simulation broke: {type(error).__name__}: {error}"
        outcome = Outcome(SEED, breaches=[broke])
    told.played += 1
    if outcome.breaches:
        name = "/".join([told.story, told.first, *([second] if second else [])])
        told.failing[name] = outcome.breaches
    return replace(outcome, trace=[])
