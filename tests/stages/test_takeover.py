"""A worker is killed for good in the middle of a step; another one takes over after the lease."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

from sqlmodel import select

from dunning.core.events import StepKind, StepResult
from dunning.core.ports import Doing, Ended
from dunning.executor import Executor
from dunning.processes import Up
from dunning.store import ScheduleRow, transaction
from dunning.wiring import Program
from tests.providers.stripe.bodies import AT, event, invoice
from tests.servers import clean_environment
from tests.sharing import ROOT
from tests.stages.kit import eventually, named, received
from tests.stages.parts import acting, program_on

LEASE = timedelta(seconds=2)
ENVIRON = {"DUNNING_LEASE_SECONDS": str(int(LEASE.total_seconds()))}


class Running:
    """A clock that runs, the same in all processes of a test."""

    def __init__(self, began: float) -> None:
        self._began = began

    def now(self) -> datetime:
        return AT + timedelta(hours=1, seconds=time.monotonic() - self._began)

    def fresh(self) -> datetime:
        return self.now()


class Act:
    """Hangs for ever, or is done at once; says so."""

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs
        self.done: list[tuple[bool, datetime]] = []

    def act(self, doing: Doing) -> Ended:
        if self._hangs:
            print("acting", flush=True)  # noqa: T201 - to the test that waits for it
            threading.Event().wait()
        self.done.append((doing.again, doing.now))
        return Ended(result=StepResult.DONE, why="done")


def with_act(program: Program, act: Act) -> Up:
    program.executor = Executor(
        program.engine,
        program.clock,
        program.cases,
        dict.fromkeys(StepKind, act),
        announces=False,
        lease=program.lease,
    )
    return Up(program)


def hang(url: str, folder: str, began: str) -> None:
    """What the process does that will be killed."""
    clock = Running(float(began))
    with program_on(url, Path(folder), clock=clock, provider=acting(), environ=ENVIRON) as program:
        with_act(program, Act(hangs=True)).start()
        threading.Event().wait()


def test_what_a_killed_worker_had_begun_is_taken_up_after_the_lease(
    migrated_url: str, tmp_path: Path
) -> None:
    from dunning.inbox import keep

    clock = Running(time.monotonic())
    with program_on(
        migrated_url, tmp_path, clock=clock, provider=acting(), environ=ENVIRON
    ) as program:
        with transaction(program.engine) as session:
            body = named(event("invoice.payment_failed", invoice()))
            ids = keep(session, [received(body)], clock.now())
        program.inbox.handle(ids, clock.now())
        code = "import sys; from tests.stages.test_takeover import hang; hang(*sys.argv[1:])"
        doomed = subprocess.Popen(
            [sys.executable, "-c", code, migrated_url, str(tmp_path), str(clock._began)],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert doomed.stdout is not None
        with doomed.stdout as said:
            eventually(lambda: "acting" in said.readline())
            doomed.kill()
            doomed.wait(30)
        killed = clock.now()
        with transaction(program.engine) as session:
            (cursor,) = session.exec(select(ScheduleRow)).all()
        assert cursor.lease_token is not None
        assert cursor.leased_until is not None
        assert cursor.leased_until <= killed + LEASE
        act = Act(hangs=False)
        up = with_act(program, act)
        up.start()
        try:
            eventually(lambda: act.done)
        finally:
            up.stop()
    ((again, taken_up),) = act.done[:1]
    assert again
    assert cursor.leased_until <= taken_up
