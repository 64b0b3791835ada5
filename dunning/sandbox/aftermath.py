"""What can happen after a payment: refunds, disputes, credit notes."""

from __future__ import annotations

from typing import Any

from dunning.sandbox import substates
from dunning.sandbox.errors import Obj, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.invoices import cancel_payment
from dunning.sandbox.jobs import job
from dunning.sandbox.render import list_of
from dunning.sandbox.world import DAY, HOUR, World, snapshot


# --- refunds -----------------------------------------------------------------------------------
def refund(world: World, charge: Obj, amount: int | None, **facts: Any) -> Obj:
    """Give money back; some cards let a refund fail later."""
    if charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} has not been paid and cannot be refunded.")
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left <= 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", "charge_already_refunded"
        )
    amount = left if amount is None else amount
    if not 0 < amount <= left:
        raise refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    before = snapshot(charge)
    nature = charge["_method"].get("refund", "succeeded")
    made = world.add(
        {
            "id": world.id("re"),
            "object": "refund",
            "amount": amount,
            "balance_transaction": None,
            "charge": charge["id"],
            "created": world.now,
            "currency": charge["currency"],
            "customer": charge["customer"],
            "customer_account": None,
            "destination_details": {"card": {"type": "refund"}, "type": "card"},
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "payment_method": charge["payment_method"],
            "reason": None,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "pending" if nature == "pending" else "succeeded",
            "transfer_reversal": None,
            **facts,
        }
    )
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount"]
    emit(world, "refund.created", made)
    emit(world, "charge.refunded", charge, before)
    _write(world, "refunded", charge, amount)
    if nature == "failed":
        world.at(world.now + HOUR, "refund.fail", made["id"])
    elif nature == "pending":
        world.at(world.now + DAY, "refund.settle", made["id"])
    return made


@job("refund.fail")
def fail_refund(world: World, key: str) -> None:
    """The bank sends the refund back: the money is with the merchant again."""
    made = world.need("refund", key)
    if made["status"] == "failed":
        return
    before = snapshot(made)
    charge = world.need("charge", made["charge"])
    was = snapshot(charge)
    made["status"] = "failed"
    made["failure_reason"] = "expired_or_canceled_card"
    charge["amount_refunded"] -= made["amount"]
    charge["refunded"] = False
    emit(world, "refund.failed", made)
    emit_updated(world, "refund.updated", made, before)
    emit_updated(world, "charge.updated", charge, was)
    _write(world, "refunded", charge, -made["amount"])


@job("refund.settle")
def _settle_refund(world: World, key: str) -> None:
    made = world.need("refund", key)
    if made["status"] == "pending":
        before = snapshot(made)
        made["status"] = "succeeded"
        emit_updated(world, "refund.updated", made, before)


def _write(world: World, what: str, charge: Obj, amount: int) -> None:
    invoice = charge["_invoice"] or _paid_part_of(world, charge)
    world.books.write(
        what, world.now, invoice, charge["currency"], amount=amount, charge=charge["id"]
    )


def _paid_part_of(world: World, charge: Obj) -> str | None:
    """The invoice of which this charge paid a part: it knows nothing of it itself."""
    for payment in world.all("invoice_payment"):
        if payment["payment"].get("payment_intent") == charge["payment_intent"]:
            return str(payment["invoice"])
    return None


# --- disputes ----------------------------------------------------------------------------------
@job("dispute.open")
def dispute(world: World, charge_id: str, reason: str = "fraudulent", inquiry: bool = False) -> Obj:
    """The customer's bank takes the money back, or asks first (an inquiry)."""
    charge = world.need("charge", charge_id)
    # Networks let a bank take back what the merchant has not given back already.
    taken = [d for d in world.all("dispute") if d["charge"] == charge_id]
    others = [d for d in taken if d["status"] not in ("won", "warning_closed")]
    left = charge["amount"] - charge["amount_refunded"] - sum(d["amount"] for d in others)
    if left <= 0:
        raise refused(f"Charge {charge_id} was refunded or disputed; nothing is left to dispute.")
    before = snapshot(charge)
    made = world.add(
        {
            "id": world.id("du"),
            "object": "dispute",
            "amount": left,
            "balance_transactions": [],
            "charge": charge["id"],
            "created": world.now,
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {},
            "evidence_details": {
                "due_by": world.now + 20 * DAY,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": inquiry,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {
                "card": {
                    "brand": "visa",
                    "case_type": "inquiry" if inquiry else "chargeback",
                    "network_reason_code": "10.4",
                },
                "type": "card",
            },
            "reason": reason,
            "status": "warning_needs_response" if inquiry else "needs_response",
            "_withdrawn": not inquiry,
        }
    )
    if not inquiry:
        made["balance_transactions"].append(_balance(world, made, "dispute"))
    charge["disputed"] = True
    emit(world, "charge.dispute.created", made)
    emit_updated(world, "charge.updated", charge, before)
    if not inquiry:
        emit(world, "charge.dispute.funds_withdrawn", made)
        _write(world, "disputed", charge, made["amount"])
    return made


def close_dispute(world: World, made: Obj, status: str = "lost") -> Obj:
    """won, lost or warning_closed; what was won comes back."""
    if made["status"] in ("won", "lost", "warning_closed"):
        raise refused("This dispute is already closed.")
    before = snapshot(made)
    if made["status"].startswith("warning"):
        status = "warning_closed"
    made["status"] = status
    made["is_charge_refundable"] = status in ("won", "warning_closed")
    if status == "won" and made["_withdrawn"]:
        made["balance_transactions"].append(_balance(world, made, "dispute_reversal"))
    emit(world, "charge.dispute.closed", made)
    emit_updated(world, "charge.dispute.updated", made, before)
    if status == "won" and made["_withdrawn"]:
        charge = world.need("charge", made["charge"])
        emit(world, "charge.dispute.funds_reinstated", made)
        _write(world, "disputed", charge, -made["amount"])
    return made


def _balance(world: World, made: Obj, category: str) -> Obj:
    """What the dispute moved on the merchant's balance, and when."""
    amount = made["amount"] if category == "dispute_reversal" else -made["amount"]
    return {
        "id": world.id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": world.now,
        "balance_type": "payments",
        "created": world.now,
        "currency": made["currency"],
        "description": None,
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": category,
        "source": made["id"],
        "status": "available",
        "type": "adjustment",
    }


# --- credit notes ------------------------------------------------------------------------------
def credit_note(world: World, invoice: Obj, amount: int, reason: str | None, **facts: Any) -> Obj:
    """Less is owed (before payment) or something is given back (after)."""
    if invoice["status"] not in ("open", "paid", "uncollectible"):
        raise refused("Credit notes can only be created for open, paid or uncollectible invoices.")
    before = snapshot(invoice)
    pre = min(amount, invoice["amount_remaining"]) if invoice["status"] != "paid" else 0
    post = amount - pre
    if post > invoice["amount_paid"] - invoice["post_payment_credit_notes_amount"]:
        raise refused("The credit note's amount is more than what is left of the invoice.")
    key = world.id("cn")
    made = world.add(
        {
            "id": key,
            "object": "credit_note",
            "amount": amount,
            "amount_shipping": 0,
            "created": world.now,
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "customer_account": None,
            "customer_balance_transaction": None,
            "discount_amount": 0,
            "discount_amounts": [],
            "effective_at": world.now,
            "invoice": invoice["id"],
            "lines": list_of([_note_line(world, amount)], f"/v1/credit_notes/{key}/lines"),
            "livemode": False,
            "memo": None,
            "metadata": {},
            "number": f"{invoice['number']}-CN-01",
            "out_of_band_amount": None,
            "pdf": f"{world.base_url}/credit_notes/{key}/pdf",
            "post_payment_amount": post,
            "pre_payment_amount": pre,
            "pretax_credit_amounts": [],
            "reason": reason,
            "refunds": [],
            "shipping_cost": None,
            "status": "issued",
            "subtotal": amount,
            "subtotal_excluding_tax": amount,
            "total": amount,
            "total_excluding_tax": amount,
            "total_taxes": [],
            "type": "mixed" if pre and post else "pre_payment" if pre else "post_payment",
            "voided_at": None,
            **facts,
        }
    )
    invoice["pre_payment_credit_notes_amount"] += pre
    invoice["post_payment_credit_notes_amount"] += post
    invoice["amount_remaining"] -= pre
    emit(world, "credit_note.created", made)
    world.books.write(
        "credited", world.now, invoice["id"], invoice["currency"], amount=pre, note=key
    )
    _apply_credit(world, invoice, before)
    return made


def _note_line(world: World, amount: int) -> Obj:
    return {
        "id": world.id("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": "Credit",
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": "custom_line_item",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def _apply_credit(world: World, invoice: Obj, before: Obj) -> None:
    if invoice["status"] == "open" and invoice["amount_remaining"] == 0:
        invoice["status"] = "paid"
        invoice["auto_advance"] = False
        invoice["next_payment_attempt"] = None
        invoice["status_transitions"]["paid_at"] = world.now
        emit_updated(world, "invoice.updated", invoice, before)
        cancel_payment(world, invoice, "void_invoice")
        emit(world, "invoice.paid", invoice)
        substates.settled(world, invoice)
        return
    emit_updated(world, "invoice.updated", invoice, before)


def void_credit_note(world: World, made: Obj) -> Obj:
    """Only possible while the invoice is open: the debt is what it was."""
    invoice = world.need("invoice", made["invoice"])
    if made["status"] == "void":
        raise refused("This credit note is already void.")
    if invoice["status"] not in ("open", "uncollectible"):
        raise refused("You can only void credit notes on open or uncollectible invoices.")
    before = snapshot(invoice)
    made["status"] = "void"
    made["voided_at"] = world.now
    invoice["pre_payment_credit_notes_amount"] -= made["pre_payment_amount"]
    invoice["amount_remaining"] += made["pre_payment_amount"]
    emit(world, "credit_note.voided", made)
    emit_updated(world, "invoice.updated", invoice, before)
    world.books.write(
        "credited",
        world.now,
        invoice["id"],
        invoice["currency"],
        amount=-made["pre_payment_amount"],
        note=made["id"],
    )
    return made
