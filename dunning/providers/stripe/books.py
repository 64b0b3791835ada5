"""Stripe's own books: charges, refunds and disputes of a time, and the payments of an invoice.

Lists go by when a thing was created. A bank debit is created days before its money comes, and a
dispute months before it is won, so the lists begin that much earlier; each booking has its own
moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from dunning.clock import from_unix
from dunning.core.bookings import Booking, Fate, Flow
from dunning.core.events import DisputeStatus
from dunning.core.tieout import SHIFT
from dunning.errors import ProviderRefusedError
from dunning.providers.stripe import objects
from dunning.providers.stripe.fields import Fields, fields
from dunning.providers.stripe.outcomes import Ending, Obj, StripeRefusedError
from dunning.providers.stripe.records import Records

if TYPE_CHECKING:
    from stripe import StripeClient, StripeObject
    from stripe.params import InvoicePaymentListParams

    from dunning.providers.stripe.calls import Calls

PAGE = 100
DEBITS_TAKE = timedelta(days=15)
DISPUTES_TAKE = timedelta(days=200)

_FATES = {
    "succeeded": Fate.DONE,
    "pending": Fate.PENDING,
    "requires_action": Fate.PENDING,
    "failed": Fate.FAILED,
    "canceled": Fate.FAILED,
}
_TAKEN = (DisputeStatus.OPEN, DisputeStatus.LOST, DisputeStatus.WON)


class Books:
    """Reads; changes nothing. Every method may raise `StripeDown` or `StripeRefused`."""

    def __init__(self, client: StripeClient, calls: Calls) -> None:
        self._api = client.v1
        self._calls = calls
        self._records = Records(client, calls)

    def between(self, since: datetime, until: datetime) -> Iterator[Sequence[Booking]]:
        """Everything that may count between the two moments, a page at a time."""
        try:
            yield from self._listed(since, until)
        except StripeRefusedError as exc:
            if exc.trouble.ending is not Ending.NO_RIGHT:
                raise
            message = (
                "the API key lacks a right: comparing the books reads charges, refunds, disputes "
                f"and invoices; add it, or compare with an export. Stripe says: {exc}"
            )
            raise ProviderRefusedError(message) from exc

    def _listed(self, since: datetime, until: datetime) -> Iterator[Sequence[Booking]]:
        last = until + SHIFT
        charges = self._pages(self._api.charges.list, since - DEBITS_TAKE, last)
        for page in charges:
            yield [booking for one in page for booking in _charge(fields(one, "charge"))]
        expand = ["data.charge"]  # for its customer: neither refund nor dispute names one
        for page in self._pages(self._api.refunds.list, since - SHIFT, last, expand):
            yield [_refund(fields(one, "refund")) for one in page]
        for page in self._pages(self._api.disputes.list, since - DISPUTES_TAKE, last, expand):
            yield [booking for one in page for booking in _dispute(fields(one, "dispute"))]

    def _pages(
        self,
        ask: Callable[[Any], StripeObject],
        since: datetime,
        until: datetime,
        expand: Sequence[str] = (),
    ) -> Iterator[list[Obj]]:
        created = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
        params: dict[str, Any] = {"created": created, "limit": PAGE}
        if expand:
            params["expand"] = list(expand)

        def behind(last: str | None) -> StripeObject:
            return ask({**params, "starting_after": last} if last else params)

        return self._calls.pages(behind)

    def paid_on(self, invoice: str, now: datetime) -> list[Booking]:
        """The payments that the invoice itself names, and what it counts as paid elsewhere."""
        try:
            found = self._records.invoice(invoice)
        except StripeRefusedError as exc:
            if exc.trouble.ending is not Ending.MISSING:
                raise
            return []
        told = objects.bill(found)
        bookings = [
            Booking(
                flow=Flow.PAID,
                id=one.charge or one.payment,
                amount=one.amount,
                currency=one.currency,
                at=one.at,
                invoice=told.invoice,
                customer=told.customer,
                names=_names(one.payment, one.payment_intent, one.charge),
                fate=Fate.DONE if one.payment_intent or one.charge else Fate.OUTSIDE,
            )
            for one in objects.payments_of(found, told, id="", at=told.paid_at or now)
        ]
        elsewhere = told.paid - sum(one.amount for one in bookings)
        if elsewhere > 0:
            bookings.append(
                Booking(
                    flow=Flow.PAID,
                    id=told.invoice,
                    amount=elsewhere,
                    currency=told.currency,
                    at=told.paid_at or now,
                    invoice=told.invoice,
                    customer=told.customer,
                    fate=Fate.OUTSIDE,
                )
            )
        return bookings

    def invoice_of(self, booking: Booking) -> str | None:
        """The invoice that one of the booking's payment intents has paid."""
        for intent in booking.names:
            if not intent.startswith("pi_"):
                continue
            params: InvoicePaymentListParams = {
                "payment": {"type": "payment_intent", "payment_intent": intent},
                "limit": 1,
            }
            page = self._calls.read(partial(self._api.invoice_payments.list, params))
            if page["data"]:
                return fields(page["data"][0], "invoice_payment").id("invoice")
        return None


def _names(*names: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _charge(f: Fields) -> Iterator[Booking]:
    """A charge that went through; one that failed, or was only authorised, brought nothing."""
    amount = f.amount_or_none("amount_captured")
    amount = f.amount("amount") if amount is None else amount
    if f.word("status") != "succeeded" or amount == 0:
        return
    yield Booking(
        flow=Flow.PAID,
        id=f.id("id"),
        amount=amount,
        currency=f.currency(),
        at=f.time("created"),
        invoice=f.id_or_none("invoice"),
        customer=f.id_or_none("customer"),
        names=_names(f.id_or_none("payment_intent")),
    )


def _refund(f: Fields) -> Booking:
    told = objects.refund(f, id="", at=f.time("created"))
    charge = f.expanded("charge")
    return Booking(
        flow=Flow.REFUNDED,
        id=told.refund,
        amount=told.amount,
        currency=told.currency,
        at=told.refunded_at,
        invoice=told.invoice,
        customer=charge.id_or_none("customer") if charge else None,
        names=_names(told.charge, told.payment_intent),
        fate=_FATES[f.word("status")],
    )


def _dispute(f: Fields) -> Iterator[Booking]:
    """What a dispute took, and what came back once it was won; an inquiry takes nothing."""
    told = objects.dispute(f, id="", at=f.time("created"))
    if told.status not in _TAKEN:
        return
    charge = f.expanded("charge")
    moved = {False: told.opened_at}
    if told.status is DisputeStatus.WON:
        moved[True] = _returned_at(f) or told.opened_at
    for back, at in moved.items():
        yield Booking(
            flow=Flow.DISPUTED,
            id=told.dispute,
            amount=-told.amount if back else told.amount,
            currency=told.currency,
            at=at,
            invoice=told.invoice,
            customer=charge.id_or_none("customer") if charge else None,
            names=_names(told.charge, told.payment_intent),
        )


def _returned_at(f: Fields) -> datetime | None:
    """When the balance got the money back; its amounts are in the currency of the payouts."""
    returned = [
        one["created"]
        for one in f.data.get("balance_transactions") or ()
        if isinstance(one, dict) and one.get("amount", 0) > 0
    ]
    return from_unix(max(returned)) if returned else None
