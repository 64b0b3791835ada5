"""The sockets: what the program asks of a billing system and of a way out.

`Reader` is the pure half of a provider (it needs no key), `Provider` the half that acts.
Adapters return values for business endings and raise `errors.ProviderError` for broken things.
The ways out to customers are in `ways_out`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dunning.core.bookings import Booking
from dunning.core.doing import Action, Asked, Doing, Ended, PutOff, Said, Saying
from dunning.core.events import Attempt, Bill, BillingEvent, Decline, MethodChanged
from dunning.core.ways_out import (
    Attachment,
    Bounced,
    Channel,
    Doubtful,
    Letter,
    SendOutcome,
    Sent,
    Text,
    Texting,
    Unsent,
)

__all__ = [
    "Action",
    "ActionNeeded",
    "Asked",
    "Attachment",
    "Bounced",
    "Channel",
    "ChargeOutcome",
    "Declined",
    "Doing",
    "Doubtful",
    "Ended",
    "Envelope",
    "Health",
    "Ignored",
    "Incomplete",
    "Letter",
    "Links",
    "NotKnown",
    "NotOwed",
    "NotSent",
    "Pace",
    "Paid",
    "Processing",
    "Provider",
    "PutOff",
    "Reader",
    "Reading",
    "Refused",
    "Said",
    "Saying",
    "SendOutcome",
    "Sent",
    "Text",
    "Texting",
    "Understood",
    "Unreadable",
    "Unsent",
    "View",
]

# --- the pure half -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The few words of a webhook the receiver needs before it keeps the raw body."""

    id: str
    type: str
    created: datetime
    livemode: bool | None
    account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a webhook means to us. Facts that named no invoice have none in their events."""

    events: tuple[BillingEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """An event type, or a matter, that dunning has no use for."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """The body says something we cannot use; it is parked with this reason for a person."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """A thin event: the object it speaks of must be fetched from the provider first."""

    type: str
    object_id: str
    url: str | None = None
    key: str | None = None  # the idempotency key of the request that caused it


Reading = Understood | Ignored | Unreadable | Incomplete


class Reader(Protocol):
    """Understands one provider's webhooks. Pure: no network, no key, no clock."""

    name: str
    # The types that every endpoint has to be sent: if these do not come, something is wrong.
    awaited: frozenset[str]

    def verify(
        self,
        body: bytes,
        headers: Mapping[str, str],
        secrets: Sequence[str],
        now: datetime,
        tolerance_seconds: int,
    ) -> None:
        """Raise `SignatureError` unless one of the secrets signed these very bytes lately."""

    def open(self, body: bytes) -> Envelope:
        """Read the envelope; `MalformedError` when this is not a webhook of this provider."""

    def normalise(self, body: bytes) -> Reading:
        """Say what the event means; never raises, whatever the bytes are."""


# --- the acting half -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """The charge went through; the invoice now reads as in `bill`."""

    bill: Bill
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """The bank said no. The only ending that moves the case on."""

    decline: Decline
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionNeeded:
    """Only the customer can finish this, by authenticating."""

    decline: Decline
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOwed:
    """Nothing was charged: the invoice is paid, void or otherwise closed; see `bill`."""

    bill: Bill


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """A bank debit is under way; the answer takes days."""

    bill: Bill | None = None
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSent:
    """The charge certainly did not happen; the same key may be used again later.

    `down`: nobody was there to take it, as in an outage; else the provider asked for patience.
    """

    why: str
    retry_after_seconds: float | None = None
    down: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotKnown:
    """The charge may have happened. Never tried blind: ask the provider first."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The provider will not take this request, now or later; a person must look."""

    why: str


ChargeOutcome = Paid | Declined | ActionNeeded | NotOwed | Processing | NotSent | NotKnown | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the provider says right now of one invoice and the people and cards behind it."""

    bill: Bill
    events: tuple[BillingEvent, ...] = field(default=())
    method: str | None = None  # the payment method a charge should name, when known
    own_attempts: Mapping[str, Attempt] = field(default_factory=dict)  # by idempotency key


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A subscription that goes on; `paused_under` is the key of ours that paused it."""

    id: str
    paused: bool = False
    paused_under: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One fact about the provider's side for `doctor`: ok, warning or error, and what to do."""

    level: str
    what: str
    advice: str = ""


class Provider(Protocol):
    """Acts on one account of a billing system. Every method may raise `ProviderError`."""

    name: str

    def charge(
        self, invoice: str, *, key: str, method: str | None, may_repeat: bool
    ) -> ChargeOutcome:
        """Try to collect the whole remaining amount, under our idempotency key.

        `may_repeat` is False when an earlier try under this key may be older than the
        provider remembers keys: then the adapter reads, and does not charge.
        """

    def look(self, invoice: str) -> View:
        """Read the invoice, its payments with their declines, its customer and card, afresh."""

    def fetch(self, thin: Incomplete, *, event_id: str, created: datetime) -> Reading:
        """Fetch what a thin event speaks of and read it as if it had come whole."""

    def take_over(self, invoice: str, *, key: str) -> Bill:
        """Stop the provider's own retries of this invoice; the bill shows whether it worked."""

    def links(self, invoice: str | None, customer: str | None, *, return_url: str | None) -> Links:
        """Fresh links where the customer can pay this invoice, if there is one, or give a card."""

    def portal(self, customer: str, *, return_url: str | None) -> str | None:
        """A fresh link to where the customer sees and ends what they subscribe to.

        None where the provider has no such page for them, or cannot be asked.
        """

    def methods(self, customer: str) -> Sequence[MethodChanged]:
        """What the customer has saved to pay with, as SAVED; which they agreed to while away."""

    def subscriptions(self, customer: str) -> Sequence[Subscribed]:
        """What the customer subscribes to now; what is over is left out."""

    def ahead(self, customer: str, subscription: str) -> Sequence[BillingEvent]:
        """What lies ahead of a customer: who they are, all they subscribe to, what they pay with.

        And what the next bill of that subscription will be, where the provider says so.
        """

    def estate(self, after: str | None = None) -> Iterator[Sequence[BillingEvent]]:
        """The same of every subscription of the account, page by page, behind that one."""

    def suspend(self, subscription: str, *, collection: str, key: str) -> None:
        """Pause collection of the subscription, with our mark on it.

        `collection` is the provider's behaviour: what becomes of the invoices meanwhile.
        """

    def restore(self, subscription: str, *, key: str) -> None:
        """Undo `suspend`."""

    def cancel(self, subscription: str, *, why: str, key: str) -> None:
        """End the subscription, leaving our own reason on it; already ended is fine."""

    def void(self, invoice: str, *, key: str) -> Bill:
        """Void the invoice; the bill says how it stands now."""

    def write_off(self, invoice: str, *, key: str) -> Bill:
        """Mark the invoice uncollectible; the bill says how it stands now."""

    def open_invoices(
        self, *, since: datetime | None = None, after: str | None = None
    ) -> Iterator[Bill]:
        """Every open and unpaid invoice that was tried, or is overdue by hand, the newest first.

        Only those made, or due, since then; only those behind `after`, to go on where a reading
        stopped.
        """

    def missed(self, since: datetime) -> Iterator[bytes]:
        """Bodies of the events since then, oldest first, as the webhook would have sent them."""

    def bookings(self, since: datetime, until: datetime) -> Iterator[Sequence[Booking]]:
        """Page by page, what its books show as paid, refunded and disputed in that time.

        And some days around it, as their moments and ours may differ.
        """

    def payments(self, invoice: str) -> Sequence[Booking]:
        """Whatever was paid on one invoice, by any way, dated as the invoice says."""

    def invoice_of(self, booking: Booking) -> str | None:
        """Which invoice a booking that names none is about, if it is about one."""

    def health(self) -> Iterator[Health]:
        """Check key, mode and whether the provider still retries on its own."""

    def close(self) -> None:
        """Let go of connections."""


class Pace(Protocol):
    """Keeps the calls to one account, by all processes, within what its provider allows."""

    def turn(self, endpoint: str, *, background: bool = False) -> None:
        """Wait until a request may be sent there; `ProviderBusyError` if that is too long."""

    def limited(self, endpoint: str, retry_after: float | None) -> None:
        """The provider said that this was too much; with no endpoint: from the whole account."""

    def answered(self, *, key_accepted: bool) -> None:
        """The provider answered, and whether it took our key: everybody may want to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where the customer can act; short-lived, so never stored."""

    pay: str | None
    update_card: str | None
    cancel: str | None = None  # where the subscription can be seen and ended
    unsubscribe: str | None = None  # from notices of what lies ahead
