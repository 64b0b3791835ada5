"""How a try ended: from an error's JSON, or a try found in the records, to an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dunning.core.declines import Advice, advise
from dunning.core.events import Actor, Attempt, AttemptStatus, Bill, Decline, InvoiceStatus
from dunning.core.ports import (
    ActionNeeded,
    ChargeOutcome,
    Declined,
    NotOwed,
    NotSent,
    Paid,
    Processing,
)

CLOSED = frozenset((InvoiceStatus.PAID, InvoiceStatus.VOID, InvoiceStatus.UNCOLLECTIBLE))
ACTION = Decline(
    code="invoice_payment_intent_requires_action",
    error_code="invoice_payment_intent_requires_action",
)


def ours(attempt: Attempt, key: str) -> Attempt:
    """The try, known to have been made under our key."""
    return replace(attempt, by=Actor.OURS, key=key)


def outcome_of(attempt: Attempt, now: Bill) -> ChargeOutcome:
    """How a try that was found in the records ended; whoever paid later has the last word."""
    decline = attempt.decline or Decline()
    if now.status in CLOSED and attempt.status is not AttemptStatus.SUCCEEDED:
        return NotOwed(bill=now)
    match attempt.status:
        case AttemptStatus.SUCCEEDED:
            return Paid(bill=now, attempt=attempt)
        case AttemptStatus.PROCESSING:
            return Processing(bill=now, attempt=attempt)
        case AttemptStatus.ACTION_NEEDED:
            return refusal(filled(decline, ACTION), attempt)
        case AttemptStatus.DECLINED:
            return refusal(decline, attempt)
        case AttemptStatus.CANCELED:
            return NotSent(why=f"{attempt.id} was canceled before anything was charged")


def refusal(decline: Decline, attempt: Attempt | None) -> Declined | ActionNeeded:
    """The bank's no, or its wish to hear from the cardholder."""
    waiting = attempt is not None and attempt.status is AttemptStatus.ACTION_NEEDED
    if waiting or asks_for_action(decline):
        return ActionNeeded(decline=decline, attempt=attempt)
    return Declined(decline=decline, attempt=attempt)


def asks_for_action(decline: Decline) -> bool:
    """True when only the customer can finish it; the table of decline codes says so."""
    return advise(decline).advice is Advice.AUTHENTICATE


def decline_of(error: Mapping[str, Any]) -> Decline:
    """What the JSON of an error says of a decline."""
    method = error.get("payment_method")
    method = method if isinstance(method, Mapping) else {}

    def word(name: str) -> str | None:
        value = error.get(name)
        return value if isinstance(value, str) and value else None

    kind = method.get("type") or word("payment_method_type")
    brand = (method.get("card") or {}).get("brand")
    return Decline(
        code=word("decline_code") or word("code"),
        error_code=word("code"),
        advice_code=word("advice_code"),
        network_code=word("network_decline_code"),
        network_advice_code=word("network_advice_code"),
        network=brand if isinstance(brand, str) else None,
        method_type=kind if isinstance(kind, str) else None,
    )


def filled(decline: Decline, other: Decline) -> Decline:
    """The first decline, with what only the second one knows."""
    names = Decline.__dataclass_fields__
    return Decline(**{name: getattr(decline, name) or getattr(other, name) for name in names})
