"""A debit is in process while the debt is ended by others: our books are those of the provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dunning.simulation.plots import DAY, HOUR
from dunning.simulation.run import perform
from dunning.simulation.script import Happening, Script, write
from tests.simulation.planted import planted

FAILS = 2 * HOUR
ENDED = FAILS + DAY + 5 * HOUR
AFTERWARDS = FAILS + 5 * DAY
ENDINGS = [
    ("credits", {"share": 1.0}),
    ("credits", {"share": 0.5}),
    ("voids", {}),
    ("writes off", {}),
    ("cancels", {"at once": True}),
]
AFTER = [
    None,
    ("refunds", {"share": 1.0}),
    ("refunds", {"share": 0.3}),
    ("disputes", {"closes": "lost"}),
    ("disputes", {"closes": "won"}),
]


def _script(unheard: bool, *people: tuple[int, str, dict[str, Any]]) -> Script:
    """One customer whose second charge takes days, as a debit does, and then goes through."""
    customer = {
        "who": 0,
        "amount": 199,
        "currency": "usd",
        "zone": None,
        "renews": HOUR,
        "declines": ["insufficient_funds", "processing:succeed"],
        "email": False,
    }
    rolls: list[tuple[int, str, dict[str, Any]]] = [(0, "customer", customer)]
    if unheard:
        lost = {"fate": "lose", "seconds": 5 * DAY, "copies": 1, "times": 40}
        rolls.append((FAILS + DAY + 4 * HOUR, "posts", lost))
    rolls += [
        (at, kind, what if kind == "posts" else {"who": 0, **what}) for at, kind, what in people
    ]
    rolls.sort(key=lambda one: one[0])
    made = tuple(Happening(index, *roll) for index, roll in enumerate(rolls))
    return replace(
        write(1), policy="brisk", bustle=0.0, delays=(0,), breaker=False, happenings=made
    )


@pytest.mark.parametrize("unheard", [False, True], ids=["heard", "unheard"])
@pytest.mark.parametrize("after", AFTER, ids=str)
@pytest.mark.parametrize("ending", ENDINGS, ids=str)
def test_the_ledger_says_what_the_provider_says(
    ending: tuple[str, dict[str, Any]], after: tuple[str, dict[str, Any]] | None, unheard: bool
) -> None:
    people = [(ENDED, *ending)]
    if after is not None:
        people.append((AFTERWARDS, *after))
    outcome = perform(_script(unheard, *people))
    assert not outcome.breaches
    assert not [line for line in outcome.trace if "not possible" in line], outcome.trace
    assert any("/pay" in line for line in outcome.trace), outcome.trace


def _stale() -> Script:
    """The first view of the failure comes two days late, after the credit note that ends it all.

    What went through then is heard of by asking for what was missed.
    """
    late = {"fate": "delay", "seconds": 2 * DAY, "copies": 1, "times": 1}
    lost = {"fate": "lose", "seconds": HOUR, "copies": 1, "times": 1}
    return _script(
        False,
        (FAILS - 5, "posts", late),
        (FAILS + DAY - 5, "posts", lost),
        (ENDED, "credits", {"share": 1.0}),
    )


def test_an_old_view_that_comes_last_is_not_taken_for_the_newest() -> None:
    outcome = perform(_stale())
    assert not outcome.breaches, outcome.trace
    with planted("the_last_view_wins"):
        found = perform(_stale()).breaches
    assert found
    assert "recovered is 199, the provider says 0" in found[0]
