"""What customers, subscriptions, payment methods and mandates say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from dunning.core.ahead import Outlook
from dunning.core.events import (
    CustomerReported,
    MethodChanged,
    MethodNews,
    SubscriptionReported,
)
from dunning.core.ports import Ignored, Reading, Understood, Unreadable
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import (
    AT,
    CREATED,
    NOBODY,
    NOW,
    SOMEBODY,
    Body,
    Shape,
    event,
    moment,
    price,
    raw,
)
from tests.providers.stripe.bodies_people import (
    card,
    customer,
    ended_subscription,
    item,
    mandate,
    method,
    setup_intent,
    subscription,
)


def read(
    type: str, obj: Body, previous: Body | None = None, request: Body | None = None
) -> Reading:
    return StripeReader().normalise(raw(event(type, obj, previous=previous, request=request)))


def events(type: str, obj: Body, previous: Body | None = None) -> tuple[Any, ...]:
    answer = read(type, obj, previous)
    assert isinstance(answer, Understood), answer
    return answer.events


def why(type: str, obj: Body) -> str:
    answer = read(type, obj)
    assert isinstance(answer, Unreadable), answer
    return answer.why


# --- customers -----------------------------------------------------------------------------

ADA = CustomerReported(
    id="evt_1",
    at=AT,
    customer="cus_1",
    email="ada@example.org",
    name="Ada",
    locale="de",
    country="AT",
    timezone="Europe/Vienna",
    default_method="pm_1",
    since=moment(CREATED),
    metadata=(("timezone", "Europe/Vienna"),),
)


@pytest.mark.parametrize("verb", ["created", "updated"])
def test_a_customer(verb: str) -> None:
    assert events(f"customer.{verb}", customer()) == (ADA,)


def test_a_customer_of_whom_little_is_known() -> None:
    told = events("customer.created", {"id": "cus_1"})
    assert told == (CustomerReported(id="evt_1", at=AT, customer="cus_1", metadata=()),)


def test_a_deleted_customer_leaves_only_the_id() -> None:
    gone = CustomerReported(id="evt_1", at=AT, customer="cus_1", deleted=True)
    assert events("customer.deleted", customer()) == (gone,)
    fetched = {"id": "cus_1", "object": "customer", "deleted": True}
    assert events("customer.updated", fetched, {"default_source": None}) == (gone,)


@pytest.mark.parametrize(
    ("metadata", "zone"),
    [
        ({"timezone": "America/New_York"}, "America/New_York"),
        ({"tz": "Asia/Tokyo"}, "Asia/Tokyo"),
        ({"timezone": "CET", "tz": "Asia/Tokyo"}, "Asia/Tokyo"),
        ({"timezone": "/" * 65}, None),
        ({"timezone": "UTC"}, None),
        ({}, None),
    ],
)
def test_the_time_zone_is_in_the_metadata(metadata: Body, zone: str | None) -> None:
    assert events("customer.created", customer(metadata=metadata))[0].timezone == zone


@pytest.mark.parametrize(
    ("fields", "previous", "chosen"),
    [
        ({}, {"invoice_settings": {"default_payment_method": None}}, "pm_1"),
        ({}, {"invoice_settings": {"default_payment_method": "pm_0"}}, "pm_1"),
        ({"default_source": "card_1"}, {"default_source": None}, "card_1"),
        ({}, {"invoice_settings": {"footer": None}}, None),
        ({}, {"email": "old@example.org"}, None),
        ({}, {"default_source": "card_0"}, None),  # it was taken away
        ({}, {"invoice_settings": {"default_payment_method": "pm_1"}}, None),
        ({}, None, None),
    ],
)
def test_a_new_default_is_a_new_method(
    fields: Body, previous: Body | None, chosen: str | None
) -> None:
    told = events("customer.updated", customer(**fields), previous)
    if chosen is None:
        assert len(told) == 1
        return
    assert told[1] == MethodChanged(
        id="evt_1/method", at=AT, customer="cus_1", news=MethodNews.NEW, method=chosen
    )


def test_a_new_default_may_be_expanded() -> None:
    body = customer(invoice_settings={"default_payment_method": method()})
    told = events("customer.updated", body, {"invoice_settings": {"default_payment_method": None}})
    assert told[0] == ADA
    assert (told[1].method, told[1].last4) == ("pm_1", "4242")


# --- payment methods -----------------------------------------------------------------------


def changed(news: MethodNews, **fields: Any) -> MethodChanged:
    facts: dict[str, Any] = {
        "id": "evt_1",
        "at": AT,
        "customer": "cus_1",
        "news": news,
        "method": "pm_1",
        "method_type": "card",
        "network": "visa",
        "last4": "4242",
        "fingerprint": "fp_1",
        "exp_month": 8,
        "exp_year": 2030,
        "country": "AT",
    }
    return MethodChanged(**(facts | fields))


@pytest.mark.parametrize(
    ("verb", "news"),
    [
        ("attached", MethodNews.NEW),
        ("updated", MethodNews.CHANGED),
        ("automatically_updated", MethodNews.NETWORK_UPDATED),
        ("card_automatically_updated", MethodNews.NETWORK_UPDATED),
        ("detached", MethodNews.REMOVED),
    ],
)
def test_a_payment_method(verb: str, news: MethodNews) -> None:
    told = events(f"payment_method.{verb}", method(), {"card": {"exp_year": 2026}})
    assert told == (changed(news),)


def test_a_detached_method_was_somebodys() -> None:
    told = events("payment_method.detached", method(customer=None), {"customer": "cus_1"})
    assert told == (changed(MethodNews.REMOVED),)


@pytest.mark.parametrize("verb", ["attached", "updated", "automatically_updated", "detached"])
def test_a_method_of_nobody(verb: str) -> None:
    answer = read(f"payment_method.{verb}", method(customer=None))
    assert answer == Ignored(why="the payment method belongs to no customer")


def test_a_bank_account() -> None:
    body = method(type="sepa_debit", sepa_debit={"last4": "3000", "country": "AT", "brand": None})
    told = events("payment_method.attached", body)[0]
    assert (told.method_type, told.last4, told.network, told.exp_year) == (
        "sepa_debit",
        "3000",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("verb", "request_", "news"),
    [
        ("created", SOMEBODY, MethodNews.NEW),
        ("updated", SOMEBODY, MethodNews.CHANGED),
        ("updated", NOBODY, MethodNews.NETWORK_UPDATED),
        ("updated", {}, MethodNews.NETWORK_UPDATED),
        ("deleted", SOMEBODY, MethodNews.REMOVED),
    ],
)
def test_a_legacy_card(verb: str, request_: Body, news: MethodNews) -> None:
    answer = read(f"customer.source.{verb}", card(), request=request_)
    assert answer == Understood(events=(changed(news, method="card_1"),))


def test_a_legacy_source_keeps_its_card_inside() -> None:
    inside = {"brand": "MasterCard", "last4": "4444", "exp_month": 1, "exp_year": 2031}
    body = {"id": "src_1", "object": "source", "customer": "cus_1", "type": "card", "card": inside}
    told = events("customer.source.created", body)[0]
    assert (told.method, told.network, told.last4) == ("src_1", "mastercard", "4444")


def test_an_expiring_card_is_no_mended_one() -> None:
    assert isinstance(read("customer.source.expiring", card()), Ignored)


def test_a_set_up_method() -> None:
    bare = MethodChanged(id="evt_1", at=AT, customer="cus_1", news=MethodNews.NEW, method="pm_1")
    assert events("setup_intent.succeeded", setup_intent()) == (bare,)
    whole = setup_intent(payment_method=method())
    assert events("setup_intent.succeeded", whole) == (changed(MethodNews.NEW),)
    for lacking in ({"customer": None}, {"payment_method": None}):
        assert isinstance(read("setup_intent.succeeded", setup_intent(**lacking)), Ignored)


def test_a_mandate_that_is_gone() -> None:
    body = mandate(payment_method=method())
    assert events("mandate.updated", body) == (changed(MethodNews.MANDATE_GONE),)


@pytest.mark.parametrize(
    "body",
    [
        mandate(),  # it names no customer, and its method is only an id
        mandate(payment_method=method(customer=None)),
        mandate(status="active", payment_method=method()),
        mandate(status="pending"),
    ],
)
def test_mandates_of_no_use(body: Body) -> None:
    assert isinstance(read("mandate.updated", body), Ignored)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"id": None}, "id"),
        ({"customer": 5}, "customer"),
        ({"type": 5}, "type"),
        ({"card": "visa"}, "card"),
        ({"card": {"exp_month": 13}}, "card.exp_month"),
        ({"card": {"exp_month": 0}}, "card.exp_month"),
        ({"card": {"exp_year": "2030"}}, "card.exp_year"),
        ({"card": {"exp_year": 30}}, "card.exp_year"),
        ({"card": {"last4": 4242}}, "card.last4"),
    ],
)
def test_a_method_that_cannot_be_used(fields: Body, path: str) -> None:
    message = why("payment_method.attached", method(**fields))
    assert message.startswith(f"payment_method.attached: data.object.{path} is "), message


# --- subscriptions -------------------------------------------------------------------------

LIVE = SubscriptionReported(
    id="evt_1",
    at=AT,
    subscription="sub_1",
    customer="cus_1",
    status="active",
    default_method="pm_1",
    products=("price_1", "prod_1"),
    plans=("price_1",),
    intervals=("month",),
    started_at=moment(CREATED),
    recurring=9800,
    yearly=117_600,
    currency="eur",
    metadata=(("team", "blue"),),
    outlook=Outlook(
        started_at=moment(CREATED), method="pm_1", price=9800, currency="eur", term="month"
    ),
)


@pytest.mark.parametrize("verb", ["created", "updated", "paused", "resumed", "past_due"])
@pytest.mark.parametrize("shape", ["old", "new"])
def test_a_subscription(verb: str, shape: Shape) -> None:
    assert events(f"customer.subscription.{verb}", subscription(shape)) == (LIVE,)


def told(body: Body, verb: str = "updated") -> SubscriptionReported:
    (first,) = events(f"customer.subscription.{verb}", body)
    assert isinstance(first, SubscriptionReported)
    return first


def test_a_subscription_that_ended() -> None:
    ended = told(ended_subscription(), "deleted")
    assert (ended.ended_at, ended.end_reason, ended.ended_by_us) == (
        moment(NOW - 2),
        "payment_failed",
        False,
    )
    assert told(ended_subscription()) == ended


@pytest.mark.parametrize(
    ("fields", "when"),
    [
        ({"ended_at": None}, moment(NOW - 600)),
        ({"ended_at": None, "canceled_at": None}, AT),
        ({"status": "incomplete_expired"}, moment(NOW - 2)),
        ({"status": "active"}, None),  # it will end, when the period does
    ],
)
def test_when_it_ended(fields: Body, when: datetime | None) -> None:
    assert told(ended_subscription(**fields)).ended_at == when


def test_a_deleted_one_has_ended_whatever_its_status() -> None:
    ended = told(subscription(status="unpaid"), "deleted")
    assert (ended.ended_at, ended.status) == (AT, "unpaid")


def test_our_mark_tells_that_we_ended_it() -> None:
    marked = {"dunning_reason": "window closed"}
    assert told(ended_subscription(metadata=marked)).ended_by_us
    assert not told(ended_subscription(metadata={"dunning_reason": ""})).ended_by_us
    assert not told(subscription(metadata=marked)).ended_by_us


@pytest.mark.parametrize(
    ("fields", "paused"),
    [
        ({"pause_collection": {"behavior": "void", "resumes_at": None}}, True),
        ({"status": "paused"}, True),
        ({"status": "past_due"}, False),
    ],
)
def test_a_pause(fields: Body, paused: bool) -> None:
    assert told(subscription(**fields)).paused is paused


def priced(interval: str, count: int | None = 1, unit: int | None = 12_000, **fields: Any) -> Body:
    recurring = {"interval": interval, "interval_count": count}
    return item(price=price(recurring=recurring, unit_amount=unit, **fields), quantity=1, plan=None)


@pytest.mark.parametrize(
    ("items", "recurring"),
    [
        ([priced("month")], 12_000),
        ([priced("month", None)], 12_000),
        ([priced("month", 3)], 4_000),
        ([priced("year")], 1_000),
        ([priced("week")], 52_000),
        ([priced("day", 30)], 12_167),
        ([priced("month"), priced("year", unit=7)], 12_001),
        ([priced("month"), item()], 21_800),
        ([], None),
        ([priced("month", unit=None)], None),
        ([priced("month"), priced("month", unit=None)], None),
        ([priced("month"), priced("month", currency="usd")], None),
        ([priced("fortnight")], None),
        ([priced("month", 0)], None),
        ([item(quantity=None)], None),
        ([priced("month", unit=10**15), priced("month", unit=10**15)], None),
    ],
)
def test_what_a_month_costs(items: list[Body], recurring: int | None) -> None:
    body = subscription(items={"object": "list", "data": items})
    assert told(body).recurring == recurring


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", [None, 5]),
        ("status", [None, 5, ""]),
        ("customer", [5]),
        ("items", ["x", {"data": [{"quantity": "2"}]}, {"data": [{"price": {"id": 5}}]}]),
        ("metadata", [[], {"a": 1}]),
        ("start_date", ["x", 10**12]),
    ],
)
def test_a_subscription_that_cannot_be_used(name: str, values: list[Any]) -> None:
    for value in values:
        message = why("customer.subscription.updated", subscription(**{name: value}))
        assert message.startswith(f"customer.subscription.updated: data.object.{name}"), message
