"""Money for a debt that was ended meanwhile is kept by the provider for the customer."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.core.events import BillingEvent, DisputeStatus, InvoiceStatus
from tests import builders as b
from tests.core.test_books import FAILED, OPENED, lines

OPEN, WON, LOST = DisputeStatus.OPEN, DisputeStatus.WON, DisputeStatus.LOST
DEBIT = b.succeeded(b.days(1), name="ch_debit")
CREDITED_WHOLE = b.paid(
    b.days(2), b.bill(status=InvoiceStatus.PAID, credited=4900, paid_at=b.days(2))
)
OVERPAID = b.paid(b.days(4), b.bill(status=InvoiceStatus.PAID, credited=1000, paid=4900))
HALF_CREDITED = (b.credit_note(1000, b.days(2)), OVERPAID, b.payment(4900, b.days(4)))
RECOVERED_LESS = ["at_risk>withdrawn 1000 credited @2", "at_risk>recovered 3900 paid @4"]


def _taken(word: DisputeStatus, at: float, **other: Any) -> BillingEvent:
    return b.dispute(word, b.days(at), opened_at=b.days(5), **other)


@pytest.mark.parametrize(
    ("ending", "entry"),
    [
        (CREDITED_WHOLE, "at_risk>withdrawn 4900 credited @2"),
        (b.voided(b.days(2)), "at_risk>withdrawn 4900 voided @2"),
    ],
)
def test_a_debit_the_invoice_was_settled_without_moves_nothing(
    ending: BillingEvent, entry: str
) -> None:
    back: list[BillingEvent] = [
        b.refund(4900, b.days(5), charge="ch_debit"),
        b.charge_refunded(4900, b.days(5), charge="ch_debit"),
        _taken(OPEN, 6, charge="ch_debit"),
        _taken(LOST, 9, charge="ch_debit"),
    ]
    for told in (back[:0], back[:1], back[1:2], back[2:], back):
        assert lines(FAILED, DEBIT, ending, *told) == [OPENED, entry]


def test_a_charge_the_invoice_counts_stays_beside_one_it_does_not() -> None:
    view = b.bill(status=InvoiceStatus.PAID, paid=1000, credited=3900, paid_at=b.days(2))
    part = b.succeeded(b.days(0.5), name="ch_part", amount=1000)
    back = (
        b.refund(1000, b.days(7), charge="ch_part"),
        b.refund(3900, b.days(8), charge="ch_debit", name="re_2"),
    )
    debit = b.succeeded(b.days(1), name="ch_debit", amount=3900)
    assert lines(FAILED, part, debit, b.paid(b.days(2), view), *back) == [
        OPENED,
        "at_risk>recovered 1000 paid @0.5",
        "at_risk>withdrawn 3900 credited @2",
        "recovered>refunded 1000 refund @7",
    ]


@pytest.mark.parametrize(
    ("back", "expected"),
    [
        ((), []),
        ((b.refund(1000, b.days(5)),), []),
        ((b.refund(1500, b.days(5)),), ["recovered>refunded 500 refund @5"]),
        ((b.refund(4900, b.days(5)),), ["recovered>refunded 3900 refund @5"]),
        ((_taken(OPEN, 5, amount=4900),), ["recovered>disputed 3900 dispute @5"]),
        (
            (_taken(OPEN, 5, amount=4900), _taken(WON, 9, amount=4900)),
            ["recovered>disputed 3900 dispute @5", "disputed>recovered 3900 dispute @9"],
        ),
        # What came back is too much again: it is the first to be given back.
        (
            (
                *(_taken(OPEN, 5, amount=4900), _taken(WON, 9, amount=4900)),
                b.refund(1200, b.days(12)),
            ),
            [
                "recovered>disputed 3900 dispute @5",
                "disputed>recovered 3900 dispute @9",
                "recovered>refunded 200 refund @12",
            ],
        ),
    ],
)
def test_what_was_paid_beyond_the_debt_is_the_first_to_go_back(
    back: tuple[BillingEvent, ...], expected: list[str]
) -> None:
    assert lines(FAILED, *HALF_CREDITED, *back) == [OPENED, *RECOVERED_LESS, *expected]
