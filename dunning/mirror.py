"""What providers told us of customers, subscriptions, cards and charges, as last heard.

Kept for all of them, case or not, so that a case that opens late still knows of the new card or
the cancellation that came first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlmodel import Session

from dunning.clock import from_unix
from dunning.core.declines import advise
from dunning.core.events import (
    BillingEvent,
    CustomerReported,
    MethodChanged,
    MethodNews,
    SubscriptionReported,
)
from dunning.core.facts import Case
from dunning.core.merge import earliest, latest
from dunning.store import (
    AttemptRow,
    CustomerRow,
    LinkRow,
    MethodRow,
    SubscriptionRow,
    insert_into,
)

Known = CustomerRow | SubscriptionRow | MethodRow
# As of when a row is that says who it is of, and nothing more yet.
UNHEARD = from_unix(0)


class Mirror:
    """The provider's facts of one source, within one transaction."""

    def __init__(self, session: Session, source: str) -> None:
        self._session = session
        self._source = source

    def take(self, event: MethodChanged | CustomerReported | SubscriptionReported) -> None:
        """Remember news that is not of one invoice; what is older adds nothing."""
        match event:
            case CustomerReported():
                self._customer(event)
            case SubscriptionReported():
                self._subscription(event)
            case MethodChanged():
                self._method(event)

    def known(self, customer: str, subscription: str | None) -> Iterator[BillingEvent]:
        """What was heard before the case began, as the events it would have heard."""
        row = self._session.get(CustomerRow, (self._source, customer))
        if row is not None:
            yield from _of_customer(row)
        if subscription:
            sub = self._session.get(SubscriptionRow, (self._source, subscription))
            if sub is not None:
                yield _of_subscription(sub)

    def invoice_of(self, names: Sequence[str]) -> str | None:
        """The invoice that a charge or a payment intent is known to be about."""
        for name in names:
            link = self._session.get(LinkRow, (self._source, name))
            if link is not None:
                return link.invoice
        return None

    def remember(self, case: Case, known: Case | None) -> None:
        """Write a case's new attempts where the limits of a card are counted, and its links."""
        links = known.links if known else frozenset((case.invoice,))
        for name in sorted(case.links - links):
            self._session.execute(
                insert_into(self._session, LinkRow)
                .values(source=self._source, object_id=name, invoice=case.invoice)
                .on_conflict_do_nothing()
            )
        for attempt in case.attempts:
            if known is not None and attempt in known.attempts:
                continue
            row = self._session.get(AttemptRow, (self._source, attempt.id))
            if row is None:
                row = AttemptRow(
                    source=self._source,
                    id=attempt.id,
                    case_id=case.id,
                    at=attempt.at,
                    status=attempt.status.value,
                    currency=attempt.currency,
                    by=attempt.by.value,
                )
            decline = attempt.decline
            row.at = attempt.at
            row.status = attempt.status.value
            row.amount = attempt.amount
            row.by = attempt.by.value
            row.key = attempt.key
            row.method = attempt.method
            row.network = attempt.network
            row.fingerprint = attempt.fingerprint
            row.decline_code = decline.code or decline.outcome_reason if decline else None
            row.network_code = decline.network_code if decline else None
            row.advice = advise(decline).advice.value if decline else None
            self._session.add(row)

    # --- one kind of news each --------------------------------------------------------------

    def _customer(self, event: CustomerReported) -> None:
        row = self._session.get(CustomerRow, (self._source, event.customer))
        if row is None:
            row = CustomerRow(source=self._source, id=event.customer, as_of=UNHEARD)
        if event.deleted:
            row.deleted_at = earliest(row.deleted_at, event.at)
        else:
            _take_words(row, event, "email name locale country timezone")
        self._session.add(row)
        self._session.flush()

    def _subscription(self, event: SubscriptionReported) -> None:
        row = self._session.get(SubscriptionRow, (self._source, event.subscription))
        if row is None:
            row = SubscriptionRow(source=self._source, id=event.subscription, as_of=UNHEARD)
        if event.ended_at is not None and (row.ended_at is None or event.ended_at < row.ended_at):
            row.ended_at = event.ended_at
            row.end_reason = event.end_reason
        row.ended_by_us = row.ended_by_us or event.ended_by_us
        row.customer = row.customer or event.customer
        _take_words(row, event, "status started_at recurring currency")
        self._session.add(row)
        self._session.flush()

    def _method(self, event: MethodChanged) -> None:
        customer = self._session.get(CustomerRow, (self._source, event.customer))
        if customer is None:
            customer = CustomerRow(source=self._source, id=event.customer, as_of=UNHEARD)
        if event.news is MethodNews.NEW:
            heard = (event.at, event.method or "")
            if customer.method_at is None or heard > (customer.method_at, customer.method or ""):
                customer.method, customer.method_at = event.method, event.at
        elif event.news in (MethodNews.CHANGED, MethodNews.NETWORK_UPDATED):
            customer.method_fixed_at = latest(customer.method_fixed_at, event.at)
        self._session.add(customer)
        if event.method:
            self._card(event, event.method)
        self._session.flush()

    def _card(self, event: MethodChanged, method: str) -> None:
        row = self._session.get(MethodRow, (self._source, method))
        if row is None:
            row = MethodRow(source=self._source, id=method, as_of=UNHEARD, customer=event.customer)
        if event.news in (MethodNews.REMOVED, MethodNews.MANDATE_GONE):
            row.gone_at = latest(row.gone_at, event.at)
        row.type = row.type or event.method_type
        _take_words(row, event, "network last4 fingerprint exp_month exp_year")
        self._session.add(row)


def _take_words(row: Known, event: BillingEvent, names: str) -> None:
    """The last word on each holds; of two of one moment the greater, whichever came first."""
    for name in names.split():
        known, told = getattr(row, name), getattr(event, name)
        if told is None or told == "":
            continue
        if known is None or known == "" or event.at > row.as_of:
            setattr(row, name, told)
        elif event.at == row.as_of:
            setattr(row, name, max(known, told))
    row.as_of = max(row.as_of, event.at)


def _of_customer(row: CustomerRow) -> Iterator[BillingEvent]:
    name = f"mirror:{row.id}"
    yield CustomerReported(
        id=name,
        at=row.as_of,
        customer=row.id,
        email=row.email,
        name=row.name,
        locale=row.locale,
        country=row.country,
        timezone=row.timezone,
    )
    if row.deleted_at is not None:
        yield CustomerReported(id=name, at=row.deleted_at, customer=row.id, deleted=True)
    if row.method_at is not None:
        yield MethodChanged(
            id=name, at=row.method_at, customer=row.id, news=MethodNews.NEW, method=row.method
        )
    if row.method_fixed_at is not None:
        yield MethodChanged(
            id=name, at=row.method_fixed_at, customer=row.id, news=MethodNews.CHANGED
        )


def _of_subscription(row: SubscriptionRow) -> SubscriptionReported:
    return SubscriptionReported(
        id=f"mirror:{row.id}",
        at=row.as_of,
        subscription=row.id,
        customer=row.customer,
        status=row.status,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        ended_by_us=row.ended_by_us,
    )
