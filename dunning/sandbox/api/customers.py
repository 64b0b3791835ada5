"""Customers, their payment methods and legacy sources, set-up intents, mandates."""

from __future__ import annotations

from typing import Any

from dunning.sandbox import customers as domain
from dunning.sandbox import substates
from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.cards import bank_by_number, card_by_name, card_by_number
from dunning.sandbox.errors import Obj, invalid, missing, missing_param, refused
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.listing import PAGE, Page, equal, page
from dunning.sandbox.params import Params, merge_metadata
from dunning.sandbox.world import World, snapshot

_CUSTOMER = (
    "address balance business_name cash_balance description email individual_name"
    " invoice_prefix invoice_settings metadata name next_invoice_sequence phone"
    " preferred_locales shipping source tax tax_exempt validate"
)


def customer_of(world: World, key: str | None, param: str = "customer") -> Obj:
    """A customer who can still be used."""
    customer = world.get("customer", key, param)
    if customer.get("deleted"):
        raise missing("customer", customer["id"], param)
    return customer


def _fill(world: World, customer: Obj, params: Params) -> None:
    for name in ("description", "email", "name", "phone", "invoice_prefix", "tax_exempt"):
        if name in params:
            customer[name] = params.text(name)
    if "address" in params:
        customer["address"] = domain.address(params.sub("address"))
    if "shipping" in params:
        customer["shipping"] = params.data["shipping"] or None
    if "preferred_locales" in params:
        customer["preferred_locales"] = params.words("preferred_locales")
    customer["balance"] = params.number("balance", customer["balance"])
    sequence = params.number("next_invoice_sequence")
    if sequence is not None:
        customer["next_invoice_sequence"] = sequence
    merge_metadata(customer, params)
    if "source" in params:
        source = domain.new_source(world, customer, params.need("source"), customer["name"])
        customer["default_source"] = source["id"]
        emit(world, "customer.source.created", source)


def _default_method(world: World, customer: Obj, params: Params, magic: dict[str, str]) -> None:
    settings = params.sub("invoice_settings")
    settings.allow(("custom_fields", "default_payment_method", "footer", "rendering_options"))
    if "default_payment_method" not in settings:
        return
    name = settings.text("default_payment_method")
    if name is not None:
        method = domain.find_method(
            world, magic.get(name, name), "invoice_settings[default_payment_method]"
        )
        if not domain.belongs_to(method, customer["id"]):
            raise refused(
                "The customer does not have a payment method with the ID"
                f" {name}. The payment method must be attached to the customer.",
                "resource_missing",
                "invoice_settings[default_payment_method]",
            )
        name = method["id"]
    customer["invoice_settings"]["default_payment_method"] = name


@route("POST", "/v1/customers", "customer", _CUSTOMER + " payment_method tax_id_data test_clock")
def create_customer(call: Call) -> Obj:
    """POST /v1/customers."""
    world, params = call.world, call.params
    if params.text("test_clock"):
        world.get("test_helpers.test_clock", params.text("test_clock"), "test_clock")
    customer = domain.new_customer(world, test_clock=params.text("test_clock"))
    try:
        _fill(world, customer, params)
        magic: dict[str, str] = {}
        name = params.text("payment_method")
        if name is not None:
            method = domain.find_method(world, name)
            domain.attach(world, method, customer)
            magic[name] = method["id"]
        _default_method(world, customer, params, magic)
    except Exception:
        world.remove(customer)
        raise
    emit(world, "customer.created", customer)
    return customer


@route("GET", "/v1/customers/{id}", "customer")
def get_customer(call: Call) -> Obj:
    """GET /v1/customers/{id}."""
    return call.world.get("customer", call.path["id"])


@route("POST", "/v1/customers/{id}", "customer", _CUSTOMER + " default_source")
def update_customer(call: Call) -> Obj:
    """POST /v1/customers/{id}."""
    customer = customer_of(call.world, call.path["id"], "id")
    before = snapshot(customer)
    _fill(call.world, customer, call.params)
    if "default_source" in call.params:
        customer["default_source"] = call.params.text("default_source")
    _default_method(call.world, customer, call.params, {})
    emit_updated(call.world, "customer.updated", customer, before)
    return customer


@route("DELETE", "/v1/customers/{id}", "")
def delete_customer(call: Call) -> Obj:
    """DELETE /v1/customers/{id}: subscriptions end, the record stays as a stub."""
    world = call.world
    customer = customer_of(world, call.path["id"], "id")
    for subscription in world.all("subscription"):
        mine = subscription["customer"] == customer["id"]
        if mine and subscription["status"] not in substates.ENDED:
            substates.end(world, subscription, "cancellation_requested")
    emit(world, "customer.deleted", customer)
    stub: Obj = {"id": customer["id"], "object": "customer", "deleted": True}
    world.tables["customer"][customer["id"]] = {
        **stub,
        "invoice_settings": {"default_payment_method": None},
        "default_source": None,
        "created": customer["created"],
    }
    return stub


@route("GET", "/v1/customers", "list:customer", PAGE + " created email test_clock")
def list_customers(call: Call) -> Page:
    """GET /v1/customers."""
    return page(
        call.world,
        call.params,
        "/v1/customers",
        call.world.all("customer"),
        equal(call.params, "email", "test_clock"),
        lambda customer: not customer.get("deleted"),
    )


@route("GET", "/v1/customers/{id}/payment_methods", "list:payment_method", PAGE + " type")
def customer_methods(call: Call) -> Page:
    """GET /v1/customers/{id}/payment_methods."""
    customer = customer_of(call.world, call.path["id"], "id")
    return _methods(call, customer["id"], f"/v1/customers/{customer['id']}/payment_methods")


@route("GET", "/v1/customers/{id}/payment_methods/{method}", "payment_method")
def customer_method(call: Call) -> Obj:
    """GET /v1/customers/{id}/payment_methods/{method}."""
    method = call.world.get("payment_method", call.path["method"])
    if not domain.belongs_to(method, call.path["id"]):
        raise missing("PaymentMethod", method["id"])
    return method


@route("POST", "/v1/customers/{id}/sources", "card", "source metadata")
def create_source(call: Call) -> Obj:
    """POST /v1/customers/{id}/sources."""
    customer = customer_of(call.world, call.path["id"], "id")
    source = domain.new_source(call.world, customer, call.params.need("source"))
    merge_metadata(source, call.params)
    emit(call.world, "customer.source.created", source)
    return source


@route("POST", "/v1/customers/{id}/sources/{source}", "card", "metadata name exp_month exp_year")
def update_source(call: Call) -> Obj:
    """POST /v1/customers/{id}/sources/{source}."""
    source = call.world.get("card", call.path["source"])
    before = snapshot(source)
    for name in ("exp_month", "exp_year"):
        source[name] = call.params.number(name, source[name])
    merge_metadata(source, call.params)
    emit_updated(call.world, "customer.source.updated", source, before)
    return source


# --- payment methods ---------------------------------------------------------------------------
def method_from(world: World, params: Params) -> Obj:
    """A payment method as `payment_method_data` or the create call describe it."""
    kind = params.need("type")
    billing: dict[str, Any] = {}
    details = params.sub("billing_details")
    for name in ("email", "name", "phone"):
        if name in details:
            billing[name] = details.text(name)
    if "address" in details:
        billing["address"] = domain.address(details.sub("address"))
    if kind == "card":
        return _card_from(world, params.sub("card"), billing)
    if kind == "us_bank_account":
        given = params.sub(kind)
        number = given.text("account_number") or "000123456789"
        return domain.new_bank_method(world, bank_by_number(kind, number), billing)
    if kind == "sepa_debit":
        return domain.new_bank_method(
            world, bank_by_number(kind, params.sub(kind).need("iban")), billing
        )
    raise invalid(f"Invalid payment method type: {kind}", "type")


def _card_from(world: World, given: Params, billing: Obj) -> Obj:
    token = given.text("token")
    if token is not None:
        card = card_by_name(token)
        if card is None:
            raise missing("token", token, "card[token]")
        return domain.new_card_method(world, card, billing=billing)
    number = given.text("number")
    if number is None:
        raise missing_param("card[number]")
    return domain.new_card_method(
        world,
        card_by_number(number),
        given.number("exp_month", 12) or 12,
        given.number("exp_year", 2034) or 2034,
        billing,
    )


@route(
    "POST",
    "/v1/payment_methods",
    "payment_method",
    "allow_redisplay billing_details card customer metadata payment_method sepa_debit type"
    " us_bank_account radar_options",
)
def create_method(call: Call) -> Obj:
    """POST /v1/payment_methods."""
    method = method_from(call.world, call.params)
    merge_metadata(method, call.params)
    return method


@route("GET", "/v1/payment_methods/{id}", "payment_method")
def get_method(call: Call) -> Obj:
    """GET /v1/payment_methods/{id}."""
    return domain.find_method(call.world, call.path["id"], "id")


@route(
    "POST",
    "/v1/payment_methods/{id}",
    "payment_method",
    "allow_redisplay billing_details card metadata us_bank_account",
)
def update_method(call: Call) -> Obj:
    """POST /v1/payment_methods/{id}."""
    method = call.world.get("payment_method", call.path["id"])
    before = snapshot(method)
    card = call.params.sub("card")
    card.allow(("exp_month", "exp_year", "networks"))
    for name in ("exp_month", "exp_year"):
        if name in card:
            method["card"][name] = card.number(name)
    details = call.params.sub("billing_details")
    for name in ("email", "name", "phone"):
        if name in details:
            method["billing_details"][name] = details.text(name)
    if "address" in details:
        method["billing_details"]["address"] = domain.address(details.sub("address"))
    merge_metadata(method, call.params)
    emit_updated(call.world, "payment_method.updated", method, before)
    return method


@route("POST", "/v1/payment_methods/{id}/attach", "payment_method", "customer")
def attach_method(call: Call) -> Obj:
    """POST /v1/payment_methods/{id}/attach, magic ids included."""
    customer = customer_of(call.world, call.params.need("customer"))
    method = domain.find_method(call.world, call.path["id"], "id")
    return domain.attach(call.world, method, customer)


@route("POST", "/v1/payment_methods/{id}/detach", "payment_method")
def detach_method(call: Call) -> Obj:
    """POST /v1/payment_methods/{id}/detach."""
    return domain.detach(call.world, call.world.get("payment_method", call.path["id"]))


@route("GET", "/v1/payment_methods", "list:payment_method", PAGE + " customer type allow_redisplay")
def list_methods(call: Call) -> Page:
    """GET /v1/payment_methods."""
    return _methods(call, call.params.text("customer"), "/v1/payment_methods")


def _methods(call: Call, customer: str | None, url: str) -> Page:
    return page(
        call.world,
        call.params,
        url,
        call.world.all("payment_method"),
        equal(call.params, "type"),
        lambda method: customer is None or method["customer"] == customer,
    )


# --- set-up intents, mandates ------------------------------------------------------------------
_SETUP = (
    "allowed_payment_method_types attach_to_self automatic_payment_methods confirm customer"
    " description excluded_payment_method_types flow_directions mandate_data metadata"
    " payment_method payment_method_data payment_method_options payment_method_types return_url"
    " usage use_stripe_sdk"
)


@route("POST", "/v1/setup_intents", "setup_intent", _SETUP)
def create_setup(call: Call) -> Obj:
    """POST /v1/setup_intents."""
    world, params = call.world, call.params
    customer = params.text("customer")
    if customer is not None:
        customer_of(world, customer)
    intent = domain.new_setup_intent(world, customer, description=params.text("description"))
    intent["payment_method_types"] = params.words("payment_method_types") or ["card"]
    intent["usage"] = params.text("usage") or "off_session"
    merge_metadata(intent, params)
    emit(world, "setup_intent.created", intent)
    method = _method_param(world, params)
    if method is not None:
        intent["payment_method"], intent["status"] = method["id"], "requires_confirmation"
    if params.flag("confirm"):
        if method is None:
            raise refused("You must provide a payment method to confirm a SetupIntent.")
        domain.confirm_setup(world, intent, method)
    return intent


def _method_param(world: World, params: Params) -> Obj | None:
    if "payment_method_data" in params:
        return method_from(world, params.sub("payment_method_data"))
    name = params.text("payment_method")
    return domain.find_method(world, name) if name else None


@route("GET", "/v1/setup_intents/{id}", "setup_intent", "client_secret")
def get_setup(call: Call) -> Obj:
    """GET /v1/setup_intents/{id}."""
    return call.world.get("setup_intent", call.path["id"])


@route("POST", "/v1/setup_intents/{id}/confirm", "setup_intent", _SETUP)
def confirm_setup(call: Call) -> Obj:
    """POST /v1/setup_intents/{id}/confirm."""
    intent = call.world.get("setup_intent", call.path["id"])
    if intent["status"] in ("succeeded", "canceled"):
        raise refused(
            f"You cannot confirm this SetupIntent because it has a status of {intent['status']}.",
            "setup_intent_unexpected_state",
        )
    method = _method_param(call.world, call.params)
    if method is None and intent["payment_method"]:
        method = call.world.get("payment_method", intent["payment_method"])
    if method is None:
        raise refused("You must provide a payment method to confirm a SetupIntent.")
    return domain.confirm_setup(call.world, intent, method)


@route("POST", "/v1/setup_intents/{id}/cancel", "setup_intent", "cancellation_reason")
def cancel_setup(call: Call) -> Obj:
    """POST /v1/setup_intents/{id}/cancel."""
    intent = call.world.get("setup_intent", call.path["id"])
    intent["status"] = "canceled"
    intent["cancellation_reason"] = call.params.text("cancellation_reason")
    emit(call.world, "setup_intent.canceled", intent)
    return intent


@route("GET", "/v1/setup_intents", "list:setup_intent", PAGE + " created customer payment_method")
def list_setups(call: Call) -> Page:
    """GET /v1/setup_intents."""
    return page(
        call.world,
        call.params,
        "/v1/setup_intents",
        call.world.all("setup_intent"),
        equal(call.params, "customer", "payment_method"),
    )


@route("GET", "/v1/mandates/{id}", "mandate")
def get_mandate(call: Call) -> Obj:
    """GET /v1/mandates/{id}."""
    return call.world.get("mandate", call.path["id"])
