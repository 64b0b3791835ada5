"""The account, its balance, events, webhook endpoints, and test clocks."""

from __future__ import annotations

from dunning.sandbox.api.routes import Call, route
from dunning.sandbox.delivery import new_endpoint
from dunning.sandbox.errors import Obj, invalid, missing, missing_param
from dunning.sandbox.events import Event, emit, moment, render_event, render_thin, wanted
from dunning.sandbox.listing import PAGE, Page, page
from dunning.sandbox.params import merge_metadata
from dunning.sandbox.world import DAY, World


@route("GET", "/v1/account", "")
def get_account(call: Call) -> Obj:
    """GET /v1/account."""
    world = call.world
    return {
        "id": world.account,
        "object": "account",
        "business_profile": {"name": "Simulated account", "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": world.settings.country,
        "created": world.settings.start,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "simulated@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "Simulated account", "timezone": "Etc/UTC"}},
        "type": "standard",
    }


@route("GET", "/v1/balance", "")
def get_balance(call: Call) -> Obj:
    """GET /v1/balance: everything that was captured and not given back is pending."""
    sums: dict[str, int] = {}
    for charge in call.world.all("charge"):
        if charge["status"] == "succeeded":
            kept = charge["amount_captured"] - charge["amount_refunded"]
            sums[charge["currency"]] = sums.get(charge["currency"], 0) + kept
    pending = [
        {"amount": amount, "currency": code, "source_types": {"card": amount}}
        for code, amount in sorted(sums.items())
    ] or [{"amount": 0, "currency": "usd", "source_types": {"card": 0}}]
    available = [{**part, "amount": 0, "source_types": {"card": 0}} for part in pending]
    return {"object": "balance", "available": available, "livemode": False, "pending": pending}


# --- events ------------------------------------------------------------------------------------
def _kept(world: World) -> list[Event]:
    oldest = world.now - world.settings.events_kept
    return [event for event in world.events if event.created >= oldest]


@route("GET", "/v1/events/{id}", "", raw=True)
def get_event(call: Call) -> Obj:
    """GET /v1/events/{id}, as it was, in the account's default version."""
    event = call.world.events_by_id.get(call.path["id"])
    if event is None:
        raise missing("event", call.path["id"])
    return render_event(call.world, event, call.world.settings.api_version)


@route("GET", "/v1/events", "list:event", PAGE + " created delivery_success type types", raw=True)
def list_events(call: Call) -> Page:
    """GET /v1/events: the last 30 days, newest first."""
    world, params = call.world, call.params
    kinds = params.words("types")
    if len(kinds) > 20:
        raise invalid("You may only specify up to 20 types.", "types")
    single = params.text("type")
    if single is not None:
        kinds = [single]
    success = params.flag("delivery_success") if "delivery_success" in params else None
    chosen = []
    for event in _kept(world):
        if kinds and not any(_like(event.type, kind) for kind in kinds):
            continue
        if success is not None and success != (event.waiting == 0 and not event.failed):
            continue
        chosen.append({"id": event.id, "created": event.created})
    result = page(world, params, "/v1/events", chosen)
    version = world.settings.api_version
    result.data = [
        render_event(world, world.events_by_id[one["id"]], version) for one in result.data
    ]
    return result


def _like(kind: str, pattern: str) -> bool:
    if pattern.endswith("*"):
        return kind.startswith(pattern[:-1])
    return wanted(kind, [pattern])


@route("GET", "/v2/core/events/{id}", "", raw=True)
def get_thin_event(call: Call) -> Obj:
    """GET /v2/core/events/{id}."""
    event = call.world.events_by_id.get(call.path["id"])
    if event is None:
        raise missing("event", call.path["id"])
    return render_thin(event)


# --- webhook endpoints -------------------------------------------------------------------------
_ENDPOINT = "api_version connect description enabled_events metadata url"


@route("POST", "/v1/webhook_endpoints", "", _ENDPOINT)
def create_endpoint(call: Call) -> Obj:
    """POST /v1/webhook_endpoints: the secret is shown this once."""
    params = call.params
    events = params.words("enabled_events")
    if not events:
        raise missing_param("enabled_events")
    endpoint = new_endpoint(
        call.world,
        params.need("url"),
        events=events,
        version=params.text("api_version"),
        description=params.text("description"),
    )
    merge_metadata(endpoint, params)
    return {**endpoint, "secret": endpoint["_secret"]}


@route("GET", "/v1/webhook_endpoints/{id}", "")
def get_endpoint(call: Call) -> Obj:
    """GET /v1/webhook_endpoints/{id}."""
    return call.world.get("webhook_endpoint", call.path["id"])


@route(
    "POST",
    "/v1/webhook_endpoints/{id}",
    "",
    "description disabled enabled_events metadata url",
)
def update_endpoint(call: Call) -> Obj:
    """POST /v1/webhook_endpoints/{id}; its API version can never change."""
    endpoint = call.world.get("webhook_endpoint", call.path["id"])
    if "enabled_events" in call.params:
        endpoint["enabled_events"] = call.params.words("enabled_events")
    for name in ("url", "description"):
        if name in call.params:
            endpoint[name] = call.params.text(name)
    if "disabled" in call.params:
        endpoint["status"] = "disabled" if call.params.flag("disabled") else "enabled"
    merge_metadata(endpoint, call.params)
    return endpoint


@route("DELETE", "/v1/webhook_endpoints/{id}", "")
def delete_endpoint(call: Call) -> Obj:
    """DELETE /v1/webhook_endpoints/{id}."""
    endpoint = call.world.get("webhook_endpoint", call.path["id"])
    call.world.remove(endpoint)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


@route("GET", "/v1/webhook_endpoints", "list:webhook_endpoint", PAGE)
def list_endpoints(call: Call) -> Page:
    """GET /v1/webhook_endpoints."""
    return page(
        call.world, call.params, "/v1/webhook_endpoints", call.world.all("webhook_endpoint")
    )


@route(
    "POST",
    "/v2/core/event_destinations",
    "",
    "description enabled_events event_payload events_from include metadata name"
    " snapshot_api_version type webhook_endpoint",
    raw=True,
)
def create_destination(call: Call) -> Obj:
    """POST /v2/core/event_destinations: the way to thin events; webhooks only."""
    params = call.params
    payload = params.choice("event_payload", ("snapshot", "thin")) or "thin"
    endpoint = new_endpoint(
        call.world,
        params.sub("webhook_endpoint").need("url"),
        events=params.words("enabled_events") or ["*"],
        version=params.text("snapshot_api_version"),
        payload=payload,
        description=params.text("description"),
    )
    return {
        "id": endpoint["id"],
        "object": "v2.core.event_destination",
        "created": moment(call.world.now),
        "description": endpoint["description"] or "",
        "enabled_events": endpoint["enabled_events"],
        "event_payload": payload,
        "livemode": False,
        "metadata": {},
        "name": params.text("name") or "",
        "snapshot_api_version": endpoint["api_version"],
        "status": "enabled",
        "type": "webhook_endpoint",
        "updated": moment(call.world.now),
        "webhook_endpoint": {"signing_secret": endpoint["_secret"], "url": endpoint["url"]},
    }


# --- test clocks -------------------------------------------------------------------------------
@route("POST", "/v1/test_helpers/test_clocks", "", "frozen_time name")
def create_clock(call: Call) -> Obj:
    """POST /v1/test_helpers/test_clocks: a name for the one clock there is.

    A `frozen_time` in the future moves that clock there; one in the past cannot.
    """
    world = call.world
    wanted_time = call.params.number("frozen_time")
    if wanted_time is None:
        raise missing_param("frozen_time")
    clock = world.add(
        {
            "id": world.id("clock"),
            "object": "test_helpers.test_clock",
            "created": world.now,
            "deletes_after": world.now + 30 * DAY,
            "frozen_time": world.now,
            "livemode": False,
            "name": call.params.text("name"),
            "status": "ready",
            "status_details": {},
        }
    )
    emit(world, "test_helpers.test_clock.created", clock)
    if wanted_time > world.now:
        _advance(world, wanted_time)
    return clock


def _advance(world: World, to: int) -> None:
    if world.clock is None:
        raise invalid("This sandbox has no running clock.")
    world.clock.advance(to)


@route("GET", "/v1/test_helpers/test_clocks/{id}", "")
def get_clock(call: Call) -> Obj:
    """GET /v1/test_helpers/test_clocks/{id}."""
    return call.world.get("test_helpers.test_clock", call.path["id"])


@route("POST", "/v1/test_helpers/test_clocks/{id}/advance", "", "frozen_time")
def advance_clock(call: Call) -> Obj:
    """POST /v1/test_helpers/test_clocks/{id}/advance: answers `advancing`, later `ready`."""
    world = call.world
    clock = world.get("test_helpers.test_clock", call.path["id"])
    to = call.params.number("frozen_time")
    if to is None:
        raise missing_param("frozen_time")
    if to <= world.now:
        raise invalid("The frozen_time must be later than the clock's present time.", "frozen_time")
    _advance(world, to)
    emit(world, "test_helpers.test_clock.advancing", clock)
    return clock


@route("DELETE", "/v1/test_helpers/test_clocks/{id}", "")
def delete_clock(call: Call) -> Obj:
    """DELETE /v1/test_helpers/test_clocks/{id}: the one clock goes on without this name."""
    clock = call.world.get("test_helpers.test_clock", call.path["id"])
    call.world.remove(clock)
    emit(call.world, "test_helpers.test_clock.deleted", clock)
    return {"id": clock["id"], "object": "test_helpers.test_clock", "deleted": True}


@route("GET", "/v1/test_helpers/test_clocks", "list:test_helpers.test_clock", PAGE)
def list_clocks(call: Call) -> Page:
    """GET /v1/test_helpers/test_clocks."""
    return page(
        call.world,
        call.params,
        "/v1/test_helpers/test_clocks",
        call.world.all("test_helpers.test_clock"),
    )
