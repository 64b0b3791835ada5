"""Payment intents, charges and their balance transactions."""

from __future__ import annotations

from dunning.sandbox import charging, collecting, receiving
from dunning.sandbox.api.customers import customer_of, method_from
from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.cards import card_by_name
from dunning.sandbox.currencies import check_charge, currency
from dunning.sandbox.customers import (
    belongs_to,
    find_method,
    new_card_method,
    new_source,
)
from dunning.sandbox.errors import ApiError, Obj, missing_param, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.listing import PAGE, Page, equal, page
from dunning.sandbox.params import Params, merge_metadata
from dunning.sandbox.world import World, snapshot

_INTENT = (
    "allowed_payment_method_types amount amount_details application_fee_amount"
    " automatic_payment_methods capture_method confirm confirmation_method confirmation_token"
    " currency customer description error_on_requires_action excluded_payment_method_types hooks"
    " mandate mandate_data metadata off_session on_behalf_of payment_details payment_method"
    " payment_method_configuration payment_method_data payment_method_options"
    " payment_method_types radar_options receipt_email return_url setup_future_usage shipping"
    " statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
    " use_stripe_sdk"
)
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


@route("POST", "/v1/payment_intents", "payment_intent", _INTENT)
def create_intent(call: Call) -> Obj:
    """POST /v1/payment_intents, confirmed at once when asked."""
    world, params = call.world, call.params
    amount = params.number("amount")
    if amount is None:
        raise missing_param("amount")
    code = currency(params.need("currency"))
    check_charge(amount, code)
    customer = params.text("customer")
    if customer is not None:
        customer_of(world, customer)
    intent = charging.new_intent(world, amount, code, customer)
    _fill(intent, params)
    emit(world, "payment_intent.created", intent)
    method = _method_of(world, params, intent)
    if method is not None:
        intent["payment_method"], intent["status"] = method["id"], "requires_confirmation"
    if params.flag("confirm"):
        _confirm(world, intent, method, params)
    return intent


def _fill(intent: Obj, params: Params) -> None:
    for name in (
        "description",
        "receipt_email",
        "capture_method",
        "confirmation_method",
        "setup_future_usage",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "transfer_group",
    ):
        if name in params:
            intent[name] = params.text(name)
    if "shipping" in params:
        intent["shipping"] = params.data["shipping"] or None
    if "payment_method_types" in params:
        intent["payment_method_types"] = params.words("payment_method_types")
    merge_metadata(intent, params)


def _method_of(world: World, params: Params, intent: Obj) -> Obj | None:
    if "payment_method_data" in params:
        return method_from(world, params.sub("payment_method_data"))
    name = params.text("payment_method")
    if name is None:
        return None
    method = find_method(world, name)
    owner = method["customer"]
    if owner is not None and not belongs_to(method, intent["customer"]):
        raise refused(
            "The PaymentMethod provided belongs to another Customer than the PaymentIntent's.",
            "payment_intent_unexpected_state",
            "payment_method",
        )
    return method


def _confirm(world: World, intent: Obj, method: Obj | None, params: Params) -> None:
    if method is None:
        raise refused(
            "You cannot confirm this PaymentIntent because it's missing a payment method."
            " You can either update the PaymentIntent with a payment method and then confirm"
            " it again, or confirm it again directly with a payment method or ConfirmationToken.",
            "payment_intent_unexpected_state",
        )
    off_session = str(params.data.get("off_session", "false")).lower() not in ("false", "")
    outcome = charging.charge(world, intent, method, off_session=off_session)
    if outcome.kind == "decline":
        raise charging.card_error(world, intent, outcome)
    if outcome.kind == "requires_action":
        if off_session or params.flag("error_on_requires_action"):
            raise _needs_authentication(intent)
        return
    if intent["setup_future_usage"] and intent["customer"] and method["customer"] is None:
        method["customer"] = intent["customer"]
        emit(world, "payment_method.attached", method)
    if outcome.kind == "succeed" and intent["_invoice"] is not None:
        receiving.settle_attached(world, intent)


def _needs_authentication(intent: Obj) -> ApiError:
    return ApiError(
        402,
        "Your card was declined. This transaction requires authentication.",
        kind="card_error",
        code="authentication_required",
        fields={
            "charge": intent["latest_charge"],
            "decline_code": "authentication_required",
            "payment_intent": intent,
        },
    )


def _guard(world: World, intent: Obj, verb: str) -> None:
    """The invoice's own intent is moved through the invoice."""
    if intent["_invoice"] is not None and verb != "confirm":
        raise refused(
            f"You cannot {verb} this PaymentIntent because it belongs to an invoice; use the"
            " invoice instead."
        )
    if intent["status"] not in _OPEN:
        raise refused(
            f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
            "payment_intent_unexpected_state",
        )


@route("GET", "/v1/payment_intents/{id}", "payment_intent", "client_secret")
def get_intent(call: Call) -> Obj:
    """GET /v1/payment_intents/{id}."""
    return call.world.get("payment_intent", call.path["id"])


@route("POST", "/v1/payment_intents/{id}", "payment_intent", _INTENT)
def update_intent(call: Call) -> Obj:
    """POST /v1/payment_intents/{id}."""
    intent = call.world.get("payment_intent", call.path["id"])
    amount = call.params.number("amount")
    if amount is not None:
        _guard(call.world, intent, "update")
        check_charge(amount, intent["currency"])
        intent["amount"] = amount
    intent["last_payment_error"] = None
    _fill(intent, call.params)
    method = _method_of(call.world, call.params, intent)
    if method is not None:
        intent["payment_method"], intent["status"] = method["id"], "requires_confirmation"
    return intent


@route("POST", "/v1/payment_intents/{id}/confirm", "payment_intent", _INTENT)
def confirm_intent(call: Call) -> Obj:
    """POST /v1/payment_intents/{id}/confirm; those of invoices settle the invoice too."""
    world, params = call.world, call.params
    intent = world.get("payment_intent", call.path["id"])
    _guard(world, intent, "confirm")
    method = _method_of(world, params, intent)
    if method is None and intent["payment_method"]:
        method = find_method(world, intent["payment_method"])
    invoice = world.find("invoice", intent["_invoice"])
    if invoice is not None and invoice["_payment_intent"] == intent["id"]:
        off_session = params.flag("off_session")
        collecting.pay_or_raise(world, invoice, method, off_session=off_session)
        return intent
    _confirm(world, intent, method, params)
    return intent


@route("POST", "/v1/payment_intents/{id}/capture", "payment_intent", "amount_to_capture metadata")
def capture_intent(call: Call) -> Obj:
    """POST /v1/payment_intents/{id}/capture."""
    world = call.world
    intent = world.get("payment_intent", call.path["id"])
    if intent["status"] != "requires_capture":
        raise refused(
            "This PaymentIntent could not be captured because it has a status of"
            f" {intent['status']}.",
            "payment_intent_unexpected_state",
        )
    amount = call.params.number("amount_to_capture", intent["amount"]) or intent["amount"]
    done = world.need("charge", intent["latest_charge"])
    before = snapshot(done)
    done["captured"], done["amount_captured"] = True, amount
    intent["status"], intent["amount_received"] = "succeeded", amount
    intent["amount_capturable"] = 0
    emit(world, "charge.captured", done, before)
    emit(world, "payment_intent.succeeded", intent)
    return intent


@route("POST", "/v1/payment_intents/{id}/cancel", "payment_intent", "cancellation_reason")
def cancel_intent(call: Call) -> Obj:
    """POST /v1/payment_intents/{id}/cancel."""
    intent = call.world.get("payment_intent", call.path["id"])
    if intent["status"] != "requires_capture":
        _guard(call.world, intent, "cancel")
    intent["status"], intent["canceled_at"] = "canceled", call.world.now
    intent["cancellation_reason"] = call.params.text("cancellation_reason")
    emit(call.world, "payment_intent.canceled", intent)
    return intent


@route("GET", "/v1/payment_intents", "list:payment_intent", PAGE + " created customer")
def list_intents(call: Call) -> Page:
    """GET /v1/payment_intents."""
    return page(
        call.world,
        call.params,
        "/v1/payment_intents",
        call.world.all("payment_intent"),
        equal(call.params, "customer"),
    )


# --- charges -----------------------------------------------------------------------------------
@route(
    "POST",
    "/v1/charges",
    "charge",
    "amount application_fee application_fee_amount capture currency customer description"
    " destination metadata on_behalf_of radar_options receipt_email shipping source"
    " statement_descriptor statement_descriptor_suffix transfer_data transfer_group",
)
def create_charge(call: Call) -> Obj:
    """POST /v1/charges: the old way, with a token or the customer's card."""
    world, params = call.world, call.params
    amount = params.number("amount")
    if amount is None:
        raise missing_param("amount")
    code = currency(params.need("currency"))
    check_charge(amount, code)
    method = _charge_method(world, params)
    intent = charging.new_intent(world, amount, code, params.text("customer"))
    _fill(intent, params)
    if not params.flag("capture", default=True):
        intent["capture_method"] = "manual"
    outcome = charging.charge(world, intent, method, off_session=False)
    if outcome.kind != "succeed":
        raise charging.card_error(world, intent, outcome)
    return world.need("charge", intent["latest_charge"])


def _charge_method(world: World, params: Params) -> Obj:
    name = params.text("source")
    customer = params.text("customer")
    if customer is not None:
        owner = customer_of(world, customer)
        default = owner["default_source"]
        if name is None and default is None:
            raise refused("Cannot charge a customer that has no active card", "missing")
        if name is not None and name.startswith("tok_"):
            return new_source(world, owner, name)
        return find_method(world, name or default, "source")
    if name is None:
        raise missing_param("source")
    card = card_by_name(name)
    return new_card_method(world, card) if card else find_method(world, name, "source")


@route("GET", "/v1/charges/{id}", "charge")
def get_charge(call: Call) -> Obj:
    """GET /v1/charges/{id}."""
    return call.world.get("charge", call.path["id"])


@route(
    "POST",
    "/v1/charges/{id}",
    "charge",
    "customer description fraud_details metadata receipt_email shipping transfer_group",
)
def update_charge(call: Call) -> Obj:
    """POST /v1/charges/{id}."""
    charge = call.world.get("charge", call.path["id"])
    before = snapshot(charge)
    for name in ("description", "receipt_email", "transfer_group"):
        if name in call.params:
            charge[name] = call.params.text(name)
    merge_metadata(charge, call.params)
    emit_updated(call.world, "charge.updated", charge, before)
    return charge


@route(
    "GET",
    "/v1/charges",
    "list:charge",
    PAGE + " created customer payment_intent transfer_group",
)
def list_charges(call: Call) -> Page:
    """GET /v1/charges."""
    return page(
        call.world,
        call.params,
        "/v1/charges",
        call.world.all("charge"),
        equal(call.params, "customer", "payment_intent", "transfer_group"),
    )
