"""The page of a report: every figure as text, nothing loaded, nothing wider than the screen."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dunning.reports import Report, cells, overview, recovered, tiles, to_html, total_cells
from dunning.reports.charts import Chart, Series, bars, columns, nice
from dunning.reports.page_style import paper
from dunning.reports.scope import Scope
from tests import browser
from tests.reports.shop import NOW, Shop, on

VOID = ("meta", "rect", "line", "br")


class Page(HTMLParser):
    """Refuses a page whose elements do not close; keeps its texts and where it points."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.targets: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def filled(shop: Shop) -> Shop:
    for number in range(3):
        unpaid = shop.failed(on(1 + number, 5), 4900 + number, ("usd", "eur", "jpy")[number])
        unpaid.charged(on(1 + number, 8), "retry:1")
        unpaid.paid(on(1 + number, 8))
    back = shop.failed(on(2, 3), 70_000)
    back.paid(on(2, 4))
    back.refunded(on(4, 2))
    shop.failed(on(3, 3), 900).given_up(on(4, 1))
    shop.failed(on(6, 28), 1500)
    shop.failed(on(2, 7)).ended(on(3, 1), "payment_failed")
    return shop


def reports(shop: Shop) -> list[Report]:
    with shop.reading() as session:
        return overview(session, NOW)


def test_every_figure_is_on_the_page_as_text(filled: Shop) -> None:
    with filled.reading() as session:
        report = recovered(session, NOW, Scope(by=("month", "mechanism")))
    page = Page(to_html([report]))
    for line in (*cells(report), *total_cells(report)):
        assert set(filter(None, line)) <= set(page.texts)
    said = " ".join(page.texts)
    for text in report.definitions.values():
        assert " ".join(text.split()) in " ".join(said.split())


def test_an_overview_is_one_file_that_loads_nothing(filled: Shop) -> None:
    made = reports(filled)
    text = to_html(made, "Payment recovery", tiles(made))
    page = Page(text)
    assert page.targets == []
    assert not re.search(r"<script|url\(|@import|https?://", text)
    assert "default-src 'none'" in text
    assert {"At risk now", "Recovered", "Churn", "Recovery rates"} <= set(page.texts)


def test_a_month_without_money_is_seen_to_be_empty(filled: Shop) -> None:
    with filled.reading() as session:
        report = recovered(session, NOW, Scope(since=on(1, 1).date(), until=on(5, 31).date()))
    assert "2026-05" in Page(to_html([report])).texts


@pytest.mark.parametrize("nasty", ["<script>alert(1)</script>", '"><img src=x>', "a\nb\x1b[2J"])
def test_what_came_from_outside_is_text(filled: Shop, nasty: str) -> None:
    with filled.reading() as session:
        report = recovered(session, NOW, Scope(by=("policy", "month")))
    rows = [row | {"policy": nasty} for row in report.rows]
    text = to_html([replace(report, rows=rows)])
    Page(text)
    assert nasty not in text
    assert "\x1b" not in text


def test_the_foot_of_each_sheet_says_what_it_is() -> None:
    assert 'content:"Payment recovery in May"' in paper("Payment recovery in May")
    assert 'content:"\\22 \\7d \\3c b"' in paper('"}<b')


def test_nothing_to_show_is_said(shop: Shop) -> None:
    made = reports(shop)
    page = Page(to_html(made, "Payment recovery", tiles(made)))
    assert any(text.startswith("Nothing is at risk") for text in page.texts)


def chart(*values: float) -> Chart:
    labels = [f"2026-{n:02}" for n in range(1, len(values) + 1)]
    return Chart("Money", labels, [Series("all", values)], str, str)


def heights(svg: str) -> list[tuple[float, float]]:
    found = re.findall(r'<rect x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', svg)
    return [(float(y), float(height)) for y, height in found]


def test_columns_are_as_high_as_their_values_and_hang_down_below_nothing() -> None:
    (top, tall), (_, half), (zero, deep) = heights(columns(chart(200, 100, -100), 900, 300, "x"))
    assert tall == pytest.approx(2 * half, abs=0.2)
    assert deep == pytest.approx(half, abs=0.2)
    assert zero == pytest.approx(top + tall, abs=0.2)


def test_bars_and_columns_of_nothing_are_drawn() -> None:
    for drawn in (columns(chart(), 900, 300, "x"), columns(chart(0, 0), 900, 300, "x")):
        Page(drawn)
    Page(bars(chart(0), 346, "x"))


@pytest.mark.parametrize("span", [0.4, 1, 7, 99, 12_345, 1e12])
def test_steps_are_round_and_few(span: float) -> None:
    step = nice(span)
    assert 2 <= span / step <= 4.0001
    assert f"{step:e}"[0:3] in ("1.0", "2.0", "2.5", "5.0")


SCREENS = [(1100, False), (768, True), (375, False), (320, True)]


def test_it_fits_every_screen(filled: Shop, tmp_path: Path) -> None:
    """In a real browser, where the machine has one: no page is wider than its screen."""
    made = reports(filled)
    path = tmp_path / "overview.html"
    path.write_text(to_html(made, "Payment recovery", tiles(made)), encoding="utf-8")
    if browser.find() is None:
        assert path.stat().st_size < 1_000_000
        return
    with browser.browser(tmp_path / "browser") as opened:
        for width, dark in SCREENS:
            opened.show(path, width, dark=dark)
            told: dict[str, Any] = opened.ask(MEASURE)
            assert told["wide"] <= width, told
            assert told["small"] == [], told
            assert told["charts"] > 0
        opened.show(path, 800, media="print")
        assert opened.paper().startswith(b"%PDF")


# Letters of the charts that are shown, smaller than can be read.
MEASURE = """({
  wide: document.documentElement.scrollWidth,
  charts: [...document.querySelectorAll('svg.chart')].filter(s => s.getClientRects().length).length,
  small: [...document.querySelectorAll('svg.chart')].filter(s => s.getClientRects().length)
    .map(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width * 12).filter(px => px < 9)
})"""
