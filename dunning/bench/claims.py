"""Finding what is due: how the rate of claims holds up as cases grow, and under a held snapshot."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import Engine, text

from dunning import store
from dunning.bench.goals import Findings, Goal
from dunning.bench.servers import DurablePostgres
from dunning.clock import SystemClock
from dunning.dispatching import Dispatcher, Glance
from dunning.store import engine_for, reading, transaction

WINDOW = 1_000
LEASE = timedelta(hours=2)
SMALL = 100_000

GROWTH = Goal("G11 growth", "claims per second at {many} cases / at 100 k", 0.6)
IDLE = Goal(
    "G11 idle", "milliseconds of a poll that finds nothing, at {many} cases", 1.0, most=True
)
SNAPSHOT = Goal("G12 snapshot", "claims per second under a held snapshot / without", 0.8)

# Cases as the program stores them, but for the facts.
_FILL = """
INSERT INTO cases (id, source, provider, invoice, customer, scope, state, access, currency,
    amount_due, amount_at_risk, policy, policy_version, opened_at, recorded_at, next_at, next_step,
    facts, version)
SELECT 'case_' || lpad(number::text, 20, '0'), 'stripe', 'stripe', 'in_' || number,
    'cus_' || number, 'sub_' || number, 'in_grace', 'full', 'eur', 4900, 4900, 'standard', 'bench',
    :now, :now, :due + number * interval '1 millisecond', 'retry:1', '{}', 1
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS number
"""
_FILL_SCHEDULE = """
INSERT INTO schedule (case_id, source, due_at)
SELECT 'case_' || lpad(number::text, 20, '0'), 'stripe', :due + number * interval '1 millisecond'
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS number
"""


def measure(postgres: DurablePostgres, *, many: int, seconds: float) -> Findings:
    """On PostgreSQL; SQLite is for one machine and fewer cases."""
    found = Findings("claims", {}, [])
    url = postgres.fresh("claims")
    store.migrate(url)
    engine = engine_for(url)
    now = SystemClock().now()
    try:
        fill(engine, 1, SMALL, now)
        small = _claims(engine, now, seconds)
        _reset(engine, now)
        with _snapshot(engine):
            held = _claims(engine, now, seconds)
        _reset(engine, now)
        free = _claims(engine, now, seconds)
        _reset(engine, now)
        fill(engine, SMALL + 1, many, now)
        large = _claims(engine, now, seconds)
        # Nothing is claimed any more, and nothing due: all of it comes later.
        _reset(engine, now)
        idle = _idle(engine, now - timedelta(days=2000))
    finally:
        engine.dispose()
    found.figures |= {
        "cases": many,
        "claims_per_second_100k": round(small),
        "claims_per_second_many": round(large),
        "claims_per_second_snapshot": round(held),
        "claims_per_second_no_snapshot": round(free),
        "idle_poll_ms": round(idle, 3),
    }
    found.judge(_named(GROWTH, many), large, small)
    found.judge(_named(IDLE, many), idle, 1.0)
    found.judge(SNAPSHOT, held, free)
    return found


def _named(goal: Goal, many: int) -> Goal:
    return Goal(goal.name, goal.what.format(many=f"{many:,}"), goal.wanted, goal.most)


def fill(engine: Engine, first: int, last: int, now: datetime) -> None:
    """So many cases, all due for years: none is missed by the clock."""
    step = 1_000_000
    for start in range(first, last + 1, step):
        values: dict[str, Any] = {"now": now, "due": now - timedelta(days=1000)}
        values |= {"first": start, "last": min(start + step - 1, last)}
        with transaction(engine) as session:
            session.execute(text(_FILL), values)
            session.execute(text(_FILL_SCHEDULE), values)
    _tidy(engine)


def _reset(engine: Engine, now: datetime) -> None:
    """Give back what was claimed."""
    statement = (
        "UPDATE schedule SET leased_until = NULL, lease_token = NULL WHERE lease_token IS NOT NULL"
    )
    with transaction(engine) as session:
        session.execute(text(statement))
    _tidy(engine)


def _tidy(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as line:
        line.execute(text("VACUUM ANALYZE cases"))
        line.execute(text("VACUUM ANALYZE schedule"))


def _claims(engine: Engine, now: datetime, seconds: float) -> float:
    """Claims per second, a window at a time, as a dispatcher makes them."""
    dispatcher = Dispatcher(["stripe"], window=WINDOW, lease=LEASE)
    claimed, began = 0, time.perf_counter()
    # Never to the end: with few left there is less to find.
    while (spent := time.perf_counter() - began) < seconds and claimed < SMALL * 4 // 5:
        with transaction(engine) as session:
            # What it has claimed counts as done, or the window would be full at once.
            glance = dispatcher.look(session, now)
            free = Glance(glance.due, {})
            taken = dispatcher.take(session, now, free)
        claimed += sum(len(one.ids) for one in taken)
        if not taken:
            break
    return claimed / spent


def _idle(engine: Engine, now: datetime) -> float:
    """Milliseconds of one look at the schedule when nothing is due; the median of many."""
    dispatcher = Dispatcher(["stripe"], window=WINDOW, lease=LEASE)
    waits = []
    for _ in range(300):
        began = time.perf_counter()
        with reading(engine) as session:
            dispatcher.look(session, now)
        waits.append((time.perf_counter() - began) * 1000)
    return median(waits)


@contextmanager
def _snapshot(engine: Engine) -> Iterator[None]:
    """Somebody who reads for a long time, such as a dump: no dead row may be removed meanwhile."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as line:
        line.execute(text("SELECT count(*) FROM cases WHERE id = ''"))
        yield
        line.rollback()
