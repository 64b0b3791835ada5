"""Billing cycles: the period a subscription is in, and the invoice for it."""

from __future__ import annotations

from dunning.sandbox.errors import Obj
from dunning.sandbox.invoices import new_invoice, new_line
from dunning.sandbox.items import pending_lines
from dunning.sandbox.periods import period_after
from dunning.sandbox.world import World


def period(subscription: Obj) -> tuple[int, int]:
    """The current period; all items of one subscription share it here."""
    first = subscription["items"]["data"][0]
    return int(first["current_period_start"]), int(first["current_period_end"])


def set_period(subscription: Obj, start: int, end: int) -> None:
    """Move every item to a new period."""
    for item in subscription["items"]["data"]:
        item["current_period_start"], item["current_period_end"] = start, end


def next_end(subscription: Obj, at: int) -> int:
    """When the period that contains `at` ends."""
    recurring = subscription["items"]["data"][0]["price"]["recurring"]
    return period_after(
        subscription["billing_cycle_anchor"],
        at,
        recurring["interval"],
        recurring["interval_count"],
    )


def amount_of(subscription: Obj) -> int:
    """What one period costs."""
    items = subscription["items"]["data"]
    return sum((item["price"]["unit_amount"] or 0) * item["quantity"] for item in items)


def upcoming(world: World, subscription: Obj) -> Obj:
    """The next invoice as it would be; it has no id and is not kept."""
    latest = subscription["latest_invoice"]
    invoice = cycle_invoice(world, subscription, "upcoming", auto=True)
    world.remove(invoice)
    subscription["latest_invoice"] = latest
    start, end = period(subscription)
    # It is billed at the end of the present term, for the next one.
    invoice["period_start"], invoice["period_end"] = start, end
    for line in invoice["lines"]["data"]:
        line["period"] = {"start": end, "end": next_end(subscription, end)}
    invoice["next_payment_attempt"] = end + world.settings.finalize_after
    del invoice["id"]
    return invoice


def cycle_invoice(world: World, subscription: Obj, reason: str, *, auto: bool) -> Obj:
    """The draft for the current period, with whatever items were waiting for it."""
    customer = world.need("customer", subscription["customer"])
    start, end = period(subscription)
    lines = [_cycle_line(world, subscription, item) for item in subscription["items"]["data"]]
    if reason != "upcoming":
        lines += pending_lines(world, customer["id"], subscription["currency"])
    invoice = new_invoice(
        world,
        customer,
        subscription["currency"],
        lines,
        auto_advance=auto,
        billing_reason=reason,
        collection_method=subscription["collection_method"],
        parent={
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        # Stripe states the period before the one that is billed in advance.
        period_end=start,
        period_start=start if reason == "subscription_create" else start - (end - start),
        _days_until_due=subscription["days_until_due"],
    )
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def _cycle_line(world: World, subscription: Obj, item: Obj) -> Obj:
    price = item["price"]
    amount = (price["unit_amount"] or 0) * item["quantity"]
    product = world.find("product", price["product"]) or {"name": "Subscription"}
    each = (price["recurring"] or {}).get("interval", "month")
    return new_line(
        world,
        "",
        amount,
        price["currency"],
        description=f"{item['quantity']} × {product['name']} (per {each})",
        metadata=dict(subscription["metadata"]),
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        quantity=item["quantity"],
        quantity_decimal=str(item["quantity"]),
        subscription=subscription["id"],
    )
