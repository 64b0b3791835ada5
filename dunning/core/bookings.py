"""Bookings: what a provider's own books show of an invoice, beside what our ledger has of it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


class Flow(enum.StrEnum):
    """What money did. What comes back after a dispute was won is `disputed` with a minus."""

    PAID = "paid"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


class Fate(enum.StrEnum):
    """How far a booking of the provider is; one that failed moved nothing and is not counted."""

    DONE = "done"
    PENDING = "pending"
    FAILED = "failed"
    OUTSIDE = "outside"  # the provider was told that it was paid elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """One amount in the provider's books; `names` are the charge and payment it is about."""

    flow: Flow
    id: str
    amount: int
    currency: str
    at: datetime
    invoice: str | None = None
    customer: str | None = None
    names: tuple[str, ...] = ()
    fate: Fate = Fate.DONE

    @property
    def all_names(self) -> frozenset[str]:
        """Everything it is known by."""
        return frozenset((self.id, *self.names))

    @property
    def known_as(self) -> frozenset[str]:
        """By which of them one may have heard of it; what came back is news of its own."""
        return self.all_names if self.amount >= 0 else frozenset((f"{self.id}/back",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One amount in our ledger: when it occurred, and at which moment it is counted."""

    flow: Flow
    amount: int
    currency: str
    at: datetime
    counted_at: datetime
    about: str = ""  # the refund or dispute it was told by
    outside: bool = False  # paid by another way than through the provider
    closed: str | None = None  # the closed month that it came too late for


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook that was kept and not taken in: `new` or `parked`."""

    id: int
    event: str
    type: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is on record of one invoice beside its entries."""

    case: str
    source: str
    invoice: str
    currency: str
    opened_at: datetime | None
    adopted_at: datetime | None = None
    forgiven: int = 0  # taken off by credit notes
    too_much: int = 0  # paid beyond what was owed, by what we heard: no recovery
    # What was heard of: payments by all their names, refunds and disputes by their own.
    heard: Mapping[Flow, frozenset[str]] = field(default_factory=dict)
    uncounted: frozenset[str] = frozenset()  # payments the ledger rightly leaves out
    failed_refunds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Export:
    """Their side as a file: what it is called, and the time of its first and last line."""

    name: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One flow of one invoice in one currency and period, in both books, and what is around it."""

    known: Known
    flow: Flow
    currency: str
    period: str | None
    posted: tuple[Posted, ...] = ()
    booked: tuple[Booking, ...] = ()
    posted_elsewhere: tuple[Posted, ...] = ()  # the same flow in other periods, or other money
    booked_elsewhere: tuple[Booking, ...] = ()
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)  # by the names they mention
    data_until: datetime
    export: Export | None = None  # where their side is a file, and was not asked for


def counted(bookings: Iterable[Booking]) -> int:
    """What they come to; a refund that failed moved nothing."""
    return sum(one.amount for one in bookings if one.fate is not Fate.FAILED)


def left_over(
    booked: Sequence[Booking], posted: Sequence[Posted]
) -> tuple[list[Booking], list[Posted]]:
    """Without what both have: the same amount, by its name or as near in time as there is."""
    theirs = [one for one in booked if one.fate is not Fate.FAILED]
    near = sorted(
        (our.about not in their.all_names, abs(their.at - our.at), there, here)
        for there, their in enumerate(theirs)
        for here, our in enumerate(posted)
        if (their.amount, their.currency) == (our.amount, our.currency)
    )
    paired: dict[int, int] = {}
    for *_, there, here in near:
        if there not in paired and here not in paired.values():
            paired[there] = here
    return (
        [one for place, one in enumerate(theirs) if place not in paired],
        [one for place, one in enumerate(posted) if place not in paired.values()],
    )
