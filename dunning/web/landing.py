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


class Landing:
    """Waits for what a thread settles; a wake-up of the loop for each would cost more than it."""

    def __init__(self) -> None:
        self._landed: deque[tuple[asyncio.Future[None], Exception | None]] = deque()
        self._called = False

    async def wait(self, hand_over: Callable[[Settled], Handed], seconds: float) -> None:
        """Return once it is settled, or raise why it is not; `TimeoutError` after that time."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        handed = hand_over(partial(self._has_landed, loop, waiter))
        too_late = loop.call_later(seconds, _give_up, waiter)
        try:
            await waiter
        finally:
            too_late.cancel()
            handed.given_up = True  # of what is under way or done already, this changes nothing

    def _has_landed(
        self,
        loop: asyncio.AbstractEventLoop,
        waiter: asyncio.Future[None],
        error: Exception | None,
    ) -> None:
        self._landed.append((waiter, error))
        if not self._called:
            self._called = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._bring_in)

    def _bring_in(self) -> None:
        # Said first: whatever lands from here on calls again, and what landed before is in there.
        self._called = False
        while self._landed:
            waiter, error = self._landed.popleft()
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(None)


def _give_up(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
