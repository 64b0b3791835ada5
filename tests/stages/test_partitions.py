"""Ids carry their day; partitions are made ahead, and none that is missing loses anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dunning import ledger
from dunning.store import InboxRow, day_of_id, first_id, partitions
from dunning.store.partitions import TABLES
from tests.providers.stripe.bodies import Body, event, invoice
from tests.stages.kit import Stage, Together, named

ON_POSTGRES = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
LARGEST_EXACT_FLOAT = 2**53


def failed(name: str) -> Body:
    return named(event("invoice.payment_failed", invoice()), name)


def ahead(stage: Stage, now: datetime | None = None) -> list[str]:
    return partitions.ahead(stage.engine, now or stage.clock.now())


def parts(stage: Stage, table: str) -> Sequence[str]:
    with stage.writing() as session:
        return partitions.names(session.connection(), table)


def homes(stage: Stage, table: str) -> set[str]:
    """The partitions in which the rows of a table lie."""
    query = {
        "inbox": text("SELECT DISTINCT CAST(tableoid AS regclass)::text FROM inbox"),
        "seen": text("SELECT DISTINCT CAST(tableoid AS regclass)::text FROM seen"),
        "entries": text("SELECT DISTINCT CAST(tableoid AS regclass)::text FROM entries"),
    }[table]
    with stage.writing() as session:
        return set(session.scalars(query))


# --- ids ---------------------------------------------------------------------------------------


@given(day=st.dates(date(2020, 1, 1), date(2099, 12, 30)), count=st.integers(0, 999_999_999))
def test_an_id_tells_its_day_and_later_days_have_greater_ids(day: date, count: int) -> None:
    row_id = first_id(day) + count
    assert day_of_id(row_id) == day
    assert row_id < first_id(day + timedelta(days=1)) < LARGEST_EXACT_FLOAT


@pytest.mark.parametrize("number", [0, 1, 99, 999_999_999_999_999, 261_301_000_000_001])
def test_a_number_that_is_no_id_has_no_day(number: int) -> None:
    assert day_of_id(number) is None


def test_a_kept_webhook_has_an_id_of_its_day(stage: Stage) -> None:
    before = stage.keep(failed("evt_a"), failed("evt_b"))
    stage.clock.passes(days=1)
    after = stage.keep(failed("evt_c"))
    assert [day_of_id(row_id) for row_id in before] == [stage.clock.now().date() - DAY] * 2
    assert [day_of_id(row_id) for row_id in after] == [stage.clock.now().date()]
    assert before < after


DAY = timedelta(days=1)


# --- partitions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "day", [date(2026, 1, 1), date(2026, 12, 31), date(2028, 2, 29), date(2026, 11, 22)]
)
def test_a_name_says_what_a_partition_holds(day: date) -> None:
    for part in (
        partitions.inbox_day(day),
        partitions.seen_week(day),
        partitions.month("attempts", day),
        partitions.month("entries", day),
    ):
        assert partitions.parse(part.name) == part
        assert part.ends > datetime(day.year, day.month, day.day, tzinfo=UTC)
    for name in ("inbox_rest", "inbox_d20261301", "inbox", "", "entries_mine"):
        assert partitions.parse(name) is None


@ON_POSTGRES
def test_a_week_of_days_is_ahead_and_nothing_is_made_twice(stage: Stage) -> None:
    today = stage.clock.now().date()
    assert ahead(stage)
    assert ahead(stage) == []
    there = parts(stage, "inbox")
    for days in range(8):
        assert partitions.inbox_day(today + timedelta(days=days)).name in there
    tomorrow = partitions.inbox_day(today + timedelta(days=8)).name
    assert ahead(stage, stage.clock.now() + DAY) == [tomorrow]
    for table in TABLES:
        assert f"{table}_rest" in parts(stage, table)


@ON_POSTGRES
def test_what_comes_lands_in_its_own_partition(stage: Stage) -> None:
    ahead(stage)
    today = stage.clock.now().date()
    stage.hears(failed("evt_a"))
    assert homes(stage, "inbox") == {partitions.inbox_day(today).name}
    assert homes(stage, "seen") == {partitions.seen_week(today).name}
    assert homes(stage, "entries") == {partitions.month("entries", today).name}


@ON_POSTGRES
def test_what_comes_before_its_partition_is_made_is_kept_all_the_same(stage: Stage) -> None:
    stage.clock.passes(days=4000)
    stage.hears(failed("evt_a"))
    assert homes(stage, "inbox") == {"inbox_rest"}
    day = partitions.inbox_day(stage.clock.now().date()).name
    made = ahead(stage)
    # That day stays where it began; the days after have partitions of their own.
    assert day not in made
    assert partitions.inbox_day(stage.clock.now().date() + DAY).name in made
    assert stage.keep(failed("evt_a")) == []
    stage.keep(failed("evt_b"))
    assert [row.event_id for row in stage.inbox_rows()] == ["evt_a", "evt_b"]


@ON_POSTGRES
def test_several_may_make_them_at_once(stage: Stage) -> None:
    both = Together(*[partial(ahead, stage)] * 4)
    assert both.errors == []
    made = [name for given in both.given for name in given]
    assert len(made) == len(set(made))
    assert ahead(stage) == []


@ON_POSTGRES
def test_webhooks_come_in_while_partitions_are_made(stage: Stage) -> None:
    def receive() -> None:
        for number in range(30):
            stage.keep(failed(f"evt_{number}"))

    now = stage.clock.now()
    both = Together(receive, *(partial(ahead, stage, now + week * 7 * DAY) for week in range(4)))
    assert both.errors == []
    assert len(stage.all(InboxRow)) == 30


@ON_POSTGRES
def test_a_lookup_by_id_opens_one_partition(stage: Stage) -> None:
    ahead(stage)
    (row_id,) = stage.keep(failed("evt_a"))
    with stage.writing() as session:
        plan = "\n".join(
            session.scalars(text("EXPLAIN SELECT * FROM inbox WHERE id = :id"), {"id": row_id})
        )
    assert partitions.inbox_day(stage.clock.now().date()).name in plan
    assert plan.count("inbox_d") == plan.count(partitions.inbox_day(stage.clock.now().date()).name)


# --- the guards of the ledger, in every partition ----------------------------------------------


@ON_POSTGRES
def test_every_partition_of_the_ledger_refuses_changes(stage: Stage) -> None:
    ahead(stage)
    stage.hears(failed("evt_a"))
    for change in (
        text("TRUNCATE entries_m202609"),
        text("UPDATE entries_m202609 SET amount = 1"),
        text("DELETE FROM entries_m202609"),
        text("INSERT INTO entries_m202609 SELECT * FROM entries"),
    ):
        with pytest.raises(DBAPIError, match=r"append|duplicate"), stage.writing() as session:
            session.execute(change)


@ON_POSTGRES
@pytest.mark.parametrize("guard", ["entries_no_change", "entries_no_truncate", "entries_in_order"])
def test_a_partition_without_its_guard_is_found(stage: Stage, guard: str) -> None:
    ahead(stage)
    with stage.writing() as session:
        assert ledger.guarded(session)
        session.execute(_DISABLED[guard])
        assert not ledger.guarded(session)


_DISABLED = {
    "entries_no_change": text("ALTER TABLE entries_m202609 DISABLE TRIGGER entries_no_change"),
    "entries_no_truncate": text("DROP TRIGGER entries_no_truncate ON entries_m202609"),
    "entries_in_order": text("ALTER TABLE entries_rest DISABLE TRIGGER entries_in_order"),
}
