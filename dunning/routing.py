"""Which invoice and which cases an event is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlmodel import Session, col

from dunning.core.events import (
    AttemptReported,
    BillingEvent,
    CustomerReported,
    InvoiceEvent,
    InvoiceReported,
    MethodChanged,
    SubscriptionReported,
)
from dunning.mirror import Mirror
from dunning.store import CaseRow


def invoice_of(mirror: Mirror, event: BillingEvent) -> str | None:
    """Which invoice an event is about, from its own words or from what is linked to it."""
    if isinstance(event, InvoiceReported):
        return event.bill.invoice
    if not isinstance(event, InvoiceEvent):
        message = f"{type(event).__name__} is not news of an invoice"
        raise TypeError(message)
    return event.invoice or mirror.invoice_of(_names(event))


def _names(event: BillingEvent) -> list[str]:
    told = getattr(event, "attempt", event)
    names = (getattr(told, name, None) for name in ("payment_intent", "charge"))
    found = [name for name in names if isinstance(name, str)]
    if isinstance(event, AttemptReported):
        found.append(event.attempt.id)
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
    session: Session,
    source: str,
    event: MethodChanged | CustomerReported | SubscriptionReported,
) -> Sequence[CaseRow]:
    """The customer's cases this news can still matter to: those that had not ended before it."""
    customer = event.customer
    if customer is None and isinstance(event, SubscriptionReported):
        about = col(CaseRow.subscription) == event.subscription
    else:
        about = col(CaseRow.customer) == customer
    happened = event.at
    if isinstance(event, SubscriptionReported) and event.ended_at:
        happened = event.ended_at
    query = (
        select(CaseRow)
        .where(
            col(CaseRow.source) == source,
            about,
            col(CaseRow.closed_at).is_(None) | (col(CaseRow.closed_at) >= happened),
        )
        .order_by(col(CaseRow.id))
        .with_for_update()
    )
    return session.scalars(query).all()
