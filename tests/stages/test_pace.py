"""Many threads, and several processes, share the turns of one account."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import Engine

from dunning.core.turns import LATE, SECOND, Limits
from dunning.errors import ProviderBusyError, ProviderDownError
from dunning.pace import Pacer, refused_keys
from dunning.store import engine_for, reading

STRIPE = Limits(account=100, endpoint=25)
ENDPOINTS = (
    "GET /v1/invoices/:id",
    "GET /v1/charges",
    "POST /v1/invoices/:id/pay",
    "GET /v1/events",
)
ROOT = Path(__file__).resolve().parents[2]


class Time:
    """A time that passes only while somebody sleeps, shared by any number of threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._now = 1_770_000_000.0
        self._asleep: dict[int, float] = {}
        self.awake = 0

    def steady(self) -> float:
        with self._condition:
            return self._now

    def moment(self) -> int:
        return int(self.steady() * SECOND)

    def rest(self, seconds: float) -> None:
        """Wait until everybody sleeps and this one's time is the next."""
        me = threading.get_ident()
        with self._condition:
            until = self._now + seconds
            self._asleep[me] = until
            self._step()
            while self._now < until:
                assert self._condition.wait(60), "the others neither sleep nor end"
            del self._asleep[me]

    def leave(self) -> None:
        with self._condition:
            self.awake -= 1
            self._step()

    def _step(self) -> None:
        waiting = [until for until in self._asleep.values() if until > self._now]
        if waiting and len(waiting) >= self.awake:
            self._now = min(waiting)
            self._condition.notify_all()


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    made = engine_for(migrated_url)
    yield made
    made.dispose()


def pacer(engine: Engine, time: Time, limits: Limits = STRIPE) -> Pacer:
    return Pacer(engine, "stripe", limits, moment=time.moment, steady=time.steady, sleep=time.rest)


def most_in_a_second(times: list[float]) -> int:
    ordered = sorted(times)
    return max(sum(1 for one in ordered[i:] if one - at < 1.0) for i, at in enumerate(ordered))


def all_ask(
    time: Time, pacers: list[Pacer], threads: int, seconds: float
) -> dict[str, list[float]]:
    """Each process's threads call as fast as they are let; when each call was made."""
    made: dict[str, list[float]] = {name: [] for name in ENDPOINTS}
    failed: list[BaseException] = []
    begins = time.steady()

    def call(who: Pacer, number: int) -> None:
        try:
            while time.steady() < begins + seconds:
                for shift in range(len(ENDPOINTS)):
                    name = ENDPOINTS[(number + shift) % len(ENDPOINTS)]
                    who.turn(name)
                    made[name].append(time.steady())
        except BaseException as error:  # noqa: BLE001 - the test itself must hear of it
            failed.append(error)
        finally:
            time.leave()

    running = [
        threading.Thread(target=call, args=(who, number))
        for who in pacers
        for number in range(threads)
    ]
    time.awake = len(running)
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(100)
    assert not failed, failed
    return made


def test_processes_together_use_nearly_all_of_the_rate_and_never_more(engine: Engine) -> None:
    time = Time()
    made = all_ask(time, [pacer(engine, time) for _ in range(3)], threads=4, seconds=6)
    whole = sorted(at for times in made.values() for at in times)
    assert most_in_a_second(whole) <= 100
    for times in made.values():
        assert most_in_a_second(times) <= 25
    begins = 1_770_000_000.0
    amid = [at for at in whole if 1 <= at - begins < 6]
    assert len(amid) >= 0.96 * 100 * 5


def test_those_who_ask_while_somebody_books_get_their_turns_at_once(engine: Engine) -> None:
    time, bookings, several = Time(), 0, 5

    def moment() -> int:
        nonlocal bookings
        bookings += 1
        if bookings == 1:
            for thread in others:
                thread.start()
            ends = monotonic() + 60
            while who.asking <= several and monotonic() < ends:
                threading.Event().wait(0.001)
        return time.moment()

    who = Pacer(engine, "stripe", STRIPE, moment=moment, steady=time.steady, sleep=time.rest)

    def call() -> None:
        who.turn(ENDPOINTS[0])
        time.leave()

    others = [threading.Thread(target=call) for _ in range(several)]
    time.awake = 1 + several
    call()
    for thread in others:
        thread.join(60)
    assert not any(thread.is_alive() for thread in others)
    assert bookings == 2


def test_a_429_heard_by_one_process_slows_the_other(engine: Engine) -> None:
    time = Time()
    time.awake = 1
    one, two = pacer(engine, time), pacer(engine, time)
    two.turn(ENDPOINTS[0])
    one.limited("", 2)
    began = time.steady()
    two.turn(ENDPOINTS[1])
    assert time.steady() >= began + 2
    one.limited("", 30)
    with pytest.raises(ProviderBusyError) as told:
        two.turn(ENDPOINTS[2])
    assert told.value.retry_after is not None
    assert 25 <= told.value.retry_after <= 40
    assert isinstance(told.value, ProviderDownError)


def test_those_who_were_stopped_by_a_429_go_on_one_after_the_other(engine: Engine) -> None:
    """All who wait while everybody is to stay away resume spread out, and at half the rate."""
    time = Time()
    who = pacer(engine, time)
    who.limited("", 2)
    began = time.steady()
    made = all_ask(time, [who, pacer(engine, time)], threads=10, seconds=4)
    calls = sorted(at for times in made.values() for at in times)
    assert calls[0] >= began + 2
    gaps = [after - before for before, after in pairwise(calls)]
    assert min(gaps) >= 0.9 / STRIPE.account
    assert most_in_a_second([at for at in calls if at < began + 3]) <= 0.6 * STRIPE.account


def test_those_who_are_turned_away_by_a_429_do_not_come_back_at_once(engine: Engine) -> None:
    time = Time()
    time.awake = 1
    who = pacer(engine, time)
    who.limited("", 60)
    told = []
    for _ in range(40):
        with pytest.raises(ProviderBusyError) as busy:
            who.turn(ENDPOINTS[0])
        assert busy.value.retry_after is not None
        told.append(busy.value.retry_after)
    assert min(told) >= 59
    assert max(told) - min(told) > 5
    assert len(set(told)) == 40


def test_after_a_429_there_is_less_and_later_as_much_as_before(engine: Engine) -> None:
    time = Time()
    time.awake = 1
    who = pacer(engine, time)

    def in_two_seconds() -> int:
        began, count = time.steady(), 0
        while time.steady() < began + 2:
            who.turn(ENDPOINTS[0])
            count += 1
        return count

    before = in_two_seconds()
    who.limited(ENDPOINTS[0], None)
    assert in_two_seconds() <= 0.7 * before
    time.rest(30)
    assert in_two_seconds() >= 0.9 * before


def test_a_turn_that_is_slept_through_is_not_used(engine: Engine) -> None:
    time = Time()
    time.awake = 1
    slept: list[float] = []

    def oversleep(seconds: float) -> None:
        slept.append(seconds)
        time.rest(seconds + (0.5 if len(slept) == 1 else 0))

    who = Pacer(engine, "stripe", STRIPE, moment=time.moment, steady=time.steady, sleep=oversleep)
    who.turn(ENDPOINTS[0])
    assert len(slept) == 2


def test_sources_have_turns_of_their_own(engine: Engine) -> None:
    time = Time()
    time.awake = 1
    pacer(engine, time).limited("", 30)
    other = Pacer(engine, "other", STRIPE, moment=time.moment, steady=time.steady, sleep=time.rest)
    other.turn(ENDPOINTS[0])
    assert time.steady() < 1_770_000_001


def refused(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return list(refused_keys(session, ["stripe", "other"]))


def test_a_refused_key_is_known_to_all_until_it_is_accepted(engine: Engine) -> None:
    time = Time()
    time.awake = 1
    one, other = pacer(engine, time), pacer(engine, time)
    one.turn(ENDPOINTS[0])
    one.answered(key_accepted=True)
    assert refused(engine) == []
    one.answered(key_accepted=False)
    assert refused(engine) == ["stripe"]
    one.limited("", None)  # what else is on the board stays, and the other way round
    # Another process reads the board with its turn, and what it is answered takes it back.
    other.turn(ENDPOINTS[0])
    other.answered(key_accepted=True)
    assert refused(engine) == []


def test_a_key_that_is_refused_all_day_is_not_written_down_each_time(engine: Engine) -> None:
    time = Time()
    time.awake = 1
    who = pacer(engine, time)

    def last() -> datetime:
        with reading(engine) as session:
            return refused_keys(session, ["stripe"])["stripe"]

    who.answered(key_accepted=False)
    first = last()
    time.rest(30)
    who.answered(key_accepted=False)
    assert last() == first
    time.rest(40)
    who.answered(key_accepted=False)
    assert (last() - first).total_seconds() == 70


def test_without_a_database_nothing_is_asked(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(ProviderBusyError, match="no turn could be booked"):
        Pacer(engine, "stripe", STRIPE).turn(ENDPOINTS[0])
    Pacer(engine, "stripe", STRIPE).limited("", 1)
    Pacer(engine, "stripe", STRIPE).answered(key_accepted=False)
    engine.dispose()


PROCESS = """
import sys, threading, time
from dunning.core.turns import Limits
from dunning.pace import Pacer
from dunning.store import engine_for

url, count = sys.argv[1], int(sys.argv[2])
pacer = Pacer(engine_for(url), "stripe", Limits(account=100, endpoint=25))
made, lock = [], threading.Lock()

def call(name):
    for _ in range(count):
        pacer.turn(name)
        with lock:
            made.append((name, time.monotonic()))

threads = [threading.Thread(target=call, args=(f"GET /v1/{i % 4}",)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for name, at in made: print(name.rpartition("/")[2], at)
"""


def test_real_processes_never_exceed_the_limit(migrated_url: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, migrated_url, "12"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=100)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    lines = [line.split() for text in told for line in text.splitlines()]
    times = [float(at) for _, at in lines]
    assert len(times) == 2 * 8 * 12
    # What is measured here is after the turn was taken: a thread may be held up in between.
    assert most_in_a_second(times) <= 100 * (1 + LATE / SECOND) + 5
