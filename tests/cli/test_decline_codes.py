"""`report declines`: the table in force, whose word it is, and codes that mean nothing yet."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

from sqlmodel import col, select

from dunning.cases import CaseBook
from dunning.core.decline_table import Advice, Override, table
from dunning.core.events import Decline
from dunning.store import AttemptRow, transaction
from tests.builders import attempt, attempted, bill, days, failed, hours
from tests.cli.conftest import Books, Shell
from tests.policies import STANDARD

POLICY = """
version: 1
declines:
  do_not_honor: {advice: wait, wait: 2d, why: our acquirer says so, source: a mail}
  odd_code: {advice: wait, wait: 4d, why: seen in March, category: soft_funds}
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {at: 1d, do: retry}
"""


def told(shell: Shell) -> Any:
    return shell("report", "declines", "--format", "json").json()


def row(shell: Shell, code: str, kind: str) -> Any:
    return next(one for one in told(shell)["rows"] if (one["code"], one["kind"]) == (code, kind))


def says(books: Books, at: float, **words: str) -> None:
    books.take(attempted(attempt(at=hours(at), decline=Decline(**words), network=words["network"])))


def test_before_anything_has_failed_it_says_so(shell: Shell, books: Books) -> None:
    out = shell("report", "declines").out
    assert "none: no charge has failed with a code yet" in out
    assert f"{len(table())} further rows" in out.replace(",", "")
    said = told(shell)
    assert said["unmapped"] == []
    assert len(said["rows"]) == len(table())
    assert len(shell("report", "declines", "--all").out.splitlines()) > len(table())


def test_what_was_seen_is_counted_by_its_row(shell: Shell, books: Books) -> None:
    case = books.failing("do_not_honor")
    says(books, 1.5, code="do_not_honor", network="visa", network_code="05")
    known = row(shell, "do_not_honor", "card_decline_code")
    assert (known["seen"], known["origin"], known["example"]) == (2, "built in", case)
    assert known["first_seen"] == "2026-01-05T12:00:00Z"
    assert known["last_seen"] == "2026-01-05T13:30:00Z"
    assert row(shell, "05", "visa")["seen"] == 1
    assert "every code that was seen has a row" in shell("report", "declines").out


def test_codes_without_a_row_are_counted_with_networks_and_an_example(
    shell: Shell, books: Books
) -> None:
    case = books.failing("odd_code")
    says(books, 1.5, code="odd_code", network="mastercard")
    says(books, 1.6, code="do_not_honor", network="visa", network_code="Q9")
    odd, raw = told(shell)["unmapped"]
    assert (odd["code"], odd["kind"], odd["seen"]) == ("odd_code", "decline_code", 2)
    assert odd["networks"] == ["mastercard", "visa"]
    assert (odd["first_seen"], odd["last_seen"]) == ("2026-01-05T12:00:00Z", "2026-01-05T13:30:00Z")
    assert odd["example"] == case
    assert (raw["code"], raw["kind"], raw["seen"]) == ("Q9", "visa code", 1)
    out = shell("report", "declines").out
    assert "odd_code" in out
    assert case in out
    cells = list(csv.DictReader(io.StringIO(shell("report", "declines", "--format", "csv").out)))
    assert cells[0]["code"] == "odd_code"
    assert cells[0]["networks"] == "mastercard visa"
    assert len(cells) == 2 + len(table())


def test_the_policy_files_word_is_in_force_and_named(shell: Shell, books: Books) -> None:
    books.failing("odd_code")
    path = shell.folder / "policies.yaml"
    path.write_text(POLICY)
    shell.env(DUNNING_POLICY_FILE=str(path))
    assert told(shell)["unmapped"] == []
    ours = row(shell, "do_not_honor", "card_decline_code")
    assert (ours["origin"], ours["advice"], ours["wait_hours"]) == ("policy file", "wait", 48)
    assert (ours["source"], ours["reason"]) == ("a mail", "our acquirer says so")
    new = row(shell, "odd_code", "card_decline_code")
    assert (new["seen"], new["wait_hours"], new["category"]) == (1, 96, "soft_funds")
    out = shell("report", "declines").out
    assert "policy file" in out


def test_an_unknown_code_is_never_an_error(shell: Shell, books: Books) -> None:
    case = books.failing("\x1b[31mstrange \N{SNOWMAN} code" + "x" * 300)
    assert books.row(case)["advice"] == "retry"
    shell.at(days(1))
    out = shell("report", "declines").out
    assert "\x1b" not in out


def test_a_case_keeps_the_table_it_began_under(books: Books) -> None:
    """The file changes; what an open case makes of a code does not."""
    softer = Override(code="lost_card", advice=Advice.RETRY, why="ours errs", source="a mail")
    before = replace(STANDARD, declines=(softer,))
    books.book = CaseBook(choose=lambda _subject: before)
    old = books.failing("lost_card")
    assert books.row(old)["advice"] == "retry"
    books.book = CaseBook(choose=lambda _subject: STANDARD)
    books.take(attempted(attempt(at=hours(1.5), code="lost_card")))
    assert books.row(old)["advice"] == "retry"
    lost = attempted(attempt(at=hours(1), code="lost_card", name="ch_new"))
    new = books.take(
        failed(hours(1), bill(invoice="in_new")),
        replace(lost, invoice="in_new"),
    )
    assert books.row(new)["advice"] == "stop"
    with transaction(books.engine) as session:
        kept = session.exec(select(AttemptRow).order_by(col(AttemptRow.at))).all()
    assert {row.case_id: row.advice for row in kept} == {old: "retry", new: "stop"}
