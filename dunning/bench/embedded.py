"""Due steps in one process on SQLite, beside other schedulers that keep what is due in a file."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, bindparam, delete, insert, select, text
from sqlmodel import col

from dunning import store
from dunning.bench.beside import compare
from dunning.bench.goals import Findings, Goal
from dunning.bench.peers import APSCHEDULER, FOLDER, HUEY, Peer
from dunning.bench.processes import finish
from dunning.broker import build_broker
from dunning.clock import SystemClock
from dunning.config import load_settings
from dunning.schedule import Claim
from dunning.store import CaseRow, ScheduleRow, reading, transaction
from dunning.wiring import assemble
from dunning.worker import Feeder, Threads, Work

WINDOW = 5_000
THREADS = 2
CHUNK = 10_000
LATE = timedelta(days=1000)

BESIDE = {
    HUEY: Goal("G9 huey", "no-op steps on SQLite / huey's", 60),
    APSCHEDULER: Goal("G9 APScheduler", "no-op steps on SQLite / APScheduler's", 200),
}
SCRIPTS = {HUEY: "huey_run.py", APSCHEDULER: "apscheduler_run.py"}


def measure(folder: Path, *, steps: int, peers: int) -> Findings:
    """So many no-op steps of ours; the peers with fewer, for they are slower."""
    found = Findings("embedded", {}, [])
    seconds = _run(folder, steps)
    found.figures["ours"] = {"per_second": round(steps / seconds), "steps": steps}
    compare(found, BESIDE, steps / seconds, lambda peer: _peer(peer, folder, peers))
    return found


def _peer(peer: Peer, folder: Path, count: int) -> dict[str, Any]:
    given = {"BENCH_FILE": str(folder / f"{peer.name}.db")}
    command = [peer.python(), "-W", "ignore", SCRIPTS[peer], str(count)]
    told: dict[str, Any] = json.loads(finish(command, given, cwd=FOLDER).strip().splitlines()[-1])
    return told


# --- ours ----------------------------------------------------------------------------------


class Idle:
    """Ends the steps of claims as soon as it hears of them, all of a message at once."""

    _done = delete(ScheduleRow).where(
        col(ScheduleRow.case_id).in_(bindparam("ids", expanding=True)),
        col(ScheduleRow.lease_token) == bindparam("token"),
    )

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run_many(self, claims: Sequence[Claim]) -> None:
        """Nothing to do: all of them are done."""
        done = {"ids": [claim.case_id for claim in claims], "token": claims[0].token}
        with transaction(self._engine) as session:
            session.execute(self._done, done, execution_options={"synchronize_session": False})


def _run(folder: Path, steps: int) -> float:
    """Seconds from the first look to when nothing is left."""
    url = f"sqlite:///{folder / 'embedded.db'}"
    store.migrate(url)
    given = {
        "DUNNING_DATABASE_URL": url,
        "STRIPE_API_KEY": "sk_test_bench",
        "STRIPE_WEBHOOK_SECRET": "whsec_bench",
    }
    program = assemble(load_settings(given, folder), environ=given)
    broker = build_broker(None)
    threads = Threads(broker, THREADS)
    try:
        fill(program.engine, steps, SystemClock().now() - LATE)
        work = Work(program, broker, Idle(program.engine))
        threads.start()
        return _feed(Feeder(program, work, window=WINDOW), work, program.engine)
    finally:
        threads.stop()
        program.close()


def _feed(feeder: Feeder, work: Work, engine: Engine) -> float:
    """Tick as `up` does until nothing is left to do."""
    clock, began = SystemClock(), time.perf_counter()
    while True:
        standing = feeder.tick(clock.now())
        if not standing.due and not standing.claimed and not _left(engine):
            return time.perf_counter() - began
        if not standing.due or standing.claimed >= WINDOW:
            work.poke.wait(0.005)
            work.poke.clear()


def _left(engine: Engine) -> bool:
    with reading(engine) as session:
        query = select(col(ScheduleRow.case_id)).limit(1)
        return session.execute(query).first() is not None


def fill(engine: Engine, count: int, due: datetime) -> None:
    """So many cases as the program stores them, but for their facts; due one after the other."""
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        with transaction(engine) as session:
            cases = [_case(number, due) for number in numbers]
            session.execute(insert(CaseRow), cases)
            cursors = [
                {"case_id": case["id"], "source": case["source"], "due_at": case["next_at"]}
                for case in cases
            ]
            session.execute(insert(ScheduleRow), cursors)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as line:
        line.execute(text("ANALYZE"))


def _case(number: int, due: datetime) -> dict[str, Any]:
    moment = due + timedelta(milliseconds=number)
    row = CaseRow(
        id=f"case_{number:020}",
        source="stripe",
        provider="stripe",
        invoice=f"in_{number}",
        customer=f"cus_{number}",
        scope=f"sub_{number}",
        state="in_grace",
        access="full",
        currency="eur",
        amount_due=4900,
        amount_at_risk=4900,
        policy="standard",
        policy_version="bench",
        opened_at=due,
        recorded_at=due,
        next_at=moment,
        next_step="retry:1",
        facts="{}",
        version=1,
    )
    return row.model_dump()
