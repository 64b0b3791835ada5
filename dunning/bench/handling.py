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
from dunning.broker import build_broker
from dunning.clock import SystemClock
from dunning.config import load_settings
from dunning.inbox import Received, keep
from dunning.store import transaction
from dunning.wiring import Program, assemble
from dunning.worker import INBOX_BATCH, Threads, Work

ON_POSTGRES = Goal("G7 PostgreSQL", "events into cases and ledger / one a transaction", 10)
ON_SQLITE = Goal("G7 SQLite", "events into cases and ledger / one a transaction", 5)
HINT, THREADS = 4, 8
DRAIN = Goal("G7 drain", "usual traffic handled by one worker / received by one web", 1)
# Of so many webhooks one tells of a failure and one of its end; the others of healthy payments.
USUAL = 20


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast events were handled, and how many statements and how much work each took."""

    events: int
    per_second: float
    statements_per_event: float
    cpu_ms: float  # of this process; the database works beside it


def measure(
    postgres: DurablePostgres, folder: Path, *, events: int, received: float | None
) -> Findings:
    """Both databases, in batches and one by one; half of the events open cases, half end them.

    Usual traffic is mostly of payments that succeed, which is cheaper: that is what is received.
    """
    found = Findings("handling", {}, [])
    for name, url, goal in (
        ("postgresql", postgres.fresh("handling"), ON_POSTGRES),
        ("sqlite", f"sqlite:///{folder / 'handling.db'}", ON_SQLITE),
    ):
        with opened(url) as program:
            batches = _run(program, 0, events, INBOX_BATCH)
            single = _run(program, 10_000_000, max(events // 10, 200), 1)
            usual = _handled(program, _usual(20_000_000, events), INBOX_BATCH)
            hinted = _hinted(program, _usual(30_000_000, events))
        found.figures[f"{name}_batches_of_{INBOX_BATCH}"] = _told(batches)
        found.figures[f"{name}_one_each"] = _told(single)
        found.figures[f"{name}_usual_traffic"] = _told(usual)
        found.figures[f"{name}_hints_of_{HINT}"] = _told(hinted)
        found.judge(goal, batches.per_second, single.per_second)
        if name == "postgresql":
            found.judge(DRAIN, usual.per_second, received, "receiving was not measured")
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
    cases, at = range(first + 1, first + 1 + events // 2), _lately()
    opening = [bodies.failed(number, at=at) for number in cases]
    closing = [bodies.paid(number, at=at + 60) for number in cases]
    return _handled(program, [*opening, *closing], size)


def _usual(first: int, events: int) -> list[dict[str, Any]]:
    """What an account sends: few payments fail, and those are paid later."""
    at = _lately()
    made: list[dict[str, Any]] = []
    for start in range(first + 1, first + 1 + events, USUAL):
        made.append(bodies.failed(start, at=at))
        made += [bodies.paid(number, at=at) for number in range(start + 1, start + USUAL - 1)]
    paid = [bodies.paid(start, at=at + 60) for start in range(first + 1, first + 1 + events, USUAL)]
    return made + paid


def _lately() -> int:
    """A moment ago: of what failed long ago, all steps would have been missed."""
    return int(SystemClock().now().timestamp()) - 120


def _handled(program: Program, made: Sequence[dict[str, Any]], size: int) -> Rate:
    """Keep them, and measure how they are handled."""
    ids = keep_all(program, made)
    now = SystemClock().now()
    with counted(program.engine) as statements:
        began, worked = time.perf_counter(), time.process_time()
        for start in range(0, len(ids), size):
            program.inbox.handle(ids[start : start + size], now)
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
    total = len(ids)
    return Rate(total, total / seconds, statements[0] / total, worked * 1000 / total)


def _hinted(program: Program, made: Sequence[dict[str, Any]]) -> Rate:
    """Keep them, and measure how a worker's threads handle them, told of a few at a time."""
    ids = keep_all(program, made)
    broker = build_broker(None)
    work, threads = Work(program, broker), Threads(broker, THREADS)
    with counted(program.engine) as statements:
        began, worked = time.perf_counter(), time.process_time()
        for start in range(0, len(ids), HINT):
            work.hint(ids[start : start + HINT])
        threads.start()
        while work.in_hand:
            work.poke.wait(0.01)
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
    threads.stop()
    total = len(ids)
    return Rate(total, total / seconds, statements[0] / total, worked * 1000 / total)


@contextmanager
def counted(engine: Engine) -> Iterator[list[int]]:
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
        "cpu_ms_per_event": round(rate.cpu_ms, 3),
    }
