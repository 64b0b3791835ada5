"""Charges: one attempt on one card, how it ends, and what the payment intent says of it."""

from __future__ import annotations

from dunning.sandbox import faults
from dunning.sandbox.cards import bank_of, card_of
from dunning.sandbox.charges import fail_charge, new_charge
from dunning.sandbox.customers import method_type
from dunning.sandbox.errors import ApiError, Obj
from dunning.sandbox.events import emit
from dunning.sandbox.outcomes import (
    REQUIRES_ACTION,
    SUCCEED,
    Attempt,
    Outcome,
    charge_outcome,
    decline,
    error_code,
    error_message,
)
from dunning.sandbox.world import World


def new_intent(
    world: World, amount: int, currency: str, customer: str | None, invoice: str | None = None
) -> Obj:
    """A payment intent; those of invoices remember theirs."""
    key = world.id("pi")
    return world.add(
        {
            "id": key,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": f"{key}_secret_{world.ids.token(key, 24)}",
            "confirmation_method": "automatic",
            "created": world.now,
            "currency": currency,
            "customer": customer,
            "customer_account": None,
            "description": "Subscription update" if invoice else None,
            "excluded_payment_method_types": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "managed_payments": None,
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": None,
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
            "_invoice": invoice,
            "_processing_outcome": None,
        }
    )


def decide(world: World, attempt: Attempt) -> Outcome:
    """How this charge ends: an order from a test, the card's own nature, the issuer, or well."""
    method = attempt.payment_method
    rule = world.faults.next_charge(attempt)
    if rule is not None and rule.parsed is not None:
        return rule.parsed
    if rule is not None:
        if world.request is not None:
            faults.apply_to_request(rule.outcome, world.request)
        forced = faults.outcome_under_fault(rule.outcome)
        if forced is not None:
            return forced
    if method_type(method) != "card":
        return _bank_outcome(world, method)
    card = card_of(method)
    present = attempt.actor == "customer"
    if card.decline is not None and card.authentication == "no":
        return decline(card.decline)
    asks = card.authentication == "always" or (
        card.authentication == "setup" and not method["_authenticated"]
    )
    if asks and not present:
        return REQUIRES_ACTION
    if present:
        method["_authenticated"] = True
    if card.decline is not None:
        return decline(card.decline)
    said = world.issuer(attempt) if world.issuer is not None else None
    return said or SUCCEED


def _bank_outcome(world: World, method: Obj) -> Outcome:
    mandate = world.find("mandate", method.get("_mandate"))
    if mandate is not None and mandate["status"] != "active":
        return decline("debit_not_authorized", outcome_type="invalid")
    bank = bank_of(method)
    end = decline(bank.decline) if bank.decline else SUCCEED
    return Outcome("processing", settles=end, settle_seconds=bank.settle_seconds)


def charge(
    world: World,
    intent: Obj,
    method: Obj,
    *,
    off_session: bool,
    subscription: str | None = None,
) -> Outcome:
    """Try the intent's amount on the method once. Invoices are settled by the caller."""
    attempt = Attempt(
        customer=intent["customer"],
        payment_method=method,
        invoice=intent["_invoice"],
        subscription=subscription,
        amount=intent["amount"],
        currency=intent["currency"],
        at=world.now,
        actor=world.actor,
        off_session=off_session,
    )
    outcome = decide(world, attempt)
    intent["payment_method"] = method["id"]
    intent["payment_method_types"] = [method_type(method)]
    intent["last_payment_error"] = None
    intent["next_action"] = None
    intent["_begun_by"] = (world.actor, world.request.key if world.request else None)
    if outcome.kind == "requires_action":
        _needs_action(world, intent)
    elif outcome.kind == "processing":
        _begin_processing(world, intent, method, outcome)
    elif outcome.kind == "decline":
        _declined(world, intent, method, outcome, new_charge(world, intent, method, outcome))
    else:
        _succeeded(world, intent, new_charge(world, intent, method, outcome))
    world.books.write(
        "attempt",
        world.now,
        intent["_invoice"],
        intent["currency"],
        amount=intent["amount"],
        by=world.actor,
        how=method_type(method),
        charge=intent["latest_charge"],
        key=world.request.key if world.request else None,
        payment_method=method["id"],
        decline_code=outcome.decline_code,
        outcome=outcome.kind,
    )
    return outcome


def _needs_action(world: World, intent: Obj) -> None:
    intent["status"] = "requires_action"
    intent["next_action"] = {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {
            "type": "three_d_secure_redirect",
            "stripe_js": f"{world.base_url}/3ds/{intent['id']}",
        },
    }
    emit(world, "payment_intent.requires_action", intent)


def _begin_processing(world: World, intent: Obj, method: Obj, outcome: Outcome) -> None:
    pending = new_charge(world, intent, method, outcome)
    intent["status"] = "processing"
    intent["processing"] = {"type": method_type(method)}
    intent["_processing_outcome"] = outcome.settles or SUCCEED
    emit(world, "charge.pending", pending)
    emit(world, "payment_intent.processing", intent)
    seconds = outcome.settle_seconds
    wait = seconds if seconds is not None else world.settings.bank_debit_seconds
    world.at(world.now + wait, "intent.settle", intent["id"], pending["id"])


def _declined(world: World, intent: Obj, method: Obj, outcome: Outcome, failed: Obj) -> None:
    fail_charge(world, failed, outcome)
    intent["status"] = "requires_payment_method"
    intent["processing"] = None
    intent["last_payment_error"] = payment_error(world, intent, method, outcome, failed["id"])
    intent["payment_method"] = None
    emit(world, "payment_intent.payment_failed", intent)


def _succeeded(world: World, intent: Obj, done: Obj) -> None:
    manual = intent["capture_method"] == "manual"
    intent["processing"] = None
    if manual:
        intent["status"] = "requires_capture"
        intent["amount_capturable"] = intent["amount"]
        done["captured"], done["amount_captured"] = False, 0
        emit(world, "charge.succeeded", done)
        emit(world, "payment_intent.amount_capturable_updated", intent)
        return
    intent["status"] = "succeeded"
    intent["amount_received"] = intent["amount"]
    emit(world, "charge.succeeded", done)
    emit(world, "payment_intent.succeeded", intent)
    after_success(world, done)


def after_success(world: World, done: Obj) -> None:
    """Some cards dispute what they paid, a little later."""
    method = done["_method"]
    reason = method.get("dispute")
    if reason:
        world.at(world.now, "dispute.open", done["id"], reason, method.get("inquiry", False))


def finish_processing(world: World, intent: Obj, pending: Obj) -> Outcome:
    """The bank has answered a debit."""
    outcome: Outcome = intent["_processing_outcome"]
    method = world.find("payment_method", pending["payment_method"]) or {"type": "card"}
    if outcome.kind == "decline":
        pending["outcome"] = charge_outcome(outcome)
        _declined(world, intent, method, outcome, pending)
    else:
        pending["status"], pending["paid"], pending["captured"] = "succeeded", True, True
        pending["amount_captured"] = pending["amount"]
        pending["outcome"] = charge_outcome(SUCCEED)
        _succeeded(world, intent, pending)
    return outcome


def payment_error(
    world: World, intent: Obj, method: Obj, outcome: Outcome, charge_id: str | None
) -> Obj:
    """`last_payment_error`: the richest account of a decline."""
    shown = {name: value for name, value in method.items() if not name.startswith("_")}
    code = error_code(outcome)
    return {
        "advice_code": outcome.advice_code,
        "charge": charge_id,
        "code": code,
        "decline_code": outcome.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "message": error_message(outcome),
        "network_advice_code": outcome.network_advice_code,
        "network_decline_code": outcome.network_decline_code,
        "payment_method": shown,
        "type": "card_error",
    }


def card_error(world: World, intent: Obj, outcome: Outcome) -> ApiError:
    """The 402 a declined request answers with."""
    last = intent["last_payment_error"] or {}
    method = world.find("payment_method", (last.get("payment_method") or {}).get("id"))
    return ApiError(
        402,
        error_message(outcome),
        kind="card_error",
        code=error_code(outcome),
        fields={
            "advice_code": outcome.advice_code,
            "charge": intent["latest_charge"],
            "decline_code": outcome.decline_code,
            "network_advice_code": outcome.network_advice_code,
            "network_decline_code": outcome.network_decline_code,
            "payment_intent": intent,
            "payment_method": method,
        },
    )
