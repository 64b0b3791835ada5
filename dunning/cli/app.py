"""The list of commands, in the order in which a newcomer needs them."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from dunning import __version__
from dunning.cli import (
    addresses,
    adopt,
    bench,
    books,
    breaker,
    by_hand,
    customer_page,
    doctor,
    inbox,
    keeping,
    mail,
    message_send,
    messages,
    policy,
    processes,
    reconcile,
    report_schedule,
    sandbox,
    simulate,
    staff,
)
from dunning.cli.entry import pipe_closed

START, LOOK, TUNE, RUN = "Start here", "Look and act", "Tune", "Run it in production"
EPILOG = """\
Examples:
  dunning demo                                the whole job, on a simulated Stripe
  STRIPE_WEBHOOK_SECRET=whsec_… dunning up    receive, decide, show; no charges
  dunning cases list --due                    what happens next
  dunning report recovered --by month         what came of it

`dunning doctor` says what is missing; .env.example has every variable."""


class Root(TyperGroup):
    """The commands in the order they were added, groups and single ones together."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, as the help shows them."""
        return [name for name in ORDER if name in self.commands]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a reader that has enough (`head`) ends it without a word."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(pipe_closed()) from None


ORDER = (
    *("demo", "up", "doctor", "sandbox", "simulate"),
    *("cases", "customers", "messages", "addresses", "report", "ledger", "inbox", "mail"),
    *("reconcile", "adopt", "breaker"),
    *("policy", "message", "staff"),
    *("migrate", "web", "worker", "dispatch", "prune", "move", "bench"),
)


@lru_cache(maxsize=1)
def command() -> Any:
    """The command line, ready to be run."""
    whole = typer.main.get_command(build())
    _reflow(whole)
    return whole


def _reflow(command: Any) -> None:
    """Let the paragraphs of a help text be as wide as the terminal, not as the docstring."""
    if command.help:
        paragraphs = command.help.split("\n\n")
        command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    for each in getattr(command, "commands", {}).values():
        _reflow(each)


def build() -> typer.Typer:
    """Put the commands together."""
    app = typer.Typer(
        name="dunning",
        cls=Root,
        help="Recovers failed payments: one timeline per unpaid invoice, one ledger for finance.",
        epilog=EPILOG,
        invoke_without_command=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, function, panel in (
        ("demo", processes.demo, START),
        ("up", processes.up, START),
        ("doctor", doctor.doctor, START),
        ("sandbox", sandbox.sandbox, START),
        ("simulate", simulate.simulate, START),
        ("reconcile", reconcile.reconcile, LOOK),
        ("adopt", adopt.adopt, LOOK),
        ("migrate", processes.migrate, RUN),
        ("web", processes.web, RUN),
        ("worker", processes.worker, RUN),
        ("dispatch", processes.dispatch, RUN),
        ("prune", keeping.prune, RUN),
        ("move", keeping.move, RUN),
        ("bench", bench.bench, RUN),
    ):
        app.command(name, rich_help_panel=panel)(function)
    for name, group, panel in (
        ("cases", by_hand.app, LOOK),
        ("customers", customer_page.app, LOOK),
        ("messages", messages.app, LOOK),
        ("addresses", addresses.app, LOOK),
        ("report", report_schedule.app, LOOK),
        ("ledger", books.app, LOOK),
        ("inbox", inbox.app, LOOK),
        ("mail", mail.app, LOOK),
        ("breaker", breaker.app, LOOK),
        ("policy", policy.app, TUNE),
        ("message", message_send.app, TUNE),
        ("staff", staff.app, TUNE),
    ):
        app.add_typer(group, name=name, rich_help_panel=panel)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"dunning {__version__}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show where an error came from; understood in any place."),
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
