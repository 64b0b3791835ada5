"""Links in messages: ours are signed names of a case, good for as long as the case is; and where
a link of the provider may lead.

A token is all letters and digits 2-7 after a fixed prefix, so no mail encoding can break it, and
holds no secret: behind it a fresh link of the provider is made on each click.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from dunning.core.facts import Case

PURPOSES = ("pay", "card")
_TOKEN = re.compile(r"rcv_(pay|card)_([a-z2-7]{20})_([a-z2-7]{26})\Z")


def token_for(secret: str, case_id: str, purpose: str) -> str:
    """The token of a case for one purpose."""
    name = case_id.removeprefix("case_")
    return f"rcv_{purpose}_{name}_{_sign(secret, case_id, purpose)}"


def case_of(secret: str, token: str) -> tuple[str, str] | None:
    """The case id and the purpose a token stands for; None when we did not make it."""
    match = _TOKEN.match(token)
    if match is None:
        return None
    purpose, name, signature = match.groups()
    case_id = f"case_{name}"
    if not hmac.compare_digest(_sign(secret, case_id, purpose), signature):
        return None
    return case_id, purpose


def url_for(public_url: str, secret: str, case: Case, purpose: str) -> str:
    """The address to put into a message."""
    return f"{public_url}/r/{token_for(secret, case.id, purpose)}"


def _sign(secret: str, case_id: str, purpose: str) -> str:
    digest = hmac.new(secret.encode(), f"{purpose}:{case_id}".encode(), hashlib.sha256).digest()
    return base64.b32encode(digest[:20]).decode().lower()[:26]


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


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
