"""`ledger close`, `statements`, `statement`, and how `verify` goes on."""

from __future__ import annotations

import hashlib

import pytest

from tests.builders import days, hours, paid
from tests.cli.conftest import Books, Shell

FEBRUARY = hours(24 * 40)


@pytest.fixture
def recovered(shell: Shell, books: Books) -> Books:
    """One case, recovered on the second day."""
    books.failing()
    shell.at(days(2))
    books.take(paid(days(1)))
    return books


def test_a_month_is_closed_and_shown(shell: Shell, recovered: Books) -> None:
    assert "2026-01 is not over" in shell("ledger", "close", "2026-01", code=1).complaint
    assert "No month is closed yet" in shell("ledger", "statements").out
    shell.at(FEBRUARY)
    out = shell("ledger", "close", "2026-01", "--by", "ann").out
    assert "2026-01 is closed: 2 entries, digest " in out
    (told,) = shell("ledger", "statements", "--format", "json").json()
    assert told["digest"] in out
    assert (told["closed_by"], told["entries"]) == ("ann", 2)
    assert told["digest"] in shell("ledger", "statements").out
    page = shell("ledger", "statement", "2026-01").out
    assert told["entries_digest"] in page
    assert "49.00 USD" in page
    lines = shell("ledger", "statement", "2026-01", "--lines").out
    assert hashlib.sha256(lines.encode()).hexdigest() == told["entries_digest"]
    assert shell("ledger", "statement", "2026-01", "--format", "json").json() == told
    assert "is not closed" in shell("ledger", "statement", "2026-02", code=1).complaint


def test_earlier_months_are_closed_along_when_asked_for(shell: Shell, recovered: Books) -> None:
    shell.at(hours(24 * 80))
    assert "2026-01 is still open" in shell("ledger", "close", "2026-02", code=1).complaint
    told = shell("ledger", "close", "2026-02", "--with-earlier", "--format", "json").json()
    assert [one["period"] for one in told] == ["2026-01", "2026-02"]
    assert told[1]["previous"] == told[0]["digest"]


def test_verify_goes_on_from_the_last_proof_unless_it_is_full(
    shell: Shell, recovered: Books
) -> None:
    first = shell("ledger", "verify", "--format", "json").json()
    again = shell("ledger", "verify", "--format", "json").json()
    full = shell("ledger", "verify", "--full", "--format", "json").json()
    kinds = [(one["kind"], one["rows"]) for one in (first, again, full)]
    assert kinds == [("full", 2), ("onward", 0), ("full", 2)]
    assert "UTC 0 entries of 0 cases" in shell("ledger", "verify").out


def test_the_books_are_compared_with_what_the_webhooks_make(shell: Shell, recovered: Books) -> None:
    """These cases came by no webhook, which is said of each."""
    said = shell("ledger", "rebuild", code=2).complaint
    assert "never overwritten" in said
    told = shell("ledger", "rebuild", "--check", "--format", "json", code=1).json()
    (difference,) = told["differences"]
    assert difference["difference"] == "no webhook that is kept makes this case"
    assert (told["same"], told["webhooks"], told["entries"]) == (False, 0, 2)
    out = shell("ledger", "rebuild", "--check", code=1).out
    assert "The ledgers differ: 1 difference in 0 webhooks, 2 entries of 1 case." in out
    assert difference["case"] in out
