"""The seeds that every run plays, and what they must have met."""

from __future__ import annotations

import os

import pytest

from dunning.simulation.many import play_all

# DUNNING_TEST_SIMULATION_SEEDS plays more of them, in the same order.
SEEDS = int(os.environ.get("DUNNING_TEST_SIMULATION_SEEDS", "150"))


@pytest.mark.timeout(0)
def test_no_world_breaks_a_promise() -> None:
    summary = play_all(range(SEEDS), workers=2)
    assert summary.failing == {}, "dunning simulate --seed N shows one"
