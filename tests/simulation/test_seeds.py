"""The seeds that every run plays, and what they must have met."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dunning.simulation.many import play_all
from dunning.simulation.weather import OUTSIDE, points_in_source

if TYPE_CHECKING:
    from dunning.simulation.many import Summary

# TEST_SIMULATION_SEEDS plays more of them, in the same order.
SEEDS = int(os.environ.get("TEST_SIMULATION_SEEDS", "1200"))

# Where only real processes come by: the receiver and its keeper, real connections, channels,
# migrations, people's commands, a real broker, a worker that is told to stop.
ELSEWHERE = (
    "chat.",
    "close.",
    "filling.",
    "lookout.",
    "staff.",
    "webhook.",
    "mail.",
    "call.",
    "migrate.",
    "move.",
    "policy.",
    "prune.",
    "rollup.",
    "worker.",
    "reconcile.",
    "inbox.",
    "provider.",
)
# What the worlds must have seen of everything that can end.
ENDINGS = (
    *("case recovered", "case lost", "case closed"),
    *("retry done", "retry declined", "retry skipped", "retry not_owed", "retry processing"),
    *("email done", "email doubtful", "email not_owed"),
    *("suspend done", "restore done", "restrict done", "give_up done"),
    "case over",  # a notice
)
# Where a world comes by, and the short stories of pairs do not.
ONLY_HERE = ("lookout.before_commit",)
FAULTS = (
    *("request lost after", "request 500 stored", "request refused", "request 429"),
    *("post delay", "post copies", "post lose", "post refuse", "broker lose", "broker twice"),
    *("database busy", "mail down", "product down", "pause before", "pause after", "kill"),
)


def unmet(summary: Summary) -> list[str]:
    """What the worlds never came to: then they are too tame."""
    expected = [name for name in points_in_source() if not name.startswith(ELSEWHERE)]
    expected += [*OUTSIDE, *ONLY_HERE]
    missing = [f"point {name}" for name in expected if not summary.reached[name]]
    missing += [f"ending {name}" for name in ENDINGS if not summary.endings[name]]
    return missing + [f"fault {name}" for name in FAULTS if not summary.struck[name]]


def _tell(summary: Summary) -> None:
    """For `pytest -s` and `-rA`: what was played, and what it met."""
    told = summary.data()
    points, faults = summary.reached, summary.struck
    print(
        f"{summary.seeds} worlds, {summary.turns} turns, {summary.a_second:.1f} a second; "
        f"{len(points)} crash points reached {points.total()} times, killed at "
        f"{len(summary.killed)} of them {summary.killed.total()} times; "
        f"{faults.total()} faults of {len(faults)} kinds"
    )
    for name in ("points_killed_at", "faults", "endings"):
        print(f"{name}: {told[name]}")


@pytest.mark.timeout(0)  # as long as the seeds take; a world that never rests ends by its turns
def test_no_world_breaks_a_promise() -> None:
    summary = play_all(range(SEEDS), workers=2)
    _tell(summary)
    assert summary.failing == {}, "dunning simulate --seed N shows one"
    assert unmet(summary) == []
