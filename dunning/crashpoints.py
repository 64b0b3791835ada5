"""Named places at which a process may be made to die, so that tests can show that nothing is lost.

In production a point costs one comparison. `DUNNING_TEST_CRASH_AT=point:n` ends the process, as
`kill -9` would, when it comes to that point for the n-th time; a simulation listens instead and
raises `Killed` in the thread that came by.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

VARIABLE = "DUNNING_TEST_CRASH_AT"
# What a shell reports of a process that was killed with SIGKILL.
EXIT_CODE = 137

Listener = Callable[[str], None]


class Killed(BaseException):
    """The simulated process is dead; no handler for errors may stop it."""


def reach(name: str) -> None:
    """Say that this point was reached. Its name is a literal: a test lists them all."""
    if _listener is not None:
        _listener(name)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear of every point that is reached, in this process, until the end of the block."""
    global _listener  # noqa: PLW0603 - one process, one listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def _dies_at(order: str) -> Listener:
    point, _, count = order.partition(":")
    left = int(count or 1)

    def listen(name: str) -> None:
        nonlocal left
        if name == point:
            left -= 1
            if left == 0:
                os._exit(EXIT_CODE)

    return listen


_listener: Listener | None = _dies_at(os.environ[VARIABLE]) if VARIABLE in os.environ else None
