"""Group commit for the receiver: requests that come while a commit is under way share the next.

One writer thread. An idle server commits at once; under load each commit takes whatever arrived
during the last one. A request is answered only after its own row is durable. The queue is bounded:
beyond it the caller is told to come again, and memory stays flat.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dunning import crashpoints, metrics
from dunning.clock import Clock
from dunning.inbox import Received, keep
from dunning.store import is_away, transaction

log = structlog.get_logger(__name__)

BATCH: Final = 200
WAITING: Final = 2_000
HINTS: Final = 100


class BusyError(Exception):
    """More requests wait for the database than it can serve soon."""


_Job = tuple[Received, "Future[bool]"]


class Keeper:
    """Stores webhooks durably; `put` gives a future that says whether the event was new."""

    def __init__(
        self, engine: Engine, clock: Clock, on_kept: Callable[[Sequence[int]], None]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._on_kept = on_kept
        self._queue: queue.Queue[_Job | None] = queue.Queue(maxsize=WAITING)
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

    def put(self, received: Received) -> Future[bool]:
        """Hand over a webhook; the future is done once it is durable. `BusyError` when full."""
        done: Future[bool] = Future()
        if self._stopping:
            raise BusyError
        try:
            self._queue.put_nowait((received, done))
        except queue.Full:
            raise BusyError from None
        return done

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._gather()
            # Whoever went away before their turn is not waited for; from here nobody can.
            batch = [job for job in batch if job[1].set_running_or_notify_cancel()]
            if batch:
                self._write(batch)

    def _gather(self) -> tuple[list[_Job], bool]:
        """What is to be written next, and whether anything comes after it."""
        batch: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH:
                return batch, True
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _write(self, batch: list[_Job]) -> None:
        began = time.monotonic()
        try:
            with transaction(self._engine) as session:
                ids = keep(session, [received for received, _ in batch], self._clock.now())
                crashpoints.reach("inbox.before_commit")
            crashpoints.reach("inbox.committed")
        except Exception as error:  # noqa: BLE001 - the callers wait for it
            if len(batch) == 1 or not isinstance(error, DBAPIError) or is_away(error):
                for _, done in batch:
                    done.set_exception(error)
                return
            # One bad row fails alone: its neighbours are written one by one.
            for job in batch:
                self._write([job])
            return
        metrics.kept(len(batch), time.monotonic() - began)
        for _, done in batch:
            done.set_result(True)
        if ids:
            try:
                self._hints.put_nowait(ids)
            except queue.Full:
                metrics.hints_lost(len(ids))
                log.warning("inbox.hint_lost", count=len(ids))

    def _tell(self) -> None:
        """Pass hints on beside the writing: a broker that hangs keeps no sender waiting."""
        while (ids := self._hints.get()) is not None:
            try:
                self._on_kept(ids)
            except Exception:
                metrics.hints_lost(len(ids))
                log.warning("inbox.hint_lost", count=len(ids), exc_info=True)
