"""How a charge ends: the closed set of outcomes, and what Stripe says about each decline code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dunning.sandbox.errors import Obj, invalid

Kind = Literal["succeed", "decline", "requires_action", "processing"]


@dataclass(frozen=True)
class Outcome:
    """One ending of one charge; the fields after `decline_code` are what the issuer added."""

    kind: Kind
    decline_code: str | None = None
    advice_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    outcome_type: str = "issuer_declined"
    # For `processing`: how the bank answers in the end, and after how long (None: the default).
    settles: Outcome | None = None
    settle_seconds: int | None = None


SUCCEED = Outcome("succeed")
REQUIRES_ACTION = Outcome("requires_action")


@dataclass(frozen=True)
class Attempt:
    """What an issuer is asked: one charge, before it is made."""

    customer: str | None
    payment_method: Obj
    invoice: str | None
    subscription: str | None
    amount: int
    currency: str
    at: int
    actor: str  # api, customer (present on a page) or stripe (automatic)
    off_session: bool


@dataclass(frozen=True)
class _Decline:
    """Stripe's words for one decline code on a Visa-like network."""

    message: str = "Your card was declined."
    code: str = "card_declined"
    network: str | None = None
    advice: str | None = "try_again_later"
    network_advice: str | None = None


_STOP = "do_not_try_again"
_DATA = "confirm_card_data"

DECLINES: dict[str, _Decline] = {
    "generic_decline": _Decline(network="05"),
    "do_not_honor": _Decline(network="05"),
    "insufficient_funds": _Decline("Your card has insufficient funds.", network="51"),
    "lost_card": _Decline(network="41", advice=_STOP),
    "stolen_card": _Decline(network="43", advice=_STOP),
    "pickup_card": _Decline(network="04", advice=_STOP),
    "restricted_card": _Decline(network="62", advice=_STOP),
    "expired_card": _Decline("Your card has expired.", "expired_card", "54", _DATA),
    "incorrect_cvc": _Decline(
        "Your card's security code is incorrect.", "incorrect_cvc", "N7", _DATA
    ),
    "incorrect_number": _Decline("Your card number is incorrect.", "incorrect_number", "14", _DATA),
    "invalid_account": _Decline(network="14", advice=_STOP),
    "processing_error": _Decline(
        "An error occurred while processing your card. Try again in a little bit.",
        "processing_error",
        "96",
    ),
    "issuer_not_available": _Decline(network="91"),
    "try_again_later": _Decline(network="19"),
    "reenter_transaction": _Decline(network="19"),
    "call_issuer": _Decline(network="01"),
    "card_velocity_exceeded": _Decline(
        "Your card was declined for making repeated attempts too frequently or exceeding its"
        " amount limit.",
        network="61",
    ),
    "withdrawal_count_limit_exceeded": _Decline(network="65"),
    "card_not_supported": _Decline("Your card is not supported.", network="57", advice=_STOP),
    "currency_not_supported": _Decline(network="57", advice=_STOP),
    "transaction_not_allowed": _Decline(network="57", advice=_STOP),
    "service_not_allowed": _Decline(network="57", advice=_STOP),
    "not_permitted": _Decline(network="57", advice=_STOP),
    "fraudulent": _Decline(network="59", advice=_STOP),
    "merchant_blacklist": _Decline(advice=_STOP),
    "stop_payment_order": _Decline(network="R0", advice=_STOP),
    "revocation_of_authorization": _Decline(network="R1", advice=_STOP),
    "revocation_of_all_authorizations": _Decline(network="R3", advice=_STOP),
    "security_violation": _Decline(network="63"),
    "new_account_information_available": _Decline(network="46", advice=_DATA),
    "authentication_required": _Decline(
        "Your card was declined. This transaction requires authentication.",
        "authentication_required",
        "1A",
        None,
    ),
}


def decline(
    decline_code: str,
    *,
    advice_code: str | None = None,
    network_decline_code: str | None = None,
    network_advice_code: str | None = None,
    outcome_type: str | None = None,
) -> Outcome:
    """A decline with whatever was not given filled in from the table."""
    known = DECLINES.get(decline_code, _Decline())
    blocked = decline_code in ("fraudulent", "merchant_blacklist") and network_decline_code is None
    return Outcome(
        "decline",
        decline_code,
        advice_code or known.advice,
        network_decline_code or known.network,
        network_advice_code or known.network_advice,
        outcome_type or ("blocked" if blocked else "issuer_declined"),
    )


def error_code(outcome: Outcome) -> str:
    """The `code` of the card error; most declines share `card_declined`."""
    return DECLINES.get(outcome.decline_code or "", _Decline()).code


def error_message(outcome: Outcome) -> str:
    """What Stripe would show the cardholder."""
    return DECLINES.get(outcome.decline_code or "", _Decline()).message


def parse_outcome(given: object) -> Outcome | None:
    """An outcome as the control API writes it; None when it is a fault of the request instead."""
    if given == "succeed":
        return SUCCEED
    if given == "requires_action":
        return REQUIRES_ACTION
    if given == "processing":
        return Outcome("processing", settles=SUCCEED)
    if not isinstance(given, dict):
        raise invalid(f"Unknown outcome: {given!r}", "outcome")
    if "decline_code" in given:
        names = ("advice_code", "network_decline_code", "network_advice_code", "outcome_type")
        extra = {name: given[name] for name in names if given.get(name)}
        return decline(str(given["decline_code"]), **extra)
    if "processing" in given:
        details = given["processing"] or {}
        seconds = details.get("seconds")
        return Outcome(
            "processing",
            settles=parse_outcome(details.get("then", "succeed")),
            settle_seconds=int(seconds) if seconds is not None else None,
        )
    if {"hang", "drop", "status"} & given.keys():
        return None
    raise invalid(f"Unknown outcome: {given!r}", "outcome")


def charge_outcome(outcome: Outcome) -> Obj:
    """The `outcome` hash of a charge."""
    if outcome.kind == "succeed":
        status, kind, message = "approved_by_network", "authorized", "Payment complete."
        reason = None
    elif outcome.kind == "processing":
        status, kind, message = "not_sent_to_network", "authorized", "Payment pending."
        reason = None
    else:
        blocked = outcome.outcome_type in ("blocked", "invalid")
        status = "not_sent_to_network" if blocked else "declined_by_network"
        kind = outcome.outcome_type
        reason = outcome.decline_code
        message = _seller_message(outcome)
    return {
        "advice_code": outcome.advice_code,
        "network_advice_code": outcome.network_advice_code,
        "network_decline_code": outcome.network_decline_code,
        "network_status": status,
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": message,
        "type": kind,
    }


def _seller_message(outcome: Outcome) -> str:
    if outcome.outcome_type == "blocked":
        return "Stripe blocked this payment."
    code = outcome.decline_code or "generic_decline"
    if code in ("generic_decline", "do_not_honor"):
        return "The bank did not return any further details with this decline."
    return f"The bank returned the decline code `{code}`."
