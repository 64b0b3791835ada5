"""Customers and how they pay: payment methods, legacy cards, mandates, set-up."""

from __future__ import annotations

from typing import Any

from dunning.sandbox.cards import (
    BANKS,
    TestBank,
    TestCard,
    bank_by_number,
    card_by_name,
    card_by_number,
    card_of,
)
from dunning.sandbox.errors import ApiError, Obj, missing, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.outcomes import decline, error_code, error_message
from dunning.sandbox.params import Params
from dunning.sandbox.render import fingerprint
from dunning.sandbox.world import World, snapshot

ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def address(params: Params) -> Obj | None:
    """An address hash, or nothing."""
    if not params.data:
        return None
    params.allow(ADDRESS)
    return {name: params.text(name) for name in ADDRESS}


def new_customer(world: World, **facts: Any) -> Obj:
    """A customer; the event is sent by whoever has finished with it."""
    customer: Obj = {
        "id": world.id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": world.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": world.ids.token(f"prefix/{world.sequence()}", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    customer.update(facts)
    return world.add(customer)


# --- payment methods ---------------------------------------------------------------------------
def new_card_method(
    world: World,
    card: TestCard,
    exp_month: int = 12,
    exp_year: int = 2034,
    billing: Obj | None = None,
) -> Obj:
    """A card as a payment method, not yet attached to anybody."""
    return world.add(
        {
            **_method(world, "card", billing),
            "card": {
                "brand": card.brand,
                "checks": {
                    "address_line1_check": None,
                    "address_postal_code_check": None,
                    "cvc_check": "pass",
                },
                "country": card.country,
                "display_brand": card.brand,
                "exp_month": exp_month,
                "exp_year": exp_year,
                "fingerprint": fingerprint(card.number),
                "funding": card.funding,
                "generated_from": None,
                "last4": card.last4,
                "networks": {"available": [card.brand], "preferred": None},
                "regulated_status": "unregulated",
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "_number": card.number,
        }
    )


def new_bank_method(world: World, bank: TestBank, billing: Obj | None = None) -> Obj:
    """A bank account as a payment method, with the mandate that lets it be debited."""
    details: Obj = {"fingerprint": fingerprint(bank.number), "last4": bank.last4}
    if bank.kind == "us_bank_account":
        details |= {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "financial_connections_account": None,
            "networks": {"preferred": "ach", "supported": ["ach"]},
            "routing_number": "110000000",
            "status_details": {},
        }
    else:
        details |= {
            "bank_code": "19043",
            "branch_code": "",
            "country": bank.number[:2],
            "generated_from": {"charge": None, "setup_attempt": None},
        }
    method = world.add(
        {**_method(world, bank.kind, billing), bank.kind: details, "_number": bank.number}
    )
    mandate = new_mandate(world, method)
    method["_mandate"] = mandate["id"]
    return method


def _method(world: World, kind: str, billing: Obj | None) -> Obj:
    empty: Obj = {"address": dict.fromkeys(ADDRESS), "email": None, "name": None}
    return {
        "id": world.id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {**empty, "phone": None, "tax_id": None, **(billing or {})},
        "created": world.now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
        "_authenticated": False,
    }


def new_mandate(world: World, method: Obj) -> Obj:
    """The customer's leave to debit a bank account."""
    kind = method["type"]
    return world.add(
        {
            "id": world.id("mandate"),
            "object": "mandate",
            "customer_acceptance": {
                "accepted_at": world.now,
                "online": {"ip_address": "127.0.0.1", "user_agent": "simulated"},
                "type": "online",
            },
            "livemode": False,
            "multi_use": {},
            "payment_method": method["id"],
            "payment_method_details": {kind: {}, "type": kind},
            "status": "active",
            "type": "multi_use",
        }
    )


def revoke_mandate(world: World, mandate: Obj) -> None:
    """The bank tells us that debits are no longer allowed."""
    before = snapshot(mandate)
    mandate["status"] = "inactive"
    emit_updated(world, "mandate.updated", mandate, before)


def method_by_magic(world: World, name: str) -> Obj | None:
    """A fresh payment method for `pm_card_visa` and its relatives."""
    card = card_by_name(name)
    if card is not None:
        return new_card_method(world, card)
    bank = BANKS.get(name)
    return new_bank_method(world, bank) if bank else None


def find_method(world: World, name: str, param: str = "payment_method") -> Obj:
    """A kept payment method or legacy card, a fresh one for a magic name, or 404."""
    kept = world.find("payment_method", name) or world.find("card", name)
    made = kept or method_by_magic(world, name)
    if made is None:
        raise missing("PaymentMethod", name, param)
    return made


def method_from_number(world: World, number: str, month: int = 12, year: int = 2034) -> Obj:
    """A payment method for a card number or an IBAN typed into a page."""
    digits = number.replace(" ", "")
    if digits[:2].isalpha():
        return new_bank_method(world, bank_by_number("sepa_debit", digits))
    return new_card_method(world, card_by_number(digits), month, year)


def attach(world: World, method: Obj, customer: Obj) -> Obj:
    """Give the method to the customer; some test cards are refused here already."""
    if customer.get("deleted"):
        raise missing("customer", customer["id"], "customer")
    if method["customer"] == customer["id"]:
        return method
    if method["customer"] is not None:
        raise refused(
            "The payment method you provided has already been attached to a customer.",
            "payment_method_unexpected_state",
        )
    if method["type"] == "card":
        refuse_bad_card(method)
    method["customer"] = customer["id"]
    emit(world, "payment_method.attached", method)
    return method


def refuse_bad_card(method: Obj) -> None:
    """Cards that fail their first check cannot be kept."""
    card = card_of(method)
    if card.attaches:
        return
    outcome = decline(card.decline or "generic_decline")
    raise ApiError(
        402,
        error_message(outcome),
        kind="card_error",
        code=error_code(outcome),
        fields={
            "decline_code": outcome.decline_code,
            "advice_code": outcome.advice_code,
            "network_decline_code": outcome.network_decline_code,
        },
    )


def detach(world: World, method: Obj) -> Obj:
    """Take the method away from its customer and from everything that used it by default."""
    if method["customer"] is None:
        raise refused(
            "The payment method you provided is not attached to a customer so detachment is"
            " impossible."
        )
    before = snapshot(method)
    customer = world.find("customer", method["customer"])
    method["customer"] = None
    emit(world, "payment_method.detached", method, before)
    if customer is not None and not customer.get("deleted"):
        was = snapshot(customer)
        if customer["invoice_settings"]["default_payment_method"] == method["id"]:
            customer["invoice_settings"]["default_payment_method"] = None
            emit_updated(world, "customer.updated", customer, was)
    for subscription in world.all("subscription"):
        if subscription["default_payment_method"] == method["id"]:
            old = snapshot(subscription)
            subscription["default_payment_method"] = None
            emit_updated(world, "customer.subscription.updated", subscription, old)
    return method


def set_default(world: World, customer: Obj, method: Obj) -> None:
    """Make it the method for the customer's invoices."""
    before = snapshot(customer)
    customer["invoice_settings"]["default_payment_method"] = method["id"]
    emit_updated(world, "customer.updated", customer, before)


# --- legacy cards ------------------------------------------------------------------------------
def new_source(world: World, customer: Obj, token: str, name: str | None = None) -> Obj:
    """A legacy card made from a token; it behaves like the payment method of the same number."""
    card = card_by_name(token)
    if card is None:
        raise missing("token", token, "source")
    source: Obj = {
        "id": world.id("card"),
        "object": "card",
        **{f"address_{part}": None for part in ("city", "country", "line1", "line2", "state")},
        "address_line1_check": None,
        "address_zip": None,
        "address_zip_check": None,
        "brand": card.brand.title(),
        "country": card.country,
        "customer": customer["id"],
        "cvc_check": "pass",
        "dynamic_last4": None,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": fingerprint(card.number),
        "funding": card.funding,
        "last4": card.last4,
        "metadata": {},
        "name": name,
        "regulated_status": "unregulated",
        "tokenization_method": None,
        # What charging needs from any method:
        "_number": card.number,
        "_authenticated": False,
    }
    refuse_bad_card({"_number": card.number, "type": "card"})
    world.add(source)
    if customer["default_source"] is None:
        customer["default_source"] = source["id"]
    return source


def method_type(method: Obj) -> str:
    """card, us_bank_account or sepa_debit; a legacy card is a card."""
    return str(method.get("type") or "card")


def belongs_to(method: Obj, customer: str | None) -> bool:
    """True when the customer may be charged with it."""
    return method["customer"] is not None and method["customer"] == customer


# --- set-up ------------------------------------------------------------------------------------
def new_setup_intent(world: World, customer: str | None, **facts: Any) -> Obj:
    """The act of setting a method up for later."""
    key = world.id("seti")
    return world.add(
        {
            "id": key,
            "object": "setup_intent",
            "application": None,
            "automatic_payment_methods": None,
            "cancellation_reason": None,
            "client_secret": f"{key}_secret_{world.ids.token(key, 24)}",
            "created": world.now,
            "customer": customer,
            "customer_account": None,
            "description": None,
            "excluded_payment_method_types": None,
            "flow_directions": None,
            "last_setup_error": None,
            "latest_attempt": None,
            "livemode": False,
            "mandate": None,
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "single_use_mandate": None,
            "status": "requires_payment_method",
            "usage": "off_session",
            **facts,
        }
    )


def confirm_setup(world: World, intent: Obj, method: Obj, *, present: bool = False) -> Obj:
    """Set the method up; `present` means the customer is there to pass the bank's question."""
    card = card_of(method) if method_type(method) == "card" else None
    intent["payment_method"] = method["id"]
    if card is not None and not card.attaches:
        outcome = decline(card.decline or "generic_decline")
        intent["status"] = "requires_payment_method"
        intent["payment_method"] = None
        intent["last_setup_error"] = {
            "code": error_code(outcome),
            "decline_code": outcome.decline_code,
            "message": error_message(outcome),
            "type": "card_error",
        }
        emit(world, "setup_intent.setup_failed", intent)
        refuse_bad_card(method)
    if card is not None and card.authentication != "no" and not present:
        intent["status"] = "requires_action"
        intent["next_action"] = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect"},
        }
        emit(world, "setup_intent.requires_action", intent)
        return intent
    method["_authenticated"] = True
    customer = world.find("customer", intent["customer"])
    if customer is not None and method["customer"] is None:
        attach(world, method, customer)
    intent["status"] = "succeeded"
    intent["next_action"] = None
    intent["mandate"] = method.get("_mandate")
    emit(world, "setup_intent.succeeded", intent)
    return intent
