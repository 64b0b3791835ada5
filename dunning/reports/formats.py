"""A report as JSON, CSV and XLSX; long lists of rows as a stream.

Spreadsheets run text that begins like a formula, and names of policies, codes and invoices come
from outside: in CSV such text gets an apostrophe, in XLSX it is written as text.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dunning.clock import rfc3339
from dunning.core.money import SHOWN_WHOLE, Money, exponent
from dunning.reports.report import Column, Kind, Report, Row

# Also the wide forms, which some spreadsheets read as the plain ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# A spreadsheet keeps 15 digits of a number.
_EXACT = 10**15


# --- JSON ----------------------------------------------------------------------------------


def to_json(report: Report) -> str:
    """For programs: amounts in minor units beside their currency, times in RFC 3339 UTC."""
    return json.dumps(_told(report), default=_plain, ensure_ascii=False, indent=2) + "\n"


def to_json_list(several: Iterable[Report]) -> str:
    """Several reports as one array."""
    told = [_told(report) for report in several]
    return json.dumps(told, default=_plain, ensure_ascii=False, indent=2) + "\n"


def _told(report: Report) -> dict[str, Any]:
    return {
        "report": report.name,
        "filters": report.filters,
        "definitions": report.definitions,
        "data_until": report.data_until,
        "rows": report.rows,
        "totals": report.totals,
    }


def json_array(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A long list as one JSON array, a row a line, without holding it in memory."""
    before = "[\n"
    for row in rows:
        yield before + json.dumps(row, default=_plain, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def _plain(value: object) -> str | None:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")


# --- CSV -----------------------------------------------------------------------------------


def to_csv(report: Report) -> str:
    """The rows, without totals; beside each amount in minor units the same in major ones."""
    names = [name for column in report.shown for name in _names(column)]
    lines = (
        {name: value for column in report.shown for name, value in _values(column, row)}
        for row in report.rows
    )
    return "".join(csv_lines(names, lines))


def csv_lines(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A heading and a line for each row, one at a time."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)

    def line(cells: Iterable[object]) -> str:
        writer.writerow(cells)
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    yield line(names)
    for row in rows:
        yield line(safe(row.get(name)) for name in names)


def safe(value: object) -> object:
    """A value that no spreadsheet takes for a formula; numbers stay what they are."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


def _names(column: Column) -> tuple[str, ...]:
    return (column.name, f"{column.name}_major") if column.may_be_money else (column.name,)


def _values(column: Column, row: Row) -> Iterator[tuple[str, object]]:
    value = row.get(column.name)
    yield column.name, value
    if column.is_money_in(row) and value is not None:
        yield f"{column.name}_major", Money(value, row["currency"]).decimal()


# --- XLSX ----------------------------------------------------------------------------------


def to_xlsx(report: Report) -> bytes:
    """A workbook: the rows, the totals for each currency, and what every figure means."""
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
        _sheet(pen, "Rows", report.shown, report.rows)
        shown = [c for c in report.shown if c.name == "currency" or c.kind is not Kind.TEXT]
        _sheet(pen, "Totals", shown, report.totals)
        _about(pen, report)
    return buffer.getvalue()


class _Pen:
    """Writes cells of a workbook; a text is never anything but text."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.bold = book.add_format({"bold": True})
        self.wrapped = book.add_format({"text_wrap": True, "valign": "top"})
        self._moneys: dict[str, Any] = {}

    def heading(self, sheet: Any, row: int, texts: Iterable[str]) -> None:
        for place, text in enumerate(texts):
            sheet.write_string(row, place, text, self.bold)

    def put(self, sheet: Any, row: int, place: int, value: object) -> None:
        if isinstance(value, float) or (isinstance(value, int) and abs(value) < _EXACT):
            sheet.write_number(row, place, value)
        elif isinstance(value, datetime):
            sheet.write_string(row, place, rfc3339(value))
        elif value is not None:
            sheet.write_string(row, place, str(value))

    def money(self, sheet: Any, row: int, place: int, amount: Money) -> None:
        if abs(amount.minor) >= _EXACT:
            sheet.write_string(row, place, str(amount.decimal()))
            return
        whole = amount.currency in SHOWN_WHOLE
        digits = 0 if whole else exponent(amount.currency)
        style = "#,##0" + ("." + "0" * digits if digits else "")
        if style not in self._moneys:
            self._moneys[style] = self.book.add_format({"num_format": style})
        sheet.write_number(row, place, float(amount.decimal()), self._moneys[style])


def _sheet(pen: _Pen, title: str, shown: Sequence[Column], rows: Sequence[Row]) -> None:
    sheet = pen.book.add_worksheet(title)
    headings = [
        text
        for column in shown
        for text in (
            (f"{column.heading} (minor units)", column.heading)
            if column.may_be_money
            else (column.heading,)
        )
    ]
    pen.heading(sheet, 0, headings)
    for line, row in enumerate(rows, 1):
        place = 0
        for column in shown:
            value = row.get(column.name)
            pen.put(sheet, line, place, value)
            if column.is_money_in(row) and value is not None:
                pen.money(sheet, line, place + 1, Money(value, row["currency"]))
            place += len(_names(column))
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(headings) - 1, 18)


def _about(pen: _Pen, report: Report) -> None:
    sheet = pen.book.add_worksheet("Definitions")
    lines = [("report", report.name), ("data until", rfc3339(report.data_until) or "")]
    lines += [
        (f"filter: {name}", ", ".join(value) if isinstance(value, list) else str(value))
        for name, value in report.filters.items()
        if value not in (None, [])
    ]
    lines += list(report.definitions.items())
    for row, (name, text) in enumerate(lines):
        sheet.write_string(row, 0, name, pen.bold)
        sheet.write_string(row, 1, text, pen.wrapped)
    sheet.set_column(0, 0, 20)
    sheet.set_column(1, 1, 100)
