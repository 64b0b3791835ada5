"""The report of a month as a mail: its figures in the mail itself, all behind them attached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from dunning.core.money import Money
from dunning.core.ports import Attachment
from dunning.reports import to_html, to_xlsx
from dunning.reports.monthly import DEFINITIONS, SHOWN, Month, Monthly, said
from dunning.reports.report import time_text
from dunning.store import FinanceReportRow

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_MOST_BARS = 6


@dataclass(frozen=True, slots=True)
class Line:
    """One main figure: of the month, of the one before, of the year so far."""

    name: str
    values: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Bar:
    """What one mechanism brought in, and how long its bar is, of a hundred."""

    name: str
    amount: str
    length: int


@dataclass(frozen=True, slots=True)
class Table:
    """The figures of one currency."""

    currency: str
    lines: Sequence[Line]
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What a mail says, before it is text or a page."""

    title: str
    books: str
    heads: tuple[str, str, str]
    tables: Sequence[Table]
    notes: Sequence[str]
    means: Sequence[tuple[str, str]]
    foot: str


def made(told: Monthly, name: str, notes: Sequence[str] = (), *, by: str = "") -> FinanceReportRow:
    """Everything that is sent and kept of it; `by` asked for it, where it was not due."""
    mail = _mail(told, notes, by)
    return FinanceReportRow(
        name=name,
        period=told.month.period,
        made_at=told.summary.data_until,
        made_by=by,
        subject=told.title,
        text=_text(mail),
        html=_html(mail),
        page=to_html(told.reports, told.title, told.tiles(), told.books),
        workbook=to_xlsx(*told.reports, title=told.title, note=told.books),
        digest=told.digest,
    )


def attached(row: FinanceReportRow) -> tuple[Attachment, ...]:
    """The files that go with it."""
    name = f"payment-recovery-{row.period}"
    return (
        Attachment(name=f"{name}.html", type="text/html", content=row.page.encode()),
        Attachment(name=f"{name}.xlsx", type=XLSX, content=row.workbook),
    )


def not_sent(missed: Sequence[Month]) -> list[str]:
    """A word on the months that nobody got a report of."""
    if not missed:
        return []
    names = missed[0].name if len(missed) == 1 else f"{missed[0].name} to {missed[-1].name}"
    why = f"Nothing ran when the report of {names} was due, so it was not sent;"
    return [f"{why} `dunning report schedule --send-now --month {missed[-1].period}` sends it."]


def _mail(told: Monthly, notes: Sequence[str], by: str) -> Mail:
    until = time_text(told.summary.data_until)
    why = f"{by} asked for it." if by else "`books` in the policy file says when it comes."
    return Mail(
        title=told.title,
        books=told.books,
        heads=told.heads,
        tables=[_table(told, currency) for currency in told.currencies],
        notes=notes,
        means=[(one.heading, DEFINITIONS[one.name]) for one in SHOWN if one.name in _EXPLAINED],
        foot=f"Data until {until}. Days are those of {told.month.zone}. "
        f"Sent by dunning {version('dunning')}; {why}",
    )


_EXPLAINED = ("failed", "recovered", "claimed", "lost", "at_risk", "rate", "recurring_lost")


def _table(told: Monthly, currency: str) -> Table:
    rows = [told.row(currency, place) for place in range(3)]
    lines = []
    for column in SHOWN[2:]:
        first, second, third = (said(column, row) for row in rows)
        values = (_bare(first, currency), _bare(second, currency), _bare(third, currency))
        lines.append(Line(column.heading, values))
    came = {
        row["mechanism"]: row["recovered"]
        for row in told.of_month[0].rows
        if row["currency"] == currency and row["recovered"] > 0
    }
    most = max(came.values(), default=1)
    ranked = sorted(came.items(), key=lambda one: -one[1])[:_MOST_BARS]
    bars = [
        Bar(
            str(name).replace("_", " "),
            _bare(str(Money(amount, currency)), currency),
            max(1, round(100 * amount / most)),
        )
        for name, amount in ranked
    ]
    return Table(currency.upper(), lines, bars)


def _bare(text: str, currency: str) -> str:
    """The amount alone: its currency stands above it."""
    return text.removesuffix(f" {currency.upper()}")


# --- text and page -------------------------------------------------------------------------


def _text(mail: Mail) -> str:
    blocks = [mail.title, mail.books, *mail.notes]
    for table in mail.tables:
        rows = [(table.currency, *mail.heads), *((one.name, *one.values) for one in table.lines)]
        blocks.append(_columns(rows))
        if table.bars:
            bars = [(bar.name, bar.amount) for bar in table.bars]
            blocks.append(f"What brought it in, {mail.heads[0]}:\n{_columns(bars)}")
    if not mail.tables:
        blocks.append("Nothing failed, came in or was lost.")
    blocks.append("Attached: the report with charts, to look at or print, and a workbook.")
    blocks += [f"{name}: {text}" for name, text in mail.means]
    return "\n\n".join([*blocks, mail.foot]) + "\n"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  "
        + row[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(wide)}" for cell, wide in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def _html(mail: Mail) -> str:
    page = _template().render(mail=mail)
    inlined = CSSInliner(load_remote_stylesheets=False, keep_style_tags=True).inline(page)
    return re.sub(r"\n\s*\n+", "\n", inlined)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("monthly.html.jinja")
