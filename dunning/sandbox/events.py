"""Events: one for every change, kept for the API and handed to delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dunning.sandbox.errors import Obj
from dunning.sandbox.render import shape
from dunning.sandbox.world import World, snapshot


@dataclass
class Event:
    """A change as it was at its moment; rendered later for each receiver's API version."""

    id: str
    thin_id: str
    type: str
    created: int
    data: Obj
    before: Obj | None
    request_id: str | None
    key: str | None
    waiting: int = 0  # endpoints that have not acknowledged yet
    failed: bool = False


def emit(world: World, kind: str, obj: Obj, before: Obj | None = None) -> Event:
    """Write the event down and queue it for every endpoint that wants it."""
    from dunning.sandbox.delivery import enqueue  # delivery renders events; the import is a circle

    request = world.request if world.actor == "api" else None
    event = Event(
        id=world.id("evt"),
        thin_id=world.id("evt_test", 28),
        type=kind,
        created=world.now,
        data=snapshot(obj),
        before=before,
        request_id=request.id if request else None,
        key=request.key if request else None,
    )
    world.events.append(event)
    world.events_by_id[event.id] = event
    world.events_by_id[event.thin_id] = event
    enqueue(world, event)
    return event


def emit_updated(world: World, kind: str, obj: Obj, before: Obj) -> Event | None:
    """An `*.updated` event with what the changed fields were; nothing when nothing changed."""
    if not _difference(_public(before), _public(obj)):
        return None
    return emit(world, kind, obj, before)


def render_event(world: World, event: Event, version: str) -> Obj:
    """The snapshot event in the shape of one API version."""
    data: Obj = {"object": shape(world, event.data, version)}
    if event.before is not None:
        old = shape(world, event.before, version)
        data["previous_attributes"] = _difference(old, data["object"])
    return {
        "id": event.id,
        "object": "event",
        "api_version": version,
        "created": event.created,
        "data": data,
        "livemode": False,
        "pending_webhooks": event.waiting,
        "request": {"id": event.request_id, "idempotency_key": event.key},
        "type": event.type,
    }


_URLS = {
    "invoice": "invoices",
    "customer": "customers",
    "subscription": "subscriptions",
    "charge": "charges",
    "payment_intent": "payment_intents",
    "payment_method": "payment_methods",
    "setup_intent": "setup_intents",
    "invoice_payment": "invoice_payments",
    "dispute": "disputes",
    "refund": "refunds",
    "credit_note": "credit_notes",
    "mandate": "mandates",
    "invoiceitem": "invoiceitems",
    "price": "prices",
    "product": "products",
}


def render_thin(event: Event) -> Obj:
    """The thin event: it names the object and leaves the fetching to the receiver."""
    kind = event.data["object"]
    related: Obj | None = None
    if kind in _URLS and event.data.get("id"):
        url = f"/v1/{_URLS[kind]}/{event.data['id']}"
        related = {"id": event.data["id"], "type": kind, "url": url}
    reason: Obj | None = None
    if event.request_id:
        reason = {
            "type": "request",
            "request": {"id": event.request_id, "idempotency_key": event.key or ""},
        }
    return {
        "id": event.thin_id,
        "object": "v2.core.event",
        "type": f"v1.{event.type}",
        "created": moment(event.created),
        "livemode": False,
        "context": None,
        "related_object": related,
        "reason": reason,
        "snapshot_event": event.id,
    }


def moment(at: int) -> str:
    """A time as version 2 of the API writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _public(obj: Obj) -> Obj:
    return {name: value for name, value in obj.items() if not name.startswith("_")}


def _difference(old: Obj, new: Obj) -> Obj:
    """What the changed fields were before: hashes in part, lists whole, as Stripe writes it."""
    changed: Obj = {}
    for name in old.keys() | new.keys():
        was, now = old.get(name), new.get(name)
        if was == now or name in ("hosted_invoice_url", "invoice_pdf"):
            continue
        if isinstance(was, dict) and isinstance(now, dict) and was.get("object") is None:
            changed[name] = _difference(was, now)
        else:
            changed[name] = was
    return dict(sorted(changed.items()))


def wanted(event_type: str, enabled: list[Any]) -> bool:
    """True when an endpoint subscribed to this type; thin names carry a `v1.` prefix."""
    return "*" in enabled or event_type in enabled or f"v1.{event_type}" in enabled
