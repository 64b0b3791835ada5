"""Objects as the API shows them: the current shape, or the one before 2025-03-31.basil."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from dunning.sandbox.errors import Obj
from dunning.sandbox.world import DAY, World

BASIL = "2025-03-31"


def legacy(version: str) -> bool:
    """True for API versions before basil, which moved the payments of invoices."""
    return version[:10] < BASIL


def list_of(data: list[Obj], url: str) -> Obj:
    """A list object that holds everything."""
    return {
        "object": "list",
        "data": data,
        "has_more": False,
        "total_count": len(data),
        "url": url,
    }


def shape(world: World, obj: Obj, version: str) -> Obj:
    """The public form of a kept object; names that begin with `_` are ours."""
    out: Obj = _strip(obj)
    kind = obj.get("object")
    if obj.get("deleted"):
        return {name: out[name] for name in ("id", "object", "deleted")}
    fresh = _FRESH.get(str(kind))
    if fresh is not None:
        fresh(world, obj, out)
    if legacy(version):
        change = _LEGACY.get(str(kind))
        if change is not None:
            change(world, obj, out)
    return out


def _strip(value: Any) -> Any:
    # Most values are neither, and each is rendered again and again: they cost no call.
    if isinstance(value, dict):
        return {
            name: _strip(child) if type(child) in _NESTS else child
            for name, child in value.items()
            if name[:1] != "_"
        }
    if isinstance(value, list):
        return [_strip(child) if type(child) in _NESTS else child for child in value]
    return value


_NESTS = (dict, list)


# --- links that are fresh on each read -------------------------------------------------------
def page_token(world: World, kind: str, key: str, at: int) -> str:
    """An unguessable token that says what it is for and when it was made."""
    signature = world.ids.token(f"page/{kind}/{key}/{at}", 32)
    return f"{key}-{at:x}-{signature}"


def read_page_token(world: World, kind: str, token: str) -> tuple[str, int] | None:
    """The object's id and the time of the token, if it is one of ours."""
    parts = token.split("-")
    if len(parts) != 3:
        return None
    try:
        at = int(parts[1], 16)
    except ValueError:
        return None
    if page_token(world, kind, parts[0], at) != token:
        return None
    return parts[0], at


def invoice_link_expires(invoice: Obj, made_at: int) -> int:
    """When a hosted link dies: 30 days after due date or finalisation, at most 120 days later,
    and never sooner than 10 days after it was read.
    """
    finalized = invoice["status_transitions"]["finalized_at"] or invoice["created"]
    end = (invoice["due_date"] or finalized) + 30 * DAY
    return int(max(min(end, finalized + 120 * DAY), made_at + 10 * DAY))


def _fresh_invoice(world: World, obj: Obj, out: Obj) -> None:
    if obj["status"] == "draft" or not obj.get("id"):
        out["hosted_invoice_url"] = out["invoice_pdf"] = None
        return
    url = f"{world.base_url}/i/{page_token(world, 'invoice', obj['id'], world.now)}"
    out["hosted_invoice_url"] = url
    out["invoice_pdf"] = f"{url}/pdf"


def _fresh_clock(world: World, obj: Obj, out: Obj) -> None:
    out["frozen_time"] = world.now
    if world.clock is not None and world.clock.state()["advancing"]:
        out["status"] = "advancing"
        out["status_details"] = {"advancing": {"target_frozen_time": world.target}}
    else:
        out["status"] = "ready"
        out["status_details"] = {}


_Change = Callable[[World, Obj, Obj], None]
_FRESH: dict[str, _Change] = {
    "invoice": _fresh_invoice,
    "test_helpers.test_clock": _fresh_clock,
}


# --- before basil ------------------------------------------------------------------------------
def _legacy_invoice(world: World, obj: Obj, out: Obj) -> None:
    parent = out.pop("parent") or {}
    details = parent.get("subscription_details") or {}
    for name in ("amount_overpaid", "total_taxes", "status_details", "amount_paid_off_stripe"):
        out.pop(name, None)
    out.update(
        {
            "charge": obj.get("_charge"),
            "discount": None,
            "paid": obj["status"] == "paid",
            "paid_out_of_band": bool(obj.get("_paid_out_of_band")),
            "payment_intent": obj.get("_payment_intent"),
            "quote": None,
            "subscription": details.get("subscription"),
            "subscription_details": {"metadata": details.get("metadata")},
            "tax": None,
            "total_tax_amounts": [],
            "transfer_data": None,
        }
    )
    for line, kept in zip(out["lines"]["data"], obj["lines"]["data"], strict=True):
        _legacy_line(world, kept, line)


def _legacy_line(world: World, obj: Obj, out: Obj) -> None:
    parent = out.pop("parent", None) or {}
    item = parent.get("subscription_item_details") or {}
    loose = parent.get("invoice_item_details") or {}
    pricing = out.pop("pricing", None) or {}
    price_id = (pricing.get("price_details") or {}).get("price")
    price = world.find("price", price_id)
    out.pop("taxes", None)
    out.update(
        {
            "amount_excluding_tax": obj["amount"],
            "plan": plan_of(price) if price and price["recurring"] else None,
            "price": shape(world, price, "1970-01-01") if price else None,
            "proration": bool(item.get("proration") or loose.get("proration")),
            "subscription": item.get("subscription") or loose.get("subscription"),
            "tax_amounts": [],
            "tax_rates": [],
            "type": "subscription" if item else "invoiceitem",
        }
    )
    if item:
        out["subscription_item"] = item.get("subscription_item")
    else:
        out["invoice_item"] = loose.get("invoice_item")


def _legacy_charge(world: World, obj: Obj, out: Obj) -> None:
    out["invoice"] = obj.get("_invoice")


def _legacy_intent(world: World, obj: Obj, out: Obj) -> None:
    out["invoice"] = obj.get("_invoice")


def _legacy_subscription(world: World, obj: Obj, out: Obj) -> None:
    items = out["items"]["data"]
    out.pop("status_details", None)
    out.pop("billing_mode", None)
    out["discount"] = None
    if items:
        out["current_period_start"] = items[0]["current_period_start"]
        out["current_period_end"] = items[0]["current_period_end"]
        out["plan"] = items[0]["plan"] if len(items) == 1 else None
        out["quantity"] = items[0]["quantity"] if len(items) == 1 else None
    for item in items:
        item.pop("current_period_start")
        item.pop("current_period_end")


def _legacy_credit_note(world: World, obj: Obj, out: Obj) -> None:
    refunds = out.pop("refunds")
    out["refund"] = refunds[0]["refund"] if refunds else None
    out.pop("total_taxes", None)
    out["tax_amounts"] = []


_LEGACY: dict[str, _Change] = {
    "invoice": _legacy_invoice,
    "line_item": _legacy_line,
    "charge": _legacy_charge,
    "payment_intent": _legacy_intent,
    "subscription": _legacy_subscription,
    "credit_note": _legacy_credit_note,
}


def plan_of(price: Obj) -> Obj:
    """The legacy plan that is the other face of a recurring price."""
    recurring = price["recurring"] or {}
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "livemode": False,
        "metadata": dict(price["metadata"]),
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": recurring.get("trial_period_days"),
        "usage_type": recurring.get("usage_type", "licensed"),
    }


def fingerprint(number: str) -> str:
    """The same for the same card number, whoever brings it."""
    return hashlib.sha256(f"card/{number}".encode()).hexdigest()[:16]
