"""The control API under `/_sandbox/`: faults, people's acts, books, logs, the clock. All JSON.

| request | what it does |
|---|---|
| POST charges/next | the next `times` charges of `customer`, `payment_method`, `invoice`, |
|  | `subscription` (or any) end as `outcome`: "succeed", "requires_action", "processing", |
|  | {"processing": {"seconds", "then"}}, {"decline_code", "advice_code", |
|  | "network_decline_code", "network_advice_code", "outcome_type"}; or the answer breaks: |
|  | {"hang": seconds} (charged first), {"drop": "before" or "after"}, {"status": 500, 429, 409, |
|  | "retry_after", "should_retry", "when": "before" or "after"} |
| POST requests/next | the same breaks for any request, by `path` (a part of it) and `method` |
| DELETE faults | forget all of these |
| POST settings | `smart_retries` "off" or {"days": []}, `after_exhaustion`, `tick`, … |
| POST customers/ID/pays | pays `invoice` on the hosted page, with `number` or the saved card |
| POST customers/ID/new_card | `number` or `token`, through the portal; `for_subscriptions` too |
| POST customers/ID/cancels, …/disputes, …/source_expiring | what they say |
| POST payment_methods/ID/automatically_updated | the network's updater: `number`, `exp_year` |
| POST invoices/ID/partial_payment | `amount` |
| POST disputes/ID/close, refunds/ID/fail, mandates/ID/revoke | what they say |
| POST endpoints | a webhook endpoint: `url`, `secret`, `enabled_events`, `api_version`, |
|  | `event_payload` |
| POST endpoints/ID/roll | a new secret; the old one signs beside it for `keep_seconds` |
| POST deliveries/rules | `action` duplicate, reorder, delay, drop or hold; `types`, `times`, |
|  | `seconds`, `copies` |
| DELETE deliveries/rules, POST deliveries/release | no more of it; let go of what is held |
| GET books, requests, deliveries, clock | reading |
| POST clock/advance | {"to"} or {"seconds"}; answers at once |
| POST clock/followers | {"name", "version", "idle", "next_at", "wait"}: a program that keeps step |
| DELETE clock/followers/NAME | goodbye |
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dunning.sandbox import acts, aftermath, customers, delivery
from dunning.sandbox.errors import ApiError, Obj, invalid, missing_param
from dunning.sandbox.render import shape
from dunning.sandbox.world import DAY, NEWEST, World

if TYPE_CHECKING:
    from dunning.sandbox.sandbox import Sandbox

_LONGEST_WAIT = 10.0
_Handler = Callable[["Sandbox", Request, Obj], Any]
_RULES = ("duplicate", "reorder", "delay", "drop", "hold")


async def _body(request: Request) -> Obj:
    raw = await request.body()
    if not raw:
        return {}
    try:
        data = json.loads(raw)
    except ValueError:
        raise invalid("The request body must be JSON.") from None
    if not isinstance(data, dict):
        raise invalid("The request body must be a JSON object.")
    return data


def _endpoint(
    sandbox: Sandbox, handler: _Handler, *, bump: bool
) -> Callable[[Request], Awaitable[Response]]:
    """A handler under the lock; refusals are JSON, changes wake the followers."""

    async def serve(request: Request) -> Response:
        world = sandbox.world
        try:
            data = await _body(request)
            with world.lock:
                result = handler(sandbox, request, data)
                if bump:
                    world.bump()
        except ApiError as error:
            return JSONResponse(error.body("req_control", world.now), error.status)
        except (KeyError, TypeError, ValueError) as error:
            body = {"error": {"type": "invalid_request_error", "message": str(error)}}
            return JSONResponse(body, 400)
        return JSONResponse(result)

    return serve


def _need(data: Obj, name: str) -> Any:
    if data.get(name) in (None, ""):
        raise missing_param(name)
    return data[name]


# --- faults ------------------------------------------------------------------------------------
def _charges_next(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    match = {name: data[name] for name in _MATCH if data.get(name)}
    sandbox.next_charge(_need(data, "outcome"), times=int(data.get("times", 1)), **match)
    return {"queued": len(sandbox.world.faults.charges)}


_MATCH = ("customer", "payment_method", "invoice", "subscription")


def _requests_next(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    sandbox.next_request(
        _need(data, "outcome"),
        path=str(data.get("path", "")),
        method=data.get("method"),
        times=int(data.get("times", 1)),
    )
    return {"queued": len(sandbox.world.faults.requests)}


def _clear_faults(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    sandbox.world.faults.charges.clear()
    sandbox.world.faults.requests.clear()
    return {"queued": 0}


def _settings(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    """`smart_retries` as "off" or {"days": […]}, `after_exhaustion`, `shuffle`, `tick` …"""
    settings = sandbox.world.settings
    if "smart_retries" in data:
        given = data["smart_retries"]
        settings.smart_retries = [] if given == "off" else [float(d) for d in given["days"]]
    if "after_exhaustion" in data:
        if data["after_exhaustion"] not in ("past_due", "unpaid", "cancel"):
            raise invalid("after_exhaustion must be past_due, unpaid or cancel")
        settings.after_exhaustion = data["after_exhaustion"]
    for name in ("tick", "finalize_after", "bank_debit_seconds", "upcoming_seconds"):
        if name in data:
            setattr(settings, name, int(data[name]))
    if "shuffle" in data:
        settings.shuffle = bool(data["shuffle"])
    return {
        "smart_retries": {"days": settings.smart_retries} if settings.smart_retries else "off",
        "after_exhaustion": settings.after_exhaustion,
        "tick": settings.tick,
        "finalize_after": settings.finalize_after,
        "bank_debit_seconds": settings.bank_debit_seconds,
        "upcoming_seconds": settings.upcoming_seconds,
        "shuffle": settings.shuffle,
    }


# --- people ------------------------------------------------------------------------------------
def _pays(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    outcome = acts.pays(
        sandbox.world, request.path_params["id"], _need(data, "invoice"), data.get("number")
    )
    return {"outcome": outcome.kind, "decline_code": outcome.decline_code}


def _new_card(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    card = data.get("number") or data.get("token") or "4242424242424242"
    method = acts.new_card(
        sandbox.world,
        request.path_params["id"],
        str(card),
        for_subscriptions=bool(data.get("for_subscriptions")),
    )
    return shape(sandbox.world, method, NEWEST)


def _cancels(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    ended = acts.cancels(
        sandbox.world, request.path_params["id"], at_period_end=bool(data.get("at_period_end"))
    )
    return {"subscriptions": ended}


def _disputes(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    made = acts.disputes(
        sandbox.world,
        request.path_params["id"],
        data.get("charge"),
        str(data.get("reason", "fraudulent")),
    )
    return shape(sandbox.world, made, NEWEST)


def _close_dispute(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    made = sandbox.world.get("dispute", request.path_params["id"])
    aftermath.close_dispute(sandbox.world, made, str(data.get("status", "lost")))
    return shape(sandbox.world, made, NEWEST)


def _fail_refund(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    aftermath.fail_refund(sandbox.world, request.path_params["id"])
    return shape(sandbox.world, sandbox.world.get("refund", request.path_params["id"]), NEWEST)


def _auto_updated(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    method = acts.automatically_updated(
        sandbox.world, request.path_params["id"], data.get("number"), data.get("exp_year")
    )
    return shape(sandbox.world, method, NEWEST)


def _partial(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    payment = acts.partial_payment(
        sandbox.world, request.path_params["id"], int(_need(data, "amount"))
    )
    return shape(sandbox.world, payment, NEWEST)


def _expiring(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    source = acts.expiring_source(sandbox.world, request.path_params["id"])
    return shape(sandbox.world, source, NEWEST)


def _revoke(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    mandate = sandbox.world.get("mandate", request.path_params["id"])
    customers.revoke_mandate(sandbox.world, mandate)
    return shape(sandbox.world, mandate, NEWEST)


# --- endpoints and deliveries ------------------------------------------------------------------
def _add_endpoint(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    endpoint = sandbox.add_webhook(
        _need(data, "url"),
        data.get("secret"),
        events=data.get("enabled_events"),
        version=data.get("api_version"),
        payload=str(data.get("event_payload", "snapshot")),
    )
    return {"id": endpoint["id"], "secret": endpoint["_secret"]}


def _roll(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    endpoint = sandbox.world.get("webhook_endpoint", request.path_params["id"])
    keep = int(data.get("keep_seconds", DAY))
    return {"secret": delivery.roll_secret(sandbox.world, endpoint, data.get("secret"), keep)}


def _rule(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    sandbox.deliver(
        _need(data, "action"),
        types=data.get("types") or [],
        times=data.get("times"),
        seconds=int(data.get("seconds", 3600)),
        copies=int(data.get("copies", 1)),
    )
    return {"rules": len(sandbox.world.delivery_rules)}


def add_rule(world: World, action: str, types: list[str], times: int | None, **more: int) -> None:
    """A standing order for deliveries; without `times` it holds until cleared."""
    if action not in _RULES:
        raise invalid(f"action must be one of {', '.join(_RULES)}", "action")
    rule = {"action": action, "types": types, "times": times, **more}
    world.delivery_rules.append(rule)


def _clear_rules(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    sandbox.world.delivery_rules.clear()
    return {"rules": 0}


def _release(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    return {"released": delivery.release(sandbox.world)}


# --- reading -----------------------------------------------------------------------------------
def _books(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    return sandbox.books()


def _requests(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    return {"data": sandbox.world.requests}


def _deliveries(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    return {"data": sandbox.world.deliveries, "waiting": len(sandbox.world.outbound)}


# --- the clock ---------------------------------------------------------------------------------
def _clock(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    return sandbox.clock.state()


def _advance(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    if "to" in data:
        to = int(data["to"])
    else:
        to = sandbox.world.target + int(_need(data, "seconds"))
    sandbox.clock.advance(to)
    return sandbox.clock.state()


def _leave(sandbox: Sandbox, request: Request, data: Obj) -> Obj:
    return {"left": sandbox.clock.leave(request.path_params["name"])}


def _followers(sandbox: Sandbox) -> Callable[[Request], Awaitable[Response]]:
    """A follower's report; it waits here until there is news."""

    async def serve(request: Request) -> Response:
        world, clock = sandbox.world, sandbox.clock
        try:
            data = await _body(request)
            version, idle = int(_need(data, "version")), bool(data.get("idle", False))
            next_at = data.get("next_at")
            wait = min(float(data.get("wait") or 0), _LONGEST_WAIT)
            with world.lock:
                name = str(_need(data, "name"))
                follower = clock.report(
                    name, version, idle, None if next_at is None else int(next_at)
                )
                news = asyncio.Event()
                loop = asyncio.get_running_loop()

                def tell() -> None:
                    loop.call_soon_threadsafe(news.set)

                if world.version == version and wait > 0:
                    world.listeners.add(tell)
                    follower.polling += 1
                else:
                    wait = 0
            if wait > 0:
                try:
                    await asyncio.wait_for(news.wait(), wait)
                except TimeoutError:
                    pass
                finally:
                    with world.lock:
                        world.listeners.discard(tell)
                        follower.polling -= 1
                        follower.heard = time.monotonic()
            with world.lock:
                return JSONResponse(clock.state())
        except ApiError as error:
            return JSONResponse(error.body("req_control", world.now), error.status)
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": {"message": str(error)}}, 400)

    return serve


def control_routes(sandbox: Sandbox) -> list[Route]:
    """All routes of the control API."""
    changing: list[tuple[str, _Handler]] = [
        ("/settings", _settings),
        ("/customers/{id}/pays", _pays),
        ("/customers/{id}/new_card", _new_card),
        ("/customers/{id}/cancels", _cancels),
        ("/customers/{id}/disputes", _disputes),
        ("/customers/{id}/source_expiring", _expiring),
        ("/disputes/{id}/close", _close_dispute),
        ("/refunds/{id}/fail", _fail_refund),
        ("/payment_methods/{id}/automatically_updated", _auto_updated),
        ("/invoices/{id}/partial_payment", _partial),
        ("/mandates/{id}/revoke", _revoke),
        ("/endpoints", _add_endpoint),
        ("/endpoints/{id}/roll", _roll),
        ("/deliveries/release", _release),
    ]
    quiet: list[tuple[str, str, _Handler]] = [
        ("POST", "/charges/next", _charges_next),
        ("POST", "/requests/next", _requests_next),
        ("DELETE", "/faults", _clear_faults),
        ("POST", "/deliveries/rules", _rule),
        ("DELETE", "/deliveries/rules", _clear_rules),
        ("GET", "/books", _books),
        ("GET", "/requests", _requests),
        ("GET", "/deliveries", _deliveries),
        ("GET", "/clock", _clock),
        ("POST", "/clock/advance", _advance),
        ("DELETE", "/clock/followers/{name}", _leave),
    ]
    routes = [
        Route(f"/_sandbox{path}", _endpoint(sandbox, handler, bump=True), methods=["POST"])
        for path, handler in changing
    ]
    routes += [
        Route(f"/_sandbox{path}", _endpoint(sandbox, handler, bump=False), methods=[method])
        for method, path, handler in quiet
    ]
    follow = Route("/_sandbox/clock/followers", _followers(sandbox), methods=["POST"])
    return [*routes, follow]
