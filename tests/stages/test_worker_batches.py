"""What workers are told of while all of them are busy is handled together, in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from sqlmodel import select

from dunning import worker as module
from dunning.store import InboxRow, transaction
from dunning.wiring import Program
from dunning.worker import Work
from tests.stages.kit import eventually
from tests.stages.test_worker import alone, failed, keep_in

__all__ = ["alone"]


@pytest.fixture
def busy(alone: tuple[Program, Work], monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    program, work = alone
    made = Busy(program, work)
    monkeypatch.setattr(program.inbox, "handle", made.handle)
    yield made
    made.go.set()
    for thread in made.threads:
        thread.join(60)


class Busy:
    """Handlers that are all at work on something, until they may go on."""

    def __init__(self, program: Program, work: Work) -> None:
        self.program, self.work = program, work
        self.go, self.fails = threading.Event(), False
        self.batches: list[list[int]] = []
        self.threads: list[threading.Thread] = []
        self._handle: Callable[..., int] = program.inbox.handle

    def handle(self, given: list[int], now: object) -> int:
        self.batches.append(list(given))
        assert self.go.wait(60)
        if self.fails:
            raise ZeroDivisionError("ours")
        return self._handle(given, now)

    def begins(self) -> list[int]:
        """Occupy every handler with a row of its own; their ids."""
        ids = keep_in(self.program, *(failed(number) for number in range(module.HANDLERS)))
        for row_id in ids:
            thread = threading.Thread(target=self._runs, args=([row_id],))
            self.threads.append(thread)
            thread.start()
        eventually(lambda: len(self.batches) == module.HANDLERS)
        return ids

    def _runs(self, ids: list[int]) -> None:
        with suppress(ZeroDivisionError):
            self.work.handle_inbox.fn(ids)

    def states(self) -> list[str]:
        with transaction(self.program.engine) as session:
            return [row.state for row in session.exec(select(InboxRow)).all()]


def test_what_is_told_of_while_all_are_busy_is_handled_together_in_order(busy: Busy) -> None:
    first = busy.begins()
    ids = keep_in(busy.program, *(failed(number) for number in range(10, 16)))
    for few in (ids[4:], ids[:2], ids[2:4]):
        busy.work.handle_inbox.fn(few)  # does not wait
    assert len(busy.batches) == module.HANDLERS
    busy.go.set()
    eventually(lambda: busy.states() == ["handled"] * (len(first) + len(ids)))
    assert busy.batches[module.HANDLERS :] == [ids]


def test_a_batch_of_many_messages_has_a_limit(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOGETHER", 4)
    busy.begins()
    ids = keep_in(busy.program, *(failed(number) for number in range(10, 16)))
    for few in (ids[:3], ids[3:4], ids[4:]):
        busy.work.handle_inbox.fn(few)
    busy.go.set()
    eventually(lambda: set(busy.states()) == {"handled"})
    assert sorted(busy.batches[module.HANDLERS :]) == [ids[:4], ids[4:]]


def test_a_handler_that_fails_leaves_its_place_to_another(busy: Busy) -> None:
    busy.begins()
    busy.fails = True
    busy.go.set()
    for thread in busy.threads:
        thread.join(60)
    busy.fails = False
    ids = keep_in(busy.program, failed(10))
    busy.work.handle_inbox.fn(ids)
    assert busy.states().count("handled") == 1
    assert not busy.work.in_hand


def test_a_message_of_another_form_fails_alone(busy: Busy) -> None:
    busy.begins()
    (row_id,) = keep_in(busy.program, failed(10))
    busy.work.handle_inbox.fn([row_id])
    with pytest.raises(ValueError, match="version"):
        busy.work.handle_inbox.fn(["version 2"])  # type: ignore[list-item]
    busy.go.set()
    eventually(lambda: set(busy.states()) == {"handled"})
