"""Invoices: drafting, finalising, voiding, writing off."""

from __future__ import annotations

from typing import Any

from dunning.sandbox import substates
from dunning.sandbox.charging import new_intent
from dunning.sandbox.currencies import chargeable
from dunning.sandbox.errors import Obj, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.jobs import job
from dunning.sandbox.render import list_of
from dunning.sandbox.world import DAY, World, snapshot


def new_line(world: World, invoice: str, amount: int, currency: str, **facts: Any) -> Obj:
    """One line; what it is for is told by `parent` and `pricing`."""
    return {
        "id": world.id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": None,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": {},
        "parent": None,
        "period": {"start": world.now, "end": world.now},
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": 1,
        "quantity_decimal": "1",
        "subscription": None,
        "subtotal": amount,
        "taxes": [],
        **facts,
    }


def _nothing_yet() -> Obj:
    """What every draft begins with, whosever it is."""
    return {
        "account_name": "Simulated account",
        "account_tax_ids": None,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": {
            **dict.fromkeys(("disabled_reason", "liability", "provider", "status")),
            "enabled": False,
        },
        "automatically_finalizes_at": None,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "custom_fields": None,
        "customer_account": None,
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": None,
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_details": {"uncollectible": None},
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }


# What only the sandbox knows of an invoice.
_OURS: Obj = {
    "_charge": None,
    "_default_payment": None,
    "_payment_intent": None,
    "_paid_out_of_band": False,
    "_retries_done": 0,
    "_last_decline": None,
    "_last_method": None,
}


def new_invoice(world: World, customer: Obj, currency: str, lines: list[Obj], **facts: Any) -> Obj:
    """A draft with these lines; whoever makes it sends invoice.created when it is whole."""
    key = world.id("in")
    for line in lines:
        line["invoice"] = key
        item = world.find("invoiceitem", line.get("_item"))
        if item is not None:
            item["invoice"] = key
    invoice: Obj = {
        "object": "invoice",
        **_nothing_yet(),
        **_OURS,
        "id": key,
        "account_country": world.settings.country,
        "created": world.now,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "lines": list_of(lines, f"/v1/invoices/{key}/lines"),
        "period_end": world.now,
        "period_start": world.now,
        "test_clock": customer["test_clock"],
        **facts,
    }
    recount(invoice)
    customer["currency"] = customer["currency"] or currency
    return world.add(invoice)


def recount(invoice: Obj) -> None:
    """Totals of a draft from its lines."""
    total = sum(line["amount"] for line in invoice["lines"]["data"])
    for name in ("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"):
        invoice[name] = total
    invoice["lines"]["total_count"] = len(invoice["lines"]["data"])
    due = max(0, total)
    invoice["amount_due"] = due
    invoice["amount_remaining"] = due - invoice["amount_paid"]


def announce(world: World, invoice: Obj) -> None:
    """Say that the draft exists; the webhook delay is over at once in a simulation."""
    invoice["webhooks_delivered_at"] = world.now
    emit(world, "invoice.created", invoice)


def schedule_finalizing(world: World, invoice: Obj) -> None:
    """A draft that advances by itself waits about an hour, so that it can still be changed."""
    at = world.now + world.settings.finalize_after
    invoice["automatically_finalizes_at"] = at
    if invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = at
    world.at(at, "invoice.finalize", invoice["id"])


@job("invoice.finalize")
def _finalize_job(world: World, key: str) -> None:
    invoice = world.find("invoice", key)
    if invoice is None or invoice["status"] != "draft" or not invoice["auto_advance"]:
        return
    finalize(world, invoice)


def finalize(world: World, invoice: Obj, *, collect: bool = True) -> None:
    """Fix the invoice: number, due amount, payment intent; then collect it when it advances."""
    if invoice["status"] != "draft":
        raise refused(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            "invoice_not_editable",
        )
    before = snapshot(invoice)
    customer = world.need("customer", invoice["customer"])
    invoice["number"] = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    invoice["status"] = "open"
    invoice["effective_at"] = world.now
    invoice["automatically_finalizes_at"] = None
    planned = invoice["next_payment_attempt"]
    invoice["next_payment_attempt"] = planned if collect else None
    invoice["status_transitions"]["finalized_at"] = world.now
    if invoice["collection_method"] == "send_invoice":
        days = invoice.get("_days_until_due") or 30
        invoice["due_date"] = invoice["due_date"] or world.now + days * DAY
    _settle_balance(invoice, customer)
    world.books.write(
        "due",
        world.now,
        invoice["id"],
        invoice["currency"],
        amount=invoice["amount_due"],
        customer=customer["id"],
        subscription=(substates.subscription_of(world, invoice) or {}).get("id"),
    )
    emit(world, "invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        _nothing_due(world, invoice, before)
        return
    open_payment(world, invoice)
    emit_updated(world, "invoice.updated", invoice, before)
    if invoice["collection_method"] == "send_invoice":
        world.at(invoice["due_date"], "invoice.overdue", invoice["id"])
        if invoice["auto_advance"]:
            emit(world, "invoice.sent", invoice)
    collected = invoice["collection_method"] == "charge_automatically"
    if collect and invoice["auto_advance"] and collected:
        world.at(world.now, "invoice.collect", invoice["id"])


@job("invoice.overdue")
def _overdue_job(world: World, key: str) -> None:
    """Nobody paid by hand by the due date."""
    invoice = world.find("invoice", key)
    if invoice is None or invoice["status"] != "open" or not invoice["amount_remaining"]:
        return
    world.books.write("overdue", world.now, key, invoice["currency"])
    substates.payment_failed(world, invoice)
    if world.settings.overdue_events:
        emit(world, "invoice.overdue", invoice)


def _settle_balance(invoice: Obj, customer: Obj) -> None:
    """Credit and debt of the customer, then the currency's own rules."""
    start = customer["balance"]
    invoice["starting_balance"] = start
    wanted = invoice["total"] + start
    due, carried = chargeable(max(0, wanted), invoice["currency"])
    customer["balance"] = min(0, wanted) + carried
    invoice["ending_balance"] = customer["balance"]
    invoice["amount_due"] = invoice["amount_remaining"] = due


def _nothing_due(world: World, invoice: Obj, before: Obj) -> None:
    invoice["status"] = "paid"
    invoice["attempted"] = True
    invoice["auto_advance"] = False
    invoice["next_payment_attempt"] = None
    invoice["status_transitions"]["paid_at"] = world.now
    emit_updated(world, "invoice.updated", invoice, before)
    emit(world, "invoice.paid", invoice)
    emit(world, "invoice.payment_succeeded", invoice)
    substates.settled(world, invoice)


def open_payment(world: World, invoice: Obj) -> None:
    intent = new_intent(
        world,
        invoice["amount_remaining"],
        invoice["currency"],
        invoice["customer"],
        invoice["id"],
    )
    reason = invoice["billing_reason"]
    names = {"subscription_create": "Subscription creation", "manual": "Payment for Invoice"}
    intent["description"] = names.get(reason, "Subscription update")
    invoice["_payment_intent"] = intent["id"]
    invoice["_default_payment"] = new_payment(world, invoice, intent, default=True)["id"]
    emit(world, "payment_intent.created", intent)


def new_payment(world: World, invoice: Obj, intent: Obj, *, default: bool) -> Obj:
    """The record that ties a payment to an invoice."""
    return world.add(
        {
            "id": world.id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": intent["amount"],
            "created": world.now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": default,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def default_payment(world: World, invoice: Obj) -> Obj | None:
    """The payment that the invoice's own intent makes."""
    payment = world.find("invoice_payment", invoice["_default_payment"])
    return payment if payment is not None and payment["status"] == "open" else None


def cancel_payment(world: World, invoice: Obj, reason: str) -> None:
    """The invoice's own payment is no longer wanted."""
    payment = default_payment(world, invoice)
    if payment is None:
        return
    payment["status"] = "canceled"
    payment["status_transitions"]["canceled_at"] = world.now
    intent = world.need("payment_intent", payment["payment"]["payment_intent"])
    if intent["status"] not in ("succeeded", "processing", "canceled"):
        intent["status"] = "canceled"
        intent["canceled_at"] = world.now
        intent["cancellation_reason"] = reason
        emit(world, "payment_intent.canceled", intent)


def void(world: World, invoice: Obj) -> None:
    """The debt never was."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise refused("You can only pass in open or uncollectible invoices for voiding.")
    before = snapshot(invoice)
    invoice["status"] = "void"
    invoice["status_transitions"]["voided_at"] = world.now
    _closed(world, invoice, before)
    cancel_payment(world, invoice, "void_invoice")
    world.books.write("voided", world.now, invoice["id"], invoice["currency"])
    emit(world, "invoice.voided", invoice)
    subscription = substates.subscription_of(world, invoice)
    if subscription is not None and subscription["status"] == "incomplete":
        substates.end(world, subscription, "payment_failed", status="incomplete_expired")
    substates.settled(world, invoice)


def mark_uncollectible(world: World, invoice: Obj, reason: str = "user_forgiven") -> None:
    """Written off; it can still be paid later."""
    if invoice["status"] != "open":
        raise refused("Only open invoices can be marked as uncollectible.")
    before = snapshot(invoice)
    invoice["status"] = "uncollectible"
    invoice["status_details"] = {"uncollectible": {"reason": reason}}
    invoice["status_transitions"]["marked_uncollectible_at"] = world.now
    _closed(world, invoice, before)
    world.books.write("uncollectible", world.now, invoice["id"], invoice["currency"])
    emit(world, "invoice.marked_uncollectible", invoice)
    substates.settled(world, invoice)


def _closed(world: World, invoice: Obj, before: Obj) -> None:
    invoice["auto_advance"] = False
    invoice["next_payment_attempt"] = None
    emit_updated(world, "invoice.updated", invoice, before)
