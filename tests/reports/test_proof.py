"""`verify_all`: whatever is changed behind the program's back is named with its case."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from dunning import ledger
from dunning.reports import snapshot, verify_all
from dunning.store import CaseRow, EntryRow, transaction
from tests.reports.shop import NOW, Shop, Unpaid, on


def proof_of(shop: Shop, progress: Callable[[int], None] | None = None) -> ledger.Proof:
    with shop.reading() as session:
        return verify_all(session, progress)


@contextmanager
def unguarded(shop: Shop) -> Iterator[Session]:
    """What somebody with every right on the database could do."""
    with transaction(shop.engine) as session:
        if shop.engine.dialect.name == "sqlite":
            session.execute(text("DROP TRIGGER entries_no_update"))
            session.execute(text("DROP TRIGGER entries_no_delete"))
        else:
            session.execute(text("ALTER TABLE entries DISABLE TRIGGER ALL"))
        yield session
        if shop.engine.dialect.name == "sqlite":
            for change in ("update", "delete"):
                session.execute(TRIGGERS[change])
        else:
            session.execute(text("ALTER TABLE entries ENABLE TRIGGER ALL"))


TRIGGERS = {
    "update": text(
        "CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
    "delete": text(
        "CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
}


def two_cases(shop: Shop) -> tuple[Unpaid, Unpaid]:
    """One recovered, in part refunded; one still open."""
    paid, still_open = shop.failed(on(1, 5), 1000), shop.failed(on(2, 1), 700, "eur")
    paid.charged(on(1, 8), "retry:1")
    paid.paid(on(1, 8))
    paid.refunded(on(2, 3), 400)
    return paid, still_open


def named(proof: ledger.Proof) -> set[str]:
    return {case for case, _ in proof.faults} - {ledger.LEDGER}


NOTHING = dict.fromkeys(
    ("opened", "at_risk", "recovered", "lost", "withdrawn", "refunded", "disputed"), 0
)


def test_a_ledger_that_holds(shop: Shop) -> None:
    two_cases(shop)
    proof = proof_of(shop)
    assert proof.holds
    assert proof.summary() == {
        "holds": True,
        "rows": 4,
        "cases": 2,
        "currencies": {
            "eur": NOTHING | {"opened": 700, "at_risk": 700},
            "usd": NOTHING | {"opened": 1000, "recovered": 600, "refunded": 400},
        },
        "recurring_rows": 0,
        "recurring": {},
        "faults": [],
        "more_faults": 0,
    }
    json.dumps(proof.summary())


def test_a_ledger_that_was_corrected_holds(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.given_up(on(2, 2))
    unpaid.paid(on(1, 30))  # heard of only now
    proof = proof_of(shop)
    assert proof.faults == []
    assert proof.rows == 4  # opened, lost, lost taken back, paid
    assert proof.currencies["usd"] == NOTHING | {"opened": 4900, "recovered": 4900}


def test_an_empty_ledger_holds(shop: Shop) -> None:
    proof = proof_of(shop)
    assert (proof.holds, proof.rows, proof.cases, proof.currencies) == (True, 0, 0, {})


def entry(unpaid: Unpaid, **changes: Any) -> dict[str, Any]:
    given = {
        "key": f"{unpaid.case}/extra:at_risk",
        "base": f"{unpaid.case}/extra:at_risk",
        "case_id": unpaid.case,
        "place": 2,
        "source": unpaid.source,
        "debit": "at_risk",
        "credit": "recovered",
        "amount": 50,
        "currency": unpaid.currency,
        "cause": "paid",
        "how": "natural",
        "occurred_at": on(2, 2),
        "recorded_at": NOW,
        "reverses": None,
    }
    return given | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the facts and the ledger differ"),
        ({"amount": 0}, "not positive"),
        ({"amount": -5}, "not positive"),
        ({"currency": "usd"}, "in usd, the case is in eur"),
        ({"source": "second"}, "from second, the case is from stripe"),
        ({"debit": "owed", "credit": "lost"}, "owed to lost is no transfer"),
        ({"debit": "pocket"}, "pocket to recovered is no transfer"),
        ({"key": "case_other/x", "base": "case_other/x"}, "another case's"),
        ({"reverses": "case_other/opened"}, "takes back nothing that stood"),
    ],
)
def test_a_row_that_should_not_be_there_is_named(
    shop: Shop, changes: dict[str, Any], words: str
) -> None:
    _, still_open = two_cases(shop)
    with transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(**entry(still_open, **changes)))
    proof = proof_of(shop)
    assert not proof.holds
    assert named(proof) == {still_open.case}
    assert any(words in what for _, what in proof.faults)


def counter(unpaid: Unpaid, **changes: Any) -> dict[str, Any]:
    """Takes back the opening of a case, as a true counter-entry would."""
    opened = f"{unpaid.case}/opened:owed"
    given = entry(unpaid, key=f"{opened}#2", base=opened, reverses=opened, how="")
    given |= {"debit": "at_risk", "credit": "owed", "amount": unpaid.amount, "cause": "failed"}
    return given | {"occurred_at": on(2, 1)} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 699},
        {"occurred_at": on(3, 1)},
        {"cause": "paid"},
        {"how": "natural"},
        {"debit": "recovered"},
        {"base": "else"},
    ],
)
def test_a_counter_entry_is_the_mirror_of_what_it_takes_back(
    shop: Shop, changes: dict[str, Any]
) -> None:
    _, still_open = two_cases(shop)
    with transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(**counter(still_open, **changes)))
    words = {what.partition(": ")[2] for case, what in proof_of(shop).faults if "case" in case}
    assert "takes back nothing that stood" in words


def test_nothing_is_taken_back_twice(shop: Shop) -> None:
    _, still_open = two_cases(shop)
    opened = f"{still_open.case}/opened:owed"
    with transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(**counter(still_open)))
        session.execute(insert(EntryRow).values(**counter(still_open, key=f"{opened}#3", place=3)))
        again = counter(still_open, key=f"{opened}#4", reverses=f"{opened}#2", place=4)
        session.execute(insert(EntryRow).values(**again))
    wrong = [what for _, what in proof_of(shop).faults if "takes back nothing" in what]
    assert len(wrong) == 2


def test_a_counter_entry_is_not_taken_back_itself(shop: Shop) -> None:
    _, still_open = two_cases(shop)
    opened = f"{still_open.case}/opened:owed"
    back: dict[str, Any] = {"key": f"{opened}#3", "reverses": f"{opened}#2", "place": 3}
    back |= {"debit": "owed", "credit": "at_risk"}
    with transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(**counter(still_open)))
        session.execute(insert(EntryRow).values(**counter(still_open, **back)))
    wrong = [what for _, what in proof_of(shop).faults if "takes back nothing" in what]
    assert wrong == [f"{opened}#3: takes back nothing that stood"]


def test_entries_without_a_case_are_named(shop: Shop) -> None:
    two_cases(shop)
    lonely = Unpaid(shop, "in_nobody", 100, "usd", "stripe")
    with transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(**entry(lonely, place=1)))
    proof = proof_of(shop)
    assert (lonely.case, "entries without a case: 1") in proof.faults
    assert proof.rows == 5


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("state", "recovered"), ("access", "suspended"), ("amount_at_risk", 699)),
        *(("amount_due", 1), ("currency", "usd"), ("source", "second"), ("invoice", "in_x")),
        *(("opened_at", on(2, 2)), ("closed_at", on(2, 2)), ("closed_reason", "paid")),
    ],
)
def test_a_changed_column_of_a_case_is_named(shop: Shop, column: str, value: object) -> None:
    _, still_open = two_cases(shop)
    with transaction(shop.engine) as session:
        session.execute(
            update(CaseRow).where(col(CaseRow.id) == still_open.case).values({column: value})
        )
    proof = proof_of(shop)
    assert named(proof) == {still_open.case}
    assert any(what.startswith(f"{column} is ") for _, what in proof.faults)


def test_money_at_risk_that_open_cases_do_not_say_is_told_per_currency(shop: Shop) -> None:
    _, still_open = two_cases(shop)
    with transaction(shop.engine) as session:
        session.execute(
            update(CaseRow).where(col(CaseRow.id) == still_open.case).values(amount_at_risk=1)
        )
    assert (ledger.LEDGER, "eur: the ledger holds 700 at risk, open cases say 1") in proof_of(
        shop
    ).faults


def test_facts_that_cannot_be_read_are_named_and_not_quoted(shop: Shop) -> None:
    paid, still_open = two_cases(shop)
    with transaction(shop.engine) as session:
        session.execute(
            update(CaseRow)
            .where(col(CaseRow.id) == still_open.case)
            .values(facts='{"id": "ann@example.com"')
        )
    proof = proof_of(shop)
    assert named(proof) == {still_open.case}
    assert "ann@" not in str(proof.faults)
    assert proof.cases == 2
    assert paid.case not in named(proof)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("amount", 999), ("how", "natural"), ("occurred_at", on(3, 1)), ("credit", "lost")),
        *(("cause", "voided"), ("base", "x"), ("key", "x"), ("currency", "eur")),
    ],
)
def test_a_changed_entry_is_named(shop: Shop, column: str, value: object) -> None:
    paid, _ = two_cases(shop)
    with unguarded(shop) as session:
        session.execute(
            update(EntryRow)
            .where(col(EntryRow.case_id) == paid.case, col(EntryRow.cause) == "paid")
            .values({column: value})
        )
    proof = proof_of(shop)
    assert named(proof) == {paid.case}


def test_a_deleted_entry_breaks_its_case_and_its_month(shop: Shop) -> None:
    paid, _ = two_cases(shop)
    with unguarded(shop) as session:
        session.execute(
            text("DELETE FROM entries WHERE case_id = :case AND cause = 'failed'"),
            {"case": paid.case},
        )
    faults = proof_of(shop).faults
    assert [what for case, what in faults if case == paid.case] == [
        "the entries are not numbered from 1 on without a gap",
        f"the facts and the ledger differ: {paid.case}/opened:owed",
        "2 entries are there, 3 were appended",
    ]
    of_all = [what for case, what in faults if case == ledger.LEDGER]
    assert of_all == [
        "usd 2026-01, owed to at_risk: 0 in the entries, 1000 by the facts",
        (
            "usd 2026-01: opening 0 + newly failed 0 is not "
            "recovered, lost and withdrawn 1000 + closing 0"
        ),
        (
            "usd 2026-01, owed to at_risk (stripe failed): the month's sum is 1000 of 1, "
            "the entries say 0 of 0"
        ),
        "usd: the ledger holds -1000 at risk, open cases say 0",
    ]


def test_a_case_that_is_gone_leaves_its_entries_behind(shop: Shop) -> None:
    paid, _ = two_cases(shop)
    with transaction(shop.engine) as session:
        session.execute(text("DELETE FROM cases WHERE id = :case"), {"case": paid.case})
    assert (paid.case, "entries without a case: 3") in proof_of(shop).faults


def test_a_guard_that_is_gone_or_off_is_a_fault(shop: Shop) -> None:
    if shop.engine.dialect.name == "sqlite":
        changes = ["DROP TRIGGER entries_no_delete"]
    else:
        changes = [
            "ALTER TABLE entries DISABLE TRIGGER entries_no_change",
            "ALTER TABLE entries ENABLE TRIGGER entries_no_change",
            "DROP TRIGGER entries_no_truncate ON entries",
        ]
    held = []
    for change in changes:
        with transaction(shop.engine) as session:
            session.execute(text(change))
        held.append(proof_of(shop).holds)
    assert held in ([False], [False, True, False])


HARMLESS = {
    "sqlite": text("CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT 1; END"),
    "postgresql": text(
        "CREATE OR REPLACE FUNCTION entries_append_only() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN RETURN NEW; END'"
    ),
}


def test_a_trigger_that_does_nothing_is_no_guard(shop: Shop) -> None:
    with transaction(shop.engine) as session:
        if shop.engine.dialect.name == "sqlite":
            session.execute(text("DROP TRIGGER entries_no_update"))
        session.execute(HARMLESS[shop.engine.dialect.name])
    assert not proof_of(shop).holds


def test_many_cases_are_read_in_batches(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "CASES_A_BATCH", 2)
    for number in range(5):
        shop.failed(on(1, 5), 100 + number)
    seen: list[int] = []
    proof = proof_of(shop, seen.append)
    assert seen == [2, 4, 5]
    assert (proof.cases, proof.rows, proof.holds) == (5, 5, True)


def test_faults_beyond_what_is_kept_are_counted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "FAULTS_KEPT", 1)
    two_cases(shop)
    with transaction(shop.engine) as session:
        session.execute(update(CaseRow).values(access="suspended", amount_due=1))
    proof = proof_of(shop)
    assert (len(proof.faults), proof.more_faults, proof.holds) == (1, 3, False)


def test_a_snapshot_neither_moves_nor_writes_nor_keeps_writers_waiting(shop: Shop) -> None:
    two_cases(shop)
    with shop.reading() as session:
        first = verify_all(session)
        shop.failed(on(3, 1))  # a writer, while we read
        assert verify_all(session) == first
    assert proof_of(shop).cases == 3
    with snapshot(shop.engine) as session, pytest.raises(DBAPIError):
        session.execute(text("DELETE FROM cases"))
