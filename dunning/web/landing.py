"""Brings what another thread has settled back to the event loop, a whole batch in one wake-up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Protocol

Settled = Callable[[Exception | None], None]


class Handed(Protocol):
    """What was handed to the other thread."""

    given_up: bool


class _Waiting:
    """Somebody who waits to hear, and until when."""

    __slots__ = ("handed", "hears", "over", "until")

    def __init__(self, hears: Settled, until: float) -> None:
        self.hears = hears
        self.until = until
        self.handed: Handed | None = None
        self.over = False


class Landing:
    """Waits for what a thread settles; a wake-up or a timer for each would cost more than it.

    All wait equally long, and what is handed over first is settled first: so they stand in line,
    and one timer watches its head.
    """

    def __init__(self) -> None:
        self._landed: deque[tuple[_Waiting, Exception | None]] = deque()
        self._called = False
        self._line: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def hand_over(self, put: Callable[[Settled], Handed], hears: Settled, seconds: float) -> None:
        """Have `hears` called once, in this loop: settled, or `TimeoutError` after that time."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(hears, loop.time() + seconds)
        waiting.handed = put(partial(self._has_landed, loop, waiting))
        self._line.append(waiting)
        if self._timer is None:
            self._timer = loop.call_at(waiting.until, self._give_up, loop)

    def _has_landed(
        self, loop: asyncio.AbstractEventLoop, waiting: _Waiting, error: Exception | None
    ) -> None:
        self._landed.append((waiting, error))
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._bring_in, loop)

    def _bring_in(self, loop: asyncio.AbstractEventLoop) -> None:
        # Said first: whatever lands from here on calls again, and what landed before is in there.
        self._called = False
        while self._landed:
            waiting, error = self._landed.popleft()
            if not waiting.over:
                self._tell(loop, waiting, error)
        while self._line and self._line[0].over:
            self._line.popleft()

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        line, now = self._line, loop.time()
        while line and (line[0].over or line[0].until <= now):
            waiting = line.popleft()
            if not waiting.over:
                assert waiting.handed is not None
                waiting.handed.given_up = True  # of what is under way, this changes nothing
                self._tell(loop, waiting, TimeoutError())
        if line:
            self._timer = loop.call_at(line[0].until, self._give_up, loop)

    def _tell(
        self, loop: asyncio.AbstractEventLoop, waiting: _Waiting, error: Exception | None
    ) -> None:
        waiting.over = True
        try:
            waiting.hears(error)
        except Exception as fault:  # noqa: BLE001 - the others must hear as well
            told = {"message": "whoever waited failed over what it heard", "exception": fault}
            loop.call_exception_handler(told)
