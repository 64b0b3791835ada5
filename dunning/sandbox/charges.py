"""The record of a charge: what it shows of the card, and what it says when it failed."""

from __future__ import annotations

from dunning.sandbox.cards import bank_of, card_of
from dunning.sandbox.customers import method_type
from dunning.sandbox.errors import Obj
from dunning.sandbox.events import emit
from dunning.sandbox.outcomes import Outcome, charge_outcome, error_code, error_message
from dunning.sandbox.world import HOUR, World


def fail_charge(world: World, failed: Obj, outcome: Outcome) -> None:
    """Mark a charge as failed and say so."""
    failed["status"], failed["paid"], failed["captured"] = "failed", False, False
    failed["amount_captured"] = 0
    failed["failure_code"] = error_code(outcome)
    failed["failure_message"] = error_message(outcome)
    emit(world, "charge.failed", failed)


def new_charge(world: World, intent: Obj, method: Obj, outcome: Outcome) -> Obj:
    """The record of one try; it becomes the intent's latest charge."""
    kind = method_type(method)
    details, nature = _method_details(method, kind)
    good = outcome.kind == "succeed"
    status = "succeeded" if good else "pending" if outcome.kind == "processing" else "failed"
    key = world.id("ch" if kind == "card" else "py")
    made: Obj = {
        "id": key,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if good else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": _balance(world, key, intent) if good else None,
        "billing_details": method.get("billing_details") or {},
        "calculated_statement_descriptor": "SIMULATED",
        "captured": good,
        "created": world.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": charge_outcome(outcome),
        "paid": good,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {kind: details, "type": kind},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{world.base_url}/receipts/{key}" if good else None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": status,
        "transfer_data": None,
        "transfer_group": None,
        "_invoice": intent["_invoice"],
        "_method": nature,
    }
    intent["latest_charge"] = key
    return world.add(made)


def _method_details(method: Obj, kind: str) -> tuple[Obj, Obj]:
    """What the charge shows of the method, and how money from it behaves later."""
    if kind != "card":
        bank = bank_of(method)
        shown = dict(method.get(kind) or {}, mandate=method.get("_mandate"))
        return shown, {"dispute": bank.dispute, "refund": "succeeded"}
    card = card_of(method)
    source = method.get("card") or method
    shown = {
        "amount_authorized": None,
        "authorization_code": None,
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": None,
        },
        "country": card.country,
        "exp_month": source["exp_month"],
        "exp_year": source["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": source["fingerprint"],
        "funding": card.funding,
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card.last4,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": 0, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "wallet": None,
    }
    return shown, {"dispute": card.dispute, "inquiry": card.inquiry, "refund": card.refund}


def _balance(world: World, charge_id: str, intent: Obj) -> str:
    fee = intent["amount"] * 29 // 1000 + 30
    made = world.add(
        {
            "id": world.id("txn"),
            "object": "balance_transaction",
            "amount": intent["amount"],
            "available_on": world.now + 48 * HOUR,
            "balance_type": "payments",
            "created": world.now,
            "currency": intent["currency"],
            "description": intent["description"],
            "exchange_rate": None,
            "fee": fee,
            "fee_details": [],
            "net": intent["amount"] - fee,
            "reporting_category": "charge",
            "source": charge_id,
            "status": "pending",
            "type": "charge",
        }
    )
    return str(made["id"])
