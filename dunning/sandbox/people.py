"""The simulated customers: who they are, what their card does, how they will behave."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from dunning.sandbox.curves import MIX, kind_of

Behaviour = Literal["clicks", "updater", "own", "cancels", "disputes", "late", "passive"]

# What the customers of failing renewals do, as shares. Whoever does nothing of it (`passive`)
# leaves it to the retries.
BEHAVIOURS: dict[Behaviour, float] = {
    "clicks": 0.34,  # follows the link of an email and gives a card
    "updater": 0.08,  # the card network replaces the card; given to dead cards first
    "own": 0.06,  # pays on the hosted page unasked
    "cancels": 0.07,  # ends the subscription
    "disputes": 0.05,  # pays like the passive, then takes it back
    "late": 0.05,  # pays after everybody has given up
    "passive": 0.35,
}

# country, locale, time zone, currency, weight
PLACES: tuple[tuple[str, str, str, str, int], ...] = (
    ("US", "en-US", "America/New_York", "usd", 28),
    ("US", "en-US", "America/Chicago", "usd", 16),
    ("US", "es-US", "America/Los_Angeles", "usd", 14),
    ("CA", "fr-CA", "America/Toronto", "usd", 6),
    ("AU", "en-AU", "Australia/Sydney", "usd", 4),
    ("BR", "pt-BR", "America/Sao_Paulo", "usd", 4),
    ("DE", "de", "Europe/Berlin", "eur", 9),
    ("FR", "fr", "Europe/Paris", "eur", 6),
    ("ES", "es", "Europe/Madrid", "eur", 4),
    ("GB", "en-GB", "Europe/London", "gbp", 6),
    ("JP", "ja", "Asia/Tokyo", "jpy", 3),
)

# name, interval, amount per currency in minor units
PLANS: tuple[tuple[str, str, dict[str, int]], ...] = (
    ("Basic", "month", {"usd": 1_900, "eur": 1_900, "gbp": 1_700, "jpy": 2_800}),
    ("Pro", "month", {"usd": 4_900, "eur": 4_500, "gbp": 3_900, "jpy": 7_200}),
    ("Team", "month", {"usd": 14_900, "eur": 13_900, "gbp": 11_900, "jpy": 22_000}),
    ("Pro yearly", "year", {"usd": 48_000, "eur": 44_000, "gbp": 38_000, "jpy": 70_000}),
)
_YEARLY = 3  # the last of them
_PLAN_WEIGHTS = (45, 35, 14, 6)
_PAYDAYS = (1, 15, 25, 31)

_FIRST = (
    "Ada Ben Chloe Dan Elif Femi Grace Hugo Ines Jonas Kira Liam Mia Noah Olga Paul Quinn Rosa"
    " Sam Tara Uma Victor Wen Xenia Yuki Zoe"
).split()
_LAST = (
    "Abara Bauer Costa Dubois Evans Fischer Garcia Haas Ivanov Jensen Kato Lopez Meyer Novak"
    " Okafor Peters Quist Rossi Sato Tanaka Ueda Vogel Weber Xu Young Ziegler"
).split()


@dataclass
class Person:
    """One customer, and what the run has made of them."""

    index: int
    name: str
    email: str
    country: str
    locale: str
    zone: str
    currency: str
    plan: int
    payday: int
    renews_after: float  # days from the start of the run
    fails: bool
    decline: str = ""
    behaviour: Behaviour = "passive"
    eagerness: int = 1  # the email that moves them: the first, second or third
    customer: str = ""
    method: str = ""
    subscription: str = ""
    invoice: str | None = None  # the first one that failed
    failed_at: int | None = None
    emails: int = 0
    acted: bool = False
    expires_soon: bool = False  # the card ends ahead of a renewal, and nothing fails
    notes: list[tuple[int, str]] = field(default_factory=list)


Choice = TypeVar("Choice", bound=str)


def quotas(shares: dict[Choice, float], count: int, chance: random.Random) -> list[Choice]:
    """`count` choices whose numbers follow the shares as nearly as whole numbers can, shuffled.

    Not drawn one by one: with a hundred people every class then appears, in every seed.
    """
    exact = {name: share * count for name, share in shares.items()}
    numbers = {name: int(value) for name, value in exact.items()}
    missing = count - sum(numbers.values())
    by_rest = sorted(exact, key=lambda name: exact[name] - numbers[name], reverse=True)
    for name in by_rest[:missing]:
        numbers[name] += 1
    chosen = [name for name, number in numbers.items() for _ in range(number)]
    chance.shuffle(chosen)
    return chosen


def make_people(
    count: int,
    seed: int,
    days: float,
    failure_share: float,
    mix: Mapping[str, float] | None = None,
) -> list[Person]:
    """All customers of a run; the same for the same arguments. `mix`: other first declines."""
    chance = random.Random(f"people/{seed}")
    failing = round(count * failure_share)
    fails = [True] * failing + [False] * (count - failing)
    chance.shuffle(fails)
    people = []
    for index in range(count):
        place = chance.choices(PLACES, [row[4] for row in PLACES])[0]
        first, last = chance.choice(_FIRST), chance.choice(_LAST)
        people.append(
            Person(
                index=index,
                name=f"{first} {last}",
                email=f"{first}.{last}.{index}@example.com".lower(),
                country=place[0],
                locale=place[1],
                zone=place[2],
                currency=place[3],
                plan=chance.choices(range(len(PLANS)), _PLAN_WEIGHTS)[0],
                payday=chance.choice(_PAYDAYS),
                renews_after=chance.uniform(0.1, max(0.2, days)),
                fails=fails[index],
            )
        )
    _give_troubles([person for person in people if person.fails], chance, mix or MIX)
    _look_ahead([person for person in people if not person.fails])
    return people


def _look_ahead(people: list[Person]) -> None:
    """Of those who pay one in five has a card in its last weeks, and somebody pays by the year."""
    for person in people[::5]:
        person.expires_soon = True
        person.plan %= _YEARLY
    if people and all(person.plan != _YEARLY for person in people):
        people[-1].plan = _YEARLY


def _give_troubles(people: list[Person], chance: random.Random, mix: Mapping[str, float]) -> None:
    codes = quotas(dict(mix), len(people), chance)
    behaviours = quotas(BEHAVIOURS, len(people), chance)
    for person, code, behaviour in zip(people, codes, behaviours, strict=True):
        person.decline, person.behaviour = code, behaviour
        person.eagerness = chance.choices((1, 2, 3), (60, 28, 12))[0]
    _swap_updaters(people)


def _swap_updaters(people: list[Person]) -> None:
    """The network updates cards that are dead, so these people trade their behaviour."""
    helpless = [
        person
        for person in people
        if person.behaviour == "passive" and kind_of(person.decline) == "dead"
    ]
    for person in people:
        useless = person.behaviour == "updater" and kind_of(person.decline) != "dead"
        if useless and helpless:
            other = helpless.pop()
            person.behaviour, other.behaviour = other.behaviour, person.behaviour
