"""What may happen to a world: single happenings, and plots that are known to be dangerous.

A plot is a few happenings close together that would hardly meet by chance: nothing is heard while
somebody pays, an answer is lost and the process dies, a lease runs out under a slow worker.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from dunning.simulation import line, outside

HOUR, DAY = 3_600, 86_400
SOFT = ("insufficient_funds", "generic_decline", "try_again_later", "processing_error")
HARD = ("lost_card", "expired_card", "stolen_card", "requires_action", "authentication_required")

# When, what, and the rest of it.
Roll = tuple[int, str, dict[str, Any]]
Plot = Callable[[random.Random, int, int], list[Roll]]


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
    elif chance.random() < 0.5:
        what |= {"point": chance.choice(_TENDER), "count": chance.choice((1, 1, 2, 3))}
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


# Where a death hurts most: about a charge, a message, and the commit after either.
_TENDER = ("outside.charge", "outside.charged", "outside.mail", "outside.mailed", "sql.commit")

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
MAKERS: dict[str, Any] = {**_PEOPLE, **_FAULTS}


# --- plots ---------------------------------------------------------------------------------------


def _by(kind: str, who: int, chance: random.Random) -> dict[str, Any]:
    return {"who": who, **MAKERS[kind](chance)}


def _deaf(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """Nothing is heard from Stripe while somebody does something that matters."""
    acts = ("pays", "pays", "pays", "cancels", "voids", "pays a part", "credits", "new card")
    kind = chance.choice((*acts, "writes off", "refunds", "disputes", "part, disputed"))
    deaf = {
        "fate": chance.choice(("delay", "delay", "lose", "refuse", "hold back")),
        "seconds": chance.choice((12 * HOUR, DAY, 3 * DAY)),
        "copies": 1,
        "times": 40,
    }
    ahead = chance.choice((HOUR, 4 * HOUR, 8 * HOUR))
    at = max(2 * HOUR + 30, moment - ahead)
    return [(at - 5, "posts", deaf), (at, kind, _by(kind, who, chance))]


def _from_the_start(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """The first events come late, doubled and in another order: some before there is a case."""
    late = {
        "fate": chance.choice(("delay", "copies", "copies")),
        "seconds": chance.choice((60, HOUR, 8 * HOUR)),
        "copies": 10,
        "times": chance.choice((1, 2, 3, 4, 6)),
    }
    kind = chance.choice(("pays", "pays a part", "credits", "refunds", "disputes"))
    at = 2 * HOUR + chance.choice((1, 10, 1800))
    more = [(at + 60, "refunds", {"who": who, "share": 0.5})] if chance.random() < 0.6 else []
    return [
        (2 * HOUR - 30, "posts", late),
        (at, kind, _by(kind, who, chance)),
        *more,
    ]


def _in_doubt(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """A charge has no clear answer, and nothing tells of it for a while."""
    lost = {
        "fate": chance.choice((line.LOST_AFTER, line.RESET_AFTER, line.STORED, line.GATEWAY)),
        "path": "/pay",
        "times": 1,
        "away": chance.choice((0, 0, HOUR, 26 * HOUR, 50 * HOUR, 60 * HOUR)),
    }
    deaf = {"fate": "delay", "seconds": chance.choice((DAY, 3 * DAY)), "copies": 1, "times": 40}
    at = max(2 * HOUR + 60, moment - 700)
    return [(at, "request", lost), (at, "posts", deaf)]


def _dies_about_a_charge(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """A process dies just after a charge left, and stays away while the key grows old."""
    death = {
        "point": chance.choice(("outside.charged", "outside.charge", "outside.charged")),
        "count": 1,
        "down": chance.choice((0, 300, 26 * HOUR, 50 * HOUR, 50 * HOUR, 70 * HOUR)),
        "forgets": chance.random() < 0.7,
        "again": chance.random() < 0.3,
    }
    deaf = {"fate": "delay", "seconds": 3 * DAY, "copies": 1, "times": 40}
    rolls: list[Roll] = [(moment - 700, "kill", death)]
    if chance.random() < 0.7:
        rolls.append((moment - 700, "posts", deaf))
    return rolls


def _dies_about_a_message(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """A process dies just before or after a message left."""
    death = {
        "point": chance.choice(("outside.mail", "outside.mailed", "outside.mailed")),
        "count": chance.choice((1, 1, 2)),
        "down": chance.choice((0, 300, 2 * HOUR)),
        "forgets": chance.random() < 0.7,
        "again": chance.random() < 0.3,
    }
    return [(chance.choice((0, moment - 700)), "kill", death)]


def _too_slow(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """A worker stands still for longer than its lease, somewhere on its way out."""
    path = chance.choice(("/pay", "", "", "mail", "mail", "/subscriptions"))
    still = {
        "seconds": chance.choice((70, 70, 130, 600)),
        "path": path,
        "side": chance.choice(("before", "after")),
    }
    rolls: list[Roll] = [(max(0, moment - 700), "pause", still)]
    if path == "/pay" and chance.random() < 0.5:
        # What the slow one brings home is no clear answer.
        lost = {"fate": chance.choice(line.FATES), "path": "/pay", "times": 1}
        rolls.append((max(0, moment - 700), "request", lost))
    return rolls


def _overtaken(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """A step that cannot be done now waits, and what it was for comes to its end."""
    hinders: tuple[tuple[str, dict[str, Any]], ...] = (
        ("stripe away", {"seconds": HOUR}),
        ("stripe limits", {"seconds": HOUR}),
        ("mail", {"fate": outside.DOWN, "times": 5}),
    )
    kind = chance.choice(("pays", "pays", "voids", "close"))
    return [
        (max(0, moment - 60), *chance.choice(hinders)),
        (max(2 * HOUR + 60, moment + 60), kind, _by(kind, who, chance)),
    ]


def _out_of_order(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """The product refuses a call while the next ones of the case are written."""
    down = {"fate": outside.CALL_DOWN, "times": chance.choice((1, 1, 2, 4))}
    kind = chance.choice(("pays", "voids", "pays", "close"))
    return [
        (moment - 20, "product", down),
        (moment + chance.choice((1, 5, 30, 900)), kind, _by(kind, who, chance)),
    ]


def _long_gone(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """Everything is off for days, across several steps."""
    death = {
        "point": None,
        "count": chance.randint(1, 4),
        "down": chance.choice((13 * HOUR, 26 * HOUR, 40 * HOUR, 70 * HOUR)),
        "forgets": True,
        "again": False,
    }
    return [(max(0, moment - 8 * HOUR), "kill", death)]


def _held_up(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """A person holds the case, or a bank has the payment in hand, just before a step."""
    before = max(2 * HOUR + 60, moment - chance.choice((600, 2 * HOUR)))
    kind = chance.choice(("hold", "part, disputed", "hold", "part, disputed"))
    rolls: list[Roll] = [(before, kind, _by(kind, who, chance))]
    if kind == "hold" and chance.random() < 0.5:
        rolls.append((before + 40 * HOUR, "resume", {"who": who}))
    return rolls


def _after_all(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """Money comes, or goes back, after the case has ended."""
    at = chance.randrange(2 * DAY, 6 * DAY)
    rolls: list[Roll] = [(at, "pays", {"who": who, "own card": False})]
    if chance.random() < 0.5:
        rolls.append((at + HOUR, "refunds", {"who": who, "share": chance.choice((0.3, 1.0))}))
    return rolls


def _lost_hints(chance: random.Random, moment: int, who: int) -> list[Roll]:
    """The broker loses, doubles or delays whatever it gets."""
    fate = chance.choice(("lose", "twice", "late"))
    seconds = chance.choice((30, 90, 600, 2 * HOUR))
    return [(max(0, moment - 30), "broker", {"fate": fate, "seconds": seconds, "times": 8})]


PLOTS: tuple[Plot, ...] = (
    _deaf,
    _deaf,
    _from_the_start,
    _in_doubt,
    _dies_about_a_charge,
    _dies_about_a_message,
    _too_slow,
    _too_slow,
    _overtaken,
    _out_of_order,
    _long_gone,
    _held_up,
    _after_all,
    _lost_hints,
)


# Plots that came later are drawn from a chance of their own: seeds that are known stay as they are.


def _unheard_at_the_door(chance: random.Random, who: int) -> list[Roll]:
    """Between the last charge and a door somebody pays or ends it, and nothing tells of it."""
    at = 2 * HOUR + chance.choice((43, 46, 47, 62, 70, 75, 80, 90)) * HOUR
    deaf = {"fate": "delay", "seconds": 3 * DAY, "copies": 1, "times": 40}
    kind = chance.choice(("pays", "pays", "voids"))
    return [(at - 5, "posts", deaf), (at, kind, _by(kind, who, chance))]


def _old_news(chance: random.Random, who: int) -> list[Roll]:
    """What was said first comes days after the end that was heard at once."""
    at = 2 * HOUR + chance.choice((600, 7 * HOUR, 25 * HOUR))
    first = chance.choice(("pays a part", "credits", "credits"))
    late = {
        "fate": "delay",
        "seconds": chance.choice((2 * DAY, 3 * DAY)),
        "copies": 1,
        "times": chance.choice((2, 4, 6)),
    }
    end = chance.choice(("pays", "voids", "writes off", "credits"))
    return [
        (at - 5, "posts", late),
        (at, first, {"who": who, "share": 0.1}),
        (at + HOUR, end, _by(end, who, chance)),
    ]


def _heard_too_early(chance: random.Random, who: int) -> list[Roll]:
    """A bank takes a part payment back, and that is heard before the failure is."""
    late = {
        "fate": "delay",
        "seconds": chance.choice((HOUR, 8 * HOUR)),
        "copies": 1,
        "times": chance.choice((6, 7, 8, 9)),
    }
    back = {"who": who, "share": chance.choice((0.1, 0.5)), "closes": None}
    return [(2 * HOUR - 30, "posts", late), (2 * HOUR + 10, "part, disputed", back)]


def _owes_twice(chance: random.Random, who: int) -> list[Roll]:
    """The customer has another subscription, whose charge fails at about the same time."""
    second = {
        "who": who,
        "amount": chance.choice((700, 1900)),
        "renews": chance.choice((HOUR, HOUR, HOUR + 60, 7 * HOUR, 25 * HOUR, 49 * HOUR)),
        "declines": chance.choice((1, 3, 9)),
    }
    rolls: list[Roll] = [(60, "subscribes again", second)]
    if chance.random() < 0.4:
        at = 2 * HOUR + chance.choice((600, 5 * HOUR, 24 * HOUR, 25 * HOUR + 30))
        rolls.append((at, "pays", {"who": who, "own card": False}))
    return rolls


# Which seeds have one of them, by their last digit.
PLOTS_ADDED: dict[int, tuple[Callable[[random.Random, int], list[Roll]], ...]] = {
    3: (_heard_too_early,),
    2: (_owes_twice,),
    9: (_unheard_at_the_door, _old_news, _owes_twice),
}
