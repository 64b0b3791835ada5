"""The account that texts are sent from, as its URL says it."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from dunning.errors import ConfigError

_PORTS = {"twilio": 443, "twilio+http": 80}
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_ACCOUNT = re.compile(r"AC[0-9A-Za-z]{4,40}")


@dataclass(frozen=True, slots=True)
class Account:
    """Where texts are asked for, and as whom. Its text form leaves the login out."""

    host: str
    port: int
    secure: bool
    account: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"{'twilio' if self.secure else 'twilio+http'}://{self.host}:{self.port}"

    @property
    def authorization(self) -> str:
        """The header that logs in."""
        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()

    def path(self, resource: str) -> str:
        """The path of something that belongs to the account."""
        return f"/2010-04-01/Accounts/{self.account}{resource}"


def account_of(url: str) -> Account:
    """Read the URL; what is wrong with it is said without repeating it.

    `twilio://ACCOUNT:TOKEN@api.twilio.com`, or with an API key `twilio://KEY:SECRET@…/ACCOUNT`.
    """
    expected = "expected twilio://ACCOUNT_SID:AUTH_TOKEN@api.twilio.com"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        message = f"the URL for texts cannot be read; {expected}"
        raise ConfigError(message) from None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    account = unquote(parts.path.strip("/")) or user
    if parts.scheme not in _PORTS or not host:
        message = f"the URL for texts is not one; {expected}"
        raise ConfigError(message)
    if not user or not password or not _ACCOUNT.fullmatch(account):
        message = f"the URL for texts names no account, AC and letters, with a token; {expected}"
        raise ConfigError(message)
    if parts.query or parts.fragment or not (user + password).isascii():
        message = f"the URL for texts goes on after the account; {expected}"
        raise ConfigError(message)
    if parts.scheme == "twilio+http" and host not in _LOOPBACK:
        message = "the URL for texts is plain http to another machine; expected twilio://"
        raise ConfigError(message)
    return Account(
        host, port or _PORTS[parts.scheme], parts.scheme == "twilio", account, user, password
    )
