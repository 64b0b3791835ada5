"""All state of the simulated Stripe, in memory, behind one lock."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dunning.sandbox.errors import Obj, missing
from dunning.sandbox.ids import Ids

if TYPE_CHECKING:
    from dunning.sandbox.books import Books
    from dunning.sandbox.clock import Clock
    from dunning.sandbox.delivery import Outbound
    from dunning.sandbox.events import Event
    from dunning.sandbox.faults import Faults
    from dunning.sandbox.outcomes import Attempt, Outcome

log = logging.getLogger("dunning.sandbox")

NEWEST = "2026-10-28.endive"
START = 1_767_225_600  # 2026-01-01T00:00:00Z; a constant, because the machine's clock is not asked.
HOUR = 3_600
DAY = 86_400


@dataclass
class Settings:
    """What one sandbox is told at its start; the control API changes some of it later."""

    seed: int = 1
    start: int = START
    tick: int = 1
    speed: float = 0.0
    # Stripe's own retries after a failed renewal, in days after the attempt before; empty is off.
    smart_retries: list[float] = field(default_factory=list)
    after_exhaustion: str = "past_due"  # or unpaid, cancel
    finalize_after: int = HOUR
    bank_debit_seconds: int = 4 * DAY
    upcoming_seconds: int = 7 * DAY
    # Stripe says that an invoice is overdue where an automation of the account asks for it.
    overdue_events: bool = True
    shuffle: bool = False
    delivery_concurrency: int = 1
    delivery_timeout: float = 10.0
    follower_timeout: float = 10.0
    api_version: str = NEWEST
    country: str = "US"
    public_url: str | None = None
    indent: int | None = 2  # of its JSON; None is written several times as fast
    # Stripe lists events of the last 30 days only.
    events_kept: int = 30 * DAY


@dataclass
class RequestContext:
    """The API request being served, for events, books and the answer's own faults."""

    id: str
    key: str | None = None
    version: str = NEWEST
    actor: str = "api"
    drop_after: bool = False
    hang: float = 0.0
    status_after: int = 0


Job = tuple[int, int, str, tuple[Any, ...]]


class World:
    """Objects by kind and id, the virtual time, work to do later, and what was sent out."""

    def __init__(self, settings: Settings | None = None) -> None:
        # Imported late: these modules name World in their own signatures.
        from dunning.sandbox.books import Books
        from dunning.sandbox.faults import Faults

        self.settings = settings or Settings()
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.now = self.settings.start
        self.target = self.now
        self.version = 1
        self.ids = Ids(self.settings.seed)
        self.tables: dict[str, dict[str, Obj]] = {}
        self.jobs: list[Job] = []
        self.events: list[Event] = []
        self.events_by_id: dict[str, Event] = {}
        self.outbound: list[Outbound] = []
        self.deliveries: list[Obj] = []
        self.delivery_rules: list[Obj] = []
        self.requests: list[Obj] = []
        self.faults: Faults = Faults()
        self.books: Books = Books()
        self.request: RequestContext | None = None
        self.actor = "stripe"
        self.issuer: Callable[[Attempt], Outcome | None] | None = None
        self.clock: Clock | None = None
        self.people: object = None  # a population, when one has moved in
        self.base_url = "http://127.0.0.1"
        self.listeners: set[Callable[[], None]] = set()
        self._sequence = itertools.count()
        self.account = f"acct_{self.ids.token('account', 16)}"

    # --- objects ---------------------------------------------------------------------------
    def add(self, obj: Obj) -> Obj:
        """Keep a new object under its kind and id."""
        self.tables.setdefault(obj["object"], {})[obj["id"]] = obj
        return obj

    def find(self, kind: str, key: str | None) -> Obj | None:
        """The object, or nothing."""
        return self.tables.get(kind, {}).get(key) if key else None

    def get(self, kind: str, key: str | None, param: str = "id") -> Obj:
        """The object, or Stripe's 404."""
        found = self.find(kind, key)
        if found is None:
            raise missing(_NOUNS.get(kind, kind), key or "", param)
        return found

    def need(self, kind: str, key: str | None) -> Obj:
        """The object that must exist because another one names it."""
        found = self.find(kind, key)
        if found is None:
            raise KeyError(f"{kind} {key} is named but not kept")
        return found

    def all(self, kind: str) -> Iterator[Obj]:
        """Every object of a kind, oldest first, safe against additions meanwhile."""
        return iter(list(self.tables.get(kind, {}).values()))

    def remove(self, obj: Obj) -> None:
        """Forget an object."""
        self.tables.get(obj["object"], {}).pop(obj["id"], None)

    def id(self, prefix: str, length: int = 24) -> str:
        """A new id of the kind."""
        return self.ids.new(prefix, length)

    # --- time ------------------------------------------------------------------------------
    def at(self, when: int, job: str, *args: Any) -> None:
        """Have a named job done at a virtual time."""
        heapq.heappush(self.jobs, (when, next(self._sequence), job, args))
        self.wake()

    def sequence(self) -> int:
        """A number larger than every one before; orders things of one instant."""
        return next(self._sequence)

    def bump(self) -> None:
        """Tell followers that something they may have to react to has happened."""
        self.version += 1
        self.wake()
        for listener in list(self.listeners):
            listener()

    def wake(self) -> None:
        """Let the engine look again."""
        with self.lock:
            self.changed.notify_all()

    # --- who is acting ---------------------------------------------------------------------
    @contextmanager
    def acting(self, actor: str, request: RequestContext | None = None) -> Iterator[None]:
        """Everything inside is done by this actor: api, customer or stripe."""
        before = (self.actor, self.request)
        self.actor, self.request = actor, request
        try:
            yield
        finally:
            self.actor, self.request = before


_NOUNS = {
    "payment_intent": "payment_intent",
    "payment_method": "PaymentMethod",
    "setup_intent": "setupintent",
    "credit_note": "credit_note",
    "test_helpers.test_clock": "test_clock",
    "billing_portal.session": "billing portal session",
}


def snapshot(obj: Obj) -> Obj:
    """A copy that later changes do not reach; of JSON, so that it need not look for circles."""
    return {name: _copied(value) if type(value) in _NESTS else value for name, value in obj.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return snapshot(value)
    return [_copied(one) if type(one) in _NESTS else one for one in value]


_NESTS = (dict, list)
