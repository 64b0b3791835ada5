"""A program on PostgreSQL and Redis, and what stands for its processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import redis
from sqlmodel import col, select

from dunning.broker import build_broker
from dunning.inbox import keep
from dunning.store import CaseRow, InboxRow, ScheduleRow, transaction
from dunning.wiring import Program
from dunning.worker import Feeder, Threads, Work
from tests.providers.stripe.bodies import Body
from tests.stages.kit import ManualClock, received
from tests.stages.parts import with_actions


class House:
    """A program on PostgreSQL and Redis; each broker stands for a process of its own."""

    def __init__(self, program: Program, redis_url: str, stack: ExitStack) -> None:
        self.program = program
        self.clock: ManualClock = program.clock  # type: ignore[assignment]
        self.url = redis_url
        self._stack = stack
        self.does = with_actions(program)

    def work(self) -> Work:
        broker = build_broker(self.url)
        self._stack.callback(broker.close)
        return Work(self.program, broker)

    @contextmanager
    def working(self, threads: int = 2) -> Iterator[None]:
        """Worker threads, as another process has them."""
        broker = build_broker(self.url)
        Work(self.program, broker)
        pool = Threads(broker, threads)
        pool._worker.worker_timeout = 50
        pool.start()
        try:
            yield
        finally:
            pool.stop()

    def feeder(self, window: int = 100) -> Feeder:
        return Feeder(self.program, self.work(), window=window)

    def keeps(self, *bodies: Body) -> list[int]:
        """As the receiver does, without a hint."""
        with transaction(self.program.engine) as session:
            return keep(session, [received(body) for body in bodies], self.clock.now())

    def states(self) -> list[str]:
        with transaction(self.program.engine) as session:
            return sorted(row.state for row in session.exec(select(InboxRow)).all())

    def all_handled(self) -> bool:
        states = self.states()
        return bool(states) and set(states) == {"handled"}

    def cases(self) -> list[CaseRow]:
        with transaction(self.program.engine) as session:
            return list(session.exec(select(CaseRow)).all())

    def leased(self) -> int:
        with transaction(self.program.engine) as session:
            held = select(ScheduleRow).where(col(ScheduleRow.lease_token).is_not(None))
            return len(session.exec(held).all())

    def forgets(self) -> None:
        """The broker loses everything it ever heard."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
