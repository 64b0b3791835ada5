"""A report as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dunning.cli.output import Column, say, table

if TYPE_CHECKING:
    from dunning.reports import Report


def show(report: Report) -> None:
    """Its rows and totals, and up to when its data goes."""
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
