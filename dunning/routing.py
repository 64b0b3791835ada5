"""Which invoice and which cases an event is about, and what a batch of them needs in hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import get_args

from dunning.core.case import case_id
from dunning.core.events import (
    AttemptReported,
    BillingEvent,
    CustomerReported,
    Exempted,
    ExemptionLifted,
    InvoiceEvent,
    InvoiceReported,
    MethodChanged,
    PaymentReceived,
    RenewalUpcoming,
    SubscriptionReported,
)
from dunning.desk import Desk, Held, Named
from dunning.errors import NamesTakenError
from dunning.fetching import UNPAID
from dunning.store import guard, guard_at_once

CustomerNews = MethodChanged | CustomerReported | SubscriptionReported | Exempted | ExemptionLifted
_OF_PEOPLE = (*get_args(CustomerNews), RenewalUpcoming)


def invoice_of(desk: Desk, source: str, event: BillingEvent) -> str | None:
    """Which invoice an event is about, from its own words or from what is linked to it."""
    if not isinstance(event, InvoiceEvent):
        message = f"{type(event).__name__} is not news of an invoice"
        raise TypeError(message)
    own = _own_invoice(event)
    if own is not None:
        return own
    linked = (desk.links.get(Named(source, name)) for name in _names(event))
    return next((invoice for invoice in linked if invoice is not None), None)


def _own_invoice(event: InvoiceEvent) -> str | None:
    return event.bill.invoice if isinstance(event, InvoiceReported) else event.invoice or None


def _names(event: BillingEvent) -> list[str]:
    told = getattr(event, "attempt", event)
    names = (getattr(told, name, None) for name in ("payment_intent", "charge"))
    found = [name for name in names if isinstance(name, str)]
    if isinstance(event, AttemptReported):
        found.append(event.attempt.id)
    return found


def _links(event: BillingEvent) -> list[str]:
    """Every name an event may add to the links of its case (`Case.links`)."""
    found = _names(event)
    if isinstance(event, AttemptReported) and event.attempt.charge:
        found.append(event.attempt.charge)
    if isinstance(event, PaymentReceived):
        found.append(event.payment)
    return found


def everything_named(source: str, events: Iterable[BillingEvent]) -> set[str]:
    """Each thing these events speak of; two workers that share one take turns."""
    names: set[str] = set()
    for event in events:
        names.update(_names(event))
        told = event.bill if isinstance(event, InvoiceReported) else event
        for about in ("invoice", "customer", "subscription"):
            name = getattr(told, about, None)
            if isinstance(name, str):
                names.add(name)
    return {f"{source}/{name}" for name in names}


def ref_of(event: BillingEvent) -> str | None:
    """The id under which an event without an invoice waits for one."""
    names = _names(event)
    return names[0] if names else None


def cases_of(
    desk: Desk,
    source: str,
    event: CustomerNews,
) -> Sequence[Held]:
    """The customer's cases this news can still matter to: those that had not ended before it."""
    customer, happened = event.customer, _happened(event)
    if customer is None and isinstance(event, SubscriptionReported):
        about, name = "subscription", event.subscription
    else:
        about, name = "customer", customer or ""
    found = [
        held
        for held in desk.cases.values()
        if held.row["source"] == source
        and held.row[about] == name
        and (_open_at(held, happened) or _may_be_paid_late(held, event))
    ]
    return sorted(found, key=lambda held: held.case.id)


def _open_at(held: Held, happened: datetime) -> bool:
    closed_at = held.row["closed_at"]
    return closed_at is None or bool(closed_at >= happened)


def _may_be_paid_late(held: Held, event: CustomerNews) -> bool:
    """Whether a debt that nobody pursues any more hears that its subscription has ended.

    Should it be paid after that, no recurring revenue is saved by it.
    """
    if not isinstance(event, SubscriptionReported) or event.ended_at is None:
        return False
    return held.row["subscription"] == event.subscription and held.row["state"] in UNPAID


def _happened(event: CustomerNews) -> datetime:
    ended = event.ended_at if isinstance(event, SubscriptionReported) else None
    return ended or event.at


# --- what a batch needs to have in hand ----------------------------------------------------


def gather(desk: Desk, told: Mapping[str, Sequence[BillingEvent]]) -> None:
    """Load what these events, by source, may touch, in a number of statements that is fixed."""
    nameless = [
        Named(source, name)
        for source, event in _each(told)
        if isinstance(event, InvoiceEvent) and _own_invoice(event) is None
        for name in _names(event)
    ]
    desk.links.load(nameless)
    wanted = {case_id(source, invoice) for source, invoice in _invoices(desk, told)}
    for source, events in told.items():
        wanted.update(_of_customers(desk, source, events))
    desk.cases.load(wanted)
    gather_about(desk, [name for name in wanted if desk.cases.stored(name)])
    fresh = [name for name in wanted if not desk.cases.stored(name)]
    for name in fresh:
        desk.entries.assume(name)
        desk.steps.assume(name)
    whole = _with_what_waits(desk, told)
    _gather_people(desk, whole, opening=bool(fresh))


def gather_for(
    desk: Desk, case_ids: Collection[str], told: Mapping[str, Sequence[BillingEvent]]
) -> None:
    """Load what these events may touch of cases that are in hand already."""
    gather_about(desk, case_ids)
    _gather_people(desk, _with_what_waits(desk, told), opening=False)


def gather_about(desk: Desk, case_ids: Collection[str]) -> None:
    """Load what belongs to cases that are stored: their part of the ledger, and steps begun."""
    desk.entries.load(case_ids)
    desk.steps.load(case_ids)


def paid_invoices(told: Mapping[str, Sequence[BillingEvent]]) -> list[Named]:
    """The invoices of which these events say that something was paid."""
    return sorted(
        {
            Named(source, event.bill.invoice)
            for source, event in _each(told)
            if isinstance(event, InvoiceReported) and event.bill.paid > 0
        }
    )


def _each(told: Mapping[str, Sequence[BillingEvent]]) -> Iterator[tuple[str, BillingEvent]]:
    for source, events in told.items():
        for event in events:
            yield source, event


def _invoices(desk: Desk, told: Mapping[str, Sequence[BillingEvent]]) -> Iterator[Named]:
    for source, event in _each(told):
        if isinstance(event, InvoiceEvent) and (invoice := invoice_of(desk, source, event)):
            yield Named(source, invoice)


def _of_customers(desk: Desk, source: str, events: Iterable[BillingEvent]) -> Sequence[str]:
    """The cases that news of customers may matter to."""
    news = [event for event in events if isinstance(event, CustomerNews)]
    if not news:
        return ()
    customers = {event.customer for event in news if event.customer}
    scopes = {
        event.subscription
        for event in news
        if isinstance(event, SubscriptionReported) and event.customer is None
    }
    ended = any(isinstance(event, SubscriptionReported) and event.ended_at for event in news)
    since = min(map(_happened, news))
    return desk.cases_about(source, customers, scopes, since, unpaid=ended)


def _with_what_waits(
    desk: Desk, told: Mapping[str, Sequence[BillingEvent]]
) -> Mapping[str, Sequence[BillingEvent]]:
    """Load what waits for the names that cases may learn; these events and those that waited."""
    known = {name for held in desk.cases.values() for name in _linked(held)}
    later = False
    whole = {source: list(events) for source, events in told.items()}
    new = {source: list(events) for source, events in told.items()}
    while any(new.values()):
        names = {
            Named(source, name)
            for source, event in _each(new)
            if isinstance(event, InvoiceEvent)
            for name in (_own_invoice(event), *_links(event))
            if name
        } - known
        known |= names
        if later:
            _guard_late(desk, {f"{name.source}/{name.id}" for name in names})
        later = True
        desk.waiting.load(names)
        new = {source: [] for source in told}
        for key in sorted(names):
            for one in desk.waiting.stored(key) or ():
                new[key.source].extend(one.events)
        for source, events in new.items():
            whole[source].extend(events)
    return whole


def _guard_late(desk: Desk, names: set[str]) -> None:
    """Named by what waited, and by nobody before: whoever speaks of these waits for us."""
    fresh = names - desk.guarded
    if guard_at_once(desk.session, fresh):
        return
    if not desk.patient:
        raise NamesTakenError(frozenset(fresh))
    guard(desk.session, fresh)


def _linked(held: Held) -> Iterator[Named]:
    return (Named(held.case.source, name) for name in held.case.links)


def _gather_people(
    desk: Desk, told: Mapping[str, Sequence[BillingEvent]], *, opening: bool
) -> None:
    """Load what is known of the customers: those spoken of, and those of cases that may open."""
    customers, subscriptions, methods = set(), set(), set()
    for source, event in _each(told):
        if not opening and not isinstance(event, _OF_PEOPLE):
            continue
        about = event.bill if isinstance(event, InvoiceReported) else event
        if customer := getattr(about, "customer", None):
            customers.add(Named(source, customer))
        if subscription := getattr(about, "subscription", None):
            subscriptions.add(Named(source, subscription))
        if isinstance(event, MethodChanged) and event.method:
            methods.add(Named(source, event.method))
    desk.customers.load(sorted(customers))
    desk.exemptions.load(sorted(customers))
    if opening:
        cards = ((name.source, desk.customers.stored(name)) for name in customers)
        methods |= {Named(s, row["method"]) for s, row in cards if row and row["method"]}
    desk.subscriptions.load(sorted(subscriptions))
    desk.methods.load(sorted(methods))
