"""Thin events: what they speak of is fetched, later if need be, and parked when it cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dunning.core.ports import Ignored, Incomplete, Reading, Understood, Unreadable
from dunning.errors import ProviderDownError, ProviderRefusedError
from dunning.inbox import FETCH_WAITS, LEASE, Inbox, replay, sweep
from dunning.providers.stripe.normalise import read_object
from dunning.providers.stripe.reader import StripeReader
from dunning.readers import SourceReader
from dunning.store import CaseRow, InboxRow
from tests.builders import SOURCE
from tests.providers.stripe.bodies import AT, event, invoice, thin
from tests.stages.kit import Stage, named, on_database
from tests.stages.parts import Stripe

FAILED = thin("v1.invoice.payment_failed")
Answer = Callable[[], Reading]


class Fetching(Stripe):
    """A provider that answers each fetch as it is told."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.answer: Answer = fetched
        self.open = 0
        self.stage: Stage | None = None

    def _answer(self, _thin: Incomplete) -> Reading:
        assert self.stage is not None
        with self.stage.writing() as session:  # on SQLite this waits for any open transaction
            session.connection()
        return self.answer()


def fetched() -> Reading:
    """The object as it is now, read as if it had come whole."""
    return read_object(
        "v1.invoice.payment_failed", invoice(), event_id="evt_test_1", created=AT, request=None
    )


def away() -> Reading:
    raise ProviderDownError("no answer")


@pytest.fixture
def provider() -> Fetching:
    return Fetching()


@pytest.fixture
def stage(migrated_url: str, provider: Fetching) -> Iterator[Stage]:
    """A stage whose source has a provider."""
    for stage in on_database(migrated_url, provider=provider):
        provider.stage = stage
        yield stage


def row_of(stage: Stage) -> InboxRow:
    (row,) = stage.inbox_rows()
    return row


def handle(stage: Stage) -> None:
    stage.inbox.handle([row_of(stage).id or 0], stage.clock.now())


def test_what_it_speaks_of_is_fetched_and_reaches_its_case(
    stage: Stage, provider: Fetching
) -> None:
    (row,) = stage.hears(FAILED)
    assert provider.asked == ["in_1"]
    assert (row.state, row.ref) == ("handled", stage.case().id)
    assert isinstance(fetched(), Understood)


def test_the_whole_event_and_the_thin_one_are_the_same_news(stage: Stage) -> None:
    stage.hears(FAILED)
    before = stage.case()
    stage.hears(named(event("invoice.payment_failed", invoice())))
    after = stage.case()
    assert (after.state, after.amount_at_risk) == (before.state, before.amount_at_risk)
    assert len(stage.all(CaseRow)) == 1


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (Ignored(why="in_1 is gone"), "ignored", "in_1 is gone"),
        (Unreadable(why="currency is missing"), "parked", "currency is missing"),
        (
            Incomplete(type="x", object_id="in_1"),
            "parked",
            "the fetched object is incomplete as well",
        ),
    ],
    ids=["ignored", "unreadable", "incomplete"],
)
def test_every_other_answer_has_its_end(
    stage: Stage, provider: Fetching, answer: Reading, state: str, reason: str
) -> None:
    provider.answer = lambda: answer
    (row,) = stage.hears(FAILED)
    assert (row.state, row.reason) == (state, reason)


def test_a_provider_that_is_away_is_asked_again_ever_later_and_then_a_person_is(
    stage: Stage, provider: Fetching
) -> None:
    provider.answer = away
    stage.keep(FAILED)
    for tries, wait in enumerate(FETCH_WAITS, 1):
        handle(stage)
        row = row_of(stage)
        assert (row.state, row.tries, row.handled_at) == ("new", tries, None)
        assert row.reason == "will be fetched again: no answer"
        assert row.wake_at == stage.clock.now() + wait
        with stage.writing() as session:
            assert sweep(session, row.wake_at - LEASE / 30, limit=9) == []
        stage.clock.time = row.wake_at
        with stage.writing() as session:
            assert sweep(session, stage.clock.now(), limit=9) == [row.id]
    handle(stage)
    row = row_of(stage)
    assert (row.state, row.reason) == ("parked", "gave up fetching what it speaks of: no answer")
    assert len(provider.asked) == len(FETCH_WAITS) + 1


def test_it_is_fetched_as_soon_as_the_provider_is_back(stage: Stage, provider: Fetching) -> None:
    provider.answer = away
    stage.keep(FAILED)
    handle(stage)
    provider.answer = fetched
    stage.clock.time = row_of(stage).wake_at
    handle(stage)
    assert row_of(stage).state == "handled"
    assert row_of(stage).reason == ""


def test_a_parked_one_has_all_its_tries_again_once_replayed(
    stage: Stage, provider: Fetching
) -> None:
    provider.answer = lambda: Unreadable(why="odd")
    (row,) = stage.hears(FAILED)
    provider.answer = away
    with stage.writing() as session:
        replay(session, [row.id or 0], stage.clock.now())
    handle(stage)
    assert (row_of(stage).state, row_of(stage).tries) == ("new", 1)


@pytest.mark.parametrize(
    "error", [ProviderRefusedError("the key may not read it"), ZeroDivisionError("ours")], ids=str
)
def test_a_fetch_that_fails_harms_no_other_row(
    stage: Stage, provider: Fetching, error: Exception
) -> None:
    def fails() -> Reading:
        raise error

    provider.answer = fails
    ids = stage.keep(
        named(event("invoice.payment_failed", invoice(id="in_2"))),
        FAILED,
        named(event("invoice.payment_failed", invoice(id="in_3"))),
    )
    stage.inbox.handle(ids, stage.clock.now())
    first, poor, last = stage.inbox_rows()
    assert (first.state, last.state) == ("handled", "handled")
    assert poor.state in ("new", "parked")
    assert str(error) in poor.reason


def test_without_a_provider_it_is_parked_at_once(stage: Stage) -> None:
    readers = {SOURCE: SourceReader(StripeReader(), None)}
    stage.inbox = Inbox(stage.engine, stage.book, readers)
    (row,) = stage.hears(FAILED)
    assert row.state == "parked"
    assert "without an API key its object cannot be fetched" in row.reason
