"""What holds of every case on its way from the first failure to the end, under any policy."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import assume, given
from hypothesis import strategies as st

from dunning.core.calendar import in_window
from dunning.core.events import (
    BillingEvent,
    DisputeStatus,
    MethodNews,
    StepKind,
    StepResult,
)
from dunning.core.freezing import freeze
from dunning.core.local import local_of
from dunning.core.places import CHARGES, DOORS
from dunning.core.plan import plan, timeline
from dunning.core.policy import Policy
from dunning.core.status import State, status
from tests import builders as b
from tests import happenings as h
from tests.core.lives import lives
from tests.core.walking import HARD, SOFT, Answer, Walk, answers, charged, policies, walk

DEBT = (*CHARGES, StepKind.EMAIL, StepKind.RESTRICT, *DOORS)
AWAY = st.sampled_from((0, 0, 0.1, 1.5, 4, 12.9, 13.5, 14.2, 20, 27.5, 28.1, 40, 400))

# What customers and ops do on the way that neither ends the debt nor stops the clock for ever.
MEANWHILE = st.lists(
    st.one_of(
        st.builds(h.new_card, st.integers(0, 30).map(b.days)),
        st.builds(h.retry_asked, st.integers(0, 30).map(b.days)),
        st.builds(lambda at: b.declined("insufficient_funds", at), st.integers(0, 30).map(b.days)),
        st.builds(lambda at: h.held(at, at + timedelta(days=2)), st.integers(0, 20).map(b.days)),
        st.builds(lambda at: h.method(MethodNews.REMOVED, at), st.integers(0, 30).map(b.days)),
        st.builds(
            lambda at: h.method(MethodNews.NETWORK_UPDATED, at), st.integers(0, 30).map(b.days)
        ),
    ),
    max_size=4,
)


@st.composite
def walks(draw: st.DrawFn, *codes: str) -> Walk:
    """A case walked to its end, the worker away at first for a while or not."""
    by = draw(policies())
    return walk(
        b.case_of(b.failed(), *draw(st.sampled_from(((), (h.customer(timezone="Asia/Tokyo"),))))),
        by,
        start=b.days(draw(AWAY)),
        world=draw(MEANWHILE),
        answers=draw(answers(*codes)),
    )


@given(walked=walks(*SOFT, *HARD))
def test_an_unpaid_case_ends_and_is_then_given_up(walked: Walk) -> None:
    [last] = [act for act in walked.acts if act.step.kind is StepKind.GIVE_UP and act.ended]
    ended = walked.case.step(last.step.key)
    assert ended is not None
    assert (status(walked.case).state is State.LOST) == (ended.result is StepResult.DONE)
    assert walked.looks[-1][1].steps == ()


@given(walked=walks(*SOFT, *HARD))
def test_every_step_has_one_key_and_ends_once(walked: Walk) -> None:
    ended = [act.name for act in walked.acts if act.ended] + list(walked.skipped())
    assert sorted(ended) == sorted(set(ended))
    for _, seen in walked.looks:
        keys = [step.key for step in seen.steps]
        assert len(keys) == len(set(keys))


@given(walked=walks(*SOFT, *HARD))
def test_a_door_opens_after_grace_and_after_every_chance_before_it(walked: Walk) -> None:
    failed_at = walked.case.failed_at
    assert failed_at is not None
    orders = {step.key: step.order for step in timeline(walked.case, walked.policy)}
    for act in walked.acts:
        if act.step.kind not in DOORS:
            continue
        ended = {step.id for step in act.case.done}
        before = [
            step
            for step in plan(act.case, walked.policy, act.at).steps
            if step.order < act.step.order
        ]
        assert not [step.key for step in before if step.kind in CHARGES and step.skip is None]
        doors = {
            step.key
            for step in timeline(walked.case, walked.policy)
            if step.kind in DOORS and step.order < orders[act.step.key]
        }
        assert doors <= ended
        if act.step.kind is StepKind.SUSPEND:
            assert act.at >= failed_at + walked.policy.grace


@given(walked=walks(*SOFT))
def test_whatever_was_missed_at_most_one_charge_and_one_message_are_due(walked: Walk) -> None:
    for now, seen in walked.looks:
        due = [step for step in seen.due(now) if step.skip is None]
        assert sum(step.kind in CHARGES for step in due) <= 1
        assert sum(step.kind is StepKind.EMAIL for step in due) <= 1
        if any(step.kind in CHARGES for step in due):
            first = next(step.order for step in due if step.kind in CHARGES)
            assert not [step for step in due if step.kind in DOORS and step.order > first]


@given(walked=walks(*SOFT))
def test_the_last_chance_before_a_door_is_tried_however_late(walked: Walk) -> None:
    steps = timeline(walked.case, walked.policy)
    doors = sorted((s for s in steps if s.kind in DOORS), key=lambda s: s.order)
    floor = -1
    for door in doors:
        rungs = [s.key for s in steps if s.kind in CHARGES and floor < s.order < door.order]
        begun = [act.step.key for act in walked.acts]
        why = [step.skip or "" for _, step in walked.skips if step.key in rungs]
        if rungs and all(reason.startswith("missed") for reason in why):
            assert set(rungs) & set(begun)
        floor = door.order


@given(walked=walks(*SOFT))
def test_messages_go_out_when_they_may(walked: Walk) -> None:
    zone = local_of(walked.case, walked.policy).zone
    for act in walked.acts:
        if act.step.kind is StepKind.EMAIL:
            assert in_window(act.at, walked.policy.send_between, zone) == act.at


@given(
    by=policies(),
    code=st.sampled_from(("lost_card", "expired_card", "authentication_required")),
    told=answers(*SOFT),
    at=st.integers(0, 20),
    card=st.none() | st.integers(0, 25),
    away=AWAY,
)
def test_no_charge_after_a_hard_decline_until_there_is_a_new_card(
    by: Policy, code: str, told: list[Answer], at: int, card: int | None, away: float
) -> None:
    world: list[BillingEvent] = [b.declined(code, b.days(at))]
    if card is not None:
        world.append(h.new_card(b.days(card + 0.01)))
    walked = walk(b.case_of(b.failed()), by, start=b.days(away), world=world, answers=told)
    for act in charged(walked):
        assert act.at < b.days(at) or (card is not None and at <= card and act.at > b.days(card))
    for now, seen in walked.looks:
        if now >= b.days(at) and (card is None or now < b.days(card) or card < at):
            assert all(step.skip for step in seen.steps if step.kind in CHARGES)


# --- cases that are over, and cases that stand still -----------------------------------------


@given(told=lives(), now=st.integers(0, 400).map(b.days), by=policies())
def test_an_ended_case_plans_nothing_about_the_debt(
    told: list[BillingEvent], now: datetime, by: Policy
) -> None:
    case = b.case_of(*told)
    seen = plan(case, by, now)
    if status(case).state.is_open:
        return
    assert not [step for step in seen.steps if step.kind in DEBT and step.template != "recovered"]


@given(told=lives(), now=st.integers(0, 60).map(b.days), by=policies())
def test_a_frozen_case_does_nothing_but_ask(
    told: list[BillingEvent], now: datetime, by: Policy
) -> None:
    case = b.case_of(*told)
    seen = plan(case, by, now)
    assert seen == plan(case, by, now)
    due = seen.due(now)
    if not due:
        assert seen.next_at is None or seen.next_at > now
    if freeze(case, now) and status(case).state.is_open:
        assert [step for step in due if step.kind is not StepKind.RECONCILE] == []


FREEZES = st.sampled_from(("hold", "until", "dispute", "debit"))


@given(
    by=policies(), how=FREEZES, begins=st.integers(0, 27), lasts=st.integers(1, 60), told=answers()
)
def test_after_a_freeze_nothing_comes_in_a_burst(
    by: Policy, how: str, begins: int, lasts: int, told: list[Answer]
) -> None:
    start, end = b.days(begins), b.days(begins + lasts)
    world: dict[str, tuple[BillingEvent, ...]] = {
        "hold": (h.held(start), h.resumed(end)),
        "until": (h.held(start, end),),
        "dispute": (b.dispute(at=start), b.dispute(DisputeStatus.WON, end, opened_at=start)),
        "debit": (b.processing(start, name="ch_x"), _bounced(start, end)),
    }
    walked = walk(b.case_of(b.failed()), by, world=world[how], answers=told)
    assume(status(walked.case).state is State.LOST)
    for act in walked.acts:
        if start <= act.at < end:
            assert act.step.kind is StepKind.RECONCILE
    for one, other in zip(charged(walked), charged(walked)[1:], strict=False):
        assert other.at > one.at or not one.ended or isinstance(one.result, StepResult)


def _bounced(begun: datetime, at: datetime) -> BillingEvent:
    told = b.declined("insufficient_funds", begun, name="ch_x", method_type="sepa_debit")
    return b.attempted(told.attempt, at=at)
