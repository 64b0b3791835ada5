"""The virtual clock: test clocks, followers that keep step, time that stands still."""

from __future__ import annotations

import threading
import time

import pytest
import stripe

from dunning.sandbox import Sandbox
from tests.sandbox.helpers import (
    DAY,
    HOUR,
    Follower,
    Receiver,
    call,
    control,
    make_customer,
    make_price,
    subscribe,
)


def test_time_stands_still_until_it_is_moved(sandbox: Sandbox) -> None:
    before = control(sandbox, "clock", method="GET")
    for _ in range(20):
        assert control(sandbox, "clock", method="GET") == before
    assert before == {
        "now": sandbox.settings.start,
        "version": before["version"],
        "advancing": False,
        "target": sandbox.settings.start,
    }


def test_a_test_clock_moves_the_one_clock(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    clock = client.v1.test_helpers.test_clocks.create({"frozen_time": sandbox.now})
    customer = client.v1.customers.create(
        {
            "test_clock": clock.id,
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa"},
        }
    )
    subscription = subscribe(client, customer.id, make_price(client))
    goal = sandbox.now + 31 * DAY + 2 * HOUR
    advanced = client.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": goal})
    assert advanced.status == "advancing"
    assert sandbox.clock.wait(10)
    clock = client.v1.test_helpers.test_clocks.retrieve(clock.id)
    assert (clock.status, clock.frozen_time) == ("ready", goal)
    invoices = client.v1.invoices.list({"subscription": subscription.id}).data
    assert [one.billing_reason for one in invoices] == [
        "subscription_cycle",
        "subscription_create",
    ]
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": goal})


def test_a_renewal_is_a_draft_for_an_hour(sandbox: Sandbox, client: stripe.StripeClient) -> None:
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    sandbox.advance(to=subscription["items"].data[0].current_period_end + 60)
    subscription = client.v1.subscriptions.retrieve(subscription.id)
    draft = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert (draft.status, draft.auto_advance) == ("draft", True)
    sandbox.advance(HOUR)
    assert client.v1.invoices.retrieve(draft.id).status == "paid"


def test_time_stops_at_every_followers_next_step(sandbox: Sandbox) -> None:
    start = sandbox.now
    wanted = [start + 100, start + DAY, start + DAY + 1]
    done: list[tuple[int, int]] = []

    def work(at: int) -> None:
        done.append((at, sandbox.now))

    with Follower(sandbox.url, wanted.copy(), work):
        sandbox.advance(2 * DAY)
    assert done == [(at, at) for at in wanted]
    assert sandbox.now == start + 2 * DAY


def test_the_tick_gathers_steps(receiver: Receiver) -> None:
    made = Sandbox(seed=1, tick=60)
    done: list[int] = []
    with made.serve() as url:
        start = made.now
        with Follower(url, [start + 61, start + 62, start + 119], lambda at: done.append(made.now)):
            made.advance(600)
    assert done == [start + 120] * 3


def test_a_follower_may_charge_while_time_waits(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url, "whsec_x", events=["invoice.paid", "invoice.payment_failed"])
    customer = make_customer(client)
    subscribe(client, customer.id, make_price(client))
    sandbox.next_charge({"decline_code": "insufficient_funds"}, customer=customer.id)
    failed_at: list[int] = []
    retry_at = sandbox.now + 40 * DAY

    def retry(at: int) -> None:
        failed = receiver.of_type("invoice.payment_failed")
        failed_at.append(failed[0]["created"])
        client.v1.invoices.pay(
            failed[0]["data"]["object"]["id"], options={"idempotency_key": "once"}
        )

    with Follower(sandbox.url, [retry_at], retry):
        sandbox.advance(45 * DAY)
    assert failed_at
    assert failed_at[0] < retry_at
    assert receiver.of_type("invoice.paid")[-1]["created"] == retry_at
    assert receiver.of_type("invoice.paid")[-1]["request"]["idempotency_key"] == "once"


def test_time_waits_for_webhooks_that_are_not_answered(
    sandbox: Sandbox, client: stripe.StripeClient, receiver: Receiver
) -> None:
    sandbox.add_webhook(receiver.url, "whsec_x", events=["invoice.created"])
    customer = make_customer(client)
    subscribe(client, customer.id, make_price(client))
    sandbox.settle()
    arrived, may_answer = threading.Event(), threading.Event()

    def slowly(event: object) -> None:
        arrived.set()
        assert may_answer.wait(10)

    receiver.on_event = slowly
    start = sandbox.now
    sandbox.clock.advance(start + 32 * DAY)
    assert arrived.wait(10)
    assert not sandbox.clock.wait(0.2)
    assert sandbox.now == receiver.got[-1].event["created"] < start + 32 * DAY
    may_answer.set()
    assert sandbox.clock.wait(10)
    assert sandbox.now == start + 32 * DAY


def test_a_silent_follower_is_dropped() -> None:
    made = Sandbox(seed=1, follower_timeout=0.3)
    with made.serve() as url:
        report = {"name": "gone", "version": 1, "idle": False, "next_at": None, "wait": 0}
        call(url, "POST", "/_sandbox/clock/followers", data=report)
        assert "gone" in made.clock.followers
        made.advance(DAY, timeout=10)
        assert not made.clock.followers


def test_a_long_poll_ends_with_the_next_change(sandbox: Sandbox) -> None:
    version = control(sandbox, "clock", method="GET")["version"]
    report = {"name": "p", "version": version, "idle": True, "next_at": None, "wait": 0.2}
    began = time.monotonic()
    same = call(sandbox.url, "POST", "/_sandbox/clock/followers", data=report).body
    assert time.monotonic() - began >= 0.2
    assert same["version"] == version
    sandbox.clock.advance(sandbox.now + 5)
    moved = call(sandbox.url, "POST", "/_sandbox/clock/followers", data={**report, "wait": 5}).body
    assert moved["version"] > version
    assert moved["now"] == sandbox.settings.start + 5
    control(sandbox, "clock/followers/p", method="DELETE")


def test_with_a_speed_time_runs_by_itself() -> None:
    made = Sandbox(seed=1, speed=36_000)
    with made.serve(), made.world.changed:
        assert made.world.changed.wait_for(
            lambda: made.now >= made.settings.start + HOUR, timeout=10
        )


def test_stripes_own_retries_can_be_switched_on(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    control(
        sandbox,
        "settings",
        {"smart_retries": {"days": [1, 2]}, "after_exhaustion": "cancel"},
    )
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    sandbox.next_charge({"decline_code": "insufficient_funds"}, customer=customer.id, times=3)
    sandbox.advance(to=subscription["items"].data[0].current_period_end + 2 * HOUR)
    subscription = client.v1.subscriptions.retrieve(subscription.id)
    invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
    assert invoice.next_payment_attempt is not None
    assert (invoice.auto_advance, invoice.attempt_count) == (True, 1)
    sandbox.advance(to=invoice.next_payment_attempt)
    assert client.v1.invoices.retrieve(invoice.id).attempt_count == 2
    sandbox.advance(3 * DAY)
    invoice = client.v1.invoices.retrieve(invoice.id)
    assert (invoice.attempt_count, invoice.next_payment_attempt) == (3, None)
    ended = client.v1.subscriptions.retrieve(subscription.id)
    assert ended.status == "canceled"
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.reason == "payment_failed"


def test_stripe_does_not_execute_a_hopeless_retry(
    sandbox: Sandbox, client: stripe.StripeClient
) -> None:
    control(sandbox, "settings", {"smart_retries": {"days": [1, 1]}})
    customer = make_customer(client)
    subscription = subscribe(client, customer.id, make_price(client))
    sandbox.next_charge({"decline_code": "lost_card"}, customer=customer.id)
    sandbox.advance(36 * DAY)
    invoice = str(client.v1.subscriptions.retrieve(subscription.id).latest_invoice)
    assert client.v1.invoices.retrieve(invoice).attempt_count == 3
    assert len(sandbox.books()["invoices"][invoice]["attempts"]) == 1
