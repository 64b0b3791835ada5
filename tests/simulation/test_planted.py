"""Every bug that was planted is found: a guard that nobody would miss is none."""

from __future__ import annotations

import pytest

from dunning.simulation.run import play
from tests.simulation.catches import CATCHES, SCRIPTED
from tests.simulation.planted import BUGS, planted


def test_every_bug_has_seeds_that_show_it() -> None:
    assert set(CATCHES) | set(SCRIPTED) == set(BUGS)
    assert len(BUGS) >= 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CATCHES)
def test_a_planted_bug_is_found(name: str) -> None:
    """Where it was found before; `tests.simulation.finding` looks for other seeds."""
    for seed in CATCHES[name]:
        with planted(name):
            found = play(seed).breaches
        assert found, f"{name} does not show at seed {seed}"
        assert play(seed).breaches == [], f"seed {seed} fails without {name} as well"
        print(f"{name}: seed {seed}: {found[0]}")
