"""What happened while nobody was there to receive it: events since a moment, open invoices.

Stripe lists events newest first and keeps them for thirty days. Going forward in time needs one
event to start behind, so the oldest is looked for first, in windows that double.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from dunning.core.events import Bill
from dunning.errors import MalformedError
from dunning.providers.stripe import objects
from dunning.providers.stripe.calls import Calls
from dunning.providers.stripe.normalise import RULES
from dunning.providers.stripe.outcomes import Obj
from dunning.providers.stripe.sdk import getting

if TYPE_CHECKING:
    from stripe import StripeClient, StripeResponse
    from stripe.params import InvoiceListParams

log = structlog.get_logger(__name__)

PAGE = 100
MOST_TYPES = 20  # Stripe takes no more in one list
FIRST_WINDOW_SECONDS = 60
LONGEST_WINDOW_SECONDS = 31 * 86_400

# Finer names that only thin events have, and one from before 2020: the list of events is asked
# for today's snapshot names alone, lest it refuses the whole request.
NOT_LISTED = frozenset(
    (
        "customer.subscription.active",
        "customer.subscription.default_payment_method_changed",
        "customer.subscription.incomplete",
        "customer.subscription.incomplete_expired",
        "customer.subscription.past_due",
        "customer.subscription.trialing",
        "customer.subscription.unpaid",
        "payment_method.card_automatically_updated",
    )
)
TYPES = tuple(sorted(set(RULES) - NOT_LISTED))


class Missed:
    """Reads the list of events of one account."""

    def __init__(self, client: StripeClient, calls: Calls) -> None:
        self._client = client
        self._calls = calls

    def open_invoices(
        self, now: datetime, *, since: datetime | None, after: str | None
    ) -> Iterator[Bill]:
        """Every open invoice that somebody tried to collect, or that is overdue, newest first.

        One to be paid by hand may be made long before it is due: those that came due since then
        are asked for apart.
        """
        made: InvoiceListParams = {"status": "open", "limit": PAGE}
        if since is not None:
            made["created"] = {"gte": int(since.timestamp())}
        yield from self._unpaid(made, now, after)
        if since is not None:
            due: InvoiceListParams = {
                "status": "open",
                "limit": PAGE,
                "collection_method": "send_invoice",
                "created": {"lt": int(since.timestamp())},
                "due_date": {"gte": int(since.timestamp()), "lte": int(now.timestamp())},
            }
            yield from self._unpaid(due, now, None)

    def _unpaid(
        self, params: InvoiceListParams, now: datetime, after: str | None
    ) -> Iterator[Bill]:
        def ask(last: str | None) -> StripeResponse:
            behind = last or after
            wanted = {**params, "starting_after": behind} if behind else params
            return getting(self._client, "invoices", **wanted)()

        for page in self._calls.pages(ask):
            for invoice in page:
                by_hand = invoice.get("collection_method") == "send_invoice"
                overdue = (
                    by_hand and (invoice.get("due_date") or now.timestamp()) <= now.timestamp()
                )
                tried = invoice.get("attempted") and not by_hand
                if (tried or overdue) and invoice.get("amount_remaining"):
                    yield from _bill_or_warning(invoice)

    def since(self, moment: datetime) -> Iterator[bytes]:
        """The body of every event of a type we use, as the webhook would have had it."""
        start = int(moment.timestamp())
        streams = [self._stream(types, start) for types in _batches(TYPES)]
        for event in heapq.merge(*streams, key=lambda event: event["created"]):
            yield json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()

    def _stream(self, types: Sequence[str], start: int) -> Iterator[Obj]:
        """Events of these types, oldest first."""
        newest = self._page(types, {"gte": start})
        if not newest.get("has_more"):
            yield from reversed(newest["data"])
            return
        oldest = self._oldest(types, start)
        if oldest is None:
            return
        yield oldest
        cursor = oldest["id"]
        while True:
            page = self._page(types, {"gte": start}, ending_before=cursor)
            # Each page is the one just newer than the cursor, and itself newest first.
            yield from reversed(page["data"])
            if not page["data"] or not page.get("has_more"):
                return
            cursor = page["data"][0]["id"]

    def _oldest(self, types: Sequence[str], start: int) -> Obj | None:
        length = FIRST_WINDOW_SECONDS
        while length < LONGEST_WINDOW_SECONDS:
            found = self._last(types, {"gte": start, "lt": start + length})
            if found is not None:
                return found
            length *= 2
        return self._last(types, {"gte": start})

    def _last(self, types: Sequence[str], created: dict[str, int]) -> Obj | None:
        """The last, and so the oldest, event of a list."""
        oldest: Obj | None = None
        more = True
        while more:
            after = {"starting_after": oldest["id"]} if oldest else {}
            page = self._page(types, created, **after)
            oldest = page["data"][-1] if page["data"] else oldest
            more = bool(page.get("has_more") and page["data"])
        return oldest

    def _page(self, types: Sequence[str], created: dict[str, int], **cursor: str) -> Obj:
        params: Any = {"types": list(types), "created": created, "limit": PAGE, **cursor}
        return self._calls.read(getting(self._client, "events", **params))


def _bill_or_warning(invoice: Obj) -> Iterator[Bill]:
    """One invoice that cannot be read must not hide all the others."""
    try:
        yield objects.bill(invoice)
    except MalformedError as exc:
        log.warning("invoice.unreadable", invoice=invoice.get("id"), why=str(exc))


def _batches(types: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(types), MOST_TYPES):
        yield types[start : start + MOST_TYPES]
