"""What the Stripe adapter does with subscriptions and invoices when things are not as expected."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import stripe

from dunning.core.events import Actor, InvoiceStatus
from dunning.core.ports import ActionNeeded, Declined
from dunning.errors import ProviderDownError, ProviderRefusedError
from tests.providers.base import KEY, Failing
from tests.providers.stripe.harness import StripeHarness
from tests.providers.stripe.harness import harness as running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def harness() -> Iterator[StripeHarness]:
    with running() as made:
        yield made


@pytest.fixture
def failing(harness: StripeHarness) -> Failing:
    return harness.failing()


# --- subscriptions -------------------------------------------------------------------------------


@pytest.mark.parametrize("collection", ["keep_as_draft", "mark_uncollectible", "void"])
def test_suspend_as_the_policy_says(
    harness: StripeHarness, failing: Failing, collection: str
) -> None:
    harness.provider.suspend(failing.subscription, collection=collection, key="case_1/suspend:1")
    paused = harness.api.subscriptions.retrieve(failing.subscription).pause_collection
    assert paused is not None
    assert paused.behavior == collection


def test_suspend_knows_only_stripes_words(harness: StripeHarness, failing: Failing) -> None:
    start = len(harness.asked())
    with pytest.raises(ProviderRefusedError, match="keep_as_draft"):
        harness.provider.suspend(failing.subscription, collection="freeze", key="case_1/x:1")
    assert harness.asked(start) == []


def test_what_is_over_has_nothing_to_suspend_or_restore(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.customer_cancels(failing)
    harness.provider.suspend(failing.subscription, collection="void", key="case_1/suspend:1")
    harness.provider.restore(failing.subscription, key="case_1/restore:1")
    assert harness.subscription_state(failing) == "ended"


def test_what_does_not_exist_is_neither_restored_nor_cancelled_but_not_suspended(
    harness: StripeHarness,
) -> None:
    harness.provider.restore("sub_nowhere", key="case_1/restore:1")
    harness.provider.cancel("sub_nowhere", why="not paid", key="case_1/give_up:1")
    with pytest.raises(ProviderRefusedError, match="sub_nowhere"):
        harness.provider.suspend("sub_nowhere", collection="void", key="case_1/suspend:1")


def test_a_subscription_ended_while_we_were_about_to(
    harness: StripeHarness, failing: Failing
) -> None:
    path = f"/v1/subscriptions/{failing.subscription}"
    harness.sandbox.next_request({"status": 429, "retry_after": 1}, path=path, method="DELETE")
    harness.while_waiting(lambda: harness.customer_cancels(failing))
    harness.provider.cancel(failing.subscription, why="not paid", key="case_1/give_up:1")
    assert harness.subscription_state(failing) == "ended"


def test_the_answer_to_a_cancellation_is_lost(harness: StripeHarness, failing: Failing) -> None:
    path = f"/v1/subscriptions/{failing.subscription}"
    harness.sandbox.next_request({"drop": "after"}, path=path, method="DELETE")
    harness.provider.cancel(failing.subscription, why="not paid", key="case_1/give_up:1")
    found = harness.api.subscriptions.retrieve(failing.subscription)
    assert found.status == "canceled"
    assert found.metadata["dunning_reason"] == "not paid"
    assert found.metadata["dunning_key"] == "case_1/give_up:1"
    assert found.cancellation_details is not None
    assert found.cancellation_details.comment == "not paid"


@pytest.mark.parametrize("act", ["suspend", "restore", "cancel"])
def test_without_the_right_nothing_is_taken_for_done(
    harness: StripeHarness, failing: Failing, act: str
) -> None:
    harness.sandbox.next_request({"status": 403}, path="/v1/subscriptions/", times=9)
    extra: dict[str, Any] = {"suspend": {"collection": "void"}, "cancel": {"why": "not paid"}}
    with pytest.raises(ProviderRefusedError, match="right"):
        getattr(harness.provider, act)(
            failing.subscription, key=f"case_1/{act}:1", **extra.get(act, {})
        )


@pytest.mark.parametrize("act", ["suspend", "cancel"])
def test_a_failure_of_stripe_is_not_final(
    harness: StripeHarness, failing: Failing, act: str
) -> None:
    # The first answer under the key is an error, which Stripe would give again for a day.
    path = f"/v1/subscriptions/{failing.subscription}"
    harness.sandbox.next_request({"status": 500, "when": "after"}, path=path, method="POST")
    extra: dict[str, Any] = {"suspend": {"collection": "void"}, "cancel": {"why": "not paid"}}
    getattr(harness.provider, act)(failing.subscription, key=f"case_1/{act}:1", **extra[act])
    expected = {"suspend": "paused", "cancel": "ended"}
    assert harness.subscription_state(failing) == expected[act]


# --- invoices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["void", "write_off", "take_over"])
def test_an_invoice_that_does_not_exist(harness: StripeHarness, act: str) -> None:
    with pytest.raises(ProviderRefusedError, match="in_nowhere"):
        getattr(harness.provider, act)("in_nowhere", key=f"case_1/{act}:1")


@pytest.mark.parametrize("act", ["void", "write_off", "take_over"])
def test_an_invoice_while_stripe_is_down(
    harness: StripeHarness, failing: Failing, act: str
) -> None:
    harness.sandbox.next_request({"status": 503}, path="/v1/invoices", times=9)
    with pytest.raises(ProviderDownError):
        getattr(harness.provider, act)(failing.invoice, key=f"case_1/{act}:1")


def test_a_replayed_answer_is_not_taken_for_the_present(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.provider.write_off(failing.invoice, key="case_1/give_up:1")
    harness.customer_pays(failing)
    bill = harness.provider.write_off(failing.invoice, key="case_1/give_up:1")
    assert bill.status is InvoiceStatus.PAID


# --- card errors that say little -----------------------------------------------------------------


def _hide(harness: StripeHarness, *names: str) -> None:
    """Let the SDK's card errors come without these fields, as they may for invoices."""
    invoices = harness.provider._api.invoices
    real = invoices.pay

    def pay(invoice: str, params: Any = None, options: Any = None) -> Any:
        try:
            return real(invoice, params, options)
        except stripe.CardError as exc:
            body: Any = exc.json_body
            error = {k: v for k, v in body["error"].items() if k not in names}
            raise stripe.CardError(  # type: ignore[no-untyped-call]
                exc.user_message, None, exc.code, http_status=402, json_body={"error": error}
            ) from None

    invoices.pay = pay  # type: ignore[method-assign]


def test_a_card_error_without_its_charge(harness: StripeHarness, failing: Failing) -> None:
    _hide(harness, "charge", "payment_intent", "payment_method", "network_decline_code")
    harness.next_charge(failing, "insufficient_funds")
    outcome = harness.charge(failing)
    assert isinstance(outcome, Declined)
    assert outcome.attempt is not None
    assert outcome.attempt.charge == harness.line(failing.invoice)["attempts"][-1]["charge"]
    assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)
    assert (outcome.decline.network, outcome.decline.network_code) == ("visa", "51")


def test_a_card_error_without_its_charge_while_stripe_cannot_be_read(
    harness: StripeHarness, failing: Failing
) -> None:
    _hide(harness, "charge", "payment_intent", "payment_method")
    harness.next_charge(failing, "insufficient_funds")
    harness.sandbox.next_request({"status": 500}, path="/v1/charges", times=9)
    outcome = harness.charge(failing)
    assert isinstance(outcome, Declined)
    assert outcome.attempt is None
    assert outcome.decline.code == "insufficient_funds"


def test_a_wish_for_authentication_that_names_nothing(
    harness: StripeHarness, failing: Failing
) -> None:
    _hide(harness, "payment_intent")
    harness.next_charge(failing, "action")
    outcome = harness.charge(failing)
    assert isinstance(outcome, ActionNeeded)


def test_a_look_without_the_right_to_read_events(harness: StripeHarness, failing: Failing) -> None:
    harness.charge(failing)
    harness.sandbox.next_request({"status": 403}, path="/v1/events", times=9)
    view = harness.provider.look(failing.invoice)
    assert view.own_attempts == {}
    assert view.bill.status is InvoiceStatus.PAID


def test_an_old_try_of_ours_is_not_asked_about_at_each_look(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.charge(failing)
    harness.pass_time(timedelta(days=3))
    assert harness.provider.look(failing.invoice).own_attempts == {}
