"""Which entries money makes: in parts, late, credited, refunded, disputed, in any currency."""

from __future__ import annotations

import pytest

from dunning.core.case import advance
from dunning.core.entries import Account, books
from dunning.core.events import (
    AttemptStatus,
    BillingEvent,
    DisputeStatus,
    InvoiceNews,
    InvoiceStatus,
)
from dunning.core.status import State, status
from dunning.errors import MoneyError
from tests import builders as b
from tests import happenings as h

FAILED = b.failed()


def lines(*events: BillingEvent) -> list[str]:
    """The entries in short: `at_risk>recovered 4900 paid @3`, the day last."""
    return [
        f"{entry.debit}>{entry.credit} {entry.amount} {entry.cause} "
        f"@{(entry.at - b.T0).total_seconds() / 86400:g}"
        for entry in books(b.case_of(*events)).entries
    ]


OPENED = "owed>at_risk 4900 failed @0"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((), [OPENED]),
        ((b.paid(b.days(3)),), [OPENED, "at_risk>recovered 4900 paid @3"]),
        (
            (b.payment(1000, b.days(1)), b.payment(3900, b.days(2), name="pi_2")),
            [OPENED, "at_risk>recovered 1000 paid @1", "at_risk>recovered 3900 paid @2"],
        ),
        # Two payments of one second are one transfer.
        (
            (b.payment(1000, b.days(1)), b.payment(3900, b.days(1), name="pi_2")),
            [OPENED, "at_risk>recovered 4900 paid @1"],
        ),
        # Late money.
        (
            (h.step("give_up:1", b.days(28)), b.payment(1000, b.days(40)), b.paid(b.days(50))),
            [
                OPENED,
                "at_risk>lost 4900 given_up @28",
                "lost>recovered 1000 paid @40",
                "lost>recovered 3900 paid @50",
            ],
        ),
        (
            (h.ended(b.days(2)), b.paid(b.days(4))),
            [OPENED, "at_risk>withdrawn 4900 cancelled @2", "withdrawn>recovered 4900 paid @4"],
        ),
        (
            (b.uncollectible(b.days(2)), b.paid(b.days(4))),
            [
                OPENED,
                "at_risk>lost 4900 written_off_elsewhere @2",
                "lost>recovered 4900 paid @4",
            ],
        ),
        # In one second the payment comes before the end.
        (
            (h.step("give_up:1", b.days(28)), b.paid(b.days(28))),
            [OPENED, "at_risk>recovered 4900 paid @28"],
        ),
        # More than was owed is not counted.
        ((b.payment(9900, b.days(1)),), [OPENED, "at_risk>recovered 4900 paid @1"]),
        (
            (b.paid(b.days(1), b.bill(9900, status=InvoiceStatus.PAID)),),
            [OPENED, "at_risk>recovered 4900 paid @1"],
        ),
    ],
)
def test_payments(events: tuple[BillingEvent, ...], expected: list[str]) -> None:
    assert lines(FAILED, *events) == expected


def test_what_was_paid_before_the_failure_was_never_at_risk() -> None:
    earlier: tuple[BillingEvent, ...] = (
        b.payment(1000, b.days(-2), charge="ch_early"),
        b.partly_paid(1000, b.days(-2)),
    )
    late_view = b.failed(told=b.bill(paid=1000))
    ways = [(*earlier, FAILED), (late_view,), (*earlier, late_view)]
    for told in ways:
        assert lines(*told) == ["owed>at_risk 3900 failed @0"]


def test_giving_back_what_was_paid_before_the_failure_moves_nothing() -> None:
    early = b.payment(1000, b.days(-2), charge="ch_early")
    told = (FAILED, early, b.payment(3900, b.days(1), name="pi_2"))
    for back in (
        b.refund(1000, b.days(3), charge="ch_early"),
        b.charge_refunded(1000, b.days(3), charge="ch_early"),
        b.dispute(at=b.days(3), amount=1000, charge="ch_early"),
    ):
        assert lines(*told, back) == [
            "owed>at_risk 3900 failed @0",
            "at_risk>recovered 3900 paid @1",
        ]


# --- one payment, told in many ways ------------------------------------------------------------

PART: dict[str, BillingEvent] = {
    "view": b.partly_paid(1000, b.days(1)),
    "payment": b.payment(1000, b.days(1), name="pi_1"),
    "payment by its charge": b.payment(
        1000, b.days(1), name="ch_1", payment_intent=None, charge="ch_1"
    ),
    "charge": b.succeeded(b.days(1), name="ch_1", payment_intent="pi_1", amount=1000),
    "intent": b.succeeded(b.days(1), name="pi_1", charge=None, payment_intent="pi_1", amount=1000),
}


@pytest.mark.parametrize("one", PART)
@pytest.mark.parametrize("other", PART)
def test_a_payment_told_twice_is_one_payment(one: str, other: str) -> None:
    linked = PART["charge"]  # it knows both names of the payment
    told = [FAILED, PART[one], PART[other]] + ([linked] if {one, other} != {"view"} else [])
    assert lines(*told) == [OPENED, "at_risk>recovered 1000 paid @1"]


def test_a_bank_debit_brings_its_money_when_the_invoice_shows_it() -> None:
    begun = b.succeeded(b.days(2), name="py_1", method_type="sepa_debit")
    assert lines(FAILED, begun) == [OPENED, "at_risk>recovered 4900 paid @2"]
    assert lines(FAILED, begun, b.paid(b.days(7))) == [OPENED, "at_risk>recovered 4900 paid @7"]


def test_a_bank_debit_fails_when_it_fails_not_when_it_began() -> None:
    begun = b.declined(at=b.days(-5), method_type="sepa_debit")
    assert b.case_of(begun).failed_at == b.days(-5)
    for told in ((begun, FAILED), (FAILED, begun)):
        assert b.case_of(*told).failed_at == b.T0


# --- the whole bill ----------------------------------------------------------------------------


def test_a_bill_that_comes_later_corrects_what_a_charge_made_one_think() -> None:
    tried = b.declined(amount=9900)  # one charge may be for several invoices
    assert books(b.case_of(tried)).balance(Account.AT_RISK) == 9900
    for told in ((tried, FAILED), (FAILED, tried)):
        assert books(b.case_of(*told)).balance(Account.AT_RISK) == 4900


def test_a_draft_may_still_change_and_is_nobodys_debt() -> None:
    draft = b.reported(InvoiceNews.UPDATED, b.days(-1), b.bill(9900, status=InvoiceStatus.DRAFT))
    assert books(b.case_of(draft, FAILED)).balance(Account.AT_RISK) == 4900


@pytest.mark.parametrize(("currency", "amount"), [("jpy", 500), ("kwd", 1_234), ("usd", 1)])
def test_amounts_stay_minor_units_of_their_currency(currency: str, amount: int) -> None:
    told = b.bill(amount, currency=currency)
    case = b.case_of(b.failed(told=told))
    assert case.currency == currency
    assert books(case).balance(Account.AT_RISK) == amount


@pytest.mark.parametrize(
    "other",
    [
        b.failed(told=b.bill(currency="eur"), id="evt_eur"),
        b.declined(currency="eur"),
        b.payment(currency="eur"),
        b.refund(currency="eur"),
        b.charge_refunded(currency="eur"),
        b.dispute(currency="eur"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_invoice_has_one_currency_whoever_speaks_first(other: BillingEvent) -> None:
    for one, two in ((FAILED, other), (other, FAILED)):
        case = b.case_of(one)
        with pytest.raises(MoneyError, match="in_1 is in"):
            advance(case, two)


# --- credit notes ------------------------------------------------------------------------------

NOTE = b.credit_note(1000, b.days(1))
GIVEN_UP = h.step("give_up:1", b.days(28))
NOTE_VOIDED = b.credit_note(1000, b.days(5), made_at=b.days(1), live=False)


def _shows(credited: int, at: float, paid: int = 0) -> BillingEvent:
    told = b.bill(credited=credited, paid=paid)
    return b.reported(InvoiceNews.UPDATED, b.days(at), told, id=f"evt_view_{credited}_{at}")


CREDITED = "at_risk>withdrawn 1000 credited @1"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((NOTE,), [OPENED, CREDITED]),
        ((_shows(1000, 1),), [OPENED, CREDITED]),
        ((NOTE, _shows(1000, 1), _shows(1000, 2)), [OPENED, CREDITED]),
        # Voided: as if it had never been issued, whoever tells.
        ((NOTE, NOTE_VOIDED), [OPENED]),
        ((_shows(1000, 1), NOTE_VOIDED), [OPENED]),
        ((_shows(1000, 1), _shows(0, 5)), [OPENED]),
        ((NOTE, _shows(1000, 1), NOTE_VOIDED, _shows(0, 6)), [OPENED]),
        # Another note, of which only views tell, stands.
        (
            (NOTE_VOIDED, _shows(1000, 1), _shows(2000, 2), _shows(1000, 6)),
            [OPENED, "at_risk>withdrawn 1000 credited @2"],
        ),
        (
            (NOTE, b.credit_note(500, b.days(2), name="cn_2"), _shows(1500, 3)),
            [OPENED, CREDITED, "at_risk>withdrawn 500 credited @2"],
        ),
        # The rest is paid: what was credited is not claimed as recovered.
        (
            (_shows(1000, 1), b.paid(b.days(3), b.bill(status=InvoiceStatus.PAID, credited=1000))),
            [OPENED, CREDITED, "at_risk>recovered 3900 paid @3"],
        ),
        (
            (NOTE, b.paid(b.days(3), b.bill(status=InvoiceStatus.PAID, credited=1000))),
            [OPENED, CREDITED, "at_risk>recovered 3900 paid @3"],
        ),
        # Nor is what is paid in spite of it.
        (
            (NOTE, b.payment(4900, b.days(3))),
            [OPENED, CREDITED, "at_risk>recovered 3900 paid @3"],
        ),
        (
            (GIVEN_UP, b.credit_note(1000, b.days(30)), b.payment(4900, b.days(31))),
            [
                OPENED,
                "at_risk>lost 4900 given_up @28",
                "lost>withdrawn 1000 credited @30",
                "lost>recovered 3900 paid @31",
            ],
        ),
    ],
)
def test_credit_notes(events: tuple[BillingEvent, ...], expected: list[str]) -> None:
    assert lines(FAILED, *events) == expected


# --- refunds -----------------------------------------------------------------------------------

PAID = "at_risk>recovered 4900 paid @1"
CHARGE = b.succeeded(b.days(1), name="ch_0", payment_intent="pi_0")
BACK = "recovered>refunded 1000 refund @2"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((b.refund(1000, b.days(2)),), [BACK]),
        ((b.charge_refunded(1000, b.days(2)),), [BACK]),
        ((b.refund(1000, b.days(2)), b.charge_refunded(1000, b.days(2))), [BACK]),
        # One knows the charge, the other only the intent.
        (
            (
                b.refund(1000, b.days(2), charge=None, payment_intent="pi_0"),
                b.charge_refunded(1000, b.days(2), payment_intent="pi_0"),
            ),
            [BACK],
        ),
        # A refund that only the sum tells of comes on top.
        (
            (b.refund(1000, b.days(2)), b.charge_refunded(1500, b.days(3))),
            [BACK, "recovered>refunded 500 refund @3"],
        ),
        # It failed later: as if it had never been made.
        (
            (b.refund(1000, b.days(2)), b.refund(1000, b.days(4), made_at=b.days(2), live=False)),
            [],
        ),
        (
            (
                b.charge_refunded(1000, b.days(2)),
                b.refund(1000, b.days(4), made_at=b.days(2), live=False),
            ),
            [],
        ),
        ((b.charge_refunded(1000, b.days(2)), b.charge_refunded(0, b.days(4))), []),
        # More than there is.
        ((b.refund(9900, b.days(2)),), ["recovered>refunded 4900 refund @2"]),
    ],
)
def test_refunds(events: tuple[BillingEvent, ...], expected: list[str]) -> None:
    assert lines(FAILED, CHARGE, *events) == [OPENED, PAID, *expected]


def test_a_refund_dated_before_its_payment_was_seen_is_made_when_it_is() -> None:
    assert lines(FAILED, b.refund(1000, b.days(2)), b.paid(b.days(3)))[-2:] == [
        "at_risk>recovered 4900 paid @3",
        "recovered>refunded 1000 refund @3",
    ]


def test_a_refund_that_finds_only_a_part_takes_the_rest_when_it_comes() -> None:
    told = (b.payment(1000, b.days(1)), b.refund(1500, b.days(2)), b.paid(b.days(3)))
    assert lines(FAILED, *told)[1:] == [
        "at_risk>recovered 1000 paid @1",
        "recovered>refunded 1000 refund @2",
        "at_risk>recovered 3900 paid @3",
        "recovered>refunded 500 refund @3",
    ]
    keys = [entry.key for entry in books(b.case_of(FAILED, *told)).entries]
    assert len(keys) == len(set(keys))


def test_a_recovered_case_stays_recovered_when_the_money_goes_back() -> None:
    present = status(b.case_of(FAILED, CHARGE, b.refund(4900, b.days(2))))
    assert present.state is State.RECOVERED
    assert present.books.balance(Account.RECOVERED) == 0


# --- disputes ----------------------------------------------------------------------------------


def _dispute(word: DisputeStatus, at: float) -> BillingEvent:
    return b.dispute(word, b.days(at), opened_at=b.days(2))


TAKEN = "recovered>disputed 4900 dispute @2"
INQUIRY, OPEN, WON, LOST = DisputeStatus


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((_dispute(OPEN, 2),), [TAKEN]),
        ((_dispute(OPEN, 2), _dispute(OPEN, 9)), [TAKEN]),
        (
            (_dispute(OPEN, 2), _dispute(WON, 9), _dispute(WON, 12)),
            [TAKEN, "disputed>recovered 4900 dispute @9"],
        ),
        ((_dispute(OPEN, 2), _dispute(LOST, 9)), [TAKEN]),
        ((_dispute(LOST, 9),), [TAKEN]),
        # An appeal after a loss.
        (
            (_dispute(LOST, 9), _dispute(OPEN, 11), _dispute(WON, 20)),
            [TAKEN, "disputed>recovered 4900 dispute @20"],
        ),
        # An inquiry takes nothing, however it ends.
        ((_dispute(INQUIRY, 2),), []),
        ((_dispute(INQUIRY, 2), _dispute(WON, 9)), []),
        # It becomes a dispute: the money goes then.
        ((_dispute(INQUIRY, 4), _dispute(OPEN, 6)), ["recovered>disputed 4900 dispute @4"]),
        # Ended by an ordinary refund: not both.
        (
            (_dispute(OPEN, 2), b.refund(4900, b.days(5)), _dispute(WON, 9)),
            [
                TAKEN,
                "disputed>recovered 4900 dispute @9",
                "recovered>refunded 4900 refund @9",
            ],
        ),
    ],
)
def test_disputes(events: tuple[BillingEvent, ...], expected: list[str]) -> None:
    assert lines(FAILED, CHARGE, *events) == [OPENED, PAID, *expected]


def test_a_try_that_was_canceled_or_is_in_process_brings_nothing() -> None:
    for word in (AttemptStatus.CANCELED, AttemptStatus.PROCESSING, AttemptStatus.ACTION_NEEDED):
        assert lines(FAILED, b.attempted(b.attempt(word, b.days(1)))) == [OPENED]
