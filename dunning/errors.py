"""Everything that can be broken, as one tree; business endings are values, not exceptions.

DunningError
├── ConfigError            a variable, a policy file or a source that cannot be used as it stands
├── BadRequestError        something sent to us that we refuse
│   ├── SignatureError     a webhook that its sender did not sign, or signed too long ago
│   └── MalformedError     a body that is not what its type says it is
├── MoneyError             mixed currencies, floats, a currency nobody knows
├── NotFoundError          a case, an inbox row or a policy that does not exist
├── RefusedError           a person asked for something the rules do not allow
├── LeaseLostError         this worker's claim ran out and another one has the case now
├── LedgerError            an entry that contradicts what the ledger already says
└── ProviderError          the billing system did not do or say what was asked
    ├── ProviderDownError  away, too slow or limiting us: try later, nothing is decided
    │   └── ProviderBusyError  well, but not now: we ask more often than it allows
    └── ProviderRefusedError   it answered, and the answer is no: asking again is no use
"""

from __future__ import annotations


class DunningError(Exception):
    """Root of everything this program raises on purpose; the message is for a person."""


class ConfigError(DunningError):
    """A setting or a policy file is wrong; the message says which, why, and what would be right."""


class BadRequestError(DunningError):
    """What was sent to us is refused; `code` names the reason for programs."""

    code = "bad_request"


class SignatureError(BadRequestError):
    """The signature is missing, wrong, stale or from the future."""

    code = "bad_signature"


class MalformedError(BadRequestError):
    """The body is not a webhook of this provider."""

    code = "malformed"


class MoneyError(DunningError):
    """Amounts of two currencies met, or an amount is not an integer of minor units."""


class NotFoundError(DunningError):
    """The thing asked about does not exist."""


class RefusedError(DunningError):
    """The rules do not allow what was asked; the message says which rule."""


class NamesTakenError(DunningError):
    """Somebody else works on things that turned out to belong to this: begin again with them."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(f"somebody else works on {len(names)} things of this")
        self.names = names


class DayOverError(DunningError):
    """The customer's day that a message was for is over, and nothing was sent."""


class LeaseLostError(DunningError):
    """The claim expired and somebody else holds the case; nothing was written."""


class LedgerError(DunningError):
    """The ledger and what should go into it contradict each other."""


class ProviderError(DunningError):
    """The billing system did not do, or did not say, what was asked of it."""


class ProviderDownError(ProviderError):
    """Unreachable, too slow, or limiting us; ask again after `retry_after` seconds if given."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ProviderBusyError(ProviderDownError):
    """The provider is well and takes no more requests just now; this says nothing of its health."""


class ProviderRefusedError(ProviderError):
    """A clear no from the billing system, such as a missing right of the API key."""
