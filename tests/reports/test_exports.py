"""Exports of a provider as bookings, and what is said of a file that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from dunning.core.bookings import Booking, Fate, Flow
from dunning.errors import RefusedError
from dunning.reports.exports import Exported, forms

MINIMAL = "kind,id,invoice,amount,currency,at\n"
BALANCE = (
    "balance_transaction_id,created_utc,currency,gross,fee,reporting_category,source_id,"
    "customer_facing_amount,customer_facing_currency,charge_id,payment_intent_id,invoice_id,"
    "payment_metadata[order]\n"
)
PAYMENTS = (
    '"id","Created date (UTC)","Amount","Amount Refunded","Currency","Captured","Status",'
    '"Customer ID","Invoice ID","PaymentIntent ID","Refunded date (UTC)","Disputed Amount",'
    '"Dispute Date (UTC)","Dispute Status"\n'
)


def read(folder: Path, text: str) -> tuple[list[Booking], Exported]:
    path = folder / "export.csv"
    path.write_text(text, encoding="utf-8-sig")
    exported = Exported(path)
    return [one for page in exported.pages() for one in page], exported


def told(bookings: list[Booking]) -> list[tuple[Flow, str, int, str, str]]:
    return [(o.flow, o.id, o.amount, o.currency, f"{o.at:%d %H:%M:%S}") for o in bookings]


def test_the_minimal_form(tmp_path: Path) -> None:
    bookings, exported = read(
        tmp_path,
        MINIMAL + "paid,ch_1,in_1,4900,USD,2026-01-03T12:00:00Z\n"
        "paid_outside,b1,in_2,500,jpy,2026-01-04T12:00:00+09:00\n"
        "\n"
        "refunded,re_1,in_1,900,usd,2026-01-05 12:00:00\n"
        "refund_failed,re_1,in_1,900,usd,2026-01-06T12:00:00Z\n"
        "disputed,du_1,in_1,4000,usd,2026-01-07T12:00:00Z\n"
        "dispute_won,du_1,in_1,4000,usd,2026-01-08T12:00:00Z\n",
    )
    assert told(bookings) == [
        (Flow.PAID, "ch_1", 4900, "usd", "03 12:00:00"),
        (Flow.PAID, "b1", 500, "jpy", "04 03:00:00"),
        (Flow.REFUNDED, "re_1", 900, "usd", "05 12:00:00"),
        (Flow.REFUNDED, "re_1", -900, "usd", "06 12:00:00"),
        (Flow.DISPUTED, "du_1", 4000, "usd", "07 12:00:00"),
        (Flow.DISPUTED, "du_1", -4000, "usd", "08 12:00:00"),
    ]
    assert bookings[1].fate is Fate.OUTSIDE
    span = exported.span()
    assert span is not None
    assert (span.first.day, span.last.day) == (3, 8)


def test_stripes_report_of_the_balance(tmp_path: Path) -> None:
    bookings, exported = read(
        tmp_path,
        BALANCE
        + "txn_1,2026-01-03 12:00:01,usd,53.20,1.8,charge,ch_1,49.00,eur,ch_1,pi_1,in_1,x\n"
        + 'txn_2,2026-01-04 12:00:00,jpy,"-5,000",0,refund,re_1,,,ch_2,pi_2,in_2,\n'
        + "txn_3,2026-01-05 12:00:00,kwd,-10.500,0,dispute,du_1,,,ch_3,pi_3,in_3,\n"
        + "txn_4,2026-01-06 12:00:00,kwd,10.500,0,dispute_reversal,du_1,,,ch_3,pi_3,in_3,\n"
        + "txn_5,2026-01-07 12:00:00,usd,-100.00,0,payout,po_1,,,,,,\n",
    )
    assert told(bookings) == [
        (Flow.PAID, "ch_1", 4900, "eur", "03 12:00:01"),
        (Flow.REFUNDED, "re_1", 5000, "jpy", "04 12:00:00"),
        (Flow.DISPUTED, "du_1", 10500, "kwd", "05 12:00:00"),
        (Flow.DISPUTED, "du_1", -10500, "kwd", "06 12:00:00"),
    ]
    assert (bookings[0].invoice, set(bookings[0].names)) == ("in_1", {"pi_1"})
    assert set(bookings[1].names) == {"ch_2", "pi_2"}
    assert dict(exported.left_out) == {"payout": 1}


def test_stripes_list_of_payments(tmp_path: Path) -> None:
    bookings, exported = read(
        tmp_path,
        PAYMENTS
        + '"ch_1","2026-01-03 12:00","49.00","9.00","usd","true","Partial refund","cus_1","in_1",'
        '"pi_1","2026-01-09 08:00","","",""\n'
        '"ch_2","2026-01-04 12:00","49.00","0.00","usd","true","Disputed","cus_2","in_2",'
        '"pi_2","","49.00","2026-01-20 10:00","won"\n'
        '"ch_3","2026-01-05 12:00","49.00","0.00","usd","false","Failed","cus_3","in_3",'
        '"pi_3","","","",""\n',
    )
    assert told(bookings) == [
        (Flow.PAID, "ch_1", 4900, "usd", "03 12:00:00"),
        (Flow.REFUNDED, "ch_1/refunded", 900, "usd", "09 08:00:00"),
        (Flow.PAID, "ch_2", 4900, "usd", "04 12:00:00"),
        (Flow.DISPUTED, "ch_2/disputed", 4900, "usd", "20 10:00:00"),
        (Flow.DISPUTED, "ch_2/disputed", -4900, "usd", "20 10:00:00"),
    ]
    assert set(bookings[1].names) == {"pi_1", "ch_1"}
    assert bookings[0].customer == "cus_1"
    assert dict(exported.left_out) == {"Failed": 1}
    assert exported.form is not None
    assert "last one" in exported.form.remark


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["export.csv:1:", "kind, id, invoice, amount, currency, at"]),
        (
            "id,Created date (UTC),Amount,Amount Refunded,Currency,Status\n",
            ["export.csv:1:", "'Stripe: Payments' there is no column 'Invoice ID'"],
        ),
        (MINIMAL + "\npaid,a,in_1,49.00,usd,2026-01-01\n", ["export.csv:3: amount is '49.00'"]),
        (MINIMAL + "paid,a,in_1,4900,dollars,2026-01-01\n", ["export.csv:2: currency: not a"]),
        (MINIMAL + "paid,a,in_1,4900,usd,01/31/2026\n", ["export.csv:2: the time is '01/31/2026'"]),
        (
            MINIMAL + "sold,a,in_1,4900,usd,2026-01-01\n",
            [":2: kind is 'sold'; expected"],
        ),
        (MINIMAL + "paid,a,in_1,,usd,2026-01-01\n", [":2: amount is empty"]),
        (MINIMAL + "paid,a,in_1\n", [":2: 3 cells, and the heading has 6"]),
        (
            BALANCE + "t,2026-01-03 12:00:01,usd,1.234,0,charge,ch_1,,,,,,\n",
            [":2: gross is '1.234'; USD has fewer decimals"],
        ),
        (
            BALANCE + 't,2026-01-03 12:00:01,usd,"35,82",0,charge,ch_1,,,,,,\n',
            [":2: gross is '35,82'; expected a number such as 1234.50"],
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(RefusedError) as told_of:
        read(tmp_path, text)
    for word in words:
        assert word in str(told_of.value)


def test_the_table_of_forms_is_whole() -> None:
    for form in forms():
        known = {name for names in form.columns.values() for name in names}
        assert set(form.needs) <= known | {"balance_transaction_id"}, form.name
        assert bool(form.rows) != bool(form.brought)
        for row in form.rows.values():
            assert set(row) <= {"flow", "sign", "fate"}
            Flow(row["flow"])
            Fate(row.get("fate", "done"))
