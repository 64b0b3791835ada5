"""The other neighbours: a mail server and the merchant's product, in this process, with faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dunning.core.ports import Bounced, Doubtful, Letter, SendOutcome, Sent, Unsent
from dunning.outbox import Heard

# What may become of a message.
TAKEN = "taken"
DOWN = "down"  # nobody listens
LATER = "4xx"
NEVER = "5xx"
BROKE_BEFORE = "broke before"  # the line broke after the message, and it did not arrive
BROKE_AFTER = "broke after"  # it did
MAIL_FATES = (DOWN, LATER, NEVER, BROKE_BEFORE, BROKE_AFTER)
# What may become of a call.
CALL_DOWN = "down"
CALL_BROKEN = "500"
CALL_LOST = "answer lost"  # the product took it, and we do not hear of it
CALL_FATES = (CALL_DOWN, CALL_BROKEN, CALL_LOST)


@dataclass(frozen=True, slots=True)
class Mail:
    """A message that arrived."""

    id: str
    to: str
    subject: str
    text: str
    at: datetime
    # How much of the provider's books was written when the work that sent it began.
    known: int | None = None
    written: datetime | None = None
    heard: int | None = None  # how many of its events there were then


@dataclass(frozen=True, slots=True)
class Told:
    """A call the product took."""

    key: str
    type: str
    data: dict[str, Any]
    at: datetime


@dataclass(slots=True)
class Post:
    """The mail server, as a channel of the program."""

    fate: Callable[[Letter], str]
    arrived: Callable[[Letter], object]
    mails: list[Mail] = field(default_factory=list)
    name: str = "email"

    def send(self, letter: Letter) -> SendOutcome:
        """Take the message, or not."""
        fate = self.fate(letter)
        if fate == DOWN:
            return Unsent(why="the mail server is away")
        if fate == LATER:
            return Unsent(why="450 greylisted, try again later")
        if fate == NEVER:
            return Bounced(why="550 no such user")
        if fate == BROKE_BEFORE:
            return Doubtful(why="the connection broke after the message")
        self.arrived(letter)
        if fate == BROKE_AFTER:
            return Doubtful(why="the connection broke after the message")
        return Sent(reference=f"queued {len(self.mails)}")


@dataclass(slots=True)
class Product:
    """The merchant's product: applies each call once, by its key."""

    fate: Callable[[str], str]
    taken: Callable[[str], None] = lambda _name: None
    told: list[Told] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)

    def __call__(self, name: str, body: bytes, now: datetime) -> Heard:
        """Take a call, or not."""
        fate = self.fate(name)
        if fate == CALL_DOWN:
            return Heard(taken=False, why="nobody listens")
        if fate == CALL_BROKEN:
            return Heard(taken=False, why="answered 500")
        if name not in self._known:
            self._known.add(name)
            call = json.loads(body)
            self.told.append(Told(name, call["type"], call["data"], now))
        self.taken(name)
        if fate == CALL_LOST:
            return Heard(taken=False, why="no answer came")
        return Heard(taken=True)
