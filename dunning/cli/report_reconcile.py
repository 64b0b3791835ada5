"""`report reconcile`: the ledger beside the provider's own books, to the minor unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import Reading, opened, program
from dunning.cli.options import DataOption, SourceOption
from dunning.cli.output import console, is_terminal, say, write_file
from dunning.cli.report_cases import app
from dunning.cli.report_forms import must_fit, show, write
from dunning.cli.report_options import (
    CurrencyOption,
    FormOption,
    OutputOption,
    ReportFormat,
    SinceOption,
    UntilOption,
    ZoneOption,
    asked,
    books_of,
)
from dunning.errors import ConfigError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dunning.cli.report_options import Asked
    from dunning.config import Settings
    from dunning.core.bookings import Booking
    from dunning.reports import Report
    from dunning.reports.both_books import Question

__all__ = ["app"]


@app.command("reconcile")
def reconcile(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help="Sums instead of single differences: day, week, month, quarter or year; "
            "kind, cause, source, currency; several times.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = None,
    date: Annotated[
        str,
        typer.Option(
            "--date",
            help="occurred: when the money moved; books: where the books count it, as closed "
            "months do.",
        ),
    ] = "occurred",
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="The provider's export instead of its API: Stripe's Payments or Balance change "
            "from activity, or kind,id,invoice,amount,currency,at.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FILE",
            help="Keep what the provider said of our invoices: --csv compares with it again.",
        ),
    ] = None,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """Compare the ledger with what the provider says was paid, refunded and disputed.

    Each difference is a row with its likely cause and what to do. Exit 1 if one is open: something
    is to be done, or no rule explains it. Nothing is booked. Without --csv the provider is asked,
    which needs an API key and takes a while where there are many payments.

    Example: dunning report reconcile --from 2026-10-01 --to 2026-10-31
    """
    must_fit(form, output)
    if csv is not None and save is not None:
        message = "what --csv says stands in a file already"
        raise typer.BadParameter(message, param_hint="--save")
    words = asked(by, since, until, source, currency, zone)
    if csv is not None:
        report, is_open = _by_file(csv, words, by, date, data)
    else:
        report, is_open = _by_asking(words, by, date, save, data)
    if form is ReportFormat.TABLE:
        show(report)
        _beside(report)
    else:
        write(report, form, output)
    if is_open:
        raise typer.Exit(1)


def _by_asking(
    words: Asked, by: list[str] | None, date: str, save: Path | None, data: Path | None
) -> tuple[Report, bool]:
    from dunning.cli.reconcile import accounts_of

    with program(data) as running:
        from dunning.reports.exports import to_minimal
        from dunning.tieout import ask_providers

        said: list[Booking] = []
        now = running.clock.fresh()
        question = _question(running.engine, running.settings, words, by, date)
        providers = {one.source: one.provider for one in accounts_of(running, words.source)}
        silent = [name for name in running.sources if name not in providers]
        with _progress() as progress:
            made = ask_providers(running.engine, providers, question, now, progress, said.extend)
    if save is not None:
        write_file(save, "".join(to_minimal(said)))
        typer.echo(f"{save}: {len(said):,} bookings of the provider", err=True)
    if silent and words.source is None:
        left = f"Without an API key, and so not compared: {', '.join(silent)}."
        told = made[0].definitions
        told["not_compared"] = f"{left} {told['not_compared']}"
    return made


def _by_file(
    csv: Path, words: Asked, by: list[str] | None, date: str, data: Path | None
) -> tuple[Report, bool]:
    with opened(data) as there:
        from dunning.reports.exports import Exported
        from dunning.tieout import read_export

        question = _question(there.engine, there.settings, words, by, date)
        source = _source_of(there.engine, words.source)
        try:
            return read_export(there.engine, source, Exported(csv), question, there.now())
        except RefusedError as error:
            raise typer.BadParameter(str(error), param_hint="--csv") from None


def _question(
    engine: Engine, settings: Settings, words: Asked, by: list[str] | None, date: str
) -> Question:
    from dunning.clock import SystemClock
    from dunning.reports import snapshot
    from dunning.reports.both_books import Question
    from dunning.reports.reconcile import checked

    with snapshot(engine) as session:
        given: dict[str, Any] = words.words(
            books_of(Reading(session, SystemClock().now(), settings))
        )
    try:
        return Question(**given | {"by": checked(by or ()), "date": date})
    except RefusedError as error:
        raise typer.BadParameter(str(error)) from None


def _source_of(engine: Engine, source: str | None) -> str:
    """Whose export it is; where there is one source only, nobody has to say."""
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.reports import snapshot
    from dunning.store import CaseRow

    with snapshot(engine) as session:
        known = sorted(session.scalars(select(col(CaseRow.source)).distinct()))
    if source is not None and source not in known:
        message = f"no case is of source {source!r}; there are: {', '.join(known) or 'none'}"
        raise NotFoundError(message)
    if source is None and len(known) > 1:
        message = f"there are cases of {', '.join(known)}: say with --source whose export it is"
        raise typer.BadParameter(message, param_hint="--source")
    if source is None and not known:
        message = "there is no case yet, so there is nothing to compare the export with"
        raise ConfigError(message)
    return source or known[0]


def _beside(report: Report) -> None:
    """What a table has no columns for."""
    from dunning.core.money import Money

    others = [
        f"{row['not_ours_count']:,} {row['kind']} ({Money(row['not_ours'], row['currency'])})"
        for row in report.totals
        if row["not_ours_count"]
    ]
    if others:
        say(f"Of invoices without a case, not compared: {', '.join(others)}.")
    if report.definitions["not_compared"] != "Nothing was left out.":
        say(report.definitions["not_compared"])


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """How far it is, for a person who waits; nothing in a pipe."""
    if not is_terminal("stderr"):
        yield lambda _words: None
        return
    with console("stderr").status("asking the provider") as status:
        yield status.update
