"""Fetching what a thin event only names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from dunning.core.ports import Ignored, Incomplete, Reading, Unreadable
from dunning.providers.stripe.calls import Calls
from dunning.providers.stripe.normalise import read_object
from dunning.providers.stripe.outcomes import Ending, StripeRefusedError

if TYPE_CHECKING:
    from stripe import StripeClient

# Only plain paths of the API: the address came with a message, and our key goes out with it.
_PATH = re.compile(r"/v1(/[A-Za-z0-9_]{1,255}){2,4}")
_BY_PREFIX = {
    "in": "invoices",
    "inpay": "invoice_payments",
    "ch": "charges",
    "py": "charges",
    "pi": "payment_intents",
    "re": "refunds",
    "pyr": "refunds",
    "dp": "disputes",
    "du": "disputes",
    "cn": "credit_notes",
    "pm": "payment_methods",
    "seti": "setup_intents",
    "mandate": "mandates",
    "cus": "customers",
    "sub": "subscriptions",
}
# What the webhook of a whole event does not carry either, but helps to tell what was paid.
_EXPAND = {
    "invoices": ["payments"],
    "payment_intents": ["latest_charge"],
    "mandates": ["payment_method"],  # the only way to whose mandate it is
}


def fetch(
    client: StripeClient, calls: Calls, thin: Incomplete, *, event_id: str, created: datetime
) -> Reading:
    """Fetch the object as it is now and read it; one that is gone is not an error."""
    path = thin.url or next(_guess(thin.object_id), "")
    if not _PATH.fullmatch(path):
        return Unreadable(why=f"no address is known for {thin.object_id} ({thin.type})")
    expand = _EXPAND.get(path.split("/")[2])
    params: dict[str, Any] = {"expand": expand} if expand else {}
    try:
        obj = calls.read(partial(client.raw_request, "get", path, **params))
    except StripeRefusedError as exc:
        if exc.trouble.ending is not Ending.MISSING:
            raise
        if thin.type.endswith(".deleted"):
            return Ignored(why=f"{thin.object_id} is gone")
        return Unreadable(why=f"{thin.type} names {thin.object_id}: {exc}")
    request = {"id": None, "idempotency_key": thin.key} if thin.key else None
    return read_object(thin.type, obj, event_id=event_id, created=created, request=request)


def _guess(name: str) -> Iterator[str]:
    kind = _BY_PREFIX.get(name.partition("_")[0])
    if kind is not None:
        yield f"/v1/{kind}/{name}"
