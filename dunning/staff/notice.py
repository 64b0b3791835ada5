"""A message to staff as what it says; how it looks in mail and in chat is `written`."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

_ADDRESS = re.compile(r"([^\s@<>\"'(),:;]{1,2})[^\s@<>\"'(),:;]*@([^\s@<>\"'(),:;]+)")
_LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A table with a title: rows of as many cells as `head` has; `note` says what to do."""

    title: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What staff are told in one message. `tone`: bad, warning, good or plain."""

    title: str
    lead: str = ""
    parts: tuple[Part, ...] = ()
    foot: str = ""
    tone: str = "plain"


def to_text(notice: Notice) -> str:
    """As it is kept in the database."""
    return json.dumps(asdict(notice), ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Notice:
    """As it was kept."""
    told: dict[str, Any] = json.loads(text)
    parts = tuple(
        Part(
            title=part["title"],
            head=tuple(part["head"]),
            rows=tuple(tuple(row) for row in part["rows"]),
            note=part["note"],
        )
        for part in told.pop("parts")
    )
    return Notice(parts=parts, **told)


def discreet(text: str) -> str:
    """One line in which no email address can be read in full; chat rooms are kept for years."""
    line = " ".join(_ADDRESS.sub(_masked, text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"


def _masked(found: re.Match[str]) -> str:
    return f"{found[1][0]}…@{found[2]}"
