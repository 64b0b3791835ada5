"""Products, prices and their legacy face, plans."""

from __future__ import annotations

from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.currencies import currency
from dunning.sandbox.errors import Obj, invalid, missing_param
from dunning.sandbox.events import emit, emit_updated
from dunning.sandbox.listing import PAGE, Page, equal, page
from dunning.sandbox.params import Params, merge_metadata
from dunning.sandbox.render import plan_of
from dunning.sandbox.world import World, snapshot

_PRODUCT = (
    "active description images marketing_features metadata name package_dimensions shippable"
    " statement_descriptor tax_code unit_label url"
)


def new_product(world: World, name: str, key: str | None = None) -> Obj:
    """Something that is sold."""
    return world.add(
        {
            "id": key or world.id("prod", 14),
            "object": "product",
            "active": True,
            "created": world.now,
            "default_price": None,
            "description": None,
            "images": [],
            "livemode": False,
            "marketing_features": [],
            "metadata": {},
            "name": name,
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": None,
            "updated": world.now,
            "url": None,
        }
    )


def new_price(
    world: World,
    product: str,
    amount: int,
    code: str,
    interval: str | None = "month",
    count: int = 1,
    key: str | None = None,
) -> Obj:
    """What it costs, once or per interval."""
    recurring = {
        "interval": interval,
        "interval_count": count,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
    return world.add(
        {
            "id": key or world.id("price"),
            "object": "price",
            "active": True,
            "billing_scheme": "per_unit",
            "created": world.now,
            "currency": code,
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": None,
            "metadata": {},
            "nickname": None,
            "product": product,
            "recurring": recurring if interval else None,
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if interval else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        }
    )


@route("POST", "/v1/products", "product", _PRODUCT + " id default_price_data type tax_details")
def create_product(call: Call) -> Obj:
    """POST /v1/products."""
    product = new_product(call.world, call.params.need("name"), call.params.text("id"))
    _fill_product(product, call.params)
    given = call.params.sub("default_price_data")
    if given.data:
        price = _price_from(call.world, given, product["id"])
        product["default_price"] = price["id"]
    emit(call.world, "product.created", product)
    return product


def _fill_product(product: Obj, params: Params) -> None:
    for name in ("name", "description", "statement_descriptor", "unit_label", "url", "tax_code"):
        if name in params:
            product[name] = params.text(name)
    product["active"] = params.flag("active", product["active"])
    merge_metadata(product, params)


@route("GET", "/v1/products/{id}", "product")
def get_product(call: Call) -> Obj:
    """GET /v1/products/{id}."""
    return call.world.get("product", call.path["id"])


@route("POST", "/v1/products/{id}", "product", _PRODUCT + " default_price")
def update_product(call: Call) -> Obj:
    """POST /v1/products/{id}."""
    product = call.world.get("product", call.path["id"])
    before = snapshot(product)
    _fill_product(product, call.params)
    if "default_price" in call.params:
        product["default_price"] = call.params.text("default_price")
    product["updated"] = call.world.now
    emit_updated(call.world, "product.updated", product, before)
    return product


@route("DELETE", "/v1/products/{id}", "")
def delete_product(call: Call) -> Obj:
    """DELETE /v1/products/{id}."""
    product = call.world.get("product", call.path["id"])
    call.world.remove(product)
    emit(call.world, "product.deleted", product)
    return {"id": product["id"], "object": "product", "deleted": True}


@route("GET", "/v1/products", "list:product", PAGE + " active created ids shippable type url")
def list_products(call: Call) -> Page:
    """GET /v1/products."""
    ids = call.params.words("ids")
    return page(
        call.world,
        call.params,
        "/v1/products",
        call.world.all("product"),
        lambda product: not ids or product["id"] in ids,
    )


def _price_from(world: World, params: Params, product: str | None = None) -> Obj:
    code = currency(params.need("currency"))
    amount = params.number("unit_amount")
    if amount is None:
        decimal = params.text("unit_amount_decimal")
        if decimal is None:
            raise missing_param("unit_amount")
        amount = round(float(decimal))
    if amount < 0:
        raise invalid("Invalid non-negative integer", "unit_amount")
    recurring = params.sub("recurring")
    interval = recurring.choice("interval", ("day", "week", "month", "year"))
    if recurring.data and interval is None:
        raise missing_param("recurring[interval]")
    count = recurring.number("interval_count", 1) or 1
    name = product or _product_of(world, params)
    return new_price(world, name, amount, code, interval, count)


def _product_of(world: World, params: Params) -> str:
    given = params.sub("product_data") if "product_data" in params else None
    if given is not None:
        product = new_product(world, given.need("name"))
        merge_metadata(product, given)
        emit(world, "product.created", product)
    else:
        product = world.get("product", params.need("product"), "product")
    return str(product["id"])


@route(
    "POST",
    "/v1/prices",
    "price",
    "active billing_scheme currency currency_options custom_unit_amount lookup_key metadata"
    " nickname product product_data recurring tax_behavior tiers tiers_mode transfer_lookup_key"
    " transform_quantity unit_amount unit_amount_decimal",
)
def create_price(call: Call) -> Obj:
    """POST /v1/prices."""
    price = _price_from(call.world, call.params)
    price["nickname"] = call.params.text("nickname")
    price["lookup_key"] = call.params.text("lookup_key")
    merge_metadata(price, call.params)
    emit(call.world, "price.created", price)
    if price["recurring"]:
        emit(call.world, "plan.created", plan_of(price))
    return price


@route("GET", "/v1/prices/{id}", "price")
def get_price(call: Call) -> Obj:
    """GET /v1/prices/{id}."""
    return call.world.get("price", call.path["id"])


@route("POST", "/v1/prices/{id}", "price", "active lookup_key metadata nickname tax_behavior")
def update_price(call: Call) -> Obj:
    """POST /v1/prices/{id}."""
    price = call.world.get("price", call.path["id"])
    before = snapshot(price)
    price["active"] = call.params.flag("active", price["active"])
    for name in ("nickname", "lookup_key"):
        if name in call.params:
            price[name] = call.params.text(name)
    merge_metadata(price, call.params)
    emit_updated(call.world, "price.updated", price, before)
    return price


@route(
    "GET",
    "/v1/prices",
    "list:price",
    PAGE + " active created currency lookup_keys product recurring type",
)
def list_prices(call: Call) -> Page:
    """GET /v1/prices."""
    keys = call.params.words("lookup_keys")
    return page(
        call.world,
        call.params,
        "/v1/prices",
        call.world.all("price"),
        equal(call.params, "product", "currency", "type"),
        lambda price: not keys or price["lookup_key"] in keys,
    )


@route(
    "POST",
    "/v1/plans",
    "plan",
    "active amount amount_decimal billing_scheme currency id interval interval_count metadata"
    " meter nickname product tiers tiers_mode transform_usage trial_period_days usage_type",
)
def create_plan(call: Call) -> Obj:
    """POST /v1/plans: kept as a price, shown as a plan."""
    params = call.params
    if isinstance(params.data.get("product"), dict):
        product = str(new_product(call.world, params.sub("product").need("name"))["id"])
    else:
        product = str(call.world.get("product", params.need("product"), "product")["id"])
    price = new_price(
        call.world,
        product,
        params.number("amount", 0) or 0,
        currency(params.need("currency")),
        params.choice("interval", ("day", "week", "month", "year")) or params.need("interval"),
        params.number("interval_count", 1) or 1,
        params.text("id"),
    )
    price["nickname"] = params.text("nickname")
    merge_metadata(price, params)
    emit(call.world, "plan.created", plan_of(price))
    emit(call.world, "price.created", price)
    return plan_of(price)


@route("GET", "/v1/plans/{id}", "plan")
def get_plan(call: Call) -> Obj:
    """GET /v1/plans/{id}."""
    return plan_of(call.world.get("price", call.path["id"]))


@route("POST", "/v1/plans/{id}", "plan", "active metadata nickname product trial_period_days")
def update_plan(call: Call) -> Obj:
    """POST /v1/plans/{id}."""
    price = call.world.get("price", call.path["id"])
    before = plan_of(snapshot(price))
    price["active"] = call.params.flag("active", price["active"])
    if "nickname" in call.params:
        price["nickname"] = call.params.text("nickname")
    merge_metadata(price, call.params)
    emit_updated(call.world, "plan.updated", plan_of(price), before)
    return plan_of(price)


@route("GET", "/v1/plans", "list:plan", PAGE + " active created product")
def list_plans(call: Call) -> Page:
    """GET /v1/plans."""
    plans = [plan_of(price) for price in call.world.all("price") if price["recurring"]]
    return page(call.world, call.params, "/v1/plans", plans, equal(call.params, "product"))


@route("DELETE", "/v1/plans/{id}", "")
def delete_plan(call: Call) -> Obj:
    """DELETE /v1/plans/{id}."""
    price = call.world.get("price", call.path["id"])
    price["active"] = False
    emit(call.world, "plan.deleted", plan_of(price))
    return {"id": price["id"], "object": "plan", "deleted": True}
