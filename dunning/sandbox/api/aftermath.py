"""Refunds, disputes and credit notes over HTTP."""

from __future__ import annotations

from dunning.sandbox import aftermath as domain
from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.errors import Obj, missing_param
from dunning.sandbox.events import emit_updated
from dunning.sandbox.listing import PAGE, Page, equal, page
from dunning.sandbox.params import merge_metadata
from dunning.sandbox.world import snapshot


@route(
    "POST",
    "/v1/refunds",
    "refund",
    "amount charge currency customer instructions_email metadata origin payment_intent reason"
    " refund_application_fee reverse_transfer",
)
def create_refund(call: Call) -> Obj:
    """POST /v1/refunds, of a charge or of an intent's latest charge."""
    world, params = call.world, call.params
    name = params.text("charge")
    if name is None:
        intent = params.text("payment_intent")
        if intent is None:
            raise missing_param("charge")
        name = world.get("payment_intent", intent, "payment_intent")["latest_charge"]
    charge = world.get("charge", name, "charge")
    made = domain.refund(world, charge, params.number("amount"), reason=params.text("reason"))
    merge_metadata(made, params)
    return made


@route("GET", "/v1/refunds/{id}", "refund")
def get_refund(call: Call) -> Obj:
    """GET /v1/refunds/{id}."""
    return call.world.get("refund", call.path["id"])


@route("POST", "/v1/refunds/{id}", "refund", "metadata")
def update_refund(call: Call) -> Obj:
    """POST /v1/refunds/{id}."""
    made = call.world.get("refund", call.path["id"])
    before = snapshot(made)
    merge_metadata(made, call.params)
    emit_updated(call.world, "refund.updated", made, before)
    emit_updated(call.world, "charge.refund.updated", made, before)
    return made


@route("GET", "/v1/refunds", "list:refund", PAGE + " charge created payment_intent")
def list_refunds(call: Call) -> Page:
    """GET /v1/refunds."""
    return page(
        call.world,
        call.params,
        "/v1/refunds",
        call.world.all("refund"),
        equal(call.params, "charge", "payment_intent"),
    )


@route("GET", "/v1/disputes/{id}", "dispute")
def get_dispute(call: Call) -> Obj:
    """GET /v1/disputes/{id}."""
    return call.world.get("dispute", call.path["id"])


@route(
    "POST", "/v1/disputes/{id}", "dispute", "evidence intended_submission_method metadata submit"
)
def update_dispute(call: Call) -> Obj:
    """POST /v1/disputes/{id}: evidence of `winning_evidence` or `losing_evidence` ends it."""
    world = call.world
    made = world.get("dispute", call.path["id"])
    before = snapshot(made)
    evidence = call.params.sub("evidence")
    for name in evidence:
        made["evidence"][name] = evidence.text(name)
        made["evidence_details"]["has_evidence"] = True
    merge_metadata(made, call.params)
    emit_updated(world, "charge.dispute.updated", made, before)
    text = evidence.text("uncategorized_text")
    if text in ("winning_evidence", "losing_evidence"):
        domain.close_dispute(world, made, "won" if text == "winning_evidence" else "lost")
    return made


@route("POST", "/v1/disputes/{id}/close", "dispute")
def close_dispute(call: Call) -> Obj:
    """POST /v1/disputes/{id}/close: give up."""
    return domain.close_dispute(call.world, call.world.get("dispute", call.path["id"]))


@route("GET", "/v1/disputes", "list:dispute", PAGE + " charge created payment_intent")
def list_disputes(call: Call) -> Page:
    """GET /v1/disputes."""
    return page(
        call.world,
        call.params,
        "/v1/disputes",
        call.world.all("dispute"),
        equal(call.params, "charge", "payment_intent"),
    )


@route(
    "POST",
    "/v1/credit_notes",
    "credit_note",
    "amount credit_amount effective_at email_type invoice lines memo metadata"
    " out_of_band_amount reason refund_amount refunds shipping_cost",
)
def create_credit_note(call: Call) -> Obj:
    """POST /v1/credit_notes, by amount or by lines."""
    world, params = call.world, call.params
    invoice = world.get("invoice", params.need("invoice"), "invoice")
    amount = params.number("amount")
    if amount is None:
        lines = params.items("lines")
        if not lines:
            raise missing_param("amount")
        amount = 0
        for line in lines:
            quantity = line.number("quantity", 1) or 1
            unit = line.number("unit_amount")
            amount += (unit * quantity) if unit is not None else line.number("amount", 0) or 0
    made = domain.credit_note(
        world, invoice, amount, params.text("reason"), memo=params.text("memo")
    )
    merge_metadata(made, params)
    return made


@route("GET", "/v1/credit_notes/{id}", "credit_note")
def get_credit_note(call: Call) -> Obj:
    """GET /v1/credit_notes/{id}."""
    return call.world.get("credit_note", call.path["id"])


@route("POST", "/v1/credit_notes/{id}", "credit_note", "memo metadata")
def update_credit_note(call: Call) -> Obj:
    """POST /v1/credit_notes/{id}."""
    made = call.world.get("credit_note", call.path["id"])
    before = snapshot(made)
    if "memo" in call.params:
        made["memo"] = call.params.text("memo")
    merge_metadata(made, call.params)
    emit_updated(call.world, "credit_note.updated", made, before)
    return made


@route("POST", "/v1/credit_notes/{id}/void", "credit_note")
def void_credit_note(call: Call) -> Obj:
    """POST /v1/credit_notes/{id}/void."""
    return domain.void_credit_note(call.world, call.world.get("credit_note", call.path["id"]))


@route("GET", "/v1/credit_notes", "list:credit_note", PAGE + " created customer invoice")
def list_credit_notes(call: Call) -> Page:
    """GET /v1/credit_notes."""
    return page(
        call.world,
        call.params,
        "/v1/credit_notes",
        call.world.all("credit_note"),
        equal(call.params, "customer", "invoice"),
    )
