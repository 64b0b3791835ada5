"""What every provider must do, whatever its billing system: inherit, and bring a harness.

    class TestChargify(ProviderContract):
        @pytest.fixture
        def harness(self) -> Iterator[Harness]: ...

The harness makes things happen on the provider's side and reads the provider's own books, which
the adapter under test has no hand in.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dunning.core.bookings import Fate, Flow
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
from dunning.core.ports import Paid
from tests.providers.base import KEY, Failing, Harness
from tests.providers.contract_charges import ChargeContract


class ProviderContract(ChargeContract):
    """The promises of `core.ports.Provider`, tested."""

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

    def test_a_look_after_the_payment_tells_of_it(self, harness: Harness, failing: Failing) -> None:
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
        tries = [event.attempt for event in view.events if isinstance(event, AttemptReported)]
        assert {attempt.key for attempt in tries} == {None, KEY}
        assert [attempt.by for attempt in tries if attempt.key] == [Actor.OURS]

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

    # --- the customer's own way --------------------------------------------------------------
    def test_links_are_made_afresh(self, harness: Harness, failing: Failing) -> None:
        links = harness.provider.links(
            failing.invoice, failing.customer, return_url="https://shop.example/back"
        )
        assert links.pay is not None
        assert links.update_card is not None
        harness.pass_time(timedelta(days=2))
        later = harness.provider.links(failing.invoice, None, return_url=None)
        assert later.update_card != links.update_card

    def test_the_page_to_end_a_subscription_is_made_afresh(
        self, harness: Harness, failing: Failing
    ) -> None:
        back = "https://shop.example/back"
        first = harness.provider.portal(failing.customer, return_url=back)
        assert first is not None
        harness.pass_time(timedelta(days=2))
        assert harness.provider.portal(failing.customer, return_url=None) not in (None, first)
        assert harness.provider.portal("cus_nobody", return_url=back) is None
        assert harness.unreachable().portal(failing.customer, return_url=back) is None
        assert harness.subscription_state(failing) == "active"

    # --- the invoice's and the subscription's fate -------------------------------------------
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

    def test_what_we_paused_is_known_by_its_mark(self, harness: Harness, failing: Failing) -> None:
        def of_customer() -> list[tuple[bool, str | None]]:
            found = harness.provider.subscriptions(failing.customer)
            mine = [one for one in found if one.id == failing.subscription]
            return [(one.paused, one.paused_under) for one in mine]

        key = "case_contract/suspend:1"
        assert of_customer() == [(False, None)]
        harness.provider.suspend(failing.subscription, collection="void", key=key)
        assert of_customer() == [(True, key)]
        harness.provider.restore(failing.subscription, key="case_contract/restore:1")
        assert of_customer() == [(False, None)]
        harness.customer_cancels(failing)
        assert of_customer() == []

    def test_another_saved_method_is_charged_and_does_not_become_the_default(
        self, harness: Harness, failing: Failing
    ) -> None:
        other = harness.other_card(failing)
        known = {one.method: one for one in harness.provider.methods(failing.customer)}
        assert known[other].off_session
        assert known[other].method_type == "card"
        key = f"case_contract/retry:backup:{other}"
        outcome = harness.provider.charge(failing.invoice, key=key, method=other, may_repeat=True)
        assert isinstance(outcome, Paid)
        assert outcome.attempt is not None
        assert (outcome.attempt.method, outcome.attempt.key) == (other, key)
        assert harness.default(failing) == failing.method

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
        harness.provider.cancel(failing.subscription, why="not paid", key="case_contract/give_up:1")
        told = self._subscription(harness, failing)
        assert told.ended_at is not None
        assert not told.ended_by_us

    def _subscription(self, harness: Harness, failing: Failing) -> SubscriptionReported:
        events = harness.provider.look(failing.invoice).events
        return next(event for event in events if isinstance(event, SubscriptionReported))

    # --- catching up -------------------------------------------------------------------------
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

    def test_its_books_show_what_was_paid_and_for_which_invoice(
        self, harness: Harness, failing: Failing
    ) -> None:
        before = harness.now() - timedelta(hours=1)
        assert isinstance(harness.charge(failing), Paid)
        told = [
            replace(one, invoice=one.invoice or harness.provider.invoice_of(one))
            for page in harness.provider.bookings(before, harness.now())
            for one in page
        ]
        (booked,) = [one for one in told if one.invoice == failing.invoice]
        (shown,) = harness.provider.payments(failing.invoice)
        for one in (booked, shown):
            assert (one.flow, one.amount, one.fate) == (Flow.PAID, failing.amount, Fate.DONE)
            assert before <= one.at <= harness.now()
        assert booked.all_names & shown.all_names
        assert booked.currency == shown.currency
        assert list(harness.provider.payments("in_nobody")) == []

    def test_health_of_a_key_that_works(self, harness: Harness, failing: Failing) -> None:
        assert failing.invoice
        levels = [fact.level for fact in harness.provider.health()]
        assert levels
        assert "error" not in levels

    def test_health_of_a_provider_that_is_away(self, harness: Harness) -> None:
        facts = list(harness.unreachable().health())
        assert [fact.level for fact in facts] == ["error"]
        assert facts[0].advice
