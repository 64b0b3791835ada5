"""Plays many seeds, in several processes, and adds up what they met."""

from __future__ import annotations

import gc
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from dunning.simulation.run import Outcome, play

Progress = Callable[["Summary"], None]


@dataclass(slots=True)
class Summary:
    """What many seeds came to."""

    seeds: int = 0
    turns: int = 0
    seconds: float = 0.0
    failing: dict[int, list[str]] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)

    @property
    def a_second(self) -> float:
        """Seeds played in a second."""
        return self.seeds / self.seconds if self.seconds else 0.0

    def add(self, outcome: Outcome) -> None:
        """Take in one seed."""
        self.seeds += 1
        self.turns += outcome.turns
        self.struck += outcome.struck
        self.reached += outcome.reached
        self.killed += outcome.killed
        self.endings += outcome.endings
        if outcome.breaches:
            self.failing[outcome.seed] = outcome.breaches

    def data(self) -> dict[str, object]:
        """For programs."""
        return {
            "seeds": self.seeds,
            "turns": self.turns,
            "seconds": round(self.seconds, 1),
            "seeds_a_second": round(self.a_second, 2),
            "failing": {str(seed): breaches for seed, breaches in sorted(self.failing.items())},
            "points_reached": dict(sorted(self.reached.items())),
            "points_killed_at": dict(sorted(self.killed.items())),
            "faults": dict(sorted(self.struck.items())),
            "endings": dict(sorted(self.endings.items())),
        }


def play_all(
    seeds: Sequence[int], *, workers: int = 1, progress: Progress = lambda _summary: None
) -> Summary:
    """Play them all; a failing seed stops nothing."""
    summary = Summary()
    began = monotonic()
    for outcome in _outcomes(seeds, workers):
        summary.add(outcome)
        summary.seconds = monotonic() - began
        progress(summary)
    return summary


def play_briefly(seed: int) -> Outcome:
    """Play a seed; the trace of one that holds is of no use to anybody."""
    try:
        outcome = play(seed)
    except Exception as error:  # noqa: BLE001 - a simulation that breaks is a finding as well
        return Outcome(seed, breaches=[f"I0 the simulation broke: {type(error).__name__}: {error}"])
    outcome.trace = []
    return outcome


@contextmanager
def _garbage_later() -> Iterator[None]:
    """The stage looks for it now and then, between two worlds."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _outcomes(seeds: Sequence[int], workers: int) -> Iterator[Outcome]:
    if workers <= 1:
        with _garbage_later():
            yield from map(play_briefly, seeds)
        return
    # A fresh interpreter each: what a test had patched, or a thread held, is not inherited.
    with multiprocessing.get_context("spawn").Pool(workers, gc.disable) as pool:
        yield from pool.imap_unordered(play_briefly, seeds, chunksize=5)
