"""What a share of the worlds has beside debts: cards that expire, terms that renew, and bounces.

Everything about them is drawn from a chance of its own, so that all other worlds stay as they are.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dunning.simulation.plots import DAY, HOUR, Roll

# One world in twenty has notices, since such a world takes twice as long: those with this rest.
EVERY, REST = 20, 9
# How long before its moment each line stands, in hours.
EXPIRING, RENEWS = (60, 20), (48,)
_POLICIES = f"""\
  expiring:
    kind: card_expiry
    timeline:
      - {{before: {EXPIRING[0]}h, do: email, template: card_expiring}}
      - {{before: {EXPIRING[1]}h, do: email, template: card_expiring_soon}}
  yearly:
    kind: renewal
    timeline:
      - {{before: {RENEWS[0]}h, do: email, template: renewal_notice}}
choose: [{{policy: expiring}}, {{when: {{interval: year}}, policy: yearly}}, """
# The last days of a month, so that a card expires within the world's time.
STARTS = (
    datetime(2026, 1, 27, 6, tzinfo=UTC),
    datetime(2026, 3, 27, 7, tzinfo=UTC),  # Berlin springs forward on the 29th
    datetime(2026, 10, 28, 3, tzinfo=UTC),  # New York falls back on 1 November
    datetime(2028, 2, 25, 18, tzinfo=UTC),  # the last day of a card is a leap day
    datetime(2026, 12, 28, 9, tzinfo=UTC),
)


@dataclass(frozen=True, slots=True)
class _Life:
    """Who is told of what, and when its lines stand, in seconds from the beginning."""

    who: int
    moments: tuple[int, ...]


def with_notices(text: str) -> str:
    """A policy file, and beside its policies those of notices."""
    return text.replace("choose: [", _POLICIES)


def is_drawn(seed: int) -> bool:
    """Whether the world of this seed has notices."""
    return seed % EVERY == REST


def add(seed: int, rolls: list[Roll]) -> int:
    """Give the customers of a script something that lies ahead of them; when the world begins."""
    chance = random.Random(f"{seed}/notices")  # noqa: S311 - seeded on purpose
    start = int(chance.choice(STARTS).timestamp()) + chance.randrange(0, DAY, 600)
    people = [what for _, kind, what in rolls if kind == "customer"]
    for what in people:
        life = _prepare(chance, what, start, rolls)
        for _ in range(chance.choice((1, 2))):
            rolls += chance.choice(PLOTS)(chance, life)
    return start


def _prepare(chance: random.Random, what: dict[str, Any], start: int, rolls: list[Roll]) -> _Life:
    """A card in its last days, or a term that ends, or both; and now and then one more debt."""
    who, moments = what["who"], []
    both = chance.random() < 0.3
    if chance.random() < 0.5:
        what["declines"] = []  # nothing is owed beside it
    if both or chance.random() < 0.6:
        year, month, at = _last_month(start, what["zone"])
        what["expires"] = [month, year]
        moments += [at - start - lead * HOUR for lead in EXPIRING]
    if both or not moments:
        renews = chance.randrange(50 * HOUR, 110 * HOUR, 600)
        more = {"who": who, "amount": 58_800, "interval": "year", "renews": renews - 60}
        rolls.append((60, "subscribes again", {**more, "declines": chance.choice((0, 0, 4))}))
        moments += [renews - lead * HOUR for lead in RENEWS]
    if what["declines"] and chance.random() < 0.4:
        second = {"who": who, "amount": 1_900, "renews": HOUR - 120, "declines": 6}
        rolls.append((120, "subscribes again", second))
    return _Life(who, tuple(at for at in moments if at > 3 * HOUR) or (4 * HOUR,))


def _last_month(start: int, zone: str | None) -> tuple[int, int, int]:
    """The month in which a world begins, and when it ends where the customer lives."""
    here = datetime.fromtimestamp(start, ZoneInfo(zone or "UTC"))
    year, month = here.year + here.month // 12, here.month % 12 + 1
    ends = here.replace(year=year, month=month, day=1, hour=0, minute=0, second=0, fold=0)
    return here.year, here.month, int(ends.timestamp())


# --- plots ---------------------------------------------------------------------------------------


def _just_before(chance: random.Random, life: _Life) -> list[Roll]:
    """What it is about is settled right before a line, and mostly nothing tells of that."""
    at = max(130, chance.choice(life.moments) - chance.choice((20, 600, 4 * HOUR, 20 * HOUR)))
    act: tuple[str, dict[str, Any]] = chance.choice(
        (
            ("new card", {"good": True}),
            ("new card", {"good": False}),
            ("network updates", {}),
            ("cancels", {"at once": False}),
            ("cancels", {"at once": True}),
            ("pays", {"own card": True}),
        )
    )
    rolls: list[Roll] = [(at, act[0], {"who": life.who, **act[1]})]
    if chance.random() < 0.6:
        deaf = {"fate": chance.choice(("delay", "lose")), "seconds": 3 * DAY, "copies": 1}
        rolls.append((at - 5, "posts", {**deaf, "times": 40}))
    if act[0] == "cancels" and chance.random() < 0.4:
        rolls.append((at + 5 * HOUR, "stays", {"who": life.who}))
    return rolls


def _comes_back(chance: random.Random, life: _Life) -> list[Roll]:
    """A message is returned: nobody is there, or not just now."""
    at = max(2 * HOUR + 300, chance.choice(life.moments) - chance.choice((-300, HOUR, 20 * HOUR)))
    fate = chance.choice(("permanent", "permanent", "temporary", "complaint"))
    return [(at, "bounces", {"who": life.who, "fate": fate})]


def _dies_about_a_notice(chance: random.Random, life: _Life) -> list[Roll]:
    """A process dies while it looks ahead, or as it writes."""
    death = {
        "point": chance.choice(("lookout.before_commit", "outside.mail", "outside.mailed")),
        "count": chance.choice((1, 1, 2)),
        "down": chance.choice((0, 300, 26 * HOUR)),
        "forgets": chance.random() < 0.7,
        "again": chance.random() < 0.3,
    }
    return [(max(1, chance.choice(life.moments) - 700), "kill", death)]


def _meets_a_debt(chance: random.Random, life: _Life) -> list[Roll]:
    """The mail server is away until both a notice and a debt have something to say."""
    fates = {"fate": chance.choice(("down", "4xx", "broke before")), "times": chance.choice((2, 5))}
    return [(max(1, chance.choice(life.moments) - 60), "mail", fates)]


PLOTS = (*[_just_before] * 5, _comes_back, _comes_back, _dies_about_a_notice, _meets_a_debt)
