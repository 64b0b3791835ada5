"""Understands Stripe's webhooks: verify, open, normalise. Pure, and without the SDK.

Snapshot events carry the object as it was; thin events only name it. Both come to one address and
are told apart by their `object`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from pydantic_core import from_json

from dunning.clock import from_unix
from dunning.core.ports import Envelope, Ignored, Incomplete, Reading, Unreadable
from dunning.errors import MalformedError
from dunning.providers.stripe import signature
from dunning.providers.stripe.fields import LAST_SECOND, MAX_ID, FieldError, Fields, kind_of
from dunning.providers.stripe.normalise import RULES, THIN_PREFIX, read_object

_NAME = re.compile(rf"[!-~]{{1,{MAX_ID}}}\Z")
_URL = re.compile(r"/v1(?:/[A-Za-z0-9_]{1,255}){2,4}\Z")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})\Z")

_SNAPSHOT: Final = "event"
_THIN: Final = "v2.core.event"
_ACCOUNT: Final = {_SNAPSHOT: "account", _THIN: "context"}


class StripeReader:
    """The pure half of the Stripe provider; see `dunning.core.ports.Reader`."""

    name = "stripe"
    awaited = frozenset(
        (
            "invoice.payment_failed",
            "invoice.paid",
            "invoice.voided",
            "invoice.marked_uncollectible",
            "customer.subscription.deleted",
        )
    )

    def verify(
        self,
        body: bytes,
        headers: Mapping[str, str],
        secrets: Sequence[str],
        now: datetime,
        tolerance_seconds: int,
    ) -> None:
        """Raise `SignatureError` unless one of the secrets signed these very bytes lately."""
        signature.verify(body, headers, secrets, now, tolerance_seconds)

    def open(self, body: bytes) -> Envelope:
        """Read the envelope; `MalformedError` when this is not a Stripe event."""
        return _envelope(_decode(body))

    def normalise(self, body: bytes) -> Reading:
        """Say what the event means; never raises, whatever the bytes are."""
        try:
            event = _decode(body)
            envelope = _envelope(event)
            if event["object"] == _THIN:
                return _read_thin(event, envelope)
            return _read_snapshot(event, envelope)
        except MalformedError as error:
            return Unreadable(why=str(error))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# One decoder for all: making one for each body costs more than decoding a small one.
_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        event = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        event = _decode_slowly(body)
    if not isinstance(event, dict):
        raise MalformedError(f"the body is {kind_of(event)} (expected an event object)")
    return event


def _decode_slowly(body: bytes) -> object:
    """Decode what the fast decoder does not take (half characters, depth), or say what is wrong."""
    try:
        return _JSON.decode(str(body, "utf-8"))
    except UnicodeDecodeError:
        raise MalformedError("the body is not UTF-8") from None
    except RecursionError:
        raise MalformedError("the body is nested too deeply") from None
    except ValueError:
        raise MalformedError("the body is not JSON") from None


def _envelope(event: dict[str, Any]) -> Envelope:
    kind = event.get("object")
    if kind == _SNAPSHOT:
        created = _unix(event.get("created"))
        account = event.get("account")
    elif kind == _THIN:
        created = _iso(event.get("created"))
        account = event.get("context")
    else:
        raise MalformedError(f"object is not {_SNAPSHOT!r} or {_THIN!r}: this is no Stripe event")
    livemode = event.get("livemode")
    if livemode is not None and not isinstance(livemode, bool):
        raise MalformedError(f"livemode is {kind_of(livemode)} (expected true or false)")
    return Envelope(
        id=_name(event, "id"),
        type=_name(event, "type"),
        created=created,
        livemode=livemode,
        account=None if account is None else _name(event, _ACCOUNT[kind]),
    )


def _name(event: dict[str, Any], field: str) -> str:
    value = event.get(field)
    if isinstance(value, str) and _NAME.match(value):
        return value
    if value is None:
        raise MalformedError(f"{field} is missing")
    raise MalformedError(f"{field} is not a string of 1 to {MAX_ID} printable characters")


def _unix(value: object) -> datetime:
    if type(value) is int and 0 < value < LAST_SECOND:
        return from_unix(value)
    raise MalformedError("created is missing or is not seconds since 1970 and before 2100")


def _iso(value: object) -> datetime:
    if isinstance(value, str) and _ISO.match(value):
        try:
            moment = datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            moment = None
        if moment is not None and 0 < moment.timestamp() < LAST_SECOND:
            return moment
    raise MalformedError("created is missing or is not an RFC 3339 time before 2100")


def _read_snapshot(event: dict[str, Any], envelope: Envelope) -> Reading:
    if envelope.type not in RULES:
        return Ignored(why=f"{envelope.type} events are not used")
    try:
        whole = Fields(event, "event")
        data = Fields(whole.need("data").data, "data")
        obj = data.need("object")
        previous = data.inner("previous_attributes")
        request = whole.expanded("request")
        if request is None:
            whole.word_or_none("request")  # a bare id, as before 2017, does not say whose it is
    except FieldError as error:
        return Unreadable(why=f"{envelope.type}: {error}")
    return read_object(
        envelope.type,
        obj.data,
        event_id=envelope.id,
        created=envelope.created,
        request=request.data if request else None,
        previous=previous.data,
    )


def _read_thin(event: dict[str, Any], envelope: Envelope) -> Reading:
    name = envelope.type
    rule = RULES.get(name.removeprefix(THIN_PREFIX)) if name.startswith(THIN_PREFIX) else None
    if rule is None:
        return Ignored(why=f"{name} events are not used")
    try:
        whole = Fields(event, "event")
        related = whole.inner("related_object")
        if not related.data:
            return Ignored(why=f"{name} names no object that could be fetched")
        kind = related.word("type")
        if kind not in rule.kinds:
            raise related.unknown("type", " or ".join(rule.kinds))
        request = whole.inner("reason").inner("request")
        key = request.word_or_none("idempotency_key")
        return Incomplete(type=name, object_id=related.id("id"), url=_url(related), key=key)
    except FieldError as error:
        return Unreadable(why=f"{name}: {error}")


def _url(related: Fields) -> str | None:
    # It becomes the path of a request with the account's key: nothing but a path will do.
    url = related.word_or_none("url")
    if url is not None and not _URL.match(url):
        raise related.wrong("url", "a path that begins with /v1/")
    return url
