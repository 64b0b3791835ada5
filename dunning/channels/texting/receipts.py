"""What became of texts, as Twilio tells it: checked, and read as what came back of an email is.

Each text is asked for with the address of `POST /texts/twilio`. Twilio signs its calls with the
account's token, over that address and the parameters.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from dunning.channels.texting.account import account_of
from dunning.channels.texting.twilio import DEAD
from dunning.core.returned import Fate, Returned
from dunning.errors import MalformedError, SignatureError

PATH: Final = "/texts/twilio"
_SID = re.compile(r"(?:SM|MM)[0-9A-Za-z]{8,40}")
_MOST_FIELDS = 100
# The account could not send it, or took it back: nothing of the number.
_LOST: Final = ("failed", "undelivered")


def token_of(url: str) -> str | None:
    """What the account signs with: its own token, and not the secret of an API key."""
    account = account_of(url)
    return account.password if account.user == account.account else None


def told_to(public_url: str) -> str:
    """Where Twilio is to tell it."""
    return public_url.rstrip("/") + PATH


def asked_for(url: str | None, public_url: str | None) -> str | None:
    """Where Twilio is asked to tell it; None where it could not, or could not prove who it is.

    A text with an address that Twilio does not accept is refused whole, so only one on the
    internet is named.
    """
    if url is None or public_url is None or token_of(url) is None:
        return None
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    named = parts.scheme == "https" and "." in host and not host.replace(".", "").isdigit()
    return told_to(public_url) if named else None


def read_receipt(headers: Mapping[str, str], body: bytes, at: str, token: str) -> list[Returned]:
    """A call of Twilio about one text that it was asked to make at that address."""
    try:
        text = body.decode()
        told = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise MalformedError("the body is no form") from None
    given = headers.get("x-twilio-signature", "").encode("utf-8", "replace")
    # With a port or without: Twilio has signed both ways.
    good = [hmac.compare_digest(signature(form, told, token), given) for form in _forms(at)]
    if not any(good):
        raise SignatureError("Twilio did not sign this, or with another token or address")
    said = dict(told)
    sid, status = said.get("MessageSid", ""), said.get("MessageStatus", "")
    if status not in _LOST or not _SID.fullmatch(sid):
        return []
    code = said.get("ErrorCode", "")
    number = int(code) if re.fullmatch("[0-9]{1,6}", code) else 0
    why = DEAD.get(number) or f"the provider calls it {status}"
    return [
        Returned(
            key=f"twilio {sid}",
            fate=Fate.PERMANENT if number in DEAD else Fate.TEMPORARY,
            why=f"{why} ({number})" if number else why,
            addresses=(said.get("To", "")[:40],),
            message_ids=(sid,),
        )
    ]


def signature(at: str, told: Sequence[tuple[str, str]], token: str) -> bytes:
    """HMAC-SHA1 over the address and each parameter with its value, in the order of names."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    for name, value in told:
        values[name].add(value)
    parts = [name + value for name in sorted(values) for value in sorted(values[name])]
    text = (at + "".join(parts)).encode("utf-8", "replace")
    return base64.b64encode(hmac.new(token.encode(), text, hashlib.sha1).digest())


def _forms(at: str) -> list[str]:
    parts = urlsplit(at)
    if parts.port is None:
        port = 443 if parts.scheme == "https" else 80
        return [at, parts._replace(netloc=f"{parts.netloc}:{port}").geturl()]
    return [at, parts._replace(netloc=parts.netloc.rpartition(":")[0]).geturl()]
