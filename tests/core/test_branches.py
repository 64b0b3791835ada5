"""A policy with branches: other lines hold while the last decline has a meaning."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.around import Around
from dunning.core.branches import BRANCHES, MEANINGS, meanings, way_of
from dunning.core.case import advance, new_case
from dunning.core.declines import table
from dunning.core.events import Actor, BillingEvent, MethodNews, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.places import CHARGES, DOORS
from dunning.core.plan import plan, timeline
from dunning.core.policy import Policy
from tests import builders as b
from tests import happenings as h
from tests.core.lives import lives
from tests.core.walking import HARD, PLAIN, SOFT, Answer, answers, charged, dated, policies, walk
from tests.policies import policy, rung

FAILED = b.failed()
FUNDS = (
    rung("retry", 2),
    rung("email", 2, template="reminder"),
    rung("retry", 6),
    rung("retry", before=timedelta(days=2), anchor="suspend"),
)
HARD_LINES = (
    rung("email", 0, template="payment_failed"),
    rung("email", 4, template="final_notice"),
    rung("suspend", 14, name="off"),
    rung("give_up", 20),
)
BRANCHED = policy(
    *PLAIN.timeline, send_between=None, branches=(("funds", FUNDS), ("hard_decline", HARD_LINES))
)


def test_every_kind_of_refusal_has_a_branch() -> None:
    assert {row.category for row in table()} <= set(MEANINGS)
    assert set(MEANINGS.values()) <= set(BRANCHES)


@pytest.mark.parametrize(
    ("code", "branch"),
    [
        ("lost_card", "hard_decline"),
        ("fraudulent", "hard_decline"),
        ("authentication_required", "authentication"),
        ("expired_card", "data_to_fix"),
        ("insufficient_funds", "funds"),
        ("processing_error", "issuer_unavailable"),
        ("do_not_honor", "unknown"),
        ("never_heard_of", "unknown"),
    ],
)
def test_what_a_decline_means(code: str, branch: str) -> None:
    assert meanings(b.case_of(FAILED, b.declined(code)), PLAIN) == (branch,)


def test_a_bank_debit_that_failed_means_two_things_and_the_file_decides() -> None:
    case = b.case_of(FAILED, b.declined("insufficient_funds", method_type="sepa_debit"))
    assert meanings(case, PLAIN) == ("funds", "bank_debit")
    for names in (("funds", "bank_debit"), ("bank_debit", "funds")):
        by = policy(*PLAIN.timeline, branches=tuple((name, FUNDS) for name in names))
        assert way_of(case, by).branch == names[0]


def test_the_lines_of_the_branch_hold_and_the_doors_of_the_timeline() -> None:
    walked = walk(b.case_of(FAILED, b.declined("insufficient_funds")), BRANCHED)
    assert dated(walked) == {
        "funds.retry:1": 2,
        "funds.email:1": 2,
        "funds.retry:2": 6,
        "restrict:1": 10,
        "funds.retry:3": 12,
        "suspend:1": 14,
        "email:suspended": 14,
        "give_up:1": 28,
    }


def test_a_hard_decline_is_told_at_once_and_never_charged() -> None:
    world = [b.declined("lost_card", b.days(3.5), by=Actor.UNKNOWN)]
    walked = walk(b.case_of(FAILED, b.declined("insufficient_funds")), BRANCHED, world=world)
    assert dated(walked) == {
        "funds.retry:1": 2,
        "funds.email:1": 2,
        "hard_decline.email:1": 3.5,
        "hard_decline.email:2": 4,
        "restrict:1": 10,
        "suspend:1": 14,
        "email:suspended": 14,
        "give_up:1": 20,
    }


def test_a_new_card_leads_back_to_the_timeline_and_fires_no_old_rung() -> None:
    world: list[BillingEvent] = [h.new_card(b.days(5))]
    answers = ["insufficient_funds", StepResult.DONE, "do_not_honor"]
    walked = walk(
        b.case_of(FAILED, b.declined("insufficient_funds")),
        BRANCHED,
        world=world,
        answers=[StepResult.DONE, *answers],
    )
    made = {name: day for name, day in dated(walked).items() if "retry" in name}
    card = f"retry:card:{int(b.days(5).timestamp())}"
    assert made == {"funds.retry:1": 2, card: 5, "funds.retry:2": 6, "funds.retry:3": 12}
    hard = walk(
        b.case_of(FAILED, b.declined("lost_card")),
        BRANCHED,
        world=world,
        answers=iter_answers(card="do_not_honor"),
    )
    made = {name: day for name, day in dated(hard).items() if "retry" in name}
    assert made == {card: 5, "retry:3": 7, "retry:4": 13, "retry:5": 21}
    assert hard.skipped()["retry:1"] == hard.skipped()["retry:2"]
    assert "lay before these lines held" in hard.skipped()["retry:1"]


def iter_answers(card: str) -> list[Answer]:
    """Every charge is declined with this code; what comes before the card ends as it does."""
    return [StepResult.DONE, StepResult.DONE, StepResult.DONE, card, *(["do_not_honor"] * 9)]


def test_a_rung_of_the_moment_in_which_the_branch_began_is_not_a_second_charge() -> None:
    by = policy(
        rung("retry", 3),
        rung("give_up", 28),
        send_between=None,
        branches=(("funds", (rung("retry", 3), rung("retry", 5))),),
    )
    walked = walk(b.case_of(FAILED, b.declined("do_not_honor")), by)
    assert dated(walked, StepKind.RETRY) == {"retry:1": 3, "funds.retry:2": 5}


def test_a_provider_whose_clock_is_behind_fires_no_second_charge() -> None:
    by = policy(
        rung("retry", 3),
        rung("give_up", 28),
        send_between=None,
        branches=(("funds", (rung("retry", 3), rung("retry", 5))),),
    )
    before = b.days(3) - timedelta(seconds=2)
    tried = b.declined("insufficient_funds", before, by=Actor.OURS, key=h.step_key("retry:1"))
    ended = h.step("retry:1", b.days(3), StepResult.DECLINED)
    case = b.case_of(FAILED, b.declined("do_not_honor"), tried, ended)
    assert way_of(case, by).since == b.days(3)
    skips = {s.key.rpartition("/")[2]: s.skip for s in plan(case, by, b.days(3)).steps if s.rung}
    assert skips["funds.retry:1"] is not None
    assert skips["funds.retry:2"] is None


def test_a_step_that_was_begun_is_not_ruled_out_by_a_new_answer() -> None:
    case = b.case_of(FAILED, b.declined("do_not_honor"), h.new_card(b.days(3.5)))
    by = policy(*PLAIN.timeline, send_between=None, branches=(("unknown", FUNDS),))
    key = f"{case.id}/retry:1"
    for begun in (frozenset[str](), frozenset((key,))):
        steps = plan(case, by, b.days(4), around=Around(begun=begun)).steps
        assert [step.skip is None for step in steps if step.key == key] == [key in begun]


def test_what_was_said_is_not_said_again_by_the_branch() -> None:
    said = (rung("email", 0, template="payment_failed"), rung("email", 9, template="reminder"))
    by = policy(
        *said, rung("retry", 1), rung("give_up", 28), send_between=None, branches=(("funds", said),)
    )
    walked = walk(b.case_of(FAILED, b.declined("do_not_honor")), by)
    assert dated(walked, StepKind.EMAIL) == {"email:1": 0, "funds.email:2": 9}
    assert "was said before" in walked.skipped()["funds.email:1"]


def test_a_case_that_had_no_answer_at_first_comes_into_its_branch_when_one_is_heard() -> None:
    by = policy(*PLAIN.timeline, branches=(("unknown", FUNDS), ("funds", HARD_LINES)))
    assert way_of(b.case_of(FAILED), by).branch == "unknown"
    late = b.case_of(FAILED, b.declined("insufficient_funds", b.days(2)))
    assert (way_of(late, by).branch, way_of(late, by).since) == ("funds", b.days(2))
    first = b.case_of(FAILED, b.declined("insufficient_funds"))
    assert way_of(first, by).since is None


def test_a_charge_begun_in_another_branch_comes_first_until_its_ending_is_known() -> None:
    case = b.case_of(
        FAILED,
        b.declined("insufficient_funds"),
        b.declined("do_not_honor", b.days(7), by=Actor.UNKNOWN),
    )
    assert "funds.retry:2" not in names(case, BRANCHED, 7)
    begun = Around(begun=frozenset((f"{case.id}/funds.retry:2",)))
    due = plan(case, BRANCHED, b.days(7), around=begun).due(b.days(7))
    charges = [step for step in due if step.kind in CHARGES and step.skip is None]
    assert [step.key.rpartition("/")[2] for step in charges] == ["funds.retry:2"]


def names(case: Case, by: Policy, day: float) -> list[str]:
    return [step.key.rpartition("/")[2] for step in plan(case, by, b.days(day)).steps]


def test_a_line_after_the_branch_has_given_up_is_not_there() -> None:
    by = policy(*PLAIN.timeline, branches=(("hard_decline", (rung("give_up", 12),)),))
    walked = walk(b.case_of(FAILED, b.declined("lost_card")), by)
    assert dated(walked) == {"restrict:1": 10, "give_up:1": 12}


# --- what holds whatever happens -------------------------------------------------------------


@st.composite
def branched(draw: st.DrawFn) -> Policy:
    """Policies of every shape with branches whose lines are those of other policies."""
    by = draw(policies())
    order = draw(st.integers(0, 10**6))
    chosen = draw(st.lists(st.sampled_from(BRANCHES), max_size=4, unique=True))
    Random(order).shuffle(chosen)
    lines = [draw(policies()).timeline for _ in chosen]
    kept = [tuple(rung for rung in each if placed(rung.anchor, each, by)) for each in lines]
    return policy(
        *by.timeline,
        send_between=by.send_between,
        timezone=by.timezone,
        retries=by.retries,
        branches=tuple(zip(chosen, kept, strict=True)),
    )


def placed(anchor: str | None, lines: tuple[object, ...], by: Policy) -> bool:
    kinds = {str(getattr(line, "do", "")) for line in (*lines, *by.timeline)}
    return anchor is None or anchor in kinds or anchor == StepKind.GIVE_UP


MEANWHILE = st.lists(
    st.one_of(
        st.builds(h.new_card, st.integers(0, 30).map(b.days)),
        st.builds(h.retry_asked, st.integers(0, 30).map(b.days)),
        st.builds(b.declined, st.sampled_from((*SOFT, *HARD)), st.integers(0, 30).map(b.days)),
        st.builds(
            lambda at: h.method(MethodNews.NETWORK_UPDATED, at), st.integers(0, 30).map(b.days)
        ),
    ),
    max_size=5,
)
AWAY = st.sampled_from((0, 0, 0.1, 1.5, 4, 13.5, 20, 40))


@given(
    by=branched(),
    first=st.sampled_from((*SOFT, *HARD)),
    world=MEANWHILE,
    told=answers(*SOFT, *HARD),
    away=AWAY,
)
def test_whatever_the_banks_answers_the_rules_hold(
    by: Policy, first: str, world: list[BillingEvent], told: list[Answer], away: float
) -> None:
    case = b.case_of(FAILED, b.declined(first))
    walked = walk(case, by, start=b.days(away), world=world, answers=told)
    ended = [act.name for act in walked.acts if act.ended] + list(walked.skipped())
    assert sorted(ended) == sorted(set(ended))  # doors and all else are done once
    assert [act.name for act in walked.acts if act.step.kind is StepKind.GIVE_UP and act.ended]
    for act in charged(walked):
        way = way_of(act.case, by)
        lines = {step.key: step.due_at for step in timeline(act.case, by)}
        if way.since is not None and act.step.key in lines:
            assert lines[act.step.key] > way.since
    ours = [a for a in charged(walked) if a.step.kind is StepKind.RETRY and a.step.rung]
    for one, other in pairwise(ours):
        assert other.at > one.at or not one.ended or isinstance(one.result, StepResult)
    for now, seen in walked.looks:
        due = [step for step in seen.due(now) if step.skip is None]
        assert sum(step.kind in CHARGES for step in due) <= 1
        assert sum(step.kind is StepKind.EMAIL for step in due) <= 1
        keys = [step.key for step in seen.steps]
        assert len(keys) == len(set(keys))


@given(
    by=branched(),
    code=st.sampled_from(HARD),
    told=answers(*SOFT),
    at=st.integers(0, 20),
    card=st.none() | st.integers(0, 25),
)
def test_a_hard_decline_is_not_charged_until_there_is_a_new_card(
    by: Policy, code: str, told: list[Answer], at: int, card: int | None
) -> None:
    world: list[BillingEvent] = [b.declined(code, b.days(at))]
    if card is not None:
        world.append(h.new_card(b.days(card + 0.01)))
    walked = walk(b.case_of(FAILED), by, world=world, answers=told)
    for act in charged(walked):
        assert act.at < b.days(at) or (card is not None and at <= card and act.at > b.days(card))


@given(by=branched(), told=answers(*SOFT), first=st.sampled_from((*SOFT, *HARD)), away=AWAY)
def test_a_door_opens_after_every_chance_of_its_branch_before_it(
    by: Policy, told: list[Answer], first: str, away: float
) -> None:
    case = b.case_of(FAILED, b.declined(first))
    walked = walk(case, by, start=b.days(away), answers=told)
    for act in walked.acts:
        if act.step.kind in DOORS:
            before = [s for s in plan(act.case, by, act.at).steps if s.order < act.step.order]
            assert not [step.key for step in before if step.kind in CHARGES and not step.skip]
        if act.step.kind is StepKind.SUSPEND:
            assert act.at >= b.T0 + by.grace


@given(told=lives(), by=branched(), seed=st.integers(0, 10**6), now=st.integers(0, 60).map(b.days))
def test_any_order_of_events_gives_the_same_plan(
    told: list[BillingEvent], by: Policy, seed: int, now: datetime
) -> None:
    other = new_case(b.SOURCE, b.PROVIDER, b.INVOICE)
    shuffled = [*told, *told[:3]]
    Random(seed).shuffle(shuffled)
    for event in shuffled:
        other = advance(other, event)
    case = b.case_of(*told)
    assert plan(case, by, now) == plan(other, by, now)
