"""What lies ahead of customers, by asking: subscriptions, cards, and the next bill."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from dunning.core.events import (
    BillingEvent,
    CustomerReported,
    MethodChanged,
    MethodNews,
    RenewalUpcoming,
    SubscriptionReported,
)
from dunning.providers.stripe import bills, people
from dunning.providers.stripe.calls import Calls
from dunning.providers.stripe.outcomes import Obj, StripeRefusedError

if TYPE_CHECKING:
    from stripe import StripeClient, StripeObject

log = structlog.get_logger(__name__)

PAGE = 100
_CARDS_OF_CUSTOMER = ("invoice_settings.default_payment_method", "default_source")
# As deep as Stripe fills in.
_IN_A_LIST = (
    "data.default_payment_method",
    "data.customer.default_source",
    "data.customer.invoice_settings.default_payment_method",
)

Told = CustomerReported | SubscriptionReported | MethodChanged | RenewalUpcoming


class Ahead:
    """Reads one account as of `now`. What was read is newer than every event up to then."""

    def __init__(self, client: StripeClient, calls: Calls, now: datetime) -> None:
        self._api = client.v1
        self._calls = calls
        self._now = now

    def of(self, customer: str, subscription: str) -> Sequence[BillingEvent]:
        """One customer, whole."""
        params: Any = {"expand": list(_CARDS_OF_CUSTOMER)}
        known = self._calls.read(partial(self._api.customers.retrieve, customer, params))
        told: list[Told] = [people.customer(known, id="", at=self._now)]
        if known.get("deleted"):
            return self._named(told)
        cards: dict[str, MethodChanged] = {}
        for one in self._subscriptions(customer):
            told.append(people.subscription(one, id="", at=self._now))
            self._card(one.get("default_payment_method"), customer, cards)
            self._card(one.get("default_source"), customer, cards)
        for one in self._methods(customer):
            self._card(one, customer, cards)
        self._card(known.get("default_source"), customer, cards)
        told += cards.values()
        told += self._next_bill(subscription)
        return self._named(told)

    def everybody(self, after: str | None) -> Iterator[Sequence[BillingEvent]]:
        """Every subscription that goes on, with its customer and what they chose to pay with."""

        def ask(cursor: str | None) -> StripeObject:
            params: Any = {"limit": PAGE, "expand": list(_IN_A_LIST)}
            if cursor or after:
                params["starting_after"] = cursor or after
            return self._api.subscriptions.list(params)

        for page in self._calls.pages(ask):
            yield self._named([event for one in page for event in self._with_people(one)])

    def _with_people(self, one: Obj) -> list[Told]:
        told: list[Told] = [people.subscription(one, id="", at=self._now)]
        cards: dict[str, MethodChanged] = {}
        customer = one.get("customer")
        if isinstance(customer, Mapping) and not customer.get("deleted"):
            name = customer["id"]
            told.append(people.customer(customer, id="", at=self._now))
            settings = customer.get("invoice_settings") or {}
            for card in (
                one.get("default_payment_method"),
                one.get("default_source"),
                settings.get("default_payment_method"),
                customer.get("default_source"),
            ):
                self._card(card, name, cards)
        return [*told, *cards.values()]

    def _subscriptions(self, customer: str) -> Iterator[Obj]:
        """All of them: of one that has ended it is told that it did."""

        def ask(cursor: str | None) -> StripeObject:
            params: Any = {"customer": customer, "status": "all", "limit": PAGE}
            params["expand"] = ["data.default_payment_method"]
            if cursor:
                params["starting_after"] = cursor
            return self._api.subscriptions.list(params)

        return (one for page in self._calls.pages(ask) for one in page)

    def _methods(self, customer: str) -> Iterator[Obj]:
        def ask(cursor: str | None) -> StripeObject:
            params: Any = {"limit": PAGE, **({"starting_after": cursor} if cursor else {})}
            return self._api.customers.payment_methods.list(customer, params)

        return (one for page in self._calls.pages(ask) for one in page)

    def _card(self, value: object, customer: str, cards: dict[str, MethodChanged]) -> None:
        if isinstance(value, Mapping) and value.get("id"):
            news = people.method(value, MethodNews.SAVED, id="", at=self._now, customer=customer)
            cards[news.method or ""] = news

    def _next_bill(self, subscription: str) -> list[RenewalUpcoming]:
        """What the next bill will be; a subscription that ends has none, and some keys no right."""
        params: Any = {"subscription": subscription}
        try:
            bill = self._calls.read(partial(self._api.invoices.create_preview, params))
        except StripeRefusedError as refused:
            log.info("preview.refused", subscription=subscription, why=str(refused))
            return []
        return [bills.upcoming(bill, id="", at=self._now)]

    def _named(self, told: Sequence[Told]) -> list[BillingEvent]:
        """The same news has the same name each time it is read."""
        return [replace(event, id=_name(event)) for event in told]


def _name(event: Told) -> str:
    timeless = replace(event, at=datetime.min.replace(tzinfo=UTC))
    return f"ahead:{hashlib.sha256(repr(timeless).encode()).hexdigest()[:20]}"
