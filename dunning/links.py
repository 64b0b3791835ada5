"""Links in messages: signed names of a case with the moment they were made; and where a link of
the provider may lead.

A token is small letters and digits 2-7 after a fixed prefix, so no mail encoding can break it, and
holds no secret: behind it stands our page for the customer, and what that offers is made afresh.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

PURPOSES = ("pay", "card")
# The moment is left out of links from before it was part of them.
_TOKEN = re.compile(r"rcv_(pay|card)_([a-z2-7]{20})(?:_([a-z2-7]{7}))?_([a-z2-7]{26})\Z")
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_STAMP_LENGTH = 7


@dataclass(frozen=True, slots=True)
class Named:
    """What a token says: the case, what the customer came for, and when the link was made.

    `issued_at` is in whole seconds; None: before links said so.
    """

    case_id: str
    purpose: str
    issued_at: datetime | None


def token_for(key: str, case_id: str, purpose: str, now: datetime) -> str:
    """The token of a case for one purpose, made now."""
    name, stamp = case_id.removeprefix("case_"), _stamp(now)
    return f"rcv_{purpose}_{name}_{stamp}_{_sign(key, f'{purpose}:{case_id}:{stamp}')}"


def read_token(keys: Sequence[str], token: str) -> Named | None:
    """What a token stands for; None when none of these keys made it.

    Whatever is asked costs one signature for each key and a comparison in constant time, however
    much of it is right.
    """
    match = _TOKEN.match(token)
    purpose, name, stamp, signature = match.groups() if match else ("pay", "", None, "")
    said = f"{purpose}:case_{name}" + (f":{stamp}" if stamp else "")
    ours = False
    for key in keys:
        ours |= hmac.compare_digest(_sign(key, said), signature)
    if not ours or match is None:
        return None
    return Named(f"case_{name}", purpose, _moment(stamp) if stamp else None)


def url_for(public_url: str, key: str, case_id: str, purpose: str, now: datetime) -> str:
    """The address to put into a message."""
    return f"{public_url}/pay/{token_for(key, case_id, purpose, now)}"


def _sign(key: str, said: str) -> str:
    digest = hmac.new(key.encode(), said.encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:20]).decode().lower()[:26]


def _stamp(now: datetime) -> str:
    seconds = int(now.timestamp())
    digits = [_DIGITS[seconds >> 5 * place & 31] for place in range(_STAMP_LENGTH)]
    return "".join(reversed(digits))


def _moment(stamp: str) -> datetime:
    seconds = 0
    for digit in stamp:
        seconds = seconds << 5 | _DIGITS.index(digit)
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Pages:
    """Where a customer may be sent to: the provider's own hosts over https, and nowhere else.

    An address that came over the network is shown, never called; but it stands in a message that
    customers trust, so a wrong one must lead nowhere.
    """

    hosts: tuple[str, ...]  # and every name below them
    sandbox: str | None = None  # a simulated provider's own address, as it was configured

    def allow(self, url: str) -> bool:
        """Whether this is such a page."""
        if not re.fullmatch(r"[!-~]{1,4000}", url) or re.search(r'[<>"\\^`{|}]', url):
            return False
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if "@" in parts.netloc or not host:
            return False
        if self.sandbox is not None and f"{parts.scheme}://{parts.netloc}" == _origin(self.sandbox):
            return True
        known = any(host == name or host.endswith(f".{name}") for name in self.hosts)
        return parts.scheme == "https" and port in {None, 443} and known

    def patterns(self) -> tuple[str, ...]:
        """The same for a browser's policy of contents."""
        own = (_origin(self.sandbox),) if self.sandbox is not None else ()
        known = (f"https://{part}{name}" for name in self.hosts for part in ("", "*."))
        return (*known, *own)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
