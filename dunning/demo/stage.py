"""Sets the demo up: the simulated company in a process of its own, and the program in ours."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dunning import store
from dunning.config import PolicyFile, load_settings
from dunning.config.policy_file import read_policy_text
from dunning.config.stripe_keys import stripe_source
from dunning.errors import DunningError
from dunning.filling import fill
from dunning.outbox import Heard
from dunning.processes import Up, running
from dunning.providers.stripe.subscribe import EVENTS
from dunning.wiring import Program, assemble

SECRET = "whsec_demo"  # noqa: S105 - guards a simulation
LINK_KEY = "links of the demo are signed with this"
COMPANY = "dunning.sandbox.company"


class Company:
    """The other side: a pretend Stripe account with customers, who read their mail."""

    def __init__(
        self, *, customers: int, days: int, seed: int, mix: Mapping[str, float] | None = None
    ) -> None:
        options: dict[str, object] = {"--customers": customers, "--days": days, "--seed": seed}
        if mix is not None:
            options["--mix"] = json.dumps(dict(mix))
        words = [str(word) for option in options.items() for word in option]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", COMPANY, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        addresses = self._hear()
        self.stripe_url: str = addresses["stripe"]
        self.smtp_url: str = addresses["smtp"]

    def order(self, do: str, **what: object) -> Any:
        """Have something done; returns when it is."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer that does not come says it better
        return self._hear()

    def close(self) -> None:
        """Send everybody home."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(timeout=30)

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            message = "the simulated company stopped; its last words are above"
            raise DunningError(message)
        return json.loads(line)


@dataclass(slots=True)
class Stage:
    """Everything that plays."""

    company: Company
    program: Program
    web_url: str


@contextmanager
def staged(
    *,
    customers: int,
    days: int,
    seed: int,
    data: Path,
    policies: PolicyFile | None = None,
    mix: Mapping[str, float] | None = None,
) -> Iterator[Stage]:
    """Start everything; nothing has happened yet.

    `policies` instead of the built-in ones with their notices; whatever accounts they are for,
    the demo has its own.
    """
    with ExitStack() as stack:
        company = Company(customers=customers, days=days, seed=seed, mix=mix)
        stack.callback(company.close)
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        web_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environ = {
            "DUNNING_DATA": str(data),
            "DUNNING_SANDBOX_URL": company.stripe_url,
            "DUNNING_SMTP_URL": company.smtp_url,
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
        if policies is not None:
            own = stripe_source(environ)
            policies = replace(policies, sources=(own,) if own else ())
        program = assemble(
            settings,
            environ=environ,
            policies=policies,
            policy_text=None if policies else told_ahead(),
            product=_application,
        )
        stack.enter_context(running(Up(program), listener))
        webhook = f"{web_url}/webhooks/stripe"
        company.order("install", webhook=webhook, secret=SECRET, events=EVENTS)
        for name, provider in program.providers.items():
            # Who subscribed before we were there is read in, as `dunning reconcile` does.
            fill(program.engine, program.cases, name, provider, program.clock.now)
        yield Stage(company, program, web_url)


def told_ahead() -> str:
    """The built-in policy file with its notices: without the marks before them."""
    text, _ = read_policy_text(None)
    return re.sub(r"(?m)^  # (?=  |expiry:|annual:|- \{)", "  ", text)


def _application(_name: str, _body: bytes, _now: datetime) -> Heard:
    """The simulated company's own application: it takes every call."""
    return Heard(taken=True)
