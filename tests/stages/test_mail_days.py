"""A day of a customer is one step's, whoever races for it and whatever dies; and free again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from dunning.begun import Intent
from dunning.case_rows import read_facts
from dunning.core.events import StepKind, StepResult
from dunning.core.ports import Doing, Ended, PutOff, Saying
from dunning.executor import LEASE, Executor
from dunning.schedule import Claim
from dunning.store import CaseRow, MailDayRow, StepRow
from tests.builders import bill, days, failed, hours
from tests.policies import policy, rung
from tests.stages.doing import SAID, Bench
from tests.stages.kit import Stage, Together
from tests.stages.test_step_batches import act_all, statements

LETTERS = policy(
    rung("email", 0, template="payment_failed"),
    rung("email", 3, template="reminder"),
    rung("give_up", 28),
)
Owing = Callable[..., Bench]


def says(doing: Doing) -> Ended:
    """A message of this case and all others of the customer leaves."""
    doing.asking(Saying(template=doing.step.template or "", cases=(doing.case.id, *doing.others)))
    return Ended(result=StepResult.DONE, why="sent", said=SAID)


def says_alone(doing: Doing) -> Ended:
    """It speaks of no other."""
    doing.asking(Saying(template=doing.step.template or "", cases=(doing.case.id,)))
    return Ended(result=StepResult.DONE, why="sent", said=SAID)


def stays(doing: Doing) -> PutOff:
    return PutOff(until=doing.now + timedelta(hours=1), why="the mail server is away")


def dies_before(_doing: Doing) -> Ended:
    raise KeyboardInterrupt


def dies_sending(doing: Doing) -> Ended:
    says(doing)
    raise KeyboardInterrupt


@pytest.fixture
def owing(stage: Stage) -> Owing:
    """Customers with so many open invoices each, past the first look at the provider."""

    def start(customers: int = 1, invoices: int = 2) -> Bench:
        stage.policy = LETTERS
        for who in range(customers):
            for number in range(invoices):
                name = f"{who}_{number}"
                told = bill(invoice=f"in_{name}", customer=f"cus_{who}", subscription=f"sub_{name}")
                stage.tell(failed(told=told, id=f"evt_{name}"))
        bench = Bench(stage)
        bench.executor.run_many(every_claim(bench))
        assert len(bench.acting.asked) == customers * invoices
        bench.acting.asked.clear()
        bench.acting.rows.clear()
        return bench

    return start


def every_claim(bench: Bench) -> list[Claim]:
    claims: list[Claim] = []
    while more := bench.claims():
        claims += more
    return claims


def run_all(bench: Bench, answer: Any, rounds: int = 6) -> None:
    """Do everything that is due, and what that makes due within some minutes."""
    for _ in range(rounds):
        while claims := bench.claims():
            bench.acting.answers = [answer] * len(claims)
            bench.executor.run_many(claims)
        bench.stage.clock.passes(minutes=2)


def told(bench: Bench) -> list[tuple[str, str, str | None]]:
    """The messages: of which step, its state and result."""
    rows = [row for row in bench.stage.all(StepRow) if row.kind == StepKind.EMAIL.value]
    return sorted((row.key.rpartition("/")[2], row.state, row.result) for row in rows)


def test_days_of_many_customers_take_few_statements(owing: Owing) -> None:
    bench = owing(customers=6, invoices=1)
    claims = bench.claims()
    said = statements(bench.stage, lambda: bench.executor.begin(claims))
    plain = [one for one in said if not one.startswith("BEGIN")]
    inserts = [one for one in plain if one.startswith("INSERT INTO mail_days")]
    assert len(claims) == 6
    assert len(bench.stage.all(MailDayRow)) == 6
    # A local database has no journey to save: one prepared statement for each row.
    postgres = bench.stage.engine.dialect.name == "postgresql"
    assert len(inserts) == (1 if postgres else 6)
    assert len(plain) - len(inserts) <= 5


def test_two_in_one_batch_are_one_message(owing: Owing) -> None:
    bench = owing()
    claims = bench.claims()
    assert len(claims) == 2
    intents = bench.executor.begin(claims)
    assert len(intents) == 1
    assert intents[0].doing.others
    bench.acting.answers = [says]
    act_all(bench, intents)
    run_all(bench, says)
    assert [state for _, *state in told(bench)] == [["ended", "done"], ["ended", "skipped"]]
    (day,) = bench.stage.all(MailDayRow)
    assert (day.customer, day.template) == ("cus_0", "payment_failed")
    ends = [end for row in bench.stage.all(CaseRow) for end in read_facts(row).done]
    (left_out,) = [end for end in ends if end.said_in]
    assert left_out.said_in == day.step_key
    assert left_out.told


def test_what_was_not_spoken_of_waits_for_the_next_day(owing: Owing) -> None:
    bench = owing(invoices=3)
    run_all(bench, says_alone)
    assert [result for _, _, result in told(bench)] == ["done"]
    bench.stage.clock.time = days(1)
    run_all(bench, says_alone)
    assert [result for _, _, result in told(bench)] == ["done", "done"]
    bench.stage.clock.time = days(2)
    run_all(bench, says_alone)
    assert [result for _, _, result in told(bench)] == ["done", "done", "done"]
    assert len({row.day for row in bench.stage.all(MailDayRow)}) == 3


def test_a_step_that_sent_nothing_leaves_the_day_free(owing: Owing) -> None:
    bench = owing()
    (intent,) = bench.executor.begin(bench.claims())
    bench.acting.answers = [stays]
    act_all(bench, [intent])
    bench.stage.clock.passes(minutes=2)
    run_all(bench, says)
    bench.stage.clock.passes(hours=1)
    run_all(bench, says)
    results = [result for _, state, result in told(bench) if state == "ended"]
    assert sorted(map(str, results)) == ["done", "skipped"]
    (day,) = bench.stage.all(MailDayRow)
    assert day.step_key != intent.doing.step.key


def test_who_died_before_sending_has_the_day_until_it_is_taken_over(owing: Owing) -> None:
    bench = owing()
    (intent,) = bench.executor.begin(bench.claims())
    bench.acting.answers = [dies_before]
    with pytest.raises(KeyboardInterrupt):
        bench.executor.act(intent)
    bench.stage.clock.passes(seconds=LEASE.total_seconds() / 2)
    run_all(bench, says, rounds=1)
    assert [state for _, state, _ in told(bench)] == ["running"]
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    run_all(bench, says)
    assert [result for _, _, result in told(bench)] == ["done", "skipped"]
    (day,) = bench.stage.all(MailDayRow)
    assert day.step_key == intent.doing.step.key


def test_who_may_have_sent_keeps_the_day(owing: Owing) -> None:
    bench = owing()
    (intent,) = bench.executor.begin(bench.claims())
    bench.acting.answers = [dies_sending]
    with pytest.raises(KeyboardInterrupt):
        bench.executor.act(intent)
    bench.stage.clock.passes(seconds=LEASE.total_seconds() + 1)
    bench.acting.asked.clear()
    run_all(bench, says)
    assert bench.acting.asked == []
    assert [result for _, _, result in told(bench)] == ["doubtful", "skipped"]


def test_a_message_whose_day_is_over_is_not_sent_on_the_next_under_the_old_one(
    owing: Owing,
) -> None:
    bench = owing(invoices=1)
    (intent,) = bench.executor.begin(bench.claims())

    def slow(doing: Doing) -> Ended:
        bench.stage.clock.time = hours(12.5)  # after midnight
        return says(doing)

    bench.acting.answers = [slow]
    act_all(bench, [intent])
    assert [state for _, state, _ in told(bench)] == ["deferred"]
    bench.stage.clock.time = days(1)
    run_all(bench, says)
    assert [result for _, _, result in told(bench)] == ["done"]
    sent = [row for row in bench.stage.all(MailDayRow) if row.template]
    assert [row.day for row in sent] == [days(1).date().isoformat()]


def test_who_lost_the_day_does_not_send(owing: Owing) -> None:
    """The very last guard, right before the message is handed over."""
    bench = owing(invoices=1)
    (intent,) = bench.executor.begin(bench.claims())
    with bench.stage.writing() as session:
        row = session.get_one(
            MailDayRow, ("stripe", "cus_0", bench.stage.clock.now().date().isoformat())
        )
        row.step_key = "case_other/email:1"
    sent: list[str] = []

    def tries(doing: Doing) -> Ended:
        ended = says(doing)
        sent.append(doing.step.key)
        return ended

    bench.acting.answers = [tries]
    assert bench.executor.act(intent) is None
    assert sent == []


def test_workers_racing_for_one_day_send_one_message(owing: Owing) -> None:
    """Of eight customers with four invoices each, every worker has some of each."""
    bench = owing(customers=8, invoices=4)
    stage = bench.stage
    left: list[str] = []

    class Sending:
        def act(self, doing: Doing) -> Ended:
            ended = says(doing)
            left.append(doing.case.customer or "")
            return ended

    actions = dict.fromkeys(StepKind, Sending())
    workers = [
        Executor(stage.engine, stage.clock, stage.book, actions, announces=False) for _ in range(4)
    ]
    for _ in range(8):
        claims = every_claim(bench)
        parts = [claims[number :: len(workers)] for number in range(len(workers))]
        work = [partial(_work, one, part) for one, part in zip(workers, parts, strict=True)]
        assert Together(*work).errors == []
        stage.clock.passes(minutes=2)
    assert Counter(left) == {f"cus_{who}": 1 for who in range(8)}
    ended = Counter(result for _, _, result in told(bench))
    assert ended == {"done": 8, "skipped": 24}
    assert stage.leased() == 0


def _work(executor: Executor, claims: list[Any]) -> None:
    intents: list[Intent] = executor.begin(claims)
    done = [one for intent in intents if (one := executor.act(intent))]
    assert executor.conclude(done) == []


def test_that_a_message_may_have_left_is_remembered_as_older_programs_read_it(owing: Owing) -> None:
    bench = owing(invoices=1)
    (intent,) = bench.executor.begin(bench.claims())
    intent.doing.asking(Saying(template="payment_failed", cases=(intent.doing.case.id,)))
    asked = [row.asked for row in bench.stage.all(StepRow) if row.kind == StepKind.EMAIL.value]
    assert asked == ['{"method": null, "times": 1}']
