"""Finds messages in a file (mbox), a Maildir or on a pipe; each is read but for its tail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dunning.channels.returned.mime import MOST_BYTES

_LINE = 16 * 1024


def of_pipe(stream: BinaryIO) -> bytes:
    """The one message that a mail server hands to a program; all of it is taken off the pipe."""
    kept = stream.read(MOST_BYTES)
    while stream.read(MOST_BYTES):
        pass
    return kept.partition(b"\n")[2] if kept.startswith(b"From ") else kept


def of_mbox(stream: BinaryIO) -> Iterator[bytes]:
    """The messages of an mbox: each begins with a line `From …` behind an empty one."""
    lines: list[bytes] | None = None
    size, after_blank, whole = 0, True, True
    while line := stream.readline(_LINE):
        begins = whole and after_blank and line.startswith(b"From ")
        if begins:
            if lines is not None:
                yield b"".join(lines)
            lines, size = [], 0
        elif lines is not None and size < MOST_BYTES:
            kept = line[1:] if whole and line.startswith(b">From ") else line
            lines.append(kept)
            size += len(kept)
        after_blank = whole and line in {b"\n", b"\r\n"}
        whole = line.endswith(b"\n")  # a line that goes on is no new one
    if lines is not None:
        yield b"".join(lines)


def of_maildir(folder: Path) -> Iterator[bytes]:
    """The messages of a Maildir, seen or not; nothing in it is moved or changed."""
    for part in ("new", "cur"):
        for path in sorted((folder / part).iterdir()):
            if path.is_file() and not path.name.startswith("."):
                with path.open("rb") as stream:
                    yield stream.read(MOST_BYTES)
