"""Stops a process that serves: Ctrl-C and SIGTERM end it in good order and without a word."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopped_quietly() -> Iterator[None]:
    """Until either signal comes; that it came is no failure."""
    # The web server raises what it caught once more when it is done; SIGTERM would end Python
    # there and then, before the workers have finished.
    previous = signal.signal(signal.SIGTERM, _interrupt)
    # Started in the background of a script, a process would not hear Ctrl-C at all.
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, previous)
        signal.signal(signal.SIGINT, heard)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
