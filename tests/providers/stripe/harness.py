"""The simulated Stripe as the harness of the contract tests, and as a playground for others."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests
import stripe

from dunning.providers.stripe.acting import StripeProvider
from dunning.sandbox import Sandbox
from tests.providers.base import Failing, Fault, Harness
from tests.secrets import API_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AMOUNT = 2900
# A time-out is the one fault that takes real time: the sandbox hangs longer than we wait. Only
# the tests of it wait so briefly, since a busy machine answers late as well.
PATIENT = (5.0, 20.0)
HASTY = (5.0, 0.4)
HANG_SECONDS = 0.9

_FAULTS: dict[Fault, dict[str, Any]] = {
    Fault.LIMITED_SHORTLY: {"status": 429, "retry_after": 1},
    Fault.LIMITED_FOR_LONG: {"status": 429, "retry_after": 60},
    Fault.LOCKED: {"status": 409},
    Fault.DROPPED_BEFORE: {"drop": "before"},
    Fault.DROPPED_AFTER: {"drop": "after"},
    Fault.TIMEOUT_BEFORE: {"hang": HANG_SECONDS},
    Fault.BROKEN_BEFORE: {"status": 500},
    Fault.BROKEN_AFTER: {"status": 500, "when": "after"},
}


class SandboxClock:
    """The program's clock, showing the sandbox's time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._sandbox.now, UTC)

    def fresh(self) -> datetime:
        return self.now()


class StripeHarness(Harness):
    """One sandbox, the adapter under test, and a client of the merchant's own."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.url = url
        self.clock = SandboxClock(sandbox)
        self.slept: list[float] = []
        self._waiting: list[Callable[[], None]] = []
        self._open: list[StripeProvider] = []
        self.provider: StripeProvider = self.connect(url)
        self._session = requests.Session()
        self._session.trust_env = False
        http = stripe.RequestsClient(timeout=10, session=self._session)
        self.api = stripe.StripeClient(
            "sk_test_of_the_merchant", base_addresses={"api": url}, http_client=http
        ).v1
        self._price: str | None = None

    def connect(
        self, url: str, key: str = API_KEY, timeout: tuple[float, float] = PATIENT
    ) -> StripeProvider:
        provider = StripeProvider(
            key, clock=self.clock, api_base=url, timeout=timeout, sleep=self._sleep
        )
        self._open.append(provider)
        return provider

    def close(self) -> None:
        for provider in self._open:
            provider.close()
        self._session.close()

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._waiting:
            self._waiting.pop(0)()

    def while_waiting(self, act: Callable[[], None]) -> None:
        self._waiting.append(act)

    def unreachable(self) -> StripeProvider:
        # Port 1 of this machine: nobody listens there.
        return self.connect("http://127.0.0.1:1")

    # --- the world -----------------------------------------------------------------------------
    def price(self) -> str:
        if self._price is None:
            product = self.api.products.create({"name": "Plan"})
            price = self.api.prices.create(
                {
                    "product": product.id,
                    "currency": "usd",
                    "unit_amount": AMOUNT,
                    "recurring": {"interval": "month"},
                }
            )
            self._price = price.id
        return self._price

    def customer(self, card: str | None = "pm_card_visa") -> str:
        customer = self.api.customers.create(
            {
                "email": "ada@example.com",
                "name": "Ada Example",
                "preferred_locales": ["fr-FR"],
                "metadata": {"timezone": "Europe/Paris"},
            }
        )
        if card is not None:
            self.add_card(customer.id, card)
        return customer.id

    def add_card(self, customer: str, card: str = "pm_card_visa") -> str:
        """A card of the customer's, which becomes their default."""
        method = self.api.payment_methods.attach(card, {"customer": customer})
        self.api.customers.update(
            customer, {"invoice_settings": {"default_payment_method": method.id}}
        )
        return method.id

    def failing(self) -> Failing:
        customer = self.customer()
        found = self.api.customers.retrieve(customer)
        assert found.invoice_settings is not None
        method = found.invoice_settings.default_payment_method
        assert isinstance(method, str)
        # The first month is paid, the second one is not: an active subscription in arrears.
        subscription = self.api.subscriptions.create(
            {
                "customer": customer,
                "items": [{"price": self.price()}],
                "default_payment_method": method,
            }
        )
        self.api.invoice_items.create(
            {
                "customer": customer,
                "subscription": subscription.id,
                "amount": AMOUNT,
                "currency": "usd",
            }
        )
        invoice = self.api.invoices.create(
            {"customer": customer, "subscription": subscription.id, "auto_advance": False}
        )
        assert invoice.id is not None
        self.api.invoices.finalize_invoice(invoice.id)
        self._fail_first(invoice.id, customer)
        self.api.invoices.update(invoice.id, {"auto_advance": True})
        return Failing(
            invoice=invoice.id,
            customer=customer,
            subscription=subscription.id,
            method=method,
            amount=AMOUNT,
        )

    def _fail_first(self, invoice: str, customer: str) -> None:
        self.sandbox.next_charge({"decline_code": "do_not_honor"}, customer=customer)
        try:
            self.api.invoices.pay(invoice)
        except stripe.CardError:
            return
        raise AssertionError("the first charge went through")

    def one_off(self, card: str | None = "pm_card_visa") -> str:
        """An open invoice without a subscription that nobody has tried to collect yet."""
        customer = self.customer(card)
        self.api.invoice_items.create({"customer": customer, "amount": AMOUNT, "currency": "usd"})
        invoice = self.api.invoices.create(
            {
                "customer": customer,
                "auto_advance": False,
                "pending_invoice_items_behavior": "include",
            }
        )
        assert invoice.id is not None
        self.api.invoices.finalize_invoice(invoice.id)
        return invoice.id

    # --- what happens ----------------------------------------------------------------------------
    def next_charge(self, failing: Failing, ends: str) -> None:
        outcome: Any = {
            "paid": "succeed",
            "action": "requires_action",
            "processing": {"processing": {"seconds": 4 * 86_400}},
        }.get(ends, {"decline_code": ends})
        self.sandbox.next_charge(outcome, invoice=failing.invoice)

    def next_request(self, failing: Failing, fault: Fault) -> None:
        path = f"/v1/invoices/{failing.invoice}/pay"
        if fault in {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER}:
            self.provider = self.connect(self.url, timeout=HASTY)
        if fault is Fault.TIMEOUT_AFTER:
            self._late_answer(failing)
            return
        times = 9 if fault is Fault.LOCKED else 1
        self.sandbox.next_request(_FAULTS[fault], path=path, method="POST", times=times)

    def _late_answer(self, failing: Failing) -> None:
        """The charge ends as ordered before, and only then does the sandbox hang."""
        world = self.sandbox.world
        with world.lock:
            ordered = [r for r in world.faults.charges if r.match.get("invoice") == failing.invoice]
            for rule in ordered:
                world.faults.charges.remove(rule)
            ends = ordered[0].parsed if ordered else None
            world.issuer = lambda attempt: ends if attempt.invoice == failing.invoice else None
        self.sandbox.next_charge({"hang": HANG_SECONDS}, invoice=failing.invoice)

    def customer_pays(self, failing: Failing) -> None:
        assert self.sandbox.pays(failing.customer, failing.invoice) == "succeed"

    def customer_cancels(self, failing: Failing) -> None:
        assert failing.subscription in self.sandbox.cancels(failing.customer)

    def new_card(self, failing: Failing) -> str:
        self.pass_time(timedelta(minutes=10))
        return str(self.sandbox.new_card(failing.customer)["id"])

    def other_card(self, failing: Failing) -> str:
        wish: Any = {
            "customer": failing.customer,
            "payment_method": "pm_card_mastercard",
            "usage": "off_session",
            "confirm": True,
        }
        return str(self.api.setup_intents.create(wish).payment_method)

    def default(self, failing: Failing) -> str | None:
        customer: Any = self.api.customers.retrieve(failing.customer)
        default = customer.invoice_settings.default_payment_method
        return str(default) if default else None

    def pass_time(self, time: timedelta) -> None:
        self.sandbox.advance(int(time.total_seconds()))

    def now(self) -> datetime:
        return self.clock.now()

    # --- the books -------------------------------------------------------------------------------
    def line(self, invoice: str) -> dict[str, Any]:
        line: dict[str, Any] = self.sandbox.books()["invoices"][invoice]
        return line

    def tries(self, failing: Failing) -> int:
        return len(self.line(failing.invoice)["attempts"])

    def charges(self, failing: Failing) -> int:
        return int(self.line(failing.invoice)["successful_charges"])

    def subscription_state(self, failing: Failing) -> str:
        found = self.api.subscriptions.retrieve(failing.subscription)
        if found.status in {"canceled", "incomplete_expired"}:
            return "ended"
        return "paused" if found.pause_collection else "active"

    def asked(self, start: int = 0) -> list[tuple[str, str]]:
        """Method and path of the requests that the sandbox has had."""
        return [(each["method"], each["path"]) for each in self.sandbox.world.requests[start:]]


@contextmanager
def harness() -> Iterator[StripeHarness]:
    """A harness on a sandbox of its own."""
    sandbox = Sandbox()
    with sandbox.serve() as url:
        made = StripeHarness(sandbox, url)
        try:
            yield made
        finally:
            made.close()
