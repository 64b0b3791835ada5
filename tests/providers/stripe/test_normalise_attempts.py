"""What charges and payment intents say of a try: its end, its maker, and why it failed."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.core.events import Actor, Attempt, AttemptReported, AttemptStatus, Decline
from dunning.core.ports import Ignored, Reading, Understood, Unreadable
from dunning.providers.stripe.normalise import read_object
from dunning.providers.stripe.objects import FieldError, attempt_of_charge
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import (
    AT,
    NOBODY,
    NOW,
    OUR_KEY,
    SOMEBODY,
    US,
    Body,
    Shape,
    event,
    moment,
    raw,
)
from tests.providers.stripe.bodies_money import (
    charge,
    charge_of_2018,
    intent,
    paid_charge,
    payment_error,
)

DECLINE = Decline(
    code="insufficient_funds",
    error_code="card_declined",
    advice_code="try_again_later",
    network_code="51",
    network_advice_code="02",
    network="visa",
    outcome_type="issuer_declined",
    outcome_reason="insufficient_funds",
    method_type="card",
)
FAILED = Attempt(
    id="ch_1",
    at=moment(NOW - 4),
    status=AttemptStatus.DECLINED,
    amount=4900,
    currency="eur",
    charge="ch_1",
    payment_intent="pi_1",
    method="pm_1",
    method_type="card",
    network="visa",
    fingerprint="fp_1",
    decline=DECLINE,
)


def read(type: str, obj: Body, request: Body | None = None) -> Reading:
    return StripeReader().normalise(raw(event(type, obj, request=request)))


def told(type: str, obj: Body, request: Body | None = None) -> AttemptReported:
    answer = read(type, obj, request)
    assert isinstance(answer, Understood), answer
    (first,) = answer.events
    assert isinstance(first, AttemptReported)
    return first


def why(type: str, obj: Body) -> str:
    answer = read(type, obj)
    assert isinstance(answer, Unreadable), answer
    return answer.why


# --- charges -------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "name"), [("old", "in_1"), ("new", None)])
def test_a_failed_charge(shape: Shape, name: str | None) -> None:
    assert told("charge.failed", charge(shape)) == AttemptReported(
        id="evt_1", at=AT, attempt=FAILED, invoice=name, customer="cus_1"
    )


def test_a_failed_charge_of_2018() -> None:
    attempt = told("charge.failed", charge_of_2018()).attempt
    assert (attempt.method, attempt.method_type, attempt.network) == ("card_1", "card", "amex")
    assert attempt.decline == Decline(
        code="expired_card",
        error_code="expired_card",
        network="amex",
        outcome_type="issuer_declined",
        outcome_reason="expired_card",
        method_type="card",
    )


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ({"type": "issuer_declined", "reason": "do_not_honor"}, "do_not_honor"),
        ({"type": "blocked", "reason": "highest_risk_level"}, "highest_risk_level"),
        ({"type": "invalid", "reason": "whatever"}, "card_declined"),
        ({"type": "issuer_declined", "reason": None}, "card_declined"),
        ({}, "card_declined"),
        (None, "card_declined"),
    ],
)
def test_the_code_of_a_decline(outcome: Body | None, code: str) -> None:
    decline = told("charge.failed", charge(outcome=outcome)).attempt.decline
    assert decline is not None
    assert (decline.code, decline.error_code) == (code, "card_declined")


def test_a_bank_debit_fails_with_a_code_alone() -> None:
    details = {"type": "us_bank_account", "us_bank_account": {"fingerprint": "fp_2"}}
    body = charge(payment_method_details=details, outcome=None, failure_code="account_closed")
    attempt = told("charge.failed", body).attempt
    assert (attempt.method_type, attempt.network, attempt.fingerprint) == (
        "us_bank_account",
        None,
        "fp_2",
    )
    assert attempt.decline == Decline(
        code="account_closed", error_code="account_closed", method_type="us_bank_account"
    )


@pytest.mark.parametrize(
    ("type", "status", "expected"),
    [
        ("charge.succeeded", "succeeded", AttemptStatus.SUCCEEDED),
        ("charge.updated", "succeeded", AttemptStatus.SUCCEEDED),
        ("charge.updated", "failed", AttemptStatus.DECLINED),
        ("charge.pending", "pending", AttemptStatus.PROCESSING),
        ("charge.pending", "succeeded", AttemptStatus.SUCCEEDED),  # fetched later
        ("charge.succeeded", "paid", AttemptStatus.SUCCEEDED),
    ],
)
def test_how_a_charge_stands(type: str, status: str, expected: AttemptStatus) -> None:
    attempt = told(type, paid_charge(status=status)).attempt
    assert attempt.status is expected
    assert (attempt.decline is None) is (status != "failed")


@pytest.mark.parametrize(
    ("type", "status"),
    [("charge.failed", "succeeded"), ("charge.succeeded", "failed"), ("charge.failed", "new")],
)
def test_a_charge_that_contradicts_its_event(type: str, status: str) -> None:
    assert why(type, charge(status=status)).startswith(f"{type}: data.object.status is '{status}'")


def test_an_invoice_may_be_expanded() -> None:
    assert told("charge.failed", charge(invoice={"id": "in_1"})).invoice == "in_1"


@pytest.mark.parametrize(
    ("type", "obj"),
    [
        ("charge.failed", charge(invoice=None)),
        ("charge.updated", charge(invoice=None)),
        ("charge.succeeded", paid_charge(invoice=None)),
        ("charge.refunded", paid_charge(invoice=None)),
        ("payment_intent.payment_failed", intent(invoice=None)),
        ("payment_intent.succeeded", intent(invoice=None)),
    ],
)
def test_a_one_off_payment_is_not_ours(type: str, obj: Body) -> None:
    assert read(type, obj) == Ignored(why="the payment is not for an invoice")


# --- who made it ---------------------------------------------------------------------------

LONG_AGO = {"type": "sepa_debit", "sepa_debit": {"fingerprint": "fp_3"}}
FOREIGN = {"id": "req_1", "idempotency_key": "x" * 254 + "\x00"}


@pytest.mark.parametrize(
    ("request_", "by", "key"),
    [
        (US, Actor.OURS, OUR_KEY),
        (NOBODY, Actor.PROVIDER, None),
        (SOMEBODY, Actor.UNKNOWN, None),
        (FOREIGN, Actor.UNKNOWN, None),
        ({}, Actor.UNKNOWN, None),
        ({"id": None, "idempotency_key": OUR_KEY}, Actor.OURS, OUR_KEY),
    ],
)
def test_who_made_a_try(request_: Body, by: Actor, key: str | None) -> None:
    for name, obj in (
        ("charge.failed", charge()),
        ("charge.succeeded", paid_charge()),
        ("payment_intent.payment_failed", intent()),
        ("payment_intent.payment_failed", intent("old")),
    ):
        attempt = told(name, obj, request_).attempt
        assert (attempt.by, attempt.key) == (by, key)


def test_who_changed_a_charge_did_not_make_it() -> None:
    assert told("charge.updated", paid_charge(), NOBODY).attempt.by is Actor.UNKNOWN
    assert told("charge.updated", paid_charge(), US).attempt.key == OUR_KEY


def test_who_told_of_a_late_failure_did_not_make_the_try() -> None:
    # A debit fails days after it was begun, and then no request is behind the event.
    body = charge(payment_method_details=LONG_AGO)
    assert told("charge.failed", body, NOBODY).attempt.by is Actor.UNKNOWN
    error = payment_error(payment_method={"id": "pm_1", "type": "sepa_debit"})
    failed = intent(last_payment_error=error)
    assert told("payment_intent.payment_failed", failed, NOBODY).attempt.by is Actor.UNKNOWN
    failed["latest_charge"] = body
    assert told("payment_intent.payment_failed", failed, NOBODY).attempt.by is Actor.UNKNOWN


def test_a_fetched_object_does_not_say_who() -> None:
    answer = read_object("v1.charge.failed", charge(), event_id="evt_1", created=AT)
    assert answer == read("charge.failed", charge(), SOMEBODY)


def test_our_key_has_to_be_one() -> None:
    answer = read("charge.failed", charge(), {"id": "req_1", "idempotency_key": "case_" * 99})
    assert isinstance(answer, Unreadable)
    assert answer.why.startswith("charge.failed: request.idempotency_key is a string")


# --- what cannot be used ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", [None, 5, ""]),
        ("amount", [None, "4900", -1, 4900.0, True]),
        ("currency", [None, "x"]),
        ("created", [None, 0, "now", 10**12]),
        ("status", [None, 5]),
        ("invoice", [5, {}]),
        ("customer", [5]),
        ("outcome", ["x", {"type": 5}, {"type": "issuer_declined", "reason": {}}]),
        ("payment_method_details", ["card", {"type": 5}, {"type": "card", "card": "visa"}]),
        ("payment_intent", [5]),
        ("failure_code", [5, "x" * 256]),
    ],
)
def test_a_charge_that_cannot_be_used(name: str, values: list[Any]) -> None:
    for value in values:
        message = why("charge.failed", charge(**{name: value}))
        assert message.startswith(f"charge.failed: data.object.{name}"), message


def test_plain_objects_have_paths_of_their_own() -> None:
    with pytest.raises(FieldError, match=r"^charge\.amount is missing"):
        attempt_of_charge({"id": "ch_1", "status": "failed", "created": NOW})
