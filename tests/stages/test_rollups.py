"""Entries are numbered without a gap, by the database's own guard, and summed up by month."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from dunning import crashpoints, rollups
from dunning.crashpoints import Killed
from dunning.reports import verify_all
from dunning.rollups import Key, Sum
from dunning.store import EntryRow, RollupRow, TallyRow, transaction
from tests.reports.shop import NOW, Shop, on
from tests.stages.kit import Together


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Shop]:
    shop = Shop(migrated_url)
    yield shop
    shop.engine.dispose()


def sums(shop: Shop) -> dict[Key, Sum]:
    with transaction(shop.engine) as session:
        kept = rollups.totals(session)
        assert kept == rollups.from_entries(session)
        assert list(rollups.faults(session)) == []
        return kept


def of(
    month: str, debit: str, credit: str, cause: str, how: str = "", currency: str = "usd"
) -> Key:
    return Key("stripe", month, currency, debit, credit, cause, how)


def test_an_empty_ledger_has_no_sums(shop: Shop) -> None:
    assert sums(shop) == {}


def test_the_sums_of_a_month_are_those_of_its_entries(shop: Shop) -> None:
    for number in range(3):
        unpaid = shop.failed(on(1, 5), 1000 + number)
        unpaid.charged(on(2, 8), "retry:1")
        unpaid.paid(on(2, 8))
    shop.failed(on(1, 31, 23, 59), 700, "eur")
    kept = sums(shop)
    assert kept[of("2026-01", "owed", "at_risk", "failed")] == Sum(3003, 3)
    assert kept[of("2026-02", "at_risk", "recovered", "paid", "retry:1")] == Sum(3003, 3)
    assert kept[of("2026-01", "owed", "at_risk", "failed", currency="eur")] == Sum(700, 1)
    assert len(kept) == 3


def test_what_was_taken_back_counts_for_nothing(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.given_up(on(2, 2))
    assert of("2026-02", "at_risk", "lost", "given_up") in sums(shop)
    unpaid.paid(on(1, 30))  # heard of only now
    kept = sums(shop)
    assert [key.month for key in kept] == ["2026-01", "2026-01"]
    with transaction(shop.engine) as session:
        rows = session.execute(select(RollupRow)).scalars().all()
        assert sum(row.amount == 0 for row in rows) == 1


def test_many_writers_at_once_lose_nothing_and_wait_for_nobody_for_long(shop: Shop) -> None:
    def write(number: int) -> None:
        for _ in range(5):
            shop_of_its_own = Shop(str(shop.engine.url.render_as_string(hide_password=False)))
            shop_of_its_own._numbers = next(numbers) * 1000
            unpaid = shop_of_its_own.failed(on(1 + number % 3, 5), 100)
            unpaid.paid(on(3, 8))
            shop_of_its_own.engine.dispose()

    numbers = iter(range(1, 1000))
    both = Together(*(partial(write, number) for number in range(6)))
    assert both.errors == []
    kept = sums(shop)
    opened = Counter[str]()
    for key, total in kept.items():
        opened[key.debit] += total.amount
    assert opened == {"owed": 3000, "at_risk": 3000}


def test_killed_between_the_entries_and_the_commit_nothing_is_there(shop: Shop) -> None:
    def listen(name: str) -> None:
        if name == "rollup.written":
            raise Killed

    with crashpoints.listening(listen), pytest.raises(Killed):
        shop.failed(on(1, 5))
    assert sums(shop) == {}
    with transaction(shop.engine) as session:
        assert session.execute(select(TallyRow)).all() == []
    shop.failed(on(1, 5))
    assert len(sums(shop)) == 1


# --- a sum that is wrong is found --------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        text("UPDATE rollups SET amount = amount + 1"),
        text("UPDATE rollups SET entries = entries + 1"),
        text("UPDATE rollups SET month = '2026-02'"),
        text("UPDATE rollups SET how = 'x'"),
        text("DELETE FROM rollups"),
    ],
)
def test_a_changed_sum_is_found(shop: Shop, change: Any) -> None:
    shop.failed(on(1, 5))
    with transaction(shop.engine) as session:
        session.execute(change)
    with shop.reading() as session:
        proof = verify_all(session)
    assert {case for case, _ in proof.faults} == {"ledger"}
    assert any("the month's sum is" in what for _, what in proof.faults)


@pytest.mark.parametrize(
    "change", [text("UPDATE tallies SET entries = 2"), text("DELETE FROM tallies")]
)
def test_a_changed_count_is_found(shop: Shop, change: Any) -> None:
    unpaid = shop.failed(on(1, 5))
    with transaction(shop.engine) as session:
        session.execute(change)
    with shop.reading() as session:
        faults = verify_all(session).faults
    assert [case for case, _ in faults] == [unpaid.case]
    assert "1 entries are there" in faults[0][1]


# --- places ------------------------------------------------------------------------------------


def places(shop: Shop) -> list[tuple[str, int]]:
    query = select(EntryRow.case_id, EntryRow.place).order_by(
        col(EntryRow.case_id), col(EntryRow.place)
    )
    with transaction(shop.engine) as session:
        return [(case_id, place) for case_id, place in session.execute(query)]


def entry(place: int, *, recorded_at: datetime = NOW, case: str = "case_x") -> dict[str, Any]:
    return {
        "key": f"{case}/{place}",
        "base": f"{case}/{place}",
        "case_id": case,
        "place": place,
        "source": "stripe",
        "debit": "owed",
        "credit": "at_risk",
        "amount": 1,
        "currency": "usd",
        "cause": "failed",
        "how": "",
        "occurred_at": on(1, 1),
        "recorded_at": recorded_at,
        "reverses": None,
    }


def write(shop: Shop, *rows: dict[str, Any]) -> None:
    with transaction(shop.engine) as session:
        session.execute(insert(EntryRow).values(list(rows)))


def test_the_entries_of_a_case_are_numbered_from_one(shop: Shop) -> None:
    unpaid = shop.failed(on(1, 5))
    unpaid.given_up(on(2, 2))
    unpaid.paid(on(1, 30))
    other = shop.failed(on(1, 5))
    wanted = [*((unpaid.case, place) for place in (1, 2, 3, 4)), (other.case, 1)]
    assert places(shop) == sorted(wanted)


@pytest.mark.parametrize("wrong", [[2], [1, 1], [1, 3], [0], [-1], [1, 2, 2]])
def test_the_database_refuses_a_gap_and_a_repetition(shop: Shop, wrong: list[int]) -> None:
    with pytest.raises(IntegrityError, match="the place after the last"):
        write(shop, *(entry(place) for place in wrong))
    assert places(shop) == []


@pytest.mark.parametrize("wrong", [1, 2, 4])
def test_also_where_the_last_lies_in_another_month(shop: Shop, wrong: int) -> None:
    write(shop, entry(1, recorded_at=on(1, 1)), entry(2, recorded_at=on(11, 30)))
    with pytest.raises(IntegrityError, match="the place after the last"):
        write(shop, entry(wrong, recorded_at=on(12, 15)))
    write(shop, entry(3, recorded_at=on(12, 15)))
    assert [place for _, place in places(shop)] == [1, 2, 3]


def test_two_who_write_the_same_at_once_write_it_once(shop: Shop) -> None:
    """Without the lock that the cases take: the guard alone holds."""
    both = Together(*[partial(write, shop, entry(1), entry(1, case="case_y"))] * 4)
    assert len(both.errors) == 3
    assert all(isinstance(error, IntegrityError) for error in both.errors)
    assert places(shop) == [("case_x", 1), ("case_y", 1)]


def test_many_cases_in_one_batch(shop: Shop) -> None:
    cases = [f"case_{n:03}" for n in range(300)]
    with transaction(shop.engine) as session:
        rollups.append(session, [entry(1, case=case) for case in cases])
        rollups.append(session, [entry(2, case=case) for case in cases])
    assert len(places(shop)) == 600
    assert sums(shop)[of("2026-01", "owed", "at_risk", "failed")] == Sum(600, 600)


def test_a_count_nobody_may_lower_unseen(shop: Shop) -> None:
    write(shop, entry(1), entry(2))
    with transaction(shop.engine) as session:
        session.execute(update(TallyRow).values(entries=1))
    with pytest.raises(IntegrityError):
        write(shop, entry(3))
