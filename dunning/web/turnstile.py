"""How often one client and one link may come: buckets that fill up again, and boundedly many."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from starlette.types import Scope

from dunning.config.readers import Network

MOST_NAMES = 20_000


class Buckets:
    """For each name a bucket of `burst` turns that fills up at `a_minute`.

    Of all names only those that came last are remembered: whoever was forgotten begins afresh, and
    memory stays bounded whoever comes.
    """

    def __init__(
        self,
        burst: int,
        a_minute: float,
        *,
        most: int = MOST_NAMES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst, self._rate = float(burst), a_minute / 60
        self._most, self._clock = most, clock
        self._known: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, turns: float = 1) -> float:
        """Take so many turns; 0 if there were as many, else in how many seconds there will be."""
        now = self._clock()
        left, seen = self._known.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - seen) * self._rate)
        wait = 0.0 if left >= turns else (turns - left) / self._rate
        self._known[name] = (left if wait else left - turns, now)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return wait

    def __len__(self) -> int:
        return len(self._known)


class Turnstile:
    """The limits of the customer's page. They hold for one process."""

    # A client that guesses pays for each guess as for so many pages.
    GUESS = 6

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clients = Buckets(180, 120, clock=clock)
        self._links = Buckets(40, 30, clock=clock)
        self._presses = Buckets(8, 6, clock=clock)
        self._questions = Buckets(4, 12, clock=clock)

    def client(self, address: str, turns: float = 1) -> float:
        """Anything that one client asks."""
        return self._clients.take(address, turns)

    def guessed(self, address: str) -> None:
        """The link was none of ours."""
        self._clients.take(address, self.GUESS - 1)

    def link(self, token: str) -> float:
        """The page of one link is looked at."""
        return self._links.take(token)

    def press(self, token: str) -> float:
        """A button is pressed, which asks the provider or writes an email."""
        return self._presses.take(token)

    def may_ask(self, case_id: str) -> bool:
        """Whether the provider may be asked again how a case stands."""
        return not self._questions.take(case_id)


def client_of(scope: Scope, trusted: Sequence[Network]) -> str:
    """Who asks: the peer, or whom a trusted proxy says it asks for.

    From the right, as each proxy adds whom it heard; what is left of the first one that is not
    trusted may be made up. A network of IPv6 is one client: a single house has so many addresses.
    """
    peer = (scope.get("client") or ("", 0))[0]
    given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = b",".join(given).decode("latin-1").split(",") if given else []
    address = _address(peer)
    # A socket of this machine has no address; whoever may open it is our own.
    while hops and (address is None or any(address in network for network in trusted)):
        told = _address(hops.pop())
        if told is None:
            break
        address = told
    if address is None:
        return peer
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
