"""What refunds, disputes and credit notes say."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.core.events import (
    ChargeRefunded,
    CreditNoted,
    DisputeReported,
    DisputeStatus,
    RefundReported,
)
from dunning.core.ports import Ignored, Reading, Understood, Unreadable
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import AT, NOW, Body, credit_note, event, moment, raw
from tests.providers.stripe.bodies_money import charge, dispute, paid_charge, refund


def read(type: str, obj: Body) -> Reading:
    return StripeReader().normalise(raw(event(type, obj)))


def events(type: str, obj: Body) -> tuple[Any, ...]:
    answer = read(type, obj)
    assert isinstance(answer, Understood), answer
    return answer.events


def why(type: str, obj: Body) -> str:
    answer = read(type, obj)
    assert isinstance(answer, Unreadable), answer
    return answer.why


# --- refunds -------------------------------------------------------------------------------

GIVEN_BACK = RefundReported(
    id="evt_1",
    at=AT,
    refund="re_1",
    amount=1000,
    currency="eur",
    live=True,
    refunded_at=moment(NOW - 3),
    charge="ch_1",
    payment_intent="pi_1",
)


@pytest.mark.parametrize("type", ["refund.created", "refund.updated", "charge.refund.updated"])
def test_a_refund(type: str) -> None:
    assert events(type, refund()) == (GIVEN_BACK,)


@pytest.mark.parametrize(
    ("status", "live"),
    [
        ("pending", True),
        ("requires_action", True),
        ("succeeded", True),
        ("failed", False),
        ("canceled", False),
    ],
)
def test_a_refund_lives_until_it_fails(status: str, live: bool) -> None:
    assert events("refund.updated", refund(status=status))[0].live is live


def test_a_refund_that_is_told_to_have_failed_has() -> None:
    assert events("refund.failed", refund(status="succeeded"))[0].live is False


def test_a_refund_names_the_invoice_where_it_can() -> None:
    assert events("refund.created", refund(charge=charge("old")))[0].invoice == "in_1"
    bare = events("refund.created", refund(charge=None, payment_intent=None))[0]
    assert (bare.charge, bare.payment_intent, bare.invoice) == (None, None, None)


def test_an_old_charge_lists_its_refunds() -> None:
    listed = [refund(payment_intent=None), refund(id="re_2", amount=5, status="failed")]
    body = paid_charge("old", amount_refunded=1000, refunds={"data": listed, "has_more": False})
    first, second = events("charge.refunded", body)
    assert (first.id, second.id) == ("evt_1/re_1", "evt_1/re_2")
    assert (first.charge, first.payment_intent, first.invoice) == ("ch_1", "pi_1", "in_1")
    assert (second.amount, second.live) == (5, False)


@pytest.mark.parametrize(
    "refunds",
    [None, {"data": []}, {"data": [refund()], "has_more": True}],
)
def test_otherwise_the_sum_counts(refunds: Body | None) -> None:
    body = paid_charge("old", amount_refunded=1000, refunds=refunds)
    expected = ChargeRefunded(
        id="evt_1",
        at=AT,
        charge="ch_1",
        amount=1000,
        currency="eur",
        payment_intent="pi_1",
        invoice="in_1",
    )
    assert events("charge.refunded", body) == (expected,)
    new = events("charge.refunded", paid_charge(amount_refunded=1000))[0]
    assert (new.amount, new.invoice) == (1000, None)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", [None, 5]),
        ("amount", [None, "1", -1]),
        ("currency", [None]),
        ("created", [None, 10**12]),
        ("status", [None, "", "thinking", 5]),
        ("charge", [5]),
    ],
)
def test_a_refund_that_cannot_be_used(name: str, values: list[Any]) -> None:
    for value in values:
        message = why("refund.created", refund(**{name: value}))
        assert message.startswith(f"refund.created: data.object.{name}"), message


# --- disputes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("warning_needs_response", DisputeStatus.INQUIRY),
        ("warning_under_review", DisputeStatus.INQUIRY),
        ("warning_closed", DisputeStatus.INQUIRY),
        ("needs_response", DisputeStatus.OPEN),
        ("under_review", DisputeStatus.OPEN),
        ("appeal_needs_response", DisputeStatus.OPEN),
        ("appeal_under_review", DisputeStatus.OPEN),
        ("won", DisputeStatus.WON),
        ("prevented", DisputeStatus.INQUIRY),
        ("charge_refunded", DisputeStatus.WON),
        ("lost", DisputeStatus.LOST),
    ],
)
@pytest.mark.parametrize("verb", ["created", "updated", "closed"])
def test_a_dispute(verb: str, status: str, expected: DisputeStatus) -> None:
    assert events(f"charge.dispute.{verb}", dispute(status=status)) == (
        DisputeReported(
            id="evt_1",
            at=AT,
            dispute="dp_1",
            status=expected,
            amount=4900,
            currency="eur",
            opened_at=moment(NOW - 3),
            charge="ch_1",
            payment_intent="pi_1",
        ),
    )


@pytest.mark.parametrize(
    ("verb", "status", "expected"),
    [
        ("funds_withdrawn", "warning_needs_response", DisputeStatus.OPEN),
        ("funds_withdrawn", "needs_response", DisputeStatus.OPEN),
        ("funds_withdrawn", "lost", DisputeStatus.LOST),
        ("funds_reinstated", "warning_closed", DisputeStatus.WON),
        ("funds_reinstated", "under_review", DisputeStatus.WON),
    ],
)
def test_money_moved_says_more_than_the_status(
    verb: str, status: str, expected: DisputeStatus
) -> None:
    assert events(f"charge.dispute.{verb}", dispute(status=status))[0].status is expected


def test_a_dispute_names_the_invoice_where_it_can() -> None:
    body = dispute(charge=charge("old"), payment_intent=None)
    told = events("charge.dispute.created", body)[0]
    assert (told.charge, told.payment_intent, told.invoice) == ("ch_1", "pi_1", "in_1")


def test_a_dispute_with_a_word_we_do_not_know() -> None:
    message = why("charge.dispute.updated", dispute(status="arbitration"))
    assert message.startswith(
        "charge.dispute.updated: data.object.status is 'arbitration' (expected one of warning_"
    )


# --- credit notes --------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["created", "updated"])
def test_a_credit_note(verb: str) -> None:
    expected = CreditNoted(
        id="evt_1",
        at=AT,
        invoice="in_1",
        credit_note="cn_1",
        amount=400,
        currency="eur",
        live=True,
        credited_at=moment(NOW - 120),
    )
    assert events(f"credit_note.{verb}", credit_note()) == (expected,)


def test_an_older_credit_note_is_all_of_one_kind() -> None:
    assert events("credit_note.created", credit_note("old"))[0].amount == 900
    answer = read("credit_note.created", credit_note("old", type="post_payment"))
    assert isinstance(answer, Ignored)


def test_a_credit_note_after_the_payment_takes_nothing_off() -> None:
    answer = read("credit_note.created", credit_note(pre_payment_amount=0))
    assert answer == Ignored(why="the credit note takes nothing off what is still owed")


def test_a_voided_credit_note() -> None:
    assert events("credit_note.voided", credit_note(status="void"))[0].live is False


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("invoice", [None, 5]),
        ("status", [None, "draft"]),
        ("pre_payment_amount", ["400", -1, True]),
        ("created", [None]),
    ],
)
def test_a_credit_note_that_cannot_be_used(name: str, values: list[Any]) -> None:
    for value in values:
        message = why("credit_note.created", credit_note(**{name: value}))
        assert message.startswith(f"credit_note.created: data.object.{name}"), message


def test_a_mixed_credit_note_has_to_say_how_it_is_split() -> None:
    body = credit_note(pre_payment_amount=None)
    assert "data.object.type is 'mixed'" in why("credit_note.created", body)
