"""Charge tries: Stripe's charges and payment intents as attempts, with every word on a decline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from datetime import datetime
from typing import Any, Final

from dunning.core.events import Actor, Attempt, AttemptStatus, Decline
from dunning.providers.stripe.fields import Fields, fields

Source = Mapping[str, Any] | Fields

OUR_KEYS: Final = "case_"  # our idempotency keys are step keys, `case_…/retry:3`

_CHARGE_STATUS: Final = {
    "succeeded": AttemptStatus.SUCCEEDED,
    "paid": AttemptStatus.SUCCEEDED,  # the word before 2015, still in old accounts
    "pending": AttemptStatus.PROCESSING,
    "failed": AttemptStatus.DECLINED,
}
_INTENT_STATUS: Final = {
    "succeeded": AttemptStatus.SUCCEEDED,
    "processing": AttemptStatus.PROCESSING,
    "requires_action": AttemptStatus.ACTION_NEEDED,
    "requires_source_action": AttemptStatus.ACTION_NEEDED,  # until 2019-02-11
    "canceled": AttemptStatus.CANCELED,
}
# States in which nothing is being tried: the last try failed, or there was none.
_IDLE: Final = frozenset(
    ("requires_payment_method", "requires_source", "requires_confirmation", "requires_capture")
)
_REFUSED_BY: Final = frozenset(("issuer_declined", "blocked"))
_AT_ONCE: Final = frozenset((None, "card"))

# Waiting for the customer there is no charge yet, and a canceled intent has charged nothing: its
# latest charge, if any, is an earlier try, which keeps its own outcome.
_WITHOUT_CHARGE: Final = frozenset((AttemptStatus.ACTION_NEEDED, AttemptStatus.CANCELED))
_BEFORE_CHARGE: Final = frozenset(("payment_intent_authentication_failure",))

# Legacy cards are labelled for people, newer objects with one word.
_BRANDS: Final = {
    "american express": "amex",
    "diners club": "diners",
    "cartes bancaires": "cartes_bancaires",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Who made a try, as far as the request behind an event tells."""

    by: Actor = Actor.UNKNOWN
    key: str | None = None


UNKNOWN_CAUSE: Final = Cause()


def cause_of(request: Fields | None) -> Cause:
    """Ours by its idempotency key; Stripe's own when no request was behind it."""
    if request is None:
        return UNKNOWN_CAUSE
    key = request.text_or_none("idempotency_key")
    if key and key.startswith(OUR_KEYS):
        return Cause(by=Actor.OURS, key=request.word("idempotency_key"))
    if request.has("id") and request.id_or_none("id") is None:
        return Cause(by=Actor.PROVIDER)
    return UNKNOWN_CAUSE


def brand(name: str | None) -> str | None:
    """A card network in one spelling: `Visa` and `visa`, `American Express` and `amex`."""
    return _BRANDS.get(name.lower(), name.lower()) if name else None


def attempt_of_charge(charge: Source, *, cause: Cause = UNKNOWN_CAUSE) -> Attempt:
    """One charge as an attempt; FieldError names what cannot be used."""
    f = fields(charge, "charge")
    status = _CHARGE_STATUS.get(f.word("status"))
    if status is None:
        raise f.unknown("status", "one of " + ", ".join(_CHARGE_STATUS))
    seen = _Method.of_charge(f)
    name = f.id("id")
    return Attempt(
        id=name,
        at=f.time("created"),
        status=status,
        amount=f.amount("amount"),
        currency=f.currency(),
        by=_maker(cause, seen.type),
        key=cause.key,
        charge=name,
        payment_intent=f.id_or_none("payment_intent"),
        method=seen.id,
        method_type=seen.type,
        network=seen.network,
        fingerprint=seen.fingerprint,
        decline=_charge_decline(f, seen) if status is AttemptStatus.DECLINED else None,
    )


def _maker(cause: Cause, method_type: str | None) -> Actor:
    # A bank debit fails days after somebody began it: that Stripe told us without a request
    # says nothing about who that was.
    if cause.by is Actor.PROVIDER and method_type not in _AT_ONCE:
        return Actor.UNKNOWN
    return cause.by


def _charge_decline(f: Fields, seen: _Method) -> Decline:
    outcome = f.inner("outcome")
    kind, reason = outcome.word_or_none("type"), outcome.word_or_none("reason")
    error = f.word_or_none("failure_code")
    return Decline(
        code=(reason if kind in _REFUSED_BY else None) or error,
        error_code=error,
        advice_code=outcome.word_or_none("advice_code"),
        network_code=outcome.word_or_none("network_decline_code"),
        network_advice_code=outcome.word_or_none("network_advice_code"),
        network=seen.network,
        outcome_type=kind,
        outcome_reason=reason,
        method_type=seen.type,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """What a try says of the card or account it was made on."""

    id: str | None = None
    type: str | None = None
    network: str | None = None
    fingerprint: str | None = None

    @classmethod
    def of_charge(cls, f: Fields) -> _Method:
        details = f.inner("payment_method_details")
        # Before payment methods the charge carried the card itself as `source`.
        source = f.opened("source")
        kind = details.word_or_none("type") or _source_type(source)
        facts = details.inner(kind) if kind and details.given(kind) else source
        return cls(
            id=f.id_or_none("payment_method") or f.id_or_none("source"),
            type=kind,
            network=brand(facts.word_or_none("network") or facts.word_or_none("brand")),
            fingerprint=facts.word_or_none("fingerprint"),
        )

    @classmethod
    def of_error(cls, error: Fields) -> _Method:
        method, source = error.opened("payment_method"), error.opened("source")
        kind = (
            method.word_or_none("type")
            or error.word_or_none("payment_method_type")
            or _source_type(source)
        )
        facts = method.inner(kind) if kind and method.given(kind) else source
        return cls(
            id=error.id_or_none("payment_method") or error.id_or_none("source"),
            type=kind,
            network=brand(facts.word_or_none("brand")),
            fingerprint=facts.word_or_none("fingerprint"),
        )

    @classmethod
    def of_intent(cls, f: Fields) -> _Method:
        method = f.opened("payment_method")
        allowed = f.words("payment_method_types")
        kind = method.word_or_none("type") or (allowed[0] if len(allowed) == 1 else None)
        facts = method.inner(kind) if kind else method
        return cls(
            id=f.id_or_none("payment_method") or f.id_or_none("source"),
            type=kind,
            network=brand(facts.word_or_none("brand")),
            fingerprint=facts.word_or_none("fingerprint"),
        )


def _source_type(source: Fields) -> str | None:
    kind = source.word_or_none("object")
    return source.word_or_none("type") if kind == "source" else kind


def attempts_of_payment_intent(
    intent: Source,
    *,
    at: datetime | None = None,
    cause: Cause = UNKNOWN_CAUSE,
    failed: bool = False,
) -> tuple[Attempt, ...]:
    """Every try the intent shows, the current one last; none when nothing has been tried yet.

    `at` is when the event happened: an intent does not say when its last try was. `failed` when
    an event said that a try failed, which counts only while nothing newer is under way.
    """
    f = fields(intent, "payment_intent")
    status = _intent_status(f, failed=failed)
    if status is None:
        return ()
    listed = sorted(f.each("charges"), key=lambda charge: charge.time("created"))
    newest = f.expanded("latest_charge")
    if newest is not None:
        listed = [c for c in listed if c.id("id") != newest.id("id")] + [newest]
    tries = {c.id("id"): attempt_of_charge(c) for c in listed}
    current = _current(f, status, tries, at or f.time("created"), cause)
    tries.pop(current.id, None)
    return (*tries.values(), current)


def _intent_status(f: Fields, *, failed: bool) -> AttemptStatus | None:
    word = f.word("status")
    if word in _IDLE:
        tried = failed or f.given("last_payment_error")
        return AttemptStatus.DECLINED if tried else None
    status = _INTENT_STATUS.get(word)
    if status is None:
        raise f.unknown("status", "one of " + ", ".join((*_INTENT_STATUS, *sorted(_IDLE))))
    return status


def _current(
    f: Fields,
    status: AttemptStatus,
    tries: Mapping[str, Attempt],
    at: datetime,
    cause: Cause,
) -> Attempt:
    error = f.inner("last_payment_error")
    # The error speaks of the last try that failed, which is this one only if this one failed.
    declined = status is AttemptStatus.DECLINED
    seen, asked = _Method.of_error(error), _Method.of_intent(f)
    if not declined:
        seen = asked
    charge = _charge_of_try(f, status, error, tries)
    told = Attempt(
        id=charge or f.id("id"),
        at=at,
        status=status,
        amount=f.amount("amount"),
        currency=f.currency(),
        by=_maker(cause, seen.type or asked.type),
        key=cause.key,
        charge=charge,
        payment_intent=f.id("id"),
        method=seen.id or asked.id,
        method_type=seen.type or asked.type,
        network=seen.network,
        fingerprint=seen.fingerprint,
        decline=_error_decline(error, seen) if declined and error.data else None,
    )
    known = tries.get(charge) if charge else None
    return _both(told, known) if known else told


def _charge_of_try(
    f: Fields, status: AttemptStatus, error: Fields, tries: Mapping[str, Attempt]
) -> str | None:
    """The charge of the current try; None while, or because, there is none."""
    if status in _WITHOUT_CHARGE or error.word_or_none("code") in _BEFORE_CHARGE:
        return None
    newest = f.id_or_none("latest_charge") or next(reversed(list(tries)), None)
    failed = error.id_or_none("charge") if status is AttemptStatus.DECLINED else None
    return failed or newest


def _error_decline(error: Fields, seen: _Method) -> Decline:
    code = error.word_or_none("code")
    return Decline(
        code=error.word_or_none("decline_code") or code,
        error_code=code,
        advice_code=error.word_or_none("advice_code"),
        network_code=error.word_or_none("network_decline_code"),
        network_advice_code=error.word_or_none("network_advice_code"),
        network=seen.network,
        method_type=seen.type,
    )


def _both(told: Attempt, charge: Attempt) -> Attempt:
    """The try as its intent tells it, with what only its charge knows."""
    decline = told.decline
    if decline and charge.decline:
        decline = _filled(decline, charge.decline)
    return replace(
        told,
        at=charge.at,
        by=_maker(Cause(by=told.by), charge.method_type),
        method=charge.method or told.method,
        method_type=charge.method_type or told.method_type,
        network=charge.network or told.network,
        fingerprint=charge.fingerprint or told.fingerprint,
        decline=decline or charge.decline,
    )


def _filled(decline: Decline, other: Decline) -> Decline:
    names = [field.name for field in dataclass_fields(Decline)]
    return Decline(**{name: getattr(decline, name) or getattr(other, name) for name in names})
