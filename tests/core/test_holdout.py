"""Hold-outs: who is drawn, that it never changes, and what is left undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.holdout import Drawn, Holdout, draw, is_late, walked_by
from dunning.core.plan import plan
from dunning.core.policy import Policy
from tests.builders import case_of, days, declined, failed, hours
from tests.happenings import retry_asked, step
from tests.policies import STANDARD

TENTH = replace(STANDARD, holdout=Holdout(share=1_000))
GENTLE = replace(STANDARD, name="gentle", window=timedelta(days=40))


def held_out(policy: Policy, *customers: str, source: str = "stripe") -> set[str]:
    drawn = {name: draw(policy, source, name) for name in customers}
    return {name for name, one in drawn.items() if one is not None and one.held_out}


def held_out_of(policy: str) -> Drawn:
    """The fact of a case that is left alone."""
    window = timedelta(days=28)
    return Drawn(policy=policy, held_out=True, instead=None, share=1_000, window=window)


MANY = [f"cus_{number}" for number in range(4_000)]


def test_about_the_share_is_held_out() -> None:
    assert 330 < len(held_out(TENTH, *MANY)) < 470  # of 4000 a tenth, within four deviations


def test_a_customer_stays_in_the_group_whatever_else_the_policy_says() -> None:
    later = replace(TENTH, window=timedelta(days=20), grace=timedelta(days=1), timeline=())
    assert held_out(later, *MANY) == held_out(TENTH, *MANY)


def test_a_larger_share_keeps_those_who_were_held_out() -> None:
    fifth = replace(TENTH, holdout=Holdout(share=2_000))
    assert held_out(TENTH, *MANY) < held_out(fifth, *MANY)


def test_another_salt_name_or_source_draws_others() -> None:
    before = held_out(TENTH, *MANY)
    assert held_out(replace(TENTH, holdout=Holdout(share=1_000, salt="b")), *MANY) != before
    assert held_out(replace(TENTH, name="patient"), *MANY) != before
    assert held_out(TENTH, *MANY, source="stripe-eu") != before


def test_nobody_is_drawn_without_a_hold_out_or_a_customer() -> None:
    assert draw(STANDARD, "stripe", "cus_1") is None
    assert draw(TENTH, "stripe", None) is None


def test_the_other_policy_walks_those_who_are_held_out() -> None:
    half = replace(STANDARD, holdout=Holdout(share=5_000, policy="gentle", instead=GENTLE))
    drawn = {name: draw(half, "stripe", name) for name in MANY[:40]}
    walkers = {one.held_out: walked_by(half, one).name for one in drawn.values() if one}
    assert walkers == {True: "gentle", False: "standard"}
    # Both groups are looked at for as long.
    assert {one.window for one in drawn.values() if one} == {timedelta(days=40)}


# --- what is left undone -----------------------------------------------------------------------


def told(case: Case, drawn: Drawn | None = None) -> dict[str, str | None]:
    """The steps of a case an hour after it failed, and why some will not be done."""
    steps = plan(replace(case, drawn=drawn), STANDARD, hours(1)).steps
    return {step.key.partition("/")[2]: step.skip for step in steps}


def test_no_retry_and_no_email_but_access_and_the_end_as_they_are() -> None:
    case = case_of(failed(), declined())
    steps = told(case, drawn=held_out_of("standard"))
    why = "held out: no retries and no emails for this part of policy standard"
    left = {name for name, skip in steps.items() if skip == why}
    assert left == {name for name in steps if name.startswith(("retry", "email"))}
    assert {name for name, skip in steps.items() if skip is None} == {
        "reconcile:open",
        "restrict:1",
        "suspend:1",
        "give_up:1",
    }
    # Nothing is asked for, so nothing is waited for.
    dates = {s.kind: s.due_at for s in plan(case, STANDARD, hours(1)).steps}
    assert dates[StepKind.SUSPEND] == days(14)


def test_the_treated_and_those_another_policy_walks_are_not_left_alone() -> None:
    case = case_of(failed(), declined())
    plain = told(case)
    treated = replace(held_out_of("standard"), held_out=False)
    other = replace(held_out_of("standard"), instead="gentle")
    assert told(case, drawn=treated) == plain
    assert told(case, drawn=other) == plain


def test_what_a_person_asks_for_is_done() -> None:
    case = case_of(failed(), declined(), retry_asked(hours(0.5)))
    by_hand = [name for name in told(case) if name.startswith("retry:hand")]
    assert [told(case, drawn=held_out_of("standard"))[name] for name in by_hand] == [None]


# --- when the customer is heard of late --------------------------------------------------------


def test_a_case_may_be_drawn_until_something_was_done() -> None:
    late = case_of(failed(), declined())
    unknown = replace(late, words=())
    assert is_late(unknown, late)
    assert not is_late(late, late)
    assert not is_late(unknown, unknown)
    assert is_late(unknown, replace(late, done=(step("reconcile:open", hours(0)),)))
    assert not is_late(unknown, replace(late, done=(step("email:1", hours(0)),)))
    assert not is_late(unknown, replace(late, drawn=held_out_of("standard")))
