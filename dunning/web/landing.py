"""Brings what another thread has settled back to the event loop, a whole batch in one wake-up."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any

_Landed = tuple["asyncio.Future[Any]", "Future[Any]"]


class Landing:
    """Waits for futures of a thread; `asyncio.wrap_future` would wake the loop for each of them."""

    def __init__(self) -> None:
        self._landed: deque[_Landed] = deque()
        self._called = False

    async def wait(self, done: Future[Any], seconds: float) -> Any:
        """The result, or its exception; `TimeoutError` and no more interest after that time."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Any] = loop.create_future()
        done.add_done_callback(partial(self._has_landed, loop, waiter))
        too_late = loop.call_later(seconds, _give_up, waiter)
        try:
            return await waiter
        finally:
            too_late.cancel()
            done.cancel()  # of what is under way or done already, this changes nothing

    def _has_landed(
        self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[Any], done: Future[Any]
    ) -> None:
        if done.cancelled() or loop.is_closed():
            return
        self._landed.append((waiter, done))
        if not self._called:
            self._called = True
            loop.call_soon_threadsafe(self._bring_in)

    def _bring_in(self) -> None:
        # Said first: whatever lands from here on calls again, and what landed before is in there.
        self._called = False
        while self._landed:
            waiter, done = self._landed.popleft()
            if waiter.done():
                continue
            if (error := done.exception()) is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(done.result())


def _give_up(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
