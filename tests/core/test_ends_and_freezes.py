"""Who owns the charges, how a case ends, and what makes it stand still."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dunning.core.events import (
    BillingEvent,
    DisputeStatus,
    InvoiceNews,
    StepKind,
    StepResult,
)
from dunning.core.plan import plan
from dunning.core.policy import Retries
from dunning.core.status import status
from tests import builders as b
from tests import happenings as h
from tests.core.walking import LADDER, PLAIN, dated, walk
from tests.policies import policy

FAILED = b.failed()
CARD_STEP = f"retry:card:{int(b.days(5).timestamp())}"


# --- who owns the charges ----------------------------------------------------------------------


def test_where_the_provider_charges_nothing_of_ours_does() -> None:
    walked = walk(b.case_of(FAILED), policy(*PLAIN.timeline, retries=Retries.PROVIDER))
    assert walked.names(StepKind.RETRY, StepKind.SIGNAL) == []


def test_ours_begin_when_the_provider_has_finished() -> None:
    by = policy(*PLAIN.timeline, retries=Retries.PROVIDER_FIRST, send_between=None)
    theirs = b.reported(InvoiceNews.UPDATED, b.hours(1), b.bill(next_attempt_at=b.days(5)))
    over = b.reported(InvoiceNews.UPDATED, b.days(5), b.bill())
    walked = walk(b.case_of(FAILED), by, world=[theirs, over])
    assert dated(walked, StepKind.RETRY) == {"retry:3": 7, "retry:4": 13, "retry:5": 21}


def test_where_the_billing_system_charges_we_only_say_when() -> None:
    by = policy(*PLAIN.timeline, retries=Retries.SIGNAL, send_between=None)
    asked = h.retry_asked(b.hours(2))
    walked = walk(b.case_of(FAILED), by, world=[asked, h.new_card(b.days(5))])
    assert walked.names(StepKind.RETRY) == []
    told = dated(walked, StepKind.SIGNAL)
    assert told == LADDER | {CARD_STEP: 5, f"retry:hand:{asked.id}": 2 / 24}


def test_an_invoice_the_customer_pays_by_hand_is_never_charged() -> None:
    by_hand = b.failed(told=b.bill(automatic=False))
    assert walk(b.case_of(by_hand), PLAIN).names(StepKind.RETRY) == []


# --- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [b.paid(b.days(5)), b.voided(b.days(5)), h.ended(b.days(5)), h.closed_by_hand(b.days(5))],
)
def test_nothing_about_the_debt_follows_the_end(end: BillingEvent) -> None:
    walked = walk(b.case_of(FAILED), PLAIN, world=[end])
    after = [act.name for act in walked.acts if act.at > b.days(5)]
    assert [name for name in after if name not in ("email:recovered", "reconcile:paid")] == []
    assert [act.name for act in walked.acts if act.name == "email:recovered"] == (
        ["email:recovered"] if end.id == b.paid(b.days(5)).id else []
    )


def test_who_never_heard_of_the_debt_does_not_hear_that_it_is_settled() -> None:
    seen = plan(b.case_of(FAILED, b.paid(b.hours(1))), PLAIN, b.hours(2))
    assert not [step for step in seen.steps if step.kind is StepKind.EMAIL]


def test_access_comes_back_each_time_a_case_lets_go() -> None:
    note, gone = b.credit_note(4900, b.days(11)), b.credit_note(4900, b.days(13), live=False)
    walked = walk(b.case_of(FAILED), PLAIN, world=[note, gone, b.paid(b.days(15))])
    assert walked.names(StepKind.RESTRICT, StepKind.SUSPEND, StepKind.RESTORE) == [
        "restrict:1",
        "restore:1",
        "suspend:1",
        "restore:2",
    ]
    assert status(walked.case).access.value == "full"


def test_a_restore_that_could_not_be_done_is_not_tried_for_ever() -> None:
    told = (h.step("suspend:1", b.days(14)), b.paid(b.days(15)))
    failed = h.step("restore:1", b.days(16), StepResult.SKIPPED)
    seen = plan(b.case_of(FAILED, *told, failed), PLAIN, b.days(17))
    assert not [step for step in seen.steps if step.kind is StepKind.RESTORE]


# --- standing still ----------------------------------------------------------------------------


def test_a_bank_debit_under_way_is_asked_about_daily_until_it_ends() -> None:
    debit = b.processing(b.days(2), name="py_1")
    bounced = b.attempted(
        b.declined(at=b.days(2), name="py_1", method_type="sepa_debit").attempt, at=b.days(6.5)
    )
    walked = walk(b.case_of(FAILED), PLAIN, world=[debit, bounced])
    asked = {f"reconcile:frozen:{number}": number + 2 for number in (1, 2, 3, 4)}
    assert dated(walked, StepKind.RECONCILE) == {"reconcile:open": 0} | asked
    assert dated(walked, StepKind.RETRY)["retry:2"] == 6.5


@pytest.mark.parametrize(
    "answer",
    [
        b.declined(at=b.days(2), name="py_1", payment_intent="pi_1"),
        b.succeeded(b.days(2), name="py_1", payment_intent="pi_1", amount=1),
        b.payment(1, b.days(2), name="pi_1"),
    ],
)
def test_a_debit_heard_of_by_its_intent_is_answered_by_its_charge(answer: BillingEvent) -> None:
    intent = b.processing(b.days(2), name="pi_1", charge=None, payment_intent="pi_1")
    assert plan(b.case_of(FAILED, intent), PLAIN, b.days(3)).frozen
    assert not plan(b.case_of(FAILED, intent, answer), PLAIN, b.days(3)).frozen


def test_an_older_try_of_the_same_intent_does_not_end_a_debit_under_way() -> None:
    older = b.declined(at=b.days(2), name="py_1", payment_intent="pi_1")
    debit = b.processing(b.days(2.001), name="py_2", payment_intent="pi_1")
    assert plan(b.case_of(FAILED, older, debit), PLAIN, b.days(3)).frozen


def test_a_hold_and_a_resume_of_one_second_leave_the_case_going() -> None:
    held, resumed = h.held(b.days(1)), replace(h.resumed(b.days(1)), id="act_1")
    assert plan(b.case_of(FAILED, held), PLAIN, b.days(2)).frozen
    assert not plan(b.case_of(FAILED, held, resumed), PLAIN, b.days(2)).frozen
    assert not plan(b.case_of(FAILED, resumed, held), PLAIN, b.days(2)).frozen


def test_a_hold_until_a_date_ends_by_itself() -> None:
    case = b.case_of(FAILED, h.held(b.days(1), b.days(5)))
    seen = plan(case, PLAIN, b.days(2))
    assert (seen.next_at, seen.due(b.days(2))) == (b.days(5), ())
    assert plan(case, PLAIN, b.days(5)).frozen is None


def test_a_dispute_that_is_only_a_question_stops_nothing() -> None:
    asked = b.dispute(DisputeStatus.INQUIRY, b.days(1))
    assert plan(b.case_of(FAILED, asked), PLAIN, b.days(2)).frozen is None
    won = b.dispute(DisputeStatus.WON, b.days(3), opened_at=b.days(2))
    argued = b.dispute(DisputeStatus.OPEN, b.days(2))
    assert plan(b.case_of(FAILED, argued), PLAIN, b.days(4)).frozen
    assert plan(b.case_of(FAILED, argued, won), PLAIN, b.days(4)).frozen is None
