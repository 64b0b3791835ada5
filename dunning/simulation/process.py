"""One simulated process: the program as `wiring` puts it together, driven without threads.

The few calls that a simulation makes into the program are all here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from requests.adapters import BaseAdapter

from dunning import broker, returns, worker
from dunning.acts import ByHand, Person
from dunning.clock import from_unix
from dunning.config import PolicyFile, Settings, load_policies
from dunning.config.secret import Secret, Url
from dunning.core.ports import Channel
from dunning.core.returned import Fate, Returned
from dunning.errors import BadRequestError
from dunning.messages import Messages
from dunning.outbox import Deliver
from dunning.providers.stripe.acting import StripeProvider
from dunning.received import Received, keep
from dunning.reconcile import Account, reconcile
from dunning.simulation.stage import Stage
from dunning.store import transaction
from dunning.wiring import Program, assemble

SOURCE = "stripe"
API_KEY = "sk_test_marked_key_of_the_simulation"
WEBHOOK_SECRET = "whsec_marked_secret_of_the_simulation"  # noqa: S105 - guards a simulation
LINK_KEY = "marked key of the links of the simulation"
SECRETS = (API_KEY, WEBHOOK_SECRET, LINK_KEY)
API_BASE = "http://127.0.0.1:1"  # never reached: the line ends in this process
LEASE_SECONDS = 60
WINDOW = 8


class SimulatedClock:
    """The virtual time as this machine sees it: its clock may be wrong."""

    def __init__(self, true: Callable[[], int]) -> None:
        self._true = true
        self.wrong = 0  # seconds ahead of the true time
        self._errors = {0}

    def go_wrong(self, seconds: int) -> None:
        """Be so many seconds ahead from now on."""
        self.wrong = seconds
        self._errors.add(seconds)

    @property
    def apart(self) -> timedelta:
        """How far two readings of one moment may have been apart."""
        return timedelta(seconds=max(self._errors) - min(self._errors))

    def now(self) -> datetime:
        """Return what this machine takes to be the present moment."""
        return from_unix(self._true() + self.wrong)

    def fresh(self) -> datetime:
        """Return the same: nothing lags."""
        return self.now()


@dataclass(frozen=True, slots=True)
class Message:
    """A hint on its way through the broker; from `due` on it may arrive."""

    actor: str
    args: tuple[Any, ...]
    due: int = 0

    @property
    def name(self) -> str:
        """How a trace calls it."""
        return f"{self.actor} ({len(self.args[-1]) if self.args else 0})"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every process of a world shares."""

    stage: Stage
    policy: str
    breaker: bool
    true_time: Callable[[], int]
    sleep: Callable[[float], None]
    line: BaseAdapter
    mail: Channel
    product: Deliver


class Process:
    """A process that receives, feeds and works. It is thrown away when it is killed."""

    def __init__(self, around: Surroundings, clock: SimulatedClock) -> None:
        self.clock = clock
        settings = Settings(
            data=around.stage.folder,
            database_url=Url(around.stage.url),
            mail_from="Billing <billing@example.com>",
            company="Example Ltd",
            support_email="help@example.com",
            public_url="https://billing.example.com",
            secret_keys=(Secret(LINK_KEY),),
            lease_seconds=LEASE_SECONDS,
            webhook_tolerance_seconds=2 * 3600,  # the clocks of these worlds are wrong by an hour
            stripe_api_key=Secret(API_KEY),
            stripe_webhook_secrets=(Secret(WEBHOOK_SECRET),),
            stripe_live=False,
            breaker=around.breaker,
        )
        provider = StripeProvider(API_KEY, clock=clock, api_base=API_BASE, sleep=around.sleep)
        provider.mount(around.line)
        self.program: Program = assemble(
            settings,
            clock=clock,
            providers={SOURCE: provider},
            mail=around.mail,
            product=around.product,
            policies=_policies(around.policy),
            messages=_messages(),
            engine=around.stage.engine,
        )
        self._broker = broker.build_broker(None)
        self._work = worker.Work(self.program, self._broker)
        self._feeder = worker.Feeder(self.program, self._work, window=WINDOW)

    @property
    def now(self) -> datetime:
        """The time by this machine's clock."""
        return self.clock.now()

    def close(self) -> None:
        """Let go of the database."""
        self.program.close()

    # --- receiving -------------------------------------------------------------------------

    def receive(self, posted: Sequence[tuple[bytes, Mapping[str, str]]]) -> list[int]:
        """Take in webhooks as the receiver does, in one commit; the status of each answer."""
        live = self.program.sources[SOURCE]
        secrets = [secret.reveal() for secret in live.config.webhook_secrets]
        tolerance = self.program.settings.webhook_tolerance_seconds
        statuses, received = [], []
        for body, headers in posted:
            lower = {name.lower(): value for name, value in headers.items()}
            try:
                live.reader.verify(body, lower, secrets, self.now, tolerance)
                envelope = live.reader.open(body)
            except BadRequestError:
                statuses.append(400)
            else:
                statuses.append(200)
                received.append(Received(source=SOURCE, envelope=envelope, body=body))
        with transaction(self.program.engine) as session:
            ids = keep(session, received, self.now)
        if ids:
            self._work.hint(ids)
        return statuses

    # --- feeding and working ---------------------------------------------------------------

    def tick(self) -> None:
        """Hand out what is due."""
        self._feeder.tick(self.now, everything=True)

    def sent(self) -> list[Message]:
        """The messages this process has handed to its broker since last asked."""
        found = []
        for queue in getattr(self._broker, "queues", {}).values():
            while not queue.empty():
                message = json.loads(queue.get_nowait())
                found.append(Message(message["actor_name"], tuple(message["args"])))
        return found

    def work(self, message: Message) -> None:
        """Do what a message says, as a worker thread would."""
        self._broker.get_actor(message.actor).fn(*message.args)

    # --- people ----------------------------------------------------------------------------

    @property
    def hands(self) -> ByHand:
        """What ops do by hand."""
        return ByHand(self.program.engine, self.program.cases)

    @property
    def ops(self) -> Person:
        """A person of ops, now."""
        return Person(by="ops", why="simulated", now=self.now)

    def returned(self, mail: str, address: str, fate: Fate) -> str:
        """Take a bounce or a complaint in, as a mailbox hands it over; what came of it."""
        ids = (mail.strip("<>"),)
        told = Returned(key=mail, fate=fate, why=fate, addresses=(address,), message_ids=ids)
        with transaction(self.program.engine) as session:
            taken = returns.take(session, told, "mailbox", self.now)
        return f"{taken.fate}, {'marked' if taken.marked else 'not marked'}"

    def catch_up(self, days: int) -> None:
        """Ask the provider for everything of the last days, as `dunning reconcile` does."""
        live = self.program.sources[SOURCE]
        assert live.provider is not None
        account = Account(SOURCE, live.reader, live.provider)
        reconcile(
            self.program.engine,
            self.program.cases,
            self.program.inbox,
            account,
            since=self.now - timedelta(days=days),
            now=self.clock.now,
        )


@cache
def _messages() -> Messages:
    """The templates are read and compiled once, and not after every death."""
    return Messages()


@cache
def _policies(text: str) -> PolicyFile:
    """A policy is read once, and not after every death."""
    return load_policies(
        text,
        filename="policy",
        environ={"STRIPE_API_KEY": API_KEY, "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET},
        known_templates=_messages().names(),
    )
