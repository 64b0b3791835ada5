"""How often Stripe may be asked, and what its 429 says.

The figures are Stripe's defaults (docs.stripe.com/rate-limits, as of November 2026): 100 requests
a second from an account in live mode and 25 in test mode, and 25 at any one endpoint. Stripe raises
them for an account on request; `rate` of a source in the policy file says so to this program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dunning.core.turns import Limits

LIVE = 100
TEST = 25
ENDPOINT = 25
TOO_MANY = 429

_WORD = re.compile(r"[a-z]+[0-9]?(?:_[a-z]+)*")


def limits(*, live: bool | None, rate: int | None) -> Limits:
    """What an account may do. A key that does not tell its mode is taken for a live one.

    With a raised rate an endpoint gets the quarter that it has of the usual one.
    """
    account = rate or (TEST if live is False else LIVE)
    return Limits(account=account, endpoint=min(account, max(ENDPOINT, account / 4)))


def endpoint(method: str, path: str) -> str:
    """`POST /v1/invoices/:id/pay`: requests that differ only in ids share a limit."""
    parts = [part if _WORD.fullmatch(part) else ":id" for part in path.strip("/").split("/")]
    return f"{method} /{'/'.join(parts)}"


@dataclass(frozen=True, slots=True)
class Excess:
    """A 429 that is about how often we ask."""

    endpoint: bool  # about this endpoint only, not the account
    retry_after: float | None


def excess(headers: Mapping[str, str], body: bytes) -> Excess | None:
    """What a 429 says of our rate; None when one object is busy, which slows nobody else."""
    reason = headers.get("Stripe-Rate-Limited-Reason", "")
    if reason == "resource-specific" or (not reason and _code(body) == "lock_timeout"):
        return None
    return Excess(reason.startswith("endpoint"), _seconds(headers.get("Retry-After")))


def _code(body: bytes) -> object:
    try:
        told = json.loads(body)
        return told["error"].get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < 86_400 else None
