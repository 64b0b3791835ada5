"""The line to Stripe without a network: requests of the real SDK are handed to a sandbox.

What breaks on the way is decided by the caller for each request, and looks to the SDK as it would
on a real line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from dunning.sandbox.faults import Rule
from dunning.sandbox.gateway import Answer, Asked, Begun, Gateway

# What may become of a request; `fine` is not a fault.
FINE = "fine"
REFUSED = "refused"  # nobody listens: certainly not sent
LOST_BEFORE = "lost before"  # times out, and never arrived
LOST_AFTER = "lost after"  # times out; the work is done
RESET_BEFORE = "reset before"
RESET_AFTER = "reset after"
BROKEN = "500"  # nothing done, and no key remembers it
STORED = "500 stored"  # the work is done, the key replays a 500
GATEWAY = "502"  # the work is done, a proxy says 502; the key replays the true answer
LIMITED = "429"
BUSY = "409"  # lock_timeout: the object is in use
GARBLED = "garbled"  # the work is done, half the answer arrives
FATES = (
    REFUSED,
    LOST_BEFORE,
    LOST_AFTER,
    RESET_BEFORE,
    RESET_AFTER,
    BROKEN,
    STORED,
    GATEWAY,
    LIMITED,
    BUSY,
    GARBLED,
)
RETRY_AFTER = 30
_ORDERS: Mapping[str, dict[str, Any]] = {
    BROKEN: {"status": 500},
    STORED: {"status": 500, "when": "after"},
    LIMITED: {"status": 429, "retry_after": RETRY_AFTER},
    BUSY: {"status": 409},
}


class Request:
    """A request on its way, as those who decide its fate see it."""

    def __init__(self, prepared: requests.PreparedRequest) -> None:
        parts = urlsplit(prepared.url or "")
        body = prepared.body or b""
        assert isinstance(body, str | bytes)  # the SDK sends no files
        self.method = prepared.method or "GET"
        self.path = parts.path
        self.query = parts.query
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = {name.lower(): str(value) for name, value in prepared.headers.items()}

    @property
    def key(self) -> str | None:
        """The idempotency key; those the SDK makes up by itself are none of ours."""
        key = self.headers.get("idempotency-key")
        return key if key and "/" in key else None

    @property
    def name(self) -> str:
        """How a trace calls it."""
        return f"{self.method} {self.path.removeprefix('/v1/')}"


# Called before the request arrives; what it returns becomes of it.
Before = Callable[[Request], str]
# Called when the answer is about to come back.
After = Callable[[Request, int], None]


class Line(BaseAdapter):
    """A transport of `requests` that ends in a sandbox of this process."""

    def __init__(self, gateway: Gateway, before: Before, after: After) -> None:
        super().__init__()
        self._gateway = gateway
        self._before = before
        self._after = after

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Hand the request over; raise what a broken line would."""
        asked = Request(request)
        fate = self._before(asked)
        if fate == REFUSED:
            raise _refused(request)
        if fate == LOST_BEFORE:
            raise requests.ReadTimeout("Read timed out.")
        if fate == RESET_BEFORE:
            raise _reset()
        answer = self._answer(asked, fate)
        self._after(asked, answer.status)
        if fate == LOST_AFTER:
            raise requests.ReadTimeout("Read timed out.")
        if fate == RESET_AFTER:
            raise _reset()
        status, body = answer.status, answer.body
        if fate == GATEWAY:
            status, body = 502, b"<html>Bad Gateway</html>"
        if fate == GARBLED:
            body = body[: len(body) // 2]
        return _response(request, status, body, answer.headers)

    def close(self) -> None:
        """Nothing is held."""

    def _answer(self, asked: Request, fate: str) -> Answer:
        gateway = self._gateway
        rules = gateway.world.faults.requests
        if fate in _ORDERS:
            rules.insert(0, Rule({}, _ORDERS[fate]))
        begun = gateway.begin(
            Asked(asked.method, asked.path, asked.query, asked.headers, asked.body)
        )
        # A request that was refused or replayed uses no order up.
        rules.clear()
        if not isinstance(begun, Begun):
            return begun
        answer = gateway.execute(begun)
        gateway.finish(answer)
        return answer


def _refused(request: requests.PreparedRequest) -> requests.ConnectionError:
    cause = NewConnectionError(None, "Connection refused")  # type: ignore[arg-type]
    ended = MaxRetryError(None, request.url or "", cause)  # type: ignore[arg-type]
    return requests.ConnectionError(ended)


def _reset() -> requests.ConnectionError:
    return requests.ConnectionError(
        ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))
    )


def _response(
    request: requests.PreparedRequest, status: int, body: bytes, headers: Mapping[str, str]
) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.headers = CaseInsensitiveDict(headers)
    made.url = request.url or ""
    made.request = request
    made._content = body  # noqa: SLF001 - what an adapter of requests does
    return made
