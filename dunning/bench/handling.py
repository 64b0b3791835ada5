"""Kept webhooks into cases and ledger: in batches, and one a transaction to compare with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from dunning import store
from dunning.bench import bodies
from dunning.bench.goals import Findings, Goal
from dunning.bench.servers import DurablePostgres
from dunning.clock import SystemClock
from dunning.config import load_settings
from dunning.inbox import Received, keep
from dunning.store import transaction
from dunning.wiring import Program, assemble
from dunning.worker import INBOX_BATCH

ON_POSTGRES = Goal("G7 PostgreSQL", "events into cases and ledger / one a transaction", 10)
ON_SQLITE = Goal("G7 SQLite", "events into cases and ledger / one a transaction", 5)
DRAIN = Goal("G7 drain", "events into cases and ledger / received, on PostgreSQL", 1)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast events were handled, and how many statements each took."""

    events: int
    per_second: float
    statements_per_event: float


def measure(
    postgres: DurablePostgres, folder: Path, *, events: int, received: float | None
) -> Findings:
    """Both databases, in batches and one by one; half of the events open cases, half end them."""
    found = Findings("handling", {}, [])
    for name, url, goal in (
        ("postgresql", postgres.fresh("handling"), ON_POSTGRES),
        ("sqlite", f"sqlite:///{folder / 'handling.db'}", ON_SQLITE),
    ):
        with opened(url) as program:
            batches = _run(program, 0, events, INBOX_BATCH)
            single = _run(program, 10_000_000, max(events // 10, 200), 1)
        found.figures[f"{name}_batches_of_{INBOX_BATCH}"] = _told(batches)
        found.figures[f"{name}_one_each"] = _told(single)
        found.judge(goal, batches.per_second, single.per_second)
        if name == "postgresql":
            found.judge(DRAIN, batches.per_second, received, "receiving was not measured")
    return found


@contextmanager
def opened(url: str, **environ: str) -> Iterator[Program]:
    """A program on a database that is brought to this version first."""
    store.migrate(url)
    given = {
        "DUNNING_DATABASE_URL": url,
        "STRIPE_WEBHOOK_SECRET": bodies.SECRET,
        **environ,
    }
    program = assemble(load_settings(given, Path.cwd()), environ=given)
    try:
        yield program
    finally:
        program.close()


def keep_all(program: Program, made: Sequence[dict[str, Any]]) -> list[int]:
    """Into the inbox, as the receiver would; their ids."""
    reader = program.sources["stripe"].reader
    now = SystemClock().now()
    ids: list[int] = []
    for start in range(0, len(made), 500):
        encoded = [bodies.encoded(body) for body in made[start : start + 500]]
        rows = [Received("stripe", reader.open(body), body) for body in encoded]
        with transaction(program.engine) as session:
            ids += keep(session, rows, now)
    return ids


def _run(program: Program, first: int, events: int, size: int) -> Rate:
    """Half of the events open a case each, the other half pay it."""
    cases = range(first + 1, first + 1 + events // 2)
    opening = keep_all(program, [bodies.failed(number) for number in cases])
    closing = keep_all(program, [bodies.paid(number) for number in cases])
    now = SystemClock().now()
    with _counted(program.engine) as statements:
        began = time.perf_counter()
        for ids in (opening, closing):
            for start in range(0, len(ids), size):
                program.inbox.handle(ids[start : start + size], now)
        seconds = time.perf_counter() - began
    total = len(opening) + len(closing)
    return Rate(total, total / seconds, statements[0] / total)


@contextmanager
def _counted(engine: Engine) -> Iterator[list[int]]:
    """How many statements went to the database inside the block."""
    count = [0]

    def note(*_: object) -> None:
        count[0] += 1

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield count
    finally:
        event.remove(engine, "before_cursor_execute", note)


def _told(rate: Rate) -> dict[str, Any]:
    return {
        "events": rate.events,
        "per_second": round(rate.per_second),
        "statements_per_event": round(rate.statements_per_event, 3),
    }
