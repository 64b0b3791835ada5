"""`reconcile`: ask the provider for what we may have missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import program
from dunning.cli.options import DataOption, FormatOption, SourceOption
from dunning.cli.output import (
    Column,
    Format,
    console,
    csv_list,
    is_terminal,
    json_page,
    say,
    table,
)
from dunning.cli.words import count_text, moment_text, read_before
from dunning.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from dunning.reconcile import Account, Found
    from dunning.wiring import Program

KEYS = ("source", "since", "events", "events_new", "invoices", "cases")


def reconcile(
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="7d, 36h, or a date; Stripe keeps events for 30 days."
        ),
    ] = "7d",
    source: SourceOption = None,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """Ask the provider for what we may have missed, and take it in.

    Events since then and every open invoice. Safe at any time: what was known before changes
    nothing. Needs an API key.

    Example: dunning reconcile --since 36h
    """
    with program(data) as running:
        from dunning.clock import rfc3339
        from dunning.reconcile import reconcile as take_in

        now = running.clock.fresh()
        start = read_before(since, now, "--since")
        if start > now:
            message = f"{since} lies in the future"
            raise typer.BadParameter(message, param_hint="--since")
        told: list[dict[str, Any]] = []
        for account in _accounts(running, source):
            with _progress(account.source) as progress:
                found = take_in(
                    running.engine,
                    running.cases,
                    running.inbox,
                    account,
                    since=start,
                    now=running.clock.fresh,
                    progress=progress,
                )
            told.append(
                {
                    "source": account.source,
                    "since": rfc3339(start),
                    "events": found.events,
                    "events_new": found.events_new,
                    "invoices": found.invoices,
                    "cases": found.cases,
                }
            )
    match form:
        case Format.JSON:
            json_page(told)
        case Format.CSV:
            csv_list(KEYS, told)
        case Format.TABLE:
            say(f"Since {moment_text(start)} UTC:")
            _show(told)


def _accounts(running: Program, source: str | None) -> list[Account]:
    from dunning.reconcile import Account

    if source is not None and source not in running.sources:
        known = ", ".join(running.sources) or "none is configured"
        message = f"no source {source!r}; there are: {known}"
        raise NotFoundError(message)
    accounts = [
        Account(name, live.reader, live.provider)
        for name, live in running.sources.items()
        if live.provider is not None and source in (None, name)
    ]
    if not accounts:
        message = (
            "there is no API key, so the provider cannot be asked: set STRIPE_API_KEY "
            "(a restricted key is enough; `dunning doctor` names the rights)"
        )
        raise ConfigError(message)
    return accounts


@contextmanager
def _progress(source: str) -> Iterator[Callable[[Found], None]]:
    """How far it is, for a person who waits; nothing in a pipe."""
    if not is_terminal("stderr"):
        yield lambda _found: None
        return
    with console("stderr").status(f"{source}: asking") as status:

        def progress(found: Found) -> None:
            events = count_text(found.events, "event")
            invoices = count_text(found.invoices, "open invoice")
            status.update(f"{source}: {events} ({found.events_new:,} new), {invoices}")

        yield progress


def _show(told: list[dict[str, Any]]) -> None:
    def number(name: str) -> Callable[[dict[str, Any]], str]:
        return lambda each: f"{each[name]:,}"

    table(
        [
            Column("SOURCE", lambda each: str(each["source"])),
            Column("EVENTS", number("events"), right=True),
            Column("NEW", number("events_new"), right=True),
            Column("OPEN INVOICES", number("invoices"), right=True),
            Column("CASES", number("cases"), right=True),
        ],
        told,
    )
