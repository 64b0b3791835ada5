"""Failures at will: lost answers, broken servers, special cards, debits that take days."""

from __future__ import annotations

import time
from typing import Any

import pytest
import stripe

from dunning.sandbox import Sandbox
from tests.sandbox.helpers import (
    DAY,
    HOUR,
    Receiver,
    call,
    control,
    failed_renewal,
    make_customer,
    make_price,
    subscribe,
)


def test_an_answer_lost_after_the_charge(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    control(sandbox, "charges/next", {"invoice": invoice.id, "outcome": {"drop": "after"}})
    with pytest.raises(stripe.APIConnectionError):
        client.v1.invoices.pay(invoice.id, options={"idempotency_key": "k"})
    assert client.v1.invoices.retrieve(invoice.id).status == "paid"
    book = sandbox.books()["invoices"][invoice.id]
    assert book["successful_charges"] == 1
    # Asking again with the same key gives the answer that was lost, and charges nothing.
    assert client.v1.invoices.pay(invoice.id, options={"idempotency_key": "k"}).status == "paid"
    assert sandbox.books()["invoices"][invoice.id]["successful_charges"] == 1


def test_a_connection_lost_before_the_charge(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    control(sandbox, "charges/next", {"any": True, "outcome": {"drop": "before"}})
    with pytest.raises(stripe.APIConnectionError):
        client.v1.invoices.pay(invoice.id, options={"idempotency_key": "k"})
    assert client.v1.invoices.retrieve(invoice.id).status == "open"
    assert sandbox.books()["invoices"][invoice.id]["successful_charges"] == 0
    assert client.v1.invoices.pay(invoice.id, options={"idempotency_key": "k"}).status == "paid"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, stripe.APIError), (429, stripe.RateLimitError), (409, stripe.APIError)],
)
def test_stripe_itself_breaks(
    sandbox: Sandbox, client: stripe.StripeClient, status: int, kind: type[stripe.StripeError]
) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    outcome = {"status": status, "retry_after": 7}
    control(sandbox, "charges/next", {"outcome": outcome})
    with pytest.raises(kind) as caught:
        client.v1.invoices.pay(invoice.id, options={"idempotency_key": "k"})
    assert caught.value.http_status == status
    assert caught.value.headers is not None
    assert caught.value.headers["retry-after"] == "7"
    assert client.v1.invoices.pay(invoice.id, options={"idempotency_key": "k"}).status == "paid"


def test_a_500_after_the_charge_is_replayed_by_its_key(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    sandbox.next_charge({"status": 500, "when": "after"})
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            client.v1.invoices.pay(invoice.id, options={"idempotency_key": "k"})
    assert client.v1.invoices.retrieve(invoice.id).status == "paid"
    assert sandbox.books()["invoices"][invoice.id]["successful_charges"] == 1


def test_any_request_can_fail(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    fault: dict[str, Any] = {"path": "/v1/customers", "method": "GET", "outcome": {"status": 503}}
    control(sandbox, "requests/next", fault)
    client.v1.products.create({"name": "not this one"})
    with pytest.raises(stripe.APIError):
        client.v1.customers.list()
    assert client.v1.customers.list().data == []
    control(sandbox, "requests/next", {"outcome": {"hang": 0.3}})
    began = time.monotonic()
    client.v1.balance.retrieve()
    assert time.monotonic() - began >= 0.3
    control(sandbox, "requests/next", {"outcome": {"drop": "before"}})
    with pytest.raises(stripe.APIConnectionError):
        client.v1.balance.retrieve()


def test_every_request_is_in_the_log(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    made = client.v1.customers.create({}, {"idempotency_key": "k1"})
    client.v1.customers.retrieve(made.id)
    log = control(sandbox, "requests", method="GET")["data"]
    assert [(one["method"], one["path"], one["key"], one["status"]) for one in log] == [
        ("POST", "/v1/customers", "k1", 200),
        ("GET", f"/v1/customers/{made.id}", None, 200),
    ]


# --- special cards -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("card", "code", "decline"),
    [
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
    ],
)
def test_some_cards_cannot_even_be_attached(
    client: stripe.StripeClient, card: str, code: str, decline: str
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        make_customer(client, card)
    assert caught.value.code == code
    assert caught.value.error is not None
    assert caught.value.error.decline_code == decline
    assert client.v1.customers.list().data == []


def test_a_card_that_attaches_and_then_declines(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = make_customer(client, "pm_card_chargeCustomerFail")
    subscription = subscribe(client, customer.id, make_price(client))
    assert subscription.status == "incomplete"
    sandbox.advance(24 * HOUR)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "incomplete_expired"
    invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert invoice.status == "void"


def test_a_bank_that_asks_needs_the_customer(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url)
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    method = client.v1.payment_methods.attach(
        "pm_card_authenticationRequiredAlways", {"customer": customer.id}
    )
    client.v1.customers.update(
        customer.id, {"invoice_settings": {"default_payment_method": method.id}}
    )
    sandbox.advance(32 * DAY)
    subscription = client.v1.subscriptions.retrieve(subscription.id)
    invoice = str(subscription.latest_invoice)
    assert subscription.status == "past_due"
    assert receiver.of_type("invoice.payment_action_required")
    with pytest.raises(stripe.CardError) as caught:
        client.v1.invoices.pay(invoice)
    assert caught.value.code == "invoice_payment_intent_requires_action"
    assert control(sandbox, f"customers/{customer.id}/pays", {"invoice": invoice}) == {
        "outcome": "succeed",
        "decline_code": None,
    }
    book = sandbox.books()["invoices"][invoice]
    assert (book["paid_by"], book["successful_charges"]) == ("customer", 1)


@pytest.mark.parametrize(
    ("account", "status"),
    [("pm_usBankAccount", "paid"), ("pm_sepa_debit_insufficientFunds", "open")],
)
def test_a_bank_debit_takes_days(
    sandbox: Sandbox, client: stripe.StripeClient, account: str, status: str
) -> None:
    customer = make_customer(client, account)
    client.v1.invoice_items.create({"customer": customer.id, "amount": 5000, "currency": "eur"})
    invoice = client.v1.invoices.create(
        {"customer": customer.id, "currency": "eur", "pending_invoice_items_behavior": "include"}
    )
    invoice = client.v1.invoices.pay(invoice.id)
    assert invoice.status == "open"
    with pytest.raises(stripe.InvalidRequestError, match="still processing"):
        client.v1.invoices.pay(invoice.id)
    sandbox.advance(5 * DAY)
    assert client.v1.invoices.retrieve(invoice.id).status == status
    book = sandbox.books()["invoices"][invoice.id]
    assert book["successful_charges"] == (1 if status == "paid" else 0)


def test_disputes_and_refunds_are_in_the_books(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = make_customer(client, "pm_card_createDispute")
    subscribe(client, customer.id, make_price(client))
    sandbox.settle()
    dispute = client.v1.disputes.list().data[0]
    assert (dispute.status, dispute.amount) == ("needs_response", 4900)
    client.v1.disputes.close(dispute.id)
    assert client.v1.disputes.retrieve(dispute.id).status == "lost"
    other = make_customer(client, "pm_card_refundFail")
    subscribe(client, other.id, make_price(client, 1000))
    charge = client.v1.charges.list({"customer": other.id}).data[0]
    refund = client.v1.refunds.create({"charge": charge.id, "amount": 400})
    assert sandbox.books()["currencies"]["usd"]["refunded"] == 400
    sandbox.advance(2 * HOUR)
    assert client.v1.refunds.retrieve(refund.id).status == "failed"
    book = sandbox.books()["currencies"]["usd"]
    assert (book["refunded"], book["disputed"]) == (0, 4900)


# --- what people do ----------------------------------------------------------------------------
def test_a_new_card_tells_the_program(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    customer, _, invoice = failed_renewal(sandbox, client, "expired_card")
    sandbox.add_webhook(receiver.url)
    control(sandbox, f"customers/{customer.id}/new_card", {"token": "tok_mastercard"})
    sandbox.settle()
    for kind in ("setup_intent.succeeded", "payment_method.attached", "customer.updated"):
        assert kind in receiver.types
    assert client.v1.invoices.pay(invoice.id).status == "paid"


def test_the_network_updates_a_card(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    customer = make_customer(client)
    sandbox.add_webhook(receiver.url)
    method = client.v1.payment_methods.list({"customer": customer.id}).data[0]
    path = f"payment_methods/{method.id}/automatically_updated"
    control(sandbox, path, {"number": "5555555555554444"})
    sandbox.settle()
    event = receiver.of_type("payment_method.automatically_updated")[0]
    assert event["data"]["object"]["card"]["last4"] == "4444"
    assert event["data"]["previous_attributes"]["card"]["last4"] == "4242"


def test_cancelling_stops_automatic_collection(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    control(sandbox, "settings", {"smart_retries": {"days": [5]}})
    customer, subscription, invoice = failed_renewal(sandbox, client)
    assert invoice.auto_advance is True
    control(sandbox, f"customers/{customer.id}/cancels")
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    invoice = client.v1.invoices.retrieve(invoice.id)
    assert (invoice.status, invoice.auto_advance, invoice.next_payment_attempt) == (
        "open",
        False,
        None,
    )
    assert client.v1.invoices.pay(invoice.id).status == "paid"  # a late payment is money


def test_partial_payments_and_credit(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    control(sandbox, f"invoices/{invoice.id}/partial_payment", {"amount": 900})
    invoice = client.v1.invoices.retrieve(invoice.id)
    assert (invoice.amount_paid, invoice.amount_remaining) == (900, 4000)
    client.v1.credit_notes.create({"invoice": invoice.id, "amount": 1000})
    assert client.v1.invoices.retrieve(invoice.id).amount_remaining == 3000
    assert client.v1.invoices.pay(invoice.id).status == "paid"
    book = sandbox.books()["invoices"][invoice.id]
    assert [one["amount"] for one in book["payments"]] == [900, 3000]
    assert (book["credited"], book["amount_remaining"]) == (1000, 0)


@pytest.mark.parametrize(
    ("behavior", "status"),
    [("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible"), ("void", "void")],
)
def test_paused_collection(
    sandbox: Sandbox, client: stripe.StripeClient, behavior: Any, status: str
) -> None:
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    client.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": behavior}})
    sandbox.advance(32 * DAY)
    subscription = client.v1.subscriptions.retrieve(subscription.id)
    assert subscription.status == "active"
    invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert invoice.status == status
    cleared = client.v1.subscriptions.update(subscription.id, {"pause_collection": ""})
    assert cleared.pause_collection is None


# --- pages -------------------------------------------------------------------------------------
def test_the_hosted_page_takes_a_new_card(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, _, invoice = failed_renewal(sandbox, client, "lost_card")
    url = str(invoice.hosted_invoice_url)
    path = url.removeprefix(sandbox.url)
    page = call(sandbox.url, "GET", path)
    assert page.status == 200
    assert "SIMULATED" in page.body
    assert "49.00 USD" in page.body
    refused = call(sandbox.url, "POST", path, {"action": "new_card", "number": "4000000000009995"})
    assert "insufficient funds" in refused.body
    done = call(sandbox.url, "POST", path, {"action": "new_card", "number": "4242424242424242"})
    assert "Payment received." in done.body
    assert client.v1.invoices.retrieve(invoice.id).status == "paid"
    assert sandbox.books()["invoices"][invoice.id]["paid_by"] == "customer"


def test_a_hosted_link_expires_and_a_fresh_one_does_not(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    old = str(invoice.hosted_invoice_url)
    sandbox.advance(45 * DAY)
    fresh = str(client.v1.invoices.retrieve(invoice.id).hosted_invoice_url)
    assert call(sandbox.url, "GET", old.removeprefix(sandbox.url)).status == 404
    assert call(sandbox.url, "GET", fresh.removeprefix(sandbox.url)).status == 200
    assert call(sandbox.url, "GET", "/i/guessed").status == 404


def test_a_portal_session_is_short_lived(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    customer = make_customer(client)
    session = client.v1.billing_portal.sessions.create(
        {
            "customer": customer.id,
            "return_url": "https://example.com/account",
            "flow_data": {"type": "payment_method_update"},
        }
    )
    path = session.url.removeprefix(sandbox.url)
    assert "Update your card" in call(sandbox.url, "GET", path).body
    saved = call(sandbox.url, "POST", path, {"number": "5555555555554444"})
    assert "Your card is saved." in saved.body
    default = client.v1.customers.retrieve(
        customer.id, {"expand": ["invoice_settings.default_payment_method"]}
    ).invoice_settings
    assert default is not None
    assert isinstance(default.default_payment_method, stripe.PaymentMethod)
    assert default.default_payment_method.card is not None
    assert default.default_payment_method.card.last4 == "4444"
    sandbox.advance(2 * HOUR)
    assert call(sandbox.url, "GET", path).status == 404
