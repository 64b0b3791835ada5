"""Workers, the loop that feeds them, and a broker that may forget everything at any moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import dramatiq
import pytest
import redis
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from dunning import broker as brokers
from dunning import worker as module
from dunning.broker import build_broker
from dunning.inbox import LEASE
from dunning.keeper import Keeper
from dunning.outbox import Heard
from dunning.schedule import Claim
from dunning.store import InboxRow, OutboxRow, transaction
from dunning.wiring import Program
from dunning.worker import Feeder, Threads, Work
from tests.providers.stripe.bodies import Body, event, invoice
from tests.servers import Server
from tests.stages.house import House
from tests.stages.kit import Stage, eventually, named, put, received
from tests.stages.parts import acting, program_on

# Where a clock jumps while workers work, a claim must not grow old between two turns of theirs.
PATIENT = {"DUNNING_LEASE_SECONDS": "600"}
ON_POSTGRES = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def failed(number: int) -> Body:
    return named(event("invoice.payment_failed", invoice(id=f"in_{number}")))


@pytest.fixture
def house(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[House]:
    """A program that acts, on PostgreSQL and an empty Redis."""
    with (
        program_on(migrated_url, tmp_path, provider=acting(), environ=PATIENT) as program,
        ExitStack() as stack,
    ):
        yield House(program, redis_url, stack)


# --- a broker that forgets ---------------------------------------------------------------------


@ON_POSTGRES
def test_a_hint_reaches_the_workers_of_another_process(house: House) -> None:
    ids = house.keeps(failed(1), failed(2))
    house.work().hint(ids)
    with house.working():
        eventually(house.all_handled)
    assert len(house.cases()) == 2


@ON_POSTGRES
def test_hints_that_were_wiped_are_swept_up(house: House) -> None:
    ids = house.keeps(*(failed(number) for number in range(5)))
    house.work().hint(ids)
    house.forgets()
    feeder = house.feeder()
    with house.working():
        assert not feeder.tick(house.clock.now()).swept
        feeder.tick(house.clock.passes(seconds=LEASE.total_seconds()))
        eventually(house.all_handled)
    assert len(house.cases()) == 5


@ON_POSTGRES
def test_claims_that_were_wiped_are_taken_up_after_the_lease_and_done_once(house: House) -> None:
    ids = house.keeps(*(failed(number) for number in range(6)))
    house.program.inbox.handle(ids, house.clock.now())
    feeder = house.feeder()
    house.clock.passes(seconds=1)
    assert feeder.tick(house.clock.now()).due == 6
    house.forgets()
    with house.working():
        standing = feeder.tick(house.clock.now())
        assert (standing.due, standing.claimed) == (0, 6)
        feeder.tick(house.clock.passes(seconds=house.program.lease.total_seconds()))
        eventually(lambda: len(house.does.done) == 6)
        eventually(lambda: house.leased() == 0)
    assert len(set(house.does.done)) == 6


@ON_POSTGRES
def test_a_wipe_in_the_middle_of_the_work_loses_nothing(house: House) -> None:
    ids = house.keeps(*(failed(number) for number in range(40)))
    work, feeder = house.work(), house.feeder()
    with house.working():
        for row_id in ids:
            work.hint([row_id])
            if row_id % 7 == 0:
                house.forgets()

        def done() -> bool:
            feeder.tick(house.clock.passes(seconds=5))
            return house.all_handled() and len(set(firsts())) >= 40

        def firsts() -> list[str]:
            return [key for key in house.does.done if key.endswith("/reconcile:open")]

        eventually(done)
    assert len(firsts()) == len(set(firsts())) == 40


@ON_POSTGRES
def test_hints_that_come_twice_do_nothing_twice(house: House) -> None:
    ids = house.keeps(failed(1))
    work = house.work()
    for _ in range(5):
        work.hint(ids)
    with house.working(threads=4):
        eventually(house.all_handled)
        work.broker.join("inbox")
    (case,) = house.cases()
    assert case.version == 1


@ON_POSTGRES
def test_a_thread_that_died_listening_is_replaced(house: House) -> None:
    broker = build_broker(house.url)
    Work(house.program, broker)
    pool = Threads(broker, 1)
    pool._worker.worker_timeout = 50
    pool.start()
    try:
        dead = pool._worker.consumers["inbox"]
        dead.stop()
        dead.join(30)
        assert not dead.is_alive()
        house.work().hint(house.keeps(failed(1)))
        eventually(house.all_handled)
    finally:
        pool.stop()


# --- a broker that is away ---------------------------------------------------------------------


@pytest.fixture
def apart(migrated_url: str, private_redis: Server, tmp_path: Path) -> Iterator[House]:
    """The same with a Redis that the test may stop."""
    with (
        program_on(migrated_url, tmp_path, provider=acting(), environ=PATIENT) as program,
        ExitStack() as stack,
    ):
        yield House(program, private_redis.url, stack)


@ON_POSTGRES
def test_with_the_broker_away_webhooks_are_kept_and_handled_once_it_is_back(
    apart: House, private_redis: Server
) -> None:
    work = apart.work()
    keeper = Keeper(apart.program.engine, apart.clock, work.hint)
    keeper.start()
    private_redis.stop()
    assert put(keeper, received(failed(1))).result(30)
    assert put(keeper, received(failed(2))).result(30)
    private_redis.start()
    feeder = apart.feeder()
    with apart.working():
        feeder.tick(apart.clock.passes(seconds=LEASE.total_seconds()))
        eventually(apart.all_handled)
    keeper.stop()
    assert len(apart.cases()) == 2


@ON_POSTGRES
def test_the_loop_outlives_the_broker_and_gives_back_what_nobody_got(
    apart: House, private_redis: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    ids = apart.keeps(failed(1), failed(2))
    apart.program.inbox.handle(ids, apart.clock.now())
    feeder = apart.feeder()
    private_redis.stop()
    with pytest.raises(redis.RedisError):
        feeder.tick(apart.clock.now())
    assert apart.leased() == 0
    loop = threading.Thread(target=feeder.run)
    loop.start()
    try:
        private_redis.start()
        with apart.working():
            eventually(lambda: len(apart.does.done) >= 2)
        assert loop.is_alive()
    finally:
        feeder.stop()
        loop.join(30)
    assert not loop.is_alive()


@ON_POSTGRES
def test_workers_listen_again_by_themselves_once_the_broker_is_back(
    apart: House, private_redis: Server
) -> None:
    work = apart.work()
    with apart.working():
        work.hint(apart.keeps(failed(1)))
        eventually(apart.all_handled)
        private_redis.stop()
        private_redis.start()
        ids = apart.keeps(failed(2))

        def sent() -> bool:
            try:
                work.hint(ids)
            except redis.RedisError:
                return False
            return True

        eventually(sent)
        eventually(apart.all_handled)
    assert len(apart.cases()) == 2


@ON_POSTGRES
def test_a_broker_that_hangs_keeps_no_sender_waiting(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "BROKER_SECONDS", 0.3)
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        program_on(migrated_url, tmp_path) as program,
    ):
        broker = build_broker(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        keeper = Keeper(program.engine, program.clock, Work(program, broker).hint)
        keeper.start()
        futures = []
        for number in range(20):
            futures.append(put(keeper, received(failed(number))))
            assert futures[-1].result(30)
        with pytest.raises(redis.RedisError):
            Work(program, build_broker(f"redis://127.0.0.1:{deaf.getsockname()[1]}/1")).hint([1])
        keeper.stop()
        broker.close()


# --- the actors --------------------------------------------------------------------------------


@pytest.fixture
def alone(migrated_url: str, tmp_path: Path) -> Iterator[tuple[Program, Work]]:
    """A program that acts, with a broker in this process and nobody working."""
    with program_on(migrated_url, tmp_path, provider=acting()) as program:
        broker = build_broker(None)
        yield program, Work(program, broker)
        broker.close()


def keep_in(program: Program, *bodies: Body) -> list[int]:
    from dunning.inbox import keep

    with transaction(program.engine) as session:
        return sorted(keep(session, [received(body) for body in bodies], program.clock.now()))


@pytest.mark.parametrize(("failures", "state"), [(2, "handled"), (3, "new")])
def test_a_batch_over_which_the_database_stumbles_is_handled_again_and_else_swept(
    alone: tuple[Program, Work], monkeypatch: pytest.MonkeyPatch, failures: int, state: str
) -> None:
    program, work = alone
    ids = keep_in(program, *(failed(number) for number in range(4)))
    handle: Callable[..., int] = program.inbox.handle
    left = [OperationalError("x", {}, Exception("deadlock"))] * failures

    def stumbles(given: list[int], now: object) -> int:
        if left:
            raise left.pop()
        return handle(given, now)

    monkeypatch.setattr(program.inbox, "handle", stumbles)
    work.handle_inbox.fn(ids)
    with transaction(program.engine) as session:
        states = [session.get_one(InboxRow, row_id).state for row_id in ids]
    assert states == [state] * 4


def test_one_case_that_fails_does_not_keep_the_others_of_its_message(
    alone: tuple[Program, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, work = alone
    ran = []

    def run(claim: Claim) -> None:
        ran.append((claim.case_id, claim.source, claim.token))
        if len(ran) == 1:
            raise OperationalError("x", {}, Exception("gone"))

    monkeypatch.setattr(program.executor, "run", run)
    work.run_steps.fn("stripe", "t", ["a", "b", "c"])
    assert ran == [("a", "stripe", "t"), ("b", "stripe", "t"), ("c", "stripe", "t")]


def test_calls_to_the_product_are_made_and_settled(migrated_url: str, tmp_path: Path) -> None:
    made: list[str] = []

    def product(name: str, _body: bytes, _now: object) -> Heard:
        made.append(name)
        return Heard(taken=len(made) > 1, why="answered 503")

    with program_on(migrated_url, tmp_path, product=product) as program:
        broker = build_broker(None)
        work = Work(program, broker)
        ids = keep_in(program, failed(1), failed(2))
        program.inbox.handle(ids, program.clock.now())
        feeder = Feeder(program, work, window=8)
        assert feeder.tick(program.clock.now()).calls_due
        work.make_calls.fn()
        with transaction(program.engine) as session:
            rows = sorted(session.exec(select(OutboxRow)).all(), key=lambda row: row.id or 0)
        assert sorted(row.state for row in rows) == ["pending", "sent"]
        assert len(made) == 2
        broker.close()


def test_no_more_is_claimed_than_the_window_holds(alone: tuple[Program, Work]) -> None:
    program, work = alone
    ids = keep_in(program, *(failed(number) for number in range(10)))
    program.inbox.handle(ids, program.clock.now())
    feeder = Feeder(program, work, window=4)
    assert feeder.tick(program.clock.now()).due == 10
    assert feeder.tick(program.clock.now()).claimed == 4
    standing = feeder.tick(program.clock.now())
    assert (standing.due, standing.claimed, standing.overdue, standing.working) == (
        6,
        4,
        True,
        True,
    )


def test_without_a_key_cases_are_kept_and_nobody_acts(stage: Stage, tmp_path: Path) -> None:
    """The embedded loop, on each database, in the mode that only shows."""
    with program_on(stage.url, tmp_path) as program:
        broker = build_broker(None)
        work = Work(program, broker)
        feeder = Feeder(program, work, window=8)
        ids = keep_in(program, failed(1))
        standing = feeder.tick(program.clock.now() + LEASE)
        assert (standing.swept, standing.due, standing.claimed) == (True, 0, 0)
        work.handle_inbox.fn(ids)
        assert stage.case().state == "in_grace"
        later = program.clock.now() + timedelta(days=30)
        assert feeder.tick(later).due == 0
        assert isinstance(broker, dramatiq.Broker)
        broker.close()
        assert partial(feeder.stop)() is None
