"""What invoice events say, in every shape an invoice has had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dunning.core.events import (
    Bill,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    RenewalUpcoming,
)
from dunning.core.ports import Reading, Understood, Unreadable
from dunning.providers.stripe.objects import bill
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import (
    AT,
    CREATED,
    NOW,
    Body,
    Shape,
    ended_invoice,
    event,
    invoice,
    invoice_of_2018,
    line,
    moment,
    paid_invoice,
    price,
    raw,
)

SHAPES: tuple[Shape, ...] = ("old", "new", "mixed")


def read(type: str, obj: Body) -> Reading:
    return StripeReader().normalise(raw(event(type, obj)))


def events(type: str, obj: Body) -> tuple[Any, ...]:
    answer = read(type, obj)
    assert isinstance(answer, Understood), answer
    return answer.events


def reported(type: str, obj: Body) -> InvoiceReported:
    first = events(type, obj)[0]
    assert isinstance(first, InvoiceReported)
    return first


def why(type: str, obj: Body) -> str:
    answer = read(type, obj)
    assert isinstance(answer, Unreadable), answer
    return answer.why


# --- the bill ------------------------------------------------------------------------------

OPEN = Bill(
    invoice="in_1",
    status=InvoiceStatus.OPEN,
    currency="eur",
    remaining=4900,
    paid=0,
    credited=100,
    customer="cus_1",
    subscription="sub_1",
    number="A-0001",
    email="ada@example.org",
    name="Ada",
    country="AT",
    attempt_count=1,
    next_attempt_at=moment(NOW + 86_400),
    auto_advance=True,
    automatic=True,
    issued_at=moment(CREATED),
    products=("price_1", "prod_1"),
    plans=("price_1",),
    metadata=(("plan", "gold"),),
)


def shown(shape: Shape) -> Bill:
    """Only the old shapes of a line have the price whole, and so how often it is billed."""
    return OPEN if shape == "new" else replace(OPEN, intervals=("month",))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_failed_payment(shape: Shape) -> None:
    expected = InvoiceReported(
        id="evt_1", at=AT, news=InvoiceNews.PAYMENT_FAILED, bill=shown(shape)
    )
    assert events("invoice.payment_failed", invoice(shape)) == (expected,)


@pytest.mark.parametrize(
    ("type", "news"),
    [
        ("invoice.payment_action_required", InvoiceNews.ACTION_REQUIRED),
        ("invoice.updated", InvoiceNews.UPDATED),
        ("invoice.payment_succeeded", InvoiceNews.UPDATED),  # of a part, for it is still open
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_other_news_of_an_open_invoice(type: str, news: InvoiceNews, shape: Shape) -> None:
    told = reported(type, invoice(shape))
    assert (told.news, told.bill) == (news, shown(shape))


@pytest.mark.parametrize("type", ["invoice.paid", "invoice.payment_succeeded"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_paid_invoice(type: str, shape: Shape) -> None:
    told = reported(type, paid_invoice(shape))
    assert told.news is InvoiceNews.PAID
    assert told.bill.status is InvoiceStatus.PAID
    assert (told.bill.remaining, told.bill.paid, told.bill.credited) == (0, 4900, 100)
    assert told.bill.paid_at == moment(NOW - 5)


@pytest.mark.parametrize(
    ("type", "status", "news", "when"),
    [
        ("invoice.voided", "void", InvoiceNews.VOIDED, "voided_at"),
        (
            "invoice.marked_uncollectible",
            "uncollectible",
            InvoiceNews.UNCOLLECTIBLE,
            "marked_uncollectible_at",
        ),
    ],
)
def test_an_ended_invoice(type: str, status: str, news: InvoiceNews, when: str) -> None:
    told = reported(type, ended_invoice(status, when))
    assert (told.news, told.bill.status) == (news, InvoiceStatus(status))
    times = (told.bill.paid_at, told.bill.voided_at, told.bill.uncollectible_at)
    assert [t for t in times if t] == [moment(NOW - 5)]


@pytest.mark.parametrize(
    ("type", "status"),
    [
        ("invoice.paid", "open"),
        ("invoice.paid", "void"),
        ("invoice.voided", "paid"),
        ("invoice.marked_uncollectible", "open"),
    ],
)
def test_a_status_that_contradicts_the_event(type: str, status: str) -> None:
    message = why(type, invoice(status=status))
    assert message.startswith(f"{type}: data.object.status is {status!r} (expected ")


def test_a_written_off_invoice_that_was_paid_before_it_was_read() -> None:
    told = reported("invoice.marked_uncollectible", paid_invoice())
    assert told.bill.status is InvoiceStatus.PAID


def test_an_invoice_of_2018() -> None:
    told = reported("invoice.payment_failed", invoice_of_2018()).bill
    assert told.status is InvoiceStatus.OPEN
    assert (told.subscription, told.products, told.automatic) == ("sub_1", ("gold",), True)
    by_hand = reported("invoice.updated", invoice_of_2018(billing="send_invoice")).bill
    assert not by_hand.automatic


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({"paid": True}, InvoiceStatus.PAID),
        ({"forgiven": True}, InvoiceStatus.UNCOLLECTIBLE),
        ({"closed": True}, InvoiceStatus.OPEN),
        ({"paid": True, "forgiven": True}, InvoiceStatus.PAID),
    ],
)
def test_flags_instead_of_a_status(flags: Body, status: InvoiceStatus) -> None:
    assert bill(invoice_of_2018(**flags)).status is status


def test_who_pays_by_hand() -> None:
    assert not bill(invoice(collection_method="send_invoice")).automatic


def test_an_invoice_without_a_subscription() -> None:
    for told in (
        invoice("old", subscription=None),
        invoice(parent=None),
        invoice(parent={"type": "quote_details", "quote_details": {"quote": "qt_1"}}),
        invoice(parent={"type": "subscription_details", "subscription_details": None}),
    ):
        assert bill(told).subscription is None


def test_everything_that_may_be_expanded() -> None:
    body = invoice("mixed", customer={"id": "cus_1"}, subscription={"id": "sub_1"})
    body["parent"]["subscription_details"]["subscription"] = {"id": "sub_1", "x": 1}
    body["lines"]["data"][0]["pricing"]["price_details"]["product"] = {"id": "prod_1"}
    body["lines"]["data"][0]["price"]["product"] = {"id": "prod_1"}
    assert bill(body) == shown("mixed")


def test_old_and_new_field_have_to_agree() -> None:
    message = why("invoice.updated", invoice("mixed", subscription="sub_2"))
    assert message == (
        "invoice.updated: data.object.subscription and "
        "data.object.parent.subscription_details.subscription differ (expected the same id)"
    )
    body = invoice("mixed")
    body["lines"]["data"][0]["price"]["id"] = "price_2"
    assert "lines.data[0].price and" in why("invoice.updated", body)
    assert bill(invoice("mixed", subscription=None)).subscription == "sub_1"


def test_products_of_every_line_each_once() -> None:
    lines = [
        line("old"),
        line("new"),
        {"id": "il_2", "price": price(id="price_2", product="prod_2"), "pricing": None},
        {"id": "il_3", "price": None, "plan": None},
        {"id": "il_4", "price": "price_4"},
    ]
    body = invoice(lines={"object": "list", "data": lines})
    assert bill(body).products == ("price_1", "prod_1", "price_2", "prod_2", "price_4")
    assert bill(invoice(lines=None)).products == ()


def test_what_a_database_refuses_is_taken_out_of_what_people_typed() -> None:
    body = invoice(customer_name=" A\x00da\ud800 ", metadata={"note\x00": "a\x00b"}, number="")
    told = bill(body)
    assert (told.name, told.metadata, told.number) == ("A da", (("note ", "a b"),), None)


# --- renewals ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_renewal_is_near(shape: Shape) -> None:
    body = invoice(shape)
    del body["id"]
    assert events("invoice.upcoming", body) == (
        RenewalUpcoming(
            id="evt_1",
            at=AT,
            customer="cus_1",
            subscription="sub_1",
            amount=4900,
            currency="eur",
            due_at=moment(NOW + 86_400),
        ),
    )


def test_a_renewal_paid_by_hand_is_due_later() -> None:
    body = invoice(next_payment_attempt=None, due_date=NOW + 9)
    assert events("invoice.upcoming", body)[0].due_at == moment(NOW + 9)


# --- what cannot be used ---------------------------------------------------------------------

AMOUNT = "(expected an integer of minor units from 0 to 10^15)"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "null"),
        ("4900", "a string"),
        (True, "a boolean"),
        (49.0, "a fraction"),
        (-1, "an integer that will not do"),
        (10**15 + 1, "an integer that will not do"),
        ([4900], "a list"),
        ({"amount": 4900}, "an object"),
    ],
)
@pytest.mark.parametrize("name", ["amount_remaining", "amount_paid"])
def test_an_amount_that_is_none(name: str, value: Any, what: str) -> None:
    assert why("invoice.payment_failed", invoice(**{name: value})) == (
        f"invoice.payment_failed: data.object.{name} is {what} {AMOUNT}"
    )


def test_an_amount_that_is_missing() -> None:
    body = invoice()
    del body["amount_remaining"]
    assert why("invoice.payment_failed", body) == (
        f"invoice.payment_failed: data.object.amount_remaining is missing {AMOUNT}"
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", [None, "", 5, "in 1", "x" * 256, "in\x00", {"no": "id"}]),
        ("status", [None, "", "closed", 5]),
        ("currency", [None, "", "euro", "e€r", 978, "\x00ur"]),
        ("customer", [5, {"no": "id"}, {"id": None}, "x" * 256, ["cus_1"]]),
        ("subscription", [5, "\ud800", {"id": 5}]),
        ("parent", ["sub_1", []]),
        ("lines", ["x", 5, [5], {"data": "x"}, {"data": [None]}]),
        ("attempt_count", ["1", True, -1, 1.0]),
        ("next_payment_attempt", ["soon", 0, -5, 1.5, 10**12, True]),
        ("status_transitions", ["x", {"paid_at": "x"}, {"voided_at": 10**12}]),
        ("customer_email", [5, {}]),
        ("customer_address", ["AT", {"country": 5}]),
        ("metadata", ["x", {"a": 1}, []]),
        ("paid_out_of_band", ["yes", 1]),
        ("pre_payment_credit_notes_amount", ["0", -1, False]),
        ("collection_method", [5, "x" * 256]),
        ("charge", [5, """ """]),
        ("payments", ["x", {"data": [5]}, {"data": [{"id": "inpay_1"}]}]),
    ],
)
def test_a_field_that_cannot_be_used(name: str, values: list[Any]) -> None:
    for value in values:
        message = why("invoice.paid", paid_invoice("mixed", **{name: value}))
        assert message.startswith(f"invoice.paid: data.object.{name}"), message
        assert "(expected " in message


def test_a_value_is_not_repeated() -> None:
    message = why("invoice.paid", paid_invoice(customer_email={"was": "ada@example.org"}))
    assert "ada" not in message
