"""A claimed step: its intent is durable before the act and its outcome after, or nothing is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event as hooks
from sqlalchemy.exc import OperationalError

from dunning.core.events import StepResult
from dunning.core.ports import Asked, Doing, Ended, PutOff
from dunning.errors import ProviderDownError, ProviderRefusedError
from dunning.store import MessageRow, ScheduleRow
from dunning.trying import REFUSALS, backoff
from tests.builders import T0, days, declined, paid, succeeded
from tests.policies import policy, rung
from tests.stages.doing import (
    DECLINED,
    LEASE,
    LETTERS,
    RETRIES,
    SAID,
    Answer,
    Begin,
    dies,
    until,
)
from tests.stages.kit import Together

# --- intent and outcome ------------------------------------------------------------------------


def test_the_intent_is_written_before_the_act_and_the_outcome_after(begin: Begin) -> None:
    bench = begin(day=1)
    claim = bench.claim()
    bench.acting.answers.append(DECLINED)
    assert bench.executor.run(claim) == f"{claim.case_id}/retry:1"
    (intent,) = bench.acting.rows
    assert (intent.state, intent.result, intent.ended_at) == ("running", None, None)
    assert (intent.tries, intent.lease_token, intent.started_at) == (1, claim.token, days(1))
    assert (intent.due_at, intent.policy_version) == (days(1), RETRIES.version)
    outcome = bench.step("retry:1")
    assert (outcome.state, outcome.result) == ("ended", "declined")
    assert (outcome.why, outcome.ended_at) == ("declined: insufficient_funds", days(1))
    assert outcome.lease_token is None


def test_the_case_moves_on_to_its_next_step_and_the_claim_is_over(begin: Begin) -> None:
    bench = begin(day=1)
    bench.runs(DECLINED)
    case = bench.stage.case()
    assert (case.next_step, case.next_at) == ("retry:2", days(2))
    cursor = bench.stage.cursor()
    assert cursor is not None
    assert (cursor.due_at, cursor.leased_until, cursor.lease_token) == (days(2), None, None)
    assert bench.claims() == []


def test_the_action_is_told_what_it_needs(begin: Begin) -> None:
    bench = begin(day=1)
    bench.runs()
    (doing,) = bench.acting.asked
    assert doing.case.invoice == "in_1"
    assert doing.policy == RETRIES
    assert (doing.now, doing.first_started_at) == (days(1), days(1))
    assert (doing.again, doing.tries) == (False, 1)


def test_no_transaction_is_open_while_a_step_is_acted_on(begin: Begin) -> None:
    bench = begin(day=1)

    def act(_doing: Doing) -> Ended:
        # On SQLite there is one writer: with one left open this would wait for it.
        others = Together(lambda: bench.stage.tell(declined("expired_card", days(0.5))))
        assert others.errors == []
        return DECLINED

    assert bench.runs(act) == "retry:1"
    assert bench.stage.case().decline_code == "expired_card"


def test_what_a_step_learned_is_taken_in_with_its_outcome(begin: Begin) -> None:
    bench = begin(day=1)
    bench.runs(Ended(result=StepResult.NOT_OWED, events=(paid(days(0.9)),)))
    case = bench.stage.case()
    assert (case.state, case.closed_at) == ("recovered", days(0.9))
    assert bench.step("retry:1").result == "not_owed"


def test_one_claim_is_one_act(begin: Begin) -> None:
    bench = begin(day=3)  # both retries are due
    claim = bench.claim()
    bench.executor.run(claim)
    assert len(bench.acting.asked) == 1
    assert bench.executor.run(claim) is None
    assert len(bench.acting.asked) == 1


def test_a_claim_with_nothing_due_is_given_back(begin: Begin) -> None:
    bench = begin(day=0)
    with bench.stage.writing() as session:
        session.get_one(ScheduleRow, bench.stage.case().id).due_at = T0
    assert bench.runs() is None
    cursor = bench.stage.cursor()
    assert cursor is not None
    assert (cursor.due_at, cursor.leased_until, cursor.lease_token) == (days(1), None, None)
    assert bench.acting.asked == []


def test_a_missed_step_is_put_on_record_with_the_reason(begin: Begin) -> None:
    bench = begin(day=3)
    assert bench.runs() == "retry:2"
    missed = bench.step("retry:1")
    assert (missed.state, missed.result, missed.tries) == ("ended", "skipped", 0)
    assert missed.why == "missed: retry:2 is due as well"
    assert bench.acting.keys == ["retry:2"]


# --- whose claim -------------------------------------------------------------------------------


def test_a_claim_that_is_not_ours_any_more_begins_nothing(begin: Begin) -> None:
    bench = begin(day=1)
    late = bench.claim()
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    holder = bench.claim()
    assert bench.executor.run(late) is None
    assert bench.acting.asked == []
    assert bench.executor.run(holder) is not None


def test_a_claim_that_ran_out_unused_begins_nothing(begin: Begin) -> None:
    bench = begin(day=1)
    late = bench.claim()
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    assert bench.executor.run(late) is None
    assert bench.acting.asked == []
    assert bench.runs() == "retry:1"


def test_whoever_lost_the_lease_during_the_act_writes_nothing(begin: Begin) -> None:
    bench = begin(day=1)

    def slow(_doing: Doing) -> Ended:
        bench.stage.clock.passes(seconds=LEASE.total_seconds())
        assert bench.runs(DECLINED) == "retry:1"  # somebody else, meanwhile
        return Ended(result=StepResult.DONE, why="too late", events=(paid(days(1)),), said=SAID)

    assert bench.runs(slow) is None
    assert bench.step("retry:1").why == DECLINED.why
    assert bench.stage.case().state == "in_grace"
    assert bench.stage.all(MessageRow) == []


def test_who_takes_over_knows_that_it_may_have_happened(begin: Begin) -> None:
    bench = begin(day=1)
    began = bench.stage.clock.now()
    with pytest.raises(KeyboardInterrupt):
        bench.runs(dies)
    assert bench.step("retry:1").state == "running"
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    bench.runs(DECLINED)
    doing = bench.acting.asked[-1]
    assert (doing.again, doing.tries, doing.first_started_at) == (True, 2, began)


def test_an_outcome_that_meets_a_deadlock_is_written_all_the_same(begin: Begin) -> None:
    """What was done to the world is not forgotten over what passes in a moment."""
    bench = begin(LETTERS)
    left = [2]

    def deadlock(_c: object, _cursor: object, said: str, *_rest: object) -> None:
        if said.startswith("UPDATE cases") and bench.acting.asked and left[0]:
            left[0] -= 1
            why = Exception("deadlock detected")
            why.sqlstate = "40P01"  # type: ignore[attr-defined]
            raise OperationalError(said, {}, why)

    hooks.listen(bench.stage.engine, "before_cursor_execute", deadlock)
    assert bench.runs(Ended(result=StepResult.DONE, why="sent", said=SAID)) == "email:1"
    assert left == [0]
    assert len(bench.stage.all(MessageRow)) == 1
    assert len(bench.acting.asked) == 1


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_provider_that_is_away_puts_the_step_off_ever_longer(begin: Begin) -> None:
    bench = begin(day=1)
    for tries in (1, 2, 3):
        bench.runs(ProviderDownError("no answer"))
        row = bench.step("retry:1")
        assert (row.state, row.result, row.tries, row.why) == ("deferred", None, tries, "no answer")
        assert until(bench) == backoff(tries) == timedelta(minutes=2 ** (tries - 1))
        bench.stage.clock.time += until(bench)
    assert not any(doing.again for doing in bench.acting.asked)


def test_the_provider_may_ask_for_more_time(begin: Begin) -> None:
    bench = begin(day=1)
    bench.runs(ProviderDownError("slow down", retry_after=1000))
    assert until(bench) == timedelta(seconds=1000)


def test_the_wait_has_an_end() -> None:
    assert backoff(0) == backoff(1) == timedelta(minutes=1)
    assert backoff(9) == timedelta(minutes=256)
    assert backoff(10) == backoff(10_000) == timedelta(hours=6)


def test_a_clear_no_is_given_up_after_some_tries_on_record(begin: Begin) -> None:
    bench = begin(policy(rung("restrict", 1), rung("give_up", 28)), day=1)
    for _ in range(REFUSALS - 1):
        bench.runs(ProviderRefusedError("the key may not do this"))
        assert bench.step("restrict:1").state == "deferred"
        bench.stage.clock.time += until(bench)
    bench.runs(ProviderRefusedError("the key may not do this"))
    row = bench.step("restrict:1")
    assert (row.state, row.result, row.tries) == ("ended", "skipped", REFUSALS)
    assert row.why == "the key may not do this"


def test_a_fault_of_ours_neither_stops_the_case_nor_repeats_a_charge_blindly(begin: Begin) -> None:
    bench = begin(day=1)
    bench.runs(ZeroDivisionError("ours"))
    row = bench.step("retry:1")
    assert (row.state, row.why) == ("unknown", "ZeroDivisionError: ours")
    bench.stage.clock.time += until(bench)
    for _ in range(REFUSALS + 2):  # as long as it is not known it is not given up either
        bench.runs(ZeroDivisionError("ours"))
        assert bench.acting.asked[-1].again
        assert bench.step("retry:1").state == "unknown"
        bench.stage.clock.time += until(bench)


@pytest.mark.parametrize(
    "answer",
    [
        PutOff(until=days(1.5), why="not sent", unknown=True),
        ProviderDownError("no answer"),
        ProviderRefusedError("no"),
    ],
    ids=["not sent", "away", "refused"],
)
def test_a_charge_that_is_not_known_stays_so_until_somebody_knows(
    begin: Begin, answer: Answer
) -> None:
    bench = begin(day=1)
    bench.runs(PutOff(until=days(1.1), why="no answer in time", unknown=True))
    assert bench.step("retry:1").state == "unknown"
    bench.stage.clock.time += until(bench)
    bench.runs(answer)
    assert bench.acting.asked[-1].again
    assert bench.step("retry:1").state == "unknown"
    bench.stage.clock.time += until(bench)
    bench.runs(DECLINED)
    assert bench.acting.asked[-1].again
    assert bench.step("retry:1").result == "declined"


def test_what_is_put_off_and_known_is_begun_afresh(begin: Begin) -> None:
    bench = begin(day=1)
    bench.runs(PutOff(until=days(1.2), why="on hold"))
    assert bench.step("retry:1").state == "deferred"
    assert bench.stage.case().next_at == days(1.2)
    bench.stage.clock.time = days(1.2)
    bench.runs()
    doing = bench.acting.asked[-1]
    assert (doing.again, doing.tries, doing.first_started_at) == (False, 2, days(1))


# --- the case ends meanwhile -------------------------------------------------------------------


def test_a_payment_heard_of_during_the_act_is_not_overwritten(begin: Begin) -> None:
    bench = begin(day=1)

    def pays(_doing: Doing) -> Ended:
        bench.stage.tell(paid(days(1)))
        return DECLINED

    bench.runs(pays)
    assert bench.stage.case().state == "recovered"
    assert bench.step("retry:1").result == "declined"


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("kind", ["retry", "email"])
def test_a_step_put_off_while_its_case_ended_is_over(
    begin: Begin, kind: str, unknown: bool
) -> None:
    bench = begin(LETTERS if kind == "email" else RETRIES, day=0 if kind == "email" else 1)
    now = bench.stage.clock.now()

    def pays(doing: Doing) -> PutOff:
        if unknown:
            doing.asking(Asked(method=None))
        bench.stage.tell(paid(now))
        return PutOff(until=now + timedelta(hours=1), why="certainly not sent", unknown=unknown)

    bench.runs(pays)
    row = bench.step(f"{kind}:1")
    if unknown and kind == "retry":
        # It may be the very charge that paid: it ends once it is told which one did.
        assert row.state == "unknown"
        bench.stage.tell(succeeded(now), now=now)
        row = bench.step(f"{kind}:1")
    result = "doubtful" if unknown and kind == "email" else "not_owed"
    assert (row.state, row.result) == ("ended", result)
    assert row.ended_at == now
    assert [one for one in bench.steps().values() if one[0] != "ended"] == []


def test_a_claim_that_two_workers_were_given_is_acted_on_once(begin: Begin) -> None:
    """The broker repeats a message whose worker it believes dead."""
    bench = begin(day=1)
    claim = bench.claim()

    def act(_doing: Doing) -> Ended:
        both = Together(lambda: bench.executor.run(claim), lambda: bench.executor.run(claim))
        assert both.errors == []
        assert both.given == [None, None]
        return DECLINED

    bench.acting.answers = [act]
    assert bench.executor.run(claim) is not None
    assert len(bench.acting.asked) == 1
    assert (bench.step("retry:1").result, bench.step("retry:1").tries) == ("declined", 1)
