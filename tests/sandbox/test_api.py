"""The API through the official SDK: objects, errors, idempotency, expansion, lists, versions."""

from __future__ import annotations

import threading

import pytest
import stripe

from dunning.sandbox import Sandbox
from tests.sandbox.helpers import (
    call,
    control,
    failed_renewal,
    make_customer,
    make_price,
    sdk,
    subscribe,
)

OLD = "2025-02-24.acacia"
DEEP = "payments.data.payment.payment_intent.latest_charge"


def test_a_new_subscription_is_paid_at_once(client: stripe.StripeClient) -> None:
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    assert subscription.status == "active"
    invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == (
        "paid",
        4900,
        "subscription_create",
    )


def test_a_declined_renewal_makes_the_subscription_past_due(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    _, subscription, invoice = failed_renewal(sandbox, client)
    assert subscription.status == "past_due"
    assert (invoice.status, invoice.attempt_count, invoice.attempted) == ("open", 1, True)
    # Stripe's own retries are off, so there is no next attempt and nothing advances by itself.
    assert invoice.next_payment_attempt is None
    assert invoice.auto_advance is False


def test_a_declined_payment_is_a_402_with_every_field(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer, _, invoice = failed_renewal(sandbox, client)
    outcome = {
        "decline_code": "lost_card",
        "advice_code": "do_not_try_again",
        "network_decline_code": "41",
        "network_advice_code": "03",
    }
    control(sandbox, "charges/next", {"customer": customer.id, "outcome": outcome})
    with pytest.raises(stripe.CardError) as caught:
        client.v1.invoices.pay(invoice.id)
    error = caught.value
    assert error.http_status == 402
    assert error.code == "card_declined"
    assert error.request_id is not None
    assert error.error is not None
    assert error.error.decline_code == "lost_card"
    assert error.error.advice_code == "do_not_try_again"
    assert error.error.network_decline_code == "41"
    assert error.error.network_advice_code == "03"
    assert error.error.payment_intent is not None
    assert error.error.payment_method is not None
    assert error.error.payment_intent.status == "requires_payment_method"
    assert error.error.payment_method.type == "card"
    assert error.error.doc_url
    assert error.error.request_log_url
    charge = client.v1.charges.retrieve(str(error.error.charge))
    assert charge.outcome is not None
    assert (charge.status, charge.outcome.reason) == ("failed", "lost_card")
    # A manual attempt does not count in Stripe's own schedule.
    assert client.v1.invoices.retrieve(invoice.id).attempt_count == 1


def test_paying_makes_everything_good_again(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, subscription, invoice = failed_renewal(sandbox, client)
    paid = client.v1.invoices.pay(invoice.id, options={"idempotency_key": "case/retry:1"})
    assert (paid.status, paid.amount_remaining) == ("paid", 0)
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
    book = sandbox.books()["invoices"][invoice.id]
    assert (book["paid_by"], book["successful_charges"]) == ("api", 1)
    assert book["payments"][0]["key"] == "case/retry:1"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        client.v1.invoices.pay(invoice.id)


def test_void_and_written_off_invoices(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, subscription, invoice = failed_renewal(sandbox, client)
    written_off = client.v1.invoices.mark_uncollectible(invoice.id)
    assert written_off.status == "uncollectible"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
    assert client.v1.invoices.pay(invoice.id).status == "paid"  # late, but money
    other = failed_renewal(sandbox, client)[2]
    assert client.v1.invoices.void_invoice(other.id).status == "void"
    with pytest.raises(stripe.InvalidRequestError, match="Voided invoices cannot be paid"):
        client.v1.invoices.pay(other.id)


# --- idempotency -------------------------------------------------------------------------------
def test_a_key_replays_the_first_answer_for_a_day(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer, _, invoice = failed_renewal(sandbox, client)
    sandbox.next_charge({"decline_code": "do_not_honor"}, customer=customer.id)
    path, key = f"/v1/invoices/{invoice.id}/pay", "case/retry:2"
    first = call(sandbox.url, "POST", path, {}, Idempotency_Key=key)
    again = call(sandbox.url, "POST", path, {}, Idempotency_Key=key)
    assert first.status == again.status == 402
    assert again.body == first.body
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert len(sandbox.books()["invoices"][invoice.id]["attempts"]) == 2  # renewal and first
    sandbox.advance(86_401)
    assert call(sandbox.url, "POST", path, {}, Idempotency_Key=key).status == 200


def test_a_key_belongs_to_its_parameters(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    client.v1.customers.create({"name": "A"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as caught:
        client.v1.customers.create({"name": "B"}, {"idempotency_key": "k"})
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.products.create({"name": "A"}, {"idempotency_key": "k"})


def test_refused_parameters_do_not_use_the_key_up(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.prices.create({"currency": "usd"}, {"idempotency_key": "k"})
    made = client.v1.products.create({"name": "now right"}, {"idempotency_key": "k"})
    assert made.name == "now right"


def test_two_requests_at_once_with_one_key(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    sandbox.next_charge({"hang": 0.6}, invoice=invoice.id)
    path = f"/v1/invoices/{invoice.id}/pay"
    slow: list[int] = []

    def first() -> None:
        slow.append(call(sandbox.url, "POST", path, {}, Idempotency_Key="k").status)

    thread = threading.Thread(target=first)
    thread.start()
    with sandbox.world.changed:
        assert sandbox.world.changed.wait_for(
            lambda: sandbox.books()["invoices"][invoice.id]["successful_charges"], timeout=10
        )
    clash = call(sandbox.url, "POST", path, {}, Idempotency_Key="k")
    thread.join()
    assert clash.status == 409
    assert clash.body["error"]["code"] == "idempotency_key_in_use"
    assert slow == [200]
    replay = call(sandbox.url, "POST", path, {}, Idempotency_Key="k")
    assert (replay.status, replay.body["status"]) == (200, "paid")


# --- expansion and versions --------------------------------------------------------------------
def test_the_decline_is_found_by_expansion(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    full = client.v1.invoices.retrieve(invoice.id, {"expand": [DEEP, "customer"]})
    assert full.payments is not None
    intent = full.payments.data[0].payment.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert intent.latest_charge.outcome is not None
    assert intent.latest_charge.outcome.network_decline_code == "51"
    assert isinstance(full.customer, stripe.Customer)
    listed = client.v1.invoice_payments.list(
        {"invoice": invoice.id, "expand": ["data.payment.payment_intent"]}
    )
    assert isinstance(listed.data[0].payment.payment_intent, stripe.PaymentIntent)
    back = client.v1.invoice_payments.list(
        {"payment": {"type": "payment_intent", "payment_intent": intent.id}}
    )
    assert back.data[0].invoice == invoice.id


@pytest.mark.parametrize(
    "path", ["nonsense", "customer.nonsense", "payments.data.payment.payment_intent.invoice.x"]
)
def test_what_cannot_be_expanded_is_refused_before_anything_happens(
    sandbox: Sandbox, client: stripe.StripeClient, path: str
) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    with pytest.raises(stripe.InvalidRequestError, match="expand"):
        client.v1.invoices.pay(invoice.id, {"expand": [path]})
    assert client.v1.invoices.retrieve(invoice.id).status == "open"


def test_before_basil_the_invoice_has_its_old_shape(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer, subscription, invoice = failed_renewal(sandbox, client)
    new = call(sandbox.url, "GET", f"/v1/invoices/{invoice.id}").body
    assert new["parent"]["subscription_details"]["subscription"] == subscription.id
    assert not {"subscription", "payment_intent", "charge", "paid", "payments"} & new.keys()
    path = f"/v1/invoices/{invoice.id}?expand[]=payment_intent.latest_charge"
    old = call(sandbox.url, "GET", path, Stripe_Version=OLD).body
    assert old["subscription"] == subscription.id
    assert old["paid"] is False
    assert old["payment_intent"]["latest_charge"]["outcome"]["reason"] == "insufficient_funds"
    assert old["payment_intent"]["invoice"] == invoice.id
    assert old["charge"] == old["payment_intent"]["latest_charge"]["id"]
    assert "parent" not in old
    kept = call(sandbox.url, "GET", f"/v1/subscriptions/{subscription.id}", Stripe_Version=OLD)
    assert kept.body["current_period_end"] == subscription["items"].data[0].current_period_end
    refused = call(
        sandbox.url, "GET", f"/v1/invoices/{invoice.id}?expand[]=payments", Stripe_Version=OLD
    )
    assert refused.status == 400
    assert sdk(sandbox.url, OLD).v1.customers.retrieve(customer.id).id == customer.id


# --- refusals ----------------------------------------------------------------------------------
def test_only_test_keys_are_let_in(sandbox: Sandbox) -> None:
    for key in ("sk_live_123456789012", "", "nonsense"):
        reply = call(sandbox.url, "GET", "/v1/account", Authorization=f"Bearer {key}")
        assert reply.status == 401
    basic = call(sandbox.url, "GET", "/v1/account", Authorization="Basic c2tfdGVzdF94Og==")
    assert basic.status == 200


def test_unknown_things_are_refused_in_stripes_words(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        client.v1.customers.create({"nme": "x"})  # type: ignore[arg-type]
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "nme")
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.invoices.retrieve("in_nothing")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [(49, "usd", "amount_too_small"), (550, "isk", None), (50, "jpy", ""), (123, "xxx", None)],
)
def test_currencies_have_rules(
    client: stripe.StripeClient, amount: int, currency: str, code: str | None
) -> None:
    if code == "":
        client.v1.payment_intents.create({"amount": amount, "currency": currency})
        return
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create({"amount": amount, "currency": currency})
    assert caught.value.code == code


def test_lists_have_pages(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    made = [client.v1.customers.create({"name": str(n)}).id for n in range(7)]
    sandbox.advance(10)
    made.append(client.v1.customers.create({"name": "7"}).id)
    first = client.v1.customers.list({"limit": 3})
    assert [one.id for one in first.data] == made[:-4:-1]
    assert first.has_more
    rest = client.v1.customers.list({"limit": 10, "starting_after": first.data[-1].id})
    assert [one.id for one in rest.data] == made[4::-1]
    assert not rest.has_more
    before = client.v1.customers.list({"limit": 2, "ending_before": first.data[-1].id})
    assert [one.id for one in before.data] == made[:-3:-1]
    recent = client.v1.customers.list({"created": {"gt": sandbox.now - 1}})
    assert [one.id for one in recent.data] == [made[-1]]
    assert [one.id for one in client.v1.customers.list({"limit": 2}).auto_paging_iter()] == made[
        ::-1
    ]


def test_ids_depend_on_the_seed_alone() -> None:
    def run() -> list[str]:
        made = Sandbox(seed=11)
        with made.serve() as url:
            client = sdk(url)
            customer = make_customer(client)
            subscription = subscribe(client, customer.id, make_price(client))
            return [customer.id, subscription.id, str(subscription.latest_invoice)]

    assert run() == run()


def test_without_a_method_the_renewal_fails_without_a_charge(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    method = client.v1.payment_methods.list({"customer": customer.id}).data[0]
    client.v1.payment_methods.detach(method.id)
    sandbox.advance(32 * 86_400)
    subscription = client.v1.subscriptions.retrieve(subscription.id)
    invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert (subscription.status, invoice.status, invoice.attempt_count) == ("past_due", "open", 1)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        client.v1.invoices.pay(invoice.id)
    book = sandbox.books()["invoices"][invoice.id]
    assert [one["outcome"] for one in book["attempts"]] == ["no_method"]


def test_a_method_of_somebody_else_is_refused(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    other = make_customer(client)
    method = client.v1.payment_methods.list({"customer": other.id}).data[0]
    with pytest.raises(stripe.InvalidRequestError, match="must be attached to the customer"):
        client.v1.invoices.pay(invoice.id, {"payment_method": method.id})


def test_paid_somewhere_else(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    _, _, invoice = failed_renewal(sandbox, client)
    paid = client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid) == ("paid", 4900)
    book = sandbox.books()["invoices"][invoice.id]
    assert (book["paid_by"], book["successful_charges"]) == ("api", 0)
    assert book["payments"][0]["how"] == "out_of_band"
