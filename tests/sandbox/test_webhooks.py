"""Webhooks: signed at the virtual time, repeated for three days, broken on demand."""

from __future__ import annotations

import json

import pytest
import stripe

from dunning.sandbox import Sandbox
from tests.sandbox.helpers import (
    DAY,
    HOUR,
    KEY,
    Receiver,
    call,
    control,
    failed_renewal,
    make_customer,
    make_price,
    subscribe,
)

SECRET = "whsec_of_the_test"


def _timestamp(header: str) -> int:
    return int(header.partition(",")[0].removeprefix("t="))


def _verify(receiver: Receiver, index: int, secret: str) -> int:
    got = receiver.got[index]
    header = got.headers["Stripe-Signature"]
    # tolerance 0: the SDK would compare with the machine's clock, which is not ours.
    stripe.WebhookSignature.verify_header(got.body.decode(), header, secret, tolerance=0)
    return _timestamp(header)


def test_a_failing_renewal_sends_what_stripe_sends(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url, SECRET)
    customer, subscription, invoice = failed_renewal(sandbox, client)
    renewal = receiver.types[receiver.types.index("invoice.upcoming") :]
    for kind in (
        "invoice.created",
        "invoice.finalized",
        "charge.failed",
        "payment_intent.payment_failed",
        "invoice.payment_failed",
        "customer.subscription.updated",
    ):
        assert kind in renewal
    failed = receiver.of_type("invoice.payment_failed")[-1]
    assert failed["data"]["object"]["id"] == invoice.id
    assert "payments" not in failed["data"]["object"]
    assert failed["request"] == {"id": None, "idempotency_key": None}
    assert failed["livemode"] is False
    updated = receiver.of_type("customer.subscription.updated")[-1]
    assert updated["data"]["previous_attributes"] == {"status": "active"}
    intent = receiver.of_type("payment_intent.payment_failed")[-1]["data"]["object"]
    assert intent["last_payment_error"]["decline_code"] == "insufficient_funds"
    assert intent["last_payment_error"]["network_decline_code"] == "51"
    assert customer.id == failed["data"]["object"]["customer"]
    assert subscription.status == "past_due"


def test_signatures_carry_the_virtual_time(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url, SECRET)
    sandbox.advance(40 * DAY)
    make_customer(client)
    sandbox.settle()
    for index in range(len(receiver.got)):
        assert _verify(receiver, index, SECRET) == sandbox.now
    with pytest.raises(stripe.SignatureVerificationError):
        _verify(receiver, 0, "whsec_another")
    event = stripe.StripeClient(KEY).construct_event(
        receiver.got[0].body,
        receiver.got[0].headers["Stripe-Signature"],
        SECRET,
        tolerance=0,
    )
    assert event.type == "payment_method.attached"


def test_a_rolled_secret_signs_beside_the_new_one_for_a_while(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    endpoint = sandbox.add_webhook(receiver.url, SECRET)
    control(sandbox, f"endpoints/{endpoint['id']}/roll", {"secret": "whsec_new"})
    client.v1.customers.create({})
    sandbox.settle()
    assert _verify(receiver, 0, SECRET) == _verify(receiver, 0, "whsec_new")
    sandbox.advance(DAY)
    client.v1.customers.create({})
    sandbox.settle()
    _verify(receiver, 1, "whsec_new")
    with pytest.raises(stripe.SignatureVerificationError):
        _verify(receiver, 1, SECRET)


def test_anything_but_2xx_is_sent_again_with_a_fresh_signature(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url, SECRET)
    receiver.answers = [500, 302, 404]
    client.v1.customers.create({})
    sandbox.settle()
    assert len(receiver.got) == 1
    waiting = call(sandbox.url, "GET", "/v1/events?delivery_success=false").body["data"]
    assert waiting[0]["pending_webhooks"] == 1
    sandbox.advance(3 * HOUR)
    assert len(receiver.got) == 4
    times = [_verify(receiver, n, SECRET) for n in range(4)]
    assert times == sorted(set(times))
    assert len({got.event["id"] for got in receiver.got}) == 1
    assert client.v1.events.list({"delivery_success": True}).data[0].pending_webhooks == 0


def test_after_three_days_it_gives_up(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    sandbox.add_webhook("http://127.0.0.1:9/closed", SECRET)
    client.v1.customers.create({})
    sandbox.advance(4 * DAY)
    deliveries = control(sandbox, "deliveries", method="GET")
    assert deliveries["waiting"] == 0
    assert {one["status"] for one in deliveries["data"]} == {None}
    last = deliveries["data"][-1]["at"] - sandbox.settings.start
    assert 2 * DAY < last <= 3 * DAY
    assert client.v1.events.list({"delivery_success": False}).data


def test_an_endpoint_chooses_its_events_and_its_version(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    made = client.v1.webhook_endpoints.create(
        {
            "url": receiver.url,
            "enabled_events": ["invoice.paid"],
            "api_version": "2025-02-24.acacia",
        }
    )
    assert str(made.secret).startswith("whsec_")
    assert not hasattr(client.v1.webhook_endpoints.retrieve(made.id), "secret")
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    sandbox.settle()
    assert receiver.types == ["invoice.paid"]
    event = receiver.got[0].event
    assert event["api_version"] == "2025-02-24.acacia"
    assert event["data"]["object"]["subscription"] == subscription.id
    assert event["request"]["id"].startswith("req_")


def test_thin_events_name_the_object_and_can_be_fetched(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url, SECRET, payload="thin", events=["v1.invoice.payment_failed"])
    _, _, invoice = failed_renewal(sandbox, client)
    got = receiver.got[0]
    body = got.event
    assert (body["object"], body["type"]) == ("v2.core.event", "v1.invoice.payment_failed")
    stripe.WebhookSignature.verify_header(
        got.body.decode(), got.headers["Stripe-Signature"], SECRET, tolerance=0
    )
    assert body["related_object"]["id"] == invoice.id
    fetched = call(sandbox.url, "GET", body["related_object"]["url"]).body
    assert fetched["id"] == invoice.id
    event = call(sandbox.url, "GET", f"/v2/core/events/{body['id']}").body
    assert event["snapshot_event"] == client.v1.events.retrieve(event["snapshot_event"]).id


def test_deliveries_go_wrong_on_demand(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url, SECRET)

    def arrive(rule: dict[str, object]) -> list[str]:
        receiver.got.clear()
        control(sandbox, "deliveries/rules", rule)
        client.v1.customers.create({})
        client.v1.products.create({"name": "P"})
        sandbox.settle()
        control(sandbox, "deliveries/rules", method="DELETE")
        return receiver.types

    both = ["customer.created", "product.created"]
    twice = arrive({"action": "duplicate", "types": ["customer.created"], "times": 1})
    assert twice == [both[0], both[0], both[1]]
    assert arrive({"action": "drop", "types": ["customer.created"], "times": 1}) == [both[1]]
    assert arrive({"action": "delay", "times": 1, "seconds": 120}) == [both[1]]
    sandbox.advance(120)
    assert receiver.types[-1] == both[0]
    assert arrive({"action": "hold"}) == []
    assert control(sandbox, "deliveries/release")["released"] == 2
    sandbox.settle()
    assert receiver.types == both


def test_what_happens_in_one_instant_may_arrive_in_any_order(receiver: Receiver) -> None:
    def order(*, shuffle: bool) -> list[str]:
        receiver.got.clear()
        made = Sandbox(seed=5, shuffle=shuffle)
        with made.serve() as url:
            made.add_webhook(receiver.url, SECRET)
            made.deliver("hold")
            for n in range(8):
                call(url, "POST", "/v1/products", {"name": f"P{n}"})
            made.release()
            made.settle()
        return [json.loads(got.body)["data"]["object"]["name"] for got in receiver.got]

    straight = [f"P{n}" for n in range(8)]
    assert order(shuffle=False) == straight
    mixed = order(shuffle=True)
    assert mixed != straight
    assert sorted(mixed) == straight
    assert order(shuffle=True) == mixed
