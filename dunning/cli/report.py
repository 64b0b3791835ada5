"""`report …`: what is at risk, what was recovered, what is lost, what our doing brought."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import reading
from dunning.cli.options import DataOption, SourceOption
from dunning.cli.output import Column, say, table, write_file
from dunning.cli.words import read_day, read_moment
from dunning.errors import RefusedError

if TYPE_CHECKING:
    from sqlmodel import Session

    from dunning.reports import Report

app = typer.Typer(
    no_args_is_help=True,
    help="Revenue at risk, recovered and lost, from the ledger.",
    epilog="""\
Examples:
  dunning report at-risk --by age --by policy
  dunning report recovered --by month --by mechanism --since 2026-01-01
  dunning report lost --by cause --format xlsx --output lost.xlsx
  dunning report uplift --by month
  dunning report declines              what codes mean, and which are not known

JSON has amounts in minor units (cents) beside the currency; currencies are never added.""",
)


class ReportFormat(enum.StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"


SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="DAY", help="First day, such as 2026-01-01.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="DAY", help="Last day; it is part of the range.")
]
PolicyOption = Annotated[
    str | None, typer.Option("--policy", metavar="NAME", help="Only cases of this policy.")
]
CurrencyOption = Annotated[
    str | None, typer.Option("--currency", metavar="CODE", help="Only this currency, e.g. USD.")
]
ZoneOption = Annotated[
    str, typer.Option("--timezone", metavar="ZONE", help="Whose calendar days and months are.")
]
FormOption = Annotated[
    ReportFormat,
    typer.Option("--format", help="table for people; xlsx needs --output."),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Write it there.")
]


@app.command("at-risk")
def at_risk(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help="currency, age, state, policy, decline_code, standing or source; several times.",
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
    code = _code(currency)

    def make(session: Session, now: datetime) -> Report:
        from dunning.reports import at_risk as make_report

        moment = read_moment(as_of, "--as-of") if as_of else now
        chosen = by or ["currency"]
        return make_report(session, moment, by=chosen, source=source, policy=policy, currency=code)

    _report(make, form, output, data)


@app.command("recovered")
def recovered(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help="day, week, month, quarter or year; mechanism, step, policy, decline_code, "
            "source, currency; several times.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    policy: PolicyOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = "UTC",
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """Revenue that came back, net of refunds and disputes, and what brought it in."""
    _flow("recovered", by, since, until, source, policy, currency, zone, form, output, data)


@app.command("lost")
def lost(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="KEY",
            help="day, week, month, quarter or year; kind, cause, policy, decline_code, source, "
            "currency; several times.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    policy: PolicyOption = None,
    currency: CurrencyOption = None,
    zone: ZoneOption = "UTC",
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """What was written off or withdrawn, and what came in late after all."""
    _flow("lost", by, since, until, source, policy, currency, zone, form, output, data)


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
    zone: ZoneOption = "UTC",
    form: FormOption = ReportFormat.TABLE,
    output: OutputOption = None,
    data: DataOption = None,
) -> None:
    """What a policy brings in beyond those who are held out (`holdout` in the policy file).

    Only cases whose window has closed count. Until there are enough of them the report says how
    many are missing, and no difference.

    Example: dunning report uplift --policy standard --since 2026-01-01
    """
    _flow(
        "uplift", by or ["policy"], since, until, source, policy, currency, zone, form, output, data
    )


# --- parts -----------------------------------------------------------------------------------


def _flow(
    name: str,
    by: Sequence[str] | None,
    since: str | None,
    until: str | None,
    source: str | None,
    policy: str | None,
    currency: str | None,
    zone: str,
    form: ReportFormat,
    output: Path | None,
    data: Path | None,
) -> None:
    """One of the reports about a range of days."""
    first, last = read_day(since, "--since"), read_day(until, "--until")
    code = _code(currency)

    def make(session: Session, now: datetime) -> Report:
        from dunning import reports

        report = partial(getattr(reports, name), session, now)
        made: Report = report(
            by=by or ["month"],
            since=first,
            until=last,
            source=source,
            policy=policy,
            currency=code,
            zone=zone,
        )
        return made

    _report(make, form, output, data)


def _code(currency: str | None) -> str | None:
    """The currency as the ledger spells it."""
    if currency is None:
        return None
    from dunning.core.money import currency_code
    from dunning.errors import MoneyError

    try:
        return currency_code(currency)
    except MoneyError as error:
        raise typer.BadParameter(str(error), param_hint="--currency") from None


def _report(
    make: Callable[[Session, datetime], Report],
    form: ReportFormat,
    output: Path | None,
    data: Path | None,
) -> None:
    if form is ReportFormat.XLSX and output is None:
        message = "a workbook is written to a file: add --output FILE.xlsx"
        raise typer.BadParameter(message, param_hint="--format")
    if form is ReportFormat.TABLE and output is not None:
        message = "a table is for the screen: choose --format csv, json or xlsx"
        raise typer.BadParameter(message, param_hint="--output")
    with reading(data) as view:
        try:
            report = make(view.session, view.now)
        except RefusedError as error:
            # A breakdown, a zone or a range that the command line got wrong.
            raise typer.BadParameter(str(error)) from None
    if form is ReportFormat.TABLE:
        _show(report)
    else:
        _write(report, form, output)


def _write(report: Report, form: ReportFormat, output: Path | None) -> None:
    from dunning import reports

    made: dict[ReportFormat, Callable[[Any], str | bytes]] = {
        ReportFormat.JSON: reports.to_json,
        ReportFormat.CSV: reports.to_csv,
        ReportFormat.XLSX: reports.to_xlsx,
    }
    content = made[form](report)
    if output is not None:
        write_file(output, content)
        typer.echo(f"{output}: {report.name}, {len(report.rows)} rows", err=True)
    else:
        assert isinstance(content, str)
        sys.stdout.write(content)


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
        if totals == cells:
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
