"""Which policy a case gets, why, and what is looked up for the conditions of its lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from dunning.case_rows import locked
from dunning.cases import CaseBook
from dunning.chosen import Chosen
from dunning.core.choosing import OneOf, Subject, When, Within
from dunning.core.events import BillingEvent, InvoiceReported
from dunning.core.money import Money
from dunning.core.policy import Policy, Retries
from dunning.store import CaseRow, RevenueRow, StepRow
from tests.builders import T0, bill, days, failed, paid
from tests.happenings import customer, step
from tests.policies import STANDARD, policy, rung
from tests.stages.kit import Stage

PATIENT = replace(STANDARD, name="patient")
TOLD = customer(metadata=(("tags", "vip"),))


def by_tag(patient: Policy) -> Callable[[Subject], Chosen]:
    def choose(subject: Subject) -> Chosen:
        vip = "vip" in subject.tags
        fits = Chosen(patient, "line 1: vip", ("vip", "eu"))
        return fits if vip else Chosen(STANDARD, "line 2: everything")

    return choose


def moments_of(at: datetime) -> dict[str, Any]:
    return dict.fromkeys(("due_at", "started_at", "first_started_at"), at)


def looked(*more: BillingEvent) -> list[BillingEvent]:
    """What the first look brings."""
    return [*more, step("reconcile:open", T0)]


def tell(stage: Stage, *told: BillingEvent) -> CaseRow:
    """Take this into the only case there is, as the first look would."""
    with stage.writing() as session:
        (name,) = [row.id for row in stage.all(CaseRow)]
        stage.book.apply_by_hand(session, locked(session, name), told, T0)
    (row,) = stage.all(CaseRow)
    return row


def test_the_first_look_may_bring_what_another_policy_is_chosen_by(stage: Stage) -> None:
    stage.book = CaseBook(choose=by_tag(PATIENT))
    stage.tell(failed())
    (row,) = stage.all(CaseRow)
    assert (row.policy, row.policy_why) == ("standard", "line 2: everything")
    assert row.segments is None
    row = tell(stage, *looked(TOLD))
    assert (row.policy, row.policy_version) == ("patient", PATIENT.version)
    assert row.segments == "eu+vip"
    why = "line 1: vip; chosen by the first look, before that standard (line 2: everything)"
    assert row.policy_why == why


def test_what_comes_later_chooses_no_other_policy(stage: Stage) -> None:
    stage.book = CaseBook(choose=by_tag(PATIENT))
    stage.tell(failed())
    tell(stage, *looked())
    row = tell(stage, TOLD)
    assert (row.policy, row.segments) == ("standard", None)


def test_a_case_of_which_anything_was_done_keeps_its_policy(stage: Stage) -> None:
    stage.book = CaseBook(choose=by_tag(PATIENT))
    stage.tell(failed())
    tell(stage, step("email:1", T0))
    assert tell(stage, *looked(TOLD)).policy == "standard"


def test_another_owner_of_the_retries_comes_too_late(stage: Stage) -> None:
    theirs = replace(PATIENT, retries=Retries.PROVIDER)
    stage.book = CaseBook(choose=by_tag(theirs))
    stage.tell(failed())
    row = tell(stage, *looked(TOLD))
    assert (row.policy, row.segments) == ("standard", "eu+vip")
    assert "kept, as patient (line 1: vip) has another owner of the retries" in str(row.policy_why)


def test_what_was_heard_of_the_customer_before_counts_at_the_beginning(stage: Stage) -> None:
    stage.book = CaseBook(choose=by_tag(PATIENT))
    stage.tell(TOLD)
    stage.tell(failed())
    (row,) = stage.all(CaseRow)
    assert row.policy == "patient"


# --- revenue ---------------------------------------------------------------------------------


def payment(invoice: str, amount: int, currency: str = "usd") -> InvoiceReported:
    told = paid()
    whole = replace(told.bill, invoice=invoice, remaining=0, paid=amount, currency=currency)
    return replace(told, id=f"evt_{invoice}_{amount}", bill=whole)


def test_what_a_customer_paid_is_kept_once_for_each_invoice_in_any_order(stage: Stage) -> None:
    seen: list[Money | None] = []

    def choose(subject: Subject) -> Policy:
        seen.append(subject.revenue)
        return STANDARD

    stage.book = CaseBook(choose=choose, keeps_revenue=lambda: True)
    told = [payment("in_8", 3_000), payment("in_8", 1_000), payment("in_9", 500)]
    for one in (*told, *reversed(told), payment("in_7", 99, "eur")):
        stage.tell(one)
    kept = {row.id: (row.customer, row.amount, row.currency) for row in stage.all(RevenueRow)}
    assert kept["in_8"] == ("cus_1", 3_000, "usd")
    assert len(kept) == 3
    stage.tell(failed(told=bill(invoice="in_1")))
    assert seen == [Money(3_500, "usd")]


def test_without_being_asked_nothing_is_kept(stage: Stage) -> None:
    stage.tell(payment("in_8", 3_000))
    assert stage.all(RevenueRow) == []


# --- what lines ask for ----------------------------------------------------------------------


@pytest.mark.parametrize(("least", "skipped"), [(1, False), (2, True)])
def test_the_customers_open_invoices_are_counted(stage: Stage, least: int, skipped: bool) -> None:
    when = When((Within("open_invoices", least, None),))
    stage.policy = policy(rung("retry", 1, when=when), rung("give_up", 28))
    stage.tell(failed())
    with stage.writing() as session:
        row = locked(session, stage.all(CaseRow)[0].id)
        _, ahead = stage.book.plan_of(session, row, days(1))
    (retry,) = [one for one in ahead.steps if one.key.endswith("retry:1")]
    assert (retry.skip is not None) is skipped


def test_a_step_that_may_have_happened_stays_planned_when_the_lines_change(stage: Stage) -> None:
    when = When((OneOf("decline", ("hard_decline",)),))
    stage.policy = policy(rung("retry", 1, when=when), rung("give_up", 28))
    stage.tell(failed())
    (row,) = stage.all(CaseRow)
    with stage.writing() as session:
        _, ahead = stage.book.plan_of(session, locked(session, row.id), days(1))
        assert [s.skip for s in ahead.steps if s.key.endswith("retry:1")] != [None]
        key, moments = f"{row.id}/retry:1", moments_of(days(1))
        session.add(StepRow(key=key, case_id=row.id, kind="retry", state="running", **moments))
    with stage.writing() as session:
        _, ahead = stage.book.plan_of(session, locked(session, row.id), days(1))
        assert [s.skip for s in ahead.steps if s.key.endswith("retry:1")] == [None]
