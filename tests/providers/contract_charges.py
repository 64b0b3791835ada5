"""What every provider must do when it charges; part of `ProviderContract`."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.core.events import Actor, AttemptStatus, InvoiceStatus
from dunning.core.ports import (
    ActionNeeded,
    Declined,
    NotKnown,
    NotOwed,
    NotSent,
    Paid,
    Processing,
)
from tests.providers.base import KEY, NEXT_KEY, Failing, Fault, Harness

# The ways in which an answer gets lost although the provider has done its work.
LOST = pytest.mark.parametrize(
    "fault", [Fault.DROPPED_AFTER, Fault.TIMEOUT_AFTER, Fault.BROKEN_AFTER], ids=lambda f: f.name
)


class ChargeContract:
    """The promises of `core.ports.Provider.charge`, tested."""

    @pytest.fixture
    def failing(self, harness: Harness) -> Failing:
        return harness.failing()

    # --- one charge, and how it ends ---------------------------------------------------------
    def test_a_charge_that_goes_through(self, harness: Harness, failing: Failing) -> None:
        outcome = harness.charge(failing)

        assert isinstance(outcome, Paid)
        assert outcome.bill.status is InvoiceStatus.PAID
        assert (outcome.bill.remaining, outcome.bill.paid) == (0, failing.amount)
        assert outcome.attempt is not None
        assert outcome.attempt.status is AttemptStatus.SUCCEEDED
        assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)
        assert outcome.attempt.amount == failing.amount
        assert harness.charges(failing) == 1

    @pytest.mark.parametrize(
        "code", ["insufficient_funds", "lost_card", "expired_card", "generic_decline"]
    )
    def test_a_decline_with_everything_that_is_known_of_it(
        self, harness: Harness, failing: Failing, code: str
    ) -> None:
        harness.next_charge(failing, code)
        outcome = harness.charge(failing)

        assert isinstance(outcome, Declined)
        assert outcome.decline.code == code
        assert outcome.decline.network is not None
        assert outcome.decline.method_type == "card"
        assert outcome.attempt is not None
        assert outcome.attempt.status is AttemptStatus.DECLINED
        assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)
        assert outcome.attempt.decline == outcome.decline
        assert outcome.attempt.method == failing.method
        assert (harness.charges(failing), harness.tries(failing)) == (0, 2)

    @pytest.mark.parametrize("ends", ["action", "authentication_required"])
    def test_a_charge_that_only_the_customer_can_finish(
        self, harness: Harness, failing: Failing, ends: str
    ) -> None:
        harness.next_charge(failing, ends)
        outcome = harness.charge(failing)

        assert isinstance(outcome, ActionNeeded)
        assert outcome.attempt is not None
        assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)
        assert harness.charges(failing) == 0

    def test_a_bank_debit_is_neither_paid_nor_failed(
        self, harness: Harness, failing: Failing
    ) -> None:
        harness.next_charge(failing, "processing")
        outcome = harness.charge(failing)

        assert isinstance(outcome, Processing)
        assert outcome.attempt is not None
        assert outcome.attempt.status is AttemptStatus.PROCESSING
        assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)

        assert isinstance(harness.charge(failing, NEXT_KEY), Processing)
        assert harness.tries(failing) == 2  # the failed first one, and this debit

    # --- nothing to charge -------------------------------------------------------------------
    def test_what_the_customer_has_paid_is_not_charged(
        self, harness: Harness, failing: Failing
    ) -> None:
        harness.customer_pays(failing)
        outcome = harness.charge(failing)

        assert isinstance(outcome, NotOwed)
        assert outcome.bill.status is InvoiceStatus.PAID
        assert harness.charges(failing) == 1

    def test_what_the_customer_pays_at_the_same_moment_is_not_charged(
        self, harness: Harness, failing: Failing
    ) -> None:
        harness.next_request(failing, Fault.LIMITED_SHORTLY)
        harness.while_waiting(lambda: harness.customer_pays(failing))
        outcome = harness.charge(failing)

        assert isinstance(outcome, NotOwed)
        assert outcome.bill.status is InvoiceStatus.PAID
        assert harness.charges(failing) == 1

    def test_what_is_void_is_not_charged(self, harness: Harness, failing: Failing) -> None:
        harness.provider.void(failing.invoice, key="case_contract/void:1")
        outcome = harness.charge(failing)

        assert isinstance(outcome, NotOwed)
        assert outcome.bill.status is InvoiceStatus.VOID
        assert harness.tries(failing) == 1

    def test_what_is_written_off_is_not_charged(self, harness: Harness, failing: Failing) -> None:
        harness.provider.write_off(failing.invoice, key="case_contract/write_off:1")
        outcome = harness.charge(failing)

        assert isinstance(outcome, NotOwed)
        assert outcome.bill.status is InvoiceStatus.UNCOLLECTIBLE
        assert harness.tries(failing) == 1

    # --- the provider is away or busy: nothing is decided ------------------------------------
    def test_nobody_at_the_address(self, harness: Harness, failing: Failing) -> None:
        outcome = harness.unreachable().charge(
            failing.invoice, key=KEY, method=failing.method, may_repeat=True
        )
        assert isinstance(outcome, NotSent)
        assert outcome.down
        assert harness.tries(failing) == 1

    def test_a_short_limit_is_waited_out(self, harness: Harness, failing: Failing) -> None:
        harness.next_request(failing, Fault.LIMITED_SHORTLY)

        assert isinstance(harness.charge(failing), Paid)
        assert len(harness.slept) == 1
        assert harness.slept[0] >= 1
        assert harness.charges(failing) == 1

    def test_a_long_limit_is_not_a_decline(self, harness: Harness, failing: Failing) -> None:
        harness.next_request(failing, Fault.LIMITED_FOR_LONG)
        outcome = harness.charge(failing)

        assert isinstance(outcome, NotSent)
        assert (outcome.retry_after_seconds, outcome.down) == (60, False)
        assert harness.slept == []
        assert harness.tries(failing) == 1
        assert isinstance(harness.charge(failing), Paid)
        assert harness.charges(failing) == 1

    def test_a_lock_is_tried_a_few_times(self, harness: Harness, failing: Failing) -> None:
        harness.next_request(failing, Fault.LOCKED)
        outcome = harness.charge(failing)

        assert isinstance(outcome, NotSent)
        assert not outcome.down
        assert 1 <= len(harness.slept) <= 4
        assert harness.tries(failing) == 1

    # --- the answer is lost: ask, never try blind --------------------------------------------
    @LOST
    def test_a_lost_answer_to_a_payment_is_found(
        self, harness: Harness, failing: Failing, fault: Fault
    ) -> None:
        harness.next_request(failing, fault)
        outcome = harness.charge(failing)

        assert isinstance(outcome, Paid)
        assert outcome.attempt is not None
        assert (outcome.attempt.by, outcome.attempt.key) == (Actor.OURS, KEY)
        assert (harness.charges(failing), harness.tries(failing)) == (1, 2)

    @LOST
    def test_a_lost_answer_to_a_decline_is_found(
        self, harness: Harness, failing: Failing, fault: Fault
    ) -> None:
        harness.next_charge(failing, "insufficient_funds")
        harness.next_request(failing, fault)
        outcome = harness.charge(failing)

        assert isinstance(outcome, Declined)
        assert outcome.decline.code == "insufficient_funds"
        assert outcome.attempt is not None
        assert outcome.attempt.key == KEY
        assert (harness.charges(failing), harness.tries(failing)) == (0, 2)

    @pytest.mark.parametrize(
        "fault", [Fault.DROPPED_BEFORE, Fault.BROKEN_BEFORE], ids=lambda fault: fault.name
    )
    def test_a_request_that_may_have_got_lost_is_in_doubt(
        self, harness: Harness, failing: Failing, fault: Fault
    ) -> None:
        harness.next_request(failing, fault)

        assert isinstance(harness.charge(failing), NotKnown)
        assert harness.tries(failing) == 1
        # Within the life of the key the same request is the same charge.
        assert isinstance(harness.charge(failing), Paid)
        assert harness.charges(failing) == 1

    def test_a_request_that_is_still_running_is_in_doubt(
        self, harness: Harness, failing: Failing
    ) -> None:
        harness.next_request(failing, Fault.TIMEOUT_BEFORE)

        assert isinstance(harness.charge(failing), NotKnown)
        # Now or a little later: the first request pays, and the second one finds that out.
        assert isinstance(harness.charge(failing), NotKnown | Paid)
        assert harness.charges(failing) <= 1

    # --- keys --------------------------------------------------------------------------------
    def test_the_same_key_charges_once(self, harness: Harness, failing: Failing) -> None:
        first, second = harness.charge(failing), harness.charge(failing)

        assert isinstance(first, Paid)
        assert second == first
        assert harness.charges(failing) == 1

    def test_the_same_key_after_a_decline_tries_no_second_time(
        self, harness: Harness, failing: Failing
    ) -> None:
        harness.next_charge(failing, "insufficient_funds")
        first, second = harness.charge(failing), harness.charge(failing)

        assert isinstance(first, Declined)
        assert second == first
        assert harness.tries(failing) == 2

    def test_a_new_key_is_a_new_try(self, harness: Harness, failing: Failing) -> None:
        harness.next_charge(failing, "insufficient_funds")
        assert isinstance(harness.charge(failing), Declined)
        assert isinstance(harness.charge(failing, NEXT_KEY), Paid)
        assert harness.tries(failing) == 3

    # --- past the life of the key: read, never charge ----------------------------------------
    def test_late_and_it_had_been_paid(self, harness: Harness, failing: Failing) -> None:
        paid = harness.charge(failing)
        assert isinstance(paid, Paid)
        harness.pass_time(timedelta(hours=30))
        outcome = harness.charge(failing, may_repeat=False)

        assert isinstance(outcome, Paid)
        assert outcome.attempt == paid.attempt
        assert harness.charges(failing) == 1

    def test_late_and_it_had_been_declined(self, harness: Harness, failing: Failing) -> None:
        harness.next_charge(failing, "insufficient_funds")
        assert isinstance(harness.charge(failing), Declined)
        harness.pass_time(timedelta(hours=30))
        outcome = harness.charge(failing, may_repeat=False)

        assert isinstance(outcome, Declined)
        assert outcome.decline.code == "insufficient_funds"
        assert outcome.attempt is not None
        assert outcome.attempt.key == KEY
        assert harness.tries(failing) == 2

    def test_late_and_another_has_paid(self, harness: Harness, failing: Failing) -> None:
        harness.customer_pays(failing)
        harness.pass_time(timedelta(hours=30))

        assert isinstance(harness.charge(failing, may_repeat=False), NotOwed)
        assert harness.charges(failing) == 1

    def test_late_and_it_never_arrived(self, harness: Harness, failing: Failing) -> None:
        harness.next_request(failing, Fault.DROPPED_BEFORE)
        assert isinstance(harness.charge(failing), NotKnown)
        harness.pass_time(timedelta(hours=30))

        assert isinstance(harness.charge(failing, may_repeat=False), NotSent)
        assert (harness.charges(failing), harness.tries(failing)) == (0, 1)

    def test_late_while_the_bank_is_still_at_it(self, harness: Harness, failing: Failing) -> None:
        harness.next_charge(failing, "processing")
        assert isinstance(harness.charge(failing), Processing)
        harness.pass_time(timedelta(hours=30))

        assert isinstance(harness.charge(failing, may_repeat=False), Processing)
        assert harness.tries(failing) == 2
