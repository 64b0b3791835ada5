"""What payment intents say of a try, with and without the charge that it made."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.core.events import Attempt, AttemptReported, AttemptStatus, Decline
from dunning.core.ports import Understood, Unreadable
from dunning.providers.stripe.objects import attempt_of_charge, attempts_of_payment_intent
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import AT, CREATED, Body, event, moment, raw
from tests.providers.stripe.bodies_money import charge, intent, payment_error
from tests.providers.stripe.bodies_people import card, method


def told(type: str, obj: Body) -> AttemptReported:
    answer = StripeReader().normalise(raw(event(type, obj)))
    assert isinstance(answer, Understood), answer
    (first,) = answer.events
    assert isinstance(first, AttemptReported)
    return first


def why(type: str, obj: Body) -> str:
    answer = StripeReader().normalise(raw(event(type, obj)))
    assert isinstance(answer, Unreadable), answer
    return answer.why


# --- payment intents -----------------------------------------------------------------------

INTENT_DECLINE = Decline(
    code="insufficient_funds",
    error_code="card_declined",
    advice_code="try_again_later",
    network_code="51",
    network_advice_code="02",
    network="visa",
    method_type="card",
)


def test_a_failed_intent() -> None:
    reported = told("payment_intent.payment_failed", intent())
    assert (reported.invoice, reported.customer) == (None, "cus_1")
    assert reported.attempt == Attempt(
        id="ch_1",
        at=AT,
        status=AttemptStatus.DECLINED,
        amount=4900,
        currency="eur",
        charge="ch_1",
        payment_intent="pi_1",
        method="pm_1",
        method_type="card",
        network="visa",
        fingerprint="fp_1",
        decline=INTENT_DECLINE,
    )


def test_an_intent_that_shows_its_charges() -> None:
    reported = told("payment_intent.payment_failed", intent("old"))
    assert (reported.invoice, reported.attempt) == ("in_1", attempt_of_charge(charge()))
    new = told("payment_intent.payment_failed", intent(latest_charge=charge()))
    assert new.attempt == attempt_of_charge(charge())


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"last_payment_error": payment_error(charge="ch_9")}, "ch_9"),
        ({"last_payment_error": payment_error(charge=None)}, "ch_1"),
        ({"last_payment_error": payment_error(charge=None), "latest_charge": None}, "pi_1"),
        ({"last_payment_error": None}, "ch_1"),
        ({"last_payment_error": None, "latest_charge": None}, "pi_1"),
    ],
)
def test_what_a_failed_try_is_called(fields: Body, name: str) -> None:
    attempt = told("payment_intent.payment_failed", intent(**fields)).attempt
    assert (attempt.id, attempt.charge) == (name, None if name == "pi_1" else name)
    assert attempt.status is AttemptStatus.DECLINED


def test_a_failure_without_an_error_has_no_decline() -> None:
    body = intent(last_payment_error=None)
    assert told("payment_intent.payment_failed", body).attempt.decline is None


def test_a_customer_who_did_not_authenticate_made_no_charge() -> None:
    error = payment_error(code="payment_intent_authentication_failure", charge=None)
    attempt = told("payment_intent.payment_failed", intent(last_payment_error=error)).attempt
    assert (attempt.id, attempt.charge) == ("pi_1", None)


def test_a_legacy_source_in_the_error() -> None:
    error = {"code": "expired_card", "charge": "ch_1", "source": card(), "type": "card_error"}
    body = intent(last_payment_error=error, status="requires_source")
    attempt = told("payment_intent.payment_failed", body).attempt
    assert (attempt.method, attempt.method_type, attempt.network) == ("card_1", "card", "visa")
    assert attempt.decline == Decline(
        code="expired_card", error_code="expired_card", network="visa", method_type="card"
    )


QUIET: Body = {"last_payment_error": None, "payment_method": "pm_1"}


@pytest.mark.parametrize(
    ("type", "status", "expected", "name"),
    [
        ("payment_intent.processing", "processing", AttemptStatus.PROCESSING, "ch_1"),
        ("payment_intent.succeeded", "succeeded", AttemptStatus.SUCCEEDED, "ch_1"),
        ("payment_intent.canceled", "canceled", AttemptStatus.CANCELED, "pi_1"),
        (
            "payment_intent.requires_action",
            "requires_action",
            AttemptStatus.ACTION_NEEDED,
            "pi_1",
        ),
        (
            "payment_intent.requires_action",
            "requires_source_action",
            AttemptStatus.ACTION_NEEDED,
            "pi_1",
        ),
        # Fetched later than it was told: what is true now is said.
        ("payment_intent.payment_failed", "succeeded", AttemptStatus.SUCCEEDED, "ch_1"),
        ("payment_intent.processing", "succeeded", AttemptStatus.SUCCEEDED, "ch_1"),
    ],
)
def test_how_an_intent_stands(type: str, status: str, expected: AttemptStatus, name: str) -> None:
    attempt = told(type, intent(status=status, **QUIET)).attempt
    assert (attempt.status, attempt.id, attempt.decline) == (expected, name, None)
    assert (attempt.method, attempt.method_type) == ("pm_1", "card")


def test_an_old_error_is_not_the_present_try() -> None:
    body = intent(status="processing", payment_method=method(id="pm_2"))
    attempt = told("payment_intent.processing", body).attempt
    assert (attempt.method, attempt.decline, attempt.network) == ("pm_2", None, "visa")


@pytest.mark.parametrize(
    ("type", "status"),
    [
        ("payment_intent.succeeded", "requires_payment_method"),
        ("payment_intent.succeeded", "processing"),
        ("payment_intent.canceled", "succeeded"),
        ("payment_intent.processing", "requires_confirmation"),
        ("payment_intent.requires_action", "requires_payment_method"),
        ("payment_intent.payment_failed", "something_newer"),
    ],
)
def test_an_intent_that_contradicts_its_event(type: str, status: str) -> None:
    message = why(type, intent(status=status, **QUIET))
    assert message.startswith(f"{type}: data.object.status is '{status}' (expected ")


def test_every_try_of_an_intent_in_order() -> None:
    tries = attempts_of_payment_intent(intent("old"))
    assert [t.id for t in tries] == ["ch_0", "ch_1"]
    assert tries[-1] == attempt_of_charge(charge())


def test_an_intent_that_was_not_tried() -> None:
    assert attempts_of_payment_intent(intent(last_payment_error=None)) == ()


def test_without_an_event_the_intent_says_when_it_was_made() -> None:
    (only,) = attempts_of_payment_intent(intent())
    assert only.at == moment(CREATED)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", [None, 5]),
        ("amount", [None, "4900"]),
        ("currency", [None]),
        ("last_payment_error", ["x", {"code": 5}, {"charge": 5}, {"decline_code": []}]),
        ("latest_charge", [5, {"id": "ch_1"}]),
        ("charges", ["x", {"data": [5]}, {"data": [{"id": "ch_1"}]}]),
        ("payment_method_types", ["card", [5]]),
    ],
)
def test_an_intent_that_cannot_be_used(name: str, values: list[Any]) -> None:
    for value in values:
        message = why("payment_intent.payment_failed", intent(**{name: value}))
        assert message.startswith(f"payment_intent.payment_failed: data.object.{name}"), message
