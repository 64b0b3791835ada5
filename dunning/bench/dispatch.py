"""Due steps to workers and back, through Dramatiq, beside other queues that hold what is due."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis
from sqlalchemy import Engine, text

from dunning import store
from dunning.bench import bodies
from dunning.bench.beside import compare
from dunning.bench.claims import fill
from dunning.bench.goals import Findings, Goal
from dunning.bench.peers import CELERY, FOLDER, PGQUEUER, PROCRASTINATE, Peer
from dunning.bench.processes import environment, finish
from dunning.bench.servers import DurablePostgres, Redis
from dunning.broker import build_broker
from dunning.clock import SystemClock
from dunning.config import load_settings
from dunning.store import engine_for, reading
from dunning.wiring import assemble
from dunning.worker import Feeder, Work

WINDOW = 10_000
MEGABYTE = 2**20

BESIDE = {
    PROCRASTINATE: Goal("G8 procrastinate", "no-op steps dispatched / procrastinate's", 100),
    CELERY: Goal("G8 Celery", "no-op steps dispatched / Celery's with an ETA", 25),
    PGQUEUER: Goal("G8 pgqueuer", "no-op steps dispatched / pgqueuer's", 5),
}
SCRIPTS = {
    PROCRASTINATE: "procrastinate_run.py",
    CELERY: "celery_run.py",
    PGQUEUER: "pgqueuer_run.py",
}
TIME = Goal("G10 time", "time for ten times the steps / for the steps", 11, most=True)
MEMORY = Goal("G10 memory", "memory for ten times the steps / for the steps", 1.1, most=True)
BROKER = Goal("G10 broker", "MB in Redis at most, for ten times the steps", 10, most=True)


@dataclass(frozen=True, slots=True)
class Run:
    """What it took to dispatch so many."""

    steps: int
    seconds: float
    memory: int  # of feeder and worker together, in bytes
    broker: int  # of Redis at its fullest, in bytes

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "steps": self.steps,
            "per_second": round(self.steps / self.seconds),
            "seconds": round(self.seconds, 2),
            "memory_mb": round(self.memory / MEGABYTE, 1),
            "redis_mb": round(self.broker / MEGABYTE, 2),
        }


def measure(postgres: DurablePostgres, broker: Redis, *, steps: int, peers: int) -> Findings:
    """So many no-op steps, and ten times as many; the peers with fewer, for they are slower."""
    found = Findings("dispatch", {}, [])
    few = _run(postgres, broker, steps)
    many = _run(postgres, broker, steps * 10)
    found.figures["ours"], found.figures["ours_ten_times"] = few.told(), many.told()
    found.judge(TIME, many.seconds, few.seconds)
    found.judge(MEMORY, float(many.memory), float(few.memory))
    found.judge(BROKER, many.broker / MEGABYTE, 1.0)
    compare(
        found, BESIDE, many.steps / many.seconds, lambda peer: _peer(peer, postgres, broker, peers)
    )
    return found


def _peer(peer: Peer, postgres: DurablePostgres, broker: Redis, count: int) -> dict[str, Any]:
    python = peer.python()
    postgres.fresh(peer.name)
    with redis.Redis.from_url(broker.url) as line:
        line.flushall()
    # It runs ten thousand at least in the time that procrastinate takes for one.
    count = count if peer is PROCRASTINATE else count * 5
    given = {"BENCH_PG_PORT": str(postgres.port), "BENCH_REDIS_URL": broker.url}
    said = finish([python, "-W", "ignore", SCRIPTS[peer], str(count)], given, cwd=FOLDER)
    told: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return told


# --- ours ----------------------------------------------------------------------------------


def _run(postgres: DurablePostgres, broker: Redis, steps: int) -> Run:
    url = postgres.fresh("dispatch")
    store.migrate(url)
    engine = engine_for(url)
    with redis.Redis.from_url(broker.url) as line:
        line.flushall()
    try:
        fill(engine, 1, steps, SystemClock().now())
        given = {
            "DUNNING_DATABASE_URL": url,
            "DUNNING_BROKER_URL": broker.url,
            "STRIPE_API_KEY": "sk_test_bench",
            "STRIPE_WEBHOOK_SECRET": bodies.SECRET,
        }
        with _worker(given) as worker, redis.Redis.from_url(broker.url) as line:
            return _feed(given, engine, worker, line, steps)
    finally:
        engine.dispose()


def _feed(
    given: dict[str, str], engine: Engine, worker: psutil.Process, line: redis.Redis, steps: int
) -> Run:
    """Tick as the dispatcher does until nothing is left to do."""
    program = assemble(load_settings(given, Path.cwd()), environ=given)
    broker = build_broker(given["DUNNING_BROKER_URL"])
    feeder = Feeder(program, Work(program, broker), window=WINDOW)
    own, memory, fullest, looks = psutil.Process(), 0, 0, 0
    began = time.perf_counter()
    while True:
        standing = feeder.tick(program.clock.now())
        looks += 1
        if looks % 5 == 1:
            memory = max(memory, own.memory_info().rss + worker.memory_info().rss)
            fullest = max(fullest, int(line.info("memory")["used_memory"]))
        if not standing.due and not standing.claimed and not _left(engine):
            break
        if not standing.due or standing.claimed >= WINDOW:
            time.sleep(0.002)
    seconds = time.perf_counter() - began
    broker.close()
    program.close()
    return Run(steps, seconds, memory, fullest)


def _left(engine: Engine) -> bool:
    with reading(engine) as session:
        query = text("SELECT EXISTS (SELECT 1 FROM schedule)")
        return bool(session.execute(query).scalar_one())


@contextmanager
def _worker(given: dict[str, str]) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "dunning.bench.idler"]
    process = subprocess.Popen(command, env=environment(given), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)
