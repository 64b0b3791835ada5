"""What may hold the steps of a whole source, and what it is told of how steps end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from dunning.core.events import StepKind


@dataclass(frozen=True, slots=True)
class Held:
    """A step that must wait though it is due, until when at the earliest, and why."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """How a step ended; `ending` is a StepResult's value, or down, refused, unknown, put_off."""

    source: str
    kind: StepKind
    ending: str


class Gate(Protocol):
    """Holds the charges and emails of a source while something is wrong with all of them."""

    def refresh(self, now: datetime) -> None:
        """Learn what holds; called before a transaction opens, since it may need one itself."""

    def held(self, source: str, kind: StepKind, now: datetime, case: str = "") -> Held | None:
        """Whether a step of this kind must wait; no I/O. The case spreads those that wait."""

    def note(self, session: Any, pulses: Sequence[Pulse], now: datetime) -> None:
        """Count how steps ended, in the transaction that concludes them, as its last act."""
