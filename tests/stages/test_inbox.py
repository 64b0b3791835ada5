"""Handling what was kept: every kind of reading has its end, and one bad row harms no other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event as hooks
from sqlalchemy.exc import OperationalError

from dunning import routing
from dunning.cases import Applied
from dunning.core.ports import Ignored, Incomplete, Reading, Understood, Unreadable
from dunning.errors import NamesTakenError
from dunning.inbox import replay
from dunning.store import CaseRow, EntryRow, guard, transaction
from tests.providers.stripe.bodies import Body, event, invoice
from tests.providers.stripe.bodies_people import customer
from tests.stages.kit import Stage, Together, named


def failed(name: str = "in_1", **fields: Any) -> Body:
    return named(event("invoice.payment_failed", invoice(id=name, **fields)))


def test_what_is_understood_reaches_its_case(stage: Stage) -> None:
    (row,) = stage.hears(failed())
    case = stage.case()
    assert (row.state, row.reason, row.ref, row.waiting) == ("handled", "", case.id, False)
    assert (row.tries, row.handled_at) == (1, stage.clock.now())
    assert (case.state, case.amount_at_risk, case.currency) == ("in_grace", 4900, "eur")
    assert case.next_at is not None
    cursor = stage.cursor()
    assert cursor is not None
    assert cursor.due_at == case.next_at


def test_what_has_no_use_is_ignored_with_the_reason(stage: Stage) -> None:
    (row,) = stage.hears(named(event("radar.early_fraud_warning.created", {"id": "issfr_1"})))
    assert (row.state, row.waiting) == ("ignored", False)
    assert row.reason == "radar.early_fraud_warning.created events are not used"
    assert row.handled_at == stage.clock.now()


def test_what_cannot_be_read_is_parked_with_the_reason(stage: Stage) -> None:
    (row,) = stage.hears(named(event("invoice.payment_failed", invoice(currency=17))))
    assert (row.state, row.waiting) == ("parked", False)
    assert "currency" in row.reason
    assert stage.all(CaseRow) == []


def test_news_of_a_customer_without_a_case_is_handled_and_waits_for_nothing(stage: Stage) -> None:
    (row,) = stage.hears(named(event("customer.updated", customer())))
    assert (row.state, row.waiting, row.ref) == ("handled", False, None)


def test_news_of_an_invoice_without_a_case_waits_for_one(stage: Stage) -> None:
    (row,) = stage.hears(named(event("invoice.updated", invoice(), previous={})))
    assert (row.state, row.waiting, row.ref) == ("handled", True, "in_1")
    assert row.reason == "no case of ours (yet)"


def test_a_source_that_is_gone_parks_its_webhooks(stage: Stage) -> None:
    (row_id,) = stage.keep(failed(), source="gone")
    stage.inbox.handle([row_id], stage.clock.now())
    (row,) = stage.inbox_rows()
    assert row.state == "parked"
    assert row.reason == "source 'gone' is no longer configured"


def test_handling_twice_does_nothing_twice(stage: Stage) -> None:
    ids = stage.keep(failed("in_1"), failed("in_2"))
    assert stage.inbox.handle(ids, stage.clock.now()) == 2
    before = [(row.id, row.version) for row in stage.all(CaseRow)]
    assert stage.inbox.handle(ids, stage.clock.now()) == 0
    assert stage.inbox.handle([*ids, 12345], stage.clock.now()) == 0
    assert stage.inbox.handle([], stage.clock.now()) == 0
    assert [(row.id, row.version) for row in stage.all(CaseRow)] == before


def test_two_workers_with_the_same_hint_share_the_work(stage: Stage) -> None:
    ids = stage.keep(*(failed(f"in_{number}") for number in range(12)))
    both = Together(*[partial(stage.inbox.handle, ids, stage.clock.now())] * 2)
    assert both.errors == []
    assert sum(both.given) == 12
    assert [row.tries for row in stage.inbox_rows()] == [1] * 12
    assert len(stage.all(EntryRow)) == 12


# --- one bad row -------------------------------------------------------------------------------


def states(stage: Stage) -> list[str]:
    return [row.state for row in stage.inbox_rows()]


def test_a_row_that_contradicts_its_case_is_parked_and_its_mates_are_handled(stage: Stage) -> None:
    stage.hears(failed("in_1"))
    before = stage.case().facts
    ids = stage.keep(failed("in_2"), failed("in_1", currency="usd"), failed("in_3"))
    stage.inbox.handle(ids, stage.clock.now())
    assert states(stage) == ["handled", "handled", "parked", "handled"]
    assert stage.inbox_rows()[2].reason.startswith("MoneyError: in_1 is in eur, but evt_")
    assert stage.case().facts == before
    assert stage.case("in_2").state == stage.case("in_3").state == "in_grace"


class Chokes:
    """The door to the cases, with a fault: it lets in_2 in and then falls over."""

    def __init__(self, stage: Stage, error: Exception) -> None:
        self.error: Exception | None = error
        self._take: Callable[..., Applied] = stage.book.take
        stage.book.take = self  # type: ignore[method-assign,assignment]

    def __call__(self, *given: Any) -> Applied:
        result = self._take(*given)
        if self.error is not None and given[3][0].bill.invoice == "in_2":
            raise self.error
        return result


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a word nobody knows"),
        AttributeError("no such thing"),
        OverflowError("too large"),
        RecursionError("too deep"),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_ours_parks_the_row_and_takes_back_what_it_wrote(
    stage: Stage, error: Exception
) -> None:
    chokes = Chokes(stage, error)
    ids = stage.keep(failed("in_1"), failed("in_2"), failed("in_3"))
    stage.inbox.handle(ids, stage.clock.now())
    assert states(stage) == ["handled", "parked", "handled"]
    assert stage.inbox_rows()[1].reason.startswith(type(error).__name__)
    assert {row.invoice for row in stage.all(CaseRow)} == {"in_1", "in_3"}
    assert len(stage.all(EntryRow)) == 2
    # Mended: a person replays it.
    chokes.error = None
    with stage.writing() as session:
        replay(session, ids[1:2], stage.clock.now())
    stage.inbox.handle(ids, stage.clock.now())
    assert states(stage) == ["handled"] * 3
    assert stage.case("in_2").state == "in_grace"


class Refusal(Exception):
    """What a driver says when the database refuses."""

    def __init__(self, why: str, sqlstate: str | None) -> None:
        super().__init__(why)
        self.sqlstate = sqlstate


class Refuses:
    """The database answers a write of the case of in_2 with an error."""

    def __init__(self, stage: Stage, error: Exception) -> None:
        self._error = error
        self._engine = stage.engine
        hooks.listen(stage.engine, "before_cursor_execute", self._look)

    def _look(self, _c: object, _cursor: object, said: str, given: object, *_rest: object) -> None:
        if said.startswith("INSERT INTO cases") and "in_2" in repr(given):
            raise self._error

    def mended(self) -> None:
        hooks.remove(self._engine, "before_cursor_execute", self._look)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("deadlock detected", "40P01"),
        Refusal("could not serialize access", "40001"),
        Refusal("the server is going down", "57P01"),
        Refusal("disk full", "53100"),
        Refusal("database is locked", None),
    ],
    ids=str,
)
def test_what_passes_is_tried_again_and_nothing_is_parked(stage: Stage, refusal: Refusal) -> None:
    ids = stage.keep(failed("in_1"), failed("in_2"), failed("in_3"))
    refuses = Refuses(stage, OperationalError("INSERT", {}, refusal))
    with pytest.raises(OperationalError):
        stage.inbox.handle(ids, stage.clock.now())
    assert states(stage) == ["new"] * 3
    assert [row.tries for row in stage.inbox_rows()] == [0] * 3
    assert stage.all(CaseRow) == []
    refuses.mended()
    assert stage.inbox.handle(ids, stage.clock.now()) == 3
    assert states(stage) == ["handled"] * 3


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_names_that_come_up_late_are_not_waited_for(stage: Stage) -> None:
    """Two batches that waited for each other's would wait for ever."""
    late = {"stripe/ch_1", "stripe/ch_2"}
    with transaction(stage.engine) as holder:
        guard(holder, {"stripe/ch_1"})
        with transaction(stage.engine) as other:
            desk = stage.book.desk(other)
            desk.patient = False
            with pytest.raises(NamesTakenError) as taken:
                routing._guard_late(desk, late)
            assert taken.value.names == late
    with transaction(stage.engine) as other:
        desk = stage.book.desk(other)
        desk.patient = False
        routing._guard_late(desk, late)


def test_what_the_database_refuses_for_good_is_parked(stage: Stage) -> None:
    ids = stage.keep(failed("in_1"), failed("in_2"), failed("in_3"))
    refusal = Refusal("value out of range", "22003")
    Refuses(stage, OperationalError("INSERT", {}, refusal))
    stage.inbox.handle(ids, stage.clock.now())
    assert states(stage) == ["handled", "parked", "handled"]
    why = "the database refused what follows from it: value out of range"
    assert stage.inbox_rows()[1].reason == why


def test_a_number_no_database_holds_parks_only_its_own_row(stage: Stage) -> None:
    huge = failed("in_2", amount_due=10**30, amount_remaining=10**30)
    ids = stage.keep(failed("in_1"), huge, failed("in_3"))
    stage.inbox.handle(ids, stage.clock.now())
    assert states(stage) == ["handled", "parked", "handled"]


def test_every_reading_is_one_of_four() -> None:
    """If there is a fifth, its ending belongs into this file."""
    assert Reading == Understood | Ignored | Unreadable | Incomplete
