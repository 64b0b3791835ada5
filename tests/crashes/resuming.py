"""How long it takes until a charge whose worker was killed is taken up by another one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dunning.clock import SystemClock
from dunning.store import StepRow
from tests.crashes.house import LEASE_SECONDS, House, Life, house_on
from tests.crashes.real_time import SANDBOX
from tests.world import Customer

# The first retry was due a minute ago when the processes start.
LATE_SECONDS = 60


class RealTime(Life):
    """A worker or a dispatcher by the machine's clock."""

    program = ("-m", "tests.crashes.real_time")


@dataclass(slots=True)
class Resumed:
    """What was measured of one death."""

    lease: float
    seconds: float


@contextmanager
def yesterday(database_url: str, folder: Path, broker_url: str) -> Iterator[House]:
    """A house whose sandbox stands a week and a day ago."""
    week_ago = SystemClock().now() - timedelta(days=8, hours=1, seconds=LATE_SECONDS)
    start = int(week_ago.timestamp())
    with house_on(database_url, folder, broker_url=broker_url, start=start, tick=1) as house:
        yield house


def resumes(house: House) -> Resumed:
    """Kill -9 the worker that holds a charge; the seconds until the other one has taken it up."""
    who = house.world.customer(interval="week")
    house.world.declines(who)
    house.renewal(who)
    code, said = house.command("reconcile")
    assert code == 0, said
    house.sandbox.clock.advance(int(SystemClock().now().timestamp()))
    house.until(lambda: house.sandbox.clock.wait(0), "the sandbox is at the present")
    # The charge is made at once, its answer does not come.
    house.sandbox.next_charge({"hang": 30.0})
    environ = {**house.environ, SANDBOX: house.environ["DUNNING_SANDBOX_URL"]}
    del environ["DUNNING_SANDBOX_URL"]
    with ExitStack() as stack:
        lives = {}
        for name in ("worker-1", "dispatch", "worker-2"):
            life = lives[name] = RealTime(name.partition("-")[0], environ, house.folder)
            stack.callback(life.stop, signal.SIGKILL)
            life.ready()
            if name == "dispatch":
                house.until(lambda: "api succeed" in house.world.tries(who), "the charge is made")
        lives["worker-1"].dies()
        began = time.monotonic()
        house.until(lambda: _tries(house, who) > 1, "somebody takes it up")
        seconds = time.monotonic() - began
        house.until(lambda: house.world.state(who)[0] == "recovered", "it ends well")
        assert house.world.tries(who) == ["stripe decline", "api succeed"]
    return Resumed(LEASE_SECONDS, seconds)


def _tries(house: House, who: Customer) -> int:
    case = house.world.case(who)["id"]
    with house.world.session() as session:
        return session.get_one(StepRow, f"{case}/retry:1").tries
