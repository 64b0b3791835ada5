"""The open connections to the mail server, shared by the threads of a process.

Bounded: who finds all of them busy waits. One that was left alone is asked whether it is still
there before it carries a letter, and closed after a while; none carries letters for ever.
"""

from __future__ import annotations

import smtplib
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dunning.channels.email.server import RefusedError

# A mail server waits five minutes for the next command (RFC 5321), many less.
IDLE_SECONDS = 30.0
# After so long without a word it may have gone; before, the next letter finds out by itself.
ASKED_AFTER = 1.0
# Some servers refuse the 101st letter of a connection.
MOST_LETTERS = 90


@dataclass(slots=True)
class Line:
    """A connection, how many letters it carried, and since when nobody uses it."""

    connection: smtplib.SMTP
    letters: int = 0
    clean: bool = True  # no transaction was left open on it
    since: float = 0.0

    @property
    def is_new(self) -> bool:
        """Whether it has not carried a letter yet."""
        return self.letters == 0


class Pool:
    """Lends lines. Whoever takes one gives it back or drops it."""

    def __init__(
        self,
        connect: Callable[[], smtplib.SMTP],
        *,
        most: int,
        patience: float,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._most = most
        self._patience = patience
        self._steady = steady
        self._room = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[Line] = []
        self._sweeper: threading.Timer | None = None
        self._closed = False

    def take(self) -> Line:
        """A connection that is ready for a letter; `RefusedError` when there is none to be had."""
        if not self._room.acquire(timeout=self._patience):
            raise RefusedError(f"all {self._most} connections to the mail server are busy")
        try:
            while (line := self._last()) is not None:
                if self._is_well(line):
                    return line
                hang_up(line.connection)
            return Line(self._connect())
        except BaseException:
            self._room.release()
            raise

    def give(self, line: Line, *, clean: bool) -> None:
        """Give it back after a letter; `clean`: the letter was taken, nothing is left open."""
        line.letters += 1
        line.clean, line.since = clean, self._steady()
        with self._lock:
            kept = not self._closed and line.letters < MOST_LETTERS
            if kept:
                self._idle.append(line)
                self._watch()
        if not kept:
            hang_up(line.connection)
        self._room.release()

    def drop(self, line: Line) -> None:
        """It is of no use any more."""
        hang_up(line.connection)
        self._room.release()

    def close(self) -> None:
        """Hang up; what is under way is finished, and hung up on then."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.cancel()
        for line in idle:
            hang_up(line.connection)

    @property
    def idle(self) -> int:
        """How many connections are open and unused."""
        with self._lock:
            return len(self._idle)

    # --- parts -----------------------------------------------------------------------------

    def _last(self) -> Line | None:
        """The one used last: those that are not needed grow old, and go."""
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _is_well(self, line: Line) -> bool:
        away = self._steady() - line.since
        if away > IDLE_SECONDS:
            return False
        if line.clean and away < ASKED_AFTER:
            return True
        try:
            code, _ = line.connection.docmd("RSET")
        except OSError:
            return False
        return code == 250

    def _watch(self) -> None:
        if self._sweeper is None:
            self._sweeper = threading.Timer(IDLE_SECONDS, self.sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def sweep(self) -> None:
        """Hang up on those nobody has used for long."""
        now = self._steady()
        with self._lock:
            old = [line for line in self._idle if now - line.since >= IDLE_SECONDS]
            self._idle = [line for line in self._idle if line not in old]
            if self._sweeper is not None:
                self._sweeper.cancel()
            self._sweeper = None
            if self._idle and not self._closed:
                self._watch()
        for line in old:
            hang_up(line.connection)


def hang_up(connection: smtplib.SMTP) -> None:
    """Say goodbye, and do not wait to hear it: the outcome is known and wants to be written."""
    with suppress(OSError, ValueError):
        connection.putcmd("QUIT")
    connection.close()
