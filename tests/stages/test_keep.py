"""The inbox keeps each webhook once, sweeps what nobody took, and replays what was parked."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from dunning.errors import NotFoundError
from dunning.inbox import LEASE, backlog, keep, replay, sweep
from dunning.store import InboxRow
from tests.providers.stripe.bodies import Body, event, invoice, raw, thin
from tests.stages.kit import Stage, Together, named, received


def failed(name: str) -> Body:
    return named(event("invoice.payment_failed", invoice()), name)


def swept(stage: Stage, *, limit: int = 100) -> list[int]:
    with stage.writing() as session:
        return sweep(session, stage.clock.now(), limit=limit)


def again(stage: Stage, ids: list[int]) -> list[int]:
    with stage.writing() as session:
        return replay(session, ids, stage.clock.now())


def test_a_webhook_is_kept_as_it_came(stage: Stage) -> None:
    (row_id,) = stage.keep(failed("evt_a"))
    (row,) = stage.inbox_rows()
    assert (row.id, row.source, row.event_id) == (row_id, "stripe", "evt_a")
    assert (row.type, row.state, row.tries) == ("invoice.payment_failed", "new", 0)
    assert row.body == raw(failed("evt_a"))
    assert row.received_at == stage.clock.now()
    assert row.wake_at == stage.clock.now() + LEASE


def test_the_same_event_is_kept_once_within_a_batch_and_across(stage: Stage) -> None:
    first = stage.keep(failed("evt_a"), failed("evt_a"), failed("evt_b"))
    assert len(first) == 2
    assert stage.keep(failed("evt_b"), failed("evt_c"), failed("evt_a"), failed("evt_c")) != []
    assert [row.event_id for row in stage.inbox_rows()] == ["evt_a", "evt_b", "evt_c"]
    assert stage.keep(failed("evt_a"), failed("evt_b"), failed("evt_c")) == []
    assert stage.keep() == []


def test_the_ids_are_those_of_the_new_ones(stage: Stage) -> None:
    stage.keep(failed("evt_a"))
    ids = stage.keep(failed("evt_a"), failed("evt_b"))
    assert [row.event_id for row in stage.inbox_rows(ids)] == ["evt_b"]


def test_a_repeated_event_does_not_wake_what_was_handled(stage: Stage) -> None:
    stage.hears(failed("evt_a"))
    assert stage.keep(failed("evt_a")) == []
    (row,) = stage.inbox_rows()
    assert row.state == "handled"


def test_two_sources_may_use_the_same_id(stage: Stage) -> None:
    stage.keep(failed("evt_a"))
    assert len(stage.keep(failed("evt_a"), source="other")) == 1


def test_two_writers_at_once_keep_it_once(stage: Stage) -> None:
    def write() -> list[int]:
        told = [received(failed(f"evt_{number}")) for number in range(20)]
        with stage.writing() as session:
            return keep(session, told, stage.clock.now())

    both = Together(write, write)
    assert both.errors == []
    assert sorted(len(given) for given in both.given) == [0, 20]
    assert len(stage.inbox_rows()) == 20


# --- sweeping ----------------------------------------------------------------------------------


def test_what_nobody_took_is_swept_once_a_lease(stage: Stage) -> None:
    ids = stage.keep(failed("evt_a"), failed("evt_b"))
    assert swept(stage) == []
    stage.clock.passes(seconds=LEASE.total_seconds() - 1)
    assert swept(stage) == []
    stage.clock.passes(seconds=1)
    assert swept(stage) == ids
    assert swept(stage) == []
    stage.clock.passes(seconds=LEASE.total_seconds())
    assert swept(stage) == ids


def test_what_was_handled_is_not_swept(stage: Stage) -> None:
    stage.hears(failed("evt_a"))
    stage.clock.passes(days=1)
    assert swept(stage) == []


def test_the_longest_waiting_are_swept_first_and_no_more_than_asked(stage: Stage) -> None:
    early = stage.keep(failed("evt_a"), failed("evt_b"))
    stage.clock.passes(seconds=1)
    late = stage.keep(failed("evt_c"))
    stage.clock.passes(minutes=1)
    assert swept(stage, limit=2) == early
    assert swept(stage, limit=2) == late


def test_two_sweepers_take_different_rows(stage: Stage) -> None:
    ids = stage.keep(*(failed(f"evt_{number}") for number in range(40)))
    stage.clock.passes(minutes=1)
    both = Together(*[partial(swept, stage, limit=30)] * 2)
    assert both.errors == []
    taken = [row_id for given in both.given for row_id in given]
    assert len(taken) == len(set(taken))
    assert set(taken) | set(swept(stage)) == set(ids)


# --- replaying ---------------------------------------------------------------------------------


def test_what_was_parked_is_handled_again_at_once(stage: Stage) -> None:
    (row,) = stage.hears(thin("v1.invoice.payment_failed"))
    assert row.state == "parked"
    assert row.id is not None
    stage.clock.passes(hours=1)
    assert again(stage, [row.id]) == [row.id]
    (row,) = stage.inbox_rows()
    assert (row.state, row.reason, row.tries, row.handled_at) == ("new", "", 0, None)
    assert swept(stage) == [row.id]


def test_replaying_what_nobody_knows_changes_nothing(stage: Stage) -> None:
    (row,) = stage.hears(thin("v1.invoice.payment_failed"))
    assert row.id is not None
    with pytest.raises(NotFoundError, match="no inbox row 998, 999"):
        again(stage, [row.id, 998, 999])
    assert [row.state for row in stage.inbox_rows()] == ["parked"]


def test_replaying_what_was_handled_does_nothing_twice(stage: Stage) -> None:
    (row,) = stage.hears(failed("evt_a"))
    before = stage.case("in_1").facts
    assert row.id is not None
    again(stage, [row.id])
    assert stage.inbox.handle([row.id], stage.clock.now()) == 1
    assert stage.case("in_1").facts == before
    assert [row.state for row in stage.all(InboxRow)] == ["handled"]


# --- how it stands -----------------------------------------------------------------------------


def test_the_backlog_counts_what_is_to_be_done_and_what_waits_for_a_person(stage: Stage) -> None:
    with stage.writing() as session:
        empty = backlog(session)
    assert (empty.new, empty.fresh, empty.parked, empty.oldest_new_at) == (0, 0, 0, None)
    assert empty.next_at is None
    began = stage.clock.now()
    stage.hears(thin("v1.invoice.payment_failed"))
    stage.keep(failed("evt_a"))
    stage.clock.passes(seconds=5)
    stage.keep(failed("evt_b"))
    with stage.writing() as session:
        told = backlog(session)
    assert (told.new, told.fresh, told.parked) == (2, 2, 1)
    assert told.oldest_new_at == began
    assert told.next_at == began + LEASE
    assert told.next_at - timedelta(seconds=30) == began
