"""Invoices: create, change, finalise, pay, void, write off, send, list."""

from __future__ import annotations

from dunning.sandbox import collecting, receiving
from dunning.sandbox import invoices as domain
from dunning.sandbox.api.customers import customer_of
from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.currencies import currency
from dunning.sandbox.customers import find_method
from dunning.sandbox.cycles import upcoming
from dunning.sandbox.errors import Obj, invalid, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.items import pending_lines
from dunning.sandbox.listing import PAGE, Page, cut, equal, in_range, page
from dunning.sandbox.params import Params, merge_metadata
from dunning.sandbox.substates import subscription_of
from dunning.sandbox.world import HOUR, World, snapshot

_SHARED = (
    "account_tax_ids application_fee_amount auto_advance automatic_tax"
    " automatically_finalizes_at collection_method custom_fields days_until_due"
    " default_payment_method default_source default_tax_rates description discounts due_date"
    " effective_at footer issuer metadata number on_behalf_of payment_settings rendering"
    " shipping_cost shipping_details statement_descriptor transfer_data"
)
_COLLECTION = ("charge_automatically", "send_invoice")


@route(
    "POST",
    "/v1/invoices",
    "invoice",
    _SHARED + " currency customer from_invoice pending_invoice_items_behavior subscription",
)
def create_invoice(call: Call) -> Obj:
    """POST /v1/invoices: a draft, with the waiting items when asked to include them."""
    world, params = call.world, call.params
    customer = customer_of(world, params.need("customer"))
    parent = None
    code = currency(params.text("currency") or customer["currency"] or _any_currency(world))
    name = params.text("subscription")
    if name is not None:
        subscription = world.get("subscription", name, "subscription")
        code = subscription["currency"]
        parent = {
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        }
    behavior = params.choice("pending_invoice_items_behavior", ("include", "exclude"), "exclude")
    wanted = behavior == "include" or name is not None
    lines = pending_lines(world, customer["id"], code) if wanted else []
    method = params.choice("collection_method", _COLLECTION, "charge_automatically")
    if method == "charge_automatically" and "days_until_due" in params:
        raise invalid("You can only set days_until_due if collection_method is send_invoice.")
    if method == "send_invoice" and not {"days_until_due", "due_date"} & params.data.keys():
        raise invalid(
            "If invoice collection method is 'send_invoice', you must specify one of"
            " `days_until_due` or `due_date`.",
            "days_until_due",
        )
    invoice = domain.new_invoice(
        world,
        customer,
        code,
        lines,
        parent=parent,
        collection_method=method,
        billing_reason="subscription_update" if parent else "manual",
        _days_until_due=params.number("days_until_due"),
    )
    _fill(world, invoice, params)
    domain.announce(world, invoice)
    if invoice["auto_advance"]:
        domain.schedule_finalizing(world, invoice)
    return invoice


def _any_currency(world: World) -> str:
    return "jpy" if world.settings.country == "JP" else "usd"


def _fill(world: World, invoice: Obj, params: Params) -> None:
    for name in ("description", "footer", "number", "statement_descriptor"):
        if name in params:
            invoice[name] = params.text(name)
    for name in ("due_date", "effective_at"):
        if name in params:
            invoice[name] = params.number(name)
    invoice["auto_advance"] = params.flag("auto_advance", invoice["auto_advance"])
    if "default_payment_method" in params:
        given = params.text("default_payment_method")
        invoice["default_payment_method"] = find_method(world, given)["id"] if given else None
    if "days_until_due" in params:
        invoice["_days_until_due"] = params.number("days_until_due")
    merge_metadata(invoice, params)


@route("POST", "/v1/invoices/create_preview", "invoice", "customer subscription currency")
def preview(call: Call) -> Obj:
    """POST /v1/invoices/create_preview, for one subscription."""
    world = call.world
    name = call.params.text("subscription")
    if name is None:
        customer = call.params.need("customer")
        for subscription in world.all("subscription"):
            if subscription["customer"] == customer and subscription["status"] == "active":
                name = subscription["id"]
    return upcoming(world, world.get("subscription", name, "subscription"))


@route("GET", "/v1/invoices/{id}", "invoice")
def get_invoice(call: Call) -> Obj:
    """GET /v1/invoices/{id}."""
    return call.world.get("invoice", call.path["id"])


@route("POST", "/v1/invoices/{id}", "invoice", _SHARED)
def update_invoice(call: Call) -> Obj:
    """POST /v1/invoices/{id}: most things only while it is a draft."""
    world, params = call.world, call.params
    invoice = world.get("invoice", call.path["id"])
    closed = invoice["status"] in ("paid", "void")
    if params.flag("auto_advance") and (closed or invoice["status"] == "uncollectible"):
        raise refused(
            "You can only set auto_advance to true on draft or open invoices.",
            param="auto_advance",
        )
    frozen = {"description", "footer", "number", "due_date", "effective_at", "discounts"}
    touched = sorted(frozen & params.data.keys())
    if invoice["status"] != "draft" and touched:
        raise refused(
            f"Finalized invoices can't be updated in this way: {', '.join(touched)}",
            "invoice_not_editable",
        )
    before = snapshot(invoice)
    was = invoice["auto_advance"]
    _fill(world, invoice, params)
    if invoice["auto_advance"] and not was:
        _advance_again(world, invoice)
    elif was and not invoice["auto_advance"]:
        invoice["next_payment_attempt"] = None
        invoice["automatically_finalizes_at"] = None
    emit_updated(world, "invoice.updated", invoice, before)
    return invoice


def _advance_again(world: World, invoice: Obj) -> None:
    """Automatic collection is switched on (again)."""
    if invoice["status"] == "draft":
        domain.schedule_finalizing(world, invoice)
    elif invoice["attempted"]:
        collecting.schedule_retry(world, invoice)
    elif invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = world.now + HOUR
        world.at(world.now + HOUR, "invoice.collect", invoice["id"])


@route("DELETE", "/v1/invoices/{id}", "")
def delete_invoice(call: Call) -> Obj:
    """DELETE /v1/invoices/{id}: drafts only."""
    invoice = call.world.get("invoice", call.path["id"])
    if invoice["status"] != "draft" or subscription_of(call.world, invoice) is not None:
        raise refused("You can only delete draft invoices that are not from subscriptions.")
    call.world.remove(invoice)
    emit(call.world, "invoice.deleted", invoice)
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


@route("POST", "/v1/invoices/{id}/finalize", "invoice", "auto_advance")
def finalize_invoice(call: Call) -> Obj:
    """POST /v1/invoices/{id}/finalize."""
    invoice = call.world.get("invoice", call.path["id"])
    invoice["auto_advance"] = call.params.flag("auto_advance", invoice["auto_advance"])
    domain.finalize(call.world, invoice)
    return invoice


@route(
    "POST",
    "/v1/invoices/{id}/pay",
    "invoice",
    "forgive mandate off_session paid_out_of_band payment_method source",
)
def pay_invoice(call: Call) -> Obj:
    """POST /v1/invoices/{id}/pay: the whole remaining amount, now."""
    world, params = call.world, call.params
    invoice = world.get("invoice", call.path["id"])
    if params.flag("paid_out_of_band"):
        collecting.pay_out_of_band(world, invoice)
        return invoice
    collecting.check_payable(world, invoice)
    name = params.text("payment_method") or params.text("source")
    method = collecting.named_method(world, invoice, name) if name else None
    collecting.pay_or_raise(
        world, invoice, method, off_session=params.flag("off_session", default=True)
    )
    return invoice


@route("POST", "/v1/invoices/{id}/void", "invoice")
def void_invoice(call: Call) -> Obj:
    """POST /v1/invoices/{id}/void."""
    invoice = call.world.get("invoice", call.path["id"])
    domain.void(call.world, invoice)
    return invoice


@route("POST", "/v1/invoices/{id}/mark_uncollectible", "invoice")
def write_off_invoice(call: Call) -> Obj:
    """POST /v1/invoices/{id}/mark_uncollectible."""
    invoice = call.world.get("invoice", call.path["id"])
    domain.mark_uncollectible(call.world, invoice)
    return invoice


@route("POST", "/v1/invoices/{id}/send", "invoice")
def send_invoice(call: Call) -> Obj:
    """POST /v1/invoices/{id}/send: finalises a draft; no email leaves the sandbox."""
    invoice = call.world.get("invoice", call.path["id"])
    if invoice["status"] == "draft":
        domain.finalize(call.world, invoice, collect=False)
    emit(call.world, "invoice.sent", invoice)
    return invoice


@route("POST", "/v1/invoices/{id}/attach_payment", "invoice", "payment_intent payment_record")
def attach_payment(call: Call) -> Obj:
    """POST /v1/invoices/{id}/attach_payment: one of several payments for one invoice."""
    world = call.world
    invoice = world.get("invoice", call.path["id"])
    intent = world.get("payment_intent", call.params.need("payment_intent"), "payment_intent")
    receiving.attach_payment(world, invoice, intent)
    return invoice


@route("GET", "/v1/invoices/{id}/lines", "list:line_item", PAGE)
def list_lines(call: Call) -> Page:
    """GET /v1/invoices/{id}/lines."""
    invoice = call.world.get("invoice", call.path["id"])
    return cut(call.params, f"/v1/invoices/{invoice['id']}/lines", invoice["lines"]["data"])


@route(
    "GET",
    "/v1/invoices",
    "list:invoice",
    PAGE + " collection_method created customer due_date status subscription",
)
def list_invoices(call: Call) -> Page:
    """GET /v1/invoices."""
    world, params = call.world, call.params
    status = params.choice("status", ("draft", "open", "paid", "uncollectible", "void"))
    subscription = params.text("subscription")
    due = in_range(params, "due_date")

    def of_subscription(invoice: Obj) -> bool:
        if subscription is None:
            return True
        return (subscription_of(world, invoice) or {}).get("id") == subscription

    return page(
        world,
        params,
        "/v1/invoices",
        world.all("invoice"),
        equal(params, "customer", "collection_method"),
        lambda invoice: status is None or invoice["status"] == status,
        lambda invoice: "due_date" not in params or due(invoice["due_date"]),
        of_subscription,
    )
