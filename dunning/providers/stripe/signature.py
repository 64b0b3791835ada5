"""Stripe's webhook signature, checked over the very bytes that came.

The SDK's own check accepts any time in the future and decodes the body before it has looked at
the signature, so it is not used; a test holds the two against each other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from dunning.errors import SignatureError

HEADER: Final = "stripe-signature"
MAX_HEADER: Final = 4096  # real ones have some 150 characters, 80 more for each rolled secret
MAX_SIGNATURES: Final = 16

_DIGITS = re.compile(r"[0-9]{1,12}\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    now: datetime,
    tolerance_seconds: int,
) -> None:
    """Raise SignatureError unless one of the secrets signed these bytes lately.

    The time is bounded on both sides: a signature made ahead of time is as replayable as an old
    one. No message repeats a secret, the body or a signature.
    """
    header = _header(headers)
    stamp, signatures = _parse(header)
    keyed = [_keyed(secret) for secret in secrets if secret.strip()]
    if not keyed:
        raise SignatureError("no signing secret is configured for this source")
    if not _matches(stamp.encode("ascii") + b".", body, signatures, keyed):
        raise SignatureError("no v1 signature in Stripe-Signature fits the body and our secrets")
    _check_age(int(stamp), now, tolerance_seconds)


def _header(headers: Mapping[str, str]) -> str:
    found = headers.get("stripe-signature") or headers.get("Stripe-Signature")
    if found is None:
        found = next((v for k, v in headers.items() if k.lower() == HEADER), None)
    if not found:
        raise SignatureError("the Stripe-Signature header is missing")
    if len(found) > MAX_HEADER:
        raise SignatureError(f"the Stripe-Signature header is longer than {MAX_HEADER} characters")
    return found


def _parse(header: str) -> tuple[str, list[bytes]]:
    """The time, as it was written and signed, and every v1 signature; other schemes are left."""
    stamps: list[str] = []
    signatures: list[bytes] = []
    for part in header.split(","):
        scheme, _, value = part.strip().partition("=")
        if scheme == "t":
            stamps.append(value)
        elif scheme == "v1":
            signatures.append(value.encode("utf-8", "surrogatepass"))
    if len(stamps) != 1 or not _DIGITS.match(stamps[0]):
        raise SignatureError("Stripe-Signature does not have one t= with seconds since 1970")
    if not signatures:
        raise SignatureError("Stripe-Signature has no v1 signature")
    if len(signatures) > MAX_SIGNATURES:
        raise SignatureError(f"Stripe-Signature has more than {MAX_SIGNATURES} v1 signatures")
    return stamps[0], signatures


@lru_cache(maxsize=64)
def _keyed(secret: str) -> hmac.HMAC:
    """The beginning of every signature with this secret: it is made once, and copied."""
    return hmac.new(secret.encode("utf-8", "surrogatepass"), digestmod=hashlib.sha256)


def _matches(stamp: bytes, body: bytes, signatures: list[bytes], keyed: list[hmac.HMAC]) -> bool:
    # Every pair is compared, so the time taken does not tell which one fitted.
    matched = False
    for begun in keyed:
        whole = begun.copy()
        whole.update(stamp)
        whole.update(body)
        expected = whole.hexdigest().encode("ascii")
        for signature in signatures:
            matched |= hmac.compare_digest(expected, signature)
    return matched


def _check_age(stamp: int, now: datetime, tolerance_seconds: int) -> None:
    age = (now - _EPOCH).total_seconds() - stamp
    if age > tolerance_seconds:
        raise SignatureError(
            f"signed {age:.0f} s ago, more than the {tolerance_seconds} s allowed; "
            "is this machine's clock right?"
        )
    if age < -tolerance_seconds:
        raise SignatureError(
            f"signed {-age:.0f} s in the future, more than the {tolerance_seconds} s allowed; "
            "is this machine's clock right?"
        )
