"""The tie-out by an export: whatever is changed in it is found, to the unit, with its cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dunning import closing
from dunning.closing import Wish
from dunning.core.events import DisputeStatus
from dunning.core.ports import Envelope
from dunning.inbox import Received, keep
from dunning.reports import Report, to_csv, to_html, to_json, to_xlsx
from dunning.reports.both_books import Question
from dunning.reports.exports import Exported
from dunning.store import InboxRow, transaction
from dunning.tieout import read_export
from tests.reports.shop import NOW, Shop, on

JANUARY = {"since": on(1, 1).date(), "until": on(1, 31).date()}


class Export:
    """A provider's export of January, to be written with changes."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self.path = folder / "january.csv"
        self.lines: list[dict[str, Any]] = []

    def line(self, kind: str, invoice: str, amount: int, currency: str, at: Any) -> None:
        name = f"{kind}_{len(self.lines)}"
        told = {"kind": kind, "id": name, "invoice": invoice, "amount": amount}
        self.lines.append({**told, "currency": currency, "at": at.isoformat()})

    def compared(
        self, lines: list[dict[str, Any]] | None = None, **question: Any
    ) -> tuple[Report, bool]:
        rows = self.lines if lines is None else lines
        text = [",".join(self.lines[0]), *(",".join(map(str, row.values())) for row in rows)]
        self.path.write_text("\n".join(text) + "\n", encoding="utf-8")
        asked = Question(**JANUARY | question)
        return read_export(self.shop.engine, "stripe", Exported(self.path), asked, NOW)

    def changed(self, place: int, **change: Any) -> list[dict[str, Any]]:
        return [{**row, **(change if n == place else {})} for n, row in enumerate(self.lines)]


@pytest.fixture
def export(shop: Shop, tmp_path: Path) -> Export:
    """Five invoices in three currencies, and the export that says the same."""
    made = Export(shop, tmp_path)
    ann = shop.failed(on(1, 2))
    ann.paid(on(1, 3))
    made.line("paid", ann.invoice, 4900, "usd", on(1, 3))
    ben = shop.failed(on(1, 5), 9900, "eur")
    ben.paid(on(1, 10))
    ben.refunded(on(1, 20), 1501)
    made.line("paid", ben.invoice, 9900, "eur", on(1, 10))
    made.line("refunded", ben.invoice, 1501, "eur", on(1, 20))
    cem = shop.failed(on(1, 6), 10500, "kwd")
    cem.paid(on(1, 8))
    cem.disputed(on(1, 15), DisputeStatus.LOST, days=5)
    made.line("paid", cem.invoice, 10500, "kwd", on(1, 8))
    made.line("disputed", cem.invoice, 10500, "kwd", on(1, 15))
    dee = shop.failed(on(1, 29))
    dee.paid(on(1, 31, 22, 30))
    made.line("paid", dee.invoice, 4900, "usd", on(1, 31, 22, 30))
    made.line("paid", "in_strange", 777, "usd", on(1, 31, 23))
    shop.failed(on(1, 7))  # in_5: not paid
    return made


def causes(report: Report) -> list[tuple[str, str, int]]:
    return [(row["invoice"], row["cause"], row["difference"]) for row in report.rows]


def test_what_agrees_has_no_row_and_whatever_is_changed_has_one(export: Export) -> None:
    report, is_open = export.compared()
    assert (report.rows, is_open) == ([], False)
    assert "agree to the minor unit on 4 invoices: paid 99.00 EUR, refunded" in report.note
    usd = next(row for row in report.totals if row["currency"] == "usd")
    assert (usd["ledger"], usd["provider"], usd["not_ours"]) == (9800, 9800, 777)
    ours = [place for place, row in enumerate(export.lines) if row["invoice"] != "in_strange"]
    for place in ours:
        row = export.lines[place]
        for more in (1, -1):
            report, is_open = export.compared(export.changed(place, amount=row["amount"] + more))
            assert is_open
            assert causes(report) == [(row["invoice"], "other_amount", more)]
        left = [one for one in export.lines if one is not row]
        report, is_open = export.compared(left)
        assert is_open
        assert causes(report) == [
            (row["invoice"], "beyond_the_export" if place == 0 else "not_there", -row["amount"])
        ]
    twice, _ = export.compared([*export.lines, export.lines[1]])
    assert causes(twice) == [("in_2", "webhook_missing", 9900)]


def test_the_edge_of_a_day_is_that_of_the_books(export: Export) -> None:
    """22:30 in London is the next month in Helsinki: for both, so nothing differs."""
    helsinki, _ = export.compared(zone="Europe/Helsinki")
    assert helsinki.rows == []
    assert helsinki.note.endswith("paid 49.00 USD")
    moved = export.changed(5, at=on(1, 31, 21, 59).isoformat())
    report, is_open = export.compared(moved, zone="Europe/Helsinki")
    assert (causes(report), is_open) == ([("in_4", "other_period", 4900)], False)
    by_month, _ = export.compared(moved, zone="Europe/Helsinki", by=("month",), until=None)
    usd = [row for row in by_month.rows if row["currency"] == "usd"]
    assert [(row["month"], row["difference"], row["explained"]) for row in usd] == [
        ("2026-01", 4900, 4900),
        ("2026-02", -4900, -4900),
    ]


def test_money_of_which_no_webhook_was_taken_in(export: Export) -> None:
    export.line("paid", "in_5", 4900, "usd", on(1, 30))
    report, is_open = export.compared()
    assert (causes(report), is_open) == ([("in_5", "webhook_missing", 4900)], True)
    envelope = Envelope(id="evt_9", type="invoice.paid", created=on(1, 30), livemode=False)
    with transaction(export.shop.engine) as session:
        body = b'{"data":{"object":{"id":"in_5"}}}'
        (row_id,) = keep(session, [Received("stripe", envelope, body)], on(1, 30))
        session.get_one(InboxRow, row_id).state = "parked"
    report, is_open = export.compared()
    assert (causes(report), is_open) == ([("in_5", "webhook_parked", 4900)], True)
    assert report.rows[0]["next"] == f"dunning inbox replay {row_id}"
    assert "Parked and not counted: 1" in report.definitions["data_until"]


def test_what_came_too_late_for_a_closed_month(export: Export) -> None:
    closing.close(export.shop.engine, Wish(period="2026-01", by="ann"), on(2, 2))
    late = export.shop.failed(on(1, 30))
    late.paid(on(1, 31))
    export.line("paid", late.invoice, 4900, "usd", on(1, 31))
    assert export.compared()[0].rows == []
    for until, sign in ((on(1, 31), 1), (on(2, 28), 0)):
        report, is_open = export.compared(date="books", until=until.date())
        assert not is_open
        assert causes(report) == [(late.invoice, "closed_month", 4900)] * sign
    february, _ = export.compared(date="books", since=on(2, 1).date(), until=None)
    assert causes(february) == [(late.invoice, "closed_month", -4900)]


def test_what_an_export_cannot_have(export: Export) -> None:
    fay = export.shop.failed(on(1, 9), 5000, "jpy")
    fay.paid(on(1, 12), outside=True)
    gen = export.shop.failed(on(1, 9))
    gen.credited(on(1, 10), 900)
    gen.paid(on(1, 12))
    report, is_open = export.compared()
    told = {cause for _, cause, _ in causes(report)}
    assert told == {"out_of_band", "not_there"}
    assert is_open
    by_cause, _ = export.compared(by=("cause",), currency="jpy")
    (row,) = by_cause.rows
    assert (row["cause"], row["ledger"], row["explained"], row["open"]) == (
        "out_of_band",
        5000,
        -5000,
        0,
    )
    assert "out_of_band (explained)" in by_cause.definitions["cause"]
    assert to_xlsx(report).startswith(b"PK")
    for written in (to_json(report), to_csv(report), to_html([report])):
        assert "out_of_band" in written
