"""Work for later: named functions that the clock calls when their virtual time has come."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, TypeVar

from dunning.sandbox.world import World, log

_Function = TypeVar("_Function", bound=Callable[..., Any])
_JOBS: dict[str, Callable[..., Any]] = {}
_MOST_AT_ONCE = 10_000  # A job that re-queues itself for the same instant is a mistake; stop it.


def job(name: str) -> Callable[[_Function], _Function]:
    """Give a function the name under which `World.at` schedules it."""

    def keep(function: _Function) -> _Function:
        if name in _JOBS:
            raise ValueError(f"two jobs are called {name}")
        _JOBS[name] = function
        return function

    return keep


def run_due(world: World) -> int:
    """Do everything that is due; the number of jobs done."""
    done = 0
    while world.jobs and world.jobs[0][0] <= world.now:
        done += 1
        if done > _MOST_AT_ONCE:
            raise RuntimeError(f"more than {_MOST_AT_ONCE} jobs in one instant")
        _, _, name, args = heapq.heappop(world.jobs)
        with world.acting("stripe"):
            _call(world, name, args)
    return done


def _call(world: World, name: str, args: tuple[Any, ...]) -> None:
    try:
        _JOBS[name](world, *args)
    except Exception:
        log.exception("job.failed name=%s", name)
        raise
