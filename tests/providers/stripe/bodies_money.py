"""Charges, payment intents, refunds and disputes, as Stripe shows them."""

from __future__ import annotations

from typing import Any

from tests.providers.stripe.bodies import CREATED, NOW, Body, Shape
from tests.providers.stripe.bodies_people import card, method


def charge(shape: Shape = "new", **fields: Any) -> Body:
    """A charge that the card's bank declined."""
    card = {
        "brand": "visa",
        "country": "AT",
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": "fp_1",
        "last4": "4242",
        "network": "visa",
    }
    body: Body = {
        "id": "ch_1",
        "object": "charge",
        "amount": 4900,
        "amount_refunded": 0,
        "created": NOW - 4,
        "currency": "eur",
        "customer": "cus_1",
        "failure_code": "card_declined",
        "livemode": False,
        "metadata": {},
        "outcome": {
            "advice_code": "try_again_later",
            "network_advice_code": "02",
            "network_decline_code": "51",
            "network_status": "declined_by_network",
            "reason": "insufficient_funds",
            "type": "issuer_declined",
        },
        "paid": False,
        "payment_intent": "pi_1",
        "payment_method": "pm_1",
        "payment_method_details": {"type": "card", "card": card},
        "status": "failed",
    }
    if shape == "old":
        body["invoice"] = "in_1"
    return body | fields


def paid_charge(shape: Shape = "new", **fields: Any) -> Body:
    outcome = {"network_status": "approved_by_network", "reason": None, "type": "authorized"}
    body = charge(shape, status="succeeded", paid=True, failure_code=None, outcome=outcome)
    return body | fields


def charge_of_2018(**fields: Any) -> Body:
    """A failed charge on a card that is no payment method yet."""
    body: Body = {
        "id": "ch_1",
        "object": "charge",
        "amount": 4900,
        "amount_refunded": 0,
        "created": NOW - 4,
        "currency": "eur",
        "customer": "cus_1",
        "failure_code": "expired_card",
        "invoice": "in_1",
        "outcome": {"reason": "expired_card", "type": "issuer_declined"},
        "refunds": {"object": "list", "data": [], "has_more": False},
        "source": card(brand="American Express"),
        "status": "failed",
    }
    return body | fields


def intent(shape: Shape = "new", **fields: Any) -> Body:
    """A payment intent whose last try was declined."""
    body: Body = {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 4900,
        "created": CREATED,
        "currency": "eur",
        "customer": "cus_1",
        "last_payment_error": payment_error(),
        "latest_charge": "ch_1",
        "livemode": False,
        "payment_method": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
    }
    if shape == "old":
        body["invoice"] = "in_1"
        del body["latest_charge"]
        first = charge("old", id="ch_0", created=NOW - 900)
        body["charges"] = {"object": "list", "data": [charge("old"), first], "has_more": False}
    return body | fields


def payment_error(**fields: Any) -> Body:
    body: Body = {
        "advice_code": "try_again_later",
        "charge": "ch_1",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "network_advice_code": "02",
        "network_decline_code": "51",
        "payment_method": method(),
        "type": "card_error",
    }
    return body | fields


# --- money that goes back ------------------------------------------------------------------


def refund(**fields: Any) -> Body:
    body: Body = {
        "id": "re_1",
        "object": "refund",
        "amount": 1000,
        "charge": "ch_1",
        "created": NOW - 3,
        "currency": "eur",
        "payment_intent": "pi_1",
        "status": "succeeded",
    }
    return body | fields


def dispute(**fields: Any) -> Body:
    body: Body = {
        "id": "dp_1",
        "object": "dispute",
        "amount": 4900,
        "charge": "ch_1",
        "created": NOW - 3,
        "currency": "eur",
        "payment_intent": "pi_1",
        "reason": "fraudulent",
        "status": "needs_response",
    }
    return body | fields
