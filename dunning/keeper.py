"""Group commit for the receiver: requests that come while a commit is under way share the next.

One writer thread. An idle server commits at once; under load each commit takes whatever arrived
during the last one and shortly after. A request is answered only after its own row is durable. The
queue is bounded: beyond it the caller is told to come again, and memory stays flat.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dunning import crashpoints, metrics
from dunning.clock import Clock
from dunning.received import Received, keep_over
from dunning.store import is_away

log = structlog.get_logger(__name__)

BATCH: Final = 200
WAITING: Final = 2_000
HINTS: Final = 100
# Under load those who were just answered come again at once. Whoever waits for them for a part of
# the time that a commit takes, and no longer than this, needs half as many commits.
GATHER_SECONDS: Final = 0.002
# A connection that was used within that time is not asked first whether it still lives.
FRESH_SECONDS: Final = 1.0


class BusyError(Exception):
    """More requests wait for the database than it can serve soon."""


# Hears, in the writer's thread, that a webhook is durable (None) or why it is not.
Settled = Callable[[Exception | None], None]


@dataclass(slots=True, eq=False)
class Ticket:
    """A webhook that waits to be written."""

    received: Received
    settled: Settled
    given_up: bool = False  # whoever asked has gone: not written, unless its turn has come already


class Keeper:
    """Stores webhooks durably, and says so to each who handed one over."""

    def __init__(
        self, engine: Engine, clock: Clock, on_kept: Callable[[Sequence[int]], None]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._on_kept = on_kept
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._most = WAITING
        self._line: Connection | None = None
        self._used_at = 0.0
        self._patience = 0.0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inbox-keeper", daemon=True)
        self._hints: queue.Queue[Sequence[int] | None] = queue.Queue(maxsize=HINTS)
        self._teller = threading.Thread(target=self._tell, name="inbox-hints", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()
        self._teller.start()

    def stop(self) -> None:
        """Write what was accepted, then end."""
        self._stopping = True
        self._queue.put(None)
        self._thread.join(timeout=30)
        with suppress(queue.Full):
            self._hints.put(None, timeout=1)
        self._teller.join(timeout=5)

    def put(self, received: Received, settled: Settled) -> Ticket:
        """Hand over a webhook; `settled` is called once it is durable. `BusyError` when full."""
        # Whoever hands over does so from one thread; several could go over by one each.
        if self._stopping or self._queue.qsize() >= self._most:
            raise BusyError
        ticket = Ticket(received, settled)
        self._queue.put(ticket)
        return ticket

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._gather()
            # Whoever went away before their turn is not waited for.
            batch = [ticket for ticket in batch if not ticket.given_up]
            if batch:
                began = time.monotonic()
                self._write(batch)
                took = time.monotonic() - began
                self._patience = min(took / 2, GATHER_SECONDS) if len(batch) > 1 else 0.0
        self._hang_up()

    def _gather(self) -> tuple[list[Ticket], bool]:
        """What is to be written next, and whether anything comes after it."""
        batch: list[Ticket] = []
        ticket = self._queue.get()
        if self._patience and self._queue.qsize() < BATCH:
            time.sleep(self._patience)
        while ticket is not None:
            batch.append(ticket)
            if len(batch) == BATCH:
                return batch, True
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _write(self, batch: list[Ticket]) -> None:
        began = time.monotonic()
        try:
            ids = self._keep(self._connection(began), [ticket.received for ticket in batch])
            crashpoints.reach("inbox.committed")
        except Exception as error:  # noqa: BLE001 - the callers wait for it
            self._hang_up()
            if len(batch) == 1 or not isinstance(error, DBAPIError) or is_away(error):
                for ticket in batch:
                    ticket.settled(error)
                return
            # One bad row fails alone: its neighbours are written one by one.
            for ticket in batch:
                self._write([ticket])
            return
        metrics.kept(len(batch), time.monotonic() - began)
        for ticket in batch:
            ticket.settled(None)
        if ids:
            try:
                self._hints.put_nowait(ids)
            except queue.Full:
                metrics.hints_lost(len(ids))
                log.warning("inbox.hint_lost", count=len(ids))

    def _keep(self, line: Connection, received: Sequence[Received]) -> Sequence[int]:
        alone = line.dialect.name == "postgresql"  # then its one statement commits by itself
        if alone:
            crashpoints.reach("inbox.before_commit")
        with line.begin():
            ids = keep_over(line, received, self._clock.now())
            if not alone:
                crashpoints.reach("inbox.before_commit")
        return ids

    def _connection(self, now: float) -> Connection:
        """The writer's own connection; after a rest, one that the pool has looked at."""
        if self._line is not None and now - self._used_at > FRESH_SECONDS:
            self._hang_up()
        if self._line is None:
            self._line = self._engine.connect()
            if self._line.dialect.name == "postgresql":
                # One statement is a transaction by itself: one journey, and not three.
                self._line.execution_options(isolation_level="AUTOCOMMIT")
        self._used_at = now
        return self._line

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with suppress(SQLAlchemyError):
                line.close()

    def _tell(self) -> None:
        """Pass hints on beside the writing: a broker that hangs keeps no sender waiting."""
        while (ids := self._hints.get()) is not None:
            try:
                self._on_kept(ids)
            except Exception:
                metrics.hints_lost(len(ids))
                log.warning("inbox.hint_lost", count=len(ids), exc_info=True)
