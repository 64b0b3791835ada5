"""What a reading of an invoice means to us: the view, its events, and the method to charge."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from dunning.core.events import (
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    CustomerReported,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    SubscriptionReported,
)
from dunning.core.ports import View
from dunning.providers.stripe import objects
from dunning.providers.stripe.outcomes import Obj

_NEWS = {
    InvoiceStatus.DRAFT: InvoiceNews.UPDATED,
    InvoiceStatus.OPEN: InvoiceNews.UPDATED,
    InvoiceStatus.UNCOLLECTIBLE: InvoiceNews.UNCOLLECTIBLE,
    InvoiceStatus.VOID: InvoiceNews.VOIDED,
    InvoiceStatus.PAID: InvoiceNews.PAID,
}
_FAILED = frozenset((AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED))


def view(invoice: Obj, tries: Sequence[Attempt], own: Mapping[str, Attempt], now: datetime) -> View:
    """Everything one reading says; `invoice` has its payments and people filled in."""
    told = objects.bill(invoice)
    now = _no_older(invoice, told, tries, now)
    ours = {attempt.id: attempt for attempt in own.values()}
    known = [ours.get(attempt.id, attempt) for attempt in tries]
    declined = frozenset(a.method for a in tries if a.status in _FAILED and a.method)
    return View(
        bill=told,
        events=tuple(_events(invoice, told, known, now)),
        method=choose_method(invoice, declined),
        own_attempts=dict(own),
    )


def _no_older(invoice: Obj, told: Bill, tries: Sequence[Attempt], now: datetime) -> datetime:
    """When it was read: our clock may be behind, and no view is older than what it shows."""
    paid = objects.payments_of(invoice, told, id="", at=now)
    return max([now, *(one.at for one in tries), *(one.at for one in paid)])


# --- the events of a reading -----------------------------------------------------------------


def _events(
    invoice: Obj, told: Bill, tries: Sequence[Attempt], now: datetime
) -> Iterator[BillingEvent]:
    yield InvoiceReported(
        id=_name("look", told.invoice, repr(told)),
        at=_moment(told) or now,
        news=_NEWS[told.status],
        bill=told,
    )
    for attempt in tries:
        yield AttemptReported(
            id=f"look:{attempt.id}:{attempt.status}",
            at=attempt.at,
            attempt=attempt,
            invoice=told.invoice,
            customer=told.customer,
        )
    yield from objects.payments_of(invoice, told, id=f"look:{told.invoice}", at=now)
    yield from people(invoice, now)


def _moment(told: Bill) -> datetime | None:
    """When the invoice came to the state it is in; an open one does not say."""
    moments = {
        InvoiceStatus.PAID: told.paid_at,
        InvoiceStatus.VOID: told.voided_at,
        InvoiceStatus.UNCOLLECTIBLE: told.uncollectible_at,
    }
    return moments.get(told.status)


def people(invoice: Obj, now: datetime) -> Iterator[CustomerReported | SubscriptionReported]:
    """The customer and the subscription, as far as they were filled in."""
    customer, subscription = customer_of(invoice), subscription_of(invoice)
    if customer:
        who = objects.customer(customer, id="", at=now)
        yield replace(who, id=_name("look", who.customer, _content(who)))
    if subscription:
        what = objects.subscription(subscription, id="", at=now)
        yield replace(what, id=_name("look", what.subscription, _content(what)))


def _content(event: CustomerReported | SubscriptionReported) -> str:
    """What is said, without when: the same news has the same name each time it comes."""
    timeless = datetime.min.replace(tzinfo=event.at.tzinfo)
    return repr(replace(event, at=timeless))


def _name(how: str, what: str, content: str) -> str:
    return f"{how}:{what}:{hashlib.sha256(content.encode()).hexdigest()[:16]}"


# --- the method to charge --------------------------------------------------------------------


class _Choice(NamedTuple):
    id: str
    created: int


def choose_method(invoice: Obj, declined: frozenset[str] = frozenset()) -> str | None:
    """The payment method a charge of this invoice should name; None when there is none.

    Stripe's order: the invoice's own default, the subscription's, the customer's. One trap needs
    an exception. A customer who gives a new card often makes it their own default while the
    subscription keeps its dead one, and Stripe would go on charging that. So when the first in
    order has already been declined on this invoice, the newest of all these defaults is named.
    Only defaults count: a card kept for something else is nobody's choice for this bill. The
    newest is taken even when it was declined as well, as going back to an older one would be a
    guess.
    """
    choices = list(_choices(invoice))
    if not choices:
        return None
    first = choices[0]
    if first.id not in declined:
        return first.id
    return max(choices, key=lambda choice: choice.created).id


def _choices(invoice: Obj) -> Iterator[_Choice]:
    subscription = subscription_of(invoice)
    customer = customer_of(invoice)
    settings = customer.get("invoice_settings") or {}
    for value in (
        invoice.get("default_payment_method"),
        invoice.get("default_source"),
        subscription.get("default_payment_method"),
        subscription.get("default_source"),
        settings.get("default_payment_method"),
        customer.get("default_source"),
    ):
        if isinstance(value, Mapping) and value.get("id"):
            # Legacy cards do not say when they were made; they are older than payment methods.
            yield _Choice(value["id"], value.get("created") or 0)
        elif isinstance(value, str) and value:
            yield _Choice(value, 0)


def customer_of(invoice: Obj) -> Mapping[str, Any]:
    """The customer when filled in, else nothing."""
    return _filled_in(invoice.get("customer"))


def subscription_of(invoice: Obj) -> Mapping[str, Any]:
    """The subscription when filled in, else nothing."""
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    return _filled_in(details.get("subscription"))


def _filled_in(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
