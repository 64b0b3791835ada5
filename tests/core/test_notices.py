"""What lies ahead of a customer, how looks at it merge, and what is planned for it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.ahead import NoticeReported, Outlook
from dunning.core.case import advance, new_case
from dunning.core.events import BillingEvent, CustomerReported, Exempted, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.notices import BEGINS_AHEAD, begins_by, moment
from dunning.core.outlook import Person, news
from dunning.core.plan import plan
from dunning.core.policy import Policy, from_data, to_data
from dunning.core.status import Access, State, status
from dunning.core.steps import Step
from dunning.core.words import Kind, Over
from tests import builders as b
from tests import happenings as h
from tests.core.ahead import (
    DAY,
    EXPIRY,
    LASTING,
    MONTHLY,
    NOW,
    RENEWAL,
    VISA,
    YEARLY,
    noticed,
    person,
    policy,
    sub,
)
from tests.policies import STANDARD

# --- how it ends -------------------------------------------------------------------------------

ENDINGS = [
    (person(sub(), cards=(VISA, LASTING), default="pm_2"), Over.NEW_CARD),
    (person(sub(), cards=(replace(VISA, exp_year=2029),)), Over.UPDATED),
    (person(sub(), cards=()), Over.REMOVED),
    (person(sub(replace(MONTHLY, cancels_at=MONTHLY.renews_at))), Over.CANCELLED),
    (person(sub(ended=True)), Over.CANCELLED),
    (person(), Over.CANCELLED),
    (person(sub(replace(MONTHLY, paused=True))), Over.PAUSED),
]


@pytest.mark.parametrize(("after", "why"), ENDINGS, ids=[why.value for _, why in ENDINGS])
def test_why_nothing_is_said_of_a_card_any_more(after: Person, why: Over) -> None:
    case = noticed(person(sub()))
    assert case.notice is not None
    (told,) = (
        one
        for one in news(after, {case.invoice: case.notice}, NOW + DAY)
        if one.invoice == case.invoice
    )
    ended = status(advance(case, told))
    assert (ended.state, ended.reason, ended.ended_at) == (State.OVER, why.value, NOW + DAY)
    assert (ended.access, ended.books.entries, ended.at_risk) == (Access.FULL, (), 0)


def test_what_came_back_lies_ahead_again() -> None:
    case = noticed(person(sub()))
    gone = person(sub(), cards=(VISA, LASTING), default="pm_2")
    for n, who in enumerate((gone, person(sub())), 1):
        assert case.notice is not None
        for told in news(who, {case.invoice: case.notice}, NOW + n * DAY):
            if told.invoice == case.invoice:
                case = advance(case, told)
    assert status(case).state is State.AHEAD


def renewal_after(outlook: Outlook, at: datetime) -> Case:
    case = noticed(person(sub(YEARLY)), Kind.RENEWAL)
    assert case.notice is not None
    for told in news(person(sub(outlook)), {case.invoice: case.notice}, at):
        if told.invoice == case.invoice:
            case = advance(case, told)
    return case


def test_a_renewal_moves_with_its_term_and_ends_with_it() -> None:
    assert YEARLY.renews_at is not None
    later = replace(YEARLY, renews_at=YEARLY.renews_at + 9 * DAY)
    moved = renewal_after(later, NOW + DAY)
    assert (status(moved).state, moment(moved)) == (State.AHEAD, later.renews_at)
    renewed = replace(YEARLY, began_at=YEARLY.renews_at, renews_at=YEARLY.renews_at + 365 * DAY)
    assert status(renewal_after(renewed, YEARLY.renews_at)).reason == Over.RENEWED
    other = replace(YEARLY, began_at=NOW + DAY, renews_at=YEARLY.renews_at + DAY)
    assert status(renewal_after(other, NOW + DAY)).reason == Over.MOVED
    assert status(renewal_after(YEARLY, YEARLY.renews_at + DAY)).reason == Over.PASSED


def test_who_is_exempt_until_after_it_is_not_told() -> None:
    case = noticed(person(sub()))
    for until, state in ((None, State.OVER), (NOW + DAY, State.AHEAD)):
        said = Exempted(id="x", at=NOW, customer="cus_1", until=until, why="vip", by="ops")
        assert status(advance(case, said)).state is state


# --- looks merge -------------------------------------------------------------------------------

PEOPLE = [person(sub()), *(who for who, _ in ENDINGS)]


def look(case: Case, who: Person, at: datetime) -> list[NoticeReported]:
    known = {case.invoice: case.notice} if case.notice else {}
    return [one for one in news(who, known, at) if one.invoice == case.invoice]


@given(
    st.lists(st.tuples(st.sampled_from(PEOPLE), st.integers(0, 5)), min_size=1, max_size=6),
    st.randoms(),
)
def test_any_order_and_repetition_of_looks_gives_the_same_case(
    looks: list[tuple[Person, int]], chance: Any
) -> None:
    first = noticed(person(sub()))
    told = [one for who, day in looks for one in look(first, who, NOW + day * DAY)]
    case = b.fold(first, told)
    again: list[BillingEvent] = [*told, *told, h.customer(NOW)]
    chance.shuffle(again)
    other = b.fold(first, again)
    assert (other.notice, other.noticed_at, status(other)) == (
        case.notice,
        case.noticed_at,
        status(case),
    )


@given(st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=6))
def test_a_second_look_at_the_same_says_nothing(people: list[Person]) -> None:
    known: dict[str, NoticeReported] = {}
    for n, who in enumerate(people):
        at = NOW + timedelta(hours=n)
        for told in news(who, known, at):
            known[told.invoice] = told
        assert list(news(who, known, at + timedelta(minutes=1))) == []
    names = [name for name in known if name.startswith("card_expiry:pm_1:2026-04")]
    assert len(names) <= 1


# --- what is planned ---------------------------------------------------------------------------


def steps(case: Case, terms: Policy, now: datetime = NOW) -> list[Step]:
    return list(plan(case, terms, now).steps)


def test_lines_stand_before_the_cards_last_day_and_the_last_look_at_it() -> None:
    case = noticed(person(sub()))
    told = [
        (step.key.partition("/")[2], step.due_at, step.template) for step in steps(case, EXPIRY)
    ]
    end = datetime(2026, 5, 1, tzinfo=UTC)
    assert told == [
        ("email:1", end - 30 * DAY, "told_30"),
        ("email:2", end - 7 * DAY, "told_7"),
        ("reconcile:passed", end, None),
    ]


def test_of_two_that_are_due_the_last_says_it_all_and_none_comes_late() -> None:
    case = noticed(person(sub()))
    late = datetime(2026, 4, 28, tzinfo=UTC)
    due = plan(case, EXPIRY, late).due(late)
    assert [(step.template, bool(step.skip)) for step in due] == [
        ("told_30", True),
        ("told_7", False),
    ]
    passed = datetime(2026, 5, 1, tzinfo=UTC)
    assert all(
        step.skip for step in plan(case, EXPIRY, passed).due(passed) if step.kind is StepKind.EMAIL
    )


def test_hours_that_open_after_the_date_leave_it_out() -> None:
    case = noticed(person(sub()))
    hours = replace(policy(Kind.CARD_EXPIRY, 1 / 24), send_between=(time(9), time(10)))
    (line,) = (step for step in steps(case, hours) if step.kind is StepKind.EMAIL)
    assert line.skip == "the moment it tells of has come"


def test_a_term_too_short_for_its_notice_is_not_told_of() -> None:
    monthly = noticed(person(sub()), Kind.RENEWAL)
    (line, *_) = steps(monthly, policy(Kind.RENEWAL, 32))
    assert line.skip is not None
    assert "too short" in line.skip
    assert steps(monthly, policy(Kind.RENEWAL, 7))[0].skip is None


def test_another_date_is_told_again_under_another_name() -> None:
    assert YEARLY.renews_at is not None
    before = noticed(person(sub(YEARLY)), Kind.RENEWAL)
    moved = renewal_after(replace(YEARLY, renews_at=YEARLY.renews_at + 9 * DAY), NOW + DAY)
    first, second = (steps(case, RENEWAL)[0].key for case in (before, moved))
    assert first != second
    assert first.partition("/")[2] == "20270302.email:1"


def test_when_a_case_begins() -> None:
    case = noticed(person(sub()))
    end = datetime(2026, 5, 1, tzinfo=UTC)
    assert not begins_by(case, EXPIRY, end - 30 * DAY - BEGINS_AHEAD - DAY)
    assert begins_by(case, EXPIRY, end - 30 * DAY - BEGINS_AHEAD)
    assert begins_by(case, EXPIRY, end - DAY)
    assert not begins_by(case, EXPIRY, end)


@given(
    st.sampled_from([*PEOPLE, person(sub(YEARLY))]),
    st.integers(0, 500),
    st.lists(st.floats(0.1, 60), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 500), max_size=3),
)
def test_no_notice_ever_charges_or_takes_anything(
    who: Person, day: int, leads: list[float], looks: list[int]
) -> None:
    for kind in (Kind.CARD_EXPIRY, Kind.RENEWAL):
        for told in news(who, {}, NOW):
            if told.kind is not kind:
                continue
            case = advance(new_case("stripe", "stripe", told.invoice), told)
            for at in looks:
                case = b.fold(case, look(case, who, NOW + at * DAY))
            found = steps(case, policy(kind, *leads), NOW + day * DAY)
            assert {step.kind for step in found} <= {StepKind.EMAIL, StepKind.RECONCILE}
            assert status(case).at_risk == 0


def test_what_was_said_is_not_said_again() -> None:
    case = noticed(person(sub()))
    done = replace(
        h.step("email:1", NOW), id=f"{case.id}/email:1", kind=StepKind.EMAIL, result=StepResult.DONE
    )
    assert [step.template for step in steps(advance(case, done), EXPIRY)] == ["told_7", None]


def test_a_policy_of_a_kind_is_read_back_and_others_keep_their_version() -> None:
    assert from_data(to_data(EXPIRY)) == EXPIRY
    assert "kind" not in to_data(STANDARD)
    assert to_data(EXPIRY)["kind"] == "card_expiry"


def test_every_permutation_of_what_is_heard_of_a_person_ends_alike() -> None:
    first = noticed(person(sub()))
    heard: list[BillingEvent] = [
        CustomerReported(id="c", at=NOW, customer="cus_1", country="DE"),
        Exempted(id="x", at=NOW, customer="cus_1", until=None, why="vip", by="ops"),
        h.subscription(NOW),
    ]
    ends = {repr(status(b.fold(first, list(order)))) for order in itertools.permutations(heard)}
    assert len(ends) == 1
