"""`report …`: what is at risk, recovered and lost, at what rates, and what our doing brought."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import reading
from dunning.cli.options import DataOption, SourceOption
from dunning.cli.output import Column, heading, say, table, write_file
from dunning.cli.report_options import (
    Asked,
    CurrencyOption,
    Dated,
    DateOption,
    FormOption,
    OutputOption,
    PolicyOption,
    ReportFormat,
    SinceOption,
    UntilOption,
    ZoneOption,
    asked,
    books_of,
    read_currency,
)
from dunning.cli.words import read_moment
from dunning.errors import RefusedError

if TYPE_CHECKING:
    from dunning.cli.opening import Reading
    from dunning.reports import Report

_PERIODS = "day, week, month, quarter or year"
_OF_CASE = "policy, policy_version, decline_code, advice, network, country, plan, source, currency"

app = typer.Typer(
    no_args_is_help=True,
    help="Revenue at risk, recovered and lost, from the ledger; rates and churn.",
    epilog="""\
Examples:
  dunning report at-risk --by age --by policy
  dunning report recovered --by month --by mechanism --since 2026-01-01
  dunning report lost --by cause --format xlsx --output lost.xlsx
  dunning report rates --definition all
  dunning report churn --by month --by kind
  dunning report uplift --by month
  dunning report overview --format html --output overview.html
  dunning report declines              what codes mean, and which are not known
  dunning report schedule              the report of each month, by mail to finance

JSON has amounts in minor units (cents) beside the currency; currencies are never added.""",
)


@app.command("at-risk")
def at_risk(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help=f"age, state, standing, {_OF_CASE}; several times.",
        ),
    ] = None,
    source: SourceOption = None,
    policy: PolicyOption = None,
    currency: CurrencyOption = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="TIME", help="Count ages from here instead of from now."),
    ] = None,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """What is open now: unpaid, pursued, and not yet lost."""
    code = read_currency(currency)

    def make(view: Reading) -> Report:
        from dunning.reports import at_risk as make_report

        moment = read_moment(as_of, "--as-of") if as_of else view.now
        words: dict[str, Any] = {
            "by": by or ["currency"],
            "source": source,
            "policy": policy,
            "currency": code,
        }
        return make_report(view.session, moment, **words)

    _report(make, form, output, data)


@app.command("recovered")
def recovered(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help=f"{_PERIODS}; mechanism, step, {_OF_CASE}; several times.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    policy: PolicyOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = None,
    date: DateOption = Dated.OCCURRED,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """Revenue that came back, net of refunds and disputes, and what brought it in."""
    words = asked(by, since, until, source, currency, zone)
    _flow("recovered", words, form, output, data, policy=policy, date=date.value)


@app.command("lost")
def lost(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help=f"{_PERIODS}; kind, cause, {_OF_CASE}; several times.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    policy: PolicyOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = None,
    date: DateOption = Dated.OCCURRED,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """What was written off or withdrawn, and what came in late after all."""
    words = asked(by, since, until, source, currency, zone)
    _flow("lost", words, form, output, data, policy=policy, date=date.value)


@app.command("rates")
def rates(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="KEY", help=f"{_PERIODS}, of the first failure; {_OF_CASE}."),
    ] = None,
    definition: Annotated[
        list[str] | None,
        typer.Option(
            "--definition",
            metavar="NAME",
            help="ours, ours_cases, ours_so_far, stripe, recurly, churn_buster, baremetrics, "
            "retain, or all of them side by side; several times.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    policy: PolicyOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = None,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """What part of what had failed came in, by when it first failed.

    Beside each rate stand what is above and below the line, the window within which money counts,
    and how much of the cohort is past it.

    Example: dunning report rates --definition all --since 2026-01-01 --until 2026-01-31
    """
    from dunning.reports.published import USUAL

    words = asked(by, since, until, source, currency, zone)
    chosen = tuple(definition or USUAL)
    _flow("rates", words, form, output, data, policy=policy, definitions=chosen)


@app.command("churn")
def churn(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="KEY", help=f"{_PERIODS}; kind, source, currency."),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = None,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """Customers, subscriptions and recurring revenue lost, of those at the start of each period.

    Example: dunning report churn --by month --by kind --since 2026-01-01
    """
    words = asked(by, since, until, source, currency, zone)
    _flow("churn", words, form, output, data)


@app.command("uplift")
def uplift(
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="KEY", help="policy, or month of the first failure as well."),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    policy: PolicyOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = None,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """What a policy brings in beyond those who are held out (`holdout` in the policy file).

    Only cases whose window has closed count. Until there are enough of them the report says how
    many are missing, and no difference.

    Example: dunning report uplift --policy standard --since 2026-01-01
    """
    words = asked(by, since, until, source, currency, zone, usual="policy")
    _flow("uplift", words, form, output, data, policy=policy)


@app.command("overview")
def overview(
    by: Annotated[str, typer.Option("--by", metavar="PERIOD", help=f"{_PERIODS}.")] = "month",
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = None,
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """At risk, recovered, lost, rates and churn of twelve months, on one page.

    With --format html it is one file with charts, to be looked at, sent on or printed.

    Example: dunning report overview --format html --output overview.html
    """
    if form is ReportFormat.CSV:
        message = "csv is of one report: choose html, xlsx, json or table"
        raise typer.BadParameter(message, param_hint="--format")
    _must_fit(form, output)
    words = asked(None, since, until, source, currency, zone)
    with reading(data) as view:
        from dunning import reports

        given = words.words(books_of(view))
        del given["by"]
        try:
            made = reports.overview(view.session, view.now, unit=by, **given)
        except RefusedError as error:
            raise typer.BadParameter(str(error)) from None
    if form is ReportFormat.TABLE:
        for report in made:
            heading(report.name)
            _show(report)
    elif form is ReportFormat.HTML:
        page = reports.to_html(made, "Payment recovery", reports.tiles(made))
        _put(page, output, f"overview, {len(made)} reports")
    elif form is ReportFormat.XLSX:
        book = reports.to_xlsx(*made, title="Payment recovery")
        _put(book, output, f"overview, {len(made)} reports")
    else:
        _put(reports.to_json_list(made), output, f"overview, {len(made)} reports")


# --- parts -----------------------------------------------------------------------------------


def _flow(
    name: str,
    words: Asked,
    form: ReportFormat,
    output: Path | None,
    data: Path | None,
    **more: Any,
) -> None:
    """One of the reports about a range of days."""

    def make(view: Reading) -> Report:
        from dunning import reports

        given = words.words(books_of(view)) | more
        if name == "uplift":
            del given["year_from"]
        made: Report = getattr(reports, name)(view.session, view.now, **given)
        return made

    _report(make, form, output, data)


def _report(
    make: Callable[[Reading], Report],
    form: ReportFormat,
    output: Path | None,
    data: Path | None,
) -> None:
    _must_fit(form, output)
    with reading(data) as view:
        try:
            report = make(view)
        except RefusedError as error:
            # A breakdown, a zone or a range that the command line got wrong.
            raise typer.BadParameter(str(error)) from None
    if form is ReportFormat.TABLE:
        _show(report)
    else:
        _write(report, form, output)


def _must_fit(form: ReportFormat, output: Path | None) -> None:
    if form is ReportFormat.XLSX and output is None:
        message = "a workbook is written to a file: add --output FILE.xlsx"
        raise typer.BadParameter(message, param_hint="--format")
    if form is ReportFormat.TABLE and output is not None:
        message = "a table is for the screen: choose --format csv, html, json or xlsx"
        raise typer.BadParameter(message, param_hint="--output")


def _write(report: Report, form: ReportFormat, output: Path | None) -> None:
    from dunning import reports

    made: dict[ReportFormat, Callable[[Any], str | bytes | Iterable[str]]] = {
        ReportFormat.JSON: reports.to_json,
        ReportFormat.CSV: reports.csv_of,
        ReportFormat.XLSX: reports.to_xlsx,
        ReportFormat.HTML: lambda one: reports.to_html([one]),
    }
    _put(made[form](report), output, f"{report.name}, {len(report.rows)} rows")


def _put(content: str | bytes | Iterable[str], output: Path | None, what: str) -> None:
    if output is not None:
        write_file(output, content)
        typer.echo(f"{output}: {what}", err=True)
    else:
        assert not isinstance(content, bytes)
        sys.stdout.writelines([content] if isinstance(content, str) else content)


def _show(report: Report) -> None:
    from dunning import reports
    from dunning.reports.report import time_text

    if report.note:
        say(report.note[:1].upper() + report.note[1:] + ".")
    if report.rows:
        columns = [
            Column(
                column.heading,
                partial(_cell, place),
                right=column.is_number,
                # Every amount names its currency, so this column can be done without.
                rank=1 if column.name == "currency" else column.rank,
            )
            for place, column in enumerate(reports.columns(report))
        ]
        cells, totals = reports.cells(report), reports.total_cells(report)
        if report.totals == report.rows:
            totals = []  # by currency only: each row is its own total
        table(columns, [*cells, *totals], totals=len(totals))
    say()
    say(f"Data until {time_text(report.data_until)}.{_remark(report)}", style="dim")
    say("--format json has the definition of every figure.", style="dim")


def _remark(report: Report) -> str:
    """What besides the moment is said of the data: what is still to be handled, what is parked."""
    said = report.definitions.get("data_until", "").partition("figures. ")[2]
    return f" {said}" if said else ""


def _cell(place: int, line: Sequence[str]) -> str:
    return line[place]
