"""What an event means, one small function for each kind of news.

The functions see one object and the few words around it, so an object that was fetched from the
API is read by the same ones as an object that came in a webhook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from dunning.core.events import (
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    DisputeStatus,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    MethodChanged,
    MethodNews,
)
from dunning.core.ports import Ignored, Reading, Understood
from dunning.providers.stripe import attempts, bills, people
from dunning.providers.stripe.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One object, why we are shown it, and when that was."""

    type: str
    id: str
    at: datetime
    obj: Fields
    previous: Fields
    cause: attempts.Cause
    unasked: bool  # no API request was behind it, so Stripe or a card network acted by itself


Handler = Callable[[News], Reading]

# --- invoices ------------------------------------------------------------------------------


def invoice(news: InvoiceNews, *may_be: InvoiceStatus) -> Handler:
    """Report the invoice; one whose status contradicts the event is not used."""

    def read(told: News) -> Reading:
        bill = bills.bill(told.obj)
        if may_be and bill.status not in may_be:
            raise told.obj.unknown("status", " or ".join(may_be))
        return Understood(events=_about_invoice(told, news, bill))

    return read


def payment_succeeded(told: News) -> Reading:
    # One of several payments of an invoice may succeed while the rest is still owed.
    bill = bills.bill(told.obj)
    paid = bill.status is InvoiceStatus.PAID
    news = InvoiceNews.PAID if paid else InvoiceNews.UPDATED
    return Understood(events=_about_invoice(told, news, bill))


def _about_invoice(told: News, news: InvoiceNews, bill: Bill) -> tuple[BillingEvent, ...]:
    reported = InvoiceReported(id=told.id, at=told.at, news=news, bill=bill, key=told.cause.key)
    payments = bills.payments_of(told.obj, bill, id=told.id, at=told.at)
    return (reported, *_tries_on(told, bill), *payments)


def _tries_on(told: News, bill: Bill) -> tuple[BillingEvent, ...]:
    """The tries that the invoice carries whole; its bare ids say nothing on how a try went."""
    found: dict[str, Attempt] = {}
    charge, intent = told.obj.expanded("charge"), told.obj.expanded("payment_intent")
    parts = [part.inner("payment") for part in told.obj.each("payments")]
    intents = [intent, *(part.expanded("payment_intent") for part in parts)]
    charges = [charge, *(part.expanded("charge") for part in parts)]
    tried = [attempts.attempt_of_charge(one) for one in charges if one is not None]
    for one in (i for i in intents if i is not None):
        tried += attempts.attempts_of_payment_intent(one, at=told.at)
    for attempt in tried:
        found.setdefault(attempt.id, attempt)  # a charge knows more of itself than its intent does
    return tuple(
        AttemptReported(
            id=f"{told.id}/{attempt.id}",
            at=told.at,
            attempt=attempt,
            invoice=bill.invoice,
            customer=bill.customer,
        )
        for attempt in found.values()
    )


def upcoming(told: News) -> Reading:
    return Understood(events=(bills.upcoming(told.obj, id=told.id, at=told.at),))


def invoice_payment(told: News) -> Reading:
    return Understood(events=(bills.payment(told.obj, id=told.id, at=told.at),))


# --- charge tries --------------------------------------------------------------------------

_ONE_OFF: Final = Ignored(why="the payment is not for an invoice")


def _one_off(obj: Fields) -> bool:
    """Whether the object says itself that it is for no invoice; newer ones do not say."""
    return obj.has("invoice") and not obj.given("invoice")


def charge(*may_be: AttemptStatus) -> Handler:
    def read(told: News) -> Reading:
        if _one_off(told.obj):
            return _ONE_OFF
        attempt = attempts.attempt_of_charge(told.obj, cause=told.cause)
        return _attempt(told, attempt, *may_be)

    return read


def charge_updated(told: News) -> Reading:
    # Whoever changed a charge need not be who made it, unless the request was ours.
    ours = told.cause.key is not None
    return charge()(told if ours else replace(told, cause=attempts.UNKNOWN_CAUSE))


def intent(*may_be: AttemptStatus, failed: bool = False) -> Handler:
    def read(told: News) -> Reading:
        if _one_off(told.obj):
            return _ONE_OFF
        tries = attempts.attempts_of_payment_intent(
            told.obj, at=told.at, cause=told.cause, failed=failed
        )
        if not tries:
            raise told.obj.unknown("status", f"one that fits {told.type}")
        return _attempt(told, tries[-1], *may_be)

    return read


def _attempt(told: News, attempt: Attempt, *may_be: AttemptStatus) -> Reading:
    # What is final stays so; an object that says otherwise is not used.
    if may_be and attempt.status not in may_be:
        raise told.obj.unknown("status", f"one that fits {told.type}")
    reported = AttemptReported(
        id=told.id,
        at=told.at,
        attempt=attempt,
        invoice=told.obj.id_or_none("invoice"),
        customer=told.obj.id_or_none("customer"),
    )
    return Understood(events=(reported,))


# --- money that goes back --------------------------------------------------------------------


def charge_refunded(told: News) -> Reading:
    if _one_off(told.obj):
        return _ONE_OFF
    return Understood(events=tuple(bills.refunds_of_charge(told.obj, id=told.id, at=told.at)))


def refund(*, failed: bool = False) -> Handler:
    def read(told: News) -> Reading:
        reported = bills.refund(told.obj, id=told.id, at=told.at, failed=failed)
        return Understood(events=(reported,))

    return read


def dispute(moved: Mapping[DisputeStatus, DisputeStatus]) -> Handler:
    """Report the dispute; `moved` says what the event's own news makes of a status."""

    def read(told: News) -> Reading:
        seen = bills.dispute(told.obj, id=told.id, at=told.at)
        status = moved.get(seen.status, seen.status)
        return Understood(events=(replace(seen, status=status),))

    return read


AS_IT_IS: Final[Mapping[DisputeStatus, DisputeStatus]] = MappingProxyType({})
WITHDRAWN: Final = MappingProxyType({DisputeStatus.INQUIRY: DisputeStatus.OPEN})
REINSTATED: Final = MappingProxyType(dict.fromkeys(DisputeStatus, DisputeStatus.WON))


def credit_note(told: News) -> Reading:
    noted = bills.credit_note(told.obj, id=told.id, at=told.at)
    if noted.amount == 0:
        return Ignored(why="the credit note takes nothing off what is still owed")
    return Understood(events=(noted,))


# --- ways to pay -----------------------------------------------------------------------------


def method(news: MethodNews) -> Handler:
    def read(told: News) -> Reading:
        return _method_of(told, told.obj.id_or_none("customer"), news)

    return read


def _method_of(told: News, customer: str | None, news: MethodNews) -> Reading:
    if customer is None:
        return Ignored(why="the payment method belongs to no customer")
    changed = people.method(told.obj, news, id=told.id, at=told.at, customer=customer)
    return Understood(events=(changed,))


def detached(told: News) -> Reading:
    # The object has let go of its customer by now; what it was before may still say.
    owner = told.obj.id_or_none("customer") or told.previous.id_or_none("customer")
    return _method_of(told, owner, MethodNews.REMOVED)


def source_updated(told: News) -> Reading:
    # Legacy cards have one event for both. In doubt it was the network: a refreshed card must
    # not look like a customer who acted.
    news = MethodNews.NETWORK_UPDATED if told.unasked else MethodNews.CHANGED
    return _method_of(told, told.obj.id_or_none("customer"), news)


def setup_done(told: News) -> Reading:
    customer, method = told.obj.id_or_none("customer"), told.obj.id_or_none("payment_method")
    if customer is None or method is None:
        return Ignored(why="the set-up is for no customer or left no payment method")
    away = told.obj.word_or_none("usage") == "off_session"
    new = _named_method(told, customer, method, MethodNews.NEW)
    return Understood(events=(replace(new, off_session=away),))


def mandate(told: News) -> Reading:
    if told.obj.word("status") != "inactive":
        return Ignored(why="the mandate is still valid")
    method = told.obj.id("payment_method")
    customer = told.obj.opened("payment_method").id_or_none("customer")
    if customer is None:
        return Ignored(
            why="a mandate does not say whose it is; a charge on it will fail and say so"
        )
    return Understood(events=(_named_method(told, customer, method, MethodNews.MANDATE_GONE),))


def _named_method(told: News, customer: str, method: str, news: MethodNews) -> MethodChanged:
    """News of a payment method that another object names; its facts if it is expanded there."""
    whole = told.obj.expanded("payment_method") or Fields({"id": method}, "payment_method")
    return people.method(whole, news, id=told.id, at=told.at, customer=customer)


# --- people ----------------------------------------------------------------------------------


def customer(told: News) -> Reading:
    return Understood(events=(people.customer(told.obj, id=told.id, at=told.at),))


def customer_updated(told: News) -> Reading:
    seen = people.customer(told.obj, id=told.id, at=told.at)
    chosen = people.default_method_chosen(told.obj, told.previous)
    if seen.deleted or chosen is None:
        return Understood(events=(seen,))
    new = people.method(
        chosen, MethodNews.NEW, id=f"{told.id}/method", at=told.at, customer=seen.customer
    )
    return Understood(events=(seen, new))


def customer_deleted(told: News) -> Reading:
    gone = people.customer(told.obj, id=told.id, at=told.at, deleted=True)
    return Understood(events=(gone,))


def subscription(*, deleted: bool = False) -> Handler:
    def read(told: News) -> Reading:
        seen = people.subscription(told.obj, id=told.id, at=told.at, deleted=deleted)
        return Understood(events=(seen,))

    return read
