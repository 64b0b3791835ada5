"""Steps of many cases in one transaction: as if each were alone, and what fails, fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as hooks
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col

from dunning.begun import Intent, unknown_steps
from dunning.breaker import Breaker
from dunning.core.events import StepKind, StepResult
from dunning.core.gate import Held, Pulse
from dunning.core.ports import Asked, Doing, Ended, PutOff
from dunning.errors import LeaseLostError, ProviderDownError
from dunning.executor import LEASE, Executor
from dunning.schedule import Claim
from dunning.store import CaseRow, ScheduleRow, StepRow
from tests.builders import bill, days, failed
from tests.policies import policy, rung
from tests.stages.doing import DECLINED, DONE, Bench
from tests.stages.kit import Stage

RETRIES = policy(rung("retry", 1), rung("retry", 2), rung("give_up", 28))
COUNT = 6


@pytest.fixture
def bench(stage: Stage) -> Bench:
    """Some cases past their first look at the provider, a day later."""
    stage.policy = RETRIES
    for number in range(COUNT):
        who: dict[str, Any] = {"customer": f"cus_{number}", "subscription": f"sub_{number}"}
        told = bill(invoice=f"in_{number}", **who)
        stage.tell(failed(told=told, id=f"evt_{number}"))
    made = Bench(stage)
    made.executor.run_many(made.claims())
    assert len(made.acting.asked) == COUNT
    made.acting.asked.clear()
    made.acting.rows.clear()
    stage.clock.time = days(1)
    return made


def steps(bench: Bench, name: str = "retry:1") -> list[tuple[str, str | None]]:
    rows = [row for row in bench.stage.all(StepRow) if row.key.endswith(f"/{name}")]
    return sorted((row.state, row.result) for row in rows)


def act_all(bench: Bench, intents: Sequence[Intent]) -> list[str]:
    done = [one for intent in intents if (one := bench.executor.act(intent))]
    assert bench.executor.conclude(done) == []
    return [one.intent.claim.case_id for one in done]


def statements(stage: Stage, run: Callable[[], object]) -> list[str]:
    said: list[str] = []

    def hear(_c: object, _cursor: object, text: str, *_rest: object) -> None:
        said.append(text.strip())

    hooks.listen(stage.engine, "before_cursor_execute", hear)
    run()
    hooks.remove(stage.engine, "before_cursor_execute", hear)
    return said


def test_intents_of_many_take_few_statements(bench: Bench) -> None:
    claims = bench.claims()
    said = statements(bench.stage, lambda: bench.executor.begin(claims))
    assert len(claims) == COUNT
    assert len([one for one in said if not one.startswith("BEGIN")]) <= 4
    assert steps(bench) == [("running", None)] * COUNT


def test_many_are_begun_acted_on_and_concluded(bench: Bench) -> None:
    bench.acting.answers = [DECLINED] * COUNT
    assert len(act_all(bench, bench.executor.begin(bench.claims()))) == COUNT
    assert steps(bench) == [("ended", "declined")] * COUNT
    assert {row.due_at for row in bench.stage.all(ScheduleRow)} == {days(2)}
    assert bench.stage.leased() == 0


def test_a_lease_runs_from_the_beginning_of_the_step(bench: Bench) -> None:
    claims = bench.claims()
    now = bench.stage.clock.passes(seconds=60)
    bench.executor.begin(claims)
    assert {row.leased_until for row in bench.stage.all(ScheduleRow)} == {now + LEASE}


def test_a_claim_that_grew_too_old_in_the_queue_is_not_begun(bench: Bench) -> None:
    claims = bench.claims()
    bench.stage.clock.passes(seconds=120)
    assert bench.executor.begin(claims) == []
    assert steps(bench) == []


def test_one_bad_case_keeps_no_other_from_beginning(bench: Bench) -> None:
    claims = bench.claims()
    with bench.stage.writing() as session:
        bad = update(CaseRow).where(col(CaseRow.id) == claims[2].case_id)
        session.execute(bad.values(facts="not json"))
    begun = act_all(bench, bench.executor.begin(claims))
    assert sorted(begun) == sorted(one.case_id for one in claims if one is not claims[2])


def test_one_outcome_that_cannot_be_written_keeps_no_other_from_being_written(
    bench: Bench,
) -> None:
    intents = bench.executor.begin(bench.claims())
    broken = intents[3].claim.case_id
    with bench.stage.writing() as session:
        row = update(CaseRow).where(col(CaseRow.id) == broken)
        session.execute(row.values(facts="not json"))
    act_all(bench, intents)
    assert steps(bench) == [("ended", "done")] * (COUNT - 1) + [("running", None)]


def test_who_lost_one_lease_writes_the_others(bench: Bench) -> None:
    intents = bench.executor.begin(bench.claims())
    with bench.stage.writing() as session:
        session.get_one(ScheduleRow, intents[0].claim.case_id).lease_token = "another"
    act_all(bench, intents)
    assert steps(bench) == [("ended", "done")] * (COUNT - 1) + [("running", None)]


def test_an_outcome_whose_commit_was_not_heard_of_is_written_once(bench: Bench) -> None:
    intents = bench.executor.begin(bench.claims())
    done = [one for intent in intents if (one := bench.executor.act(intent))]
    assert bench.executor.conclude(done) == []
    versions = {row.id: row.version for row in bench.stage.all(CaseRow)}
    assert bench.executor.conclude(done) == []  # the answer to the commit got lost
    assert {row.id: row.version for row in bench.stage.all(CaseRow)} == versions
    assert steps(bench) == [("ended", "done")] * COUNT


def test_outcomes_wait_for_a_database_that_is_away(bench: Bench) -> None:
    intents = bench.executor.begin(bench.claims())
    done = [one for intent in intents if (one := bench.executor.act(intent))]
    away = [True]

    def refuse(_c: object, _cursor: object, said: str, *_rest: object) -> None:
        if away[0] and said.startswith("UPDATE cases"):
            raise OperationalError(said, {}, ConnectionError("gone"))

    hooks.listen(bench.stage.engine, "before_cursor_execute", refuse)
    assert bench.executor.conclude(done) == done
    away[0] = False
    assert bench.executor.conclude(done) == []
    assert steps(bench) == [("ended", "done")] * COUNT


def test_a_message_that_comes_twice_begins_nothing_twice(bench: Bench) -> None:
    claims = bench.claims()
    first = bench.executor.begin(claims)
    assert bench.executor.begin([*claims, *claims]) == []
    act_all(bench, first)
    assert {row.tries for row in bench.stage.all(StepRow)} == {1}


# --- what was asked for ------------------------------------------------------------------------


def test_what_was_asked_for_is_known_to_whoever_takes_over(bench: Bench) -> None:
    def asks(doing: Doing) -> PutOff:
        doing.asking(Asked(method="pm_1", times=1))
        return PutOff(until=days(1.1), why="no answer", unknown=True)

    bench.acting.answers = [asks] * COUNT
    act_all(bench, bench.executor.begin(bench.claims()))
    with bench.stage.writing() as session:
        assert unknown_steps(session).count == COUNT
        assert unknown_steps(session).oldest_at == days(1)
    bench.stage.clock.time = days(1.1)
    again = bench.executor.begin(bench.claims())
    assert {intent.doing.asked for intent in again} == {Asked(method="pm_1", times=1)}
    assert all(intent.doing.again for intent in again)


def test_what_was_certainly_not_done_is_asked_for_afresh(bench: Bench) -> None:
    def asks(doing: Doing) -> PutOff:
        doing.asking(Asked(method="pm_1"))
        return PutOff(until=days(1.1), why="not sent")

    bench.acting.answers = [asks] * COUNT
    act_all(bench, bench.executor.begin(bench.claims()))
    bench.stage.clock.time = days(1.1)
    assert {one.doing.asked for one in bench.executor.begin(bench.claims())} == {None}


def test_who_slept_through_the_lease_is_stopped_before_the_charge(bench: Bench) -> None:
    """A process that was halted for longer than a lease, and goes on where it was."""
    charged: list[datetime] = []

    def sleeps(doing: Doing) -> Ended:
        bench.stage.clock.passes(seconds=120)
        others = bench.executor.begin(bench.claims())
        assert doing.step.key in {one.doing.step.key for one in others}
        doing.asking(Asked(method="pm_1"))
        charged.append(doing.now)
        return DONE

    bench.acting.answers = [sleeps]
    (late, *_) = bench.executor.begin(bench.claims())
    assert bench.executor.act(late) is None
    assert charged == []
    with pytest.raises(LeaseLostError):
        late.doing.asking(Asked(method="pm_1"))


# --- the gate ----------------------------------------------------------------------------------


class Shut:
    """A gate that holds one kind of step."""

    def __init__(self, kind: StepKind | None) -> None:
        self.kind = kind
        self.pulses: list[Pulse] = []

    def refresh(self, now: datetime) -> None:
        """Nothing to read."""

    def held(self, source: str, kind: StepKind, now: datetime, case: str = "") -> Held | None:
        return Held(now + timedelta(minutes=7), "too many failures") if kind is self.kind else None

    def note(self, session: Session, pulses: Sequence[Pulse], now: datetime) -> None:
        assert session.in_transaction()
        self.pulses += pulses


def gated(bench: Bench, gate: Shut) -> Executor:
    stage = bench.stage
    actions = dict.fromkeys(StepKind, bench.acting)
    return Executor(stage.engine, stage.clock, stage.book, actions, announces=False, gate=gate)


def test_what_the_gate_holds_is_put_off_and_not_counted(bench: Bench) -> None:
    executor = gated(bench, Shut(StepKind.RETRY))
    claims: list[Claim] = list(bench.claims())
    assert executor.begin(claims[1:]) == []
    assert executor.run(claims[0]) is None
    assert steps(bench) == []
    later = days(1) + timedelta(minutes=7)
    assert {row.due_at for row in bench.stage.all(ScheduleRow)} == {later}
    assert {row.next_at for row in bench.stage.all(CaseRow)} == {later}
    assert bench.stage.leased() == 0


def test_the_gate_is_read_before_a_transaction_opens_and_not_in_it(bench: Bench) -> None:
    """Otherwise a thread needs two connections, and on SQLite may wait for itself."""
    breaker = Breaker(bench.stage.engine)
    gate = Shut(None)
    gate.refresh = breaker.refresh  # type: ignore[method-assign]
    gate.held = breaker.held  # type: ignore[method-assign]
    executor = gated(bench, gate)
    most = 0
    out: set[int] = set()

    def taken(_line: object, record: object, _proxy: object) -> None:
        nonlocal most
        out.add(id(record))
        most = max(most, len(out))

    hooks.listen(bench.stage.engine, "checkout", taken)
    hooks.listen(bench.stage.engine, "checkin", lambda _line, record: out.discard(id(record)))
    assert len(executor.begin(bench.claims())) == COUNT
    assert most == 1


def test_the_gate_hears_how_steps_ended(bench: Bench) -> None:
    gate = Shut(None)
    executor = gated(bench, gate)
    bench.acting.answers = [
        DECLINED,
        ProviderDownError("away"),
        PutOff(until=days(2), why="?", unknown=True),
        PutOff(until=days(2), why="later"),
        Ended(result=StepResult.DONE),
    ]
    intents = executor.begin(bench.claims())[:5]
    assert executor.conclude([one for i in intents if (one := executor.act(i))]) == []
    endings = [pulse.ending for pulse in gate.pulses]
    assert endings == ["declined", "down", "unknown", "put_off", "done"]
    assert {(pulse.source, pulse.kind) for pulse in gate.pulses} == {("stripe", StepKind.RETRY)}
