"""A report as JSON and CSV; long lists of rows as a stream.

Spreadsheets run text that begins like a formula, and names of policies, codes and invoices come
from outside: such text gets an apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dunning.clock import rfc3339
from dunning.reports.report import Column, Report, Row

# Also the wide forms, which some spreadsheets read as the plain ones.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


# --- JSON ----------------------------------------------------------------------------------


def to_json(report: Report) -> str:
    """For programs: amounts in minor units beside their currency, times in RFC 3339 UTC."""
    return json.dumps(_told(report), default=_plain, ensure_ascii=False, indent=2) + "\n"


def to_json_list(several: Iterable[Report]) -> str:
    """Several reports as one array."""
    told = [_told(report) for report in several]
    return json.dumps(told, default=_plain, ensure_ascii=False, indent=2) + "\n"


def _told(report: Report) -> dict[str, Any]:
    used: dict[str, Any] = {"rates": report.rates} if report.rates else {}
    return {
        "report": report.name,
        "filters": report.filters,
        "definitions": report.definitions,
        "data_until": report.data_until,
        "rows": report.rows,
        "totals": report.totals,
        **used,
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
    """The same as one text."""
    return "".join(csv_of(report))


def csv_of(report: Report) -> Iterator[str]:
    """The rows, without totals; beside each amount in minor units the same in major ones.

    A line at a time: the text of a long report is never whole in memory.
    """
    names = [name for column in report.shown for name in _names(column)]
    lines = (
        {name: value for column in report.shown for name, value in _values(column, row)}
        for row in report.rows
    )
    return csv_lines(names, lines)


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
        yield f"{column.name}_major", column.money(row).decimal()
