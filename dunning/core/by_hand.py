"""What people tell us to do with a case or a customer: a part of `core.events`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A person stopped the case until a date (None: until it is resumed), with a reason."""

    id: str
    at: datetime
    until: datetime | None
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A person let a held case go on."""

    id: str
    at: datetime
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """The customer named a date by which they pay `amount`; None: all that is owed."""

    id: str
    at: datetime
    until: datetime
    amount: int | None
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAsked:
    """A person wants a charge now; `forced`: whatever the provider's advice and our own ceiling."""

    id: str
    at: datetime
    why: str
    by: str
    forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAdvanced:
    """A person wants a step of the timeline now; `step` is its key."""

    id: str
    at: datetime
    step: str
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedByHand:
    """A person ended the case: the debt is no longer pursued."""

    id: str
    at: datetime
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exempted:
    """A person took a customer out of dunning until a date (None: until it is lifted)."""

    id: str
    at: datetime
    customer: str
    until: datetime | None
    why: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExemptionLifted:
    """A person let dunning go on for a customer."""

    id: str
    at: datetime
    customer: str
    why: str
    by: str
