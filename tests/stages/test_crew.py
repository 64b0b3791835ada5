"""A crew: many acts in flight, leases kept while they last, nobody waits for a slow source."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from dunning.clock import Clock
from dunning.core.events import StepKind
from dunning.core.ports import Doing, Ended
from dunning.crew import Crew
from dunning.executor import Executor
from dunning.schedule import Claim, claim_due
from dunning.store import ScheduleRow, StepRow, migrate
from tests.builders import T0, bill, failed
from tests.servers import Server
from tests.stages.doing import DONE
from tests.stages.kit import PATIENCE, ManualClock, Stage, eventually, on_database

LEASE = timedelta(seconds=30)
Act = Callable[[Doing], Ended]


class Acts:
    """One action for every kind of step."""

    def __init__(self, act: Act) -> None:
        self.act = act


class Yard:
    """Cases that have just failed, and crews that do their first steps."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.clock.time = T0

    def begin(self, count: int, source: str = "stripe") -> None:
        with self.stage.writing() as session:
            for number in range(count):
                who: dict[str, Any] = {"customer": f"cus_{number}"}
                told = bill(invoice=f"in_{number}", subscription=f"sub_{number}", **who)
                news = failed(told=told, id=f"evt_{number}")
                self.stage.book.apply(session, source, "stripe", [news], T0)

    def claims(self, *sources: str, limit: int = 1000) -> list[Claim]:
        with self.stage.writing() as session:
            now = self.stage.clock.now()
            return claim_due(session, now, limit=limit, lease=LEASE, sources=sources or ("stripe",))

    @contextmanager
    def crew(
        self,
        act: Act,
        calls: int,
        *,
        sources: Sequence[str] = ("stripe",),
        lease: timedelta = LEASE,
        clock: Clock | None = None,
    ) -> Iterator[Crew]:
        stage = self.stage
        clock = clock or stage.clock
        executor = Executor(
            stage.engine,
            clock,
            stage.book,
            dict.fromkeys(StepKind, Acts(act)),
            announces=False,
            lease=lease,
        )
        crew = Crew(
            lambda: executor, stage.engine, clock, sources=sources, lease=lease, calls=calls
        )
        crew.start()
        try:
            yield crew
        finally:
            crew.stop()

    def steps(self) -> list[str]:
        with self.stage.writing() as session:
            return sorted(session.exec(select(StepRow.state)).all())

    def leased(self) -> int:
        return self.stage.leased()


@pytest.fixture
def yard(stage: Stage) -> Yard:
    return Yard(stage)


def test_so_many_acts_are_in_flight_at_once(yard: Yard) -> None:
    yard.begin(12)
    together = threading.Barrier(12)

    def act(_doing: Doing) -> Ended:
        together.wait(PATIENCE)  # nobody passes before all are here
        return DONE

    with yard.crew(act, calls=12) as crew:
        crew.run_many(yard.claims())
        eventually(lambda: yard.steps() == ["ended"] * 12)
    assert yard.leased() == 0


def test_no_more_are_begun_than_can_be_acted_on(yard: Yard) -> None:
    yard.begin(10)
    acting: list[str] = []
    most: list[int] = []
    gate = threading.Semaphore(0)

    def act(doing: Doing) -> Ended:
        acting.append(doing.step.key)
        most.append(len(acting))
        gate.acquire(timeout=PATIENCE)
        acting.remove(doing.step.key)
        return DONE

    with yard.crew(act, calls=3) as crew:
        crew.run_many(yard.claims())
        eventually(lambda: len(most) == 3)
        assert yard.steps() == ["running"] * 3
        gate.release(10)
        eventually(lambda: yard.steps() == ["ended"] * 10)
    assert max(most) == 3


def test_a_slow_source_leaves_room_for_another(yard: Yard) -> None:
    yard.begin(20, "slow")
    yard.begin(5, "quick")
    slow = threading.Event()

    def act(doing: Doing) -> Ended:
        if doing.case.source == "slow":
            slow.wait(PATIENCE)
        return DONE

    with yard.crew(act, calls=8, sources=("quick", "slow")) as crew:
        crew.run_many(yard.claims("slow"))
        eventually(lambda: yard.steps().count("running") == 7)  # one place is kept
        crew.run_many(yard.claims("quick"))
        eventually(lambda: yard.steps().count("ended") == 5)
        assert yard.steps().count("running") == 7
        slow.set()
        eventually(lambda: yard.steps() == ["ended"] * 25)


def test_an_act_may_take_longer_than_a_lease(yard: Yard) -> None:
    """Its lease is renewed as long as its process lives."""
    yard.begin(1)
    lease = timedelta(seconds=0.3)
    go = threading.Event()

    def act(_doing: Doing) -> Ended:
        go.wait(PATIENCE)
        return DONE

    def ends_at() -> object:
        (row,) = yard.stage.all(ScheduleRow)
        return row.leased_until

    with yard.crew(act, calls=1, lease=lease) as crew:
        crew.run_many(yard.claims())
        eventually(lambda: yard.steps() == ["running"])
        for _ in range(5):
            now = yard.stage.clock.passes(seconds=0.2)
            eventually(lambda now=now: ends_at() == now + lease)  # type: ignore[misc]
        assert yard.claims() == []
        go.set()
        eventually(lambda: yard.steps() == ["ended"])


class Told(ManualClock):
    """A clock that goes on by itself, of which a process only hears when it asks."""

    def __init__(self, start: datetime) -> None:
        super().__init__(start)
        self.told = start

    def now(self) -> datetime:
        return self.told


def test_a_lease_is_renewed_by_the_time_it_is_not_by_the_time_last_told(yard: Yard) -> None:
    yard.begin(1)
    clock, lease, go = Told(T0), timedelta(seconds=0.3), threading.Event()

    def act(_doing: Doing) -> Ended:
        go.wait(PATIENCE)
        return DONE

    with yard.crew(act, calls=1, lease=lease, clock=clock) as crew:
        crew.run_many(yard.claims())
        eventually(lambda: yard.steps() == ["running"])
        late = clock.passes(hours=1)
        eventually(lambda: yard.stage.all(ScheduleRow)[0].leased_until == late + lease)
        yard.stage.clock.time = late
        assert yard.claims() == [], "another worker takes what is still under way"
        go.set()
        eventually(lambda: yard.steps() == ["ended"])


def test_a_crew_that_stops_finishes_what_it_began_and_gives_back_the_rest(yard: Yard) -> None:
    yard.begin(6)
    go = threading.Event()

    def act(_doing: Doing) -> Ended:
        go.wait(PATIENCE)
        return DONE

    with yard.crew(act, calls=2) as crew:
        crew.run_many(yard.claims())
        eventually(lambda: yard.steps() == ["running"] * 2)
        crew.close()
        assert yard.leased() == 2
        others = yard.claims()  # at once, without waiting for a lease
        assert (len(others), yard.leased()) == (4, 6)
        crew.run_many(others)
        assert yard.leased() == 2
        go.set()
    assert yard.steps() == ["ended"] * 2
    assert not crew.busy


def test_an_act_that_does_not_end_holds_nobody_up_for_ever(yard: Yard) -> None:
    yard.begin(1)
    go = threading.Event()

    def act(_doing: Doing) -> Ended:
        go.wait(PATIENCE)
        return DONE

    with yard.crew(act, calls=1) as crew:
        crew.run_many(yard.claims())
        eventually(lambda: yard.steps() == ["running"])
        crew.stop(grace=0.05)
        assert yard.steps() == ["running"]
        go.set()


def test_an_act_that_fails_is_let_go_of(yard: Yard) -> None:
    yard.begin(3)
    done: list[str] = []

    def act(doing: Doing) -> Ended:
        if doing.case.invoice == "in_1":
            raise KeyError("ours")
        done.append(doing.case.invoice)
        return DONE

    with yard.crew(act, calls=3) as crew:
        crew.run_many(yard.claims())
        eventually(lambda: not crew.busy)
    assert sorted(done) == ["in_0", "in_2"]
    assert yard.steps() == ["ended", "ended", "unknown"]


def test_a_message_that_comes_twice_is_one_act(yard: Yard) -> None:
    yard.begin(1)
    acts: list[str] = []
    go = threading.Event()

    def act(doing: Doing) -> Ended:
        acts.append(doing.step.key)
        go.wait(PATIENCE)
        return DONE

    with yard.crew(act, calls=4) as crew:
        claims = yard.claims()
        crew.run_many([*claims, *claims])
        eventually(lambda: len(acts) == 1)
        crew.run_many(claims)
        go.set()
        eventually(lambda: not crew.busy)
    assert len(acts) == 1


def test_outcomes_wait_in_memory_until_the_database_is_back(private_postgres: Server) -> None:
    migrate(private_postgres.url)
    for stage in on_database(private_postgres.url):
        yard = Yard(stage)
        yard.begin(3)
        go = threading.Event()

        def act(_doing: Doing, go: threading.Event = go) -> Ended:
            go.wait(PATIENCE)
            return DONE

        with yard.crew(act, calls=3) as crew:
            crew.run_many(yard.claims())
            eventually(lambda yard=yard: yard.steps() == ["running"] * 3)  # type: ignore[misc]
            private_postgres.kill()
            go.set()
            private_postgres.start()
            eventually(lambda crew=crew: not crew.busy)  # type: ignore[misc]
        assert yard.steps() == ["ended"] * 3
        assert yard.leased() == 0
