"""One who claims again and again: fair, bounded, and not slowed down by what it has passed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, text, update
from sqlmodel import col

from dunning.dispatching import Dispatcher
from dunning.schedule import BEGINNING, Taken, next_moment, release, renew
from dunning.store import ScheduleRow, reading
from tests.builders import T0, hours
from tests.stages.kit import Stage

LEASE = timedelta(seconds=30)


def begin(stage: Stage, count: int, *, source: str = "stripe", due: datetime = T0) -> None:
    """So many cases of a source, one due each second up to then."""
    rows = [
        {
            "case_id": f"{source}_{number:06}",
            "source": source,
            "due_at": due - timedelta(seconds=number // 100),
        }
        for number in range(count)
    ]
    with stage.writing() as session:
        session.execute(insert(ScheduleRow), rows)


def turn(
    stage: Stage, one: Dispatcher, now: datetime = T0, *, everything: bool = False
) -> list[Taken]:
    """Look and take, as the loop does."""
    with reading(stage.engine) as session:
        glance = one.look(session, now, everything=everything)
    with stage.writing() as session:
        return one.take(session, now, glance)


def does(stage: Stage, taken: Iterable[Taken]) -> list[str]:
    """The steps are done and the cases wait for their next ones."""
    names = [name for part in taken for name in part.ids]
    with stage.writing() as session:
        session.execute(
            update(ScheduleRow)
            .where(col(ScheduleRow.case_id).in_(names))
            .values(due_at=hours(24), leased_until=None, lease_token=None)
        )
    return names


def test_ten_are_not_kept_waiting_by_two_thousand(stage: Stage) -> None:
    begin(stage, 2000, source="big")
    begin(stage, 10, source="small")
    one = Dispatcher(["big", "small"], window=100, lease=LEASE)
    taken = turn(stage, one)
    assert {part.source: len(part.ids) for part in taken} == {"big": 88, "small": 10}


def test_ninety_nine_with_ten_are_done_while_one_with_thousands_has_just_begun(
    stage: Stage,
) -> None:
    small = [f"small-{number}" for number in range(99)]
    begin(stage, 5_000, source="big")
    for source in small:
        begin(stage, 10, source=source)
    one = Dispatcher(["big", *small], window=600, lease=LEASE)
    done: Counter[str] = Counter()
    for _ in range(2):
        taken = turn(stage, one)
        assert sum(len(part.ids) for part in taken) <= 600
        done.update({part.source: len(part.ids) for part in taken})
        does(stage, taken)
    assert {source: done[source] for source in small} == dict.fromkeys(small, 10)
    assert 0 < done["big"] <= 2 * 600 - 990


def test_who_comes_late_finds_room_beside_one_who_has_taken_all_there_was(stage: Stage) -> None:
    begin(stage, 2000, source="big")
    one = Dispatcher(["big", "small"], window=100, lease=LEASE)
    assert [part.source for part in turn(stage, one)] == ["big"]
    begin(stage, 10, source="small")
    (late,) = turn(stage, one, everything=True)
    assert (late.source, len(late.ids)) == ("small", 10)


def test_ninety_nine_small_sources_go_on_beside_one_that_holds_all_it_may(stage: Stage) -> None:
    small = [f"small_{number:02}" for number in range(99)]
    begin(stage, 2000, source="big")
    one = Dispatcher(["big", *small], window=256, lease=LEASE)
    (big,) = turn(stage, one)  # and its acts take for ever
    for source in small:
        begin(stage, 10, source=source)
    done: Counter[str] = Counter()
    # There is room for one of each: ten turns are all they need.
    for number in range(1, 11):
        taken = turn(stage, one, everything=True)
        done.update(part.source for part in taken for _ in part.ids)
        does(stage, taken)
        assert min(done[source] for source in small) >= number
    assert done == Counter(dict.fromkeys(small, 10))
    assert len(big.ids) == 256 - 99


def test_all_dispatchers_together_stay_within_the_window(stage: Stage) -> None:
    begin(stage, 500)
    both = [Dispatcher(["stripe"], window=60, lease=LEASE) for _ in range(2)]
    taken = [part for _ in range(5) for one in both for part in turn(stage, one)]
    assert sum(len(part.ids) for part in taken) == 60


def test_under_a_held_snapshot_everything_is_claimed_exactly_once(stage: Stage) -> None:
    begin(stage, 3000)
    one = Dispatcher(["stripe"], window=250, lease=LEASE)
    done: list[str] = []
    with reading(stage.engine) as holder:
        holder.execute(text("SELECT count(*) FROM schedule")).all()
        for _ in range(40):
            done += does(stage, turn(stage, one))
    assert len(done) == 3000
    assert set(Counter(done).values()) == {1}


def test_a_look_begins_where_everything_before_is_done(stage: Stage) -> None:
    begin(stage, 100)
    one = Dispatcher(["stripe"], window=30, lease=LEASE)
    (first,) = turn(stage, one)
    one._rescan_at = float("inf")  # however slow this machine is
    slow, done = first.claims()[0], first.claims()[1:]
    does(stage, [Taken(first.source, first.token, tuple(claim.case_id for claim in done))])
    (second,) = turn(stage, one)
    assert len(second.ids) == 29
    assert one._since["stripe"][1] in (slow.case_id, "")
    assert one._free["stripe"] >= one._since["stripe"] > BEGINNING
    does(stage, [Taken(first.source, first.token, (slow.case_id,)), second])
    (third,) = turn(stage, one)
    assert one._since["stripe"] == one._free["stripe"]
    assert one._since["stripe"][1] in (third.ids[0], "")


def test_what_a_dead_worker_held_is_taken_as_soon_as_its_lease_is_over(stage: Stage) -> None:
    """Its place lies behind, among much that is done or under way; no look at everything needed."""
    begin(stage, 300)
    one = Dispatcher(["stripe"], window=100, lease=LEASE)
    (lost,) = turn(stage, one)
    one._rescan_at = float("inf")
    does(stage, [Taken(lost.source, lost.token, lost.ids[10:])])
    (other,) = turn(stage, one, T0 + LEASE / 2)
    assert len(other.ids) == 90
    (again,) = turn(stage, one, T0 + LEASE)
    assert again.ids == lost.ids[:10]


def test_what_comes_in_below_is_found_by_the_next_search_of_everything(stage: Stage) -> None:
    begin(stage, 10)
    one = Dispatcher(["stripe"], window=100, lease=LEASE)
    assert len(does(stage, turn(stage, one))) == 10
    with stage.writing() as session:
        session.get_one(ScheduleRow, "stripe_000007").due_at = hours(-50)
    one._rescan_at = float("inf")
    assert turn(stage, one) == []
    one._rescan_at = 0.0
    (found,) = turn(stage, one)
    assert found.ids == ("stripe_000007",)


def test_looks_at_everything_take_a_small_part_of_the_time(stage: Stage) -> None:
    begin(stage, 10)
    one = Dispatcher(["stripe"], window=100, lease=LEASE)
    began = time.monotonic()
    with reading(stage.engine) as session:
        one.look(session, T0)
        ended = time.monotonic()
        planned = one._rescan_at
        assert began < planned <= ended + (ended - began) * 20
        one._rescan_at = ended + 3600
        one.look(session, T0)
        assert one._rescan_at == ended + 3600
        one.look(session, T0, everything=True)
        assert one._rescan_at < ended + 3600


def test_of_one_instant_too_each_is_claimed_once(stage: Stage) -> None:
    """A million cases may be due at nine o'clock sharp: then their ids keep the place."""
    begin(stage, 400)
    with stage.writing() as session:
        session.execute(update(ScheduleRow).values(due_at=T0))
    one = Dispatcher(["stripe"], window=70, lease=LEASE)
    done: list[str] = []
    for _ in range(8):
        done += does(stage, turn(stage, one))
    assert len(done) == len(set(done)) == 400


def test_a_lease_is_renewed_by_its_holder_only(stage: Stage) -> None:
    begin(stage, 2)
    one = Dispatcher(["stripe"], window=10, lease=LEASE)
    (taken,) = turn(stage, one)
    mine, lost = taken.claims()
    with stage.writing() as session:
        session.get_one(ScheduleRow, lost.case_id).lease_token = "another"
    with stage.writing() as session:
        renew(session, [mine, lost], T0 + LEASE * 2)
    with stage.writing() as session:
        assert session.get_one(ScheduleRow, mine.case_id).leased_until == T0 + LEASE * 2
        assert session.get_one(ScheduleRow, lost.case_id).leased_until == T0 + LEASE
        release(session, [mine, lost])
    with stage.writing() as session:
        assert session.get_one(ScheduleRow, mine.case_id).lease_token is None
        assert session.get_one(ScheduleRow, lost.case_id).lease_token == "another"


def test_the_next_moment_is_that_of_any_source(stage: Stage) -> None:
    begin(stage, 1, due=hours(5))
    begin(stage, 1, source="other", due=hours(3))
    with reading(stage.engine) as session:
        assert next_moment(session, T0, ["stripe"]) == hours(5)
        assert next_moment(session, T0, ["stripe", "other"]) == hours(3)
        assert next_moment(session, hours(6), ["stripe"]) is None


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_claim_reads_the_index_and_not_the_table(stage: Stage) -> None:
    begin(stage, 5000)
    with stage.writing() as session:
        session.execute(text("ANALYZE schedule"))
        reads = text("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'schedule'")
        one = Dispatcher(["stripe"], window=50, lease=LEASE)
        before = session.execute(reads).scalar_one()
        one.take(session, T0, one.look(session, T0))
        assert session.execute(reads).scalar_one() == before
