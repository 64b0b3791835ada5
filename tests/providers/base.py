"""The provider's side of a contract test: what a harness makes happen, and the books it reads."""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from dunning.core.ports import Provider

KEY = "case_contract/retry:1"
NEXT_KEY = "case_contract/retry:2"


class Fault(enum.Enum):
    """What goes wrong with the next charge request, between us and the provider."""

    LIMITED_SHORTLY = enum.auto()  # too many requests, for a second
    LIMITED_FOR_LONG = enum.auto()  # too many requests, for a minute
    LOCKED = enum.auto()  # another request has the invoice, again and again
    DROPPED_BEFORE = enum.auto()  # the connection breaks before anything is done
    DROPPED_AFTER = enum.auto()  # the charge goes through, the answer is lost
    TIMEOUT_BEFORE = enum.auto()  # no answer in time, and nothing done yet
    TIMEOUT_AFTER = enum.auto()  # the charge goes through, the answer comes too late
    BROKEN_BEFORE = enum.auto()  # an internal error instead of the charge
    BROKEN_AFTER = enum.auto()  # the charge goes through, the answer is an internal error


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """An open invoice whose first charge was declined, and whose it is."""

    invoice: str
    customer: str
    subscription: str
    method: str
    amount: int


class Harness(abc.ABC):
    """The provider's side of a test."""

    provider: Provider
    slept: list[float]  # what the adapter would have waited; nothing really waits

    @abc.abstractmethod
    def failing(self) -> Failing:
        """A customer with a subscription whose newest invoice could not be charged."""

    @abc.abstractmethod
    def next_charge(self, failing: Failing, ends: str) -> None:
        """How the card answers the next charge: paid, action, processing, or a decline code."""

    @abc.abstractmethod
    def next_request(self, failing: Failing, fault: Fault) -> None:
        """What goes wrong with the next request to charge this invoice."""

    @abc.abstractmethod
    def while_waiting(self, act: Callable[[], None]) -> None:
        """Do something at the provider during the adapter's next short wait."""

    @abc.abstractmethod
    def unreachable(self) -> Provider:
        """The same provider with nobody at its address."""

    @abc.abstractmethod
    def customer_pays(self, failing: Failing) -> None:
        """The customer pays on the provider's page."""

    @abc.abstractmethod
    def customer_cancels(self, failing: Failing) -> None:
        """The customer ends the subscription."""

    @abc.abstractmethod
    def new_card(self, failing: Failing) -> str:
        """The customer gives a new card as their default; the id of the method."""

    @abc.abstractmethod
    def other_card(self, failing: Failing) -> str:
        """The customer saves another card for charges while they are away; its id."""

    @abc.abstractmethod
    def default(self, failing: Failing) -> str | None:
        """The method that the provider would charge by itself, by its books."""

    @abc.abstractmethod
    def pass_time(self, time: timedelta) -> None:
        """Move the provider's clock, and the adapter's with it."""

    @abc.abstractmethod
    def now(self) -> datetime:
        """The time on both clocks."""

    @abc.abstractmethod
    def tries(self, failing: Failing) -> int:
        """How often the card was asked since the invoice was made, by the provider's books."""

    @abc.abstractmethod
    def charges(self, failing: Failing) -> int:
        """How many successful charges the provider's books have for the invoice."""

    @abc.abstractmethod
    def subscription_state(self, failing: Failing) -> str:
        """`active`, `paused` or `ended`, by the provider's books."""

    def charge(self, failing: Failing, key: str = KEY, *, may_repeat: bool = True) -> object:
        """Charge as the program does."""
        return self.provider.charge(
            failing.invoice, key=key, method=failing.method, may_repeat=may_repeat
        )
