"""What a subscription says of its renewals: when, how much, and what is charged."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.core.ahead import Outlook
from dunning.core.events import SubscriptionReported
from dunning.core.ports import Understood
from dunning.providers.stripe.reader import StripeReader
from tests.providers.stripe.bodies import NOW, Body, event, moment, raw
from tests.providers.stripe.bodies_people import item, subscription


def told(body: Body) -> SubscriptionReported:
    reading = StripeReader().normalise(raw(event("customer.subscription.updated", body)))
    assert isinstance(reading, Understood)
    (first,) = reading.events
    assert isinstance(first, SubscriptionReported)
    return first


def outlook(**fields: Any) -> Outlook:
    seen = told(subscription(**fields)).outlook
    assert seen is not None
    return seen


TERM: Body = {"current_period_start": NOW - 9, "current_period_end": NOW + 9}


def test_when_it_renews_old_versions_say_of_the_whole_and_new_ones_of_each_item() -> None:
    items = {"object": "list", "data": [item(**TERM), item(**TERM)], "has_more": False}
    for seen in (outlook(**TERM), outlook(items=items)):
        assert (seen.began_at, seen.renews_at) == (moment(NOW - 9), moment(NOW + 9))
        assert seen.cancels_at is None


def test_one_that_is_cancelled_at_the_end_of_its_term_ends_by_itself() -> None:
    assert outlook(**TERM, cancel_at_period_end=True).cancels_at == moment(NOW + 9)
    assert outlook(**TERM, cancel_at=NOW + 5).cancels_at == moment(NOW + 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"discounts": ["di_1"]},
        {"discount": {"id": "di_1"}},
        {"automatic_tax": {"enabled": True}},
        {"default_tax_rates": [{"id": "txr_1"}]},
        {"items": {"object": "list", "data": [item(discounts=["di_1"])]}},
        {"items": {"object": "list", "data": [item(), item(quantity=None)]}},
        {"items": {"object": "list", "data": []}},
    ],
)
def test_a_bill_that_may_be_another_than_the_price_has_no_known_amount(fields: Body) -> None:
    assert outlook(**fields).price is None


def test_whoever_pays_by_hand_or_is_paused_is_not_charged() -> None:
    assert not outlook(collection_method="send_invoice").automatic
    assert outlook(pause_collection={"behavior": "void"}).paused
    assert outlook(discounts=[], automatic_tax={"enabled": False}).price == 9800
