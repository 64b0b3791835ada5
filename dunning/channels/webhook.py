"""Tell the merchant's application what happened, in calls it can verify (Standard Webhooks).

The application verifies a call with any Standard Webhooks library, or by hand: take the raw
body; refuse a `webhook-timestamp` more than five minutes away from now; compute
`base64(hmac_sha256(key, "{webhook-id}.{webhook-timestamp}.{body}"))`, where the key is the
base64-decoded part of the secret after `whsec_`; compare it in constant time with each
`v1,...` of `webhook-signature`; and drop a `webhook-id` seen before, since a call whose answer
got lost is made again under the same id. `verify` below is that in Python.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from dunning import crashpoints
from dunning.clock import utc
from dunning.errors import ConfigError, SignatureError

_TOLERANCE_SECONDS = 300
_BODY_LIMIT = 64 * 1024
_RETRY_AFTER_LIMIT = 24 * 3600.0
_SHORTEST_KEY, _LONGEST_KEY = 24, 64  # bytes; the specification's bounds
_LOCAL_NAMES = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".test")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Where machines in the cloud get their credentials, besides the link-local 169.254.169.254.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192")
)

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The application took it."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The application wants no more calls (410 Gone); a person must look."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It did not work this time, or we do not know that it did: call again under the same id."""

    why: str
    retry_after: float | None = None  # seconds, when the application asked for a pause


Delivery = Delivered | Refused | Failed


# --- signatures ------------------------------------------------------------------------------


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One `v1,...` signature, as it stands in the `webhook-signature` header."""
    digest = hmac.digest(_key(secret), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode("ascii")


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    *,
    tolerance_seconds: int = _TOLERANCE_SECONDS,
) -> None:
    """Raise SignatureError unless one of the secrets signed this body, and lately."""
    found = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, given = found["webhook-id"], found["webhook-signature"].split()
        timestamp = int(found["webhook-timestamp"])
    except (KeyError, ValueError):
        message = "webhook-id, webhook-timestamp or webhook-signature is missing or unreadable"
        raise SignatureError(message) from None
    if abs(utc(now).timestamp() - timestamp) > tolerance_seconds:
        message = f"the timestamp is more than {tolerance_seconds} seconds away from now"
        raise SignatureError(message)
    right = [sign(secret, message_id, timestamp, body).encode() for secret in secrets]
    matches = [hmac.compare_digest(one.encode(), each) for one in given for each in right]
    if not any(matches):
        message = "no signature matches"
        raise SignatureError(message)


def _key(secret: str) -> bytes:
    text = secret.strip().removeprefix("whsec_")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        message = (
            "the webhook signing secret is not one; expected whsec_ and the base64 of "
            f"{_SHORTEST_KEY} to {_LONGEST_KEY} random bytes"
        )
        raise ConfigError(message)
    return key


# --- the channel -----------------------------------------------------------------------------


class WebhookChannel:
    """Calls one address of the merchant's application; safe to use from many threads.

    Give two secrets while one is being replaced: each call then carries both signatures. A call
    leaves only for a public address over https, unless `allow_private` (the application runs in
    our own network) or `allow_http` (plain http, and then to our own network only) says more.
    """

    name = "webhook"

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        *,
        timeout: float = 10,
        allow_http: bool = False,
        allow_private: bool = False,
    ) -> None:
        if not secrets:
            message = "a webhook needs at least one signing secret"
            raise ConfigError(message)
        for secret in secrets:
            _key(secret)
        self._target = _target(url, allow_http=allow_http, allow_private=allow_private)
        self._secrets = tuple(secrets)
        self._timeout = timeout

    def deliver(self, message_id: str, body: bytes, now: datetime) -> Delivery:
        """Make one call; nothing is raised. The same id each time marks a repeated call."""
        timestamp = int(utc(now).timestamp())
        signatures = [sign(each, message_id, timestamp, body) for each in self._secrets]
        headers = {
            "content-type": "application/json",
            "user-agent": "dunning",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
            "connection": "close",
        }
        try:
            answer = self._call(body, headers)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            return Failed(why=f"the call to {self._target.host} failed: {_fault(error)}")
        return _outcome(answer, now)

    def _call(self, body: bytes, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        target = self._target
        connection = _PinnedConnection(target, self._timeout)
        connection.connect()
        with contextlib.closing(connection), _deadline(connection.sock, self._timeout):
            connection.request("POST", target.path, body=body, headers=dict(headers))
            crashpoints.reach("call.sent")
            answer = connection.getresponse()
            crashpoints.reach("call.answered")
            # What the application says is of no use to us; reading some of it is only manners.
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer.read(_BODY_LIMIT)
            return answer


def _outcome(answer: http.client.HTTPResponse, now: datetime) -> Delivery:
    status = answer.status
    if 200 <= status < 300:
        return Delivered(status=status)
    if status == http.HTTPStatus.GONE:
        return Refused(status=status)
    if 300 <= status < 400:
        return Failed(why=f"the application answered {status}; redirects are not followed")
    pause = None
    if status in {http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE}:
        pause = _retry_after(answer.getheader("retry-after"), now)
    return Failed(why=f"the application answered {status}", retry_after=pause)


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds to wait, out of a number or a date; never more than a day."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return min(float(text), _RETRY_AFTER_LIMIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), _RETRY_AFTER_LIMIT)


def _fault(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    words = " ".join(str(error).split()) or type(error).__name__
    return words[:200]


# --- where it may go -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Target:
    """The address in pieces; the path is not printed, as it may hold a token."""

    scheme: str
    host: str
    port: int
    path: str
    public: bool  # whether addresses on the internet are fine
    private: bool  # whether addresses in our own network are fine


class _PinnedConnection(http.client.HTTPConnection):
    """Resolves the name once, checks every address it gave, and connects to one of those.

    That is why this is http.client and not `requests`: a name that answers with a harmless
    address when it is checked and with another when it is called has nothing to gain here. Nor
    does http.client follow redirects, read proxy variables or send .netrc passwords.
    """

    def __init__(self, target: _Target, timeout: float) -> None:
        super().__init__(target.host, target.port, timeout=timeout)
        self._target = target

    def connect(self) -> None:
        """Open the socket to a checked address; TLS still asks for the name."""
        addresses = _resolve(self._target)
        fault: OSError | None = None
        for address in addresses:
            try:
                plain = socket.create_connection((address, self.port), self.timeout)
                break
            except OSError as error:
                fault = error
        else:
            raise fault or OSError("the name has no address")
        if self._target.scheme == "https":
            try:
                context = ssl.create_default_context()
                plain = context.wrap_socket(plain, server_hostname=self._target.host)
            except OSError:
                plain.close()
                raise
        self.sock = plain


def _resolve(target: _Target) -> list[str]:
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for text in addresses:
        if not _allowed(ipaddress.ip_address(text), target.public, target.private):
            message = f"its address {text} is not one that webhooks may go to"
            raise OSError(message)
    return addresses


def _allowed(address: _IPAddress, public: bool, private: bool) -> bool:
    inner = _embedded(address)
    if inner is not None:
        return _allowed(inner, public, private)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address in _METADATA:
        return False
    return public if address.is_global else private


def _embedded(address: _IPAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, which is where the call would end."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


@contextlib.contextmanager
def _deadline(connected: socket.socket, seconds: float) -> Iterator[None]:
    """Cut the line after that time, whatever trickles in; a socket's timeout is per read."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            # Not the method of the TLS socket, which another thread may be reading from.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _target(url: str, *, allow_http: bool, allow_private: bool) -> _Target:
    """Read the URL and refuse what can be refused without asking the network."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        message = "the webhook URL cannot be read; expected https:// and a host"
        raise ConfigError(message) from None
    if not host or not re.fullmatch(r"[!-~]+", url) or parts.scheme not in {"http", "https"}:
        message = "the webhook URL is not one; expected https:// and a host"
        raise ConfigError(message)
    if parts.username is not None or parts.fragment:
        message = "the webhook URL must have no login and no #fragment; calls are signed instead"
        raise ConfigError(message)
    plain = parts.scheme == "http"
    if plain and not allow_http:
        message = f"the webhook URL of {host} is plain http; use https"
        raise ConfigError(message)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    target = _Target(
        scheme=parts.scheme,
        host=host,
        port=port or (80 if plain else 443),
        path=path,
        public=not plain,
        private=allow_private or plain,
    )
    _check_host(target)
    return target


def _check_host(target: _Target) -> None:
    """Refuse an address, or a name in plain http, that no call could go to."""
    host = target.host
    if re.fullmatch(r"(?:0x[0-9a-f]*|[0-9.]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*\.?", host):
        try:  # 2130706433, 0177.1 and 0x7f.1 are all 127.0.0.1 to some systems
            ipaddress.IPv4Address(host)
        except ValueError:
            message = f"the webhook URL has the address {host} in a form that hides what it is"
            raise ConfigError(message) from None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        own = "." not in host or host.endswith(_LOCAL_NAMES)
        if target.public or own:
            return
    else:
        if _allowed(address, target.public, target.private):
            return
        if target.public:
            message = f"webhooks may not go to {host}"
            raise ConfigError(message)
    message = f"plain http may go to our own network only, not to {host}; use https"
    raise ConfigError(message)
