"""Collecting an invoice: which method, the attempt, what success and failure change."""

from __future__ import annotations

from dunning.sandbox import substates
from dunning.sandbox.charging import card_error, charge, finish_processing
from dunning.sandbox.customers import belongs_to, find_method
from dunning.sandbox.errors import ApiError, Obj, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.invoices import (
    cancel_payment,
    default_payment,
    finalize,
    mark_uncollectible,
    open_payment,
    void,
)
from dunning.sandbox.jobs import job
from dunning.sandbox.outcomes import Outcome
from dunning.sandbox.receiving import paid_by_intent, receive, write_paid
from dunning.sandbox.world import DAY, World, snapshot

# Stripe keeps scheduling after these but executes nothing until there is another method.
_NOT_EXECUTED = frozenset(
    {
        "authentication_required",
        "highest_risk_level",
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "transaction_not_allowed",
    }
)


def choose_method(world: World, invoice: Obj) -> Obj | None:
    """The method Stripe would charge: the invoice's, the subscription's, the customer's."""
    subscription = substates.subscription_of(world, invoice) or {}
    customer = world.need("customer", invoice["customer"])
    names = (
        invoice["default_payment_method"],
        invoice["default_source"],
        subscription.get("default_payment_method"),
        subscription.get("default_source"),
        (customer.get("invoice_settings") or {}).get("default_payment_method"),
        customer.get("default_source"),
    )
    for name in names:
        method = world.find("payment_method", name) or world.find("card", name)
        if method is not None and belongs_to(method, invoice["customer"]):
            return method
    return None


def check_payable(world: World, invoice: Obj) -> None:
    """Refuse what cannot be paid, in Stripe's words."""
    if invoice["status"] == "paid":
        raise refused("Invoice is already paid", "invoice_already_paid")
    if invoice["status"] == "void":
        raise refused("Voided invoices cannot be paid.")
    intent = world.find("payment_intent", invoice["_payment_intent"])
    if intent is not None and intent["status"] == "processing":
        raise refused(
            "This invoice has a payment that is still processing; it cannot be paid again until"
            " that payment has succeeded or failed.",
            "payment_intent_unexpected_state",
        )


def named_method(world: World, invoice: Obj, name: str) -> Obj:
    """The method a request asks for; it must be the customer's own."""
    method = find_method(world, name)
    if not belongs_to(method, invoice["customer"]):
        raise refused(
            f"The customer does not have a payment method with the ID {name}. The payment method"
            " must be attached to the customer.",
            "resource_missing",
            "payment_method",
        )
    return method


def pay(
    world: World,
    invoice: Obj,
    method: Obj | None = None,
    *,
    off_session: bool = True,
    automatic: bool = False,
) -> Outcome | None:
    """One attempt to collect all that remains; None when there was no method to try."""
    check_payable(world, invoice)
    if invoice["status"] == "draft":
        finalize(world, invoice, collect=False)
        if invoice["status"] == "paid":
            return None
    method = method or choose_method(world, invoice)
    intent = _intent(world, invoice)
    intent["amount"] = invoice["amount_remaining"]
    payment = default_payment(world, invoice)
    if payment is not None:
        payment["amount_requested"] = intent["amount"]
    before = snapshot(invoice)
    if method is None:
        _write_missing(world, invoice)
        _count_attempt(invoice, automatic)
        _failed(world, invoice, before, None, automatic)
        return None
    subscription = substates.subscription_of(world, invoice)
    outcome = charge(
        world,
        intent,
        method,
        off_session=off_session,
        subscription=subscription["id"] if subscription else None,
    )
    invoice["_charge"] = intent["latest_charge"]
    invoice["_last_method"] = method["id"]
    _count_attempt(invoice, automatic)
    if outcome.kind == "succeed":
        paid_by_intent(world, invoice, before, intent)
    elif outcome.kind == "processing":
        invoice["next_payment_attempt"] = None
        emit_updated(world, "invoice.updated", invoice, before)
        substates.processing(world, invoice)
    else:
        _failed(world, invoice, before, outcome, automatic)
    return outcome


def _write_missing(world: World, invoice: Obj) -> None:
    """An attempt that failed for want of a method is one in the books too."""
    world.books.write(
        "attempt",
        world.now,
        invoice["id"],
        invoice["currency"],
        amount=invoice["amount_remaining"],
        by=world.actor,
        how="none",
        outcome="no_method",
    )


def pay_or_raise(
    world: World, invoice: Obj, method: Obj | None = None, *, off_session: bool = True
) -> None:
    """For requests: a decline is a 402 that carries everything there is to know."""
    check_payable(world, invoice)
    if method is None and choose_method(world, invoice) is None:
        raise refused(
            "This customer has no attached payment source or default payment method. Please"
            " consider adding a default payment method. For more information, visit"
            " https://stripe.com/docs/billing/payment-methods-overview",
            "resource_missing",
        )
    outcome = pay(world, invoice, method, off_session=off_session)
    if outcome is None or outcome.kind in ("succeed", "processing"):
        return
    intent = world.need("payment_intent", invoice["_payment_intent"])
    if outcome.kind == "decline":
        raise card_error(world, intent, outcome)
    raise ApiError(
        402,
        "This payment requires additional user action before it can be completed successfully."
        " Payment can be completed using the PaymentIntent associated with the invoice. For more"
        " details see:"
        " https://stripe.com/docs/billing/subscriptions/overview#requires-action",
        kind="card_error",
        code="invoice_payment_intent_requires_action",
        fields={"payment_intent": intent},
    )


def pay_out_of_band(world: World, invoice: Obj) -> None:
    """Paid somewhere else: no charge."""
    check_payable(world, invoice)
    if invoice["status"] == "draft":
        finalize(world, invoice, collect=False)
        if invoice["status"] == "paid":
            return
    before = snapshot(invoice)
    amount = invoice["amount_remaining"]
    invoice["_paid_out_of_band"] = True
    invoice["attempted"] = True
    invoice["amount_paid_off_stripe"] += amount
    cancel_payment(world, invoice, "void_invoice")
    write_paid(world, invoice, amount, None, "out_of_band", None)
    receive(world, invoice, before, amount, charged=False)


def _intent(world: World, invoice: Obj) -> Obj:
    """The invoice's own intent; a cancelled one is replaced."""
    intent = world.find("payment_intent", invoice["_payment_intent"])
    if intent is None or intent["status"] in ("canceled", "succeeded"):
        open_payment(world, invoice)
        intent = world.need("payment_intent", invoice["_payment_intent"])
    return intent


def _count_attempt(invoice: Obj, automatic: bool) -> None:
    """Any first attempt counts, later ones only when Stripe makes them by itself."""
    if automatic or invoice["attempt_count"] == 0:
        invoice["attempt_count"] += 1
    invoice["attempted"] = True


def _failed(
    world: World, invoice: Obj, before: Obj, outcome: Outcome | None, automatic: bool
) -> None:
    invoice["_last_decline"] = outcome.decline_code if outcome else None
    if automatic:
        schedule_retry(world, invoice)
    emit_updated(world, "invoice.updated", invoice, before)
    if outcome is not None and outcome.kind == "requires_action":
        emit(world, "invoice.payment_action_required", invoice)
    emit(world, "invoice.payment_failed", invoice)
    substates.set_delinquent(world, invoice["customer"], True)
    substates.payment_failed(world, invoice)
    if automatic and invoice["next_payment_attempt"] is None:
        _exhausted(world, invoice)


def schedule_retry(world: World, invoice: Obj) -> None:
    """Stripe's own next attempt, when its retries are on and some are left.

    Without one the invoice no longer advances by itself: `auto_advance` turns false.
    """
    days = world.settings.smart_retries
    done = invoice["_retries_done"]
    subscription = substates.subscription_of(world, invoice)
    ended = subscription is not None and subscription["status"] in substates.ENDED
    if done >= len(days) or not invoice["auto_advance"] or ended:
        invoice["next_payment_attempt"] = None
        invoice["auto_advance"] = False
        return
    invoice["_retries_done"] = done + 1
    invoice["next_payment_attempt"] = world.now + int(days[done] * DAY)
    world.at(
        invoice["next_payment_attempt"],
        "invoice.retry",
        invoice["id"],
        invoice["next_payment_attempt"],
    )


def _exhausted(world: World, invoice: Obj) -> None:
    """What the account is set to do when Stripe has given up."""
    subscription = substates.subscription_of(world, invoice)
    if subscription is None or subscription["status"] != "past_due":
        return
    what = world.settings.after_exhaustion
    if what == "cancel":
        substates.end(world, subscription, "payment_failed")
    elif what == "unpaid":
        substates.set_status(world, subscription, "unpaid")


@job("invoice.collect")
def _collect_job(world: World, key: str) -> None:
    """The first automatic attempt, right after finalising."""
    invoice = world.find("invoice", key)
    if invoice is None or invoice["status"] != "open" or not invoice["auto_advance"]:
        return
    subscription = substates.subscription_of(world, invoice)
    paused = (subscription or {}).get("pause_collection") or {}
    if paused.get("behavior") == "mark_uncollectible":
        mark_uncollectible(world, invoice, "subscription_paused")
        return
    if paused.get("behavior") == "void":
        void(world, invoice)
        return
    pay(world, invoice, automatic=True)


@job("invoice.retry")
def _retry_job(world: World, key: str, planned: int) -> None:
    invoice = world.find("invoice", key)
    if invoice is None or invoice["status"] != "open" or not invoice["auto_advance"]:
        return
    if invoice["next_payment_attempt"] != planned:
        return
    method = choose_method(world, invoice)
    hopeless = invoice["_last_decline"] in _NOT_EXECUTED
    if hopeless and method is not None and method["id"] == invoice["_last_method"]:
        before = snapshot(invoice)
        invoice["attempt_count"] += 1
        schedule_retry(world, invoice)
        emit_updated(world, "invoice.updated", invoice, before)
        if invoice["next_payment_attempt"] is None:
            _exhausted(world, invoice)
        return
    pay(world, invoice, automatic=True)


@job("intent.settle")
def _settle_job(world: World, intent_id: str, charge_id: str) -> None:
    """A bank debit that was processing has ended."""
    intent = world.need("payment_intent", intent_id)
    if intent["status"] != "processing":
        return
    pending = world.need("charge", charge_id)
    outcome = finish_processing(world, intent, pending)
    invoice = world.find("invoice", intent["_invoice"])
    if invoice is None:
        return
    before = snapshot(invoice)
    if outcome.kind == "decline":
        world.books.write(
            "attempt",
            world.now,
            invoice["id"],
            invoice["currency"],
            amount=intent["amount"],
            by="stripe",
            how="settlement",
            charge=charge_id,
            decline_code=outcome.decline_code,
            outcome="decline",
        )
        if invoice["status"] == "open":
            _failed(world, invoice, before, outcome, automatic=True)
    elif invoice["status"] in ("open", "uncollectible"):
        paid_by_intent(world, invoice, before, intent)
