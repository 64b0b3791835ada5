"""What a case has heard of its customer and subscription, kept as words of its facts.

A list of pairs is one word, so that the last list holds as a whole: what the merchant took out of
the metadata is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dunning.core.events import CustomerReported, SubscriptionReported
from dunning.core.facts import Case
from dunning.core.money import Money
from dunning.core.monthly import Monthly, merged, needed

CUSTOMER_METADATA = "customer_metadata"
TAGS = "tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What is known of a subscription, as conditions ask for it."""

    products: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    intervals: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    yearly: Money | None = None


NOTHING = Details()


def words_of_customer(event: CustomerReported) -> dict[str, str | None]:
    """The words that this news of a customer adds."""
    told = event.metadata
    return {CUSTOMER_METADATA: None if told is None else pairs_to(told)}


def words_of_subscription(event: SubscriptionReported) -> dict[str, str | None]:
    """The words that this news of a subscription adds, under the subscription's own name."""
    return {_about(event.subscription): details_of(event)}


def details_of(event: SubscriptionReported) -> str:
    """The details as one text. Providers show the whole object, so what is left out is not so."""
    known = event.yearly is not None and event.currency
    told = {
        "products": list(event.products),
        "plans": list(event.plans),
        "intervals": list(event.intervals),
        "metadata": [list(pair) for pair in event.metadata],
        "yearly": [event.yearly, event.currency] if known else None,
    }
    said = {name: value for name, value in told.items() if value}
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def monthly_of(event: SubscriptionReported) -> tuple[Monthly, ...]:
    """What this news says of what a subscription brings in a month; nothing without a price."""
    if event.heard is not None:
        return event.heard
    if event.currency is None:
        return ()
    return (Monthly(event.subscription, event.at, event.recurring, event.currency),)


def with_monthly(case: Case, told: tuple[Monthly, ...] = ()) -> Case:
    """Take in what subscriptions bring in; only what the first failure may ask for is kept."""
    if not told and len(case.monthly) < 2:
        return case
    kept = needed(merged(case.monthly, told), case.first_sign)
    return case if kept == case.monthly else replace(case, monthly=kept)


def read_details(text: str | None) -> Details:
    """Read back what `details_of` wrote."""
    if not text:
        return NOTHING
    data = json.loads(text)
    yearly = data.get("yearly")
    return Details(
        products=tuple(data.get("products", ())),
        plans=tuple(data.get("plans", ())),
        intervals=tuple(data.get("intervals", ())),
        metadata=tuple((name, value) for name, value in data.get("metadata", ())),
        yearly=Money(*yearly) if yearly else None,
    )


def subscription_details(case: Case) -> Details:
    """What is known of the case's own subscription."""
    name = case.subscription
    return read_details(case.word(_about(name))) if name else NOTHING


def customer_metadata(case: Case) -> tuple[tuple[str, str], ...]:
    """The customer's metadata as last heard."""
    return pairs_from(case.word(CUSTOMER_METADATA)) or ()


def pairs_to(pairs: tuple[tuple[str, str], ...]) -> str:
    """A list of pairs as one text, the same for the same pairs."""
    return json.dumps(sorted(list(pair) for pair in pairs), separators=(",", ":"))


def pairs_from(text: str | None) -> tuple[tuple[str, str], ...] | None:
    """Read back what `pairs_to` wrote; None when nobody said."""
    return None if text is None else tuple((name, value) for name, value in json.loads(text))


def tags_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The words of the metadata `tags`, which are separated by commas."""
    return tuple(tag for part in metadata.get(TAGS, "").split(",") if (tag := part.strip()))


def kind_of_method(case: Case, method: str) -> str | None:
    """Whether a way to pay is a card, a bank debit or what else, as far as anybody said."""
    return next((saved.type for saved in case.saved if saved.id == method), None)


def _about(subscription: str) -> str:
    return f"subscription {subscription}"
