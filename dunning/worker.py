"""Dramatiq actors (a message carries many ids) and the loop that feeds them.

The broker only carries hints. What is due is found in the database, again and again, so a broker
may lose everything at any moment. Dramatiq's own retries and delays are not used: seconds belong
to the adapters, minutes to the leases, days to the policy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Protocol

import dramatiq
import structlog
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import QueueJoinTimeout
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from dunning import crashpoints, inbox, metrics, outbox, schedule
from dunning.broker import AWAY
from dunning.clock import FollowedClock
from dunning.dispatching import Dispatcher, Glance
from dunning.schedule import Claim, Taken
from dunning.store import reading, transaction
from dunning.wiring import Program

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
# With the window full it is looked again after this, then after twice as long, three times …
FULL_SECONDS = 0.02
FOLLOW_POLL_SECONDS = 0.05
FOLLOW_WAIT_SECONDS = 5.0
INBOX_BATCH = 100
# So many threads of a process handle webhooks at once, so many rows in one transaction: more of
# them would take smaller batches.
HANDLERS = 3
TOGETHER = 250
# So often a batch is handled anew at once; the sweep finds what is left even so.
HANDLING = 3
CALLS_BATCH = 20
CALL_LEASE = timedelta(seconds=60)
DRAIN_MILLISECONDS = 5_000
WATCH_SECONDS = 2.0
# A message carries at most so many claims, and there are so many messages for all workers to
# share in one turn, if there is enough to do.
MESSAGE_CLAIMS = 250
MESSAGES = 16


class Runs(Protocol):
    """Takes claims on: the executor one after the other, a crew many at once."""

    def run_many(self, claims: Sequence[Claim]) -> None: ...


class Work:
    """The actors of one process."""

    def __init__(self, program: Program, broker: dramatiq.Broker, runs: Runs | None = None) -> None:
        self._program = program
        self._runs = runs
        self.broker = broker
        self.poke = threading.Event()
        self._lock = threading.Lock()
        self._under_way = 0
        self._told: list[list[int]] = []  # rows of messages that nobody handles yet
        self._handlers = 0
        # Without the Retries middleware a message that fails is not repeated.
        self.handle_inbox = dramatiq.actor(
            broker=broker, actor_name="handle_inbox", queue_name="inbox"
        )(self._handle_inbox)
        self.run_steps = dramatiq.actor(broker=broker, actor_name="run_steps", queue_name="steps")(
            self._run_steps
        )
        self.make_calls = dramatiq.actor(
            broker=broker, actor_name="make_calls", queue_name="calls"
        )(self._make_calls)

    def hint(self, ids: Sequence[int]) -> None:
        """Tell the workers of webhooks just kept."""
        self.send(self.handle_inbox, list(ids))

    def send(self, actor: dramatiq.Actor[..., None], *arguments: object) -> None:
        """Hand a message to the broker."""
        with self._lock:
            self._under_way += 1
        try:
            actor.send(*arguments)
        except BaseException:
            with self._lock:
                self._under_way -= 1
            raise

    @property
    def in_hand(self) -> bool:
        """Whether threads of this process still work on something; of others nothing is known."""
        busy = getattr(self._runs, "busy", False)
        with self._lock:
            return isinstance(self.broker, StubBroker) and (busy or self._under_way > 0)

    def broker_says(self) -> str:
        """Whether the broker answers: `ok`, or `away` and how it shows."""
        if isinstance(self.broker, StubBroker):
            return "in this process"
        try:
            # RabbitMQ's connects when it is asked for its connection, Redis' when it is pinged.
            for name in ("client", "connection"):
                if (line := getattr(self.broker, name, None)) is not None:
                    getattr(line, "ping", str)()
                    break
        except Exception as error:  # noqa: BLE001 - each broker has a tree of its own
            return f"away ({type(error).__name__})"
        return "ok"

    def _done(self, messages: int = 1) -> None:
        with self._lock:
            self._under_way -= messages
            last = self._under_way <= 0
        if last:
            self.poke.set()

    def _handle_inbox(self, ids: list[int]) -> None:
        """Handle these, and what has piled up meanwhile; nobody waits for a large batch."""
        told = [int(row_id) for row_id in ids]  # of another form: it fails alone
        with self._lock:
            self._told.append(told)
            if self._handlers >= HANDLERS:
                return  # whoever is done first takes them along; lost with us, they are swept
            self._handlers += 1
        while messages := self._next_told():
            try:
                self._handle([row_id for told in messages for row_id in told])
            except BaseException:
                with self._lock:
                    self._handlers -= 1
                raise
            finally:
                self._done(len(messages))

    def _next_told(self) -> list[list[int]]:
        """Whole messages, what was kept first ahead; when there are none, this handler is done."""
        with self._lock:
            if not self._told:
                self._handlers -= 1
                return []
            self._told.sort(reverse=True)
            taken = [self._told.pop()]
            rows = len(taken[0])
            while self._told and rows + len(self._told[-1]) <= TOGETHER:
                taken.append(self._told.pop())
                rows += len(taken[-1])
            return taken

    def _handle(self, ids: list[int]) -> None:
        self._program.clock.fresh()
        for tries in range(1, HANDLING + 1):
            if self._is_handled(ids, tries):
                return

    def _is_handled(self, ids: list[int], tries: int) -> bool:
        """What the database refused is parked by then; what it could not do passes, or is swept."""
        try:
            self._program.inbox.handle(ids, self._program.clock.now())
        except SQLAlchemyError as error:
            kind = type(error).__name__
            log.warning("inbox.batch_failed", count=len(ids), error=kind, tries=tries)
            return False
        return True

    def _run_steps(self, source: str, token: str, ids: list[str]) -> None:
        crashpoints.reach("message.taken")
        try:
            self._program.clock.fresh()
            runs = self._runs or self._program.executor
            runs.run_many(Taken(source, token, tuple(ids)).claims())
        finally:
            self._done()
        crashpoints.reach("message.done")

    def _make_calls(self) -> None:
        program = self._program
        try:
            if program.product is None:
                return
            now = program.clock.fresh()
            with transaction(program.engine) as session:
                calls = outbox.claim_calls(session, now, limit=CALLS_BATCH, lease=CALL_LEASE)
            for call in calls:
                heard = program.product(call.key, call.body, program.clock.now())
                with transaction(program.engine) as session:
                    outbox.settle_call(session, call, heard, program.clock.now())
        finally:
            self._done()


class Feeder:
    """Finds what is due and hands it to the actors; any number of them may run at once."""

    def __init__(self, program: Program, work: Work, *, window: int) -> None:
        self._program = program
        self._work = work
        self._window = window
        self._cases = Dispatcher(program.acting, window=window, lease=program.lease)
        self._full = 0
        self._stop = threading.Event()
        self._still: tuple[object, float] = (None, 0.0)

    def stop(self) -> None:
        """End the loop after the present turn."""
        self._stop.set()
        self._work.poke.set()

    def run(self) -> None:
        """Feed until stopped. A database or a broker that is away is waited for."""
        trouble = ""
        while not self._stop.is_set():
            try:
                self._turn()
                trouble = ""
            except Exception as error:
                # Whatever it is: without this loop nothing would be done any more. Said once.
                foreseen = isinstance(error, SQLAlchemyError | OSError | AWAY)
                if type(error).__name__ != trouble:
                    trouble = type(error).__name__
                    why = str(error)[:200]
                    log.warning("feeder.waits", error=trouble, why=why, exc_info=not foreseen)
                self._stop.wait(POLL_SECONDS)

    def _turn(self) -> None:
        clock = self._program.clock
        if isinstance(clock, FollowedClock):
            self._follow(clock)
            return
        standing = self.tick(clock.now())
        # With more due than the window holds, look again as soon as somebody is done.
        self._full = self._full + 1 if standing.claimed >= self._window else 0
        if not standing.due or self._full:
            wait = min(FULL_SECONDS * self._full, POLL_SECONDS) if standing.due else POLL_SECONDS
            self._work.poke.wait(wait)
            self._work.poke.clear()

    def tick(self, now: datetime, *, everything: bool = False) -> Standing:
        """Hand out what is due now; how things stood, and whether there was anything.

        `everything`: search from the very beginning, and say when something will be due next.
        """
        metrics.ticked()
        program = self._program
        with reading(program.engine) as session:
            glance = self._cases.look(session, now, everything=everything)
            standing = _standing(session, program, now, glance, everything=everything)
        rows: list[int] = []
        taken: list[Taken] = []
        if standing.swept or (standing.due and standing.claimed < self._window):
            with transaction(program.engine) as session:
                rows = inbox.sweep(session, now, limit=1_000) if standing.swept else []
                taken = self._cases.take(session, now, glance)
            crashpoints.reach("claim.committed")
            for one in taken:
                metrics.claimed(one.source, len(one.ids))
        self._hand_out(taken)
        for start in range(0, len(rows), INBOX_BATCH):
            self._work.send(self._work.handle_inbox, rows[start : start + INBOX_BATCH])
        if standing.calls_due:
            self._work.send(self._work.make_calls)
        return standing

    def _hand_out(self, taken: Sequence[Taken]) -> None:
        """One message of each source in turn, so that no source waits behind all of another."""
        size = min(max(sum(len(one.ids) for one in taken) // MESSAGES, 1), MESSAGE_CLAIMS)
        parts = [one.parts(size) for one in taken]
        left = [part for turn in zip_longest(*parts) for part in turn if part]
        try:
            while left:
                self._work.send(
                    self._work.run_steps, left[0].source, left[0].token, list(left[0].ids)
                )
                crashpoints.reach("broker.pushed")
                left.pop(0)
        except Exception:
            # Nobody got these: they need not wait for the lease to run out.
            with transaction(self._program.engine) as session:
                schedule.release(session, [claim for part in left for claim in part.claims()])
            raise

    # --- beside a sandbox, whose time waits for us -----------------------------------------

    def _follow(self, clock: FollowedClock) -> None:
        version = clock.version
        self._work.poke.clear()
        looks_at = self._program.lookout.follow(clock.now()) if version else None  # once joined
        standing = self.tick(clock.now(), everything=True)
        idle = not standing.overdue and (not standing.working or self._abandoned(standing))
        if idle or version == 0:
            clock.report(
                version=version,
                idle=idle and version > 0,
                next_at=min(filter(None, (standing.next_at, looks_at)), default=None),
                wait=FOLLOW_WAIT_SECONDS if version else 0,
            )
        else:
            self._work.poke.wait(FOLLOW_POLL_SECONDS)

    def _abandoned(self, standing: Standing) -> bool:
        """Whether nothing has moved for as long as a lease: then its worker is dead.

        Time must go on, as otherwise the lease would never run out. A worker of this process that
        is merely slow is not dead, however slow the machine.
        """
        known, since = self._still
        if standing != known or self._work.in_hand:
            self._still = (standing, time.monotonic())
            return False
        return time.monotonic() - since > self._program.lease.total_seconds()


@dataclass(frozen=True, slots=True)
class Standing:
    """How much there is to do at a moment, and when there will be more."""

    swept: bool  # kept webhooks nobody took in time
    due: int  # counted no further than the window
    claimed: int
    calls_due: bool
    overdue: bool  # something is due and nobody has taken it yet
    working: bool  # something has been taken and is not done yet
    next_at: datetime | None


def _standing(
    session: Session, program: Program, now: datetime, glance: Glance, *, everything: bool
) -> Standing:
    kept = inbox.backlog(session)
    due, claimed = sum(glance.due.values()), sum(glance.claimed.values())
    moments = [kept.next_at]
    if everything:
        moments.append(schedule.next_moment(session, now, program.acting))
    calls_due = calling = False
    if program.product is not None:
        calls = outbox.backlog(session, now)
        moments.append(calls.next_at)
        calls_due = calls.next_at is not None and calls.next_at <= now
        calling = bool(calls.under_way)
    overdue = any(at is not None and at <= now for at in moments)
    return Standing(
        swept=kept.next_at is not None and kept.next_at <= now,
        due=due,
        claimed=claimed,
        calls_due=calls_due,
        overdue=overdue or due > 0,
        working=bool(kept.fresh or claimed or calling),
        next_at=min((at for at in moments if at), default=None),
    )


class Threads:
    """The worker threads of this process, taking messages from the broker."""

    def __init__(self, broker: dramatiq.Broker, count: int) -> None:
        self._worker = dramatiq.Worker(broker, worker_threads=count)
        self._broker = broker
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_over, name="consumers", daemon=True)

    def start(self) -> None:
        """Begin to take messages."""
        self._broker.emit_after("process_boot")
        self._worker.start()
        self._watch.start()

    def _watch_over(self) -> None:
        """Whoever listens to a queue comes back from most errors; if not, somebody else does."""
        while not self._stopping.wait(WATCH_SECONDS):
            for name, consumer in list(self._worker.consumers.items()):
                if not consumer.is_alive():
                    log.error("worker.listens_again", queue=name)
                    del self._worker.consumers[name]
                    self._worker._add_consumer(name)  # noqa: SLF001 - there is no other way

    def drain(self) -> None:
        """Take what steps are left in a broker of this process, which forgets them when it ends."""
        if isinstance(self._broker, StubBroker):
            with suppress(QueueJoinTimeout):
                self._broker.join("steps", fail_fast=False, timeout=DRAIN_MILLISECONDS)

    def stop(self) -> None:
        """Finish what was begun, then end."""
        self._stopping.set()
        if self._watch.is_alive():
            self._watch.join(timeout=WATCH_SECONDS)
        self._worker.stop(timeout=60_000)
        self._broker.close()
