"""Invoice items: charges that wait for the customer's next invoice."""

from __future__ import annotations

from typing import Any

from dunning.sandbox.errors import Obj
from dunning.sandbox.events import emit
from dunning.sandbox.invoices import new_line, recount
from dunning.sandbox.world import World


def new_item(world: World, customer: Obj, amount: int, currency: str, **facts: Any) -> Obj:
    """An amount to be billed; without an invoice it waits."""
    item = world.add(
        {
            "id": world.id("ii"),
            "object": "invoiceitem",
            "amount": amount,
            "currency": currency,
            "customer": customer["id"],
            "customer_account": None,
            "date": world.now,
            "description": None,
            "discountable": True,
            "discounts": [],
            "invoice": None,
            "livemode": False,
            "metadata": {},
            "net_amount": amount,
            "parent": None,
            "period": {"start": world.now, "end": world.now},
            "pricing": {
                "price_details": None,
                "type": "price_details",
                "unit_amount_decimal": str(amount),
            },
            "proration": False,
            "quantity": 1,
            "quantity_decimal": "1",
            "tax_rates": [],
            "test_clock": customer["test_clock"],
            **facts,
        }
    )
    emit(world, "invoiceitem.created", item)
    return item


def line_of(world: World, item: Obj, invoice: str) -> Obj:
    """The line an item becomes; a new invoice tells the item its id."""
    item["invoice"] = invoice or None
    return new_line(
        world,
        invoice,
        item["amount"],
        item["currency"],
        description=item["description"],
        metadata=dict(item["metadata"]),
        parent={
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        period=dict(item["period"]),
        pricing=item["pricing"],
        quantity=item["quantity"],
        _item=item["id"],
    )


def pending_lines(world: World, customer: str, currency: str) -> list[Obj]:
    """Lines of everything that waits for this customer in this currency."""
    lines = []
    for item in world.all("invoiceitem"):
        mine = item["customer"] == customer and item["currency"] == currency
        if mine and item["invoice"] is None:
            lines.append(line_of(world, item, ""))
    return lines


def add_to_draft(world: World, item: Obj, invoice: Obj) -> None:
    """Put an item on a draft that exists."""
    invoice["lines"]["data"].append(line_of(world, item, invoice["id"]))
    recount(invoice)
