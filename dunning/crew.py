"""Many acts in flight at once: claims in, intents and outcomes written together, leases kept.

    run_many ─▶ waiting, by source ─▶ beginner ─▶ callers (one act each) ─▶ concluder
                                      one intent                            whatever ended during
                                      transaction for                       the last transaction
                                      all free callers                      goes into the next

An intent is only written when its act can begin. An idle crew begins and concludes at once. While
an act is under way its lease is renewed, so that it may take longer than a lease.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from dunning.begun import Done, Intent
from dunning.clock import Clock
from dunning.core.shares import share_out
from dunning.schedule import Claim, release, renew
from dunning.store import transaction

log = structlog.get_logger(__name__)

BATCH = 100
# A crew with more than enough to do takes its time to accept more, so that an idle one is first;
# but not for ever: what waits behind may be of a source that is not slow.
LEAN_BACK_SECONDS = 0.1
AGAIN_SECONDS = 0.2
GRACE_SECONDS = 25.0


class Steps(Protocol):
    """The three parts of a step (`executor.Executor`)."""

    def begin(self, claims: Sequence[Claim]) -> list[Intent]: ...
    def act(self, intent: Intent) -> Done | None: ...
    def conclude(self, done: Sequence[Done]) -> list[Done]: ...


class Crew:
    """Runs steps on threads of its own, at most `calls` acts at once, fair between sources."""

    def __init__(
        self,
        steps: Callable[[], Steps],
        engine: Engine,
        clock: Clock,
        *,
        sources: Sequence[str],
        lease: timedelta,
        calls: int,
    ) -> None:
        self._steps = steps
        self._engine = engine
        self._clock = clock
        self._lease = lease
        self._calls = calls
        self.on_done: Callable[[], None] = lambda: None  # told whenever there is less to do
        self._turn = threading.Condition()
        self._waiting: dict[str, deque[Claim]] = {source: deque() for source in sources}
        self._acting: Counter[str] = Counter()  # acts and intents under way, by source
        self._held: dict[Claim, None] = {}  # claims begun and not concluded
        self._stopping = False
        self._ready: queue.SimpleQueue[Intent | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Done | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._callers: list[threading.Thread] = []
        self._threads = [
            threading.Thread(target=run, name=f"steps-{name}", daemon=True)
            for name, run in (
                ("begin", self._begin_all),
                ("conclude", self._conclude_all),
                ("leases", self._keep_leases),
            )
        ]

    # --- from outside ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def run_many(self, claims: Sequence[Claim]) -> None:
        """Take these claims on. They are done later; one that is not begun can be given back."""
        with self._turn:
            if not self._stopping:
                for claim in claims:
                    self._waiting.setdefault(claim.source, deque()).append(claim)
                self._turn.notify_all()
                self._turn.wait_for(self._has_room, LEAN_BACK_SECONDS)
                return
        self._give_back(claims)

    @property
    def busy(self) -> bool:
        """Whether anything is waiting or under way."""
        with self._turn:
            return bool(self._held) or any(self._waiting.values()) or bool(+self._acting)

    def close(self) -> None:
        """Begin nothing any more, and give back at once what was not begun."""
        with self._turn:
            self._stopping = True
            left = [claim for waiting in self._waiting.values() for claim in waiting]
            for waiting in self._waiting.values():
                waiting.clear()
            self._turn.notify_all()
        self._give_back(left)

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Finish the acts under way, within a bound, then end."""
        self.close()
        with self._turn:
            quiet = self._turn.wait_for(lambda: not self._held and not +self._acting, grace)
        if not quiet:
            # Their leases run out, and whoever takes these cases asks what happened.
            log.warning("steps.left_behind", count=len(self._held))
        self._ended.set()
        self._finished.put(None)
        for _ in self._callers:
            self._ready.put(None)
        for thread in (*self._threads, *(self._callers if quiet else ())):
            if thread.is_alive():
                thread.join(timeout=5)

    # --- intents ---------------------------------------------------------------------------

    def _begin_all(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._stopping or bool(self._shares()))
                if self._stopping:
                    return
                claims = self._pick()
            try:
                intents = self._steps().begin(claims)
            except Exception as error:  # noqa: BLE001 - it must not end with one bad moment
                # Nothing was done: the leases run out, or the database comes back before.
                log.warning("steps.not_begun", count=len(claims), error=type(error).__name__)
                intents = []
            self._hand_out(claims, intents)

    def _shares(self) -> dict[str, int]:
        """How many of each source may begin now."""
        if len(self._held) >= self._calls + BATCH:
            return {}  # so much is acted on and not yet written
        wanted = {source: len(waiting) for source, waiting in self._waiting.items()}
        return share_out(self._calls, self._acting, wanted) if any(wanted.values()) else {}

    def _pick(self) -> list[Claim]:
        claims: list[Claim] = []
        for source, share in self._shares().items():
            for _ in range(share):
                claim = self._waiting[source].popleft()
                if claim in self._held:
                    continue  # the broker gave its message to us twice
                self._held[claim] = None
                self._acting[source] += 1
                claims.append(claim)
        self._turn.notify_all()
        return claims

    def _hand_out(self, claims: Sequence[Claim], intents: Sequence[Intent]) -> None:
        begun = {intent.claim for intent in intents}
        self._let_go([claim for claim in claims if claim not in begun], acting=True)
        calling = [intent for intent in intents if not intent.at_once]
        self._call_up(len(calling))
        for intent in calling:
            self._ready.put(intent)
        for intent in intents:
            if intent.at_once:
                self._act(intent)

    def _call_up(self, more: int) -> None:
        """Callers are made when they are first needed."""
        with self._turn:
            needed = min(self._calls, sum(self._acting.values())) if more else 0
        while len(self._callers) < needed:
            caller = threading.Thread(target=self._call, name="steps-act", daemon=True)
            self._callers.append(caller)
            caller.start()

    # --- acts ------------------------------------------------------------------------------

    def _call(self) -> None:
        while (intent := self._ready.get()) is not None:
            self._act(intent)

    def _act(self, intent: Intent) -> None:
        done: Done | None = None
        try:
            done = self._steps().act(intent)
        except Exception:
            log.exception("case.failed", case=intent.claim.case_id)
        if done is None:
            self._let_go([intent.claim], acting=True)
            return
        self._finished.put(done)
        with self._turn:
            self._acting[intent.claim.source] -= 1
            self._turn.notify_all()

    # --- outcomes --------------------------------------------------------------------------

    def _conclude_all(self) -> None:
        going = True
        while going:
            done = [self._finished.get()]
            while done[-1] is not None and len(done) < BATCH and not self._finished.empty():
                done.append(self._finished.get())
            going = done[-1] is not None
            batch = [one for one in done if one is not None]
            if batch:
                self._conclude(batch)

    def _conclude(self, batch: list[Done]) -> None:
        left = batch
        while left := self._steps().conclude(left):
            # What was done to the world is not forgotten while the database is away.
            log.warning("steps.conclusion_waits", count=len(left))
            if self._ended.wait(AGAIN_SECONDS):
                break
        self._let_go([one.intent.claim for one in batch])
        self.on_done()

    # --- claims ----------------------------------------------------------------------------

    def _let_go(self, claims: Sequence[Claim], *, acting: bool = False) -> None:
        if not claims:
            return
        with self._turn:
            for claim in claims:
                self._held.pop(claim, None)
                if acting:
                    self._acting[claim.source] -= 1
            self._turn.notify_all()
        if acting:
            self.on_done()

    def _has_room(self) -> bool:
        return self._stopping or sum(map(len, self._waiting.values())) <= self._calls

    def _keep_leases(self) -> None:
        while not self._ended.wait(self._lease.total_seconds() / 3):
            with self._turn:
                held = list(self._held)
            if held:
                self._renew(held)

    def _renew(self, claims: Sequence[Claim]) -> None:
        try:
            # Asked before a connection is held. `now` of a followed clock is what this process was
            # last told, and nobody tells it anything during a long act: the lease would be over.
            until = self._clock.fresh() + self._lease
            with transaction(self._engine) as session:
                renew(session, claims, until)
        except Exception as error:  # noqa: BLE001 - without this thread every lease would run out
            log.warning("steps.not_renewed", count=len(claims), error=type(error).__name__)

    def _give_back(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        try:
            with transaction(self._engine) as session:
                release(session, claims)
        except SQLAlchemyError as error:
            log.warning("steps.not_given_back", count=len(claims), error=type(error).__name__)
