"""What a dispatcher does beside dispatching: ask for what was missed, let go of what is old.

On a thread of its own, so that nobody waits for it; any number of processes may, as each takes its
turn in the database. Not beside a sandbox, whose months pass in minutes. Staff are told on another
thread, since a mail server may let them wait; of a sandbox as well.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from http.client import HTTPException

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dunning import prune
from dunning.catching_up import Sweeper
from dunning.wiring import Program

log = structlog.get_logger(__name__)

LOOK_SECONDS = 20.0
SANDBOX_SECONDS = 2.0
STOP_SECONDS = 5.0


class Upkeep:
    """Looks now and then whether a sweep or the day's pruning is due."""

    def __init__(self, program: Program, *, every: float | None = None) -> None:
        settings = program.settings
        self._program = program
        self._every = every or LOOK_SECONDS
        self._staff = _Telling(program, every)
        self._sweeper = Sweeper(program, every=timedelta(minutes=settings.catch_up_minutes))
        self._limits = prune.Limits.of_days(
            bodies=settings.keep_bodies_days,
            seen=settings.keep_seen_days,
            calls=settings.keep_calls_days,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> None:
        """Begin to look, and unless time is a sandbox's to sweep and prune."""
        self._staff.start()
        if self._program.settings.sandbox_url is None:
            self._thread.start()

    def stop(self) -> None:
        """Wait a little for what goes on; what it leaves is gone on with later."""
        self._stop.set()
        self._staff.stop()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        self._sweeper.stop(STOP_SECONDS)

    def _run(self) -> None:
        # Not in the first moments: whoever starts it has other work to catch up with.
        while not self._stop.wait(self._every):
            self._sweeper.tick()
            self._look_ahead()
            try:
                prune.due(self._program.engine, self._program.clock.now(), self._limits)
            except (SQLAlchemyError, OSError) as error:
                log.warning("prune.failed", why=f"{type(error).__name__}: {error}")

    def _look_ahead(self) -> None:
        """See what lies ahead of customers, of whom there is news or whose day it is."""
        program = self._program
        try:
            program.lookout.run(program.clock.now(), stopped=self._stop.is_set)
        except (SQLAlchemyError, OSError) as error:
            log.warning("lookout.failed", why=f"{type(error).__name__}: {error}")


class _Telling:
    """Tells staff now and then, if there is a way to."""

    def __init__(self, program: Program, every: float | None) -> None:
        self._staff = program.staff
        self._clock = program.clock
        self._every = every or (SANDBOX_SECONDS if program.settings.sandbox_url else LOOK_SECONDS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="staff", daemon=True)

    def start(self) -> None:
        """Begin to tell; what came about from now on is news."""
        if self._staff.tells:
            self._thread.start()

    def stop(self) -> None:
        """Wait a little for the message in hand; whoever comes next goes on."""
        self._stop.set()
        self._staff.stop()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                now = self._clock.now()
            except (OSError, HTTPException) as error:
                log.warning("staff.put_off", what="clock", why=type(error).__name__)
            else:
                self._staff.tick(now)
            if self._stop.wait(self._every):
                return
