"""The Stripe adapter keeps the provider contract, and charges safely whatever Stripe answers."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dunning.core.events import Actor, InvoiceStatus
from dunning.core.ports import (
    ActionNeeded,
    Declined,
    NotKnown,
    NotOwed,
    NotSent,
    Paid,
    Processing,
    Refused,
)
from tests.providers.base import KEY, NEXT_KEY, Failing
from tests.providers.contract import ProviderContract
from tests.providers.stripe.harness import StripeHarness
from tests.providers.stripe.harness import harness as running

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestContract(ProviderContract):
    """Everything every provider must do."""

    @pytest.fixture
    def harness(self) -> Iterator[StripeHarness]:
        with running() as made:
            yield made

    def told_in_order(self, bodies: list[bytes], invoice: str) -> bool:
        events = [json.loads(body) for body in bodies]
        created = [event["created"] for event in events]
        ids = [event["id"] for event in events]
        about = [e["type"] for e in events if e["data"]["object"]["id"] == invoice]
        failed, paid = about.index("invoice.payment_failed"), about.index("invoice.paid")
        return created == sorted(created) and len(set(ids)) == len(ids) and failed < paid


@pytest.fixture
def harness() -> Iterator[StripeHarness]:
    with running() as made:
        yield made


@pytest.fixture
def failing(harness: StripeHarness) -> Failing:
    return harness.failing()


# --- what is sent ----------------------------------------------------------------------------


def test_one_charge_takes_three_requests(harness: StripeHarness, failing: Failing) -> None:
    start = len(harness.asked())
    assert isinstance(harness.charge(failing), Paid)
    invoice = f"/v1/invoices/{failing.invoice}"
    assert harness.asked(start) == [
        ("GET", invoice),
        ("POST", f"{invoice}/pay"),
        ("GET", "/v1/charges"),
    ]


def test_the_key_of_the_decision_is_the_key_of_the_request(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.charge(failing)
    paid = [each for each in harness.sandbox.world.requests if each["path"].endswith("/pay")]
    assert paid[-1]["key"] == KEY


def test_a_charge_names_the_method(harness: StripeHarness, failing: Failing) -> None:
    card = harness.new_card(failing)
    outcome = harness.provider.charge(failing.invoice, key=KEY, method=card, may_repeat=True)
    assert isinstance(outcome, Paid)
    assert harness.line(failing.invoice)["payments"][0]["payment_method"] == card


def test_a_first_charge_by_us_is_found_when_its_answer_is_lost(harness: StripeHarness) -> None:
    invoice = harness.one_off()
    harness.sandbox.next_request({"drop": "after"}, path="/pay")
    outcome = harness.provider.charge(invoice, key=KEY, method=None, may_repeat=True)
    assert isinstance(outcome, Paid)
    assert outcome.attempt is not None
    assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)


# --- what Stripe refuses ---------------------------------------------------------------------


def test_a_customer_without_any_card_has_to_be_asked_for_one(harness: StripeHarness) -> None:
    invoice = harness.one_off(card=None)
    outcome = harness.provider.charge(invoice, key=KEY, method=None, may_repeat=True)
    assert isinstance(outcome, Declined)
    assert (outcome.decline.code, outcome.attempt) == ("missing", None)


def test_a_card_that_was_taken_away_meanwhile_has_to_be_replaced(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.api.payment_methods.detach(failing.method)
    outcome = harness.charge(failing)
    assert isinstance(outcome, Declined)
    assert (outcome.decline.code, outcome.attempt) == ("missing", None)
    assert harness.tries(failing) == 1


def test_an_invoice_that_does_not_exist(harness: StripeHarness) -> None:
    outcome = harness.provider.charge("in_nowhere", key=KEY, method=None, may_repeat=True)
    assert isinstance(outcome, Refused)
    assert "in_nowhere" in outcome.why


def test_a_draft_is_not_charged(harness: StripeHarness) -> None:
    customer = harness.customer()
    draft = harness.api.invoices.create({"customer": customer, "auto_advance": False})
    assert draft.id is not None
    outcome = harness.provider.charge(draft.id, key=KEY, method=None, may_repeat=True)
    assert isinstance(outcome, Refused)
    assert harness.api.invoices.retrieve(draft.id).status == "draft"


@pytest.mark.parametrize("key", ["sk_live_of_nobody", "nonsense"])
def test_a_key_that_stripe_does_not_know(
    harness: StripeHarness, failing: Failing, key: str
) -> None:
    outcome = harness.connect(harness.url, key).charge(
        failing.invoice, key=KEY, method=None, may_repeat=True
    )
    assert isinstance(outcome, NotSent)
    assert "API key" in outcome.why
    assert key not in outcome.why


def test_a_key_without_the_right_to_charge(harness: StripeHarness, failing: Failing) -> None:
    harness.sandbox.next_request({"status": 403}, path="/pay")
    outcome = harness.charge(failing)
    assert isinstance(outcome, Refused)
    assert "right" in outcome.why
    assert harness.tries(failing) == 1


# --- doubt -----------------------------------------------------------------------------------


def test_without_the_right_to_read_events_the_moment_tells(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.sandbox.next_request({"drop": "after"}, path="/pay")
    harness.sandbox.next_request({"status": 403}, path="/v1/events", times=99)
    outcome = harness.charge(failing)
    assert isinstance(outcome, Paid)
    assert outcome.attempt is not None
    assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)


def test_without_the_right_to_read_events_older_tries_are_not_taken_for_ours(
    harness: StripeHarness, failing: Failing
) -> None:
    for number in range(2):
        harness.next_charge(failing, "insufficient_funds")
        harness.charge(failing, f"case_other/retry:{number}")
    harness.sandbox.next_request({"drop": "before"}, path="/pay")
    harness.sandbox.next_request({"status": 403}, path="/v1/events", times=99)
    assert isinstance(harness.charge(failing), NotKnown)


def test_late_and_without_the_right_to_read_events_nobody_can_tell(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.next_charge(failing, "insufficient_funds")
    harness.charge(failing)
    harness.pass_time(timedelta(hours=30))
    harness.sandbox.next_request({"status": 403}, path="/v1/events", times=99)
    assert isinstance(harness.charge(failing, may_repeat=False), NotKnown)
    assert harness.tries(failing) == 2


@pytest.mark.parametrize("status", [403, 429, 500])
def test_late_and_unreadable_the_doubt_stands(
    harness: StripeHarness, failing: Failing, status: int
) -> None:
    harness.sandbox.next_request({"status": status, "retry_after": 60}, times=3)
    assert isinstance(harness.charge(failing, may_repeat=False), NotKnown)


def test_a_key_used_for_another_card_before_gives_what_it_gave_then(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.next_charge(failing, "insufficient_funds")
    assert isinstance(harness.charge(failing), Declined)
    card = harness.new_card(failing)
    # Stripe refuses the key with other parameters; the records tell what it did.
    outcome = harness.provider.charge(failing.invoice, key=KEY, method=card, may_repeat=True)
    assert isinstance(outcome, Declined)
    assert outcome.attempt is not None
    assert outcome.attempt.method == failing.method
    assert harness.tries(failing) == 2


def test_an_error_that_the_key_replays_is_asked_about_each_time(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.next_charge(failing, "insufficient_funds")
    harness.sandbox.next_request({"status": 500, "when": "after"}, path="/pay")
    outcomes = [harness.charge(failing) for _ in range(3)]
    assert all(isinstance(outcome, Declined) for outcome in outcomes)
    assert harness.tries(failing) == 2
    replayed = [each for each in harness.sandbox.world.requests if each["replayed"]]
    assert len(replayed) == 2


def test_a_lost_answer_while_stripe_cannot_be_read(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.sandbox.next_request({"drop": "after"}, path="/pay")
    harness.sandbox.next_request({"status": 500}, path="/v1/charges", times=3)
    assert isinstance(harness.charge(failing), NotKnown)
    # Next time it is read, and it is ours.
    outcome = harness.charge(failing)
    assert isinstance(outcome, Paid)
    assert outcome.attempt is not None
    assert outcome.attempt.key == KEY
    assert harness.charges(failing) == 1


def test_money_that_moved_is_told_even_when_its_details_cannot_be_read(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.sandbox.next_request({"status": 500}, path="/v1/charges", times=3)
    outcome = harness.charge(failing)
    assert isinstance(outcome, Paid)
    assert outcome.attempt is None


def test_a_decline_is_told_even_when_its_charge_cannot_be_read(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.next_charge(failing, "lost_card")
    harness.sandbox.next_request({"status": 500}, path="/v1/charges", times=3)
    outcome = harness.charge(failing)
    assert isinstance(outcome, Declined)
    assert outcome.decline.code == "lost_card"
    assert outcome.decline.network_code == "41"
    assert outcome.attempt is not None
    assert outcome.attempt.charge == harness.line(failing.invoice)["attempts"][-1]["charge"]


def test_a_lost_wish_for_authentication_is_found(harness: StripeHarness, failing: Failing) -> None:
    harness.next_charge(failing, "action")
    harness.sandbox.next_request({"drop": "after"}, path="/pay")
    outcome = harness.charge(failing)
    assert isinstance(outcome, ActionNeeded)
    assert outcome.attempt is not None
    assert outcome.attempt.key == KEY


def test_a_lost_answer_about_a_bank_debit_is_found(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.next_charge(failing, "processing")
    harness.sandbox.next_request({"drop": "after"}, path="/pay")
    outcome = harness.charge(failing)
    assert isinstance(outcome, Processing)
    assert outcome.attempt is not None
    assert outcome.attempt.key == KEY


def test_the_customer_pays_while_our_answer_is_lost(
    harness: StripeHarness, failing: Failing
) -> None:
    # Our request never arrived; what the records show is the customer's own payment.
    harness.sandbox.next_request({"status": 409}, path="/pay")
    harness.sandbox.next_request({"drop": "before"}, path="/pay")
    harness.while_waiting(lambda: harness.customer_pays(failing))
    outcome = harness.charge(failing)
    assert isinstance(outcome, NotOwed)
    assert outcome.bill.status is InvoiceStatus.PAID
    assert harness.charges(failing) == 1


def test_a_limit_before_anything_was_asked(harness: StripeHarness, failing: Failing) -> None:
    harness.sandbox.next_request(
        {"status": 429, "retry_after": 30}, path=f"/v1/invoices/{failing.invoice}"
    )
    outcome = harness.charge(failing)
    assert isinstance(outcome, NotSent)
    assert outcome.retry_after_seconds == 30
    assert not any(path.endswith("/pay") for _, path in harness.asked()[-1:])


def test_late_and_waiting_for_the_customer(harness: StripeHarness, failing: Failing) -> None:
    harness.next_charge(failing, "action")
    assert isinstance(harness.charge(failing), ActionNeeded)
    harness.pass_time(timedelta(hours=30))
    assert isinstance(harness.charge(failing, NEXT_KEY, may_repeat=False), ActionNeeded)
    assert harness.tries(failing) == 2
