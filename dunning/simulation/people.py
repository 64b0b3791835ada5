"""The people of a simulated world: customers, their banks, and the merchant's staff at Stripe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dunning.sandbox import acts, aftermath, invoices
from dunning.sandbox.api.catalog import new_price, new_product
from dunning.sandbox.cards import card_by_number
from dunning.sandbox.customers import new_card_method, new_customer
from dunning.sandbox.errors import ApiError, Obj, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.outcomes import Attempt, Outcome, parse_outcome
from dunning.sandbox.periods import add_interval
from dunning.sandbox.sandbox import Sandbox
from dunning.sandbox.subscriptions import new_subscription, schedule
from dunning.sandbox.world import snapshot

# Has something done so many seconds from now.
Later = Callable[[int, str, Callable[[], object]], None]
CARD, OTHER_CARD, BAD_CARD = "4242424242424242", "4000056655665556", "4000000000000341"


@dataclass(slots=True)
class Person:
    """A customer, and how their next charges end; the last ending stays."""

    customer: str
    subscription: str
    method: str
    endings: list[str] = field(default_factory=list)
    renewed: bool = False


class People:
    """Everybody on the other side."""

    def __init__(self, sandbox: Sandbox, later: Later) -> None:
        self.later = later
        self.world = sandbox.world
        self.world.issuer = self._bank
        self.known: dict[int, Person] = {}

    def move_in(self, what: dict[str, Any]) -> None:
        """A customer with a card and a subscription that renews soon."""
        world = self.world
        zone = what["zone"]
        customer = new_customer(
            world,
            name=f"Ann {what['who']} Lee",
            email=f"ann{what['who']}@example.com" if what["email"] else None,
            currency=what["currency"],
            metadata={"timezone": zone} if zone else {},
        )
        month, year = what.get("expires", (12, 2034))
        method = new_card_method(world, card_by_number(CARD), month, year)
        method["customer"] = customer["id"]
        if "expires" in what:
            emit(world, "payment_method.attached", method)
        customer["invoice_settings"]["default_payment_method"] = method["id"]
        emit(world, "customer.created", customer)
        subscription = self._subscribe(customer, what)
        self.known[what["who"]] = Person(
            customer["id"], subscription["id"], method["id"], list(what["declines"])
        )

    def _subscribe(self, customer: Obj, what: dict[str, Any]) -> Obj:
        """A subscription that renews soon, as if it had gone on for a month or a year."""
        world = self.world
        product = new_product(world, "Pro")
        interval = what.get("interval", "month")
        price = new_price(world, product["id"], what["amount"], what["currency"], interval)
        renewal = world.now + what["renews"]
        before = add_interval(renewal, interval, -1)
        subscription = new_subscription(
            world,
            customer,
            [(price, 1)],
            current_period_start=before,
            current_period_end=renewal,
            billing_cycle_anchor=renewal,
            start_date=before,
            created=before,
        )
        emit(world, "customer.subscription.created", subscription)
        schedule(world, subscription)
        return subscription

    def _bank(self, attempt: Attempt) -> Outcome | None:
        """How a charge ends: by the customer's list, then well; a card has a mind of its own."""
        person = next(
            (one for one in self.known.values() if one.customer == attempt.customer), None
        )
        if person is None or not person.endings:
            return None
        ending = person.endings.pop(0)
        if attempt.actor == "customer" and ending == "requires_action":
            return None
        return parse_outcome(_outcome(ending))

    # --- acts ------------------------------------------------------------------------------

    def do(self, kind: str, what: dict[str, Any]) -> str:
        """Have somebody do something; what came of it."""
        person = self.known.get(what["who"])
        if person is None:
            return "nobody there"
        invoice = self._invoice(person)
        try:
            return self._do(kind, what, person, invoice)
        except ApiError as error:
            return f"not possible: {error.message}"[:90]

    def _do(self, kind: str, what: dict[str, Any], person: Person, invoice: Obj | None) -> str:
        world = self.world
        if kind == "new card":
            person.endings = person.endings if not what["good"] else []
            acts.new_card(world, person.customer, OTHER_CARD if what["good"] else BAD_CARD)
            return "done"
        if kind == "cancels":
            acts.cancels(world, person.customer, at_period_end=not what["at once"])
            return "done"
        if kind == "network updates":
            acts.automatically_updated(world, person.method)
            return "done"
        if kind == "stays":
            return self._stays(person)
        if kind == "card behaves":
            outcome = what["outcome"]
            person.endings = [] if outcome == "succeed" else [outcome] * 20
            return "done"
        if kind == "subscribes again":
            customer = world.get("customer", person.customer)
            self._subscribe(customer, {**what, "currency": customer["currency"]})
            person.endings += ["insufficient_funds"] * what["declines"]
            return "done"
        if invoice is None:
            return "there is no invoice yet"
        if kind == "pays":
            person.endings = []
            number = None if what["own card"] else OTHER_CARD
            return acts.pays(world, person.customer, invoice["id"], number).kind
        if kind in ("pays a part", "part, disputed"):
            person.endings = []
            amount = max(1, int(invoice["amount_remaining"] * what["share"]))
            acts.partial_payment(world, invoice["id"], amount)
            if kind == "part, disputed":
                self._dispute(acts.disputes(world, person.customer), what)
            return "done"
        if kind == "disputes":
            charge = self._charge(invoice)["id"]
            self._dispute(acts.disputes(world, person.customer, charge), what)
            return "done"
        with world.acting("stripe"):
            return self._staff(kind, what, invoice)

    def _stays(self, person: Person) -> str:
        """Who cancelled at the end of the term stays after all, if there is time."""
        with self.world.acting("customer"):
            for subscription in self.world.all("subscription"):
                mine = subscription["customer"] == person.customer
                if mine and subscription["cancel_at_period_end"]:
                    before = snapshot(subscription)
                    subscription |= {"cancel_at_period_end": False, "canceled_at": None}
                    emit_updated(self.world, "customer.subscription.updated", subscription, before)
        return "done"

    def _staff(self, kind: str, what: dict[str, Any], invoice: Obj) -> str:
        """What the merchant's people do in Stripe's dashboard."""
        world = self.world
        if kind == "voids":
            invoices.void(world, invoice)
        elif kind == "writes off":
            invoices.mark_uncollectible(world, invoice)
        elif kind == "credits":
            amount = max(1, int(invoice["amount_remaining"] * what["share"]))
            aftermath.credit_note(world, invoice, amount, None)
        elif kind == "refunds":
            charge = self._charge(invoice)
            left = charge["amount_captured"] - charge["amount_refunded"]
            aftermath.refund(world, charge, max(1, int(left * what["share"])))
        return "done"

    def _dispute(self, made: Obj, what: dict[str, Any]) -> None:
        """It is closed some days later."""
        if what["closes"]:
            self.later(40 * 3600, f"a dispute is {what['closes']}", lambda: self._close(made, what))

    def _close(self, made: Obj, what: dict[str, Any]) -> None:
        aftermath.close_dispute(self.world, made, what["closes"])

    def _charge(self, invoice: Obj) -> Obj:
        good = [
            one
            for one in self.world.all("charge")
            if one.get("_invoice") == invoice["id"] and one["status"] == "succeeded"
        ]
        if not good:
            raise refused("This invoice has no successful charge.")
        return good[-1]

    def _invoice(self, person: Person) -> Obj | None:
        mine = [one for one in self.world.all("invoice") if one["customer"] == person.customer]
        return mine[-1] if mine else None

    def invoice_of(self, who: int) -> str | None:
        """The customer's only invoice."""
        person = self.known.get(who)
        invoice = self._invoice(person) if person else None
        return invoice["id"] if invoice else None


def _outcome(ending: str) -> Any:
    if ending.startswith("processing:"):
        then = ending.partition(":")[2]
        after: Any = "succeed" if then == "succeed" else {"decline_code": "insufficient_funds"}
        return {"processing": {"seconds": 30 * 3600, "then": after}}
    if ending in ("succeed", "requires_action"):
        return ending
    return {"decline_code": ending}
