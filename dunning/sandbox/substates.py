"""What the fate of an invoice does to its subscription."""

from __future__ import annotations

from dunning.sandbox.errors import Obj
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.world import World, snapshot

ENDED = ("canceled", "incomplete_expired")


def subscription_of(world: World, invoice: Obj) -> Obj | None:
    """The subscription an invoice belongs to."""
    parent = invoice["parent"] or {}
    details = parent.get("subscription_details") or {}
    return world.find("subscription", details.get("subscription"))


def payment_failed(world: World, invoice: Obj) -> None:
    """A failed payment of the latest invoice makes the subscription past due."""
    subscription = subscription_of(world, invoice)
    if subscription is None or subscription["latest_invoice"] != invoice["id"]:
        return
    if subscription["status"] in ("active", "trialing"):
        _set_status(world, subscription, "past_due")
    elif subscription["status"] == "active_at_once":
        # A subscription being made: its first payment failed.
        _set_status(world, subscription, "incomplete", quiet=True)


def processing(world: World, invoice: Obj) -> None:
    """A debit is under way: a subscription being made begins, any other stays as it is."""
    subscription = subscription_of(world, invoice)
    if subscription is not None and subscription["status"] == "active_at_once":
        _set_status(world, subscription, "active", quiet=True)


def settled(world: World, invoice: Obj) -> None:
    """The latest invoice is paid, void or written off: the subscription is active again."""
    subscription = subscription_of(world, invoice)
    if subscription is None or subscription["status"] in ENDED:
        return
    if subscription["latest_invoice"] != invoice["id"]:
        return
    if subscription["status"] == "active_at_once":
        _set_status(world, subscription, "active", quiet=True)
    elif subscription["status"] == "incomplete":
        if invoice["status"] == "paid":
            _set_status(world, subscription, "active")
    elif subscription["status"] in ("past_due", "unpaid"):
        _set_status(world, subscription, "active")


def _set_status(world: World, subscription: Obj, status: str, *, quiet: bool = False) -> None:
    before = snapshot(subscription)
    subscription["status"] = status
    if not quiet:
        emit_updated(world, "customer.subscription.updated", subscription, before)


def set_status(world: World, subscription: Obj, status: str) -> None:
    """Change the status and say so."""
    _set_status(world, subscription, status)


def end(
    world: World,
    subscription: Obj,
    reason: str,
    *,
    comment: str | None = None,
    feedback: str | None = None,
    status: str = "canceled",
) -> None:
    """The subscription is over; its open invoices are no longer collected automatically."""
    before = snapshot(subscription)
    subscription["status"] = status
    subscription["canceled_at"] = subscription["canceled_at"] or world.now
    subscription["ended_at"] = world.now
    details = subscription["cancellation_details"]
    if status == "canceled":
        subscription["cancellation_details"] = {
            "comment": comment or details["comment"],
            "feedback": feedback or details["feedback"],
            "reason": reason,
        }
        emit(world, "customer.subscription.deleted", subscription)
    else:
        emit_updated(world, "customer.subscription.updated", subscription, before)
    for invoice in world.all("invoice"):
        if invoice["status"] in ("draft", "open") and invoice["auto_advance"]:
            owner = subscription_of(world, invoice)
            if owner is subscription:
                stop_collection(world, invoice)


def stop_collection(world: World, invoice: Obj) -> None:
    """No automatic attempt any more; paying by hand stays possible."""
    before = snapshot(invoice)
    invoice["auto_advance"] = False
    invoice["next_payment_attempt"] = None
    invoice["automatically_finalizes_at"] = None
    emit_updated(world, "invoice.updated", invoice, before)


def set_delinquent(world: World, customer_id: str, delinquent: bool) -> None:
    """Stripe's flag on customers whose latest charge failed."""
    customer = world.find("customer", customer_id)
    if customer is None or customer.get("deleted") or customer["delinquent"] == delinquent:
        return
    before = snapshot(customer)
    customer["delinquent"] = delinquent
    emit_updated(world, "customer.updated", customer, before)
