"""to_xlsx(): a report as a workbook: a sheet for each currency, and one that says what it means.

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


def to_xlsx(report: Report) -> bytes:
    """The workbook; the same report gives the same bytes."""
    import xlsxwriter

    buffer = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(buffer, options) as book:
        made = report.data_until.astimezone(UTC).replace(tzinfo=None)
        book.set_properties({"title": report.name, "created": made})
        pen = _Pen(book)
        currencies = dict.fromkeys(row["currency"] for row in (*report.rows, *report.totals))
        for currency in sorted(currencies, key=lambda code: (code is None, code or "")):
            rows = [row for row in report.rows if row["currency"] == currency]
            totals = [row for row in report.totals if row["currency"] == currency]
            whole = ALL_TOGETHER if report.rates else NO_CURRENCY
            title = whole if currency is None else str(currency).upper()
            _sheet(pen, title, report.shown, rows, totals if totals != rows else [])
        if not currencies:
            _sheet(pen, EMPTY, report.shown, [], [])
        if report.rates:
            _rates(pen, report)
        _notes(pen, report)
    return buffer.getvalue()


class _Pen:
    """Writes cells of a workbook; a text is never anything but text."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self._styles: dict[tuple[str, bool], Any] = {}
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})

    def style(self, numbers: str = "", *, bold: bool = False) -> Any:
        """A format of numbers, each once in the book."""
        key = (numbers, bold)
        if key not in self._styles:
            told = {"bold": bold} | ({"num_format": numbers} if numbers else {})
            self._styles[key] = self.book.add_format(told)
        return self._styles[key]

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
    sheet = pen.book.add_worksheet(RATES)
    pen.heading(sheet, 0, report.rates[0])
    for line, row in enumerate(report.rates, 1):
        for place, value in enumerate(row.values()):
            pen.put(sheet, line, place, value, pen.style())
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(report.rates[0]) - 1, 18)


def _notes(pen: _Pen, report: Report) -> None:
    sheet = pen.book.add_worksheet(NOTES)
    lines = [
        ("report", report.name),
        ("data until", rfc3339(report.data_until) or ""),
        ("version", f"dunning {version('dunning')}"),
    ]
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
