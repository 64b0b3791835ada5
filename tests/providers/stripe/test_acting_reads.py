"""The Stripe adapter reads: views, the method to charge, thin events, missed events, health."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest
import stripe
from stripe.params import WebhookEndpointCreateParams

from dunning.core.events import (
    AttemptReported,
    AttemptStatus,
    CustomerReported,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    PaymentReceived,
)
from dunning.core.ports import Ignored, Incomplete, Reading, Understood, Unreadable
from dunning.errors import ProviderDownError, ProviderRefusedError
from dunning.providers.stripe import missed
from dunning.providers.stripe.reader import StripeReader
from dunning.sandbox import acts
from tests.providers.base import KEY, Failing
from tests.providers.stripe.harness import StripeHarness
from tests.providers.stripe.harness import harness as running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def harness() -> Iterator[StripeHarness]:
    with running() as made:
        yield made


@pytest.fixture
def failing(harness: StripeHarness) -> Failing:
    return harness.failing()


# --- looking ---------------------------------------------------------------------------------


def test_a_look_is_two_requests(harness: StripeHarness, failing: Failing) -> None:
    harness.pass_time(timedelta(days=3))
    start = len(harness.asked())
    harness.provider.look(failing.invoice)
    assert harness.asked(start) == [
        ("GET", f"/v1/invoices/{failing.invoice}"),
        ("GET", "/v1/charges"),
    ]


def test_a_look_tells_of_the_customer(harness: StripeHarness, failing: Failing) -> None:
    events = harness.provider.look(failing.invoice).events
    who = next(event for event in events if isinstance(event, CustomerReported))
    assert (who.customer, who.email, who.name) == (
        failing.customer,
        "ada@example.com",
        "Ada Example",
    )
    assert (who.locale, who.timezone) == ("fr-FR", "Europe/Paris")
    assert who.default_method == failing.method


def test_news_changes_its_name_with_what_it_says(harness: StripeHarness, failing: Failing) -> None:
    before = {event.id for event in harness.provider.look(failing.invoice).events}
    harness.api.customers.update(failing.customer, {"email": "new@example.com"})
    harness.next_charge(failing, "lost_card")
    harness.charge(failing)
    after = harness.provider.look(failing.invoice).events
    new = {type(event) for event in after if event.id not in before}
    assert new == {AttemptReported, CustomerReported}


def test_a_paid_invoice_says_when(harness: StripeHarness, failing: Failing) -> None:
    harness.customer_pays(failing)
    paid_at = harness.now()
    harness.pass_time(timedelta(hours=3))
    events = harness.provider.look(failing.invoice).events
    invoice = next(event for event in events if isinstance(event, InvoiceReported))
    payment = next(event for event in events if isinstance(event, PaymentReceived))
    assert (invoice.news, invoice.at, payment.at) == (InvoiceNews.PAID, paid_at, paid_at)


@pytest.mark.parametrize(
    ("act", "news"),
    [("void", InvoiceNews.VOIDED), ("write_off", InvoiceNews.UNCOLLECTIBLE)],
)
def test_a_closed_invoice_says_how(
    harness: StripeHarness, failing: Failing, act: str, news: InvoiceNews
) -> None:
    getattr(harness.provider, act)(failing.invoice, key="case_1/close:1")
    invoice = harness.provider.look(failing.invoice).events[0]
    assert isinstance(invoice, InvoiceReported)
    assert invoice.news is news


def test_every_try_is_told_not_only_the_last(harness: StripeHarness, failing: Failing) -> None:
    for number in range(3):
        harness.pass_time(timedelta(days=1))
        harness.next_charge(failing, "insufficient_funds")
        harness.charge(failing, f"case_1/retry:{number}")
    events = harness.provider.look(failing.invoice).events
    tries = [event.attempt for event in events if isinstance(event, AttemptReported)]
    assert len(tries) == 4
    assert [attempt.at for attempt in tries] == sorted((a.at for a in tries), reverse=True)


def test_an_authentication_that_waits_is_a_try_without_a_charge(
    harness: StripeHarness, failing: Failing
) -> None:
    harness.next_charge(failing, "action")
    harness.charge(failing)
    events = harness.provider.look(failing.invoice).events
    tries = {e.attempt.status: e.attempt for e in events if isinstance(e, AttemptReported)}
    assert set(tries) == {AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED}
    waiting = tries[AttemptStatus.ACTION_NEEDED]
    assert waiting.charge is None
    assert waiting.id == waiting.payment_intent


def test_a_part_that_was_paid(harness: StripeHarness, failing: Failing) -> None:
    world = harness.sandbox.world
    with world.lock:
        acts.partial_payment(world, failing.invoice, 900)
    view = harness.provider.look(failing.invoice)
    assert (view.bill.status, view.bill.remaining, view.bill.paid) == (
        InvoiceStatus.OPEN,
        2000,
        900,
    )
    assert [e.amount for e in view.events if isinstance(e, PaymentReceived)] == [900]


def test_when_stripe_will_not_expand_single_requests_do(
    harness: StripeHarness, failing: Failing
) -> None:
    whole = harness.provider.look(failing.invoice)
    _refuse_expansion(harness, failing)
    assert harness.provider.look(failing.invoice) == whole


def _refuse_expansion(harness: StripeHarness, failing: Failing) -> None:
    """Answer the next reading of the invoice as Stripe does when a path is too deep."""
    client = harness.provider._client
    real = client.raw_request

    def raw_request(method: str, path: str, **params: Any) -> Any:
        if path == f"/v1/invoices/{failing.invoice}" and params.get("expand"):
            message = "You cannot expand more than 4 levels of a property"
            body = {"error": {"type": "invalid_request_error", "message": message}}
            raise stripe.InvalidRequestError(  # type: ignore[no-untyped-call]
                message, None, http_status=400, json_body=body
            )
        return real(method, path, **params)

    client.raw_request = raw_request  # type: ignore[method-assign, assignment]


def test_a_look_at_nothing(harness: StripeHarness) -> None:
    with pytest.raises(ProviderRefusedError, match="in_nowhere"):
        harness.provider.look("in_nowhere")


def test_a_look_when_stripe_is_away(harness: StripeHarness, failing: Failing) -> None:
    with pytest.raises(ProviderDownError, match="cannot be reached"):
        harness.unreachable().look(failing.invoice)
    assert len(harness.slept) == 2


def test_a_limited_look_says_when_to_come_back(harness: StripeHarness, failing: Failing) -> None:
    harness.sandbox.next_request({"status": 429, "retry_after": 45})
    with pytest.raises(ProviderDownError) as caught:
        harness.provider.look(failing.invoice)
    assert caught.value.retry_after == 45
    assert harness.slept == []


def test_reading_survives_a_broken_line(harness: StripeHarness, failing: Failing) -> None:
    harness.sandbox.next_request({"drop": "before"})
    harness.sandbox.next_request({"status": 503})
    assert harness.provider.look(failing.invoice).bill.invoice == failing.invoice
    assert len(harness.slept) == 2


# --- the method to charge --------------------------------------------------------------------


def test_a_card_kept_beside_the_subscriptions_own_is_left_alone(
    harness: StripeHarness, failing: Failing
) -> None:
    # The merchant has already given the subscription another card: that one has not failed.
    fresh = harness.api.payment_methods.attach("pm_card_mastercard", {"customer": failing.customer})
    harness.api.subscriptions.update(failing.subscription, {"default_payment_method": fresh.id})
    harness.new_card(failing)
    assert harness.provider.look(failing.invoice).method == fresh.id


def test_without_any_card_there_is_nothing_to_name(harness: StripeHarness) -> None:
    invoice = harness.one_off(card=None)
    assert harness.provider.look(invoice).method is None


# --- thin events -----------------------------------------------------------------------------


def _fetch(harness: StripeHarness, type: str, name: str, url: str | None = None) -> Reading:
    thin = Incomplete(type=type, object_id=name, url=url)
    return harness.provider.fetch(thin, event_id="evt_test_1", created=harness.now())


@pytest.mark.parametrize("with_url", [True, False])
def test_a_thin_event_is_fetched_and_read(
    harness: StripeHarness, failing: Failing, with_url: bool
) -> None:
    url = f"/v1/invoices/{failing.invoice}" if with_url else None
    reading = _fetch(harness, "v1.invoice.payment_failed", failing.invoice, url)
    assert isinstance(reading, Understood)
    (event,) = reading.events
    assert isinstance(event, InvoiceReported)
    assert (event.id, event.news) == ("evt_test_1", InvoiceNews.PAYMENT_FAILED)


def test_a_thin_event_about_something_gone(harness: StripeHarness) -> None:
    assert isinstance(_fetch(harness, "v1.charge.failed", "ch_gone"), Unreadable)
    gone = _fetch(
        harness,
        "v1.customer.source.deleted",
        "card_gone",
        "/v1/customers/cus_gone/sources/card_gone",
    )
    assert isinstance(gone, Ignored)


@pytest.mark.parametrize(
    "url",
    [
        "/v1/../secrets",
        "//other.example/v1/invoices/in_1",
        "https://other.example/v1/invoices/in_1",
        "/v1/invoices/in_1?expand[]=customer",
        "/v1",
    ],
)
def test_a_thin_event_cannot_send_our_key_elsewhere(harness: StripeHarness, url: str) -> None:
    start = len(harness.asked())
    assert isinstance(_fetch(harness, "v1.invoice.paid", "in_1", url), Unreadable)
    assert harness.asked(start) == []


def test_a_thin_event_of_an_unknown_kind(harness: StripeHarness) -> None:
    assert isinstance(_fetch(harness, "v1.invoice.paid", "zz_1"), Unreadable)


# --- missed events ---------------------------------------------------------------------------


def test_every_type_asked_for_is_one_that_stripe_lists() -> None:
    hint = WebhookEndpointCreateParams.__annotations__["enabled_events"]
    known = set(_literals(hint))
    assert len(known) > 200
    assert set(missed.TYPES) - known == set()


def _literals(hint: Any) -> Iterator[str]:
    text = hint.__forward_arg__ if hasattr(hint, "__forward_arg__") else str(hint)
    yield from (part.strip(" '\"") for part in text.replace("[", ",").replace("]", ",").split(","))
    for inner in get_args(hint):
        yield from _literals(inner)


def test_missed_events_are_bodies_the_reader_understands(
    harness: StripeHarness, failing: Failing
) -> None:
    bodies = list(harness.provider.missed(harness.now() - timedelta(minutes=1)))
    reader = StripeReader()
    assert bodies
    assert {reader.open(body).livemode for body in bodies} == {False}
    assert not [body for body in bodies if isinstance(reader.normalise(body), Unreadable)]
    assert any(failing.invoice.encode() in body for body in bodies)


def test_many_missed_events_come_page_by_page(
    harness: StripeHarness, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "PAGE", 3)
    for number in range(5):
        harness.pass_time(timedelta(minutes=7))
        harness.next_charge(failing, "insufficient_funds")
        harness.charge(failing, f"case_1/retry:{number}")
    kept = [event for event in harness.sandbox.world.events if event.type in missed.TYPES]
    events = [
        json.loads(body) for body in harness.provider.missed(harness.now() - timedelta(minutes=60))
    ]
    assert sorted(event["id"] for event in events) == sorted(event.id for event in kept)
    created = [event["created"] for event in events]
    assert created == sorted(created)
    # One stream keeps the order in which things happened even within a second.
    about = [event["id"] for event in events if event["type"] == "charge.failed"]
    assert about == [event.id for event in kept if event.type == "charge.failed"]


def test_a_quiet_time_costs_one_request_for_each_list_of_types(harness: StripeHarness) -> None:
    harness.pass_time(timedelta(days=1))
    start = len(harness.sandbox.world.requests)
    assert list(harness.provider.missed(harness.now() - timedelta(minutes=25))) == []
    lists = -(-len(missed.TYPES) // missed.MOST_TYPES)
    assert harness.asked(start) == [("GET", "/v1/events")] * lists


# --- open invoices and health ----------------------------------------------------------------


def test_open_invoices_come_page_by_page_and_only_those_that_were_tried(
    harness: StripeHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "PAGE", 2)
    tried = {harness.failing().invoice for _ in range(5)}
    untried = harness.one_off()
    found = {bill.invoice for bill in harness.provider.open_invoices()}
    assert found == tried
    assert untried not in found


def test_open_invoices_from_a_place_or_a_moment_on(harness: StripeHarness) -> None:
    old = [harness.failing().invoice for _ in range(2)]
    harness.pass_time(timedelta(days=1))
    new = harness.failing().invoice
    found = [bill.invoice for bill in harness.provider.open_invoices()]
    assert found == [new, *reversed(old)]
    behind = harness.provider.open_invoices(after=found[0])
    assert [bill.invoice for bill in behind] == found[1:]
    lately = harness.provider.open_invoices(since=harness.now() - timedelta(hours=1))
    assert [bill.invoice for bill in lately] == [new]


def test_one_unreadable_invoice_does_not_hide_the_others(harness: StripeHarness) -> None:
    odd, good = harness.failing(), harness.failing()
    world = harness.sandbox.world
    with world.lock:
        world.get("invoice", odd.invoice)["currency"] = None
    assert [bill.invoice for bill in harness.provider.open_invoices()] == [good.invoice]
    with pytest.raises(ProviderRefusedError, match="currency"):
        harness.provider.look(odd.invoice)


def test_links_without_a_portal(harness: StripeHarness, failing: Failing) -> None:
    harness.sandbox.next_request({"status": 400}, path="/v1/billing_portal", times=9)
    links = harness.provider.links(failing.invoice, None, return_url=None)
    assert links.pay is not None
    assert links.update_card is None


def test_health_tells_whose_retries_there_are(harness: StripeHarness, failing: Failing) -> None:
    facts = list(harness.provider.health())
    assert [fact.level for fact in facts] == ["ok", "ok", "ok"]
    assert "test mode" in facts[0].what
    with harness.sandbox.world.lock:
        invoice = harness.sandbox.world.get("invoice", failing.invoice)
        invoice["next_payment_attempt"] = harness.sandbox.now + 86_400
    warning = list(harness.provider.health())[-1]
    assert warning.level == "warning"
    assert "1 of 1" in warning.what


def test_health_names_the_rights_that_are_missing(harness: StripeHarness) -> None:
    for path in ("/v1/subscriptions/", "/v1/disputes", "/v1/setup_intents", "/v1/customers/"):
        harness.sandbox.next_request({"status": 403}, path=path)
    facts = [fact for fact in harness.provider.health() if fact.level != "ok"]
    told = [f"{fact.level} {fact.what.partition(': ')[2]}" for fact in facts]
    assert told[:2] == ["error Subscriptions write", "error Payment Methods read"]
    assert told[2:] == ["warning SetupIntents read", "warning Disputes read"]
    assert facts[-1].advice.startswith("only `report reconcile` needs it")


def test_health_probes_change_nothing(harness: StripeHarness, failing: Failing) -> None:
    before = len(harness.sandbox.world.events)
    list(harness.provider.health())
    assert len(harness.sandbox.world.events) == before
    assert harness.tries(failing) == 1


def test_health_of_a_wrong_key(harness: StripeHarness) -> None:
    (fact,) = harness.connect(harness.url, "sk_live_something").health()
    assert fact.level == "error"
    assert "something" not in fact.what


def test_several_threads_share_one_provider(harness: StripeHarness, failing: Failing) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: harness.charge(failing, KEY), range(8)))
    assert harness.charges(failing) == 1
    assert {type(outcome).__name__ for outcome in outcomes} <= {"Paid", "NotKnown"}
