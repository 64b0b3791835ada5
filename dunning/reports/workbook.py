"""to_xlsx(): reports as a workbook: a sheet for each currency, and one that says what they mean.

Every cell has its type: numbers, shares, times, amounts in minor units and beside them in major
ones. Spreadsheets run text that begins like a formula, so text is written as text and never read.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from dunning.clock import rfc3339, utc
from dunning.core.money import SHOWN_WHOLE, Money, exponent
from dunning.reports.report import Column, Kind, Report, Row

# A spreadsheet keeps 15 digits of a number.
_EXACT = 10**15
EMPTY, NOTES, NO_CURRENCY = "Rows", "Notes", "No currency"
ALL_TOGETHER, RATES = "All currencies", "Rates"


def to_xlsx(*reports: Report, title: str = "", note: str = "") -> bytes:
    """The workbook; the same reports give the same bytes. Of several each has its own sheets."""
    import xlsxwriter

    buffer = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(buffer, options) as book:
        made = reports[0].data_until.astimezone(UTC).replace(tzinfo=None)
        book.set_properties({"title": title or reports[0].name, "created": made})
        pen = _Pen(book)
        for currency, report in _in_order(reports):
            rows = [row for row in report.rows if row["currency"] == currency]
            totals = [row for row in report.totals if row["currency"] == currency]
            whole = ALL_TOGETHER if report.rates else NO_CURRENCY
            name = whole if currency is None else str(currency).upper()
            if len(reports) > 1:
                name = f"{name} {_label(report, reports)}"
            _sheet(pen, pen.free(name), report.shown, rows, totals if totals != rows else [])
        if not book.worksheets():
            _sheet(pen, EMPTY, reports[0].shown, [], [])
        for report in reports:
            if report.rates:
                _rates(pen, report)
        _notes(pen, reports, note)
    return buffer.getvalue()


def _in_order(reports: Sequence[Report]) -> list[tuple[str | None, Report]]:
    """Everything of a currency side by side; what has none comes last."""
    found = [
        (currency, place, report)
        for place, report in enumerate(reports)
        for currency in dict.fromkeys(row["currency"] for row in (*report.rows, *report.totals))
    ]
    found.sort(key=lambda one: (one[0] is None, one[0] or "", one[1]))
    return [(currency, report) for currency, _, report in found]


def _label(report: Report, reports: Sequence[Report]) -> str:
    """The name of a report among others: where there are two of a name, by what it is."""
    if sum(one.name == report.name for one in reports) == 1:
        return report.name
    by = [key for key in report.filters.get("by", ()) if key != "currency"]
    return f"{report.name} by {by[0]}" if by else report.name


class _Pen:
    """Writes cells of a workbook; a text is never anything but text."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self._styles: dict[tuple[str, bool], Any] = {}
        self._named: set[str] = set()
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})

    def style(self, numbers: str = "", *, bold: bool = False) -> Any:
        """A format of numbers, each once in the book."""
        key = (numbers, bold)
        if key not in self._styles:
            told = {"bold": bold} | ({"num_format": numbers} if numbers else {})
            self._styles[key] = self.book.add_format(told)
        return self._styles[key]

    def free(self, name: str) -> str:
        """The name of a sheet that no other has: at most 31 letters."""
        found, number = name[:31], 1
        while found.lower() in self._named:
            number += 1
            found = f"{name[: 30 - len(str(number))]} {number}"
        self._named.add(found.lower())
        return found

    def heading(self, sheet: Any, row: int, texts: Iterable[str]) -> None:
        for place, text in enumerate(texts):
            sheet.write_string(row, place, text, self.style(bold=True))

    def put(self, sheet: Any, row: int, place: int, value: object, style: Any) -> None:
        if isinstance(value, datetime):
            sheet.write_datetime(row, place, utc(value).replace(tzinfo=None), style)
        elif isinstance(value, float) or (isinstance(value, int) and abs(value) < _EXACT):
            sheet.write_number(row, place, value, style)
        elif value is not None:
            sheet.write_string(row, place, str(value), style)

    def money(self, sheet: Any, row: int, place: int, amount: Money, *, bold: bool) -> None:
        if abs(amount.minor) >= _EXACT:
            sheet.write_string(row, place, str(amount.decimal()), self.style(bold=bold))
            return
        whole = amount.currency in SHOWN_WHOLE
        digits = 0 if whole else exponent(amount.currency)
        numbers = "#,##0" + ("." + "0" * digits if digits else "")
        sheet.write_number(row, place, float(amount.decimal()), self.style(numbers, bold=bold))


_NUMBERS = {
    Kind.RATE: "0.0%",
    Kind.TIME: "yyyy-mm-dd hh:mm:ss",
    Kind.COUNT: "#,##0",
    Kind.DAYS: "0.00",
}


def _sheet(
    pen: _Pen, title: str, shown: Sequence[Column], rows: Sequence[Row], totals: Sequence[Row]
) -> None:
    sheet = pen.book.add_worksheet(title)
    headings = [text for column in shown for text in _headings(column)]
    pen.heading(sheet, 0, headings)
    for line, row in enumerate(rows, 1):
        _write(pen, sheet, line, shown, row)
    # After an empty line, so that whoever sorts or adds up the rows does not count them twice.
    for line, row in enumerate(totals, len(rows) + 2):
        named = {shown[0].name: "total"} if shown[0].name not in row else {}
        _write(pen, sheet, line, shown, row | named, bold=True)
    if rows:
        sheet.autofilter(0, 0, len(rows), len(headings) - 1)
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(headings) - 1, 18)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _headings(column: Column) -> tuple[str, ...]:
    if column.may_be_money:
        return (f"{column.heading} (minor units)", column.heading)
    return (f"{column.heading} (UTC)" if column.kind is Kind.TIME else column.heading,)


def _write(
    pen: _Pen, sheet: Any, line: int, shown: Sequence[Column], row: Row, *, bold: bool = False
) -> None:
    place = 0
    for column in shown:
        value = row.get(column.name)
        numbers = "0" if column.may_be_money else _NUMBERS.get(column.kind, "")
        pen.put(sheet, line, place, value, pen.style(numbers, bold=bold))
        if column.is_money_in(row) and value is not None:
            pen.money(sheet, line, place + 1, column.money(row), bold=bold)
        place += len(_headings(column))


def _rates(pen: _Pen, report: Report) -> None:
    """Every exchange rate that was used."""
    sheet = pen.book.add_worksheet(pen.free(RATES))
    pen.heading(sheet, 0, report.rates[0])
    for line, row in enumerate(report.rates, 1):
        for place, value in enumerate(row.values()):
            pen.put(sheet, line, place, value, pen.style())
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(report.rates[0]) - 1, 18)


def _notes(pen: _Pen, reports: Sequence[Report], note: str) -> None:
    sheet = pen.book.add_worksheet(NOTES)
    lines = [("version", f"dunning {version('dunning')}")]
    lines += [("note", note)] if note else []
    for number, report in enumerate(reports):
        lines += [("", "")] if number else []
        lines.append(("report", _label(report, reports)))
        lines.append(("data until", rfc3339(report.data_until) or ""))
        lines += [
            (f"filter: {name}", ", ".join(value) if isinstance(value, list) else str(value))
            for name, value in report.filters.items()
            if value not in (None, [])
        ]
        lines += list(report.definitions.items())
    for row, (name, text) in enumerate(lines):
        sheet.write_string(row, 0, name, pen.style(bold=True))
        sheet.write_string(row, 1, text, pen.wrapped)
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 100)
