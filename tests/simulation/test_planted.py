"""Every bug that was planted is found: a guard that nobody would miss is none."""

from __future__ import annotations

from itertools import islice

import pytest

from dunning.simulation.run import play
from tests.simulation.planted import BUGS, planted

MOST_SEEDS = 300


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    with planted(name):
        seeds = islice(BUGS[name].seeds(), MOST_SEEDS)
        assert any(play(seed).breaches for seed in seeds), f"{name} was not found"
