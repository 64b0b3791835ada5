"""JSON, CSV, XLSX and text for people: what programs and spreadsheets make of a report."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import openpyxl
import pytest
from sqlalchemy import event

from dunning.core.money import Money
from dunning.ledger import export
from dunning.reports import (
    Column,
    Kind,
    Report,
    at_risk,
    cells,
    columns,
    csv_lines,
    csv_of,
    json_array,
    overview,
    rates,
    recovered,
    to_csv,
    to_json,
    to_xlsx,
    total_cells,
)
from dunning.reports.formats import safe
from dunning.reports.scope import Scope
from tests.reports.shop import NOW, Shop, on

NASTY = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "＝1"]
SHOWN = (
    Column("policy", "Policy"),
    Column("currency", "Currency"),
    Column("recovered", "Recovered", Kind.MONEY),
    Column("cases", "Cases", Kind.COUNT),
    Column("oldest", "Oldest", Kind.TIME),
)


def report(*rows: dict[str, Any], totals: list[dict[str, Any]] | None = None) -> Report:
    return Report(
        name="recovered",
        filters={"by": ["policy"], "since": None},
        definitions={"recovered": "=what came in"},
        data_until=NOW,
        rows=list(rows),
        totals=totals or [],
        shown=SHOWN,
    )


def row(policy: str | None = "standard", amount: int = 4900, currency: str = "usd") -> Any:
    return {
        "policy": policy,
        "currency": currency,
        "recovered": amount,
        "cases": 1200,
        "oldest": on(1, 5),
    }


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def read_xlsx(body: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(body))


def test_json_has_these_keys_in_this_order(shop: Shop) -> None:
    shop.failed(on(1, 5)).paid(on(1, 8))
    with shop.reading() as session:
        told = json.loads(to_json(recovered(session, NOW)))
    assert list(told) == ["report", "filters", "definitions", "data_until", "rows", "totals"]
    assert told["report"] == "recovered"
    assert told["data_until"] == "2026-06-30T12:00:00Z"
    assert told["filters"]["by"] == ["month"]
    assert told["rows"][0]["recovered"] == 4900
    assert told["totals"] == [{k: v for k, v in told["rows"][0].items() if k != "month"}]


def test_json_tells_times_in_utc_and_refuses_what_it_does_not_know() -> None:
    assert json.loads(to_json(report(row())))["rows"][0]["oldest"] == "2026-01-05T12:00:00Z"
    with pytest.raises(TypeError, match="object has no place"):
        to_json(report({"policy": object()}))


@pytest.mark.parametrize("text", NASTY)
def test_no_spreadsheet_runs_what_came_from_outside(text: str) -> None:
    [told] = read_csv(to_csv(report(row(text))))
    assert told["policy"] == "'" + text
    cell = read_xlsx(to_xlsx(report(row(text))))["USD"]["A2"]
    assert cell.data_type == "s"
    assert text.strip() in str(cell.value).replace("_x000D_", "\r")


def test_a_negative_amount_stays_a_number() -> None:
    [told] = read_csv(to_csv(report(row(amount=-150))))
    assert (told["recovered"], told["recovered_major"]) == ("-150", "-1.50")
    sheet = read_xlsx(to_xlsx(report(row(amount=-150))))["USD"]
    assert (sheet["C2"].value, sheet["D2"].value) == (-150, -1.5)
    assert safe(-1) == -1


@pytest.mark.parametrize(
    ("currency", "minor", "major", "style"),
    [
        ("usd", 4990, "49.90", "#,##0.00"),
        ("jpy", 500, "500", "#,##0"),
        ("kwd", 1234, "1.234", "#,##0.000"),
    ],
)
def test_minor_units_stand_beside_major_ones(
    currency: str, minor: int, major: str, style: str
) -> None:
    told = report(row(amount=minor, currency=currency))
    [line] = read_csv(to_csv(told))
    assert (line["recovered"], line["recovered_major"]) == (str(minor), major)
    sheet = read_xlsx(to_xlsx(told))[currency.upper()]
    assert sheet["C1"].value == "Recovered (minor units)"
    assert sheet["C2"].value == minor
    assert sheet["D2"].value == pytest.approx(float(major))
    assert sheet["D2"].number_format == style


def test_an_amount_too_long_for_a_spreadsheet_is_text() -> None:
    sheet = read_xlsx(to_xlsx(report(row(amount=9_007_199_254_740_993))))["USD"]
    assert (sheet["C2"].value, sheet["D2"].value) == ("9007199254740993", "90071992547409.93")


def test_a_workbook_says_what_its_figures_mean() -> None:
    total = {"currency": "usd", "recovered": 4900, "cases": 1}
    book = read_xlsx(to_xlsx(report(row(None), totals=[total])))
    assert book.sheetnames == ["USD", "Notes"]
    assert book["USD"]["A2"].value is None
    assert [cell.value for cell in book["USD"][4]] == ["total", "usd", 4900, 49, 1, None]
    assert [cell.value for cell in book["USD"][3]] == [None] * 6
    about = {line[0]: line[1] for line in book["Notes"].values}
    assert about["recovered"] == "=what came in"
    assert book["Notes"]["B5"].data_type == "s"
    assert about["filter: by"] == "policy"
    assert "filter: since" not in about
    assert about["data until"] == "2026-06-30T12:00:00Z"


def test_a_sheet_for_each_currency_says_what_json_says(shop: Shop) -> None:
    with shop.trial() as session:
        for number, currency in enumerate(("usd", "eur", "jpy", "kwd")):
            unpaid = shop.failed(on(1, 5), 4900 + number, currency)
            unpaid.charged(on(1, 8), "retry:1", 900)
            unpaid.paid(on(2, 8))
            shop.failed(on(3, 5), 700 + number, currency)
        made = [
            recovered(session, NOW, Scope(by=("month", "mechanism"))),
            rates(session, NOW, definitions=["all"]),
            at_risk(session, NOW, Scope(by=("age",))),
        ]
    for told in made:
        data = json.loads(to_json(told))
        book = read_xlsx(to_xlsx(told))
        assert book.sheetnames == ["EUR", "JPY", "KWD", "USD", "Notes"]
        for name in book.sheetnames[:-1]:
            heads, *lines = book[name].iter_rows(values_only=True)
            rows = [row for row in data["rows"] if row["currency"] == name.lower()]
            told_rows = [line for line in lines if any(line)][: len(rows)]
            assert len(told_rows) == len(rows)
            for row, line in zip(rows, told_rows, strict=True):
                assert_same(told, row, dict(zip(heads, line, strict=True)))


def assert_same(told: Report, row: dict[str, Any], line: dict[str, Any]) -> None:
    """A line of a sheet, read by another program, says what the row says, each in its type."""
    for column in told.shown:
        value = row[column.name]
        if column.kind is Kind.TIME:
            assert isinstance(line[f"{column.heading} (UTC)"], datetime)
        elif column.may_be_money:
            assert line[f"{column.heading} (minor units)"] == value
            if column.is_money_in(row):
                major = Money(value, row["currency"]).decimal()
                assert line[column.heading] == pytest.approx(float(major))
        else:
            assert line[column.heading] == value, column.name


def test_lines_are_as_rfc_4180_has_them() -> None:
    text = to_csv(report(row('a "b", c\nd')))
    assert text.count("\r\n") == 2
    assert '"a ""b"", c\nd"' in text


def test_the_same_report_gives_the_same_workbook() -> None:
    assert to_xlsx(report(row())) == to_xlsx(report(row()))


def test_an_empty_report_has_headings_only() -> None:
    assert to_csv(report()) == "policy,currency,recovered,recovered_major,cases,oldest\r\n"
    assert read_xlsx(to_xlsx(report()))["Rows"].max_row == 1
    assert json.loads(to_json(report()))["totals"] == []


def test_people_read_money_with_its_currency() -> None:
    total = {"currency": "usd", "recovered": 1234500, "cases": 3}
    told = report(row(), row(None, 500, "jpy"), totals=[total])
    assert [column.heading for column in columns(told)][:3] == ["Policy", "Currency", "Recovered"]
    assert [column.is_money for column in columns(told)] == [False, False, True, False, False]
    assert [column.is_number for column in columns(told)] == [False, False, True, True, False]
    assert cells(told) == [
        ["standard", "USD", "49.00 USD", "1,200", "2026-01-05 12:00 UTC"],
        ["—", "JPY", "500 JPY", "1,200", "2026-01-05 12:00 UTC"],
    ]
    assert total_cells(told) == [["total", "USD", "12,345.00 USD", "3", ""]]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_long_list_streams_as_one_array(count: int) -> None:
    rows = [{"number": number, "at": on(1, 5)} for number in range(count)]
    text = "".join(json_array(rows))
    assert json.loads(text) == [{"number": n, "at": "2026-01-05T12:00:00Z"} for n in range(count)]


def test_a_long_report_is_never_whole_as_text() -> None:
    rows = (row(amount=number) for number in range(10**9))
    lines = csv_of(replace(report(), rows=rows))  # type: ignore[arg-type]
    assert next(lines).startswith("policy,")
    assert next(lines).startswith("standard,usd,0,")
    assert next(rows)["recovered"] == 1


def test_an_export_reads_a_page_at_a_time(shop: Shop) -> None:
    with shop.trial() as session:
        for _ in range(5):
            shop.failed(on(1, 5)).paid(on(1, 8))
        session.flush()
        asked: list[str] = []
        event.listen(
            session.connection(), "before_cursor_execute", lambda *told: asked.append(told[2])
        )
        entries = export(session, batch=4)
        first = [next(entries) for _ in range(4)]
        assert len(asked) == 1
        assert len(first + list(entries)) == 10
        assert len(asked) == 3


def test_several_reports_are_sheets_side_by_side(shop: Shop) -> None:
    with shop.trial() as session:
        for currency in ("usd", "eur"):
            shop.failed(on(1, 5), 4900, currency).paid(on(1, 8))
        made = overview(session, NOW)
    book = read_xlsx(to_xlsx(*made, title="Payment recovery", note="=not closed"))
    wanted = ["recovered", "rates by month", "rates"]
    names = [f"{currency} {name}" for currency in ("EUR", "USD") for name in wanted]
    assert book.sheetnames == [*names, "Notes"]
    about = [line[:2] for line in book["Notes"].values]
    assert ("note", "=not closed") in about
    assert [text for name, text in about if name == "report"] == SHEETS
    sheet = book["EUR recovered"]
    heads, line, *_ = sheet.iter_rows(values_only=True)
    told = dict(zip(heads, line, strict=True))
    (row,) = [one for one in made[1].rows if one["currency"] == "eur"]
    assert told["Recovered (minor units)"] == row["recovered"] == 4900


SHEETS = ["at-risk", "recovered", "lost", "rates by month", "rates", "churn"]


def test_a_long_list_streams_as_lines() -> None:
    lines = csv_lines(["key", "at"], ({"key": f"={n}", "at": on(1, 5)} for n in range(10**9)))
    assert next(lines) == "key,at\r\n"
    assert next(lines) == "'=0,2026-01-05T12:00:00Z\r\n"
