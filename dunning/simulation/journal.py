"""What a world wrote down while it went on: the trace for people, and evidence for the auditor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from dunning.core.ports import Letter
from dunning.sandbox.world import World as Stripe
from dunning.simulation.line import FINE, Request
from dunning.simulation.outside import Mail


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that changes something at the provider, and what could be known before it."""

    key: str | None
    path: str
    body: str
    at: int
    known: int  # entries of the provider's books there were when the work behind it began


def written_at(date: str | None) -> datetime | None:
    """When a message was put together, as its own head says."""
    return parsedate_to_datetime(date) if date else None


class Journal:
    """Lines of the trace; requests that change things."""

    def __init__(self, stripe: Stripe, elapsed: Callable[[], int]) -> None:
        self._stripe = stripe
        self._elapsed = elapsed
        self._known: dict[int, tuple[int, int]] = {}
        self.lines: list[str] = []
        self.asked_for: list[Asked] = []

    @property
    def digest(self) -> str:
        """One word for the whole trace."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:16]

    def say(self, text: str) -> None:
        """Write a line of the trace."""
        day, rest = divmod(self._elapsed(), 86_400)
        hour, rest = divmod(rest, 3_600)
        self.lines.append(f"day {day} {hour:02}:{rest // 60:02}:{rest % 60:02} {text}")

    def mark(self, depth: int) -> None:
        """Some work begins: this is what it may know."""
        self._known[depth] = len(self._stripe.books.entries), len(self._stripe.events)

    def known(self, depth: int) -> int:
        """What the work at this depth could know when it began."""
        return self._known.get(depth, (0, 0))[0]

    def heard(self, depth: int) -> int:
        """How many events of the provider there were then."""
        return self._known.get(depth, (0, 0))[1]

    def asked(self, request: Request, fate: str, depth: int) -> None:
        """A request leaves."""
        lost = "" if fate == FINE else f", {fate}"
        if request.method != "GET" or lost:
            self.say("  " * depth + f"  asks {request.name}{lost}")
        if request.method != "GET":
            self.asked_for.append(
                Asked(
                    request.key,
                    request.path,
                    request.body.decode(),
                    self._stripe.now,
                    self.known(depth),
                )
            )

    def answered(self, request: Request, status: int) -> None:
        """An answer is about to come back."""
        if request.method != "GET" or status != 200:
            self.say(f"    answered {status}")

    def mail(self, letter: Letter, at: datetime, depth: int) -> Mail:
        """A message arrived."""
        return Mail(
            letter.id,
            letter.to,
            letter.subject,
            letter.text,
            at,
            self.known(depth),
            written_at(letter.headers.get("Date")),
            self.heard(depth),
        )
