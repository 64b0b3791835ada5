"""Calls to a provider with limits: how much of what is allowed several processes use together."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from statistics import quantiles

from sqlalchemy import Engine, text

from dunning import store
from dunning.bench.claims import fill
from dunning.bench.goals import Findings, Goal
from dunning.bench.limited import ACCOUNT
from dunning.bench.processes import environment, running
from dunning.bench.servers import DurablePostgres, free_port
from dunning.clock import SystemClock
from dunning.dispatching import Dispatcher
from dunning.store import engine_for, reading, transaction

PROCESSES = 2
THREADS = 48
STARTING = 60  # seconds that processes may take to begin, on a machine that is busy
WINDOW = 1_000
SMALL = 10
CROWD = 99
TURNS = 10

USED = Goal("G13 used", "calls answered / calls allowed, several processes together", 0.95)
REFUSED = Goal("G13 refused", "share of calls refused as too many (429)", 0.001, most=True)
FAIR = Goal(
    "G13 fair",
    "seconds at p99 until ten due are claimed, of each of {small} beside one with {many}",
    2,
    most=True,
)


def measure(postgres: DurablePostgres, *, seconds: float, many: int) -> Findings:
    """A provider that takes 100 a second and answers after 0.3 s; and who waits for whom."""
    found = Findings("calling", {}, [])
    url = postgres.fresh("calling")
    store.migrate(url)
    told = _calls(url, seconds)
    found.figures["calls"] = told
    allowed = ACCOUNT * told["seconds"]
    found.judge(USED, told["answered"], allowed)
    found.judge(REFUSED, told["refused"], told["answered"] + told["refused"])
    served = found.figures["small_sources"] = []
    for small, late in _beside_a_crowd(url, many).items():
        served.append({"sources": small, "p99_seconds": round(late, 4), "beside": many})
        what = FAIR.what.format(small=small, many=f"{many:,}")
        found.judge(Goal(FAIR.name, what, FAIR.wanted, most=True), late, 1.0)
    return found


def _calls(url: str, seconds: float) -> dict[str, float]:
    """What the provider counted while all processes were calling: not how they start and end."""
    port = free_port()
    server = [sys.executable, "-m", "dunning.bench.limited", str(port)]
    order = {
        "database": url,
        "url": f"http://127.0.0.1:{port}",
        "seconds": seconds + STARTING,
        "threads": THREADS,
    }
    with running(server, {}, port):
        command = [sys.executable, "-m", "dunning.bench.caller", json.dumps(order)]
        with ExitStack() as stack:
            callers = [stack.enter_context(_caller(command)) for _ in range(PROCESSES)]
            for caller in callers:
                assert caller.stdout is not None
                caller.stdout.readline()
            before, began = _counts(port), time.monotonic()
            time.sleep(seconds)
            after, ended = _counts(port), time.monotonic()
    return {
        "answered": after["answered"] - before["answered"],
        "refused": after.get("refused", 0),
        "most_in_a_second": after["most_in_a_second"],
        "seconds": round(ended - began, 3),
    }


@contextmanager
def _caller(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, env=environment({}), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _counts(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts") as answer:
        told: dict[str, float] = json.loads(answer.read())
    return told


def _beside_a_crowd(url: str, many: int) -> dict[int, float]:
    """How long ten cases of each small source wait for their claim while another has so many."""
    engine = engine_for(url)
    now = SystemClock().now()
    late: dict[int, float] = {}
    try:
        fill(engine, 1, many, now)
        for small in (1, CROWD):
            names = [f"small_{number:02}" for number in range(small)]
            sources = [*names, "stripe"]
            dispatcher = Dispatcher(sources, window=WINDOW, lease=timedelta(minutes=10))
            waits: list[float] = []
            for _ in range(TURNS):
                _ten_due(engine, names)
                waits += _until_taken(engine, dispatcher, SMALL * small)
            late[small] = quantiles(waits, n=100)[98]
    finally:
        engine.dispose()
    return late


def _ten_due(engine: Engine, names: list[str]) -> None:
    """Ten cases of each of these sources become due in the midst of it."""
    statement = text(
        "UPDATE schedule SET source = (CAST(:names AS text[]))[1 + found.place / :ten], "
        "due_at = :now FROM ("
        "SELECT case_id, row_number() OVER () - 1 AS place FROM ("
        "SELECT case_id FROM schedule WHERE source = 'stripe' AND due_at <= :now "
        "AND lease_token IS NULL ORDER BY case_id DESC LIMIT :all) AS last"
        ") AS found WHERE schedule.case_id = found.case_id"
    )
    given = {"names": names, "ten": SMALL, "all": SMALL * len(names), "now": SystemClock().now()}
    with transaction(engine) as session:
        session.execute(statement, given)


def _until_taken(engine: Engine, dispatcher: Dispatcher, left: int) -> list[float]:
    began, waits = time.perf_counter(), list[float]()
    while left:
        now = SystemClock().now()
        with reading(engine) as session:
            glance = dispatcher.look(session, now)
        with transaction(engine) as session:
            taken = dispatcher.take(session, now, glance)
        for one in taken:
            if one.source != "stripe":
                waits += [time.perf_counter() - began] * len(one.ids)
                left -= len(one.ids)
            # As fast as workers could be at best: done as soon as it is claimed.
            with transaction(engine) as session:
                done = text("DELETE FROM schedule WHERE case_id = ANY(:ids)")
                session.execute(done, {"ids": list(one.ids)})
    return waits
