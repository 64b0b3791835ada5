"""The one door: a case keeps its policy, only the holder of a claim writes, news is not lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from dunning.case_rows import locked, read_facts
from dunning.cases import CaseBook
from dunning.core.choosing import Subject
from dunning.core.events import BillingEvent
from dunning.core.money import Money
from dunning.core.policy import Policy
from dunning.errors import LeaseLostError, MoneyError, NotFoundError
from dunning.schedule import Claim, claim_due
from dunning.store import AttemptRow, CaseRow, EntryRow, LinkRow, PolicyRow, StepRow
from tests.builders import (
    AMOUNT,
    T0,
    attempt,
    attempted,
    bill,
    days,
    declined,
    failed,
    hours,
    paid,
    payment,
    refund,
    voided,
)
from tests.happenings import customer, ended, new_card, page_opened, renewal, step, subscription
from tests.policies import STANDARD, policy, rung
from tests.stages.kit import Stage

LEASE = timedelta(minutes=2)
SHORT = policy(rung("retry", 2), rung("give_up", 5), window=timedelta(days=5), name="short")


def claim(stage: Stage) -> Claim:
    with stage.writing() as session:
        (one,) = claim_due(session, T0, limit=5, lease=LEASE, sources=["stripe"])
    return one


def cursor(stage: Stage) -> tuple[object, ...]:
    """When the case is looked at next, until when it is held, and with which token."""
    row = stage.cursor()
    assert row is not None
    return row.due_at, row.leased_until, row.lease_token


# --- opening -----------------------------------------------------------------------------------


def test_a_failure_opens_a_case_with_its_columns(stage: Stage) -> None:
    stage.tell(failed(), declined("insufficient_funds"), now=hours(1))
    case = stage.case()
    assert (case.source, case.provider, case.invoice) == ("stripe", "stripe", "in_1")
    assert (case.customer, case.subscription, case.scope) == ("cus_1", "sub_1", "sub_1")
    assert (case.state, case.access, case.currency) == ("in_grace", "full", "usd")
    assert (case.amount_due, case.amount_at_risk) == (AMOUNT, AMOUNT)
    assert (case.decline_code, case.advice) == ("insufficient_funds", "wait")
    assert (case.policy, case.policy_version) == ("standard", STANDARD.version)
    assert (case.opened_at, case.recorded_at) == (T0, hours(1))
    assert (case.closed_at, case.closed_reason) == (None, None)
    assert (case.next_step, case.next_at) == ("reconcile:open", T0)
    assert cursor(stage) == (T0, None, None)


def test_the_policy_is_chosen_by_what_is_known_of_the_invoice(stage: Stage) -> None:
    told = bill(country="DE", products=("prod_1",), metadata=(("plan", "gold"),))
    stage.tell(failed(told=told))
    assert stage.subjects == [
        Subject(
            source="stripe",
            amount=Money(AMOUNT, "usd"),
            country="DE",
            products=("prod_1",),
            metadata=(("plan", "gold"),),
            subscription=True,
            by_hand=False,
        )
    ]


def test_what_is_not_about_a_failure_opens_nothing(stage: Stage) -> None:
    with stage.writing() as session:
        told: list[BillingEvent] = [paid(), customer(), renewal(), subscription()]
        applied = stage.book.apply(session, "stripe", "stripe", told, T0)
    assert (applied.cases, applied.waiting) == ((), "in_1")
    assert stage.all(CaseRow) == []
    assert stage.subjects == []


def test_events_about_two_invoices_move_two_cases(stage: Stage) -> None:
    other = replace(bill(), invoice="in_2")
    with stage.writing() as session:
        told = [failed(), failed(told=other)]
        applied = stage.book.apply(session, "stripe", "stripe", told, T0)
    assert set(applied.cases) == {row.id for row in stage.all(CaseRow)}
    assert len(applied.cases) == 2


def test_another_currency_is_refused_whole(stage: Stage) -> None:
    stage.tell(failed())
    before = stage.case()
    with pytest.raises(MoneyError, match=r"in_1 is in usd, but .* speaks of eur"):
        stage.tell(declined(), payment(100, hours(1), currency="eur"))
    after = stage.case()
    assert (after.version, after.facts) == (before.version, before.facts)
    assert len(stage.all(EntryRow)) == 1


def test_a_case_nobody_knows_is_not_found(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="no case case_x"), stage.writing() as session:
        locked(session, "case_x")


# --- the pinned policy -------------------------------------------------------------------------


def test_a_new_policy_does_not_move_an_open_case(stage: Stage) -> None:
    stage.tell(failed())
    before = stage.case()
    stage.policy = SHORT
    stage.tell(declined("insufficient_funds", hours(1)), now=hours(1))
    case = stage.case()
    assert (case.policy, case.policy_version) == ("standard", STANDARD.version)
    assert case.next_at == before.next_at
    with stage.writing() as session:
        assert stage.book.policy_of(session, case.policy_version) == STANDARD


def test_a_new_policy_of_the_same_name_does_not_either_and_new_cases_begin_under_it(
    stage: Stage,
) -> None:
    stage.tell(failed())
    stage.policy = replace(SHORT, name="standard")
    # Another process, which has only the new file.
    stage.book = CaseBook(choose=stage._choose)
    stage.tell(declined(), failed(told=replace(bill(), invoice="in_2")))
    assert stage.case().policy_version == STANDARD.version
    assert stage.case("in_2").policy_version == stage.policy.version
    assert {row.version for row in stage.all(PolicyRow)} == {
        STANDARD.version,
        stage.policy.version,
    }
    with stage.writing() as session:
        _, old = stage.book.plan_of(session, stage.case(), T0)
        _, new = stage.book.plan_of(session, stage.case("in_2"), T0)
    assert len(old.steps) > len(new.steps)


def test_the_version_is_the_content(stage: Stage) -> None:
    for number in range(3):
        stage.policy = Policy(**{name: getattr(SHORT, name) for name in SHORT.__slots__})
        stage.tell(failed(told=replace(bill(), invoice=f"in_{number}")))
    assert [row.version for row in stage.all(PolicyRow)] == [SHORT.version]
    assert replace(SHORT, window=timedelta(days=6)).version != SHORT.version


def test_a_policy_version_that_is_not_there_is_said_so(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="policy version x"), stage.writing() as session:
        stage.book.policy_of(session, "x")


# --- the fence ---------------------------------------------------------------------------------


def everything(stage: Stage) -> list[object]:
    return [
        [row.model_dump() for row in stage.all(table)]
        for table in (CaseRow, EntryRow, AttemptRow, LinkRow, StepRow)
    ]


def test_a_stale_claim_writes_nothing(stage: Stage) -> None:
    stage.tell(failed())
    late = claim(stage)
    with stage.writing() as session:
        claim_due(session, T0 + LEASE, limit=5, lease=LEASE, sources=["stripe"])
    before = everything(stage)
    with pytest.raises(LeaseLostError, match=late.case_id), stage.writing() as session:
        stage.book.apply_to(session, late, [paid(hours(1))], T0 + LEASE)
    assert everything(stage) == before


def test_a_claim_is_good_for_one_outcome(stage: Stage) -> None:
    stage.tell(failed())
    mine = claim(stage)
    with stage.writing() as session:
        stage.book.apply_to(session, mine, [declined()], T0)
    before = everything(stage)
    with pytest.raises(LeaseLostError), stage.writing() as session:
        stage.book.apply_to(session, mine, [paid(hours(1))], T0)
    assert everything(stage) == before


def test_news_during_a_claim_leaves_it_standing(stage: Stage) -> None:
    stage.tell(failed())
    mine = claim(stage)
    stage.tell(declined(), now=T0 + LEASE / 2)
    assert cursor(stage) == (T0, T0 + LEASE, mine.token)
    with stage.writing() as session:
        stage.book.apply_to(session, mine, [], T0 + LEASE / 2)
    assert cursor(stage) == (stage.case().next_at, None, None)


def test_news_after_a_claim_ran_out_ends_it(stage: Stage) -> None:
    stage.tell(failed())
    mine = claim(stage)
    stage.tell(declined(), now=T0 + LEASE)
    assert cursor(stage) == (stage.case().next_at, None, None)
    with pytest.raises(LeaseLostError), stage.writing() as session:
        stage.book.apply_to(session, mine, [paid()], T0 + LEASE)


# --- what was heard before ---------------------------------------------------------------------


def test_a_new_card_heard_of_before_the_case_opens_is_known_to_it(stage: Stage) -> None:
    stage.tell(new_card(hours(1)), now=hours(1))
    assert stage.all(CaseRow) == []
    stage.tell(failed(), declined("expired_card"), now=hours(2))
    case = read_facts(stage.case())
    assert (case.method, case.method_at) == ("pm_new", hours(1))
    with stage.writing() as session:
        _, ahead = stage.book.plan_of(session, stage.case(), hours(2))
    assert [one.key for one in ahead.due(hours(2)) if ":card:" in one.key] != []


def test_an_old_card_heard_of_long_before_is_no_reason_to_charge(stage: Stage) -> None:
    stage.tell(new_card(days(-30)), now=days(-30))
    stage.tell(failed(), declined("expired_card"))
    with stage.writing() as session:
        _, ahead = stage.book.plan_of(session, stage.case(), T0)
    assert [one.key for one in ahead.steps if ":card:" in one.key] == []


def test_a_cancellation_heard_of_before_the_case_opens_ends_it(stage: Stage) -> None:
    stage.tell(ended(hours(1)), now=hours(1))
    stage.tell(failed())
    case = stage.case()
    assert (case.state, case.closed_at) == ("closed", hours(1))


def test_news_of_the_customer_reaches_each_open_case_of_theirs(stage: Stage) -> None:
    stage.tell(failed(), failed(told=replace(bill(), invoice="in_2")))
    stage.tell(failed(told=replace(bill(), invoice="in_3", customer="cus_9")))
    stage.tell(voided(hours(1)))
    stage.tell(customer(hours(2), email="new@example.com"))
    told = {row.invoice: read_facts(row).word("email") for row in stage.all(CaseRow)}
    assert told == {"in_1": "ann@example.com", "in_2": "new@example.com", "in_3": "ann@example.com"}


def test_late_news_of_an_earlier_time_still_reaches_a_case_that_has_ended(stage: Stage) -> None:
    stage.tell(failed(), ended(days(3)))
    assert stage.case().closed_reason is not None
    first = stage.case().closed_at
    stage.tell(ended(days(2)))
    assert (first, stage.case().closed_at) == (days(3), days(2))


def test_a_charge_is_linked_to_its_invoice_for_whatever_comes_later(stage: Stage) -> None:
    stage.tell(failed(), declined(payment_intent="pi_7"))
    with stage.writing() as session:
        links = session.scalars(select(LinkRow).order_by(col(LinkRow.object_id))).all()
    assert [(row.object_id, row.invoice) for row in links] == [("ch_0", "in_1"), ("pi_7", "in_1")]
    told = attempted(attempt(at=hours(1), code="expired_card", payment_intent="pi_7"))
    stage.tell(replace(told, invoice=None))
    assert stage.case().decline_code == "expired_card"
    stage.tell(paid(hours(2)))
    stage.tell(refund(500, hours(3), invoice=None))
    assert [row.amount for row in stage.all(EntryRow) if row.credit == "refunded"] == [500]


def test_each_try_is_kept_where_the_limits_of_the_card_are_counted(stage: Stage) -> None:
    stage.tell(failed(), declined("expired_card", hours(1)))
    stage.tell(declined("expired_card", hours(1)), declined("lost_card", hours(2)))
    rows = sorted(stage.all(AttemptRow), key=lambda row: row.at)
    assert [(row.at, row.status, row.decline_code, row.advice) for row in rows] == [
        (hours(1), "declined", "expired_card", "new_method"),
        (hours(2), "declined", "lost_card", "stop"),
    ]
    assert {(row.fingerprint, row.network, row.amount) for row in rows} == {
        ("fp_old", "visa", AMOUNT)
    }


# --- by hand, and at the end -------------------------------------------------------------------


def test_what_people_do_needs_no_claim_and_breaks_none(stage: Stage) -> None:
    stage.tell(failed())
    mine = claim(stage)
    with stage.writing() as session:
        row = locked(session, mine.case_id)
        stage.book.apply_by_hand(session, row, [page_opened(hours(1))], T0)
    assert cursor(stage)[2] == mine.token
    assert read_facts(stage.case()).page_opened_at == hours(1)


def test_a_step_that_was_begun_ends_with_its_case(stage: Stage) -> None:
    stage.tell(failed())
    key = f"{stage.case().id}/email:1"
    begun: dict[str, Any] = {
        "started_at": T0,
        "first_started_at": T0,
        "due_at": T0,
        "case_id": stage.case().id,
    }
    with stage.writing() as session:
        session.add(StepRow(key=key, kind="email", state="running", **begun))
        retry = key.replace("email", "retry")
        session.add(StepRow(key=retry, kind="retry", state="deferred", **begun))
    stage.tell(paid(hours(1)), now=hours(1))
    rows = {row.kind: (row.state, row.result, row.ended_at) for row in stage.all(StepRow)}
    assert rows == {
        "email": ("ended", "doubtful", hours(1)),
        "retry": ("ended", "not_owed", hours(1)),
    }
    assert read_facts(stage.case()).step(key) is not None


def test_a_case_that_is_over_has_nothing_due_but_what_follows_its_end(stage: Stage) -> None:
    stage.tell(failed(), declined(), paid(hours(1)))
    case = stage.case()
    assert (case.state, case.closed_reason, case.amount_at_risk) == ("recovered", "paid", 0)
    assert case.next_step in (None, "reconcile:paid")
    stage.tell(failed(hours(0.5)), now=days(1))
    assert stage.case().state == "recovered"
    assert step("retry:1").id.endswith("/retry:1")
