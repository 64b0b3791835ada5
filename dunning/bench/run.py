"""One run: servers of its own, each part in turn, and the goals at the end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dunning.bench import (
    calling,
    claims,
    costs,
    dispatch,
    embedded,
    handling,
    machine,
    planning,
    receiving,
    reporting,
    sending,
)
from dunning.bench.goals import Findings
from dunning.bench.servers import DurablePostgres, Redis, scratch_folder

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done for each figure."""

    seconds: float
    events: int
    cases: int
    steps: int
    peer_steps: int
    lives: int
    letters: int
    entries: int


SIZES = {
    "quick": Size(
        seconds=2,
        events=1_000,
        cases=200_000,
        steps=5_000,
        peer_steps=1_000,
        lives=2_000,
        letters=2_000,
        entries=500_000,
    ),
    "usual": Size(
        seconds=6,
        events=6_000,
        cases=1_000_000,
        steps=20_000,
        peer_steps=3_000,
        lives=10_000,
        letters=10_000,
        entries=1_000_000,
    ),
    "full": Size(
        seconds=15,
        events=40_000,
        cases=10_000_000,
        steps=100_000,
        peer_steps=6_000,
        lives=100_000,
        letters=10_000,
        entries=10_000_000,
    ),
}


@dataclass(slots=True)
class Bench:
    """The servers of one run, and what was found so far."""

    postgres: DurablePostgres
    redis: Redis
    folder: Path
    size: Size
    found: dict[str, Findings]


def _receiving(bench: Bench) -> Findings:
    return receiving.measure(bench.postgres, bench.redis, bench.folder, bench.size.seconds)


def _handling(bench: Bench) -> Findings:
    before = bench.found.get("receiving")
    received = float(before.figures["postgresql"]["good"]) if before else None
    return handling.measure(
        bench.postgres, bench.folder, events=bench.size.events, received=received
    )


def _claims(bench: Bench) -> Findings:
    return claims.measure(bench.postgres, many=bench.size.cases, seconds=bench.size.seconds / 2)


def _dispatch(bench: Bench) -> Findings:
    return dispatch.measure(
        bench.postgres, bench.redis, steps=bench.size.steps, peers=bench.size.peer_steps
    )


def _embedded(bench: Bench) -> Findings:
    size = bench.size
    return embedded.measure(bench.folder, steps=size.steps * 10, peers=size.peer_steps)


def _calling(bench: Bench) -> Findings:
    return calling.measure(
        bench.postgres, seconds=bench.size.seconds * 3, many=bench.size.cases // 2
    )


def _costs(bench: Bench) -> Findings:
    return costs.measure(bench.postgres, cases=bench.size.lives)


def _planning(bench: Bench) -> Findings:
    return planning.measure(bench.postgres, bench.folder, cases=min(10 * bench.size.lives, 100_000))


def _sending(bench: Bench) -> Findings:
    return sending.measure(letters=bench.size.letters)


def _reports(bench: Bench) -> Findings:
    return reporting.measure(bench.postgres, entries=bench.size.entries)


PARTS: dict[str, Callable[[Bench], Findings]] = {
    "receiving": _receiving,
    "handling": _handling,
    "claims": _claims,
    "dispatch": _dispatch,
    "embedded": _embedded,
    "calling": _calling,
    "costs": _costs,
    "planning": _planning,
    "sending": _sending,
    "reports": _reports,
}


def run(parts: Sequence[str], size: str, say: Say = lambda _line: None) -> dict[str, Any]:
    """Measure these parts; everything found, as JSON. `ServerUnavailableError` without servers."""
    began = time.monotonic()
    told: dict[str, Any] = {"size": size, "machine": machine.described()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch_folder())))
        folder.chmod(0o711)
        bench = Bench(
            postgres=stack.enter_context(DurablePostgres(folder / "postgresql")),
            redis=stack.enter_context(Redis(folder / "redis")),
            folder=folder,
            size=SIZES[size],
            found={},
        )
        for name in parts:
            say(f"measuring {name}")
            bench.found[name] = PARTS[name](bench)
    told["parts"] = [each.told() for each in bench.found.values()]
    told["goals"] = [one.told() for each in bench.found.values() for one in each.verdicts]
    told["seconds"] = round(time.monotonic() - began, 1)
    return told
