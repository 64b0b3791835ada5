"""`sandbox`: the simulated Stripe by itself."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.output import heading, pairs, say
from dunning.cli.stopping import stopped_quietly
from dunning.cli.words import read_moment
from dunning.errors import ConfigError

if TYPE_CHECKING:
    from dunning.sandbox.sandbox import Sandbox

CARDS = (
    ("pm_card_visa", "4242 4242 4242 4242", "every charge goes through"),
    ("pm_card_chargeCustomerFail", "4000 0000 0000 0341", "attaches; every charge is declined"),
    ("pm_card_chargeCustomerFailLostCard", "4000 0000 0000 5423", "declined: lost_card, a stop"),
    ("pm_card_authenticationRequired", "4000 0025 0000 3155", "asks the customer at first use"),
    ("pm_card_createDispute", "4000 0000 0000 0259", "paid, then disputed"),
    ("pm_usBankAccount_insufficientFunds", "bank debit", "processing for days, then refused"),
)
CONTROLS = (
    ("POST charges/next", '{"customer": "cus_…", "outcome": {"decline_code": "lost_card"}}'),
    ("POST requests/next", '{"path": "/pay", "outcome": {"drop": "after"}}: no answer comes'),
    ("POST customers/ID/new_card", '{"number": "4242424242424242"}: through the portal'),
    ("POST deliveries/rules", '{"action": "duplicate"}: webhooks come twice, or late, or never'),
    ("POST clock/advance", '{"seconds": 86400}: a day passes, and whoever follows keeps up'),
    ("GET books", "what the simulated account holds and charged"),
)


def sandbox(
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Port to listen on.")] = (
        12111
    ),
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    webhook: Annotated[
        str | None,
        typer.Option(
            "--webhook",
            metavar="URL",
            help="Where events are posted, such as http://127.0.0.1:8000/webhooks/stripe.",
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", metavar="whsec_…", help="Signs them; one is made if left out."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same number, the same ids.")] = 1,
    speed: Annotated[
        float,
        typer.Option("--speed", min=0, help="Virtual seconds per real second; 0: time stands."),
    ] = 0,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TIME", help="The first moment; 2026-01-01 if left out."),
    ] = None,
) -> None:
    """Serve a simulated Stripe whose cards fail when you say so.

    For staging, training and tests. The official Stripe SDK and CLI talk to it, Stripe's test-clock
    calls move its time, and `dunning up --sandbox URL` works against it, on its clock. No money
    moves.

    Example: dunning sandbox --webhook http://127.0.0.1:8000/webhooks/stripe --secret whsec_test
    """
    if secret is not None and webhook is None:
        message = "signs what is posted to --webhook, which is not given"
        raise typer.BadParameter(message, param_hint="--secret")
    if webhook is not None and not webhook.startswith(("http://", "https://")):
        message = f"{webhook!r} is no address; expected one that begins with http://"
        raise typer.BadParameter(message, param_hint="--webhook")
    first = None if start is None else int(read_moment(start, "--start").timestamp())
    _must_be_free(host, port)
    from dunning.sandbox.server import run

    def ready(running: Sandbox) -> None:
        _announce(running, webhook, speed)

    with stopped_quietly():
        run(
            port=port,
            host=host,
            webhook=webhook,
            secret=secret,
            seed=seed,
            speed=speed,
            start=first,
            ready_callback=ready,
        )


def _must_be_free(host: str, port: int) -> None:
    """Say so before anything is promised."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        message = f"cannot listen on {host}:{port}: {why}; choose another --port"
        raise ConfigError(message) from None


def _announce(running: Sandbox, webhook: str | None, speed: float) -> None:
    url = running.url
    say(f"A simulated Stripe at {url}. No money moves. Ctrl-C stops it.", style="bold")
    pace = f"{speed:g} virtual seconds a second" if speed else "stands until it is moved"
    told = [("  time", f"{_now(running)}; {pace}")]
    if webhook is not None:
        told += [("  events go to", webhook), ("  signed with", _secret(running))]
    pairs(told)
    heading("Point to it")
    pairs(
        [
            ("  dunning", f"dunning up --sandbox {url}"),
            ("  Python", f'stripe.StripeClient("sk_test_1", base_addresses={{"api": "{url}"}})'),
            ("  Stripe CLI", f"stripe trigger invoice.payment_failed --api-base {url}"),
        ]
    )
    heading("Cards that behave in a known way")
    pairs([(f"  {name}", f"{number}: {what}") for name, number, what in CARDS])
    heading(f"Make anything happen: {url}/_sandbox/…")
    pairs([(f"  {name}", what) for name, what in CONTROLS])
    say()
    sys.stdout.flush()


def _now(running: Sandbox) -> str:
    from dunning.cli.words import moment_text
    from dunning.clock import from_unix

    return f"{moment_text(from_unix(running.now))} UTC"


def _secret(running: Sandbox) -> str:
    endpoints = list(running.world.all("webhook_endpoint"))
    return str(endpoints[-1].get("_secret", "")) if endpoints else ""
