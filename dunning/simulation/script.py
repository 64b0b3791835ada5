"""What happens in a world, all of it made from one number.

A script is a list of happenings, each complete in itself, so that any of them can be left out and
the rest played again. Each seed draws a few kinds of happenings and uses those a lot: worlds that
each know all kinds a little would meet few of them at once.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dunning.simulation import line, outside
from dunning.simulation.policies import POLICIES

MINUTE, HOUR, DAY = 60, 3_600, 86_400

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
CURRENCIES = (("usd", 4900), ("eur", 2500), ("jpy", 3000), ("kwd", 12500), ("usd", 199))
SOFT = ("insufficient_funds", "generic_decline", "try_again_later", "processing_error")
HARD = ("lost_card", "expired_card", "stolen_card", "requires_action", "authentication_required")


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
    happenings: tuple[Happening, ...]

    def only(self, kept: Collection[int]) -> Script:
        """The same world with fewer happenings."""
        few = tuple(one for one in self.happenings if one.index in kept)
        return Script(self.seed, self.start, self.policy, self.bustle, few)


def write(seed: int) -> Script:
    """Make the script of a seed."""
    chance = random.Random(f"{seed}/script")  # noqa: S311 - seeded on purpose
    policy = chance.choices(list(POLICIES), [one.weight for one in POLICIES.values()])[0]
    start = int(chance.choice(STARTS).timestamp()) + chance.randrange(0, DAY, 600)
    rolls: list[tuple[int, str, dict[str, Any]]] = [
        (0, "customer", _customer(chance, who, policy))
        for who in range(chance.choices((1, 2, 3, 4), (50, 30, 15, 5))[0])
    ]
    people = len(rolls)
    kinds = _kinds(chance)
    for _ in range(chance.randint(3, 12)):
        kind = chance.choice(kinds)
        what = _MAKERS[kind](chance)
        if kind in PERSONAL:
            what = {"who": chance.randrange(people), **what}
        rolls.append((_moment(chance, policy), kind, what))
    rolls.sort(key=lambda one: one[0])
    made = tuple(Happening(index, *roll) for index, roll in enumerate(rolls))
    return Script(seed, start, policy, chance.choice((0.0, 0.0, 0.05, 0.3)), made)


def _kinds(chance: random.Random) -> list[str]:
    """A few of the things people do, and a few of those that break."""
    people = chance.sample(sorted(PERSONAL), chance.randint(1, 3))
    faults = chance.sample(sorted(set(_MAKERS) - PERSONAL), chance.randint(1, 4))
    return [*people, *faults, *faults]


def _moment(chance: random.Random, policy: str) -> int:
    """When: mostly about the time at which the timeline does something itself."""
    rungs = POLICIES[policy].moments
    if chance.random() < 0.7:
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


def _fate(chance: random.Random) -> dict[str, Any]:
    path = chance.choice(("", "/pay", "/pay", "/pay", "/subscriptions", "/invoices", "/events"))
    fates = (line.LOST_AFTER, line.RESET_AFTER, line.STORED, line.GATEWAY, *line.FATES)
    return {
        "fate": chance.choice(fates),
        "path": path,
        "times": chance.choice((1, 1, 1, 2, 4, 30)),
    }


def _kill(chance: random.Random) -> dict[str, Any]:
    what: dict[str, Any] = {
        "down": chance.choice((0, 0, 30, 300, 2 * HOUR, 26 * HOUR, 50 * HOUR, 70 * HOUR)),
        "forgets": chance.random() < 0.7,
        "again": chance.random() < 0.3,
    }
    if chance.random() < 0.6:
        # A point by its place in the list of all there are; the list grows with the program.
        what |= {"point": chance.randrange(10_000), "count": chance.choice((1, 1, 1, 2, 3, 6))}
    else:
        what |= {"point": None, "count": chance.randint(1, 60)}
    return what


def _posts(chance: random.Random) -> dict[str, Any]:
    fate = chance.choice(("delay", "delay", "copies", "refuse", "lose", "hold back"))
    return {
        "fate": fate,
        "seconds": chance.choice((5, 60, HOUR, DAY, 3 * DAY)),
        "copies": chance.choice((2, 10)),
        "times": chance.choice((1, 2, 5, 20)),
    }


def _amount(chance: random.Random) -> dict[str, Any]:
    return {"share": chance.choice((0.1, 0.5, 0.9, 1.0))}


# What a person does, and what it takes to say it.
_PEOPLE: dict[str, Any] = {
    "pays": lambda chance: {"own card": chance.random() < 0.3},
    "new card": lambda chance: {"good": chance.random() < 0.7},
    "cancels": lambda chance: {"at once": chance.random() < 0.7},
    "disputes": lambda chance: {"closes": chance.choice((None, "won", "lost"))},
    "refunds": _amount,
    "voids": lambda _chance: {},
    "writes off": lambda _chance: {},
    "credits": _amount,
    "pays a part": _amount,
    "part, disputed": lambda chance: {"share": chance.choice((0.1, 0.5)), "closes": "lost"},
    "card behaves": lambda chance: {"outcome": chance.choice((*SOFT, *HARD, "succeed"))},
    "hold": lambda chance: {"hours": chance.choice((None, 1, 30))},
    "resume": lambda _chance: {},
    "retry": lambda _chance: {},
    "close": lambda _chance: {},
}
_FAULTS: dict[str, Any] = {
    "request": _fate,
    "stripe away": lambda chance: {"seconds": chance.choice((60, HOUR, 8 * HOUR, 30 * HOUR))},
    "stripe limits": lambda chance: {"seconds": chance.choice((30, 600, HOUR))},
    "mail": lambda chance: {
        "fate": chance.choice(outside.MAIL_FATES),
        "times": chance.choice((1, 1, 2, 5)),
    },
    "product": lambda chance: {
        "fate": chance.choice(outside.CALL_FATES),
        "times": chance.choice((1, 2, 4)),
    },
    "posts": _posts,
    "broker": lambda chance: {
        "fate": chance.choice(("lose", "twice", "late")),
        "seconds": chance.choice((30, 90, 600, 2 * HOUR, DAY)),
        "times": chance.choice((1, 2, 5)),
    },
    "database busy": lambda chance: {"times": chance.choice((1, 2, 3, 8))},
    "kill": _kill,
    "clock wrong": lambda chance: {"by": chance.choice((-HOUR, -60, 60, 600, HOUR))},
    "pause": lambda chance: {
        "seconds": chance.choice((5, 70, 70, 600, DAY)),
        "path": chance.choice(("", "/pay", "/pay", "/subscriptions")),
        "side": chance.choice(("before", "after")),
    },
    "reconcile": lambda chance: {"days": chance.choice((1, 3))},
}
PERSONAL = frozenset(_PEOPLE)
_MAKERS = {**_PEOPLE, **_FAULTS}
