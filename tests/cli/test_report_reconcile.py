"""`report reconcile`: what it prints, and the code it leaves with."""

from __future__ import annotations

import pytest

from tests.builders import AMOUNT, INVOICE, days, failed, paid
from tests.cli.conftest import Books, Shell

HEADING = "kind,id,invoice,amount,currency,at\n"
MONTH = ("--from", "2026-01-01", "--to", "2026-01-31")


@pytest.fixture
def recovered(shell: Shell, books: Books) -> Books:
    """One case, recovered on the second day."""
    books.failing()
    shell.at(days(2))
    books.take(paid(days(1)))
    return books


def wrote(shell: Shell, amount: int) -> str:
    line = f"paid,ch_1,{INVOICE},{amount},usd,{days(1).isoformat()}\n"
    (shell.folder / "jan.csv").write_text(HEADING + line)
    return "jan.csv"


def test_what_agrees_and_what_does_not(shell: Shell, recovered: Books) -> None:
    file = wrote(shell, AMOUNT)
    out = shell("report", "reconcile", "--csv", file, *MONTH).out
    assert out.startswith(
        "The ledger and the provider agree to the minor unit on 1 invoice: paid 49.00 USD."
    )
    shell("report", "reconcile", "--csv", file, "--from", "2026-02-01")
    file = wrote(shell, AMOUNT + 1)
    out = shell("report", "reconcile", "--csv", file, *MONTH, code=1).out
    assert INVOICE in out
    assert "49.01 USD" in out
    assert "0.01 USD" in out
    assert "other_amount" in out
    told = shell("report", "reconcile", "--csv", file, "--format", "json", code=1).json()
    assert list(told) == ["report", "filters", "definitions", "data_until", "rows", "totals"]
    assert told["filters"]["csv"] == "jan.csv"
    (row,) = told["rows"]
    assert (row["difference"], row["verdict"]) == (1, "unexplained")
    sums = shell("report", "reconcile", "--csv", file, "--by", "kind", "--format", "csv", code=1)
    assert sums.out.splitlines()[1].startswith("paid,usd,4900,49.00,4901,49.01,1,0.01")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--csv", "gone.csv"], 2, "cannot read gone.csv"),
        (["--csv", "jan.csv", "--by", "montth"], 2, "Did you mean 'month'?"),
        (["--csv", "jan.csv", "--date", "recorded"], 2, "occurred, books"),
        (["--csv", "jan.csv", "--source", "paddle"], 1, "no case is of source 'paddle'"),
        ([], 1, "there is no API key"),
    ],
)
def test_what_cannot_be_compared(
    shell: Shell, recovered: Books, options: list[str], code: int, words: str
) -> None:
    wrote(shell, AMOUNT)
    assert words in shell("report", "reconcile", *options, code=code).complaint


def test_whose_export_it_is(shell: Shell, recovered: Books) -> None:
    file = wrote(shell, AMOUNT)
    from dunning.store import transaction

    with transaction(recovered.engine) as session:
        recovered.book.apply(session, "other", "stripe", [failed()], days(1))
    said = shell("report", "reconcile", "--csv", file, code=2).complaint
    assert "other, stripe" in said
    assert "agree" in shell("report", "reconcile", "--csv", file, "--source", "stripe").out
