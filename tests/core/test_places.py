"""A debt taken over from a running estate: its place on the timeline, and what is left undone."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.core.entries import Account, Cause
from dunning.core.events import BillingEvent, Standing, StepKind, StepResult
from dunning.core.places import NOTICE, starts_at
from dunning.core.plan import plan
from dunning.core.status import Access, State, status
from tests import builders as b
from tests import happenings as h
from tests.core.walking import PLAIN, dated, walk
from tests.policies import policy, rung

OVERDUE = b.days(60)


def taken_over(
    day: float, *more: BillingEvent, standing: Standing = Standing.NORMAL
) -> list[BillingEvent]:
    """A debt of T0 that is taken over on this day."""
    bill = b.reported(at=b.days(day))
    return [bill, h.adopted(b.days(day), failed_at=b.T0, standing=standing), *more]


def done(day: float, standing: Standing = Standing.NORMAL) -> dict[str, float]:
    """What is really done, and when, counted from the day it was taken over."""
    walked = walk(b.case_of(*taken_over(day, standing=standing)), PLAIN)
    return {name: round(at - day, 6) for name, at in dated(walked).items()}


def test_a_young_debt_goes_on_where_it_stands() -> None:
    assert done(5) == {
        "retry:3": 2,
        "restrict:1": 5,
        "email:3": 6,
        "retry:4": 8,
        "suspend:1": 9,
        "email:suspended": 9,
        "retry:5": 16,
        "give_up:1": 23,
    }


def test_a_debt_past_every_door_gets_its_notice_before_each_of_them() -> None:
    # As far along as it may be: a week before the suspension.
    assert done(60) == {
        "retry:3": 0,
        "restrict:1": 3,
        "email:3": 4,
        "retry:4": 6,
        "suspend:1": 7,
        "email:suspended": 7,
        "retry:5": 14,
        "give_up:1": 21,
    }


def test_what_is_suspended_already_is_only_given_notice_of_the_end() -> None:
    assert done(60, Standing.SUSPENDED) == {"retry:5": 0, "give_up:1": 7}
    assert done(60, Standing.PAUSED) == {"retry:5": 0, "give_up:1": 7}


def test_a_policy_quicker_than_the_notice_begins_anew() -> None:
    rungs = (rung("email", 0, template="payment_failed"), rung("suspend", 2))
    spans = {"grace": timedelta(days=2), "window": timedelta(days=4)}
    quick = policy(*rungs, **spans, send_between=None)
    walked = walk(b.case_of(*taken_over(60)), quick)
    assert dated(walked)["email:1"] == 60
    assert dated(walked)["suspend:1"] == 62
    assert dated(walked)["give_up:1"] == 64


@pytest.mark.parametrize("day", [0, 1, 5, 7, 13.5, 20, 60, 400])
def test_no_door_opens_within_the_notice(day: float) -> None:
    case = b.case_of(*taken_over(day))
    doors = [s for s in plan(case, PLAIN, b.days(day)).steps if s.kind is StepKind.SUSPEND]
    assert [step.due_at - b.days(day) >= NOTICE for step in doors] == [True]


def test_the_past_is_left_out_on_record_with_the_reason() -> None:
    seen = plan(b.case_of(*taken_over(60)), PLAIN, OVERDUE)
    left = {s.key.rpartition("/")[2]: s.skip for s in seen.due(OVERDUE) if s.skip}
    assert set(left) == {"email:1", "retry:1", "retry:2", "email:2"}
    assert {why.partition(":")[0] for why in left.values() if why} == {"adopted"}


def test_nothing_happens_before_the_case_resumes() -> None:
    resumes_at = OVERDUE + timedelta(hours=17)
    adopted = h.adopted(OVERDUE, failed_at=b.T0, resumes_at=resumes_at)
    case = b.case_of(b.reported(at=OVERDUE), adopted)
    seen = plan(case, PLAIN, OVERDUE)
    assert seen.due(OVERDUE) == ()
    assert seen.next_at == resumes_at
    assert starts_at(case, PLAIN) == resumes_at - timedelta(days=7)


def test_the_books_say_that_it_was_taken_over_and_when_it_failed() -> None:
    present = status(b.case_of(*taken_over(60)))
    (entry,) = present.books.entries
    assert (entry.cause, entry.at, entry.credit) == (Cause.ADOPTED, b.T0, Account.AT_RISK)
    assert present.state is State.IN_GRACE


def test_what_was_off_for_the_debt_comes_back_with_the_payment() -> None:
    case = b.case_of(*taken_over(60, standing=Standing.SUSPENDED))
    assert (status(case).state, status(case).access) == (State.SUSPENDED, Access.SUSPENDED)
    paid = b.fold(case, [b.paid(b.days(61))])
    due = {step.kind: step.skip for step in plan(paid, PLAIN, b.days(61)).due(b.days(61))}
    assert due == {StepKind.RESTORE: None, StepKind.RECONCILE: None}
    restored = b.fold(paid, [h.step("restore:1", b.days(61), StepResult.DONE)])
    assert status(restored).access is Access.FULL


def test_what_others_paused_is_neither_suspended_nor_restored() -> None:
    case = b.case_of(*taken_over(60, standing=Standing.PAUSED))
    assert status(case).access is Access.FULL
    paid = b.fold(case, [b.paid(b.days(61))])
    assert not [s for s in plan(paid, PLAIN, b.days(61)).steps if s.kind is StepKind.RESTORE]


def test_what_is_taken_over_twice_is_taken_over_once() -> None:
    first = b.case_of(*taken_over(60))
    again = b.fold(first, [h.adopted(b.days(61), failed_at=b.T0)])
    assert again.adopted == first.adopted
