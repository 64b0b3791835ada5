"""Objects have the fields that programs read, in the current shape and in the one before basil."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from dunning.sandbox import Sandbox
from tests.sandbox.helpers import DAY, Receiver, call, failed_renewal, make_customer

NEW = {
    "invoice": "amount_due amount_overpaid amount_paid amount_remaining attempt_count attempted"
    " auto_advance billing_reason collection_method created currency customer customer_email"
    " default_payment_method due_date hosted_invoice_url id lines livemode metadata"
    " next_payment_attempt number object parent period_end period_start status status_details"
    " status_transitions subtotal test_clock total",
    "subscription": "billing_cycle_anchor cancel_at cancel_at_period_end canceled_at"
    " cancellation_details collection_method created currency customer default_payment_method"
    " ended_at id items latest_invoice livemode metadata object pause_collection start_date"
    " status trial_end trial_start",
    "charge": "amount amount_captured amount_refunded billing_details captured created currency"
    " customer disputed failure_code failure_message id livemode metadata object outcome paid"
    " payment_intent payment_method payment_method_details refunded status",
    "payment_intent": "amount amount_received cancellation_reason client_secret created currency"
    " customer id last_payment_error latest_charge livemode metadata next_action object"
    " payment_method payment_method_types processing status",
    "customer": "address balance created currency default_source delinquent email id"
    " invoice_settings livemode metadata name object phone preferred_locales",
}
GONE = {
    "invoice": "charge paid paid_out_of_band payment_intent quote subscription tax",
    "subscription": "current_period_end current_period_start discount",
    "charge": "invoice",
    "payment_intent": "invoice",
    "customer": "",
}
OUTCOME = (
    "advice_code network_advice_code network_decline_code network_status reason risk_level"
    " seller_message type"
)
ERROR = (
    "advice_code charge code decline_code doc_url message network_advice_code"
    " network_decline_code payment_method type"
)


def _lacks(obj: dict[str, Any], fields: str) -> set[str]:
    return set(fields.split()) - obj.keys()


def test_the_current_shape(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    customer, subscription, invoice = failed_renewal(sandbox, client)
    payment = client.v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    intent = str(payment.payment.payment_intent)
    charge = str(client.v1.payment_intents.retrieve(intent).latest_charge)
    urls = {
        "invoice": f"invoices/{invoice.id}",
        "subscription": f"subscriptions/{subscription.id}",
        "charge": f"charges/{charge}",
        "payment_intent": f"payment_intents/{intent}",
        "customer": f"customers/{customer.id}",
    }
    shown = {kind: call(sandbox.url, "GET", f"/v1/{url}").body for kind, url in urls.items()}
    for kind, obj in shown.items():
        assert obj["object"] == kind
        assert not _lacks(obj, NEW[kind])
        assert not set(GONE[kind].split()) & obj.keys()
        assert not [name for name in obj if name.startswith("_")]
    assert not _lacks(shown["charge"]["outcome"], OUTCOME)
    assert not _lacks(shown["payment_intent"]["last_payment_error"], ERROR)
    item = shown["subscription"]["items"]["data"][0]
    assert item["current_period_end"] > item["current_period_start"]
    line = shown["invoice"]["lines"]["data"][0]
    assert line["parent"]["subscription_item_details"]["subscription"] == subscription.id
    assert line["pricing"]["price_details"]["price"] == item["price"]["id"]
    for kind, url in urls.items():
        old = call(sandbox.url, "GET", f"/v1/{url}", Stripe_Version="2024-06-20").body
        assert not _lacks(old, GONE[kind])


def test_thin_events_through_the_sdk(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    with Receiver() as receiver:
        destination = client.v2.core.event_destinations.create(
            {
                "name": "thin",
                "type": "webhook_endpoint",
                "event_payload": "thin",
                "enabled_events": ["v1.invoice.payment_failed"],
                "webhook_endpoint": {"url": receiver.url},
                "include": ["webhook_endpoint.url", "webhook_endpoint.signing_secret"],
            }
        )
        assert destination.webhook_endpoint is not None
        secret = str(destination.webhook_endpoint.signing_secret)
        _, _, invoice = failed_renewal(sandbox, client)
        got = receiver.got[0]
    notice = client.parse_event_notification(
        got.body, got.headers["Stripe-Signature"], secret, tolerance=0
    )
    assert notice.type == "v1.invoice.payment_failed"
    assert isinstance(notice, stripe.events.V1InvoicePaymentFailedEventNotification)
    assert notice.fetch_related_object().id == invoice.id
    assert notice.fetch_event().id == notice.id


def test_a_subscription_ends_at_its_time(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    customer, subscription, _ = failed_renewal(sandbox, client)
    at = sandbox.now + DAY
    client.v1.subscriptions.update(subscription.id, {"cancel_at": at})
    sandbox.advance(DAY)
    ended = client.v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", at)
    listed = client.v1.subscriptions.list({"customer": customer.id, "status": "all"})
    assert [one.id for one in listed.data] == [subscription.id]
    assert client.v1.subscriptions.list({"customer": customer.id}).data == []


def test_real_pauses_and_resumes(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    customer, subscription, invoice = failed_renewal(sandbox, client)
    client.v1.invoices.pay(invoice.id)
    paused = client.v1.subscriptions.pause(subscription.id, {"type": "subscription"})
    assert paused.status == "paused"
    sandbox.advance(70 * DAY)
    assert len(client.v1.invoices.list({"customer": customer.id}).data) == 2
    assert client.v1.subscriptions.resume(subscription.id).status == "active"
    sandbox.settle()
    assert client.v1.invoices.list({"customer": customer.id}).data[0].status == "paid"


def test_deleted_customers_are_stubs(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    customer = make_customer(client)
    client.v1.customers.delete(customer.id)
    assert call(sandbox.url, "GET", f"/v1/customers/{customer.id}").body == {
        "id": customer.id,
        "object": "customer",
        "deleted": True,
    }
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.v1.customers.update(customer.id, {"name": "again"})
