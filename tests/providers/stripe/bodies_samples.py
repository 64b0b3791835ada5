"""One good event for each type and shape."""

from __future__ import annotations

from tests.providers.stripe.bodies import (
    NOBODY,
    NOW,
    US,
    Body,
    Shape,
    credit_note,
    ended_invoice,
    event,
    invoice,
    invoice_of_2018,
    invoice_payment,
    paid_invoice,
)
from tests.providers.stripe.bodies_money import (
    charge,
    charge_of_2018,
    dispute,
    intent,
    paid_charge,
    refund,
)
from tests.providers.stripe.bodies_people import (
    card,
    customer,
    ended_subscription,
    mandate,
    method,
    setup_intent,
    subscription,
)


def samples() -> dict[str, Body]:
    """One good event for each type and shape, by a name to call it in a failing test."""
    return _invoice_samples() | _money_samples() | _people_samples()


def _invoice_samples() -> dict[str, Body]:
    shapes: tuple[Shape, ...] = ("old", "new", "mixed")
    found = {}
    for shape in shapes:
        found[f"failed {shape}"] = event("invoice.payment_failed", invoice(shape), request=NOBODY)
        asked = event("invoice.payment_action_required", invoice(shape))
        found[f"action {shape}"] = asked
        found[f"updated {shape}"] = event("invoice.updated", invoice(shape), previous={})
        found[f"paid {shape}"] = event("invoice.paid", paid_invoice(shape))
        found[f"upcoming {shape}"] = event("invoice.upcoming", invoice(shape, id=None))
    voided = ended_invoice("void", "voided_at")
    written_off = ended_invoice("uncollectible", "marked_uncollectible_at")
    elsewhere = invoice("old", status="paid", paid=True, paid_out_of_band=True)
    whole = invoice("old", charge=charge("old"), payment_intent=intent("old"))
    listed = paid_invoice(payments={"object": "list", "data": [invoice_payment()]})
    return found | {
        "overdue": event(
            "invoice.overdue", invoice(collection_method="send_invoice", due_date=NOW - 86_400)
        ),
        "failed 2018": event("invoice.payment_failed", invoice_of_2018()),
        "failed expanded": event("invoice.payment_failed", whole),
        "succeeded": event("invoice.payment_succeeded", paid_invoice("old")),
        "succeeded in part": event("invoice.payment_succeeded", invoice(amount_paid=100)),
        "paid elsewhere": event("invoice.paid", elsewhere),
        "paid listed": event("invoice.paid", listed),
        "voided": event("invoice.voided", voided),
        "written off": event("invoice.marked_uncollectible", written_off),
        "part paid": event("invoice_payment.paid", invoice_payment()),
    }


def _money_samples() -> dict[str, Body]:
    waiting: Body = {"last_payment_error": None, "status": "requires_action", "latest_charge": None}
    done: Body = {"last_payment_error": None, "status": "succeeded", "payment_method": "pm_1"}
    under_way: Body = done | {"status": "processing", "payment_method_types": ["sepa_debit"]}
    back = paid_charge("old", amount_refunded=1000)
    back["refunds"] = {"object": "list", "data": [refund()], "has_more": False}
    found = {
        "charge failed old": event("charge.failed", charge("old"), request=NOBODY),
        "charge failed new": event("charge.failed", charge(), request=US),
        "charge failed 2018": event("charge.failed", charge_of_2018()),
        "charge pending": event("charge.pending", paid_charge(status="pending")),
        "charge updated": event("charge.updated", paid_charge()),
        "charge done": event("charge.succeeded", paid_charge("old"), request=US),
        "intent failed old": event("payment_intent.payment_failed", intent("old")),
        "intent failed new": event("payment_intent.payment_failed", intent(), request=US),
        "intent waiting": event("payment_intent.requires_action", intent(**waiting)),
        "intent processing": event("payment_intent.processing", intent(**under_way)),
        "intent done": event("payment_intent.succeeded", intent(**done), request=NOBODY),
        "intent canceled": event("payment_intent.canceled", intent(status="canceled")),
        "refunded old": event("charge.refunded", back),
        "refunded new": event("charge.refunded", paid_charge(amount_refunded=1000)),
        "credit old": event("credit_note.created", credit_note("old")),
        "credit new": event("credit_note.updated", credit_note()),
        "credit void": event("credit_note.voided", credit_note(status="void")),
    }
    for verb in ("created", "updated", "failed"):
        found[f"refund {verb}"] = event(f"refund.{verb}", refund())
    for verb in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated"):
        found[f"dispute {verb}"] = event(f"charge.dispute.{verb}", dispute())
    return found | {"charge refund": event("charge.refund.updated", refund(status="failed"))}


def _people_samples() -> dict[str, Body]:
    gone = method(customer=None)
    before = {"invoice_settings": {"default_payment_method": "pm_0"}}
    bank = {"id": "ba_1", "object": "bank_account", "customer": "cus_1", "last4": "6789"}
    found = {
        "method detached": event("payment_method.detached", gone, previous={"customer": "cus_1"}),
        "customer created": event("customer.created", customer()),
        "customer updated": event("customer.updated", customer(), previous=before),
        "customer deleted": event("customer.deleted", customer()),
        "source created": event("customer.source.created", bank),
        "source updated": event("customer.source.updated", card(), request=NOBODY),
        "source deleted": event("customer.source.deleted", card()),
        "setup": event("setup_intent.succeeded", setup_intent()),
        "mandate": event("mandate.updated", mandate(payment_method=method())),
        "subscription old": event("customer.subscription.updated", subscription("old")),
        "subscription ended": event("customer.subscription.deleted", ended_subscription()),
    }
    for verb in ("created", "updated", "paused", "resumed"):
        found[f"subscription {verb}"] = event(f"customer.subscription.{verb}", subscription())
    for verb in ("attached", "updated", "automatically_updated"):
        found[f"method {verb}"] = event(f"payment_method.{verb}", method())
    return found
