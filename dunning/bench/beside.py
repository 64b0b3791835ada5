"""Our rate of work beside that of peers, each measured in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dunning.bench.goals import Findings, Goal
from dunning.bench.peers import Peer, PeerUnavailableError


def compare(
    found: Findings, goals: Mapping[Peer, Goal], ours: float, run: Callable[[Peer], dict[str, Any]]
) -> None:
    """Judge so many of ours a second; a peer that cannot run here is told of with the reason.

    `run` gives what a peer has `done` and in how many `seconds`.
    """
    for peer, goal in goals.items():
        rate, why = None, ""
        try:
            told = run(peer)
            rate = told["done"] / told["seconds"]
            found.figures[peer.name] = {
                "per_second": round(rate),
                "steps": told["done"],
                "versions": peer.versions,
            }
        except (PeerUnavailableError, RuntimeError) as error:
            why = str(error)[-300:]
        found.judge(goal, ours, rate, why)
