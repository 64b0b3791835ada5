"""Subscriptions: create, change, pause, resume, cancel, list."""

from __future__ import annotations

from dunning.sandbox import cycles, substates
from dunning.sandbox import subscriptions as domain
from dunning.sandbox.api.catalog import new_price, new_product
from dunning.sandbox.api.customers import customer_of
from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.collecting import choose_method
from dunning.sandbox.currencies import currency
from dunning.sandbox.customers import find_method
from dunning.sandbox.errors import Obj, invalid, missing_param, refused
from dunning.sandbox.events import emit_updated
from dunning.sandbox.listing import PAGE, Page, equal, in_range, page
from dunning.sandbox.params import Params, merge_metadata
from dunning.sandbox.world import DAY, World, snapshot

_SHARED = (
    "add_invoice_items application_fee_percent automatic_tax billing_cycle_anchor"
    " billing_schedules billing_thresholds cancel_at cancel_at_period_end collection_method"
    " days_until_due default_payment_method default_source default_tax_rates description"
    " discounts invoice_settings items metadata off_session on_behalf_of payment_behavior"
    " payment_settings pending_invoice_item_interval proration_behavior transfer_data trial_end"
    " trial_from_plan trial_settings plan quantity"
)
_BEHAVIOR = (
    "allow_incomplete",
    "default_incomplete",
    "error_if_incomplete",
    "pending_if_incomplete",
)
_COLLECTION = ("charge_automatically", "send_invoice")


def _prices(world: World, params: Params) -> list[tuple[Obj, int]]:
    chosen = [
        (_price(world, given), given.number("quantity", 1) or 1) for given in params.items("items")
    ]
    if not chosen and params.text("plan"):
        plan = world.get("price", params.text("plan"), "plan")
        chosen.append((plan, params.number("quantity", 1) or 1))
    if not chosen:
        raise missing_param("items")
    if len({price["currency"] for price, _ in chosen}) > 1:
        raise refused("All prices of a subscription must have the same currency.")
    return chosen


def _price(world: World, given: Params) -> Obj:
    if "price_data" in given:
        data = given.sub("price_data")
        product = data.text("product") or new_product(world, "Subscription")["id"]
        recurring = data.sub("recurring")
        return new_price(
            world,
            str(product),
            data.number("unit_amount", 0) or 0,
            currency(data.need("currency")),
            recurring.need("interval"),
            recurring.number("interval_count", 1) or 1,
        )
    price = world.get("price", given.text("price") or given.text("plan"), "items[0][price]")
    if price["recurring"] is None:
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts prices"
            " with `type=recurring`.",
            "items[0][price]",
        )
    return price


@route(
    "POST",
    "/v1/subscriptions",
    "subscription",
    _SHARED + " backdate_start_date billing_cycle_anchor_config billing_mode currency customer"
    " trial_period_days",
)
def create_subscription(call: Call) -> Obj:
    """POST /v1/subscriptions: the first invoice is made, and tried, at once."""
    world, params = call.world, call.params
    customer = customer_of(world, params.need("customer"))
    prices = _prices(world, params)
    behavior = params.choice("payment_behavior", _BEHAVIOR, "allow_incomplete") or ""
    subscription = domain.new_subscription(world, customer, prices)
    try:
        _fill(world, subscription, params)
        _trial(world, subscription, params)
        _check_method(world, subscription, behavior)
        anchor = params.number("billing_cycle_anchor")
        if anchor is not None:
            if anchor < world.now:
                raise invalid("billing_cycle_anchor must be in the future", "billing_cycle_anchor")
            subscription["billing_cycle_anchor"] = anchor
        prorate = params.text("proration_behavior") != "none"
        domain.begin(world, subscription, behavior=behavior, prorate=prorate)
    except Exception:
        world.remove(subscription)
        raise
    if subscription["pause_collection"]:
        _schedule_resume(world, subscription)
    return subscription


def _check_method(world: World, subscription: Obj, behavior: str) -> None:
    """Stripe refuses a paid beginning for which there is nothing to charge."""
    if subscription["collection_method"] == "send_invoice" or behavior == "default_incomplete":
        return
    if subscription["trial_end"] is not None or cycles.amount_of(subscription) == 0:
        return
    probe = {
        "customer": subscription["customer"],
        "default_payment_method": subscription["default_payment_method"],
        "default_source": None,
        "parent": None,
    }
    if choose_method(world, probe) is None:
        raise refused(
            "This customer has no attached payment source or default payment method. Please"
            " consider adding a default payment method. For more information, visit"
            " https://stripe.com/docs/billing/payment-methods-overview",
            "resource_missing",
        )


def _trial(world: World, subscription: Obj, params: Params) -> None:
    days = params.number("trial_period_days")
    if days:
        subscription["trial_end"] = world.now + days * DAY
    elif params.text("trial_end") not in (None, "now"):
        subscription["trial_end"] = params.number("trial_end")


def _fill(world: World, subscription: Obj, params: Params) -> None:
    if "default_payment_method" in params:
        name = params.text("default_payment_method")
        subscription["default_payment_method"] = find_method(world, name)["id"] if name else None
    if "default_source" in params:
        subscription["default_source"] = params.text("default_source")
    if "description" in params:
        subscription["description"] = params.text("description")
    given = params.choice("collection_method", _COLLECTION)
    subscription["collection_method"] = given or subscription["collection_method"]
    if "days_until_due" in params:
        subscription["days_until_due"] = params.number("days_until_due")
    if "cancel_at_period_end" in params:
        _cancel_at_period_end(world, subscription, params.flag("cancel_at_period_end"))
    if "cancel_at" in params:
        _cancel_at(world, subscription, params.number("cancel_at"))
    end = params.sub("trial_settings").sub("end_behavior").text("missing_payment_method")
    if end is not None:
        subscription["trial_settings"] = {"end_behavior": {"missing_payment_method": end}}
    merge_metadata(subscription, params)


def _cancel_at_period_end(world: World, subscription: Obj, wanted: bool) -> None:
    subscription["cancel_at_period_end"] = wanted
    subscription["cancel_at"] = cycles.period(subscription)[1] if wanted else None
    subscription["canceled_at"] = world.now if wanted else None
    if wanted:
        subscription["cancellation_details"]["reason"] = "cancellation_requested"


def _cancel_at(world: World, subscription: Obj, at: int | None) -> None:
    subscription["cancel_at"] = at
    subscription["canceled_at"] = world.now if at else None
    if at is not None:
        world.at(at, "subscription.cancel_at", subscription["id"], at)


@route("GET", "/v1/subscriptions/{id}", "subscription")
def get_subscription(call: Call) -> Obj:
    """GET /v1/subscriptions/{id}."""
    return call.world.get("subscription", call.path["id"])


@route(
    "POST",
    "/v1/subscriptions/{id}",
    "subscription",
    _SHARED + " cancellation_details pause_collection proration_date",
)
def update_subscription(call: Call) -> Obj:
    """POST /v1/subscriptions/{id}, pause_collection among it."""
    world, params = call.world, call.params
    subscription = world.get("subscription", call.path["id"])
    if subscription["status"] in substates.ENDED:
        allowed = {"metadata", "cancellation_details", "expand"}
        if set(params) - allowed:
            raise refused(
                "A canceled subscription can only update its cancellation_details and metadata."
            )
    before = snapshot(subscription)
    _fill(world, subscription, params)
    if "pause_collection" in params:
        _pause_collection(world, subscription, params)
    details = params.sub("cancellation_details")
    for name in ("comment", "feedback"):
        if name in details:
            subscription["cancellation_details"][name] = details.text(name)
    _change_items(world, subscription, params)
    if params.text("trial_end") == "now" and subscription["status"] == "trialing":
        domain.end_trial_now(world, subscription)
        return subscription
    if params.text("trial_end") not in (None, "now"):
        domain.try_until(world, subscription, params.number("trial_end") or world.now)
    emit_updated(world, "customer.subscription.updated", subscription, before)
    return subscription


def _pause_collection(world: World, subscription: Obj, params: Params) -> None:
    if params.data["pause_collection"] == "":
        subscription["pause_collection"] = None
        return
    given = params.sub("pause_collection")
    behavior = given.choice("behavior", ("keep_as_draft", "mark_uncollectible", "void"))
    if behavior is None:
        raise missing_param("pause_collection[behavior]")
    subscription["pause_collection"] = {
        "behavior": behavior,
        "resumes_at": given.number("resumes_at"),
    }
    _schedule_resume(world, subscription)


def _schedule_resume(world: World, subscription: Obj) -> None:
    at = subscription["pause_collection"]["resumes_at"]
    if at is not None:
        world.at(at, "subscription.resume_collection", subscription["id"])


def _change_items(world: World, subscription: Obj, params: Params) -> None:
    """Another price or quantity from the next period on; nothing is prorated here."""
    kept = {item["id"]: item for item in subscription["items"]["data"]}
    for given in params.items("items"):
        name = given.text("id")
        if name is None:
            raise invalid("Only existing items can be changed here.", "items")
        if name not in kept:
            raise invalid(f"No such subscription item: '{name}'", "items", "resource_missing")
        item = kept[name]
        if given.text("price"):
            item["price"] = snapshot(_price(world, given))
        item["quantity"] = given.number("quantity", item["quantity"])


@route(
    "DELETE",
    "/v1/subscriptions/{id}",
    "subscription",
    "cancellation_details invoice_now prorate",
)
def cancel_subscription(call: Call) -> Obj:
    """DELETE /v1/subscriptions/{id}."""
    world = call.world
    subscription = world.get("subscription", call.path["id"])
    if subscription["status"] in substates.ENDED:
        raise refused(f"No such subscription: '{subscription['id']}'", "resource_missing", "id")
    details = call.params.sub("cancellation_details")
    substates.end(
        world,
        subscription,
        "cancellation_requested",
        comment=details.text("comment"),
        feedback=details.text("feedback"),
    )
    return subscription


@route("POST", "/v1/subscriptions/{id}/pause", "subscription", "bill_for invoicing_behavior type")
def pause_subscription(call: Call) -> Obj:
    """POST /v1/subscriptions/{id}/pause: a real pause, without invoices."""
    subscription = call.world.get("subscription", call.path["id"])
    domain.pause(call.world, subscription)
    return subscription


@route(
    "POST",
    "/v1/subscriptions/{id}/resume",
    "subscription",
    "billing_cycle_anchor payment_behavior proration_behavior proration_date",
)
def resume_subscription(call: Call) -> Obj:
    """POST /v1/subscriptions/{id}/resume."""
    subscription = call.world.get("subscription", call.path["id"])
    domain.resume(call.world, subscription)
    return subscription


_STATUSES = (
    "active all canceled ended incomplete incomplete_expired past_due paused trialing unpaid"
).split()


@route(
    "GET",
    "/v1/subscriptions",
    "list:subscription",
    PAGE + " automatic_tax collection_method created current_period_end current_period_start"
    " customer plan price status test_clock",
)
def list_subscriptions(call: Call) -> Page:
    """GET /v1/subscriptions: ended ones only when asked for."""
    world, params = call.world, call.params
    status = params.choice("status", _STATUSES)
    price = params.text("price") or params.text("plan")
    ends = in_range(params, "current_period_end")

    def in_status(subscription: Obj) -> bool:
        if status == "all":
            return True
        if status == "ended":
            return str(subscription["status"]) in substates.ENDED
        if status is None:
            return str(subscription["status"]) != "canceled"
        return str(subscription["status"]) == status

    def has_price(subscription: Obj) -> bool:
        items = subscription["items"]["data"]
        return price is None or any(item["price"]["id"] == price for item in items)

    return page(
        world,
        params,
        "/v1/subscriptions",
        world.all("subscription"),
        equal(params, "customer", "collection_method", "test_clock"),
        in_status,
        has_price,
        lambda subscription: ends(cycles.period(subscription)[1]),
    )
