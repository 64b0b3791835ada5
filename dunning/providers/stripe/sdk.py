"""The official SDK, built to be safe: no retries of its own, short time-outs, no telemetry."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from requests import PreparedRequest, Session
    from stripe import HTTPClient, StripeClient, StripeObject, StripeResponse

    from dunning.providers.stripe.outcomes import Obj

_CONNECTIONS = 32  # kept open and shared by all threads; more are made and thrown away


def connect(
    api_key: str, *, api_base: str | None, timeout: tuple[float, float]
) -> tuple[StripeClient, Session]:
    """Build the client and the pool of connections behind it, which the caller closes."""
    import stripe

    # Telemetry sends the last request's id and duration to Stripe; a global of the SDK.
    stripe.enable_telemetry = False
    session = _session(api_base or stripe.DEFAULT_API_BASE)
    client = stripe.StripeClient(
        api_key,
        # Our retries keep the key of the decision and know which endings may be repeated.
        max_network_retries=0,
        http_client=cast("HTTPClient", stripe.RequestsClient(timeout=timeout, session=session)),
        stripe_version=stripe.api_version,
        base_addresses={"api": api_base.rstrip("/")} if api_base else None,
    )
    return client, session


def _session(api_base: str) -> Session:
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=_CONNECTIONS, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # The API never redirects; following one would turn a POST into a GET without its key.
    session.max_redirects = 0
    # Without this a line in ~/.netrc replaces the API key in the header.
    session.auth = _as_it_is
    # A simulated Stripe on this machine is not behind the company's proxy.
    session.trust_env = not is_loopback(api_base)
    return session


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


def plain(answer: StripeObject | StripeResponse) -> Obj:
    """The JSON of an answer as it came; the SDK's own objects are no dictionaries."""
    response: Any = getattr(answer, "last_response", answer)
    return cast("Obj", response.data)
