"""A message that may have left is never sent again; one that cannot have left is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.actions.composing import AFTER_PAYMENT
from dunning.core.events import StepResult
from dunning.core.ports import Asked, Doing, Ended
from dunning.errors import LeaseLostError
from dunning.store import MessageRow
from tests.builders import T0
from tests.policies import policy, rung
from tests.stages.doing import LEASE, LETTERS, SAID, Begin, dies, until


def dies_sending(doing: Doing) -> Ended:
    """The process ends while a message is handed over."""
    doing.asking(Asked(method=None))
    raise KeyboardInterrupt


def test_a_message_that_may_have_left_is_not_sent_again(begin: Begin) -> None:
    bench = begin(LETTERS)
    with pytest.raises(KeyboardInterrupt):
        bench.runs(dies_sending)
    bench.acting.asked.clear()
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    assert bench.runs() == "email:1"
    assert bench.acting.asked == []
    row = bench.step("email:1")
    assert (row.state, row.result) == ("ended", "doubtful")
    assert row.why == "the worker that sent it died before it could say so; not sent twice"


def test_a_message_that_cannot_have_left_is_sent_by_the_next_worker(begin: Begin) -> None:
    """The one before died after its intent, or never learned that the intent was written."""
    bench = begin(LETTERS)
    with pytest.raises(KeyboardInterrupt):
        bench.runs(dies)
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    assert bench.runs(Ended(result=StepResult.DONE, why="sent", said=SAID)) == "email:1"
    assert not bench.acting.asked[-1].again
    assert bench.step("email:1").result == "done"
    assert len(bench.stage.all(MessageRow)) == 1


def test_a_message_taken_over_meanwhile_is_not_handed_over(begin: Begin) -> None:
    """A worker that stood still longer than its lease asks before it sends, and is refused."""
    bench = begin(LETTERS)
    (late,) = bench.executor.begin([bench.claim()])
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    bench.runs(Ended(result=StepResult.DONE, why="sent", said=SAID))
    with pytest.raises(LeaseLostError):
        late.doing.asking(Asked(method=None))


def test_a_message_is_on_record_with_the_outcome(begin: Begin) -> None:
    bench = begin(LETTERS)
    bench.runs(Ended(result=StepResult.DONE, why="sent", said=SAID))
    (message,) = bench.stage.all(MessageRow)
    assert message.step_key == bench.step("email:1").key
    assert (message.recipient, message.state, message.at) == ("ann@example.com", "sent", T0)
    assert message.reference == "<1@example.com>"
    assert "payment_failed" not in AFTER_PAYMENT


def test_a_fault_while_writing_a_message_does_not_send_it_twice(begin: Begin) -> None:
    def breaks(doing: Doing) -> Ended:
        doing.asking(Asked(method=None))
        raise ZeroDivisionError("ours")

    bench = begin(LETTERS)
    bench.runs(breaks)
    bench.stage.clock.time += until(bench)
    bench.acting.asked.clear()
    bench.runs()
    assert bench.acting.asked == []
    assert bench.step("email:1").result == "doubtful"


def test_a_fault_before_a_message_was_handed_over_is_tried_again(begin: Begin) -> None:
    bench = begin(LETTERS)
    bench.runs(ZeroDivisionError("ours"))
    bench.stage.clock.time += until(bench)
    bench.runs()
    assert bench.step("email:1").result == "done"


def test_a_message_that_may_have_left_is_not_called_missed(begin: Begin) -> None:
    """Its worker died, and by the time it is taken up a later message says it all."""
    reminded = policy(
        rung("email", 0, template="payment_failed"),
        rung("email", 1, template="reminder"),
        rung("give_up", 28),
    )
    bench = begin(reminded)
    with pytest.raises(KeyboardInterrupt):
        bench.runs(dies_sending)
    bench.stage.clock.time += timedelta(days=1, hours=2)
    assert bench.runs(Ended(result=StepResult.DONE, why="sent", said=SAID)) == "email:2"
    assert bench.step("email:1").result == "doubtful"
    assert bench.step("email:2").result == "done"
