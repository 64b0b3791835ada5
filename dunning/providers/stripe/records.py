"""What Stripe's records say of an invoice: its payments, every try, and whose request each was.

Stripe does not put our idempotency key on a charge. It puts it on the events that a request
caused, so the owner of a try is found among the events of the minutes around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dunning.core.events import Attempt
from dunning.providers.stripe.calls import Calls
from dunning.providers.stripe.objects import attempt_of_charge, attempts_of_payment_intent
from dunning.providers.stripe.outcomes import Ending, Obj, StripeRefusedError
from dunning.providers.stripe.sdk import getting

if TYPE_CHECKING:
    from stripe import StripeClient, StripeResponse
    from stripe.params import ChargeListParams, EventListParams, InvoicePaymentListParams

PAGE = 100
MOST_PAGES = 5

# Four levels are the most that Stripe expands, and the words `data` count: one more,
# `latest_charge`, is refused (stripe-java#2011). The charges are listed instead, which also
# shows the older tries of an intent.
_PAYMENTS = "payments.data.payment.payment_intent"
_PEOPLE = (
    "default_payment_method",
    "customer.invoice_settings.default_payment_method",
    "parent.subscription_details.subscription.default_payment_method",
)
_CHARGE_EVENTS = ("charge.succeeded", "charge.failed", "charge.pending")
_BEFORE_SECONDS = 5
_AFTER_SECONDS = 120


class Records:
    """Reads; changes nothing. Every method may raise `StripeDown` or `StripeRefused`."""

    def __init__(self, client: StripeClient, calls: Calls) -> None:
        self._client = client
        self._calls = calls

    # --- the invoice -------------------------------------------------------------------------
    def invoice(self, invoice: str) -> Obj:
        """The invoice with its payments and their payment intents."""
        return self._whole(self._retrieve(invoice, [_PAYMENTS]))

    def invoice_with_people(self, invoice: str) -> Obj:
        """The same, with customer, subscription and their payment methods filled in."""
        found = self._whole(self._retrieve(invoice, [_PAYMENTS, *_PEOPLE]))
        customer = found.get("customer")
        if isinstance(customer, str):
            found["customer"] = self._customer(customer)
        details = (found.get("parent") or {}).get("subscription_details") or {}
        if isinstance(details.get("subscription"), str):
            details["subscription"] = self._subscription(details["subscription"])
        return found

    def bare_invoice(self, invoice: str) -> Obj:
        """The invoice alone."""
        return self._calls.read(getting(self._client, "invoices", invoice))

    def _retrieve(self, invoice: str, expand: list[str]) -> Obj:
        try:
            return self._calls.read(getting(self._client, "invoices", invoice, expand=expand))
        except StripeRefusedError as exc:
            refused = exc.trouble
            if refused.ending is not Ending.INVALID or "expand" not in refused.why:
                raise
        # The depth of expansion is a rule that Stripe may change; single requests always work.
        return self.bare_invoice(invoice)

    def _whole(self, invoice: Obj) -> Obj:
        """Add what a refused or cut short `payments` leaves out."""
        payments = invoice.get("payments")
        if not isinstance(payments, Mapping) or payments.get("has_more"):
            parts = [part for page in self._payment_pages(invoice["id"]) for part in page]
            invoice["payments"] = {"object": "list", "data": parts, "has_more": False}
        return invoice

    def _payment_pages(self, invoice: str) -> Iterator[list[Obj]]:
        def ask(after: str | None) -> StripeResponse:
            params: InvoicePaymentListParams = {
                "invoice": invoice,
                "limit": PAGE,
                "expand": ["data.payment.payment_intent"],
            }
            if after is not None:
                params["starting_after"] = after
            return getting(self._client, "invoice_payments", **params)()

        return self._calls.pages(ask)

    def _customer(self, customer: str) -> Obj:
        expand = ["invoice_settings.default_payment_method"]
        return self._calls.read(getting(self._client, "customers", customer, expand=expand))

    def _subscription(self, subscription: str) -> Obj:
        expand = ["default_payment_method"]
        return self._calls.read(getting(self._client, "subscriptions", subscription, expand=expand))

    # --- the tries ---------------------------------------------------------------------------
    def tries(self, invoice: Obj) -> list[Attempt]:
        """Every try to collect this invoice by anyone, newest first."""
        found: dict[str, Attempt] = {}
        for part in invoice["payments"]["data"]:
            for attempt in self._tries_of(part["payment"]):
                found[attempt.id] = attempt
        # A stable sort: within one second the order of the lists, newest first, stays.
        return sorted(found.values(), key=lambda attempt: attempt.at, reverse=True)

    def charge(self, charge: str) -> Obj:
        """One charge."""
        return self._calls.read(getting(self._client, "charges", charge))

    def _tries_of(self, payment: Obj) -> Iterator[Attempt]:
        intent, charge = payment.get("payment_intent"), payment.get("charge")
        if isinstance(intent, Mapping):
            yield from self._tries_of_intent(intent)
        elif intent:
            yield from self._charged(intent)
        elif charge:
            whole = charge if isinstance(charge, Mapping) else self.charge(charge)
            yield attempt_of_charge(whole)

    def _tries_of_intent(self, intent: Mapping[str, Any]) -> Iterator[Attempt]:
        if intent.get("latest_charge"):
            yield from self._charged(intent["id"])
        if chargeless(intent):
            bare = {**intent, "latest_charge": None, "charges": None}
            yield from attempts_of_payment_intent(bare)

    def _charged(self, intent: str) -> Iterator[Attempt]:
        def ask(after: str | None) -> StripeResponse:
            params: ChargeListParams = {"payment_intent": intent, "limit": PAGE}
            if after is not None:
                params["starting_after"] = after
            return getting(self._client, "charges", **params)()

        for page in self._calls.pages(ask):
            yield from (attempt_of_charge(charge) for charge in page)

    # --- whose request it was ----------------------------------------------------------------
    def request_behind(self, attempt: Attempt) -> Obj | None:
        """The `request` of the event that told of this try; None when no event is found.

        Only of tries that made a charge: the others do not say when they were made.
        """
        if attempt.charge is None:
            return None
        moment = int(attempt.at.timestamp())
        span = (moment - _BEFORE_SECONDS, moment + _AFTER_SECONDS)
        return self._request_of(attempt.charge, span)

    def _request_of(self, charge: str, span: tuple[int, int]) -> Obj | None:
        def ask(after: str | None) -> StripeResponse:
            params: EventListParams = {
                "types": list(_CHARGE_EVENTS),
                "created": {"gte": span[0], "lte": span[1]},
                "limit": PAGE,
            }
            if after is not None:
                params["starting_after"] = after
            return getting(self._client, "events", **params)()

        found: Obj | None = None
        for number, page in enumerate(self._calls.pages(ask), 1):
            for event in page:
                if event["data"]["object"].get("id") == charge:
                    found = event.get("request") or {}
                    if found.get("idempotency_key"):
                        return found
            if number == MOST_PAGES:
                break
        return found


def chargeless(intent: Mapping[str, Any]) -> bool:
    """True when the intent's present try made no charge: only the intent tells of it."""
    status = intent.get("status")
    if status in {"requires_action", "requires_source_action"}:
        return True
    if status == "processing":
        return not intent.get("latest_charge")
    error = intent.get("last_payment_error") or {}
    return bool(error) and not error.get("charge") and not intent.get("latest_charge")


def intents_of(invoice: Obj) -> list[Mapping[str, Any]]:
    """The expanded payment intents of an invoice."""
    payments = (part["payment"].get("payment_intent") for part in invoice["payments"]["data"])
    return [intent for intent in payments if isinstance(intent, Mapping)]


def is_processing(invoice: Obj) -> bool:
    """True while a bank debit of this invoice is under way."""
    return any(intent.get("status") == "processing" for intent in intents_of(invoice))


def is_waiting(invoice: Obj) -> bool:
    """True while the customer has to authenticate a payment of this invoice."""
    return any(intent.get("status") == "requires_action" for intent in intents_of(invoice))


def known_charges(invoice: Obj) -> frozenset[str]:
    """The newest charge of each intent: what is newer was made after this was read."""
    names = []
    for intent in intents_of(invoice):
        charge = intent.get("latest_charge")
        names.append(charge.get("id") if isinstance(charge, Mapping) else charge)
    return frozenset(name for name in names if name)
