"""Signed Stripe events for measuring: the size and shape of real ones, as many as are wanted."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

SECRET = "whsec_bench"  # noqa: S105 - guards a database that lives for a minute
CREATED = 1_790_000_000
# What a real invoice carries and nobody reads; it brings the body to the usual 2.5 KB.
_PADDING: dict[str, Any] = {
    "account_name": "Example Ltd",
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_reason": "subscription_cycle",
    "customer_tax_ids": [],
    "default_tax_rates": [],
    "discounts": [],
    "footer": None,
    "issuer": {"type": "self"},
    "payment_settings": {"payment_method_options": None, "payment_method_types": ["card"]},
    "rendering": {"amount_tax_display": None, "pdf": {"page_size": "auto"}, "template": None},
    "shipping_cost": None,
    "statement_descriptor": "EXAMPLE LTD MONTHLY PLAN",
    "subtotal_excluding_tax": 4900,
    "total_taxes": [],
    "webhooks_delivered_at": CREATED,
}


def failed(number: int, *, at: int = CREATED, customer: int | None = None) -> dict[str, Any]:
    """`invoice.payment_failed` of invoice number so-and-so."""
    invoice = _invoice(number, at, number if customer is None else customer)
    return _event(f"evt_failed_{number:09}", "invoice.payment_failed", invoice, at)


def paid(number: int, *, at: int = CREATED + 60, customer: int | None = None) -> dict[str, Any]:
    """`invoice.paid` of the same invoice."""
    invoice = _invoice(number, at, number if customer is None else customer)
    invoice |= {"status": "paid", "amount_paid": 4900, "amount_remaining": 0}
    invoice["next_payment_attempt"] = None
    invoice["status_transitions"] = invoice["status_transitions"] | {"paid_at": at}
    return _event(f"evt_paid_{number:09}", "invoice.paid", invoice, at)


def encoded(body: dict[str, Any]) -> bytes:
    """The bytes of a body, in the manner of Stripe."""
    return json.dumps(body, indent=2).encode()


def template() -> tuple[bytes, bytes, bytes]:
    """A body in three parts, between which the number of the event and of its invoice go."""
    whole = encoded(failed(123_456_789))
    # The number stands in the event's id first, then in the invoice and what hangs on it.
    first, rest = whole.split(b"evt_failed_123456789", 1)
    return first + b"evt_failed_", rest, b"123456789"


def bodies(start: int = 0) -> Iterator[bytes]:
    """Distinct events, each about an invoice of its own, made as cheaply as can be."""
    head, rest, number = template()
    parts = rest.split(number)
    while True:
        start += 1
        name = b"%09d" % start
        yield head + name + name.join(parts)


def signature(body: bytes, at: int, secret: str = SECRET) -> str:
    """The `Stripe-Signature` header of a body."""
    signed = b"%d." % at + body
    return f"t={at},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def _event(name: str, kind: str, obj: dict[str, Any], at: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": at,
        "data": {"object": obj},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def _invoice(number: int, at: int, customer: int) -> dict[str, Any]:
    name = f"{number:09}"
    return _PADDING | {
        "id": f"in_{name}",
        "object": "invoice",
        "amount_due": 4900,
        "amount_paid": 0,
        "amount_remaining": 4900,
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": True,
        "collection_method": "charge_automatically",
        "created": CREATED,
        "currency": "eur",
        "customer": f"cus_{customer:09}",
        "customer_address": {"city": "Wien", "country": "AT", "line1": "Ring 1"},
        "customer_email": f"customer-{customer:09}@example.org",
        "customer_name": "Ada Example",
        "due_date": None,
        "lines": {"object": "list", "data": [_line(name)], "has_more": False},
        "livemode": False,
        "metadata": {"plan": "gold"},
        "next_payment_attempt": at + 86_400,
        "number": f"A-{name}",
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"metadata": {}, "subscription": f"sub_{name}"},
        },
        "status": "open",
        "status_transitions": {
            "finalized_at": CREATED,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
    }


def _line(name: str) -> dict[str, Any]:
    return {
        "id": f"il_{name}",
        "object": "line_item",
        "amount": 4900,
        "currency": "eur",
        "description": "1 × Gold (at €49.00 / month)",
        "discountable": True,
        "period": {"start": CREATED, "end": CREATED + 2_592_000},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": "price_gold", "product": "prod_gold"},
            "unit_amount_decimal": "4900",
        },
        "quantity": 1,
    }
