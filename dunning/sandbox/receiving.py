"""Money that came in for an invoice: what it settles, who is told, what the books say."""

from __future__ import annotations

from dunning.sandbox import substates
from dunning.sandbox.errors import Obj, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.invoices import default_payment, new_payment
from dunning.sandbox.world import World, snapshot


def paid_by_intent(world: World, invoice: Obj, before: Obj, intent: Obj) -> None:
    """The invoice's own intent has brought the money."""
    payment = default_payment(world, invoice)
    if payment is not None:
        payment_paid(world, payment, intent["amount_received"])
    write_paid(
        world,
        invoice,
        intent["amount_received"],
        intent["latest_charge"],
        "charge",
        intent,
    )
    receive(world, invoice, before, intent["amount_received"], charged=True)


def payment_paid(world: World, payment: Obj, amount: int) -> None:
    """Mark the record that ties the payment to its invoice."""
    payment["status"] = "paid"
    payment["amount_paid"] = amount
    payment["status_transitions"]["paid_at"] = world.now
    emit(world, "invoice_payment.paid", payment)


def write_paid(
    world: World, invoice: Obj, amount: int, charged: str | None, how: str, intent: Obj | None
) -> None:
    """Into the sandbox's own books."""
    # A debit that settles days later belongs to whoever began it, not to the clock.
    begun = (intent or {}).get("_begun_by")
    by, key = begun or (world.actor, world.request.key if world.request else None)
    world.books.write(
        "paid",
        world.now,
        invoice["id"],
        invoice["currency"],
        amount=amount,
        by=by,
        how=how,
        charge=charged,
        key=key,
        payment_method=intent["payment_method"] if intent else None,
    )


def receive(world: World, invoice: Obj, before: Obj, amount: int, *, charged: bool) -> None:
    """Less remains; when nothing does, the invoice is paid and says so."""
    owed = invoice["amount_remaining"]
    invoice["amount_paid"] += amount
    invoice["amount_remaining"] = max(0, owed - amount)
    invoice["amount_overpaid"] += max(0, amount - owed)
    if invoice["amount_remaining"]:
        emit_updated(world, "invoice.updated", invoice, before)
        return
    invoice["status"] = "paid"
    invoice["auto_advance"] = False
    invoice["next_payment_attempt"] = None
    invoice["status_transitions"]["paid_at"] = world.now
    emit_updated(world, "invoice.updated", invoice, before)
    emit(world, "invoice.paid", invoice)
    if charged:
        emit(world, "invoice.payment_succeeded", invoice)
    if invoice["amount_overpaid"]:
        emit(world, "invoice.overpaid", invoice)
    substates.set_delinquent(world, invoice["customer"], False)
    substates.settled(world, invoice)


def attach_payment(world: World, invoice: Obj, intent: Obj) -> Obj:
    """Another payment for a part of the invoice, made with an intent of its own."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise refused("You can only attach payments to open or uncollectible invoices.")
    if intent["currency"] != invoice["currency"] or intent["customer"] != invoice["customer"]:
        raise refused("The payment must have the invoice's customer and currency.")
    if intent["_invoice"] is not None:
        raise refused("The PaymentIntent is already attached to an invoice.")
    intent["_invoice"] = invoice["id"]
    payment = new_payment(world, invoice, intent, default=False)
    if intent["status"] == "succeeded":
        settle_attached(world, intent)
    return payment


def settle_attached(world: World, intent: Obj) -> None:
    """The intent of an attached payment has succeeded."""
    invoice = world.need("invoice", intent["_invoice"])
    for payment in world.all("invoice_payment"):
        same = payment["payment"].get("payment_intent") == intent["id"]
        if same and payment["status"] == "open":
            before = snapshot(invoice)
            received = intent["amount_received"]
            payment_paid(world, payment, received)
            write_paid(world, invoice, received, intent["latest_charge"], "charge", intent)
            receive(world, invoice, before, received, charged=True)
