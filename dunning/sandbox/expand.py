"""`expand[]`: which fields may be expanded, refused before anything is done, filled in after."""

from __future__ import annotations

from collections.abc import Callable

from dunning.sandbox.errors import ApiError, Obj, invalid
from dunning.sandbox.render import legacy, list_of, shape
from dunning.sandbox.world import World

_LEVELS = 4

# kind -> field -> what it leads to. `x` an id to look up, `[x]` a list that is only included on
# request, `=x` an object that is there already, `=[x]` a list that is there already.
_FIELDS: dict[str, dict[str, str]] = {
    "customer": {
        "default_source": "card",
        "invoice_settings.default_payment_method": "payment_method",
        "test_clock": "test_helpers.test_clock",
        "sources": "[card]",
        "subscriptions": "[subscription]",
    },
    "payment_method": {"customer": "customer"},
    "card": {"customer": "customer"},
    "price": {"product": "product"},
    "plan": {"product": "product"},
    "product": {"default_price": "price"},
    "setup_intent": {
        "customer": "customer",
        "payment_method": "payment_method",
        "mandate": "mandate",
    },
    "mandate": {"payment_method": "payment_method"},
    "subscription": {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": "card",
        "latest_invoice": "invoice",
        "pending_setup_intent": "setup_intent",
        "items": "=[subscription_item]",
        "test_clock": "test_helpers.test_clock",
    },
    "subscription_item": {"price": "=price"},
    "invoice": {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": "card",
        "lines": "=[line_item]",
        "payments": "[invoice_payment]",
        "confirmation_secret": "@",
        "parent.subscription_details.subscription": "subscription",
        "test_clock": "test_helpers.test_clock",
    },
    "line_item": {
        "pricing.price_details.price": "price",
        "parent.subscription_item_details.subscription": "subscription",
    },
    "invoiceitem": {"customer": "customer", "invoice": "invoice"},
    "invoice_payment": {
        "invoice": "invoice",
        "payment.payment_intent": "payment_intent",
        "payment.charge": "charge",
    },
    "payment_intent": {
        "customer": "customer",
        "latest_charge": "charge",
        "payment_method": "payment_method",
        "last_payment_error.payment_method": "=payment_method",
    },
    "charge": {
        "customer": "customer",
        "payment_intent": "payment_intent",
        "balance_transaction": "balance_transaction",
        "refunds": "[refund]",
    },
    "refund": {"charge": "charge", "payment_intent": "payment_intent"},
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "credit_note": {"customer": "customer", "invoice": "invoice", "lines": "=[credit_note_line]"},
    "credit_note_line": {},
    "event": {},
    "balance_transaction": {"source": "charge"},
}
_ONLY_LEGACY: dict[str, dict[str, str]] = {
    "invoice": {
        "subscription": "subscription",
        "payment_intent": "payment_intent",
        "charge": "charge",
    },
    "charge": {"invoice": "invoice"},
    "payment_intent": {"invoice": "invoice"},
    "line_item": {"subscription": "subscription", "price": "=price"},
    "credit_note": {"refund": "refund"},
}
_NOT_LEGACY = {
    "invoice": {"payments", "confirmation_secret", "parent.subscription_details.subscription"},
    "line_item": {"pricing.price_details.price", "parent.subscription_item_details.subscription"},
}

Path = list[str]


def _fields(kind: str, version: str) -> dict[str, str]:
    fields = _FIELDS.get(kind, {})
    if not legacy(version):
        return fields
    gone = _NOT_LEGACY.get(kind, set())
    kept = {name: target for name, target in fields.items() if name not in gone}
    return {**kept, **_ONLY_LEGACY.get(kind, {})}


def _step(kind: str, path: Path, version: str) -> tuple[str, str, Path] | None:
    """The field a path begins with, where it leads, and the rest of the path."""
    fields = _fields(kind, version)
    for length in range(min(len(path), 3), 0, -1):
        name = ".".join(path[:length])
        if name in fields:
            return name, fields[name], path[length:]
    return None


def check(returns: str, wanted: list[str], version: str) -> list[Path]:
    """The paths of a request, or Stripe's refusal; nothing has been done yet."""
    paths = []
    for text in wanted:
        path = text.split(".")
        if len([part for part in path if part != "data"]) > _LEVELS:
            raise invalid(
                f"You cannot expand more than {_LEVELS} levels of a property ({text}).", "expand"
            )
        rest, kind = path, returns
        if returns.startswith("list:"):
            if path[0] != "data" or len(path) < 2:
                raise _not_expandable(text)
            rest, kind = path[1:], returns.removeprefix("list:")
        _walk(kind, rest, text, version)
        paths.append(path)
    return paths


def _walk(kind: str, path: Path, text: str, version: str) -> None:
    while path:
        found = _step(kind, path, version)
        if found is None:
            raise _not_expandable(text)
        _, target, path = found
        kind = target.strip("=[]@")
        if target.endswith("]") and path:
            if path[0] != "data":
                raise _not_expandable(text)
            path = path[1:]


def _not_expandable(text: str) -> ApiError:
    hint = text.rsplit(".", maxsplit=1)[-1]
    return invalid(
        f"This property cannot be expanded ({hint}). You may want to try expanding a different"
        " property, or remove it from the expand list.",
        "expand",
    )


def expand(world: World, kind: str, node: Obj, paths: list[Path], version: str) -> None:
    """Fill the asked-for fields of a rendered object in, in place."""
    groups: dict[str, tuple[str, list[Path]]] = {}
    for path in paths:
        found = _step(kind, path, version)
        if found is None:
            continue  # checked before; a path of another kind of the same union
        name, target, rest = found
        groups.setdefault(name, (target, []))[1].append(rest)
    for name, (target, rests) in groups.items():
        _fill(world, node, name, target, [rest for rest in rests if rest], version)


def _fill(world: World, node: Obj, name: str, target: str, rests: list[Path], version: str) -> None:
    *outer, last = name.split(".")
    holder = node
    for part in outer:
        inner = holder.get(part)
        if not isinstance(inner, dict):
            return
        holder = inner
    if target == "@":
        holder[last] = _confirmation_secret(world, node)
        return
    kind = target.strip("=[]")
    if target.startswith("["):
        kept = INCLUDED[(node["object"], last)](world, node["id"])
        url = f"/v1/{node['object']}s/{node['id']}/{last}"
        holder[last] = list_of([shape(world, obj, version) for obj in kept], url)
    value = holder.get(last)
    if isinstance(value, str):
        found = world.find(kind, value) or _other(world, kind, value)
        if found is None:
            return
        value = holder[last] = shape(world, found, version)
    if not isinstance(value, dict):
        return
    if target.endswith("]"):
        for child in value["data"]:
            expand(world, kind, child, [rest[1:] for rest in rests if len(rest) > 1], version)
    else:
        expand(world, kind, value, rests, version)


def _other(world: World, kind: str, key: str) -> Obj | None:
    """Fields that may hold one of two kinds."""
    pairs = {"card": "payment_method", "payment_method": "card"}
    return world.find(pairs[kind], key) if kind in pairs else None


def _confirmation_secret(world: World, invoice: Obj) -> Obj | None:
    kept = world.find("invoice", invoice.get("id"))
    intent = world.find("payment_intent", kept.get("_payment_intent") if kept else None)
    if intent is None:
        return None
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}


def invoice_payments(world: World, invoice: str) -> list[Obj]:
    """The payments of an invoice, newest first."""
    kept = [p for p in world.all("invoice_payment") if p["invoice"] == invoice]
    return kept[::-1]


def _of_charge(world: World, charge: str) -> list[Obj]:
    return [r for r in world.all("refund") if r["charge"] == charge][::-1]


def _subscriptions(world: World, customer: str) -> list[Obj]:
    open_states = ("canceled", "incomplete_expired")
    return [
        s
        for s in world.all("subscription")
        if s["customer"] == customer and s["status"] not in open_states
    ][::-1]


def _sources(world: World, customer: str) -> list[Obj]:
    return [c for c in world.all("card") if c["customer"] == customer]


INCLUDED: dict[tuple[str, str], Callable[[World, str], list[Obj]]] = {
    ("invoice", "payments"): invoice_payments,
    ("charge", "refunds"): _of_charge,
    ("customer", "subscriptions"): _subscriptions,
    ("customer", "sources"): _sources,
}
