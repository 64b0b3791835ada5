"""Invoice items, invoice payments and billing portal sessions."""

from __future__ import annotations

from dunning.sandbox import items
from dunning.sandbox.api.customers import customer_of
from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.currencies import currency
from dunning.sandbox.errors import Obj, missing_param, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.invoices import recount
from dunning.sandbox.listing import PAGE, Page, equal, page
from dunning.sandbox.params import merge_metadata
from dunning.sandbox.render import page_token
from dunning.sandbox.world import snapshot

_ITEM = (
    "amount description discountable discounts metadata period price_data pricing quantity"
    " quantity_decimal tax_behavior tax_code tax_rates unit_amount_decimal"
)


@route(
    "POST",
    "/v1/invoiceitems",
    "invoiceitem",
    _ITEM + " currency customer invoice subscription price",
)
def create_item(call: Call) -> Obj:
    """POST /v1/invoiceitems: an amount, or a price times a quantity."""
    world, params = call.world, call.params
    customer = customer_of(world, params.need("customer"))
    amount = params.number("amount")
    code = params.text("currency")
    quantity = params.number("quantity", 1) or 1
    name = params.sub("pricing").text("price") or params.text("price")
    if amount is None:
        if name is None:
            raise missing_param("amount")
        price = world.get("price", name, "price")
        amount, code = (price["unit_amount"] or 0) * quantity, price["currency"]
    if code is None:
        raise missing_param("currency")
    draft = params.text("invoice")
    invoice = world.get("invoice", draft, "invoice") if draft else None
    if invoice is not None and invoice["status"] != "draft":
        raise refused("You can only add items to draft invoices.", "invoice_not_editable")
    item = items.new_item(
        world,
        customer,
        amount,
        currency(code),
        description=params.text("description"),
        quantity=quantity,
    )
    merge_metadata(item, params)
    if invoice is not None:
        items.add_to_draft(world, item, invoice)
    return item


@route("GET", "/v1/invoiceitems/{id}", "invoiceitem")
def get_item(call: Call) -> Obj:
    """GET /v1/invoiceitems/{id}."""
    return call.world.get("invoiceitem", call.path["id"])


@route("POST", "/v1/invoiceitems/{id}", "invoiceitem", _ITEM)
def update_item(call: Call) -> Obj:
    """POST /v1/invoiceitems/{id}."""
    item = call.world.get("invoiceitem", call.path["id"])
    before = snapshot(item)
    item["amount"] = call.params.number("amount", item["amount"])
    if "description" in call.params:
        item["description"] = call.params.text("description")
    merge_metadata(item, call.params)
    emit_updated(call.world, "invoiceitem.updated", item, before)
    return item


@route("DELETE", "/v1/invoiceitems/{id}", "")
def delete_item(call: Call) -> Obj:
    """DELETE /v1/invoiceitems/{id}: only while it can still be taken back."""
    world = call.world
    item = world.get("invoiceitem", call.path["id"])
    invoice = world.find("invoice", item["invoice"])
    if invoice is not None:
        if invoice["status"] != "draft":
            raise refused("You can only delete items of draft invoices.", "invoice_not_editable")
        lines = invoice["lines"]["data"]
        invoice["lines"]["data"] = [line for line in lines if line.get("_item") != item["id"]]
        recount(invoice)
    world.remove(item)
    emit(world, "invoiceitem.deleted", item)
    return {"id": item["id"], "object": "invoiceitem", "deleted": True}


@route("GET", "/v1/invoiceitems", "list:invoiceitem", PAGE + " created customer invoice pending")
def list_items(call: Call) -> Page:
    """GET /v1/invoiceitems."""
    pending = call.params.flag("pending")
    kept = [{**item, "created": item["date"]} for item in call.world.all("invoiceitem")]
    result = page(
        call.world,
        call.params,
        "/v1/invoiceitems",
        kept,
        equal(call.params, "customer", "invoice"),
        lambda item: not pending or item["invoice"] is None,
    )
    for item in result.data:
        del item["created"]
    return result


# --- invoice payments --------------------------------------------------------------------------
@route("GET", "/v1/invoice_payments/{id}", "invoice_payment")
def get_payment(call: Call) -> Obj:
    """GET /v1/invoice_payments/{id}."""
    return call.world.get("invoice_payment", call.path["id"])


@route(
    "GET",
    "/v1/invoice_payments",
    "list:invoice_payment",
    PAGE + " created invoice payment status",
)
def list_payments(call: Call) -> Page:
    """GET /v1/invoice_payments: the way from a payment to its invoice and back."""
    wanted = call.params.sub("payment")
    wanted.allow(("type", "payment_intent", "payment_record"))
    intent = wanted.text("payment_intent")
    return page(
        call.world,
        call.params,
        "/v1/invoice_payments",
        call.world.all("invoice_payment"),
        equal(call.params, "invoice", "status"),
        lambda one: intent is None or one["payment"].get("payment_intent") == intent,
    )


# --- billing portal ----------------------------------------------------------------------------
@route(
    "POST",
    "/v1/billing_portal/sessions",
    "billing_portal.session",
    "after_expiration configuration customer flow_data locale on_behalf_of return_url",
)
def create_session(call: Call) -> Obj:
    """POST /v1/billing_portal/sessions: a short-lived page for one customer."""
    world, params = call.world, call.params
    customer = customer_of(world, params.need("customer"))
    key = world.id("bps")
    flow = params.data.get("flow_data") or None
    session = world.add(
        {
            "id": key,
            "object": "billing_portal.session",
            "configuration": f"bpc_{world.ids.token('portal', 24)}",
            "created": world.now,
            "customer": customer["id"],
            "customer_account": None,
            "flow": flow,
            "livemode": False,
            "locale": params.text("locale"),
            "on_behalf_of": None,
            "return_url": params.text("return_url"),
            "url": f"{world.base_url}/p/session/{page_token(world, 'portal', key, world.now)}",
        }
    )
    emit(world, "billing_portal.session.created", session)
    return session
