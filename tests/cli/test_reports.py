"""`report …` and `ledger …`."""

from __future__ import annotations

import csv
import io

import openpyxl
import pytest
from sqlalchemy import text

from dunning.store import transaction
from tests.builders import AMOUNT, days, paid
from tests.cli.conftest import Books, Shell


@pytest.fixture
def recovered(shell: Shell, books: Books) -> Books:
    """One case, recovered on the second day."""
    books.failing()
    shell.at(days(2))
    books.take(paid(days(1)))
    return books


def test_recovered_in_every_form(shell: Shell, recovered: Books) -> None:
    told = shell(
        "report", "recovered", "--by", "month", "--by", "mechanism", "--format", "json"
    ).json()
    assert list(told) == ["report", "filters", "definitions", "data_until", "rows", "totals"]
    (row,) = told["rows"]
    assert (row["month"], row["currency"], row["recovered"], row["cases"]) == (
        "2026-01",
        "usd",
        AMOUNT,
        1,
    )
    (line,) = csv.DictReader(io.StringIO(shell("report", "recovered", "--format", "csv").out))
    assert line["recovered"] == str(AMOUNT)
    out = shell("report", "recovered").out
    assert "49.00 USD" in out
    assert "Data until 2026-01-07 12:00 UTC." in out
    said = shell("report", "recovered", "--format", "xlsx", "--output", "r.xlsx")
    assert "r.xlsx: recovered, 1 rows" in said.err
    book = openpyxl.load_workbook(shell.folder / "r.xlsx")
    assert book.sheetnames == ["USD", "Notes"]


def test_at_risk_and_lost(shell: Shell, books: Books) -> None:
    books.failing()
    told = shell("report", "at-risk", "--by", "age", "--format", "json").json()
    assert [(row["age"], row["at_risk"]) for row in told["rows"]] == [("0-3d", AMOUNT)]
    late = shell("report", "at-risk", "--by", "age", "--as-of", "2026-03-01", "--format", "json")
    assert late.json()["rows"][0]["age"] == "30d+"
    assert "49.00 USD" in shell("report", "at-risk").out
    assert shell("report", "lost", "--format", "json").json()["rows"] == []
    assert shell("report", "lost").out.startswith("Nothing lost")


def test_filters_reach_the_report(shell: Shell, recovered: Books) -> None:
    def rows(*options: str) -> int:
        told = shell("report", "recovered", "--format", "json", *options).json()
        return len(told["rows"])

    assert rows("--since", "2026-01-06", "--until", "2026-01-06", "--currency", "USD") == 1
    assert rows("--since", "2026-01-07") == 0
    assert rows("--timezone", "Asia/Tokyo", "--policy", "standard", "--source", "stripe") == 1
    assert rows("--currency", "eur") == 0


def test_rates_and_churn(shell: Shell, recovered: Books) -> None:
    told = shell("report", "rates", "--definition", "all", "--format", "json").json()
    assert {row["definition"] for row in told["rows"]} >= {"ours", "stripe", "retain"}
    assert told["filters"]["zone"] == "UTC"
    out = shell("report", "rates", "--definition", "ours_so_far").out
    assert "49.00 USD" in out
    assert "100.0 %" in out
    said = shell("report", "rates", "--definition", "strype", code=2)
    assert "Did you mean 'stripe'?" in said.complaint
    assert shell("report", "churn").out.startswith("No subscription has ended")


def test_how_long_when_and_what_it_was_worth(shell: Shell, recovered: Books) -> None:
    (row,) = shell("report", "timing", "--format", "json").json()["rows"]
    assert (row["month"], row["paid"], row["median"]) == ("2026-01", 1, 1.0)
    assert "1.0 d" in shell("report", "timing").out
    spread = shell("report", "timing", "--by", "took", "--format", "csv").out.splitlines()
    assert spread[0].startswith("currency,took,cases,share,amount,amount_major")
    assert shell("report", "hours").out.startswith("No charge")
    told = shell(
        "report", "hours", "--by", "weekday", "--clock", "books", "--format", "json"
    ).json()
    assert (told["filters"]["clock"], told["filters"]["made_by"]) == ("books", "ours")
    out = shell("report", "grace", "--by", "outcome", "--cut-off", "1").out
    assert "paid_in_grace" in out
    assert "49.00 USD" in out
    assert shell("report", "value").out.startswith("No value is reckoned")
    assert "use 0 to 365" in shell("report", "grace", "--cut-off", "-1", code=2).complaint


def test_amounts_in_one_currency_on_request(shell: Shell, recovered: Books) -> None:
    rates = shell.folder / "rates.csv"
    rates.write_text("date,currency,rate\n2026-01-05,USD,0.9\n", encoding="utf-8")
    asked = ("--in", "eur", "--rates", "rates.csv")
    told = shell("report", "recovered", "--format", "json", *asked).json()
    assert [(row["recovered"], row["recovered_eur"]) for row in told["rows"]] == [
        (AMOUNT, AMOUNT * 9 // 10)
    ]
    assert [one["rate_day"] for one in told["rates"]] == ["2026-01-05"]
    out = shell("report", "recovered", *asked).out
    assert "44.10 EUR" in out
    assert "2026-01-06 (2026-01-05)  1 USD = 0.9 EUR" in out
    (line,) = csv.DictReader(
        io.StringIO(shell("report", "recovered", "--format", "csv", *asked).out)
    )
    assert (line["recovered_eur"], line["recovered_eur_major"]) == ("4410", "44.10")
    assert shell("report", "at-risk", *asked).out.startswith("Nothing is at risk")
    said = shell("report", "lost", "--in", "eur", code=2)
    assert "add --rates FILE" in said.complaint
    said = shell("report", "lost", "--in", "eur", "--rates", "none.csv", code=2)
    assert "cannot read none.csv" in said.complaint
    rates.write_text("date,currency,rate\n2026-01-05,USD,\n", encoding="utf-8")
    assert "rates.csv line 2" in shell("report", "recovered", *asked, code=2).complaint


def test_an_overview_on_one_page(shell: Shell, recovered: Books) -> None:
    said = shell("report", "overview", "--format", "html", "--output", "o.html")
    assert "o.html: overview, 6 reports" in said.err
    page = (shell.folder / "o.html").read_text(encoding="utf-8")
    assert "49.00 USD" in page
    assert page.startswith("<!doctype html>")
    assert "49.00 USD" in shell("report", "overview").out
    names = [one["report"] for one in shell("report", "overview", "--format", "json").json()]
    assert names == ["at-risk", "recovered", "lost", "rates", "rates", "churn"]
    assert "of one report" in shell("report", "overview", "--format", "csv", code=2).complaint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--by", "montth"], "Did you mean 'month'?"),
        (["--by", "month", "--by", "day"], "not both"),
        (["--by", "cause"], "it is of what was lost"),
        (["--timezone", "Mars"], "Mars"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "before it begins"),
    ],
)
def test_a_question_that_makes_no_sense(
    shell: Shell, books: Books, options: list[str], words: str
) -> None:
    assert words in shell("report", "recovered", *options, code=2).complaint


def test_by_the_books_is_by_the_zone_of_the_closed_months(shell: Shell, recovered: Books) -> None:
    by_books = ("report", "recovered", "--date", "books", "--format", "json")
    assert shell(*by_books).json()["filters"]["zone"] == "UTC"
    shell.at(days(60))
    close = ("ledger", "close", "2026-01", "--by", "ann", "--zone", "Asia/Tokyo", "--even-so", "so")
    shell(*close)
    told = shell(*by_books, "--by", "month", "--by", "last_email").json()
    assert told["filters"]["zone"] == "Asia/Tokyo"
    assert [(row["month"], row["last_email"]) for row in told["rows"]] == [("2026-01", "none")]
    elsewhere = shell(*by_books, "--timezone", "Europe/Berlin", "--by", "decline").json()
    assert elsewhere["filters"]["zone"] == "Europe/Berlin"
    assert elsewhere["filters"]["by"] == ["decline_code"]


def test_a_report_that_cannot_be_written(shell: Shell, books: Books) -> None:
    said = shell("report", "lost", "--format", "csv", "--output", "no/folder.csv", code=1)
    assert said.complaint == "cannot write no/folder.csv: No such file or directory"


# --- the ledger ------------------------------------------------------------------------------


def test_a_ledger_that_holds(shell: Shell, recovered: Books) -> None:
    told = shell("ledger", "verify", "--format", "json").json()
    assert (told["holds"], told["rows"], told["cases"], told["faults"]) == (True, 2, 1, [])
    assert told["currencies"]["usd"]["opened"] == AMOUNT
    assert told["currencies"]["usd"]["recovered"] == AMOUNT
    out = shell("ledger", "verify", "--full").out
    assert "The ledger holds: 2 entries of 1 case" in out
    assert "49.00 USD" in out


def test_a_ledger_that_does_not_is_exit_1_and_names_the_case(shell: Shell, books: Books) -> None:
    case = books.failing()
    with transaction(books.engine) as session:
        session.execute(text("UPDATE cases SET amount_at_risk = 1"))
    told = shell("ledger", "verify", "--format", "json", code=1).json()
    assert told["holds"] is False
    assert case in {fault["case"] for fault in told["faults"]}
    out = shell("ledger", "verify", code=1).out
    assert "The ledger does not hold" in out
    assert case in out


def test_export_in_both_forms(shell: Shell, recovered: Books) -> None:
    lines = list(csv.DictReader(io.StringIO(shell("ledger", "export").out)))
    assert [(line["debit"], line["credit"], line["amount"]) for line in lines] == [
        ("owed", "at_risk", "4900"),
        ("at_risk", "recovered", "4900"),
    ]
    told = shell("ledger", "export", "--format", "json").json()
    assert [each["key"] for each in told] == [line["key"] for line in lines]
    assert told[0]["occurred_at"] == "2026-01-05T12:00:00Z"
    shell("ledger", "export", "--output", "e.csv")
    assert (shell.folder / "e.csv").read_text().splitlines()[0].startswith("id,key,base,case")
    said = shell("ledger", "export", "--output", "no/e.csv", code=1)
    assert "cannot write no/e.csv" in said.complaint


def test_uplift_without_a_hold_out(shell: Shell, recovered: Books) -> None:
    assert shell("report", "uplift").out.startswith("No case of a policy with a hold-out")
    told = shell("report", "uplift", "--by", "month", "--format", "json").json()
    assert (told["report"], told["rows"], told["totals"]) == ("uplift", [], [])
    assert "not enough" not in told["definitions"]["rate"]
    assert "30 cases of 20 customers" in told["definitions"]["verdict"]
    said = shell("report", "uplift", "--by", "mechanism", code=2)
    assert "policy, month" in said.complaint
