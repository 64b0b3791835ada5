"""Every request waits for its turn; a 429 is told to everybody, and nobody's attempt is used up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from dunning.core.ports import NotSent, Paid
from dunning.core.turns import Limits
from dunning.errors import ProviderBusyError, ProviderDownError
from dunning.providers.stripe.acting import StripeProvider
from dunning.providers.stripe.rates import Excess, endpoint, excess, limits
from tests.providers.base import KEY, Failing
from tests.providers.stripe.harness import StripeHarness
from tests.providers.stripe.harness import harness as running
from tests.secrets import API_KEY

PAY = "POST /v1/invoices/:id/pay"


class Counted:
    """A pace that lets everybody go at once, and writes down who asked and who was limited."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bool]] = []
        self.told: list[tuple[str, float | None]] = []
        self.full = ""  # where no turn is free
        self.keys: list[bool] = []  # of each answer, whether our key was accepted

    def turn(self, endpoint: str, *, background: bool = False) -> None:
        if endpoint == self.full:
            raise ProviderBusyError("not asked: all turns are taken", retry_after=3.0)
        self.asked.append((endpoint, background))

    def limited(self, endpoint: str, retry_after: float | None) -> None:
        self.told.append((endpoint, retry_after))

    def answered(self, *, key_accepted: bool) -> None:
        self.keys.append(key_accepted)


@pytest.fixture
def harness() -> Iterator[StripeHarness]:
    with running() as made:
        yield made


@pytest.fixture
def pace() -> Counted:
    return Counted()


@pytest.fixture
def provider(harness: StripeHarness, pace: Counted) -> Iterator[StripeProvider]:
    made = StripeProvider(
        API_KEY, clock=harness.clock, api_base=harness.url, sleep=harness.slept.append, pace=pace
    )
    yield made
    made.close()


def charged(provider: StripeProvider, failing: Failing) -> object:
    return provider.charge(failing.invoice, key=KEY, method=failing.method, may_repeat=True)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/invoices/in_1QxYz/pay", PAY),
        ("GET", "/v1/invoices/in_1QxYz", "GET /v1/invoices/:id"),
        ("GET", "/v1/invoices", "GET /v1/invoices"),
        ("GET", "/v1/invoice_payments", "GET /v1/invoice_payments"),
        ("POST", "/v1/billing_portal/sessions", "POST /v1/billing_portal/sessions"),
        ("GET", "/v1/events/", "GET /v1/events"),
        ("GET", "/v1/customers/cus_S1b2/sources/card_1Abc", "GET /v1/customers/:id/sources/:id"),
        ("GET", "/v2/core/events/evt_test_65R", "GET /v2/core/events/:id"),
    ],
)
def test_requests_that_differ_in_ids_are_one_endpoint(
    method: str, path: str, expected: str
) -> None:
    assert endpoint(method, path) == expected


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({}, b'{"error": {"code": "rate_limit"}}', Excess(endpoint=False, retry_after=None)),
        ({"Retry-After": "30"}, b"", Excess(endpoint=False, retry_after=30.0)),
        ({"Retry-After": "soon"}, b"[]", Excess(endpoint=False, retry_after=None)),
        (
            {"Stripe-Rate-Limited-Reason": "endpoint-rate"},
            b"{}",
            Excess(endpoint=True, retry_after=None),
        ),
        (
            {"Stripe-Rate-Limited-Reason": "global-concurrency"},
            b"{}",
            Excess(endpoint=False, retry_after=None),
        ),
        ({"Stripe-Rate-Limited-Reason": "resource-specific"}, b"{}", None),
        ({}, b'{"error": {"code": "lock_timeout"}}', None),
    ],
)
def test_what_a_429_says(headers: dict[str, str], body: bytes, expected: Excess | None) -> None:
    assert excess(headers, body) == expected


@pytest.mark.parametrize(
    ("live", "rate", "expected"),
    [
        (True, None, Limits(account=100, endpoint=25)),
        (None, None, Limits(account=100, endpoint=25)),
        (False, None, Limits(account=25, endpoint=25)),
        (True, 200, Limits(account=200, endpoint=50)),
        (True, 10, Limits(account=10, endpoint=10)),
    ],
)
def test_the_limits_are_stripes_unless_a_source_says_otherwise(
    live: bool | None, rate: int | None, expected: Limits
) -> None:
    assert limits(live=live, rate=rate) == expected


def test_every_request_asks_for_its_turn(
    harness: StripeHarness, provider: StripeProvider, pace: Counted
) -> None:
    failing = harness.failing()
    before = len(harness.sandbox.world.requests)
    assert isinstance(charged(provider, failing), Paid)
    provider.look(failing.invoice)
    assert len(pace.asked) == len(harness.sandbox.world.requests) - before
    assert [name for name, _ in pace.asked].count(PAY) == 1
    assert not any(background for _, background in pace.asked)


def test_sweeps_are_in_the_background(
    harness: StripeHarness, provider: StripeProvider, pace: Counted
) -> None:
    harness.failing()
    assert list(provider.open_invoices())
    assert list(provider.missed(harness.now() - timedelta(days=1)))
    assert {name for name, _ in pace.asked} == {"GET /v1/invoices", "GET /v1/events"}
    assert all(background for _, background in pace.asked)


def test_a_storm_of_429_is_told_each_time_and_the_charge_was_not_sent(
    harness: StripeHarness, provider: StripeProvider, pace: Counted
) -> None:
    failing = harness.failing()
    tries = harness.tries(failing)
    harness.sandbox.next_request({"status": 429, "retry_after": 2}, path="/pay", times=100)
    outcome = charged(provider, failing)
    assert isinstance(outcome, NotSent)
    assert outcome.retry_after_seconds == 2
    assert pace.told == [("", 2.0)] * 3
    assert harness.tries(failing) == tries
    harness.sandbox.world.faults.requests.clear()
    assert isinstance(charged(provider, failing), Paid)


def test_a_look_in_the_storm_says_busy_and_not_away(
    harness: StripeHarness, provider: StripeProvider, pace: Counted
) -> None:
    failing = harness.failing()
    harness.sandbox.next_request({"status": 429, "retry_after": 30}, times=100)
    with pytest.raises(ProviderBusyError) as told:
        provider.look(failing.invoice)
    assert told.value.retry_after == 30
    assert pace.told == [("", 30.0)]
    assert harness.slept == []  # so long a pause is left to the schedule


def test_an_object_that_is_locked_slows_nobody_else(
    harness: StripeHarness, provider: StripeProvider, pace: Counted
) -> None:
    failing = harness.failing()
    harness.sandbox.next_request({"status": 409}, path="/pay", times=100)
    assert isinstance(charged(provider, failing), NotSent)
    assert pace.told == []
    assert len(harness.slept) == 2  # with a pause that differs from worker to worker


def test_without_a_free_turn_nothing_is_sent(
    harness: StripeHarness, provider: StripeProvider, pace: Counted
) -> None:
    failing = harness.failing()
    tries = harness.tries(failing)
    pace.full = PAY
    outcome = charged(provider, failing)
    assert isinstance(outcome, NotSent)
    assert "all turns are taken" in outcome.why
    assert outcome.retry_after_seconds == 3.0
    assert harness.tries(failing) == tries
    assert harness.slept == []
    assert pace.told == []


def test_a_key_that_is_not_accepted_is_told_of(
    harness: StripeHarness, provider: StripeProvider, pace: Counted
) -> None:
    failing = harness.failing()
    assert isinstance(charged(provider, failing), Paid)
    assert all(pace.keys)
    pace.keys.clear()
    other = harness.failing()
    harness.sandbox.next_request({"status": 401}, path=f"/v1/invoices/{other.invoice}", times=1)
    with pytest.raises(ProviderDownError, match="API key"):
        provider.look(other.invoice)
    assert pace.keys == [False]


def test_a_key_that_is_not_accepted_uses_up_nothing(harness: StripeHarness) -> None:
    failing = harness.failing()
    harness.sandbox.next_request({"status": 401}, path="/pay", times=100)
    outcome = harness.charge(failing)
    assert isinstance(outcome, NotSent)
    assert "API key" in outcome.why
