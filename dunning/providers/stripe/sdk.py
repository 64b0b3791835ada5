"""The official SDK, built to be safe: no retries of its own, short time-outs, no telemetry.

Every request waits for its turn here, just before it is sent, and every 429 is told of, as is every
refusal of the key.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote_plus, urlsplit

import structlog

from dunning import crashpoints, metrics
from dunning.core.ports import Pace
from dunning.providers.stripe import rates

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session
    from requests.adapters import HTTPAdapter
    from stripe import HTTPClient, StripeClient, StripeObject, StripeResponse

    from dunning.providers.stripe.outcomes import Obj

log = structlog.get_logger(__name__)

_BACKGROUND: ContextVar[bool] = ContextVar("background", default=False)
_CONNECTIONS = 32  # kept open and shared by all threads; more are made and thrown away


def connect(
    api_key: str,
    *,
    api_base: str | None,
    timeout: tuple[float, float],
    pace: Pace | None = None,
) -> tuple[StripeClient, Session]:
    """Build the client and the pool of connections behind it, which the caller closes."""
    import stripe

    # Telemetry sends the last request's id and duration to Stripe; a global of the SDK.
    stripe.enable_telemetry = False
    session = _session(api_base or stripe.DEFAULT_API_BASE, pace)
    client = stripe.StripeClient(
        api_key,
        # Our retries keep the key of the decision and know which endings may be repeated.
        max_network_retries=0,
        http_client=cast("HTTPClient", stripe.RequestsClient(timeout=timeout, session=session)),
        stripe_version=stripe.api_version,
        base_addresses={"api": api_base.rstrip("/")} if api_base else None,
    )
    return client, session


@contextmanager
def in_background() -> Iterator[None]:
    """What is asked meanwhile can wait: it leaves half of every rate to the others."""
    token = _BACKGROUND.set(True)
    try:
        yield
    finally:
        _BACKGROUND.reset(token)


def _session(api_base: str, pace: Pace | None) -> Session:
    import requests

    session = requests.Session()
    adapter = _adapter(pace)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # The API never redirects; following one would turn a POST into a GET without its key.
    session.max_redirects = 0
    # Without this a line in ~/.netrc replaces the API key in the header.
    session.auth = _as_it_is
    # A simulated Stripe on this machine is not behind the company's proxy.
    session.trust_env = not is_loopback(api_base)
    return session


def _adapter(pace: Pace | None) -> HTTPAdapter:
    from requests.adapters import HTTPAdapter

    class Paced(HTTPAdapter):
        """Asks for a turn before each request is sent."""

        def send(self, request: PreparedRequest, *args: Any, **more: Any) -> Response:
            endpoint = rates.endpoint(request.method or "", urlsplit(request.url or "").path)
            if pace is not None:
                pace.turn(endpoint, background=_BACKGROUND.get())
            crashpoints.reach("provider.asking")
            answer = "none"
            try:
                with metrics.calling_provider("stripe", endpoint):
                    response = super().send(request, *args, **more)
                answer = str(response.status_code)
            finally:
                limited = answer == str(rates.TOO_MANY)
                metrics.provider_answered("stripe", answer, limited=limited)
            crashpoints.reach("provider.answered")
            say = log.debug if request.method == "GET" else log.info
            say("provider.answered", endpoint=endpoint, status=answer, request=_id_of(response))
            if pace is not None:
                pace.answered(key_accepted=answer != "401")
            if limited and pace is not None:
                told = rates.excess(response.headers, response.content)
                if told is not None:
                    pace.limited(endpoint if told.endpoint else "", told.retry_after)
            return response

    return Paced(pool_connections=2, pool_maxsize=_CONNECTIONS, max_retries=0)


def _id_of(response: Response) -> str | None:
    """By which Stripe's support finds the request."""
    found: str | None = response.headers.get("Request-Id")
    return found


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


def is_loopback(address: str) -> bool:
    """True when the URL leads to this very machine."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def getting(client: StripeClient, *path: str, **params: Any) -> Callable[[], StripeResponse]:
    """Read what is there under `/v1/…`, through the SDK, whose objects are not made of it.

    To make them takes as long as all else there is to a request, and `plain` throws them away.
    """
    address = "/".join(("/v1", *map(quote_plus, path)))
    return partial(client.raw_request, "get", address, **params)


def plain(answer: StripeObject | StripeResponse) -> Obj:
    """The JSON of an answer as it came; the SDK's own objects are no dictionaries."""
    response: Any = getattr(answer, "last_response", answer)
    return cast("Obj", response.data)
