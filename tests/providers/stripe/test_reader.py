"""The reader: envelopes, what is no webhook at all, thin events, and a closed table of types."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe.events import _event_classes
from stripe.params import WebhookEndpointCreateParams

from dunning.core.ports import Envelope, Ignored, Incomplete, Reader, Understood, Unreadable
from dunning.errors import MalformedError, SignatureError
from dunning.providers.stripe import reader
from dunning.providers.stripe.normalise import RULES, read_object
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import AT, event, invoice, raw, thin

READER: Reader = StripeReader()


def test_its_name() -> None:
    assert READER.name == "stripe"


def test_verify_is_wired() -> None:
    with pytest.raises(SignatureError, match="missing"):
        READER.verify(b"{}", {}, ["whsec_1"], AT, 300)


# --- envelopes -----------------------------------------------------------------------------


def test_the_envelope_of_a_snapshot_event() -> None:
    body = event("invoice.paid", {}) | {"account": "acct_1", "livemode": True}
    assert READER.open(raw(body)) == Envelope(
        id="evt_1", type="invoice.paid", created=AT, livemode=True, account="acct_1"
    )


def test_the_envelope_of_a_thin_event() -> None:
    body = thin("v1.invoice.paid") | {"context": "acct_1", "created": "2026-09-21T16:13:20+02:00"}
    assert READER.open(raw(body)) == Envelope(
        id="evt_test_1", type="v1.invoice.paid", created=AT, livemode=False, account="acct_1"
    )


@pytest.mark.parametrize("created", ["2026-09-21T14:13:20Z", "2026-09-21T14:13:20.000000Z"])
def test_times_of_thin_events(created: str) -> None:
    envelope = READER.open(raw(thin("v1.invoice.paid") | {"created": created}))
    assert envelope.created == AT
    assert envelope.created.utcoffset() == timedelta(0)


def test_what_an_envelope_may_lack() -> None:
    body = event("any.type", {})
    del body["livemode"], body["data"], body["request"]
    envelope = READER.open(raw(body))
    assert (envelope.livemode, envelope.account) == (None, None)


NOT_A_WEBHOOK = {
    "nothing": b"",
    "blanks": b"  \n",
    "no JSON": b"evt_1",
    "half": raw(event("invoice.paid", {}))[:-1],
    "two": raw(event("invoice.paid", {})) * 2,
    "not UTF-8": b'{"id": "\xff"}',
    "a mark before it": "\ufeff{}".encode(),
    "UTF-16": '{"id": "evt_1"}'.encode("utf-16"),
    "NaN": b'{"id": "evt_1", "object": "event", "x": NaN}',
    "infinity": b'{"id": "evt_1", "object": "event", "x": [-Infinity]}',
    "a number too long to read": b'{"x": ' + b"9" * 10_000 + b"}",
    "a list": b"[]",
    "a string": b'"event"',
    "null": b"null",
    "deep": b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "nothing in it": b"{}",
}
BAD_FIELDS: dict[str, list[Any]] = {
    "id": [None, "", 1, True, {}, [], "x" * 256, "evt\x00", "evt\ud800", "evt\n", "évt"],
    "type": [None, "", 7, "x" * 256, "invoice\x00paid", "\udc00", {"a": 1}],
    "object": [None, "", "invoice", 5, {}, [], "v2.core.events"],
    "livemode": ["false", 0, 1, {}],
    "account": ["", 1, {}, "\x00"],
    "created": [None, "1790000000", 0, -1, 1.5, True, 10**12, 10**400, {}, "2026-09-21T14:13:20Z"],
}


@pytest.mark.parametrize("name", NOT_A_WEBHOOK)
def test_what_is_no_webhook(name: str) -> None:
    body = NOT_A_WEBHOOK[name]
    with pytest.raises(MalformedError) as caught:
        READER.open(body)
    assert READER.normalise(body) == Unreadable(why=str(caught.value))


@pytest.mark.parametrize("field", BAD_FIELDS)
def test_envelopes_that_cannot_be_used(field: str) -> None:
    for value in BAD_FIELDS[field]:
        body = raw(event("invoice.paid", {}) | {field: value})
        with pytest.raises(MalformedError) as caught:
            READER.open(body)
        assert field in str(caught.value)
        assert isinstance(READER.normalise(body), Unreadable)


@pytest.mark.parametrize("field", ["id", "type", "object", "created"])
def test_envelopes_that_lack_something(field: str) -> None:
    for body in (event("invoice.paid", {}), thin("v1.invoice.paid")):
        del body[field]
        with pytest.raises(MalformedError, match=field):
            READER.open(raw(body))


@pytest.mark.parametrize(
    "created",
    [
        "2026-09-21",
        "2026-09-21T14:13:20",
        "2026-13-21T14:13:20Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59Z",
        "1790000000",
        "",
        1_790_000_000,
        None,
    ],
)
def test_thin_events_without_a_proper_time(created: object) -> None:
    with pytest.raises(MalformedError, match="created"):
        READER.open(raw(thin("v1.invoice.paid") | {"created": created}))


@given(st.binary())
def test_any_bytes_get_an_answer(body: bytes) -> None:
    assert isinstance(READER.normalise(body), Unreadable)
    with pytest.raises(MalformedError):
        READER.open(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ODD = st.fixed_dictionaries(
    {
        "id": st.just("evt_1") | JSON,
        "object": st.sampled_from(["event", "v2.core.event"]),
        "type": st.sampled_from([*RULES, *(f"v1.{name}" for name in RULES)]),
        "created": st.just(1_790_000_000) | st.just("2026-09-21T14:13:20Z"),
        "data": JSON | st.fixed_dictionaries({"object": st.dictionaries(st.text(), JSON)}),
    },
    optional={"request": JSON, "related_object": JSON, "livemode": st.booleans()},
)


@given(ODD)
def test_any_event_gets_an_answer(body: dict[str, Any]) -> None:
    answer = READER.normalise(json.dumps(body).encode())
    assert isinstance(answer, Ignored | Unreadable)
    assert answer.why


# --- thin events ---------------------------------------------------------------------------


def test_a_thin_event_names_what_to_fetch() -> None:
    assert READER.normalise(raw(thin("v1.invoice.payment_failed"))) == Incomplete(
        type="v1.invoice.payment_failed", object_id="in_1", url="/v1/invoices/in_1"
    )


def test_finer_names_that_only_thin_events_have() -> None:
    body = thin("v1.customer.subscription.past_due", "subscription", "sub_1")
    assert isinstance(READER.normalise(raw(body)), Incomplete)


@pytest.mark.parametrize(
    "body",
    [
        thin("v1.billing.meter.no_meter_found", "billing.meter"),
        thin("v2.core.account.closed", "account"),
        thin("invoice.payment_failed"),  # not a name that thin events have
        thin("v1.invoice.upcoming", None),  # it does not exist yet, so there is no object
    ],
)
def test_thin_events_of_no_use(body: dict[str, Any]) -> None:
    assert isinstance(READER.normalise(raw(body)), Ignored)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", ""),
        ("id", 5),
        ("id", "in_\n"),
        ("type", None),
        ("type", "charge"),
        ("url", "https://example.org/v1/invoices/in_1"),
        ("url", "//example.org/v1/"),
        ("url", "/v1/invoices/in_1?expand[]=x"),
        ("url", "/v2/invoices/in_1"),
        ("url", "/v1/../v2/in_1"),
        ("url", "/v1//in_1"),
        ("url", 5),
    ],
)
def test_thin_events_that_cannot_be_used(field: str, value: object) -> None:
    body = thin("v1.invoice.paid")
    body["related_object"][field] = value
    answer = READER.normalise(raw(body))
    assert isinstance(answer, Unreadable)
    assert f"related_object.{field}" in answer.why


def test_a_thin_event_may_lack_the_address() -> None:
    body = thin("v1.invoice.paid")
    del body["related_object"]["url"]
    answer = READER.normalise(raw(body))
    assert answer == Incomplete(type="v1.invoice.paid", object_id="in_1")


# --- snapshot events around any object -------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("data", None, "event.data is null"),
        ("data", [], "event.data is a list"),
        ("data.object", None, "data.object is null"),
        ("data.object", "in_1", "data.object is a string"),
        ("data.object.object", "invoice_payment", "data.object.object is 'invoice_payment'"),
        ("data.previous_attributes", "x", "data.previous_attributes is a string"),
        ("request", 5, "event.request is an integer"),
        ("request.idempotency_key", 5, "request.idempotency_key is an integer"),
    ],
)
def test_events_with_a_wrong_frame(path: str, value: object, why: str) -> None:
    body = event("invoice.updated", invoice())
    *outer, last = path.split(".")
    place = body
    for name in outer:
        place = place[name]
    place[last] = value
    answer = READER.normalise(raw(body))
    assert isinstance(answer, Unreadable)
    assert answer.why.startswith(f"invoice.updated: {why}")
    assert "expected" in answer.why


def test_the_api_version_is_not_looked_at() -> None:
    versions: list[Any] = [None, "2018-02-28", "2026-10-28.endive", 5, {}]
    for version in versions:
        body = event("invoice.updated", invoice()) | {"api_version": version}
        assert isinstance(READER.normalise(raw(body)), Understood)


def test_a_bare_request_id_is_fine() -> None:
    body = event("invoice.updated", invoice()) | {"request": "req_1"}
    assert isinstance(READER.normalise(raw(body)), Understood)


def test_unknown_types_are_ignored_whatever_they_carry() -> None:
    useless: list[Any] = [None, 5, {}, {"object": []}]
    for data in useless:
        body = event("radar.early_fraud_warning.created", {}) | {"data": data}
        answer = READER.normalise(raw(body))
        assert answer == Ignored(why="radar.early_fraud_warning.created events are not used")


def test_an_object_fetched_for_a_type_of_no_use() -> None:
    for name in ("invoice.sent", "v1.invoice.sent", "v2.invoice.paid", ""):
        answer = read_object(name, invoice(), event_id="evt_1", created=AT)
        assert isinstance(answer, Ignored)


# --- the table is closed ---------------------------------------------------------------------

FAMILIES = (
    "charge.",
    "credit_note.",
    "customer.",
    "invoice.",
    "invoice_payment.",
    "mandate.",
    "payment_intent.",
    "payment_method.",
    "refund.",
    "setup_intent.",
)
# Types of these families that are of no use, so that a new one has to be put somewhere.
UNUSED = set(
    """
    charge.captured charge.expired
    customer.discount.created customer.discount.deleted customer.discount.source_changed
    customer.discount.updated customer.source.expiring
    customer.subscription.cancel_at_changed customer.subscription.item_added
    customer.subscription.item_price_changed customer.subscription.item_quantity_changed
    customer.subscription.item_removed customer.subscription.item_tax_rates_changed
    customer.subscription.pending_update_applied customer.subscription.pending_update_expired
    customer.subscription.trial_will_end
    customer.tax_id.created customer.tax_id.deleted customer.tax_id.updated
    invoice.created invoice.deleted invoice.discount_added invoice.discount_removed
    invoice.finalization_failed invoice.finalized invoice.line_item_added
    invoice.line_item_pricing_changed invoice.line_item_quantity_changed
    invoice.line_item_removed invoice.overpaid
    invoice.payment_attempt_required invoice.sent invoice.will_be_due
    invoice_payment.canceled invoice_payment.open
    payment_intent.amount_capturable_updated payment_intent.created
    payment_intent.partially_funded
    setup_intent.canceled setup_intent.created setup_intent.requires_action
    setup_intent.setup_failed
    """.split()
)
# Sent by older API versions only.
FORMER = {"payment_method.card_automatically_updated"}


def known_to_the_sdk() -> set[str]:
    offered = WebhookEndpointCreateParams.__annotations__["enabled_events"]
    thin_names = set(_event_classes._V2_EVENT_CLASS_LOOKUP)
    return set(words(offered)) | {name.removeprefix("v1.") for name in thin_names}


def words(annotation: object) -> Iterator[str]:
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from words(part)


def test_every_type_that_could_matter_is_classified() -> None:
    ours = {name for name in known_to_the_sdk() if name.startswith(FAMILIES)}
    cash = {name for name in ours if name.startswith("customer.cash_balance")}
    assert ours - cash - set(RULES) == UNUSED


def test_every_type_in_the_table_exists() -> None:
    assert set(RULES) - known_to_the_sdk() == FORMER


def test_times_are_utc() -> None:
    answer = READER.normalise(raw(event("invoice.updated", invoice())))
    assert isinstance(answer, Understood)
    assert answer.events[0].at == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


# --- the fast decoder and the one whose words these are ----------------------------------------

_TEXT = st.text(st.characters(), max_size=8)  # half characters included
_ATOM = st.none() | st.booleans() | st.integers() | st.floats() | _TEXT
_VALUE = st.recursive(
    _ATOM,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


def _told(decode: Callable[[bytes], object], body: bytes) -> str:
    """What comes of it, exactly: 1 is not 1.0 here, and not-a-number equals itself."""
    try:
        return repr(decode(body))
    except MalformedError as error:
        return str(error)


@given(event=st.dictionaries(_TEXT, _VALUE, max_size=4), spaced=st.booleans())
def test_both_decoders_read_the_same(event: dict[str, object], spaced: bool) -> None:
    body = json.dumps(event, indent=2 if spaced else None).encode()
    assert _told(reader._decode, body) == _told(reader._decode_slowly, body)


@given(event=st.dictionaries(_TEXT, _VALUE, min_size=1, max_size=3), data=st.data())
def test_both_decoders_refuse_the_same(event: dict[str, object], data: st.DataObject) -> None:
    body = bytearray(json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    slowly = _told(reader._decode_slowly, bytes(body))
    fast = _told(reader._decode, bytes(body))
    assert fast == slowly or fast.endswith("(expected an event object)")
