"""What happens in a world, all of it made from one number.

A script is a list of happenings, each complete in itself, so that any of them can be left out and
the rest played again. Each seed draws a few kinds of happenings and uses those a lot: worlds that
each know all kinds a little would meet few of them at once.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dunning.simulation import notices
from dunning.simulation.plots import (
    DAY,
    HARD,
    HOUR,
    MAKERS,
    PERSONAL,
    PLOTS,
    PLOTS_ADDED,
    SOFT,
    Roll,
)
from dunning.simulation.policies import POLICIES

# Days on which clocks or calendars do something: month ends, leap day, both DST switches.
STARTS = (
    datetime(2026, 3, 2, 10, tzinfo=UTC),
    datetime(2026, 1, 30, 22, tzinfo=UTC),
    datetime(2026, 3, 6, 14, tzinfo=UTC),  # New York springs forward on the 8th
    datetime(2026, 3, 27, 23, tzinfo=UTC),  # Berlin on the 29th
    datetime(2026, 10, 23, 6, tzinfo=UTC),  # and back on the 25th
    datetime(2026, 10, 30, 3, tzinfo=UTC),  # New York on 1 November
    datetime(2028, 2, 27, 18, tzinfo=UTC),  # a leap day ahead
    datetime(2026, 12, 29, 9, tzinfo=UTC),
    datetime(2026, 5, 29, 12, tzinfo=UTC),
)
ZONES = ("America/New_York", "Europe/Berlin", "Asia/Kolkata", "Pacific/Auckland", None, None)
TOGETHER = (0.0, 0.5, 1.0, 1.0)
DELAYS = ((0,), (0, 0, 0, 1), (0, 0, 1, 2, 5))
CURRENCIES = (("usd", 4900), ("eur", 2500), ("jpy", 3000), ("kwd", 12500), ("usd", 199))


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happens to a world, `at` seconds after its beginning."""

    index: int
    at: int
    kind: str
    what: dict[str, Any]

    def __str__(self) -> str:
        words = " ".join(f"{name}={value}" for name, value in self.what.items())
        return f"{self.kind} {words}".strip()


@dataclass(frozen=True, slots=True)
class Script:
    """Everything a world is made of."""

    seed: int
    start: int
    policy: str
    bustle: float  # how often others get on while a request is on its way
    together: float  # how often webhooks that come at one moment share a commit
    delays: tuple[int, ...]  # how long webhooks are under way, in seconds
    breaker: bool
    notices: bool  # whether its policy gives notices of what lies ahead
    happenings: tuple[Happening, ...]

    def only(self, kept: Collection[int]) -> Script:
        """The same world with fewer happenings."""
        few = tuple(one for one in self.happenings if one.index in kept)
        return replace(self, happenings=few)


def write(seed: int) -> Script:
    """Make the script of a seed."""
    chance = random.Random(f"{seed}/script")  # noqa: S311 - seeded on purpose
    policy = chance.choices(list(POLICIES), [one.weight for one in POLICIES.values()])[0]
    start = int(chance.choice(STARTS).timestamp()) + chance.randrange(0, DAY, 600)
    people = chance.choices((1, 2, 3), (80, 16, 4))[0]
    rolls: list[Roll] = [(0, "customer", _customer(chance, who, policy)) for who in range(people)]
    for _ in range(chance.choice((1, 1, 2, 3))):
        moment = _moment(chance, policy)
        rolls += chance.choice(PLOTS)(chance, moment, chance.randrange(people))
    if added := PLOTS_ADDED.get(seed % 10):
        other = random.Random(f"{seed}/later plots")  # noqa: S311 - seeded on purpose
        rolls += other.choice(added)(other, other.randrange(people))
    kinds = _kinds(chance)
    for _ in range(chance.choice((0, 1, 3, 6))):
        kind = chance.choice(kinds)
        what = MAKERS[kind](chance)
        if kind in PERSONAL:
            what = {"who": chance.randrange(people), **what}
        rolls.append((_moment(chance, policy), kind, what))
    if noticing := notices.is_drawn(seed):
        start = notices.add(seed, rolls)
    rolls.sort(key=lambda one: one[0])
    made = tuple(Happening(index, *roll) for index, roll in enumerate(rolls))
    return Script(
        seed,
        start,
        policy,
        bustle=chance.choice((0.0, 0.0, 0.05, 0.3)),
        together=chance.choice(TOGETHER),
        delays=chance.choice(DELAYS),
        breaker=chance.random() < 0.4,
        notices=noticing,
        happenings=made,
    )


def _kinds(chance: random.Random) -> list[str]:
    """A few of the things people do, and a few of those that break."""
    people = chance.sample(sorted(PERSONAL), chance.randint(1, 3))
    faults = chance.sample(sorted(set(MAKERS) - PERSONAL), chance.randint(1, 4))
    return [*people, *faults, *faults]


def _moment(chance: random.Random, policy: str) -> int:
    """When: mostly about the time at which the timeline does something itself."""
    rungs = POLICIES[policy].moments
    if chance.random() < 0.8:
        near = chance.choice(rungs)
        return max(0, near + 2 * HOUR + chance.choice((-600, -30, -2, 0, 0, 1, 2, 5, 60, 900)))
    return chance.randrange(0, POLICIES[policy].length + DAY)


def _customer(chance: random.Random, who: int, policy: str) -> dict[str, Any]:
    currency, amount = chance.choice(CURRENCIES)
    declines: list[str] = [chance.choice(SOFT) for _ in range(chance.choice((1, 2, 2, 3, 5, 20)))]
    if chance.random() < 0.25:
        declines.insert(chance.randrange(len(declines) + 1), chance.choice(HARD))
    if chance.random() < 0.2:
        ending = chance.choice(("succeed", "decline"))
        declines.insert(chance.randrange(1, len(declines) + 1), f"processing:{ending}")
    if policy == "hammer":
        declines += ["insufficient_funds"] * 20
    return {
        "who": who,
        "amount": amount,
        "currency": currency,
        "zone": chance.choice(ZONES),
        # Several at one moment, or one after the other.
        "renews": HOUR + chance.choice((0, 0, 0, 60, 7200)),
        "declines": declines,
        "email": chance.random() < 0.95,
    }
