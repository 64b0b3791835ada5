"""Moving an open case to another version of its policy: what is done, left undone, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.attribution import mechanism
from dunning.core.case import advance
from dunning.core.changes import Change, Person, Version, look_ahead
from dunning.core.events import AttemptStatus, BillingEvent, StepEnded, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.plan import plan
from dunning.core.policy import Policy, Retries
from tests.builders import case_of, days, declined, failed, paid
from tests.core.walking import PLAIN, policies, walk
from tests.happenings import step
from tests.policies import STANDARD, policy, rung

LATER = replace(STANDARD, grace=timedelta(days=20), window=timedelta(days=40))


def version(of: Policy) -> Version:
    return Version(of, of.version)


def person(at: float, number: int = 1) -> Person:
    return Person(id=f"policy:{number}", at=days(at), why="a trial", by="ops")


def moved(case: Case, old: Policy, new: Policy, at: float, number: int = 1) -> Case:
    change = look_ahead(case, version(old), version(new), person(at, number))
    assert change is not None
    return advance(case, change.event)


def looked(case: Case, old: Policy, new: Policy, at: float) -> Change:
    change = look_ahead(case, version(old), version(new), person(at))
    assert change is not None
    return change


def to_come(case: Case, under: Policy, at: float) -> list[tuple[str, float]]:
    """What is still to be done: `retry:2` and on which day."""
    return [
        (
            s.key.rpartition("/")[2].rpartition(".")[2],
            round((s.due_at - days(0)).total_seconds() / 86_400, 2),
        )
        for s in plan(case, under, days(at)).steps
        if s.skip is None and s.kind is not StepKind.RECONCILE
    ]


def at_day(number: float, under: Policy = STANDARD) -> Case:
    """A case that was walked so far under a policy, every charge declined."""
    begun = case_of(failed(), declined())
    return walk(begun, under, until=days(number)).case


# --- the same place on another timeline ----------------------------------------------------------

LADDER = policy(
    rung("retry", 1), rung("retry", 3), rung("retry", 5), rung("suspend", 14), rung("give_up", 28)
)


def test_what_lay_before_the_move_is_left_undone_and_what_is_ahead_is_not() -> None:
    more = policy(
        *(rung("retry", day) for day in (0.5, 1, 1.5, 2, 4, 6)),
        rung("suspend", 14),
        rung("give_up", 28),
    )
    case = moved(at_day(3.5, LADDER), LADDER, more, 3.5)
    assert to_come(case, more, 3.5) == [
        ("retry:5", 4.0), ("retry:6", 6.0), ("suspend:1", 14.0), ("give_up:1", 28.0)
    ]  # fmt: skip
    skipped = {
        s.key.rpartition(".")[2]: s.skip for s in plan(case, more, days(3.5)).steps if s.skip
    }
    assert set(skipped) == {"retry:1", "retry:2", "retry:3", "retry:4"}
    assert all(why and why.startswith("policy changed") for why in skipped.values())


def test_a_line_is_not_taken_for_done_because_another_version_had_as_many() -> None:
    """After two charges at 1 and 3 days, the new third line is not the old third one."""
    fewer = policy(rung("retry", 5), rung("retry", 6), rung("suspend", 14), rung("give_up", 28))
    case = moved(at_day(4, LADDER), LADDER, fewer, 4)
    assert [name for name, _ in to_come(case, fewer, 4)][:2] == ["retry:1", "retry:2"]


def test_a_charge_that_was_owed_is_made_once_and_no_burst() -> None:
    """Nothing could be done for five days: one charge waits, under either version."""
    case = case_of(failed(), declined(), step("reconcile:open"))
    more = policy(*(rung("retry", day) for day in (1, 2, 3, 4)), *LADDER.timeline[3:])
    assert [s for s, _ in to_come(case, LADDER, 5.5) if s.startswith("retry")] == ["retry:3"]
    case = moved(case, LADDER, more, 5.5)
    assert [s for s, _ in to_come(case, more, 5.5) if s.startswith("retry")] == ["retry:4"]


def test_once_the_charge_that_was_owed_is_made_no_other_takes_its_place() -> None:
    case = case_of(failed(), declined(), step("reconcile:open"))
    more = policy(*(rung("retry", day) for day in (1, 2, 3, 4)), *LADDER.timeline[3:])
    case = moved(case, LADDER, more, 5.5)
    (owed,) = (s for s in plan(case, more, days(5.5)).due(days(5.5)) if not s.skip)
    ended = StepEnded(
        id=owed.key, at=days(5.6), kind=owed.kind, result=StepResult.DECLINED, template=None
    )
    case = advance(case, ended)
    assert [name for name, _ in to_come(case, more, 5.6)] == ["suspend:1", "give_up:1"]


def test_without_a_charge_owed_none_is_made_up_for() -> None:
    fewer = policy(rung("retry", 2), *LADDER.timeline[3:])
    case = moved(at_day(5.5, LADDER), LADDER, fewer, 5.5)
    assert [name for name, _ in to_come(case, fewer, 5.5)] == ["suspend:1", "give_up:1"]


def test_access_that_was_restricted_is_not_restricted_again() -> None:
    strict = replace(STANDARD, timeline=(rung("restrict", 12), *STANDARD.timeline[6:]))
    case = moved(at_day(11), STANDARD, strict, 11)
    assert "restrict:1" not in [name for name, _ in to_come(case, strict, 11)]


# --- doors -----------------------------------------------------------------------------------


def soon(day: float) -> Policy:
    """Suspends on that day, with a notice the day before."""
    return policy(
        rung("email", before=timedelta(days=1), anchor="suspend", template="final_notice"),
        rung("retry", before=timedelta(hours=2), anchor="suspend"),
        rung("suspend", day),
        rung("give_up", 28),
        grace=timedelta(days=day),
        send_between=None,
    )


@pytest.mark.parametrize(
    ("suspends", "at", "expected"),
    [
        (8.0, 2.0, 9.0),  # a week's notice, where the new version would have it sooner
        (10.0, 2.0, 10.0),  # its own day, where that is further off
        (3.0, 6.0, 13.0),  # it would have been long ago
        (3.0, 9.0, 14.0),  # the former version has it sooner than in a week: its day stays
        (20.0, 9.0, 20.0),
    ],
)
def test_a_door_keeps_a_weeks_notice_unless_the_former_version_had_it_sooner(
    suspends: float, at: float, expected: float
) -> None:
    case = moved(at_day(at, LADDER), LADDER, soon(suspends), at)
    assert dict(to_come(case, soon(suspends), at))["suspend:1"] == expected


def test_the_lines_ahead_of_a_door_that_keeps_its_notice_come_before_it() -> None:
    case = moved(at_day(6, LADDER), LADDER, soon(3), 6)
    assert to_come(case, soon(3), 6)[:3] == [
        ("email:1", 12.0), ("retry:1", 12.92), ("suspend:1", 13.0)
    ]  # fmt: skip


def test_what_the_customer_was_told_and_earlier_charges_do_not_come_again() -> None:
    """Put back by days, the new timeline makes its door ready and begins nothing anew."""
    hasty = policy(
        rung("email", 0, template="payment_failed"),
        rung("retry", 1),
        rung("email", 2, template="reminder"),
        rung("retry", 3),
        rung("email", 3.5, template="final_notice"),
        rung("retry", 3.8),
        rung("suspend", 4),
        rung("retry", 5),
        rung("give_up", 28),
        grace=timedelta(days=4),
        send_between=None,
    )
    case = moved(at_day(8, PLAIN), PLAIN, hasty, 8)
    assert to_come(case, hasty, 8) == [
        ("email:3", 13.5), ("retry:3", 13.8), ("suspend:1", 14.0), ("give_up:1", 38.0)
    ]  # fmt: skip


def test_a_suspension_is_not_done_again_and_giving_up_keeps_its_notice() -> None:
    hasty = replace(STANDARD, grace=timedelta(days=2), window=timedelta(days=16))
    hasty = replace(hasty, timeline=(rung("suspend", 2), rung("give_up", 16)))
    case = moved(at_day(15), STANDARD, hasty, 15)
    assert to_come(case, hasty, 15) == [("give_up:1", 22.0)]


def test_the_plan_says_who_is_suspended_sooner() -> None:
    case = at_day(2, LADDER)
    assert looked(case, LADDER, soon(10), 2).suspends_sooner
    assert not looked(case, LADDER, soon(20), 2).suspends_sooner
    never = policy(rung("give_up", 28))
    assert looked(case, never, LADDER, 2).suspends_sooner
    assert not looked(case, LADDER, never, 2).suspends_sooner


# --- back, and in any order ---------------------------------------------------------------------


def test_back_under_the_first_version_what_was_done_is_done() -> None:
    case = at_day(2, LADDER)
    other = policy(*(rung("retry", day) for day in (2.5, 6, 8)), *LADDER.timeline[3:])
    there = moved(case, LADDER, other, 2, 1)
    back = moved(there, other, LADDER, 2.2, 2)
    assert to_come(back, LADDER, 2.2) == to_come(case, LADDER, 2.2)
    assert back.policy_change is not None
    assert back.policy_change.version == LADDER.version


def test_moves_in_any_order_give_the_same_case() -> None:
    case = at_day(2, LADDER)
    moves = [
        change.event
        for number, (old, new) in enumerate(((LADDER, STANDARD), (STANDARD, LATER)), 1)
        if (change := look_ahead(case, version(old), version(new), person(2 + number, number)))
    ]
    again = replace(moves[0], id="policy:9", at=moves[1].at)
    events: list[BillingEvent] = [*moves, again, failed(), paid(at=days(9))]
    found = set()
    for order in permutations([*events, events[0]]):
        told = case
        for event in order:
            told = advance(told, event)
        found.add(repr(told))
    assert len(found) == 1


def test_a_payment_by_a_line_of_any_version_is_by_that_line() -> None:
    case = case_of(failed(), declined())
    key = f"{case.id}/1234abcd.retry:3"
    tried = replace(case.attempts[0], key=key, status=AttemptStatus.SUCCEEDED, at=days(2))
    case = replace(case, attempts=(tried,))
    assert mechanism(case, days(2)) == "retry:3"


# --- whatever the moment -------------------------------------------------------------------------

DAYS = st.integers(0, 27 * 24).map(lambda hour: hour / 24)
POLICIES = st.sampled_from((STANDARD, LADDER, PLAIN, LATER, soon(3), soon(9), soon(20)))


# Where the billing system charges, nobody here tells how that ended.
OURS = policies().map(lambda made: replace(made, retries=Retries.OURS))
ANY = st.one_of(POLICIES, OURS)


@given(ANY, ANY, DAYS, st.booleans())
def test_no_move_brings_a_burst_or_a_door_without_notice(
    old: Policy, new: Policy, at: float, worked: bool
) -> None:
    case = at_day(at, old) if worked else case_of(failed(), declined(), step("reconcile:open"))
    if not plan(case, old, days(at)).steps:
        return
    before = plan(case, old, days(at))
    told = moved(case, old, new, at)
    ahead = plan(told, new, days(at))
    due = [s for s in ahead.due(days(at)) if s.skip is None and s.kind is not StepKind.RECONCILE]
    was = [s for s in before.due(days(at)) if s.skip is None and s.kind is not StepKind.RECONCILE]
    for kind in StepKind:
        now_due = [s for s in due if s.kind is kind]
        assert len(now_due) <= max(1, len([s for s in was if s.kind is kind])), ahead
    if not was and worked:
        late = [step for step in due if step.due_at < days(at)]
        assert not late, "nothing was owed, so nothing of the past is done"
    for kind in (StepKind.SUSPEND, StepKind.GIVE_UP):
        doors = [s.due_at for s in ahead.steps if s.kind is kind]
        had = min((s.due_at for s in before.steps if s.kind is kind), default=days(1000))
        assert all(door >= min(had, days(at + 7)) for door in doors)


@given(ANY, ANY, DAYS)
def test_a_brief_plan_lacks_only_what_will_never_be_done(
    old: Policy, new: Policy, at: float
) -> None:
    case = at_day(at, old)
    if not any(s.kind is not StepKind.RECONCILE for s in plan(case, old, days(at)).steps):
        return
    told = moved(case, old, new, at)
    whole, brief = plan(told, new, days(at)), plan(told, new, days(at), brief=True)
    assert [s for s in brief.steps if s.skip is None] == [s for s in whole.steps if s.skip is None]
    assert set(brief.steps) <= set(whole.steps)


@given(ANY, ANY, DAYS)
def test_what_is_foreseen_is_what_then_happens(old: Policy, new: Policy, at: float) -> None:
    """Every charge declined: a walk under the new version does what the plan said, when it said."""
    case = at_day(at, old)
    if not any(s.kind is not StepKind.RECONCILE for s in plan(case, old, days(at)).steps):
        return
    change = looked(case, old, new, at)
    for told, under, future in (
        (case, old, change.before), (advance(case, change.event), new, change.after)
    ):  # fmt: skip
        acts = [
            a
            for a in walk(told, under, start=days(at)).acts
            if a.step.kind is not StepKind.RECONCILE
        ]
        for kind in {*future.steps, *(act.step.kind for act in acts)}:
            did = [act.at for act in acts if act.step.kind is kind]
            assert did == list(future.steps.get(kind, ())), kind
