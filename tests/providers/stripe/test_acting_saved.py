"""What a customer has saved at Stripe, and what of it they agreed to while they are away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dunning.core.events import MethodNews
from tests.providers.stripe.harness import StripeHarness
from tests.providers.stripe.harness import harness as running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def harness() -> Iterator[StripeHarness]:
    with running() as made:
        yield made


def sets_up(harness: StripeHarness, customer: str, card: str, usage: str) -> str:
    wish: Any = {"customer": customer, "payment_method": card, "usage": usage, "confirm": True}
    return str(harness.api.setup_intents.create(wish).payment_method)


def known(harness: StripeHarness, customer: str) -> dict[str | None, bool]:
    return {one.method: one.off_session for one in harness.provider.methods(customer)}


def test_consent_is_what_a_set_up_or_a_payment_was_made_for(harness: StripeHarness) -> None:
    customer = harness.customer()
    away = sets_up(harness, customer, "pm_card_mastercard", "off_session")
    here = sets_up(harness, customer, "pm_card_amex", "on_session")
    attached = harness.api.payment_methods.attach("pm_card_discover", {"customer": customer}).id
    paying: Any = {
        "customer": customer,
        "amount": 100,
        "currency": "usd",
        "payment_method": "pm_card_jcb",
        "setup_future_usage": "off_session",
        "confirm": True,
    }
    paid = str(harness.api.payment_intents.create(paying).payment_method)
    found = known(harness, customer)
    assert (found[away], found[here], found[attached], found[paid]) == (True, False, False, True)


def test_what_was_taken_away_is_not_there(harness: StripeHarness) -> None:
    customer = harness.customer()
    gone = sets_up(harness, customer, "pm_card_mastercard", "off_session")
    harness.api.payment_methods.detach(gone)
    assert gone not in known(harness, customer)


def test_the_same_look_has_the_same_news(harness: StripeHarness) -> None:
    customer = harness.customer()
    first = harness.provider.methods(customer)
    harness.pass_time(timedelta(days=1))
    assert harness.provider.methods(customer) == first
    (one,) = first
    assert (one.news, one.method_type, one.customer) == (MethodNews.SAVED, "card", customer)
    assert one.fingerprint


@pytest.mark.parametrize("path", ["/payment_methods", "/v1/setup_intents", "/v1/payment_intents"])
def test_without_the_right_to_know_nobody_has_agreed(harness: StripeHarness, path: str) -> None:
    customer = harness.customer()
    away = sets_up(harness, customer, "pm_card_mastercard", "off_session")
    harness.sandbox.next_request({"status": 403}, path=path, times=9)
    agreed = known(harness, customer).get(away, False)
    assert agreed is (path == "/v1/payment_intents")
