"""Moving open cases in batches: killed half-way it goes on, and each is moved once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlmodel import col, select

from dunning import crashpoints
from dunning.acts import Person
from dunning.case_rows import read_facts
from dunning.changing import Moved, Mover, Order, bring_into_force
from dunning.config import read_policy_text
from dunning.core.events import StepKind
from dunning.crashpoints import Killed
from dunning.foreseen import Asked, Outcome, target_of
from dunning.in_force import Text, loader
from dunning.messages import Messages
from dunning.planning import look
from dunning.reports import snapshot
from dunning.store import ActRow, CaseRow, PolicyFileRow
from tests.providers.stripe.bodies import event, invoice
from tests.stages.kit import Stage, named, on_database, renamed

MANY = 7
# Suspends a day sooner than the built-in default.
BUILT_IN = read_policy_text(None)[0]
TEXT = Text(BUILT_IN.replace("14d", "13d"), "new.yaml")
FILE = loader(tuple(Messages().names()))(TEXT)
TARGET = target_of(FILE.policies, FILE.choices)


@pytest.fixture
def stage(migrated_url: str) -> Iterator[Stage]:
    """Some open cases of a day ago."""
    for stage in on_database(migrated_url):
        failed = event("invoice.payment_failed", invoice())
        for number in range(MANY):
            stage.hears(renamed(named(failed, f"evt_{number}"), str(number)))
        stage.clock.passes(days=1)
        yield stage


def order(stage: Stage) -> Order:
    author = Person(by="ann", why="sooner", now=stage.clock.now())
    return Order(text=TEXT, file=FILE, author=author, open_cases=None)


def foreseen(stage: Stage) -> Outcome:
    with snapshot(stage.engine) as session:
        return look(session, TARGET, Asked(now=stage.clock.now()))


def carry_out(stage: Stage, *, listed: bool = True) -> Moved:
    """What `policy apply` does once it may."""
    sooner = frozenset(each.case for each in foreseen(stage).sooner) if listed else frozenset()
    row = bring_into_force(stage.engine, order(stage))
    mover = Mover(
        stage.engine,
        stage.book,
        order(stage),
        TARGET,
        stage.clock.now,
        may_suspend_sooner=sooner,
        batch=2,
    )
    return mover.run(row, patience=0)


def versions(stage: Stage) -> list[str]:
    return [row.policy_version for row in stage.all(CaseRow)]


NEW = FILE.policies["standard"].version


@pytest.mark.parametrize(
    ("point", "times", "rows", "moved"),
    [
        ("policy.before_commit", 1, 0, 0),
        ("policy.committed", 1, 1, 0),
        ("policy.batch", 1, 1, 0),
        ("policy.batch", 3, 1, 4),
    ],
)
def test_killed_half_way_it_goes_on(
    stage: Stage, point: str, times: int, rows: int, moved: int
) -> None:
    with crashpoints.listening(_dies_at(point, times)), pytest.raises(Killed):
        carry_out(stage)
    assert len(stage.all(PolicyFileRow)) == rows
    assert versions(stage).count(NEW) == moved
    assert all(row.finished_at is None for row in stage.all(PolicyFileRow))
    stage.clock.passes(days=0.5)
    done = carry_out(stage)
    assert done.moved == MANY - moved
    assert versions(stage) == [NEW] * MANY
    (row,) = stage.all(PolicyFileRow)
    assert (row.moved, row.finished_at) == (MANY, stage.clock.now())
    assert len(stage.all(ActRow)) == MANY
    for case in stage.all(CaseRow):
        assert [change.by for change in read_facts(case).policy_changes] == ["ann"]


def _dies_at(point: str, times: int) -> crashpoints.Listener:
    left = times

    def listen(name: str) -> None:
        nonlocal left
        left -= name == point
        if not left:
            left = -1
            raise Killed

    return listen


def test_nobody_is_suspended_sooner_than_the_plan_said(stage: Stage) -> None:
    done = carry_out(stage, listed=False)
    assert len(done.unlisted) == MANY
    assert NEW not in versions(stage)
    assert len(foreseen(stage).sooner) == MANY
    assert carry_out(stage).moved == MANY


def test_the_next_look_at_the_case_is_by_its_new_policy(stage: Stage) -> None:
    carry_out(stage)
    with stage.writing() as session:
        rows = session.scalars(select(CaseRow).order_by(col(CaseRow.id))).all()
        for row in rows:
            _, ahead = stage.book.plan_of(session, row, stage.clock.now())
            doors = [step.due_at for step in ahead.steps if step.key.endswith("suspend:1")]
            assert row.next_at == ahead.next_at
            assert doors[0] - row.opened_at == timedelta(days=13)


def test_many_processes_plan_as_one_does(stage: Stage) -> None:
    alone = foreseen(stage)
    with snapshot(stage.engine) as session:
        asked = Asked(now=stage.clock.now())
        together = look(session, TARGET, asked, processes=2, few=0, page=2)
    assert alone.cases == together.cases == MANY
    assert (together.kinds, together.money) == (alone.kinds, alone.money)
    assert sorted(together.sooner) == sorted(alone.sooner)


# The final notice only for who leaves two invoices unpaid.
IF_TWO = BUILT_IN.replace("final_notice}", "final_notice, when: {open_invoices: {at_least: 2}}}")


@pytest.mark.parametrize("together", [False, True])
def test_conditions_on_what_is_around_a_case_are_foreseen(stage: Stage, together: bool) -> None:
    """One customer has two open invoices, the others have one."""
    body = renamed(event("invoice.payment_failed", invoice()), "1")
    stage.hears(named(json.loads(json.dumps(body).replace('"in_1"', '"in_more"')), "evt_more"))
    file = loader(tuple(Messages().names()))(Text(IF_TWO, "two.yaml"))
    target = target_of(file.policies, file.choices)
    few = 0 if together else MANY + 1
    with snapshot(stage.engine) as session:
        found = look(session, target, Asked(now=stage.clock.now()), processes=2, few=few, page=2)
    assert (found.cases, found.changed) == (MANY + 1, MANY + 1)
    assert found.kinds[StepKind.EMAIL].cases_fewer == MANY - 1
