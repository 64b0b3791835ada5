"""The report of a month by mail to finance: once, complete, and whatever goes wrong in between."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import openpyxl
import pytest

from dunning import closing, crashpoints
from dunning.config import Books
from dunning.core.events import InvoiceStatus
from dunning.crashpoints import Killed
from dunning.outbox import BACKOFF
from dunning.staff.finance import coming, due
from dunning.staff.sending import LEASE
from dunning.staff.written import AGAIN
from dunning.store import FinanceReportRow, reading
from tests.builders import CUSTOMER, bill, paid
from tests.staff.conftest import Opens
from tests.staff.office import ANN, BEN, Office, html_of, text_of
from tests.staff.test_sending import dies
from tests.stages.kit import Together

BERLIN = """
books: {timezone: Europe/Berlin, fiscal_year_start: april, report_day: 3}
staff: {digest: none}
"""
# Of January, by the clock of Berlin.
DUE = datetime(2026, 2, 3, 7, 0, tzinfo=UTC)


def of_finance(opens: Opens, books: str = BERLIN, **options: object) -> Office:
    return opens(books, emails="", finance=ANN, chat=False, **options)


def at(here: Office, moment: datetime) -> None:
    here.tick(seconds=(moment - here.clock.now()).total_seconds())


def test_when_it_is_due() -> None:
    books = Books("Europe/Berlin", 1, 3)
    assert due(books, DUE).month.period == "2026-01"
    before = due(books, datetime(2026, 2, 3, 6, 59, tzinfo=UTC))
    assert (before.month.period, before.at) == ("2025-12", datetime(2026, 1, 3, 7, tzinfo=UTC))
    assert (coming(books, DUE).month.period, coming(books, DUE).at.day) == ("2026-02", 3)
    # The month is that of the books: already March where the day begins first.
    east, west = Books("Pacific/Kiritimati", 1, 1), Books("Pacific/Honolulu", 1, 1)
    late = datetime(2026, 2, 28, 18, 0, tzinfo=UTC)
    assert (due(east, late).month.period, due(east, late).at) == ("2026-02", late)
    assert due(west, late).month.period == "2026-01"
    assert coming(west, late).at == datetime(2026, 3, 1, 18, tzinfo=UTC)


def test_finance_gets_each_month_once_with_everything(opens: Opens) -> None:
    here = of_finance(opens)
    here.fails(1, 4900)
    here.fails(2, 700, "jpy")
    at(here, DUE.replace(hour=6, minute=59))
    assert here.mails() == []
    at(here, DUE)
    for _ in range(3):
        here.tick(days=1)
    [mail] = here.mails()
    assert mail["subject"] == "Payment recovery in January 2026"
    said, page = text_of(mail), html_of(mail)
    assert "The books of January 2026 are not closed yet" in said
    assert "FY2025/26 so far" in said
    assert [line.split() for line in said.splitlines() if "Failed" in line][:2] == [
        ["Failed", "700", "0", "700"],
        ["Failed", "49.00", "0.00", "49.00"],
    ]
    assert "49.00" in page
    assert "<script" not in page
    files = {part.get_filename(): part.get_content() for part in mail.iter_attachments()}
    assert set(files) == {"payment-recovery-2026-01.html", "payment-recovery-2026-01.xlsx"}
    assert "Payment recovery in January 2026" in str(files["payment-recovery-2026-01.html"])
    workbook = files["payment-recovery-2026-01.xlsx"]
    assert isinstance(workbook, bytes)
    book = openpyxl.load_workbook(io.BytesIO(workbook))
    heads, january, *_ = book["USD summary"].iter_rows(values_only=True)
    line = dict(zip(heads, january, strict=True))
    assert (line["Period"], line["Failed (minor units)"], line["Failed"]) == ("2026-01", 4900, 49)
    assert line["At risk at the end"] == 49
    assert book["JPY summary"]["D2"].value == 700
    # The next month comes in its turn, and what was sent is kept for good.
    at(here, datetime(2026, 3, 3, 7, 0, tzinfo=UTC))
    here.tick(days=100)
    assert here.subjects()[1:] == [
        "Payment recovery in February 2026",
        "Payment recovery in May 2026",
    ]
    with reading(here.program.engine) as session:
        kept = session.get(FinanceReportRow, "monthly-2026-01")
    assert kept is not None
    assert kept.workbook == workbook


def test_a_closed_month_names_its_statement(opens: Opens) -> None:
    here = of_finance(opens)
    here.fails(1, 4900)
    here.clock.passes(days=(DUE - here.clock.now()).days)
    wish = closing.Wish(period="2026-01", by="ann", zone="Europe/Berlin", why="a story")
    statement = closing.close(here.program.engine, wish, here.clock.now())
    # What comes in afterwards changes nothing of what there was at the end of the month.
    now = here.clock.now()
    whole = replace(bill(4900, status=InvoiceStatus.PAID, paid_at=now), invoice="in_1")
    here.tell(paid(now, replace(whole, customer=f"{CUSTOMER}_1")))
    at(here, DUE)
    [mail] = here.mails()
    assert f"sealed on {here.clock.now():%Y-%m}" in text_of(mail)
    assert f"by ann, digest of the statement {statement.digest}." in text_of(mail)
    told = statement.content["currencies"]["usd"]["closing"]["at_risk"]
    assert told == 4900
    line = next(one for one in text_of(mail).splitlines() if "At risk at the end" in one)
    assert line.split()[5] == "49.00"


def test_after_a_long_stop_the_last_month_comes_once_and_names_the_others(opens: Opens) -> None:
    here = of_finance(opens)
    at(here, datetime(2026, 12, 24, tzinfo=UTC))
    here.tick(hours=1)
    [mail] = here.mails()
    assert mail["subject"] == "Payment recovery in November 2026"
    said = " ".join(text_of(mail).split())
    assert "the report of January 2026 to October 2026 was due" in said
    assert "--send-now --month 2026-10" in said
    assert "Nothing failed, came in or was lost." in said


def test_many_processes_send_it_once(opens: Opens) -> None:
    here = of_finance(opens)
    here.fails(1)
    here.clock.passes(seconds=(DUE - here.clock.now()).total_seconds())
    others = [here.colleague() for _ in range(4)]
    for _ in range(2):
        now = here.clock.passes(minutes=1)
        assert not Together(*(partial(one.tick, now) for one in others)).errors
    assert len(here.mails()) == 1


@pytest.mark.parametrize("point", ["staff.reported", "staff.sent"])
def test_whoever_dies_over_it_it_comes(opens: Opens, point: str) -> None:
    here = of_finance(opens)
    here.clock.passes(seconds=(DUE - here.clock.now()).total_seconds())
    with crashpoints.listening(dies(point)), pytest.raises(Killed):
        here.tick()
    survivor = here.colleague()
    survivor.tick(here.clock.passes(minutes=1))
    survivor.tick(here.clock.passes(seconds=LEASE.total_seconds()))
    mails = here.mails()
    again = {"staff.reported": [False], "staff.sent": [False, True]}
    assert len({mail["message-id"] for mail in mails}) == 1
    assert [AGAIN in text_of(mail) for mail in mails] == again[point]
    assert [AGAIN in html_of(mail) for mail in mails] == again[point]


def test_a_mail_server_that_is_away_for_weeks_delays_it(opens: Opens) -> None:
    here = of_finance(opens)
    here.postbox.rcpt = "450 later"
    at(here, DUE)
    for wait in (*BACKOFF, *[BACKOFF[-1]] * 6):
        here.tick(seconds=wait.total_seconds() + 1)
    [row] = here.rows()
    assert row.state == "pending"
    assert row.tries == len(BACKOFF) + 7
    here.postbox.rcpt = "250 ok"
    here.tick(days=1, seconds=1)
    assert here.subjects() == ["Payment recovery in January 2026"]


def test_staff_and_finance_are_told_apart(opens: Opens) -> None:
    here = opens("staff: {high_value: 5 USD, digest: none}\n", emails=BEN, finance=ANN, chat=False)
    here.fails(1, 1000)
    here.told()
    at(here, datetime(2026, 2, 5, 8, 0, tzinfo=UTC))
    assert here.subjects(ANN) == ["Payment recovery in January 2026"]
    assert len(here.subjects(BEN)) == 1
    # A process that does not know where finance is leaves its mail to one that does.
    here.postbox.rcpt = "450 later"
    at(here, datetime(2026, 3, 5, 8, 0, tzinfo=UTC))
    here.postbox.rcpt = "250 ok"
    other = here.colleague()
    other.finance.ways = ()
    other.tick(here.clock.passes(days=1))
    assert len(here.subjects(ANN)) == 1
    here.tick()
    assert len(here.subjects(ANN)) == 2
