"""What an exception of the SDK proves about the request, in one table.

| what happened                                      | Ending    | a charge becomes | others raise |
|----------------------------------------------------|-----------|------------------|--------------|
| no connection: refused, no such host, TLS, proxy   | NOT_SENT  | NotSent          | Down         |
| sent, and no answer: time-out, reset, unreadable   | LOST      | read, NotKnown   | Down         |
| 5xx; the key replays it, so trying again is no use | BROKEN    | read, NotKnown   | Down         |
| 429 rate_limit or lock_timeout, 409 lock_timeout;  | LIMITED   | NotSent          | Busy         |
| or no turn of ours was free                        |           |                  |              |
| 409 idempotency_key_in_use: our own request runs   | BUSY      | read, NotKnown   | Down         |
| 400 idempotency_error: key known, other parameters | MISMATCH  | read, NotKnown   | Refused      |
| 402 card_error                                     | CARD      | Declined or      | Refused      |
|                                                    |           | ActionNeeded     |              |
| 401: it says nothing of the invoice asked about    | BAD_KEY   | NotSent          | Down         |
| 403                                                | NO_RIGHT  | Refused          | Refused      |
| 404                                                | MISSING   | read, NotOwed    | Refused      |
|                                                    |           | or Refused       |              |
| 400 and every other no                             | INVALID   | read, NotOwed    | Refused      |
|                                                    |           | or Refused       |              |

"Read" means that the invoice, its payments and the events are asked what became of the request.
A 409 without a known code counts as BUSY: that is the reading under which nothing is done twice.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from dunning.errors import ProviderBusyError, ProviderDownError, ProviderRefusedError

Obj = dict[str, Any]


class Ending(enum.Enum):
    """What is known of a request that did not end well; see the table above."""

    NOT_SENT = enum.auto()
    LOST = enum.auto()
    BROKEN = enum.auto()
    LIMITED = enum.auto()
    BUSY = enum.auto()
    MISMATCH = enum.auto()
    CARD = enum.auto()
    BAD_KEY = enum.auto()
    NO_RIGHT = enum.auto()
    MISSING = enum.auto()
    INVALID = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One failed request, read: the ending, words for a person, and Stripe's own details."""

    ending: Ending
    why: str
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    may_retry: bool = True  # False when Stripe said that trying again at once is no use
    error: Mapping[str, Any] = field(default_factory=dict)


class StripeDownError(ProviderDownError):
    """Away, too slow or limiting us; `trouble` says which."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.why, retry_after=trouble.retry_after)
        self.trouble = trouble


class StripeBusyError(StripeDownError, ProviderBusyError):
    """Limiting us, or no turn was free."""


class StripeRefusedError(ProviderRefusedError):
    """Stripe answered no; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.why)
        self.trouble = trouble


StripeFailure = StripeDownError | StripeRefusedError


def failure(trouble: Trouble) -> StripeFailure:
    """The exception of our own tree for a failed request."""
    match trouble.ending:
        case Ending.LIMITED:
            return StripeBusyError(trouble)
        case Ending.NOT_SENT | Ending.LOST | Ending.BROKEN | Ending.BUSY | Ending.BAD_KEY:
            return StripeDownError(trouble)
        case Ending.MISMATCH | Ending.CARD | Ending.NO_RIGHT | Ending.MISSING | Ending.INVALID:
            return StripeRefusedError(trouble)
        case _:
            assert_never(trouble.ending)


def read_trouble(exc: Exception) -> Trouble | None:
    """Say what an exception of the SDK means; None when it is none of its exceptions."""
    import stripe

    if isinstance(exc, stripe.APIConnectionError):
        return _connection_trouble(exc)
    if not isinstance(exc, stripe.StripeError):
        return None
    error = _error_of(exc.json_body)
    code = _text(error.get("code"))
    ending = _ending(exc.http_status or 0, _text(error.get("type")), code)
    return Trouble(
        ending=ending,
        why=_why(ending, exc.http_status or 0, scrub(_text(error.get("message")) or ""), exc),
        code=code,
        param=_text(error.get("param")),
        retry_after=_seconds(_header(exc.headers, "retry-after")),
        may_retry=_header(exc.headers, "stripe-should-retry") != "false",
        error=error,
    )


def _ending(status: int, kind: str | None, code: str | None) -> Ending:
    """Stripe's status, error type and code, as one of our endings."""
    if status == 429 or code in {"rate_limit", "lock_timeout"}:
        return Ending.LIMITED
    if status == 409:
        return Ending.BUSY
    if kind == "idempotency_error":
        return Ending.MISMATCH
    if kind == "card_error":
        return Ending.CARD
    if status == 401:
        return Ending.BAD_KEY
    if status == 403:
        return Ending.NO_RIGHT
    if status == 404:
        return Ending.MISSING
    if 400 <= status < 500:
        return Ending.INVALID
    # A 2xx or 3xx here means an answer that could not be read: the work may have been done.
    return Ending.BROKEN if status >= 500 else Ending.LOST


_ADVICE = {
    Ending.BAD_KEY: "Stripe does not accept the API key; give a valid one",
    Ending.NO_RIGHT: "the API key lacks a right it needs; add it in the Stripe Dashboard",
    Ending.LIMITED: "Stripe is limiting us",
    Ending.BUSY: "Stripe is still working on an earlier request with the same key",
    Ending.BROKEN: "Stripe failed",
    Ending.LOST: "Stripe's answer could not be read",
}


def _why(ending: Ending, status: int, said: str, exc: Exception) -> str:
    head = _ADVICE.get(ending, "Stripe refused")
    request = _text(getattr(exc, "request_id", None))
    where = f"HTTP {status}, {request}" if request else f"HTTP {status}"
    return f"{head} ({where}): {said}" if said else f"{head} ({where})"


# --- connections -----------------------------------------------------------------------------

# By name, because both libraries are the SDK's and not ours. Each of these is raised before a
# byte of the request has left; anything else may have happened after it did.
_BEFORE_SENDING = frozenset(
    (
        "ConnectTimeout",
        "ConnectTimeoutError",
        "NewConnectionError",
        "NameResolutionError",
        "ProxyError",
        "SSLCertVerificationError",
        "InvalidURL",
        "InvalidSchema",
        "MissingSchema",
        "LocationParseError",
    )
)


def _connection_trouble(exc: Exception) -> Trouble:
    causes = list(_causes(exc))
    busy = next((cause for cause in causes if isinstance(cause, ProviderBusyError)), None)
    if busy is not None:
        # Ours: no turn was free, after as long a wait as makes sense here.
        return Trouble(
            ending=Ending.LIMITED, why=str(busy), retry_after=busy.retry_after, may_retry=False
        )
    names = [type(cause).__name__ for cause in causes]
    before = next((name for name in names if name in _BEFORE_SENDING), None)
    if before is not None:
        return Trouble(ending=Ending.NOT_SENT, why=f"Stripe cannot be reached ({before})")
    last = names[1] if len(names) > 1 else names[0]
    return Trouble(ending=Ending.LOST, why=f"the connection to Stripe broke ({last})")


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and everything behind it, as requests and urllib3 chain it."""
    waiting: list[BaseException] = [exc]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, getattr(current, "reason", None), *current.args)
        waiting.extend(cause for cause in inner if isinstance(cause, BaseException))


# --- small readers ---------------------------------------------------------------------------


def _error_of(body: object) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _header(headers: Mapping[str, str] | None, name: str) -> str | None:
    for key, value in (headers or {}).items():
        if key.lower() == name:
            return value
    return None


def _seconds(value: str | None) -> float | None:
    """Retry-After in seconds; its date form is not used by Stripe and says nothing here."""
    try:
        seconds = float(value) if value is not None else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < 86_400 else None


_SECRET = re.compile(r"\b((?:sk|rk|pk)_(?:live|test)_|whsec_)[A-Za-z0-9*]+")


def scrub(text: str) -> str:
    """Take API keys out of a message; Stripe masks them, mostly."""
    return _SECRET.sub(r"\1…", text)
