"""Webhooks into the inbox: the receiver beside the database's own limit and beside its peers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from dunning.bench import machine
from dunning.bench.bodies import SECRET
from dunning.bench.goals import Findings, Goal
from dunning.bench.load import Order, Outcome
from dunning.bench.peers import DJ_STRIPE, FASTAPI, FOLDER, PeerUnavailableError
from dunning.bench.processes import cpu_seconds, finish, running
from dunning.bench.servers import DurablePostgres, Redis, free_port

LINES = 64

PGBENCH = Goal("G2 pgbench", "received on PostgreSQL / single-row durable commits, 32 clients", 1.3)
RAW = Goal("G2 raw", "received on PostgreSQL / bare uvicorn that only checks the signature", 0.4)
DJ_ONE = Goal("G1 dj-stripe", "received on PostgreSQL / dj-stripe with 1 worker", 25)
DJ_TWO = Goal("G1 dj-stripe 2", "received on PostgreSQL / dj-stripe with 2 workers", 20)
AFTERNOON = Goal("G1 fastapi", "received on PostgreSQL / FastAPI with construct_event", 23)
SQLITE_DJ = Goal("G3 dj-stripe", "received on SQLite / dj-stripe on PostgreSQL, 1 worker", 28)
SQLITE_ONE = Goal("G3 group commit", "received on SQLite / with one commit a request", 2.5)
CPU = Goal("G4 CPU", "CPU per event, server and database / dj-stripe's", 1 / 30, most=True)
P99 = Goal("G5 p99", "p99 at saturation / dj-stripe's", 1 / 15, most=True)
ALONE = Goal("G5 one line", "received over one connection / with one commit a request", 0.9)
FORGED = Goal("G6 forged", "forged webhooks refused / dj-stripe's", 50)
BESIDE = Goal("G6 beside", "received while as many forged ones come / while none come", 0.5)


@dataclass(slots=True)
class Served:
    """A server under load: where it is, and the processes whose work counts."""

    port: int
    path: str
    processes: Sequence[psutil.Process]


@dataclass(slots=True)
class Measured:
    """What came of one load: answers per second, waits, and CPU milliseconds per answer."""

    outcome: Outcome
    cpu_ms: float

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self.outcome) | {"cpu_ms_per_answer": round(self.cpu_ms, 4)}


class Loads:
    """Sends loads; each with event ids of its own, so that nothing is a repetition."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._first = 0

    def send(self, served: Served, *, lines: int = LINES, forged_every: int = 0) -> Measured:
        """One load on one server."""
        self._first += 20_000_000
        order = Order(
            host="127.0.0.1",
            port=served.port,
            path=served.path,
            connections=lines,
            seconds=self._seconds,
            first=self._first % 900_000_000,
            forged_every=forged_every,
        )
        command = [sys.executable, "-m", "dunning.bench.load", json.dumps(asdict(order))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdout is not None
            sender.stdout.readline()
            before = cpu_seconds(served.processes)
            said = sender.stdout.readline()
            spent = cpu_seconds(served.processes) - before
        outcome = Outcome(**json.loads(said))
        answers = sum(outcome.answers.values()) or 1
        return Measured(outcome, spent * 1000 / answers)


def measure(postgres: DurablePostgres, redis: Redis, folder: Path, seconds: float) -> Findings:
    """All of it; a few seconds for each figure."""
    loads = Loads(seconds)
    found = Findings("receiving", {}, [])
    best = machine.pgbench(postgres, clients=32, seconds=max(3, int(seconds)))
    found.figures["pgbench_commits_per_second"] = round(best)
    found.figures["fsyncs_per_second"] = machine.fsyncs(folder)
    with _raw() as raw:
        found.figures["bare_uvicorn"] = loads.send(raw).told()
    with _ours(postgres.url, redis.url, [_process_of(postgres)]) as served:
        ours = loads.send(served)
        beside = loads.send(served, forged_every=2)
        forged = loads.send(served, forged_every=1)
    found.figures["postgresql"] = ours.told()
    found.figures["postgresql_half_forged"] = beside.told()
    found.figures["postgresql_all_forged"] = forged.told()
    good = float(ours.outcome.good)
    found.judge(PGBENCH, good, best)
    found.judge(RAW, good, found.figures["bare_uvicorn"]["good"])
    found.judge(BESIDE, float(beside.outcome.good), good)
    lite = _sqlite(loads, folder, found)
    _peers(loads, postgres, found, ours, forged, lite)
    return found


def _sqlite(loads: Loads, folder: Path, found: Findings) -> float:
    rates = {}
    for name, batch in (("sqlite", 0), ("sqlite_one_commit_each", 1)):
        url = f"sqlite:///{folder / name}.db"
        with _ours(url, None, [], batch=batch) as served:
            many, alone = loads.send(served), loads.send(served, lines=1)
        found.figures[name], found.figures[f"{name}_one_line"] = many.told(), alone.told()
        rates[name] = (float(many.outcome.good), float(alone.outcome.good))
    grouped, single = rates["sqlite"], rates["sqlite_one_commit_each"]
    found.judge(SQLITE_ONE, grouped[0], single[0])
    found.judge(ALONE, grouped[1], single[1])
    return grouped[0]


def _peers(
    loads: Loads,
    postgres: DurablePostgres,
    found: Findings,
    ours: Measured,
    forged: Measured,
    lite: float,
) -> None:
    one = two = afternoon = refused = None
    why = ""
    try:
        with _dj_stripe(postgres, workers=1) as served:
            one, refused = loads.send(served), loads.send(served, forged_every=1)
        with _dj_stripe(postgres, workers=2) as served:
            two = loads.send(served)
        with _fastapi(postgres) as served:
            afternoon = loads.send(served)
    except PeerUnavailableError as error:
        why = str(error)
    for name, peer, measured in (
        ("dj_stripe_1_worker", DJ_STRIPE, one),
        ("dj_stripe_1_worker_all_forged", DJ_STRIPE, refused),
        ("dj_stripe_2_workers", DJ_STRIPE, two),
        ("fastapi_construct_event", FASTAPI, afternoon),
    ):
        if measured is not None:
            found.figures[name] = measured.told() | {"versions": peer.versions}
    good = float(ours.outcome.good)
    found.judge(DJ_ONE, good, _rate(one), why)
    found.judge(DJ_TWO, good, _rate(two), why)
    found.judge(AFTERNOON, good, _rate(afternoon), why)
    found.judge(SQLITE_DJ, lite, _rate(one), why)
    found.judge(CPU, ours.cpu_ms, one.cpu_ms if one else None, why)
    found.judge(P99, ours.outcome.p99_ms, one.outcome.p99_ms if one else None, why)
    theirs = float(refused.outcome.refused) if refused else None
    found.judge(FORGED, float(forged.outcome.refused), theirs, why)


def _rate(measured: Measured | None) -> float | None:
    return float(measured.outcome.good) if measured else None


# --- the servers ---------------------------------------------------------------------------


@contextmanager
def _ours(
    database: str, broker: str | None, beside: Sequence[psutil.Process], *, batch: int = 0
) -> Iterator[Served]:
    """The product's own receiver in a process of its own: `dunning web`, or on SQLite alone."""
    port = free_port()
    environ = {
        "DUNNING_DATABASE_URL": database,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "BENCH_BATCH": str(batch),
    }
    run = [sys.executable, "-m", "dunning"]
    finish([*run, "migrate"], environ)
    if broker is None:
        command = [sys.executable, "-m", "dunning.bench.receiver", str(port)]
    else:
        environ["DUNNING_BROKER_URL"] = broker
        command = [*run, "web", "--port", str(port)]
    with running(command, environ, port, cwd=FOLDER) as process:
        yield Served(port, "/webhooks/stripe", [process, *beside])


@contextmanager
def _raw() -> Iterator[Served]:
    port = free_port()
    app = "dunning.bench.peers.raw_app:app"
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "error"]
    with running(command, {"BENCH_SECRET": SECRET}, port) as process:
        yield Served(port, "/webhooks/stripe", [process])


@contextmanager
def _dj_stripe(postgres: DurablePostgres, *, workers: int) -> Iterator[Served]:
    python, port = DJ_STRIPE.python(), free_port()
    environ = {"BENCH_PG_PORT": str(postgres.port), "BENCH_SECRET": SECRET}
    postgres.fresh("djstripe")
    path = finish([python, "djstripe_app.py"], environ, cwd=FOLDER).strip().splitlines()[-1]
    # Threads and kept connections: its best showing.
    options = ["-w", str(workers), "-k", "gthread", "--threads", "16", "--keep-alive", "60"]
    app = ["-b", f"127.0.0.1:{port}", "--log-level", "error", "djstripe_app:application"]
    with running([python, "-m", "gunicorn", *options, *app], environ, port, cwd=FOLDER) as process:
        yield Served(port, path, [process, _process_of(postgres)])


@contextmanager
def _fastapi(postgres: DurablePostgres) -> Iterator[Served]:
    python, port = FASTAPI.python(), free_port()
    environ = {"BENCH_PG_PORT": str(postgres.port), "BENCH_SECRET": SECRET}
    postgres.fresh("fastapi")
    options = ["--port", str(port), "--log-level", "error"]
    with running(
        [python, "-m", "uvicorn", "fastapi_app:app", *options], environ, port, cwd=FOLDER
    ) as process:
        yield Served(port, "/webhooks/stripe", [process, _process_of(postgres)])


def _process_of(server: DurablePostgres) -> psutil.Process:
    return psutil.Process(server.pid)
