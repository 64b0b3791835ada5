"""A provider and a mail server that answer at once, so that only the program is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from dunning.core.bookings import Booking
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptStatus,
    Bill,
    BillingEvent,
    Decline,
    InvoiceStatus,
    MethodChanged,
)
from dunning.core.ports import (
    ChargeOutcome,
    Declined,
    Health,
    Incomplete,
    Letter,
    Links,
    Paid,
    Reading,
    SendOutcome,
    Sent,
    Subscribed,
    Unreadable,
    View,
)

DECLINED = Decline(code="insufficient_funds", network="visa", method_type="card")


class Stopped:
    """A clock that is moved by hand."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        """The time it was set to."""
        return self.time

    def fresh(self) -> datetime:
        """The same."""
        return self.time


class AtOnce:
    """Knows every invoice as open, declines the first charge of each, and takes the second."""

    name = "stripe"

    def __init__(self, clock: Stopped) -> None:
        self._clock = clock
        self._tried: set[str] = set()

    def look(self, invoice: str) -> View:
        """Open, and ours to charge."""
        return View(bill=self._bill(invoice), method="pm_1")

    def charge(
        self, invoice: str, *, key: str, method: str | None, may_repeat: bool
    ) -> ChargeOutcome:
        """The first is declined."""
        first = invoice not in self._tried
        self._tried.add(invoice) if first else self._tried.discard(invoice)
        status = AttemptStatus.DECLINED if first else AttemptStatus.SUCCEEDED
        attempt = Attempt(
            id=f"ch_{key}",
            at=self._clock.now(),
            status=status,
            amount=4900,
            currency="eur",
            by=Actor.OURS,
            key=key,
            charge=f"ch_{key}",
            method=method,
            method_type="card",
            network="visa",
            fingerprint=f"fp_{invoice}",
            decline=DECLINED if first else None,
        )
        if first:
            return Declined(decline=DECLINED, attempt=attempt)
        now = self._clock.now()
        paid = replace(
            self._bill(invoice), status=InvoiceStatus.PAID, remaining=0, paid=4900, paid_at=now
        )
        return Paid(bill=paid, attempt=attempt)

    def take_over(self, invoice: str, *, key: str) -> Bill:
        """It is ours already."""
        return self._bill(invoice)

    def void(self, invoice: str, *, key: str) -> Bill:
        """Not asked for here."""
        return self._bill(invoice)

    def write_off(self, invoice: str, *, key: str) -> Bill:
        """Not asked for here."""
        return self._bill(invoice)

    def fetch(self, thin: Incomplete, *, event_id: str, created: datetime) -> Reading:
        """Not asked for here."""
        return Unreadable(why="not asked for")

    def links(self, invoice: str | None, customer: str | None, *, return_url: str | None) -> Links:
        """Nowhere."""
        return Links(pay=None, update_card=None)

    def portal(self, customer: str, *, return_url: str | None) -> str | None:
        """Nowhere."""
        del customer, return_url
        return None

    def methods(self, customer: str) -> Sequence[MethodChanged]:
        """None."""
        del customer
        return ()

    def subscriptions(self, customer: str) -> Sequence[Subscribed]:
        """None."""
        del customer
        return ()

    def ahead(self, customer: str, subscription: str) -> Sequence[BillingEvent]:
        """Nothing."""
        del customer, subscription
        return ()

    def estate(self, after: str | None = None) -> Iterator[Sequence[BillingEvent]]:
        """Nobody."""
        del after
        return iter(())

    def suspend(self, subscription: str, *, collection: str, key: str) -> None:
        """At once."""

    def restore(self, subscription: str, *, key: str) -> None:
        """At once."""

    def cancel(self, subscription: str, *, why: str, key: str) -> None:
        """At once."""

    def open_invoices(
        self, *, since: datetime | None = None, after: str | None = None
    ) -> Iterator[Bill]:
        """None."""
        return iter(())

    def missed(self, since: datetime) -> Iterator[bytes]:
        """None."""
        return iter(())

    def bookings(self, since: datetime, until: datetime) -> Iterator[Sequence[Booking]]:
        """None."""
        del since, until
        return iter(())

    def payments(self, invoice: str) -> Sequence[Booking]:
        """None."""
        del invoice
        return ()

    def invoice_of(self, booking: Booking) -> str | None:
        """None."""
        del booking
        return None

    def health(self) -> Iterator[Health]:
        """Nothing to say."""
        return iter(())

    def close(self) -> None:
        """Nothing is held."""

    def _bill(self, invoice: str) -> Bill:
        number = invoice.removeprefix("in_")
        return Bill(
            invoice=invoice,
            status=InvoiceStatus.OPEN,
            currency="eur",
            remaining=4900,
            paid=0,
            credited=0,
            customer=f"cus_{number}",
            subscription=f"sub_{number}",
            number=f"A-{number}",
            email=f"customer-{number}@example.org",
            name="Ada Example",
            country="AT",
            attempt_count=1,
            next_attempt_at=None,
            auto_advance=False,
        )


class Letterbox:
    """Takes every email at once."""

    name = "email"

    def send(self, letter: Letter) -> SendOutcome:
        """Taken."""
        return Sent(reference=letter.id)
