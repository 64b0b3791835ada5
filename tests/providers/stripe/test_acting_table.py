"""The pure parts of the acting half: what errors prove, how long to wait, which card to charge."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import stripe
import urllib3

from dunning.core.events import Attempt, AttemptStatus, Bill, Decline, InvoiceStatus
from dunning.core.ports import ActionNeeded, Declined, NotOwed, NotSent, Paid, Processing
from dunning.errors import (
    ProviderBusyError,
    ProviderDownError,
    ProviderError,
    ProviderRefusedError,
)
from dunning.providers.stripe import sdk
from dunning.providers.stripe.calls import BUDGET_SECONDS, TRIES, Calls
from dunning.providers.stripe.endings import decline_of, outcome_of, refusal
from dunning.providers.stripe.outcomes import Ending, failure, read_trouble, scrub
from tests.providers.stripe.harness import AMOUNT

# --- what an exception proves ----------------------------------------------------------------


def answered(
    status: int, headers: dict[str, str] | None = None, **error: object
) -> stripe.StripeError:
    """The exception that the SDK makes of an answer."""
    body = {"error": error} if error else None
    client = stripe.StripeClient("sk_test_x")
    with pytest.raises(stripe.StripeError) as caught:
        client._requestor.handle_error_response("{}", status, body, headers or {}, "V1")
    return caught.value


def ending(exc: Exception) -> Ending:
    trouble = read_trouble(exc)
    assert trouble is not None
    return trouble.ending


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"type": "invalid_request_error", "message": "no"}, Ending.INVALID),
        (400, {"type": "idempotency_error"}, Ending.MISMATCH),
        (400, {"type": "invalid_request_error", "code": "rate_limit"}, Ending.LIMITED),
        (401, {"type": "invalid_request_error"}, Ending.BAD_KEY),
        (402, {"type": "card_error", "code": "card_declined"}, Ending.CARD),
        (402, {"type": "invalid_request_error"}, Ending.INVALID),
        (403, {"type": "invalid_request_error"}, Ending.NO_RIGHT),
        (404, {"type": "invalid_request_error", "code": "resource_missing"}, Ending.MISSING),
        (409, {"code": "idempotency_key_in_use"}, Ending.BUSY),
        (409, {"code": "lock_timeout"}, Ending.LIMITED),
        (409, {"message": "some other conflict"}, Ending.BUSY),
        (429, {"code": "rate_limit"}, Ending.LIMITED),
        (429, {"code": "lock_timeout"}, Ending.LIMITED),
        (500, {"type": "api_error"}, Ending.BROKEN),
        (502, {}, Ending.BROKEN),
        (503, {"type": "api_error"}, Ending.BROKEN),
        (200, {}, Ending.LOST),
        (302, {}, Ending.LOST),
    ],
)
def test_what_an_answer_means(status: int, error: dict[str, str], expected: Ending) -> None:
    assert ending(answered(status, None, **error)) is expected


def connection_error(cause: Exception) -> stripe.APIConnectionError:
    client = stripe.RequestsClient()
    with pytest.raises(stripe.APIConnectionError) as caught:
        client._handle_request_error(cause)
    caught.value.__cause__ = cause
    return caught.value


_POOL: Any = None


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (
            requests.ConnectionError(
                urllib3.exceptions.MaxRetryError(
                    _POOL, "/", urllib3.exceptions.NewConnectionError(_POOL, "refused")
                )
            ),
            Ending.NOT_SENT,
        ),
        (requests.ConnectTimeout(), Ending.NOT_SENT),
        (requests.exceptions.ProxyError(), Ending.NOT_SENT),
        (
            requests.ConnectionError(
                urllib3.exceptions.ProtocolError("aborted", ConnectionResetError())
            ),
            Ending.LOST,
        ),
        (requests.ReadTimeout(), Ending.LOST),
        (requests.exceptions.ChunkedEncodingError(), Ending.LOST),
        (requests.exceptions.SSLError("bad record"), Ending.LOST),
        (requests.exceptions.TooManyRedirects(), Ending.LOST),
    ],
    ids=lambda value: value.name if isinstance(value, Ending) else type(value).__name__,
)
def test_what_a_broken_connection_means(cause: Exception, expected: Ending) -> None:
    assert ending(connection_error(cause)) is expected


def test_other_exceptions_are_not_stripes() -> None:
    assert read_trouble(ValueError("a bug")) is None


def test_details_are_kept() -> None:
    headers = {"Retry-After": "7", "Stripe-Should-Retry": "false", "Request-Id": "req_1"}
    exc = answered(429, headers, code="rate_limit", message="slow down")
    trouble = read_trouble(exc)
    assert trouble is not None
    assert (trouble.code, trouble.retry_after, trouble.may_retry) == ("rate_limit", 7.0, False)
    assert "slow down" in trouble.why


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "1e9", "", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_useless_retry_after_says_nothing(value: str) -> None:
    trouble = read_trouble(answered(429, {"retry-after": value}, code="rate_limit"))
    assert trouble is not None
    assert trouble.retry_after is None


@pytest.mark.parametrize("end", list(Ending))
def test_every_ending_is_an_exception_of_our_tree(end: Ending) -> None:
    trouble = read_trouble(answered(500, message="x"))
    assert trouble is not None
    made = failure(replace(trouble, ending=end))
    busy = {Ending.LIMITED}
    down = {Ending.NOT_SENT, Ending.LOST, Ending.BROKEN, Ending.BUSY, Ending.BAD_KEY} | busy
    assert isinstance(made, ProviderDownError if end in down else ProviderRefusedError)
    assert isinstance(made, ProviderBusyError) == (end in busy)


def test_messages_hold_no_secret() -> None:
    text = "Invalid API Key provided: sk_live_abc123 and whsec_xyz and rk_test_9"
    assert scrub(text) == "Invalid API Key provided: sk_live_… and whsec_… and rk_test_…"


# --- trying again within seconds -------------------------------------------------------------


class Answers:
    """Stands for a request: raises or returns what is queued."""

    def __init__(self, *answers: Any) -> None:
        self.queue = list(answers)
        self.keys: list[str | None] = []

    def __call__(self, key: str | None = None) -> Any:
        self.keys.append(key)
        answer = self.queue.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return stripe.StripeObject._construct_from(
            values={"id": "done"},
            last_response=stripe.StripeResponse('{"id": "done"}', 200, {}),
            requestor=stripe.StripeClient("sk_test_x")._requestor,
            api_mode="V1",
        )


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def calls(slept: list[float]) -> Calls:
    return Calls(slept.append)


def test_reading_gives_up_after_a_few_tries(calls: Calls, slept: list[float]) -> None:
    ask = Answers(*[answered(500) for _ in range(9)])
    with pytest.raises(ProviderDownError):
        calls.read(ask)
    assert len(ask.keys) == TRIES
    assert sum(slept) < BUDGET_SECONDS


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_clear_no_is_not_asked_twice(calls: Calls, slept: list[float], status: int) -> None:
    ask = Answers(answered(status, message="no"))
    with pytest.raises(ProviderError):
        calls.read(ask)
    assert slept == []


@pytest.mark.parametrize("error", [answered(500), connection_error(requests.ReadTimeout())])
def test_a_charge_that_may_have_happened_is_not_repeated(calls: Calls, error: Exception) -> None:
    ask = Answers(error, "never asked for")
    with pytest.raises(ProviderDownError):
        calls.charge(ask)
    assert len(ask.keys) == 1


def test_a_charge_is_repeated_when_it_certainly_did_not_happen(
    calls: Calls, slept: list[float]
) -> None:
    ask = Answers(
        connection_error(requests.ConnectTimeout()),
        answered(429, {"retry-after": "2"}, code="lock_timeout"),
        "done",
    )
    assert calls.charge(ask) == {"id": "done"}
    assert slept[1] >= 2


def test_stripe_may_forbid_trying_again(calls: Calls, slept: list[float]) -> None:
    ask = Answers(answered(429, {"stripe-should-retry": "false"}, code="rate_limit"))
    with pytest.raises(ProviderDownError):
        calls.charge(ask)
    assert slept == []


def test_a_running_request_stays_in_doubt_whatever_comes_after(calls: Calls) -> None:
    ask = Answers(
        answered(409, code="idempotency_key_in_use"),
        answered(429, code="rate_limit"),
        connection_error(requests.ConnectTimeout()),
    )
    with pytest.raises(ProviderDownError) as caught:
        calls.charge(ask)
    trouble = getattr(caught.value, "trouble", None)
    assert trouble is not None
    assert trouble.ending is Ending.BUSY


def test_a_state_is_set_under_another_key_once_ours_replays_a_failure(calls: Calls) -> None:
    ask = Answers(connection_error(requests.ReadTimeout()), answered(500), "done")
    assert calls.put(ask, "case_1/suspend:1") == {"id": "done"}
    assert ask.keys == ["case_1/suspend:1", "case_1/suspend:1", None]


def test_a_state_is_set_under_another_key_when_ours_stood_for_another_state(calls: Calls) -> None:
    ask = Answers(answered(400, type="idempotency_error"), "done")
    assert calls.put(ask, "case_1/suspend:1") == {"id": "done"}
    assert ask.keys == ["case_1/suspend:1", None]


def test_a_bug_is_not_taken_for_an_outage(calls: Calls) -> None:
    with pytest.raises(ZeroDivisionError):
        calls.read(Answers(ZeroDivisionError()))


# --- the SDK ---------------------------------------------------------------------------------


def test_the_sdk_is_tamed() -> None:
    client, session = sdk.connect("sk_test_x", api_base=None, timeout=(3, 20))
    assert stripe.enable_telemetry is False
    assert client._requestor._options.max_network_retries == 0
    assert client._requestor._options.stripe_version == stripe.api_version
    http: Any = client._requestor._client
    assert http._timeout == (3, 20)
    assert session.trust_env
    session.close()


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("http://127.0.0.1:12111", True),
        ("http://localhost:12111/", True),
        ("http://[::1]:80", True),
        ("https://api.stripe.com", False),
        ("http://127.0.0.1.example.com", False),
    ],
)
def test_the_proxy_is_left_out_on_this_machine(address: str, here: bool) -> None:
    assert sdk.is_loopback(address) is here


# --- from words to endings -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": "card_declined", "decline_code": "insufficient_funds"}, Declined),
        ({"code": "card_decline_rate_limit_exceeded"}, Declined),
        ({"code": "expired_card", "decline_code": "expired_card"}, Declined),
        ({"code": "missing"}, Declined),
        ({}, Declined),
        ({"code": "authentication_required"}, ActionNeeded),
        ({"code": "card_declined", "decline_code": "authentication_required"}, ActionNeeded),
        ({"code": "invoice_payment_intent_requires_action"}, ActionNeeded),
        ({"code": "payment_intent_action_required"}, ActionNeeded),
        ({"code": "payment_intent_authentication_failure"}, ActionNeeded),
    ],
)
def test_which_errors_only_the_customer_can_mend(error: dict[str, str], expected: type) -> None:
    assert type(refusal(decline_of(error), None)) is expected


def test_every_word_of_an_error_is_kept() -> None:
    error = {
        "code": "card_declined",
        "decline_code": "do_not_honor",
        "advice_code": "try_again_later",
        "network_decline_code": "05",
        "network_advice_code": "02",
        "payment_method": {"type": "card", "card": {"brand": "visa"}},
    }
    assert decline_of(error) == Decline(
        code="do_not_honor",
        error_code="card_declined",
        advice_code="try_again_later",
        network_code="05",
        network_advice_code="02",
        network="visa",
        method_type="card",
    )


MOMENT = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize("status", list(AttemptStatus))
@pytest.mark.parametrize("invoice", list(InvoiceStatus))
def test_every_try_found_in_the_records_has_an_outcome(
    status: AttemptStatus, invoice: InvoiceStatus
) -> None:
    attempt = Attempt(id="ch_1", at=MOMENT, status=status, amount=AMOUNT, currency="usd")
    bill = Bill(invoice="in_1", status=invoice, currency="usd", remaining=AMOUNT)
    outcome = outcome_of(attempt, bill)
    closed = invoice in {InvoiceStatus.PAID, InvoiceStatus.VOID, InvoiceStatus.UNCOLLECTIBLE}
    expected: dict[AttemptStatus, type] = {
        AttemptStatus.PROCESSING: Processing,
        AttemptStatus.ACTION_NEEDED: ActionNeeded,
        AttemptStatus.DECLINED: Declined,
        AttemptStatus.CANCELED: NotSent,
    }
    if status is AttemptStatus.SUCCEEDED:
        assert isinstance(outcome, Paid)
    else:
        assert type(outcome) is (NotOwed if closed else expected[status])
