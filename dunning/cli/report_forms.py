"""How the commands of `report` give what they made: on the screen, to a program, into a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dunning.cli.opening import reading
from dunning.cli.output import Column, say, table, write_file
from dunning.cli.report_options import ReportFormat
from dunning.errors import RefusedError

if TYPE_CHECKING:
    from dunning.cli.opening import Reading
    from dunning.reports import Report


def give(
    make: Callable[[Reading], Report],
    form: ReportFormat,
    output: Path | None,
    data: Path | None,
) -> None:
    """Make a report in one unmoving view of the database, and give it in this form."""
    must_fit(form, output)
    with reading(data) as view:
        try:
            report = make(view)
        except RefusedError as error:
            # A breakdown, a zone or a range that the command line got wrong.
            raise typer.BadParameter(str(error)) from None
    if form is ReportFormat.TABLE:
        show(report)
    else:
        write(report, form, output)


def must_fit(form: ReportFormat, output: Path | None) -> None:
    """Refuse a workbook on the screen and a table in a file, before anything is read."""
    if form is ReportFormat.XLSX and output is None:
        message = "a workbook is written to a file: add --output FILE.xlsx"
        raise typer.BadParameter(message, param_hint="--format")
    if form is ReportFormat.TABLE and output is not None:
        message = "a table is for the screen: choose --format csv, html, json or xlsx"
        raise typer.BadParameter(message, param_hint="--output")


def write(report: Report, form: ReportFormat, output: Path | None) -> None:
    """Write what is for programs and files, in its form."""
    from dunning import reports

    made: dict[ReportFormat, Callable[[Any], str | bytes | Iterable[str]]] = {
        ReportFormat.JSON: reports.to_json,
        ReportFormat.CSV: reports.csv_of,
        ReportFormat.XLSX: reports.to_xlsx,
        ReportFormat.HTML: lambda one: reports.to_html([one]),
    }
    put(made[form](report), output, f"{report.name}, {len(report.rows)} rows")


def put(content: str | bytes | Iterable[str], output: Path | None, what: str) -> None:
    """Write it into the file, or on the screen."""
    if output is not None:
        write_file(output, content)
        typer.echo(f"{output}: {what}", err=True)
    else:
        assert not isinstance(content, bytes)
        sys.stdout.writelines([content] if isinstance(content, str) else content)


def show(report: Report) -> None:
    """A table for people, with what they should know of the data."""
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
    for line in _rates(report):
        say(line)
    say(f"Data until {time_text(report.data_until)}.{_remark(report)}", style="dim")
    say("--format json has the definition of every figure.", style="dim")


_MOST_RATES = 12


def _rates(report: Report) -> Iterator[str]:
    """The exchange rates that were used; a few one by one."""
    if not report.rates:
        return
    yield f"Exchange rates of {report.filters['rates']}:"
    for one in report.rates[:_MOST_RATES]:
        of = "" if one["day"] == one["rate_day"] else f" ({one['rate_day']})"
        yield f"  {one['day']}{of}  {one['quoted']}"
    if len(report.rates) > _MOST_RATES:
        yield f"  and {len(report.rates) - _MOST_RATES:,} more: see --format json, html or xlsx."
    yield ""


def _remark(report: Report) -> str:
    """What besides the moment is said of the data: what is still to be handled, what is parked."""
    said = report.definitions.get("data_until", "").partition("figures. ")[2]
    return f" {said}" if said else ""


def _cell(place: int, line: Sequence[str]) -> str:
    return line[place]
