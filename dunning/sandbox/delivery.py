"""Webhook delivery: signed over the raw body at the virtual time, repeated for three days."""

from __future__ import annotations

import hashlib
import heapq
import hmac
import json
import random
from dataclasses import dataclass, field
from typing import Any

from dunning.sandbox.errors import Obj
from dunning.sandbox.events import Event, render_event, render_thin, wanted
from dunning.sandbox.world import DAY, HOUR, NEWEST, World, log

# Stripe publishes "exponential, up to three days" and no intervals; these are ours.
BACKOFF = (60, 300, 1_800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 12 * HOUR)
GIVE_UP_AFTER = 3 * DAY


@dataclass(order=True)
class Outbound:
    """One event on its way to one endpoint; `due` is the virtual time of the next attempt."""

    due: int
    order: int
    event: Event = field(compare=False)
    endpoint: str = field(compare=False)
    attempts: int = field(default=0, compare=False)
    copies: int = field(default=1, compare=False)
    held: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Post:
    """What goes over the wire once: made under the lock, sent outside of it."""

    item: Outbound
    url: str
    body: bytes
    headers: dict[str, str]


def new_endpoint(
    world: World,
    url: str,
    *,
    secret: str | None = None,
    events: list[str] | None = None,
    version: str | None = None,
    payload: str = "snapshot",
    description: str | None = None,
) -> Obj:
    """A webhook endpoint; its secret is `_secret`, shown once by whoever creates it."""
    return world.add(
        {
            "id": world.id("we"),
            "object": "webhook_endpoint",
            "api_version": version,
            "application": None,
            "created": world.now,
            "description": description,
            "enabled_events": events or ["*"],
            "livemode": False,
            "metadata": {},
            "status": "enabled",
            "url": url,
            "_secret": secret or f"whsec_{world.ids.token(f'secret/{world.sequence()}', 32)}",
            "_old_secret": None,
            "_old_until": 0,
            "_payload": payload,
        }
    )


def roll_secret(world: World, endpoint: Obj, secret: str | None, keep_seconds: int) -> str:
    """A new secret; the old one goes on signing beside it for a while, as Stripe does."""
    endpoint["_old_secret"] = endpoint["_secret"]
    endpoint["_old_until"] = world.now + keep_seconds
    endpoint["_secret"] = secret or f"whsec_{world.ids.token(f'rolled/{world.sequence()}', 32)}"
    return str(endpoint["_secret"])


def signature(endpoint: Obj, body: bytes, at: int) -> str:
    """The `Stripe-Signature` header: one v1 for every secret that is still good."""
    secrets = [endpoint["_secret"]]
    if endpoint["_old_secret"] and at < endpoint["_old_until"]:
        secrets.append(endpoint["_old_secret"])
    signed = f"{at}.".encode() + body
    parts = [f"t={at}"]
    for secret in secrets:
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        parts.append(f"v1={digest}")
    return ",".join(parts)


def enqueue(world: World, event: Event) -> None:
    """Queue an event for every enabled endpoint that subscribed to its type."""
    for endpoint in world.all("webhook_endpoint"):
        if endpoint["status"] != "enabled" or not wanted(event.type, endpoint["enabled_events"]):
            continue
        item = Outbound(world.now, world.sequence(), event, endpoint["id"])
        if _apply_rules(world, item):
            event.waiting += 1
            heapq.heappush(world.outbound, item)
    world.wake()


def _apply_rules(world: World, item: Outbound) -> bool:
    """Duplicate, delay, reorder, hold or drop by order of a test; False when dropped for good."""
    for rule in list(world.delivery_rules):
        if rule["types"] and item.event.type not in rule["types"]:
            continue
        action = rule["action"]
        if action == "drop":
            keep = False
        else:
            keep = True
            if action == "duplicate":
                item.copies += int(rule.get("copies", 1))
            elif action == "delay":
                item.due += int(rule.get("seconds", HOUR))
            elif action == "reorder":
                item.order = -item.order  # newest of an instant first
            elif action == "hold":
                item.held = True
        if rule["times"] is not None:
            rule["times"] -= 1
            if rule["times"] <= 0:
                world.delivery_rules.remove(rule)
        if not keep:
            log.info("delivery.dropped event=%s type=%s", item.event.id, item.event.type)
            return False
    return True


def release(world: World) -> int:
    """Let go of everything that is held; due at once."""
    count = 0
    for item in world.outbound:
        if item.held:
            item.held = False
            item.due = max(item.due, world.now)
            count += 1
    heapq.heapify(world.outbound)
    world.wake()
    return count


def next_due(world: World) -> int | None:
    """When the next attempt is due."""
    return min((item.due for item in world.outbound if not item.held), default=None)


def take_due(world: World) -> list[Post]:
    """Everything due now, ready to be sent."""
    ready = [item for item in world.outbound if item.due <= world.now and not item.held]
    if not ready:
        return []
    world.outbound = [item for item in world.outbound if item.due > world.now or item.held]
    heapq.heapify(world.outbound)
    ready.sort()
    if world.settings.shuffle:
        random.Random(f"{world.settings.seed}/{world.now}/{len(ready)}").shuffle(ready)
    posts = []
    for item in ready:
        endpoint = world.find("webhook_endpoint", item.endpoint)
        if endpoint is None:
            continue
        post = _post(world, item, endpoint)
        posts.extend([post] * item.copies)
    return posts


def _post(world: World, item: Outbound, endpoint: Obj) -> Post:
    if endpoint["_payload"] == "thin":
        payload = render_thin(item.event)
    else:
        version = endpoint["api_version"] or world.settings.api_version or NEWEST
        payload = render_event(world, item.event, version)
    body = json.dumps(payload, indent=world.settings.indent, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Accept": "*/*; q=0.5, application/xml",
        "Stripe-Signature": signature(endpoint, body, world.now),
    }
    return Post(item, endpoint["url"], body, headers)


def settle(world: World, post: Post, status: int | None, error: str | None) -> None:
    """Write the answer down; anything but 2xx is tried again until three days have passed."""
    item, event = post.item, post.item.event
    item.attempts += 1
    good = status is not None and 200 <= status < 300
    record: dict[str, Any] = {
        "event": event.id,
        "type": event.type,
        "object": event.data.get("id"),
        "endpoint": item.endpoint,
        "url": post.url,
        "at": world.now,
        "attempt": item.attempts,
        "status": status,
        "error": error,
        "delivered": good,
    }
    world.deliveries.append(record)
    if item.copies > 1:
        # One of several copies: the last one speaks for all, the others are only written down.
        item.copies -= 1
        return
    if good:
        event.waiting = max(0, event.waiting - 1)
        return
    wait = BACKOFF[min(item.attempts, len(BACKOFF)) - 1]
    if world.now + wait - event.created > GIVE_UP_AFTER:
        event.failed = True
        event.waiting = max(0, event.waiting - 1)
        log.warning("delivery.given_up event=%s type=%s", event.id, event.type)
        return
    item.due = world.now + wait
    heapq.heappush(world.outbound, item)
