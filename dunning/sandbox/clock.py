"""The virtual clock: moves time, does the work that is due, and keeps step with followers."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from math import inf

from dunning.sandbox import jobs
from dunning.sandbox.delivery import next_due, settle, take_due
from dunning.sandbox.errors import Obj, refused
from dunning.sandbox.events import emit
from dunning.sandbox.sender import Sender
from dunning.sandbox.world import World, log

_IDLE_POLL = 0.5  # seconds of real time; a safety net, changes wake the engine at once
_OVERDUE_STEP = 60  # virtual seconds: an idle follower with work overdue does not stop time
_SPEED_STEP = 0.05


@dataclass
class Follower:
    """A program that keeps step: what it has seen, whether it has anything left to do."""

    name: str
    version: int
    idle: bool
    next_at: int | None
    heard: float  # real time of the last word
    polling: int = 0  # reports that are waiting for news right now


class Clock:
    """Moves the one virtual time of a world. Its thread does all work that time brings."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.followers: dict[str, Follower] = {}
        settings = world.settings
        self._sender = Sender(settings.delivery_timeout, settings.delivery_concurrency)
        self._thread: threading.Thread | None = None
        self.stopping = False
        self._sending = False
        self._holds = 0  # errands of simulated people that time has to wait for
        self._finished = True  # False from an advance until time has arrived and all is quiet

    # --- life ------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin to work."""
        self._thread = threading.Thread(target=self._run, name="sandbox-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what is queued stays queued."""
        self.stopping = True
        self.world.wake()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._sender.close()

    # --- what others ask -------------------------------------------------------------------
    def state(self) -> Obj:
        """The clock as followers see it."""
        world = self.world
        return {
            "now": world.now,
            "version": world.version,
            "advancing": not self._finished,
            "target": world.target,
        }

    def advance(self, to: int) -> None:
        """Begin to move; the engine does the rest."""
        with self.world.lock:
            if to < self.world.now:
                raise refused(
                    "The test clock can only be moved forward.", "test_clock_frozen_time_invalid"
                )
            self.world.target = max(self.world.target, to)
            self._finished = False
            self.world.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until time has arrived and all is quiet; False when the wait ran out."""
        with self.world.changed:
            return self.world.changed.wait_for(lambda: self._finished, timeout)

    def quiet(self) -> bool:
        """True when nothing is due and nothing is under way."""
        with self.world.lock:
            busy = self._sending or self._holds > 0 or self._due()
            return self._finished and not busy

    def report(self, name: str, version: int, idle: bool, next_at: int | None) -> Follower:
        """A follower's word."""
        with self.world.lock:
            known = self.followers.get(name)
            if known is None:
                known = Follower(name, version, idle, next_at, time.monotonic())
                self.followers[name] = known
                log.info("follower.joined name=%s", name)
            known.version, known.idle, known.next_at = version, idle, next_at
            known.heard = time.monotonic()
            self.world.wake()
            return known

    def leave(self, name: str) -> bool:
        """A follower says goodbye; time no longer waits for it."""
        with self.world.lock:
            gone = self.followers.pop(name, None)
            self.world.wake()
            return gone is not None

    def hold(self) -> None:
        """Time has to wait until `unhold`: something goes on over HTTP."""
        with self.world.lock:
            self._holds += 1

    def unhold(self) -> None:
        """Time may go on."""
        with self.world.lock:
            self._holds -= 1
            self.world.bump()

    # --- the engine ------------------------------------------------------------------------
    def _run(self) -> None:
        if self.world.settings.speed > 0:
            threading.Thread(target=self._drive, name="sandbox-speed", daemon=True).start()
        while not self.stopping:
            try:
                self._turn()
            except Exception:  # noqa: BLE001
                # One broken job must not stop time for everybody; the log has the place.
                log.exception("clock.turn_failed")
                time.sleep(_SPEED_STEP)  # and must not fill it, should it happen every time

    def _drive(self) -> None:
        """With a speed, the target runs ahead with the machine's monotonic clock."""
        began, start = time.monotonic(), self.world.now
        while not self.stopping:
            time.sleep(_SPEED_STEP)
            passed = (time.monotonic() - began) * self.world.settings.speed
            with self.world.lock:
                target = start + int(passed)
                if target > self.world.target:
                    self.world.target = target
                    self.world.wake()

    def _turn(self) -> None:
        """One piece of work, or a wait for the next."""
        world = self.world
        with world.lock:
            if jobs.run_due(world):
                world.bump()
                return
            moving = world.target > world.now or not self._finished
            if moving and not self._settled():
                if not self._drop_silent():
                    world.changed.wait(_SPEED_STEP)
                return
            posts = take_due(world)
            if not posts:
                if world.target > world.now:
                    self._move()
                elif not self._finished:
                    self._arrive()
                else:
                    world.changed.wait(_IDLE_POLL)
                return
            self._sending = True
        answers = self._sender.send(posts)
        with world.lock:
            for post, (status, error) in zip(posts, answers, strict=True):
                settle(world, post, status, error)
            self._sending = False
            world.bump()

    def _move(self) -> None:
        """To the next thing that happens, or to the target."""
        world = self.world
        world.now = self._next()
        if world.jobs and world.jobs[0][0] <= world.now:
            jobs.run_due(world)
        world.bump()

    def _arrive(self) -> None:
        """Time is where it was sent and all is quiet."""
        self._finished = True
        for alias in self.world.all("test_helpers.test_clock"):
            emit(self.world, "test_helpers.test_clock.ready", alias)
        self.world.wake()

    def _next(self) -> int:
        world = self.world
        moments: list[float] = [world.jobs[0][0] if world.jobs else inf]
        due = next_due(world)
        moments.append(due if due is not None else inf)
        for follower in self.followers.values():
            if follower.next_at is not None:
                overdue = follower.next_at <= world.now
                moments.append(world.now + _OVERDUE_STEP if overdue else follower.next_at)
        soonest = max(min(moments), world.now + 1)
        if soonest >= world.target:
            return world.target
        tick = max(1, world.settings.tick)
        return min(world.target, -(-int(soonest) // tick) * tick)

    def _due(self) -> bool:
        world = self.world
        due = next_due(world)
        job_due = bool(world.jobs) and world.jobs[0][0] <= world.now
        return job_due or (due is not None and due <= world.now)

    def _settled(self) -> bool:
        """Every follower has seen the current version and has nothing left to do."""
        if self._holds:
            return False
        version = self.world.version
        return all(one.idle and one.version == version for one in self.followers.values())

    def _drop_silent(self) -> bool:
        """Give up on followers that have not been heard of for too long."""
        limit = time.monotonic() - self.world.settings.follower_timeout
        silent = [
            one.name for one in self.followers.values() if one.heard < limit and not one.polling
        ]
        for name in silent:
            del self.followers[name]
            log.warning("follower.dropped name=%s reason=silent", name)
        return bool(silent)
