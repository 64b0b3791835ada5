"""Reads the webhooks of mail services: Mailgun's, which it signs, and Postmark's, which log in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from dunning.core.returned import Fate, Returned, plainly, weigh
from dunning.errors import MalformedError, SignatureError

Headers = Mapping[str, str]
Checked = Callable[[Headers, bytes, str], list[Returned]]

_POSTMARK: Final[Mapping[str, Fate]] = {
    **dict.fromkeys(("HardBounce", "BadEmailAddress", "ManuallyDeactivated"), Fate.PERMANENT),
    **dict.fromkeys(("SpamComplaint", "SpamNotification"), Fate.COMPLAINT),
    **dict.fromkeys(
        ("SoftBounce", "Transient", "DnsError", "Blocked", "Undeterminable", "DMARCPolicy",
         "SMTPApiError", "InboundError", "VirusNotification", "Unknown"),
        Fate.TEMPORARY,
    ),
}  # fmt: skip


def mailgun(_headers: Headers, body: bytes, key: str) -> list[Returned]:
    """An event of Mailgun, signed with HMAC-SHA256 over timestamp and token.

    How old it is does not matter: one that comes again changes nothing.
    """
    told = _object(body)
    signed, event = _part(told, "signature"), _part(told, "event-data")
    text = f"{_word(signed, 'timestamp')}{_word(signed, 'token')}"
    digest = hmac.new(key.encode(), text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    given = _word(signed, "signature").encode("utf-8", "replace")
    if not hmac.compare_digest(digest.encode(), given):
        raise SignatureError("Mailgun did not sign this, or with another key")
    fate = _mailgun_fate(event)
    if fate is None:
        return []
    status = _part(event, "delivery-status")
    said = f"{_word(status, 'code')} {_word(status, 'message') or _word(status, 'description')}"
    name = _word(_part(_part(event, "message"), "headers"), "message-id")
    return [
        Returned(
            key=f"mailgun {_word(event, 'id')[:100]}",
            fate=fate,
            why=plainly(said.strip() or fate.value),
            addresses=(_word(event, "recipient"),),
            message_ids=(name.strip("<>"),) if name else (),
            status=_word(status, "enhanced-code") or None,
            trusted=True,
        )
    ]


def _mailgun_fate(event: Mapping[str, Any]) -> Fate | None:
    kind = _word(event, "event")
    if kind == "complained":
        return Fate.COMPLAINT
    if kind != "failed":
        return None
    if _word(event, "severity") != "permanent":
        return Fate.DELAYED  # Mailgun goes on trying
    if _word(event, "reason") == "suppress-bounce":
        return Fate.PERMANENT
    status = _part(event, "delivery-status")
    said = f"{_word(status, 'message')} {_word(status, 'description')}"
    return weigh("failed", _word(status, "enhanced-code") or None, said)


def postmark(headers: Headers, body: bytes, login: str) -> list[Returned]:
    """A bounce or complaint of Postmark, which logs in with the name and password of the URL."""
    wanted = b"Basic " + base64.b64encode(login.encode())
    given = headers.get("authorization", "").encode("utf-8", "replace")
    if not hmac.compare_digest(wanted, given):
        raise SignatureError("the login is missing or wrong")
    told = _object(body)
    kind = _word(told, "Type") or _word(told, "RecordType")
    fate = _POSTMARK.get(kind)
    if fate is None:
        return []
    said = _word(told, "Details") or _word(told, "Description")
    if fate is Fate.PERMANENT and kind == "HardBounce":
        # Filters and blocked senders are hard bounces to Postmark as well.
        fate = weigh("failed", None, said) or fate
    return [
        Returned(
            key=f"postmark {_word(told, 'ID')[:40]} {_word(told, 'MessageID')[:60]} {fate.value}",
            fate=fate,
            why=plainly(said or kind),
            addresses=(_word(told, "Email"),),
            message_ids=tuple(one for one in (_word(told, "MessageID"),) if one),
            trusted=True,
        )
    ]


SERVICES: Final[Mapping[str, Checked]] = {"mailgun": mailgun, "postmark": postmark}


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("the body is not JSON") from None
    if not isinstance(told, dict):
        raise MalformedError("the body is not an object")
    return told


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def _word(told: Mapping[str, Any], name: str) -> str:
    found = told.get(name)
    return str(found)[:2_000] if isinstance(found, str | int) else ""
