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
    from datetime import datetime

    from dunning.reconcile import Account, Found
    from dunning.wiring import Program

KEYS = (
    *("source", "since", "resumed_from", "events", "events_new", "duplicates", "missed"),
    *("invoices", "cases", "adopted", "woken", "dry_run", "subscriptions"),
)


def reconcile(
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="WHEN", help="7d, 36h, or a date; Stripe keeps events for 30 days."
        ),
    ] = "30d",
    source: SourceOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask and count; take nothing in.")
    ] = False,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """Ask the provider for what we may have missed, and take it in.

    Events since then, every open invoice, and what became of charges whose answer was lost.
    Safe at any time: what was known before changes nothing. A run that was stopped is gone on
    with by the next one. Needs an API key.

    `dunning up` asks by itself every quarter of an hour. Before the first run on an account with
    old debts, see `dunning adopt`.

    Example: dunning reconcile --since 36h
    """
    with program(data) as running:
        from dunning.reconcile import HORIZON
        from dunning.reconcile import reconcile as take_in

        now = running.clock.fresh()
        start = read_before(since, now, "--since")
        if start > now:
            message = f"{since} lies in the future"
            raise typer.BadParameter(message, param_hint="--since")
        start = max(start, now - HORIZON)
        told: list[dict[str, Any]] = []
        for account in accounts_of(running, source):
            with _progress(account.source) as progress:
                found = take_in(
                    running.engine,
                    running.cases,
                    running.inbox,
                    account,
                    since=start,
                    now=running.clock.fresh,
                    progress=progress,
                    dry=dry_run,
                )
            told.append(_record(account.source, start, found, dry_run=dry_run))
            told[-1]["subscriptions"] = _filled(running, account, dry_run=dry_run)
    match form:
        case Format.JSON:
            json_page(told)
        case Format.CSV:
            csv_list(KEYS, told)
        case Format.TABLE:
            say(f"Since {moment_text(start)} UTC{', a dry run' if dry_run else ''}:")
            _show(told)


def _filled(running: Program, account: Account, *, dry_run: bool) -> int:
    """Read in what subscriptions there are, where customers are told of what lies ahead."""
    if dry_run or not running.policies.watches():
        return 0
    from dunning.filling import fill

    clock = running.clock
    return fill(running.engine, running.cases, account.source, account.provider, clock.fresh)


def _record(source: str, since: datetime, found: Found, *, dry_run: bool) -> dict[str, Any]:
    from dunning.clock import rfc3339

    told: dict[str, Any] = {"source": source, "since": rfc3339(since)}
    told["resumed_from"] = rfc3339(found.resumed)
    for name in ("events", "events_new", "duplicates", "missed"):
        told[name] = getattr(found, name)
    for name in ("invoices", "cases", "adopted", "woken"):
        told[name] = getattr(found, name)
    told["dry_run"] = dry_run
    return told


def accounts_of(running: Program, source: str | None) -> list[Account]:
    """The sources that can be asked; one line says why there is none."""
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
    if not accounts and source is not None and len(running.sources) > 1:
        message = (
            f"the source {source!r} has no API key, so it cannot be asked; "
            "`dunning doctor` names the rights it needs"
        )
        raise ConfigError(message)
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
            Column("KNOWN", number("duplicates"), right=True, rank=1),
            Column("OPEN INVOICES", number("invoices"), right=True),
            Column("CASES", number("cases"), right=True),
            Column("SUBSCRIPTIONS", number("subscriptions"), right=True, rank=2),
            Column("TAKEN OVER", number("adopted"), right=True, rank=2),
            Column("ASKED AGAIN", number("woken"), right=True, rank=3),
        ],
        told,
    )
    for each in told:
        if each["resumed_from"]:
            say(f"{each['source']}: went on where a run was stopped, at {each['resumed_from']}.")
