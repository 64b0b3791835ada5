"""What customers, banks and card networks do by themselves, as direct calls."""

from __future__ import annotations

from dunning.sandbox import aftermath, collecting, receiving, substates
from dunning.sandbox.cards import card_by_name, card_by_number
from dunning.sandbox.charging import charge, new_intent
from dunning.sandbox.customers import (
    confirm_setup,
    find_method,
    method_from_number,
    new_setup_intent,
    new_source,
    set_default,
)
from dunning.sandbox.errors import Obj, invalid, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.jobs import job
from dunning.sandbox.outcomes import Outcome
from dunning.sandbox.render import fingerprint
from dunning.sandbox.world import World, snapshot


def pays(world: World, customer_id: str, invoice_id: str, number: str | None = None) -> Outcome:
    """The customer pays on the hosted page, present to answer the bank's question."""
    with world.acting("customer"):
        invoice = world.get("invoice", invoice_id, "invoice")
        if invoice["customer"] != customer_id:
            raise refused("That invoice belongs to another customer.")
        method = None
        if number is not None:
            customer = world.get("customer", customer_id)
            method = method_from_number(world, number)
            setup = new_setup_intent(world, customer["id"])
            confirm_setup(world, setup, method, present=True)
        collecting.check_payable(world, invoice)
        outcome = collecting.pay(world, invoice, method, off_session=False)
        if outcome is None:
            raise refused("There is no card to pay with.")
        return outcome


def new_card(world: World, customer_id: str, card: str, *, for_subscriptions: bool = False) -> Obj:
    """A new card through the portal, by number or by token; it becomes the default.

    `for_subscriptions` also puts it on subscriptions that had a default of their own, which
    Stripe's portal does only in some of its flows.
    """
    with world.acting("customer"):
        customer = world.get("customer", customer_id)
        intent = new_setup_intent(world, customer["id"])
        emit(world, "setup_intent.created", intent)
        if card.startswith(("tok_", "pm_")):
            special = card_by_name(card)
            method = (
                method_from_number(world, special.number) if special else find_method(world, card)
            )
        else:
            method = method_from_number(world, card)
        confirm_setup(world, intent, method, present=True)
        set_default(world, customer, method)
        if for_subscriptions:
            for subscription in world.all("subscription"):
                mine = subscription["customer"] == customer["id"]
                if mine and subscription["default_payment_method"]:
                    before = snapshot(subscription)
                    subscription["default_payment_method"] = method["id"]
                    emit_updated(world, "customer.subscription.updated", subscription, before)
        return method


def cancels(world: World, customer_id: str, *, at_period_end: bool = False) -> list[str]:
    """The customer ends all subscriptions through the portal."""
    ended = []
    with world.acting("customer"):
        for subscription in world.all("subscription"):
            mine = subscription["customer"] == customer_id
            if not mine or subscription["status"] in substates.ENDED:
                continue
            if at_period_end:
                before = snapshot(subscription)
                subscription["cancel_at_period_end"] = True
                subscription["canceled_at"] = world.now
                subscription["cancellation_details"]["reason"] = "cancellation_requested"
                emit_updated(world, "customer.subscription.updated", subscription, before)
            else:
                substates.end(world, subscription, "cancellation_requested", feedback="other")
            ended.append(str(subscription["id"]))
    return ended


def disputes(
    world: World, customer_id: str, charge_id: str | None = None, reason: str = "fraudulent"
) -> Obj:
    """The customer's bank takes a payment back; without a charge, the latest good one."""
    with world.acting("customer"):
        if charge_id is None:
            for one in world.all("charge"):
                if one["customer"] == customer_id and one["status"] == "succeeded":
                    charge_id = one["id"]
        if charge_id is None:
            raise refused("This customer has no successful charge to dispute.")
        return aftermath.dispute(world, charge_id, reason)


def automatically_updated(
    world: World, method_id: str, number: str | None = None, exp_year: int | None = None
) -> Obj:
    """The card network replaces the card behind a payment method; its id stays the same."""
    with world.acting("stripe"):
        method = world.get("payment_method", method_id)
        before = snapshot(method)
        card = method["card"]
        if number is not None:
            special = card_by_number(number)
            method["_number"] = special.number
            card["brand"], card["last4"] = special.brand, special.last4
            card["fingerprint"] = fingerprint(special.number)
        card["exp_year"] = exp_year or card["exp_year"] + 3
        method["_renewed"] = method.get("_renewed", 0) + 1
        emit(world, "payment_method.automatically_updated", method, before)
        return method


def partial_payment(world: World, invoice_id: str, amount: int, by: str = "customer") -> Obj:
    """A part of an invoice is paid, with a payment of its own."""
    with world.acting(by):
        invoice = world.get("invoice", invoice_id)
        collecting.check_payable(world, invoice)
        if not 0 < amount <= invoice["amount_remaining"]:
            raise invalid("The amount must be more than nothing and at most what remains.")
        method = collecting.choose_method(world, invoice)
        if method is None:
            method = find_method(world, "pm_card_visa")
        intent = new_intent(world, amount, invoice["currency"], invoice["customer"])
        outcome = charge(world, intent, method, off_session=False)
        if outcome.kind != "succeed":
            raise refused(f"The partial payment ended in {outcome.kind}.")
        return receiving.attach_payment(world, invoice, intent)


def expiring_source(world: World, customer_id: str, token: str = "tok_visa") -> Obj:  # noqa: S107
    """A legacy card is about to expire; Stripe tells of legacy cards only."""
    with world.acting("stripe"):
        customer = world.get("customer", customer_id)
        source = world.find("card", customer["default_source"])
        if source is None:
            source = new_source(world, customer, token)
        emit(world, "customer.source.expiring", source)
        return source


@job("act.pays")
def _pays_later(world: World, customer_id: str, invoice_id: str) -> None:
    """A planned visit to the hosted page; by then the invoice may be settled."""
    invoice = world.find("invoice", invoice_id)
    if invoice is not None and invoice["status"] in ("open", "uncollectible"):
        pays(world, customer_id, invoice_id)
