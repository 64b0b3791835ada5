"""What a kind of step is handed and what it gives back; `ports` has the rest of the sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from dunning.core.events import BillingEvent, StepResult
from dunning.core.facts import Case
from dunning.core.policy import Policy
from dunning.core.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a provider was asked for under a key, and how often: the same key, the same request."""

    method: str | None
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """The message about to be handed over, and the cases it speaks of."""

    template: str
    cases: tuple[str, ...]


def _nowhere(_asked: Asked | Saying) -> None:
    """Where nothing is remembered: a step acted on by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """A step about to be acted on. `again`: an earlier try under its key may have happened.

    `asked` is what that try asked for, None when it did not come so far. Whoever is about to ask
    for something that must not be asked for twice says so to `asking` first, which remembers it,
    and raises `LeaseLostError` when somebody else has the case by now.
    """

    case: Case
    policy: Policy
    step: Step
    now: datetime
    again: bool = False
    first_started_at: datetime
    tries: int = 1
    refusals: int = 0  # of them, those that the provider said no to
    asked: Asked | None = None
    others: tuple[str, ...] = ()  # of a message: the other cases it may speak of
    asking: Callable[[Asked | Saying], None] = field(default=_nowhere, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message that left, or could not, as it is kept."""

    template: str
    recipient: str
    locale: str
    subject: str
    state: str
    reference: str | None = None
    why: str = ""
    dead: bool = False  # nobody is at the address: it is marked bad
    channel: str = "email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The step is over, one way or another; `events` are facts learned on the way."""

    result: StepResult
    why: str = ""
    events: tuple[BillingEvent, ...] = ()
    said: Said | None = None
    announce: str | None = None  # a call to the merchant's product
    off: bool = False  # giving up took the service away as well


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """The step could not be done now. `unknown`: it may have happened; look before trying again.

    `refused`: the provider said no to it, which counts where many are refused. `down`: it could
    not be reached, which counts where nobody reaches it.
    """

    until: datetime
    why: str
    events: tuple[BillingEvent, ...] = ()
    unknown: bool = False
    refused: bool = False
    down: bool = False


class Action(Protocol):
    """The code for a kind of step. May raise `ProviderError`; no transaction is open."""

    def act(self, doing: Doing) -> Ended | PutOff:
        """Do the step, having looked once more that it still makes sense."""
