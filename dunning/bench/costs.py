"""What a case costs from its first failure to its end: statements, bytes, memory, as they grow."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from dunning import store
from dunning.bench import bodies
from dunning.bench.goals import Findings, Goal
from dunning.bench.handling import counted, keep_all
from dunning.bench.provider import AtOnce, Letterbox, Stopped
from dunning.bench.servers import DurablePostgres
from dunning.clock import from_unix
from dunning.config import load_settings
from dunning.schedule import claim_due
from dunning.store import transaction
from dunning.wiring import Program, assemble

BATCH = 200
# Two weeks: the life of a case whose second retry is paid, and some days after it.
DAYS = 14

GROWTH = Goal("cost growth", "bytes a case at the end / at the beginning", 1.1, most=True)
MEMORY = Goal("memory", "memory of the worker at the end / after the first part", 1.1, most=True)

_BYTES = text(
    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


def measure(postgres: DurablePostgres, *, cases: int) -> Findings:
    """Whole lives of so many cases on PostgreSQL, in parts, so that growth can be seen."""
    found = Findings("costs", {}, [])
    url = postgres.fresh("costs")
    store.migrate(url)
    clock = Stopped(from_unix(bodies.CREATED))
    given = {
        "DUNNING_DATABASE_URL": url,
        "STRIPE_WEBHOOK_SECRET": bodies.SECRET,
        "DUNNING_MAIL_FROM": "billing@example.org",
        "DUNNING_COMPANY": "Example Ltd",
        # Every card declines in the same minute, which no company's customers do.
        "DUNNING_BREAKER": "off",
    }
    program = assemble(
        load_settings(given, Path.cwd()),
        environ=given,
        clock=clock,
        providers={"stripe": AtOnce(clock)},
        mail=Letterbox(),
    )
    parts: list[dict[str, Any]] = []
    try:
        done = 0
        for upto in (cases // 100, cases // 10, cases):
            parts.append(_part(program, clock, done, upto))
            done = upto
    finally:
        program.close()
    found.figures["parts"] = parts
    first, last = parts[1], parts[-1]
    found.judge(GROWTH, last["bytes_a_case"], first["bytes_a_case"])
    found.judge(MEMORY, last["memory_mb"], first["memory_mb"])
    return found


def _part(program: Program, clock: Stopped, first: int, upto: int) -> dict[str, Any]:
    began, size = time.perf_counter(), _bytes(program)
    with counted(program.engine) as statements:
        for start in range(first, upto, 2_000):
            _lives(program, clock, start, min(start + 2_000, upto))
    made, seconds = upto - first, time.perf_counter() - began
    with transaction(program.engine) as session:
        states = session.execute(
            text("SELECT state, count(*) AS count FROM cases GROUP BY state")
        ).all()
    return {
        "cases": upto,
        "states": {row.state: row.count for row in states},
        "cases_per_second": round(made / seconds),
        "statements_a_case": round(statements[0] / made, 2),
        "bytes_a_case": round((_bytes(program) - size) / made),
        "memory_mb": round(psutil.Process().memory_info().rss / 2**20, 1),
    }


def _lives(program: Program, clock: Stopped, first: int, upto: int) -> None:
    """From the first failure of each to its end, all side by side."""
    at = int(clock.now().timestamp())
    made = [bodies.failed(number, at=at) for number in range(first + 1, upto + 1)]
    ids = keep_all(program, made)
    for start in range(0, len(ids), BATCH):
        program.inbox.handle(ids[start : start + BATCH], clock.now())
    for _ in range(DAYS * 4):
        while _steps(program, clock):
            pass
        clock.time += timedelta(hours=6)


def _steps(program: Program, clock: Stopped) -> int:
    with transaction(program.engine) as session:
        claims = claim_due(
            session, clock.now(), limit=BATCH, lease=program.lease, sources=["stripe"]
        )
    intents = program.executor.begin(claims)
    program.executor.conclude([done for one in intents if (done := program.executor.act(one))])
    return len(claims)


def _bytes(program: Program) -> int:
    with transaction(program.engine) as session:
        return int(session.execute(_BYTES).scalar_one())
