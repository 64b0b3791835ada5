"""The ledger appends and corrects; the database refuses everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session, col

from dunning import ledger
from dunning.core.entries import Account, Cause, Entry
from dunning.ledger import Posting
from dunning.store import EntryRow, transaction
from tests.reports.shop import NOW, Shop, on

CASE = "case_one"
PAID_AT = on(1, 8)


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Shop]:
    """An empty shop."""
    shop = Shop(migrated_url)
    yield shop
    shop.engine.dispose()


def opened() -> Entry:
    return Entry(
        key=f"{CASE}/opened:owed",
        debit=Account.OWED,
        credit=Account.AT_RISK,
        amount=1000,
        cause=Cause.FAILED,
        at=on(1, 5),
    )


def paid(how: str = "retry:1", at: datetime = PAID_AT) -> Entry:
    return Entry(
        key=f"{CASE}/paid/1000:at_risk",
        debit=Account.AT_RISK,
        credit=Account.RECOVERED,
        amount=1000,
        cause=Cause.PAID,
        at=at,
        how=how,
    )


def posting(*entries: Entry) -> Posting:
    return Posting(case_id=CASE, source="stripe", currency="usd", entries=entries)


def write(shop: Shop, *entries: Entry) -> int:
    with transaction(shop.engine) as session:
        desk = shop.book.desk(session)
        with desk.drafting():
            lines = ledger.record(desk, posting(*entries), NOW)
        desk.write()
        return lines


def stored(session: Session) -> Sequence[EntryRow]:
    return session.scalars(select(EntryRow).order_by(col(EntryRow.id))).all()


def told(shop: Shop) -> list[tuple[str, str, str, int, str | None]]:
    with transaction(shop.engine) as session:
        return [(r.key, r.debit, r.credit, r.amount, r.reverses) for r in stored(session)]


def balances(shop: Shop) -> dict[str, int]:
    with transaction(shop.engine) as session:
        held = ledger.balances(session)["usd"]
        return {account: amount for account, amount in held.items() if amount}


def test_the_same_facts_are_written_once(shop: Shop) -> None:
    assert write(shop, opened()) == 1
    assert write(shop, opened(), paid()) == 1
    assert write(shop, opened(), paid()) == 0
    assert balances(shop) == {"owed": -1000, "recovered": 1000}


def test_what_turned_out_otherwise_is_taken_back_by_a_counter_entry(shop: Shop) -> None:
    write(shop, opened(), paid())
    write(shop, opened(), paid(how="link"))
    key = f"{CASE}/paid/1000:at_risk"
    assert told(shop)[1:] == [
        (key, "at_risk", "recovered", 1000, None),
        (f"{key}#2", "recovered", "at_risk", 1000, key),
        (f"{key}#3", "at_risk", "recovered", 1000, None),
    ]
    write(shop, opened())
    assert told(shop)[-1] == (f"{key}#4", "recovered", "at_risk", 1000, f"{key}#3")
    assert balances(shop) == {"owed": -1000, "at_risk": 1000}
    write(shop, opened(), paid())
    assert told(shop)[-1] == (f"{key}#5", "at_risk", "recovered", 1000, None)
    with transaction(shop.engine) as session:
        proof = ledger.Proof()
        ledger.prove_case(proof, posting(opened(), paid()), stored(session))
    assert proof.faults == []


def test_a_correction_is_of_the_day_it_corrects(shop: Shop) -> None:
    write(shop, opened(), paid(at=on(1, 8)))
    write(shop, opened(), paid(at=on(2, 8)))
    with transaction(shop.engine) as session:
        days = [row.occurred_at for row in stored(session)]
    assert days == [on(1, 5), on(1, 8), on(1, 8), on(2, 8)]


def test_one_key_is_written_once_whoever_tries(shop: Shop) -> None:
    write(shop, opened())
    with transaction(shop.engine) as session:
        copy = {**stored(session)[0].model_dump(exclude={"id"}), "amount": 5}
    with pytest.raises(IntegrityError), transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(copy))
    assert len(told(shop)) == 1


CHANGES = [
    "UPDATE entries SET amount = amount + 1",
    "UPDATE entries SET recorded_at = occurred_at",
    "DELETE FROM entries",
]
ONLY_SQLITE = [
    "INSERT OR REPLACE INTO entries SELECT * FROM entries",
    "REPLACE INTO entries SELECT * FROM entries",
    "UPDATE OR REPLACE entries SET id = id",
]
ONLY_POSTGRESQL = [
    "TRUNCATE entries",
    "TRUNCATE entries CASCADE",
    "TRUNCATE entries_rest",
    (
        "INSERT INTO entries SELECT id + 99, key, base, case_id, place, source, debit, credit, "
        "amount, currency, cause, how, occurred_at, recorded_at, reverses FROM entries"
    ),
    "UPDATE entries_rest SET amount = 1",
]


def test_the_database_refuses_to_change_the_past(shop: Shop) -> None:
    write(shop, opened(), paid())
    before = told(shop)
    more = ONLY_SQLITE if shop.engine.dialect.name == "sqlite" else ONLY_POSTGRESQL
    for change in (*CHANGES, *more):
        with pytest.raises(DBAPIError, match="append"), transaction(shop.engine) as session:
            session.execute(text(change))
    assert told(shop) == before
    with transaction(shop.engine) as session:
        assert ledger.guarded(session)


def test_export_tells_every_entry_once_in_order(shop: Shop) -> None:
    write(shop, opened(), paid())
    write(shop, opened(), paid(how="link"))
    with transaction(shop.engine) as session:
        rows = list(ledger.export(session))
        ids = [row.id for row in stored(session)]
        for batch in (1, 2, 3, 4):
            assert list(ledger.export(session, batch=batch)) == rows
    assert [row["id"] for row in rows] == ids
    assert all(tuple(row) == ledger.EXPORTED for row in rows)
    assert rows[2] == {
        "id": rows[2]["id"],
        "key": f"{CASE}/paid/1000:at_risk#2",
        "base": f"{CASE}/paid/1000:at_risk",
        "case": CASE,
        "place": 3,
        "source": "stripe",
        "debit": "recovered",
        "credit": "at_risk",
        "amount": 1000,
        "currency": "usd",
        "cause": "paid",
        "how": "retry:1",
        "occurred_at": "2026-01-08T12:00:00Z",
        "recorded_at": "2026-06-30T12:00:00Z",
        "reverses": f"{CASE}/paid/1000:at_risk",
        **dict.fromkeys(ledger.EXPORTED[-7:]),  # of a closed month, and what was heard before
    }


def test_an_empty_ledger_exports_nothing(shop: Shop) -> None:
    with transaction(shop.engine) as session:
        assert list(ledger.export(session)) == []
