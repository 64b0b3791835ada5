"""Starts a world: the program with its real adapters, beside a simulated Stripe."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dunning.channels.email import EmailChannel
from dunning.config import load_settings
from dunning.processes import Up, running
from dunning.providers.stripe.acting import StripeProvider
from dunning.sandbox.sandbox import Sandbox
from dunning.wiring import assemble, clock_for
from tests import secrets
from tests.neighbours import Mailbox, Product
from tests.world import World

SECRET = secrets.SIGNING
PRODUCT_SECRET = secrets.PRODUCT
START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)  # a Monday; a month later it is a Thursday


def _environment(folder: Path, database_url: str, **addresses: str) -> dict[str, str]:
    return {
        "DUNNING_DATA": str(folder),
        "DUNNING_DATABASE_URL": database_url,
        "DUNNING_MAIL_FROM": "billing@example.com",
        "DUNNING_COMPANY": "Example Ltd",
        "DUNNING_SECRET_KEY": secrets.LINKS,
        "DUNNING_PRODUCT_WEBHOOK_SECRET": PRODUCT_SECRET,
        "STRIPE_API_KEY": secrets.API_KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        **addresses,
    }


@contextmanager
def world_on(
    database_url: str,
    folder: Path,
    *,
    policy: str | None = None,
    environ: dict[str, str] | None = None,
    start: datetime = START,
    why_bad: Callable[[str], str | None] | None = None,
    **sandbox_options: Any,
) -> Iterator[World]:
    """Start a world on a migrated, empty database."""
    with ExitStack() as stack:
        options = {"tick": 60, **sandbox_options}
        sandbox = Sandbox(seed=1, start=int(start.timestamp()), **options)
        url = stack.enter_context(sandbox.serve())
        mailbox, product = Mailbox(), Product()
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        env = _environment(
            folder,
            database_url,
            DUNNING_SANDBOX_URL=url,
            DUNNING_PUBLIC_URL=f"http://127.0.0.1:{listener.getsockname()[1]}",
            DUNNING_SMTP_URL=stack.enter_context(mailbox.serve()),
            DUNNING_PRODUCT_WEBHOOK_URL=stack.enter_context(product.serve()),
        )
        env |= environ or {}
        settings = load_settings(env, folder)
        clock = clock_for(settings)
        # The real adapters, but with no patience: a story does not wait for seconds to pass.
        provider = StripeProvider(
            secrets.API_KEY, api_base=url, clock=clock, timeout=(3.0, 1.0), sleep=lambda _: None
        )
        smtp = EmailChannel(env["DUNNING_SMTP_URL"], timeout=5, sleep=lambda _: None)
        program = assemble(
            settings,
            environ=env,
            policy_text=policy,
            clock=clock,
            providers={"stripe": provider},
            mail=smtp,
            why_bad=why_bad,
        )
        up = Up(program)
        up.threads._worker.worker_timeout = 50  # so that they end soon when told to
        address = stack.enter_context(running(up, listener))
        stack.callback(_hurry, up, sandbox)
        sandbox.add_webhook(f"{address}/webhooks/stripe", SECRET)
        world = World(up, sandbox, url, mailbox, product)
        stack.callback(world.http.close)
        yield world


def _hurry(up: Up, sandbox: Sandbox) -> None:
    """Let the program's loop see at once that it is to end."""
    up.feeder.stop()
    with sandbox.world.lock:
        sandbox.world.bump()
