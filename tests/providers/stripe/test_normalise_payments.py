"""What invoices say of the payments and the tries behind them."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.core.events import AttemptReported, AttemptStatus, PaymentReceived
from dunning.core.ports import Understood
from dunning.providers.stripe.objects import bill
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import (
    NOW,
    Body,
    Shape,
    event,
    invoice,
    invoice_payment,
    moment,
    paid_invoice,
    raw,
)
from tests.providers.stripe.bodies_money import charge, intent, paid_charge


def events(type: str, obj: Body) -> tuple[Any, ...]:
    answer = StripeReader().normalise(raw(event(type, obj)))
    assert isinstance(answer, Understood), answer
    return answer.events


# --- money paid ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["old", "mixed"])
def test_an_old_invoice_names_its_payment(shape: Shape) -> None:
    assert events("invoice.paid", paid_invoice(shape))[1:] == (
        PaymentReceived(
            id="evt_1/payment",
            at=moment(NOW - 5),
            invoice="in_1",
            payment="pi_1",
            amount=4900,
            currency="eur",
            payment_intent="pi_1",
            charge="ch_1",
        ),
    )


def test_a_charge_without_an_intent_is_a_payment_too() -> None:
    paid = events("invoice.paid", paid_invoice("old", payment_intent=None))[1]
    assert (paid.payment, paid.payment_intent, paid.charge) == ("ch_1", None, "ch_1")


@pytest.mark.parametrize(
    "body",
    [
        paid_invoice("new"),
        paid_invoice("old", payment_intent=None, charge=None),
        paid_invoice("old", amount_paid=0),
        paid_invoice("old", paid_out_of_band=True),
        invoice("old", charge="ch_1"),
    ],
)
def test_no_payment_is_made_up(body: Body) -> None:
    assert len(events("invoice.payment_succeeded", body)) == 1


def test_paid_elsewhere_before_2025() -> None:
    # What was paid elsewhere stayed in amount_remaining, and amount_paid stayed zero.
    told = bill(invoice("old", status="paid", paid=True, paid_out_of_band=True))
    assert (told.remaining, told.paid, told.credited) == (0, 4900, 100)
    assert told.out_of_band


def test_paid_elsewhere_since() -> None:
    told = bill(paid_invoice(amount_paid_off_stripe=4900))
    assert (told.remaining, told.paid, told.out_of_band) == (0, 4900, True)
    assert not bill(paid_invoice(amount_paid_off_stripe=0)).out_of_band


def test_part_of_an_invoice_is_paid() -> None:
    assert events("invoice_payment.paid", invoice_payment()) == (
        PaymentReceived(
            id="evt_1",
            at=moment(NOW - 3),
            invoice="in_1",
            payment="pi_1",
            amount=2000,
            currency="eur",
            payment_intent="pi_1",
        ),
    )


@pytest.mark.parametrize(
    ("payment", "name"),
    [
        ({"type": "charge", "charge": {"id": "ch_1"}}, "ch_1"),
        ({"type": "payment_record", "payment_record": "pr_1"}, "pr_1"),
        ({"type": "something_newer"}, "inpay_1"),
    ],
)
def test_a_payment_is_called_what_others_call_it(payment: Body, name: str) -> None:
    told = events("invoice_payment.paid", invoice_payment(payment=payment))[0]
    assert told.payment == name


def test_payments_that_were_asked_for() -> None:
    first = invoice_payment(id="inpay_0", amount_paid=900, payment={"type": "x"})
    waiting = invoice_payment(id="inpay_2", status="open", amount_paid=None)
    body = paid_invoice(payments={"data": [first, invoice_payment(), waiting]})
    told = events("invoice.paid", body)[1:]
    assert [(p.id, p.payment, p.amount) for p in told] == [
        ("evt_1/inpay_0", "inpay_0", 900),
        ("evt_1/inpay_1", "pi_1", 2000),
    ]


# --- tries that the invoice carries ----------------------------------------------------------


def test_an_expanded_charge_is_a_try() -> None:
    told = events("invoice.payment_failed", invoice("old", charge=charge("old")))[1]
    assert isinstance(told, AttemptReported)
    assert (told.id, told.invoice, told.customer) == ("evt_1/ch_1", "in_1", "cus_1")
    assert told.attempt.status is AttemptStatus.DECLINED
    assert told.attempt.decline is not None
    assert told.attempt.decline.code == "insufficient_funds"


def test_an_expanded_intent_has_tries() -> None:
    told = events("invoice.payment_failed", invoice("old", payment_intent=intent("old")))[1:]
    assert [t.attempt.id for t in told] == ["ch_0", "ch_1"]
    both = invoice("old", payment_intent=intent("old"), charge=charge("old"))
    assert len(events("invoice.payment_failed", both)) == 3


def test_payments_that_were_asked_for_have_tries() -> None:
    part = invoice_payment(payment={"type": "charge", "charge": paid_charge()})
    told = events("invoice.paid", paid_invoice(payments={"data": [part]}))
    assert [type(t).__name__ for t in told] == [
        "InvoiceReported",
        "AttemptReported",
        "PaymentReceived",
    ]
