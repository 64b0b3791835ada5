"""Stripe's events as the tests need them: small, made up, in the shapes of three eras.

`old` is an API version before 2025-03-31, `new` one after it, `mixed` an object that has the
fields of both, as accounts in transition get them. Every body is built afresh, so a test may
change what it likes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

Body = dict[str, Any]
Shape = Literal["old", "new", "mixed"]

NOW = 1_790_000_000
AT = datetime.fromtimestamp(NOW, UTC)
CREATED = NOW - 120
OUR_KEY = "case_abcdefghijklmnopqrst/retry:3"
NOBODY: Body = {"id": None, "idempotency_key": None}
SOMEBODY: Body = {"id": "req_1", "idempotency_key": "0c2c-77"}
US: Body = {"id": "req_2", "idempotency_key": OUR_KEY}


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def event(
    type: str, obj: Body, *, previous: Body | None = None, request: Body | None = None
) -> Body:
    """A snapshot event around an object."""
    data: Body = {"object": obj}
    if previous is not None:
        data["previous_attributes"] = previous
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "made-up, and nobody should look",
        "created": NOW,
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": dict(SOMEBODY if request is None else request),
        "type": type,
    }


def thin(type: str, kind: str | None = "invoice", name: str = "in_1") -> Body:
    """A thin event: it names an object and leaves the fetching to us."""
    related: Body | None = None
    if kind is not None:
        related = {"id": name, "type": kind, "url": f"/v1/{kind}s/{name}"}
    return {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "type": type,
        "created": "2026-09-21T14:13:20.000Z",
        "livemode": False,
        "context": None,
        "related_object": related,
        "reason": None,
        "snapshot_event": "evt_1",
    }


def raw(body: Any) -> bytes:
    return json.dumps(body).encode()


# --- invoices ------------------------------------------------------------------------------


def invoice(shape: Shape = "new", **fields: Any) -> Body:
    """An open invoice after one failed try."""
    body: Body = {
        "id": "in_1",
        "object": "invoice",
        "amount_due": 4900,
        "amount_paid": 0,
        "amount_remaining": 4900,
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": True,
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": CREATED,
        "currency": "eur",
        "customer": "cus_1",
        "customer_address": {"city": "Wien", "country": "AT"},
        "customer_email": "ada@example.org",
        "customer_name": "Ada",
        "due_date": None,
        "lines": {"object": "list", "data": [line(shape)], "has_more": False},
        "livemode": False,
        "metadata": {"plan": "gold"},
        "next_payment_attempt": NOW + 86_400,
        "number": "A-0001",
        "pre_payment_credit_notes_amount": 100,
        "status": "open",
        "status_transitions": {
            "finalized_at": CREATED,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
    }
    if shape != "new":
        body |= {
            "charge": None,
            "paid": False,
            "paid_out_of_band": False,
            "payment_intent": "pi_1",
            "subscription": "sub_1",
        }
    if shape != "old":
        details = {"metadata": {}, "subscription": "sub_1"}
        body["amount_overpaid"] = 0
        body["parent"] = {"type": "subscription_details", "subscription_details": details}
    return body | fields


def line(shape: Shape) -> Body:
    body: Body = {"id": "il_1", "object": "line_item", "amount": 4900, "quantity": 1}
    if shape != "new":
        body["price"] = price()
        body["plan"] = {"id": "price_1", "object": "plan", "product": "prod_1"}
        body["subscription"] = "sub_1"
    if shape != "old":
        details = {"price": "price_1", "product": "prod_1"}
        body["pricing"] = {"type": "price_details", "price_details": details}
    return body


def price(**fields: Any) -> Body:
    body: Body = {
        "id": "price_1",
        "object": "price",
        "currency": "eur",
        "product": "prod_1",
        "recurring": {"interval": "month", "interval_count": 1},
        "unit_amount": 4900,
    }
    return body | fields


def paid_invoice(shape: Shape = "new", **fields: Any) -> Body:
    body = invoice(shape, status="paid", amount_paid=4900, amount_remaining=0)
    body["status_transitions"]["paid_at"] = NOW - 5
    if shape != "new":
        body |= {"charge": "ch_1", "paid": True}
    return body | fields


def ended_invoice(status: str, when: str) -> Body:
    body = invoice(status=status)
    body["status_transitions"][when] = NOW - 5
    return body


def invoice_of_2018(**fields: Any) -> Body:
    """Before 2018-11-08: flags instead of a status, other names for some fields."""
    body: Body = {
        "id": "in_1",
        "object": "invoice",
        "amount_due": 4900,
        "amount_paid": 0,
        "amount_remaining": 4900,
        "attempt_count": 1,
        "attempted": True,
        "billing": "charge_automatically",
        "charge": "ch_1",
        "closed": False,
        "currency": "eur",
        "customer": "cus_1",
        "date": CREATED,
        "forgiven": False,
        "lines": {"object": "list", "data": [{"id": "sub_1", "plan": {"id": "gold"}}]},
        "next_payment_attempt": NOW + 86_400,
        "number": "A-0001",
        "paid": False,
        "subscription": "sub_1",
    }
    return body | fields


def invoice_payment(**fields: Any) -> Body:
    body: Body = {
        "id": "inpay_1",
        "object": "invoice_payment",
        "amount_paid": 2000,
        "amount_requested": 4900,
        "created": CREATED,
        "currency": "eur",
        "invoice": "in_1",
        "is_default": False,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": "pi_1"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": NOW - 3},
    }
    return body | fields


def credit_note(shape: Shape = "new", **fields: Any) -> Body:
    body: Body = {
        "id": "cn_1",
        "object": "credit_note",
        "amount": 900,
        "created": CREATED,
        "currency": "eur",
        "customer": "cus_1",
        "invoice": "in_1",
        "status": "issued",
        "type": "pre_payment",
    }
    if shape == "new":
        body |= {"type": "mixed", "pre_payment_amount": 400, "post_payment_amount": 500}
    return body | fields
