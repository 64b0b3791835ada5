"""Customers, their subscriptions and their ways to pay, as Stripe shows them."""

from __future__ import annotations

from typing import Any

from tests.providers.stripe.bodies import CREATED, NOW, Body, Shape, price


def method(**fields: Any) -> Body:
    body: Body = {
        "id": "pm_1",
        "object": "payment_method",
        "card": {
            "brand": "visa",
            "country": "AT",
            "exp_month": 8,
            "exp_year": 2030,
            "fingerprint": "fp_1",
            "last4": "4242",
        },
        "created": CREATED,
        "customer": "cus_1",
        "type": "card",
    }
    return body | fields


def card(**fields: Any) -> Body:
    """A card as it was kept before payment methods."""
    body: Body = {
        "id": "card_1",
        "object": "card",
        "brand": "Visa",
        "country": "AT",
        "customer": "cus_1",
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": "fp_1",
        "last4": "4242",
    }
    return body | fields


def customer(**fields: Any) -> Body:
    body: Body = {
        "id": "cus_1",
        "object": "customer",
        "address": {"city": "Wien", "country": "AT"},
        "created": CREATED,
        "default_source": None,
        "email": "ada@example.org",
        "invoice_settings": {"default_payment_method": "pm_1"},
        "metadata": {"timezone": "Europe/Vienna"},
        "name": "Ada",
        "preferred_locales": ["de", "en"],
    }
    return body | fields


def subscription(shape: Shape = "new", **fields: Any) -> Body:
    body: Body = {
        "id": "sub_1",
        "object": "subscription",
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "created": CREATED,
        "currency": "eur",
        "customer": "cus_1",
        "default_payment_method": "pm_1",
        "ended_at": None,
        "items": {"object": "list", "data": [item(shape)], "has_more": False},
        "metadata": {"team": "blue"},
        "pause_collection": None,
        "start_date": CREATED,
        "status": "active",
    }
    if shape == "old":
        del body["cancellation_details"], body["currency"]
    return body | fields


def item(shape: Shape = "new", **fields: Any) -> Body:
    plan = {
        "id": "price_1",
        "object": "plan",
        "amount": 4900,
        "currency": "eur",
        "interval": "month",
        "interval_count": 1,
        "product": "prod_1",
    }
    body: Body = {"id": "si_1", "object": "subscription_item", "plan": plan, "quantity": 2}
    if shape == "new":
        body["price"] = price()
    return body | fields


def ended_subscription(**fields: Any) -> Body:
    details = {"comment": None, "feedback": None, "reason": "payment_failed"}
    body = subscription(status="canceled", cancellation_details=details)
    return body | {"canceled_at": NOW - 600, "ended_at": NOW - 2} | fields


def setup_intent(**fields: Any) -> Body:
    body: Body = {
        "id": "seti_1",
        "object": "setup_intent",
        "customer": "cus_1",
        "payment_method": "pm_1",
        "status": "succeeded",
    }
    return body | fields


def mandate(**fields: Any) -> Body:
    body: Body = {
        "id": "mandate_1",
        "object": "mandate",
        "payment_method": "pm_1",
        "status": "inactive",
        "type": "multi_use",
    }
    return body | fields
