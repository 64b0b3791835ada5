"""Sets the demo up: sandbox, customers, mail server, the program; all real parts, one process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dunning import store
from dunning.config import load_settings
from dunning.outbox import Heard
from dunning.processes import Up, running
from dunning.providers.stripe.subscribe import EVENTS
from dunning.sandbox.mailbox import Mailbox
from dunning.sandbox.population import Population
from dunning.sandbox.sandbox import Sandbox
from dunning.wiring import Program, assemble

# Steps of the virtual clock: fine enough for a timeline of hours, coarse enough to be quick.
TICK_SECONDS = 3_600
SECRET = "whsec_demo"  # noqa: S105 - guards a simulation
LINK_KEY = "links of the demo are signed with this"


@dataclass(slots=True)
class Stage:
    """Everything that plays."""

    sandbox: Sandbox
    population: Population
    mailbox: Mailbox
    program: Program
    stripe_url: str
    web_url: str


@contextmanager
def staged(*, customers: int, days: int, seed: int, data: Path) -> Iterator[Stage]:
    """Start everything; nothing has happened yet."""
    with ExitStack() as stack:
        sandbox = Sandbox(seed=seed, tick=TICK_SECONDS, delivery_concurrency=8)
        mailbox = Mailbox()
        mailbox.attach(sandbox)
        population = Population(sandbox, customers=customers, seed=seed, days=days)
        mailbox.feed(population.on_email)
        stripe_url = stack.enter_context(sandbox.serve())
        smtp_url = stack.enter_context(mailbox.serve())
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        web_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environ = {
            "DUNNING_DATA": str(data),
            "DUNNING_SANDBOX_URL": stripe_url,
            "DUNNING_SMTP_URL": smtp_url,
            "DUNNING_MAIL_FROM": "Northwind Billing <billing@northwind.example>",
            "DUNNING_COMPANY": "Northwind",
            "DUNNING_SUPPORT_EMAIL": "help@northwind.example",
            "DUNNING_PUBLIC_URL": web_url,
            "DUNNING_SECRET_KEY": LINK_KEY,
            "STRIPE_API_KEY": "sk_test_demo",
            "STRIPE_WEBHOOK_SECRET": SECRET,
        }
        settings = load_settings(environ, data)
        store.migrate(settings.database_url.reveal())
        program = assemble(settings, environ=environ, product=_application)
        stack.enter_context(running(Up(program), listener))
        population.install()
        sandbox.add_webhook(f"{web_url}/webhooks/stripe", SECRET, events=list(EVENTS))
        yield Stage(sandbox, population, mailbox, program, stripe_url, web_url)


def _application(_name: str, _body: bytes, _now: datetime) -> Heard:
    """The simulated company's own application: it takes every call."""
    return Heard(taken=True)
