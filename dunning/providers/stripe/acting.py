"""The acting half of the Stripe provider: charges, looks, links, and the subscription's fate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING

import structlog

from dunning.clock import Clock
from dunning.core.bookings import Booking
from dunning.core.events import Actor, Attempt, Bill, BillingEvent, MethodChanged
from dunning.core.ports import (
    ChargeOutcome,
    Health,
    Incomplete,
    Links,
    Pace,
    Reading,
    Subscribed,
    View,
)
from dunning.errors import MalformedError, ProviderError, ProviderRefusedError
from dunning.providers.stripe import health, objects, people, saved, sdk, views
from dunning.providers.stripe import thin as thin_events
from dunning.providers.stripe.ahead import Ahead
from dunning.providers.stripe.books import Books
from dunning.providers.stripe.calls import AskUnder, Calls
from dunning.providers.stripe.charging import Charging
from dunning.providers.stripe.fields import Fields
from dunning.providers.stripe.missed import Missed
from dunning.providers.stripe.outcomes import Ending, StripeRefusedError
from dunning.providers.stripe.people import OUR_MARK, PAUSE_MARK
from dunning.providers.stripe.records import Records

if TYPE_CHECKING:
    from requests import Session
    from requests.adapters import BaseAdapter
    from stripe import RequestOptions, StripeClient, StripeObject, StripeResponse, V1Services
    from stripe.params import SubscriptionListParams, SubscriptionUpdateParams
    from stripe.params.billing_portal import SessionCreateParams

log = structlog.get_logger()

COLLECTIONS = ("keep_as_draft", "mark_uncollectible", "void")
OUR_KEY_MARK = "dunning_key"
_OVER = frozenset(("canceled", "incomplete_expired"))
_LONGEST_TEXT = 500  # of a metadata value and of a comment

# A look asks whose requests made the newest tries. Older doubts are settled by `charge`, which
# then only reads; a look a day before each rung shall not pay for them.
_OWN_REACH = timedelta(hours=48)
_OWN_MOST = 3


class StripeProvider:
    """Acts on one Stripe account; see `dunning.core.ports.Provider`. Usable from any thread."""

    name = "stripe"

    def __init__(
        self,
        api_key: str,
        *,
        clock: Clock,
        api_base: str | None = None,
        timeout: tuple[float, float] = (3.0, 20.0),
        sleep: Callable[[float], None] = time.sleep,
        pace: Pace | None = None,
    ) -> None:
        self._key = api_key
        self._clock = clock
        self._connect = partial(sdk.connect, api_key, api_base=api_base, timeout=timeout, pace=pace)
        self._connecting = threading.Lock()
        self._line: tuple[StripeClient, Session] | None = None
        self._calls = Calls(sleep)
        self._sweeps = Calls(sleep, background=True)

    # The SDK is large and slow to import: whoever only receives webhooks never needs it.

    def _connected(self) -> tuple[StripeClient, Session]:
        with self._connecting:
            if self._line is None:
                self._line = self._connect()
            return self._line

    @cached_property
    def _client(self) -> StripeClient:
        return self._connected()[0]

    @cached_property
    def _session(self) -> Session:
        return self._connected()[1]

    @cached_property
    def _api(self) -> V1Services:
        return self._client.v1

    @cached_property
    def _records(self) -> Records:
        return Records(self._client, self._calls)

    @cached_property
    def _charging(self) -> Charging:
        return Charging(self._client, self._calls, self._records, self._clock)

    def mount(self, line: BaseAdapter) -> None:
        """Let every request go out by this line instead of the network's."""
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, line)

    def close(self) -> None:
        """Let go of the connections."""
        if self._line is not None:
            self._line[1].close()

    # --- money -------------------------------------------------------------------------------
    def charge(
        self, invoice: str, *, key: str, method: str | None, may_repeat: bool
    ) -> ChargeOutcome:
        """Try to collect the invoice under our key; `charging` tells the story."""
        return self._charging.charge(invoice, key=key, method=method, may_repeat=may_repeat)

    def void(self, invoice: str, *, key: str) -> Bill:
        """Void the invoice; the bill says how it stands now."""
        return self._settle(invoice, partial(self._api.invoices.void_invoice, invoice, {}), key)

    def write_off(self, invoice: str, *, key: str) -> Bill:
        """Mark the invoice uncollectible; the bill says how it stands now."""
        mark = partial(self._api.invoices.mark_uncollectible, invoice, {})
        return self._settle(invoice, mark, key)

    def take_over(self, invoice: str, *, key: str) -> Bill:
        """Switch off Stripe's automatic collection of this invoice."""
        stop = partial(self._api.invoices.update, invoice, {"auto_advance": False})
        return self._settle(invoice, stop, key)

    def _settle(
        self, invoice: str, change: Callable[[RequestOptions], StripeObject], key: str
    ) -> Bill:
        """Ask for the change, then read: a refusal or a replayed answer may be old news."""
        try:
            self._calls.put(_under(change), key)
        except StripeRefusedError as exc:
            if exc.trouble.ending is not Ending.INVALID:
                raise
        with _usable():
            return objects.bill(self._records.bare_invoice(invoice))

    # --- reading -----------------------------------------------------------------------------
    def look(self, invoice: str) -> View:
        """The invoice, its payments with their declines, its customer and card, as of now."""
        with _usable():
            found = self._records.invoice_with_people(invoice)
            tries = self._records.tries(found)
            return views.view(found, tries, self._own(tries), self._clock.now())

    def _own(self, tries: Sequence[Attempt]) -> dict[str, Attempt]:
        """Which of the newest tries were ours, by their key."""
        since = self._clock.now() - _OWN_REACH
        recent = [attempt for attempt in tries if attempt.at >= since]
        own: dict[str, Attempt] = {}
        for attempt in recent[:_OWN_MOST]:
            try:
                request = self._records.request_behind(attempt)
            except StripeRefusedError as exc:
                if exc.trouble.ending is not Ending.NO_RIGHT:
                    raise
                return {}  # without the right to read events nobody can tell
            cause = objects.cause_of(Fields(request, "request") if request else None)
            if cause.by is Actor.OURS and cause.key:
                own[cause.key] = replace(attempt, by=cause.by, key=cause.key)
        return own

    def fetch(self, thin: Incomplete, *, event_id: str, created: datetime) -> Reading:
        """Fetch what a thin event speaks of and read it as if it had come whole."""
        return thin_events.fetch(
            self._client, self._calls, thin, event_id=event_id, created=created
        )

    def open_invoices(
        self, *, since: datetime | None = None, after: str | None = None
    ) -> Iterator[Bill]:
        """Every open and unpaid invoice that was tried, or is overdue by hand, the newest first."""
        missed = Missed(self._client, self._sweeps)
        return missed.open_invoices(self._clock.now(), since=since, after=after)

    def missed(self, since: datetime) -> Iterator[bytes]:
        """Bodies of the events since then, oldest first, as the webhook would have sent them."""
        return Missed(self._client, self._sweeps).since(since)

    def bookings(self, since: datetime, until: datetime) -> Iterator[Sequence[Booking]]:
        """Charges, refunds and disputes of that time and around it; see `books`."""
        with _usable():
            yield from Books(self._client, self._sweeps).between(since, until)

    def payments(self, invoice: str) -> Sequence[Booking]:
        """Whatever was paid on one invoice, also outside of Stripe."""
        with _usable():
            return Books(self._client, self._sweeps).paid_on(invoice, self._clock.now())

    def invoice_of(self, booking: Booking) -> str | None:
        """The invoice that a charge is for, by its payment intent."""
        with _usable():
            return Books(self._client, self._sweeps).invoice_of(booking)

    def health(self) -> Iterator[Health]:
        """Check the key, its mode and rights, and whether Stripe still retries on its own."""
        return health.check(self._client, self._calls, self._key)

    # --- the customer's own way --------------------------------------------------------------
    def links(self, invoice: str | None, customer: str | None, *, return_url: str | None) -> Links:
        """Fresh links; without a portal the customer can still pay by the first one."""
        found = self._records.bare_invoice(invoice) if invoice else {}
        owner = customer or found.get("customer")
        return Links(
            pay=found.get("hosted_invoice_url") or None,
            update_card=self._portal(owner, return_url) if isinstance(owner, str) else None,
        )

    def portal(self, customer: str, *, return_url: str | None) -> str | None:
        """The portal's own front page; whether one can cancel there is up to its configuration."""
        params: SessionCreateParams = {"customer": customer}
        if return_url is not None:
            params["return_url"] = return_url
        return self._portal_session(params)

    def _portal(self, customer: str, return_url: str | None) -> str | None:
        params: SessionCreateParams = {
            "customer": customer,
            "flow_data": {"type": "payment_method_update"},
        }
        if return_url is not None:
            params["return_url"] = return_url
            params["flow_data"]["after_completion"] = {
                "type": "redirect",
                "redirect": {"return_url": return_url},
            }
        return self._portal_session(params)

    def _portal_session(self, params: SessionCreateParams) -> str | None:
        try:
            session = self._calls.read(partial(self._api.billing_portal.sessions.create, params))
        except ProviderError as exc:
            # Not configured, no right, or away: the page with the pay link is still of use.
            log.warning("portal.refused", customer=params.get("customer"), why=str(exc))
            return None
        url = session.get("url")
        return url if isinstance(url, str) else None

    def methods(self, customer: str) -> Sequence[MethodChanged]:
        """What the customer has saved to pay with; see `saved`."""
        with _usable():
            return saved.methods(self._api, self._calls, customer)

    # --- what lies ahead ---------------------------------------------------------------------
    def ahead(self, customer: str, subscription: str) -> Sequence[BillingEvent]:
        """Customer, subscriptions, cards and the next bill, as of now; see `ahead`."""
        with _usable():
            return Ahead(self._client, self._calls, self._clock.now()).of(customer, subscription)

    def estate(self, after: str | None = None) -> Iterator[Sequence[BillingEvent]]:
        """Every subscription of the account with its people and cards, page by page."""
        with _usable():
            yield from Ahead(self._client, self._sweeps, self._clock.now()).everybody(after)

    # --- the subscription --------------------------------------------------------------------
    def subscriptions(self, customer: str) -> Sequence[Subscribed]:
        """What the customer subscribes to now; Stripe leaves out what is over."""

        def ask(after: str | None) -> StripeResponse:
            params: SubscriptionListParams = {"customer": customer, "limit": 100}
            if after is not None:
                params["starting_after"] = after
            return sdk.getting(self._client, "subscriptions", **params)()

        with _usable():
            found = [one for page in self._calls.pages(ask) for one in page]
            return [people.subscribed(one) for one in found if one.get("status") not in _OVER]

    def suspend(self, subscription: str, *, collection: str, key: str) -> None:
        """Pause collection; a subscription that is over has nothing left to pause."""
        if collection not in COLLECTIONS:
            allowed = ", ".join(COLLECTIONS)
            raise ProviderRefusedError(f"collection is {collection!r}; Stripe knows {allowed}")
        self._change(
            subscription,
            {
                "pause_collection": {"behavior": collection},
                # Who paused it: another's pause is not ours to lift.
                "metadata": {PAUSE_MARK: key[:_LONGEST_TEXT]},
            },
            key,
        )

    def restore(self, subscription: str, *, key: str) -> None:
        """Collect again; a subscription that is over, or gone, has nothing to restore."""
        try:
            change: SubscriptionUpdateParams = {
                "pause_collection": "",
                "metadata": {PAUSE_MARK: ""},
            }
            self._change(subscription, change, key)
        except StripeRefusedError as exc:
            if exc.trouble.ending is not Ending.MISSING:
                raise

    def cancel(self, subscription: str, *, why: str, key: str) -> None:
        """End the subscription, with our reason on it first.

        Stripe calls every cancellation by API a request of the customer; only our mark tells
        that it was not. One that somebody else has ended is left without it.
        """
        try:
            if self._is_over(subscription):
                return
            mark = {OUR_MARK: why[:_LONGEST_TEXT], OUR_KEY_MARK: key[:_LONGEST_TEXT]}
            self._change(subscription, {"metadata": mark}, f"{key}:mark")
            end = partial(
                self._api.subscriptions.cancel,
                subscription,
                {"cancellation_details": {"comment": why[:_LONGEST_TEXT]}},
            )
            self._calls.put(_under(end), key)
        except StripeRefusedError as exc:
            # Twice the same end: an answer was lost, or somebody was quicker.
            if exc.trouble.ending is Ending.MISSING:
                return
            if exc.trouble.ending is not Ending.INVALID or not self._is_over(subscription):
                raise

    def _change(self, subscription: str, params: SubscriptionUpdateParams, key: str) -> None:
        change = partial(self._api.subscriptions.update, subscription, params)
        try:
            self._calls.put(_under(change), key)
        except StripeRefusedError as exc:
            if exc.trouble.ending is not Ending.INVALID or not self._is_over(subscription):
                raise

    def _is_over(self, subscription: str) -> bool:
        found = self._calls.read(sdk.getting(self._client, "subscriptions", subscription))
        return found.get("status") in _OVER


def _under(change: Callable[[RequestOptions], StripeObject]) -> AskUnder:
    """The same request under the key that is asked for, or under one of the SDK's own."""
    return lambda key: change({"idempotency_key": key} if key else {})


@contextmanager
def _usable() -> Iterator[None]:
    """Stripe's answers are checked like webhooks; one that fails the check is Stripe's refusal."""
    try:
        yield
    except MalformedError as exc:
        raise ProviderRefusedError(f"Stripe's answer cannot be used: {exc}") from exc
