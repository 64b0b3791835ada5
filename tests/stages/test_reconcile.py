"""Asking for what was missed: unknown endings, invoices nobody heard of, a lost lease."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Engine

from dunning import bookmarks
from dunning.bookmarks import LEASE
from dunning.cases import CaseBook
from dunning.catching_up import Sweeper, catch_up
from dunning.core.events import AttemptReported, Bill
from dunning.core.ports import Provider, PutOff, View
from dunning.errors import LeaseLostError
from dunning.inbox import Inbox
from dunning.providers.stripe.reader import StripeReader
from dunning.reconcile import HORIZON, Account, Found, reconcile
from dunning.store import CaseRow, CatchUpRow, EntryRow
from tests import builders as b
from tests.builders import SOURCE, T0, days, hours
from tests.stages.doing import Bench
from tests.stages.kit import PATIENCE, ManualClock, Stage, Together, eventually


@dataclass
class Books:
    """What a provider has on record."""

    bills: list[Bill] = field(default_factory=list)
    views: dict[str, View] = field(default_factory=dict)
    asked: list[datetime] = field(default_factory=list)
    name: str = "stripe"

    def missed(self, since: datetime) -> Iterator[bytes]:
        self.asked.append(since)
        return iter(())

    def open_invoices(self, **_: Any) -> Iterator[Bill]:
        return iter(self.bills)

    def look(self, invoice: str) -> View:
        return self.views[invoice]


def asks(stage: Stage, books: Books, since: datetime, **options: Any) -> Found:
    provider = cast("Provider", books)
    return reconcile(
        stage.engine,
        stage.book,
        stage.inbox,
        Account(SOURCE, StripeReader(), provider),
        since=since,
        now=stage.clock.now,
        **options,
    )


@pytest.fixture
def bench(stage: Stage) -> Bench:
    made = Bench(stage)
    stage.tell(b.failed())
    made.begins()
    return made


def test_a_step_of_unknown_ending_is_asked_about_now(bench: Bench) -> None:
    stage = bench.stage
    unknown = PutOff(until=hours(6), why="the answer was lost", unknown=True)
    assert bench.runs(unknown) == "email:1"
    assert list(bench.claims()) == []
    stage.clock.passes(minutes=1)
    assert asks(stage, Books(), T0, dry=True).woken == 1
    assert list(bench.claims()) == []
    assert asks(stage, Books(), T0).woken == 1
    assert asks(stage, Books(), T0).woken == 0
    assert bench.claim().case_id == stage.case().id


def test_nobody_is_disturbed_at_a_step_they_are_at(bench: Bench) -> None:
    bench.runs(PutOff(until=hours(6), why="the answer was lost", unknown=True))
    bench.stage.clock.time = hours(6)
    bench.claim()
    assert asks(bench.stage, Books(), T0).woken == 0


def found_late(failed: datetime) -> Books:
    told = b.bill(attempt_count=1)
    tried = b.declined(at=failed)
    assert isinstance(tried, AttemptReported)
    view = View(bill=told, events=(b.reported(at=failed + timedelta(hours=1), told=told), tried))
    return Books(bills=[told], views={told.invoice: view})


def test_an_invoice_found_late_is_taken_over_and_a_fresh_one_is_a_case_like_any(
    stage: Stage,
) -> None:
    stage.clock.time = days(40)
    found = asks(stage, found_late(T0), days(39))
    assert (found.invoices, found.adopted) == (1, 1)
    (entry,) = stage.all(EntryRow)
    assert (entry.cause, entry.occurred_at, entry.recorded_at) == ("adopted", T0, days(40))
    again = asks(stage, found_late(T0), days(39))
    assert (again.invoices, again.adopted, again.cases) == (1, 0, 0)


def test_an_invoice_that_failed_just_now_is_a_case_like_any(stage: Stage) -> None:
    stage.clock.time = days(1)
    asks(stage, found_late(T0), T0)
    assert stage.all(CatchUpRow)[0].state == "done"
    (entry,) = stage.all(EntryRow)
    assert (entry.cause, entry.occurred_at) == ("failed", T0)
    assert stage.case().next_at == T0


def test_what_was_paid_and_credited_since_the_failure_was_owed_when_it_failed(
    stage: Stage,
) -> None:
    stage.clock.time = days(1)
    books, told = found_late(T0), b.bill(paid=1000, credited=400, attempt_count=1)
    view = books.views[told.invoice]
    books.bills = [told]
    seen = (b.reported(at=hours(23), told=told), *view.events[1:], b.payment(1000, hours(5)))
    books.views[told.invoice] = View(bill=told, events=seen)
    asks(stage, books, T0)
    entries = [(row.cause, row.amount, row.occurred_at) for row in stage.all(EntryRow)]
    assert entries == [
        ("failed", 4900, T0),
        ("paid", 1000, hours(5)),
        ("credited", 400, hours(23)),
    ]


def test_a_view_read_by_a_slow_clock_is_newer_than_the_one_there_was(stage: Stage) -> None:
    stage.tell(b.failed(hours(1)))
    stage.clock.time = T0 - timedelta(hours=1)
    asks(stage, Books(bills=[b.bill(paid=1000)]), T0 - timedelta(days=1))
    assert stage.case().amount_at_risk == 3900
    assert [(row.cause, row.amount) for row in stage.all(EntryRow)] == [
        ("failed", 4900),
        ("paid", 1000),
    ]


def test_no_further_back_than_the_provider_remembers(stage: Stage) -> None:
    books = Books()
    stage.clock.time = days(90)
    asks(stage, books, T0)
    assert books.asked == [days(90) - HORIZON]
    assert stage.all(CaseRow) == []


def test_a_sweeper_that_was_too_slow_writes_nothing_more(stage: Stage) -> None:
    slow = bookmarks.claim(stage.engine, SOURCE, T0)
    assert slow is not None
    assert bookmarks.claim(stage.engine, SOURCE, T0 + LEASE / 2) is None
    quick = bookmarks.claim(stage.engine, SOURCE, T0 + LEASE)
    assert quick is not None
    with pytest.raises(LeaseLostError, match="somebody else"):
        slow.move(T0, seen_to=days(99))
    quick.move(T0 + LEASE, seen_to=days(1))
    (row,) = stage.all(CatchUpRow)
    assert row.seen_to == days(1)


@dataclass
class Slow(Books):
    """A provider that answers once it is allowed to."""

    answers: threading.Event = field(default_factory=threading.Event)

    def missed(self, since: datetime) -> Iterator[bytes]:
        self.asked.append(since)
        assert self.answers.wait(PATIENCE)
        return iter(())


@dataclass
class Source:
    provider: Provider | None
    reader: StripeReader = field(default_factory=StripeReader)


@dataclass
class Program:
    engine: Engine
    clock: ManualClock
    cases: CaseBook
    inbox: Inbox
    sources: dict[str, Source]


def program(stage: Stage, books: Books | None) -> Program:
    source = Source(cast("Provider", books) if books else None)
    return Program(stage.engine, stage.clock, stage.book, stage.inbox, {SOURCE: source})


def test_a_sweeper_keeps_nobody_waiting(stage: Stage) -> None:
    books = Slow()
    sweeper = Sweeper(program(stage, books))
    sweeper.tick()
    eventually(lambda: books.asked)
    sweeper.tick()
    assert sweeper.is_at_work
    assert len(books.asked) == 1
    books.answers.set()
    sweeper.stop(PATIENCE)
    (row,) = stage.all(CatchUpRow)
    assert (row.state, row.lease_token) == ("done", None)


def test_nobody_sweeps_what_cannot_be_asked_or_is_not_to_be(stage: Stage) -> None:
    assert catch_up(program(stage, None), T0) == []
    never = Sweeper(program(stage, Books()), every=timedelta(0))
    never.tick()
    assert not never.is_at_work
    assert stage.all(CatchUpRow) == []


def test_after_more_than_a_month_the_open_invoices_say_what_is_owed(stage: Stage) -> None:
    catch_up(program(stage, Books()), T0)
    stage.clock.time = days(50)
    books = found_late(days(5))
    (swept,) = catch_up(program(stage, books), days(50))
    assert swept.since == days(50) - HORIZON
    assert (swept.found.invoices, swept.found.adopted) == (1, 1)
    (entry,) = stage.all(EntryRow)
    assert (entry.cause, entry.occurred_at) == ("adopted", days(5))


def test_two_who_look_at_once_do_not_both_sweep(stage: Stage) -> None:
    both = Together(*[lambda: bookmarks.claim(stage.engine, SOURCE, T0)] * 4)
    assert both.errors == []
    assert len([one for one in both.given if one]) == 1
