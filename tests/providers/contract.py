"""What every provider must do, whatever its billing system: inherit, and bring a harness.

    class TestChargify(ProviderContract):
        @pytest.fixture
        def harness(self) -> Iterator[Harness]: ...

The harness makes things happen on the provider's side and reads the provider's own books, which
the adapter under test has no hand in.
"""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from dunning.core.events import (
    Actor,
    AttemptReported,
    AttemptStatus,
    CustomerReported,
    InvoiceReported,
    InvoiceStatus,
    PaymentReceived,
    SubscriptionReported,
)
from dunning.core.ports import (
    ActionNeeded,
    Declined,
    NotKnown,
    NotOwed,
    NotSent,
    Paid,
    Processing,
    Provider,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

KEY = "case_contract/retry:1"
NEXT_KEY = "case_contract/retry:2"


class Fault(enum.Enum):
    """What goes wrong with the next charge request, between us and the provider."""

    LIMITED_SHORTLY = enum.auto()  # too many requests, for a second
    LIMITED_FOR_LONG = enum.auto()  # too many requests, for a minute
    LOCKED = enum.auto()  # another request has the invoice, again and again
    DROPPED_BEFORE = enum.auto()  # the connection breaks before anything is done
    DROPPED_AFTER = enum.auto()  # the charge goes through, the answer is lost
    TIMEOUT_BEFORE = enum.auto()  # no answer in time, and nothing done yet
    TIMEOUT_AFTER = enum.auto()  # the charge goes through, the answer comes too late
    BROKEN_BEFORE = enum.auto()  # an internal error instead of the charge
    BROKEN_AFTER = enum.auto()  # the charge goes through, the answer is an internal error


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """An open invoice whose first charge was declined, and whose it is."""

    invoice: str
    customer: str
    subscription: str
    method: str
    amount: int


class Harness(abc.ABC):
    """The provider's side of a test."""

    provider: Provider
    slept: list[float]  # what the adapter would have waited; nothing really waits

    @abc.abstractmethod
    def failing(self) -> Failing:
        """A customer with a subscription whose newest invoice could not be charged."""

    @abc.abstractmethod
    def next_charge(self, failing: Failing, ends: str) -> None:
        """How the card answers the next charge: paid, action, processing, or a decline code."""

    @abc.abstractmethod
    def next_request(self, failing: Failing, fault: Fault) -> None:
        """What goes wrong with the next request to charge this invoice."""

    @abc.abstractmethod
    def while_waiting(self, act: Callable[[], None]) -> None:
        """Do something at the provider during the adapter's next short wait."""

    @abc.abstractmethod
    def unreachable(self) -> Provider:
        """The same provider with nobody at its address."""

    @abc.abstractmethod
    def customer_pays(self, failing: Failing) -> None:
        """The customer pays on the provider's page."""

    @abc.abstractmethod
    def customer_cancels(self, failing: Failing) -> None:
        """The customer ends the subscription."""

    @abc.abstractmethod
    def new_card(self, failing: Failing) -> str:
        """The customer gives a new card as their default; the id of the method."""

    @abc.abstractmethod
    def pass_time(self, time: timedelta) -> None:
        """Move the provider's clock, and the adapter's with it."""

    @abc.abstractmethod
    def now(self) -> datetime:
        """The time on both clocks."""

    @abc.abstractmethod
    def tries(self, failing: Failing) -> int:
        """How often the card was asked since the invoice was made, by the provider's books."""

    @abc.abstractmethod
    def charges(self, failing: Failing) -> int:
        """How many successful charges the provider's books have for the invoice."""

    @abc.abstractmethod
    def subscription_state(self, failing: Failing) -> str:
        """`active`, `paused` or `ended`, by the provider's books."""

    def charge(
        self, failing: Failing, key: str = KEY, *, may_repeat: bool = True
    ) -> object:
        """Charge as the program does."""
        return self.provider.charge(
            failing.invoice, key=key, method=failing.method, may_repeat=may_repeat
        )


# The ways in which an answer gets lost although the provider has done its work.
LOST = pytest.mark.parametrize(
    "fault", [Fault.DROPPED_AFTER, Fault.TIMEOUT_AFTER, Fault.BROKEN_AFTER], ids=lambda f: f.name
)


class ProviderContract:
    """The promises of `core.ports.Provider`, tested."""

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

    # --- the provider is away or busy: nothing is decided --------------------------------------
    def test_nobody_at_the_address(self, harness: Harness, failing: Failing) -> None:
        outcome = harness.unreachable().charge(
            failing.invoice, key=KEY, method=failing.method, may_repeat=True
        )
        assert isinstance(outcome, NotSent)
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
        assert outcome.retry_after_seconds == 60
        assert harness.slept == []
        assert harness.tries(failing) == 1
        assert isinstance(harness.charge(failing), Paid)
        assert harness.charges(failing) == 1

    def test_a_lock_is_tried_a_few_times(self, harness: Harness, failing: Failing) -> None:
        harness.next_request(failing, Fault.LOCKED)
        outcome = harness.charge(failing)

        assert isinstance(outcome, NotSent)
        assert 1 <= len(harness.slept) <= 4
        assert harness.tries(failing) == 1

    # --- the answer is lost: ask, never try blind ----------------------------------------------
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

    # --- past the life of the key: read, never charge ------------------------------------------
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

    # --- looking -----------------------------------------------------------------------------
    def test_a_look_tells_of_invoice_tries_and_people(
        self, harness: Harness, failing: Failing
    ) -> None:
        view = harness.provider.look(failing.invoice)

        assert (view.bill.status, view.bill.remaining) == (InvoiceStatus.OPEN, failing.amount)
        assert view.method == failing.method
        kinds = {type(event) for event in view.events}
        assert kinds == {
            InvoiceReported,
            AttemptReported,
            CustomerReported,
            SubscriptionReported,
        }
        tries = [event for event in view.events if isinstance(event, AttemptReported)]
        assert [event.attempt.status for event in tries] == [AttemptStatus.DECLINED]
        assert [event.invoice for event in tries] == [failing.invoice]
        assert all(event.at.tzinfo is not None for event in view.events)

    def test_the_same_look_has_the_same_news(self, harness: Harness, failing: Failing) -> None:
        first = harness.provider.look(failing.invoice)
        harness.pass_time(timedelta(minutes=5))
        second = harness.provider.look(failing.invoice)
        assert [event.id for event in second.events] == [event.id for event in first.events]

    def test_a_look_after_the_payment_tells_of_it(
        self, harness: Harness, failing: Failing
    ) -> None:
        assert isinstance(harness.charge(failing), Paid)
        view = harness.provider.look(failing.invoice)

        assert view.bill.status is InvoiceStatus.PAID
        payments = [event for event in view.events if isinstance(event, PaymentReceived)]
        assert [(p.invoice, p.amount) for p in payments] == [(failing.invoice, failing.amount)]
        assert view.own_attempts[KEY].status is AttemptStatus.SUCCEEDED

    def test_a_look_knows_our_own_tries(self, harness: Harness, failing: Failing) -> None:
        harness.next_charge(failing, "insufficient_funds")
        harness.charge(failing)
        view = harness.provider.look(failing.invoice)

        assert set(view.own_attempts) == {KEY}
        reported = {
            event.attempt.id: event.attempt.key
            for event in view.events
            if isinstance(event, AttemptReported)
        }
        assert sorted(reported.values(), key=str) == [None, KEY] or set(
            reported.values()
        ) == {None, KEY}

    def test_a_look_names_the_new_card(self, harness: Harness, failing: Failing) -> None:
        card = harness.new_card(failing)
        assert harness.provider.look(failing.invoice).method == card

    def test_open_invoices(self, harness: Harness, failing: Failing) -> None:
        paid = harness.failing()
        harness.customer_pays(paid)
        found = {bill.invoice: bill for bill in harness.provider.open_invoices()}
        assert failing.invoice in found
        assert found[failing.invoice].remaining == failing.amount
        assert paid.invoice not in found

    # --- the customer's own way ----------------------------------------------------------------
    def test_links_are_made_afresh(self, harness: Harness, failing: Failing) -> None:
        links = harness.provider.links(
            failing.invoice, failing.customer, return_url="https://shop.example/back"
        )
        assert links.pay is not None
        assert links.update_card is not None
        harness.pass_time(timedelta(days=2))
        later = harness.provider.links(failing.invoice, None, return_url=None)
        assert later.update_card != links.update_card

    # --- the invoice's and the subscription's fate ---------------------------------------------
    def test_void_twice(self, harness: Harness, failing: Failing) -> None:
        for key in ("case_contract/void:1", "case_contract/void:1", "case_contract/void:2"):
            assert harness.provider.void(failing.invoice, key=key).status is InvoiceStatus.VOID

    def test_write_off_twice(self, harness: Harness, failing: Failing) -> None:
        for key in ("case_contract/off:1", "case_contract/off:1", "case_contract/off:2"):
            bill = harness.provider.write_off(failing.invoice, key=key)
            assert bill.status is InvoiceStatus.UNCOLLECTIBLE

    def test_what_is_paid_is_neither_voided_nor_written_off(
        self, harness: Harness, failing: Failing
    ) -> None:
        harness.customer_pays(failing)
        for act in (harness.provider.void, harness.provider.write_off):
            bill = act(failing.invoice, key=f"case_contract/{act.__name__}:1")
            assert bill.status is InvoiceStatus.PAID

    def test_take_over(self, harness: Harness, failing: Failing) -> None:
        for _ in range(2):
            bill = harness.provider.take_over(failing.invoice, key="case_contract/take_over:1")
            assert bill.auto_advance is False
            assert bill.next_attempt_at is None

    def test_suspend_and_restore(self, harness: Harness, failing: Failing) -> None:
        for _ in range(2):
            harness.provider.suspend(
                failing.subscription, collection="keep_as_draft", key="case_contract/suspend:1"
            )
            assert harness.subscription_state(failing) == "paused"
        for _ in range(2):
            harness.provider.restore(failing.subscription, key="case_contract/restore:1")
            assert harness.subscription_state(failing) == "active"

    def test_cancel_leaves_our_mark(self, harness: Harness, failing: Failing) -> None:
        for _ in range(2):
            harness.provider.cancel(
                failing.subscription, why="not paid", key="case_contract/give_up:1"
            )
            assert harness.subscription_state(failing) == "ended"
        harness.provider.restore(failing.subscription, key="case_contract/restore:1")
        told = self._subscription(harness, failing)
        assert told.ended_at is not None
        assert told.ended_by_us

    def test_an_end_by_the_customer_keeps_theirs(self, harness: Harness, failing: Failing) -> None:
        harness.customer_cancels(failing)
        harness.provider.cancel(
            failing.subscription, why="not paid", key="case_contract/give_up:1"
        )
        told = self._subscription(harness, failing)
        assert told.ended_at is not None
        assert not told.ended_by_us

    def _subscription(self, harness: Harness, failing: Failing) -> SubscriptionReported:
        events = harness.provider.look(failing.invoice).events
        return next(event for event in events if isinstance(event, SubscriptionReported))

    # --- catching up ---------------------------------------------------------------------------
    def test_missed_events_come_oldest_first(self, harness: Harness, failing: Failing) -> None:
        since = harness.now()
        harness.pass_time(timedelta(minutes=3))
        harness.next_charge(failing, "insufficient_funds")
        harness.charge(failing)
        harness.pass_time(timedelta(hours=5))
        harness.customer_pays(failing)

        bodies = list(harness.provider.missed(since))
        assert self.told_in_order(bodies, failing.invoice)
        assert list(harness.provider.missed(harness.now() + timedelta(days=1))) == []

    def told_in_order(self, bodies: list[bytes], invoice: str) -> bool:
        """Whether these bodies tell first of the decline and then of the payment."""
        raise NotImplementedError

    def test_health_of_a_key_that_works(self, harness: Harness, failing: Failing) -> None:
        assert failing.invoice
        levels = [fact.level for fact in harness.provider.health()]
        assert levels
        assert "error" not in levels

    def test_health_of_a_provider_that_is_away(self, harness: Harness) -> None:
        facts = list(harness.unreachable().health())
        assert [fact.level for fact in facts] == ["error"]
        assert facts[0].advice
