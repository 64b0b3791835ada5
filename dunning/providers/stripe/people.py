"""Stripe's customers, subscriptions and payment methods as our own values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from dunning.core.ahead import Outlook
from dunning.core.events import (
    CustomerReported,
    MethodChanged,
    MethodNews,
    SubscriptionReported,
)
from dunning.core.monthly import a_month, rounded
from dunning.core.ports import Subscribed
from dunning.providers.stripe.attempts import brand
from dunning.providers.stripe.bills import intervals_of, plans_of, products_of
from dunning.providers.stripe.fields import MAX_AMOUNT, Fields, fields

Source = Mapping[str, Any] | Fields

PAUSE_MARK: Final = "dunning_paused_by"  # the key of ours under which we paused it
OUR_MARK: Final = "dunning_reason"  # metadata we leave on a subscription that we end

_ENDED: Final = frozenset(("canceled", "incomplete_expired"))
_MAX_ZONE: Final = 64


def customer(obj: Source, *, id: str, at: datetime, deleted: bool = False) -> CustomerReported:
    """The customer; of a deleted one nothing but the id, as the rest is to be forgotten."""
    f = fields(obj, "customer")
    name = f.id("id")
    if deleted or f.flag_or_none("deleted"):
        return CustomerReported(id=id, at=at, customer=name, deleted=True)
    return CustomerReported(
        id=id,
        at=at,
        customer=name,
        email=f.text_or_none("email"),
        name=f.text_or_none("name"),
        locale=next(iter(f.words("preferred_locales")), None),
        country=f.inner("address").text_or_none("country"),
        timezone=_timezone(f.inner("metadata")),
        phone=f.text_or_none("phone"),
        default_method=default_method(f),
        since=f.time_or_none("created"),
        metadata=f.metadata(),
    )


def default_method(customer: Fields) -> str | None:
    """What the customer pays with unless a subscription or invoice says otherwise."""
    settings = customer.inner("invoice_settings")
    chosen = settings.id_or_none("default_payment_method")
    return chosen or customer.id_or_none("default_source")


def default_method_chosen(customer: Fields, previous: Fields) -> Fields | None:
    """The payment method that has just become the customer's default, if one has."""
    now, before = customer.inner("invoice_settings"), previous.inner("invoice_settings")
    places = ((now, before, "default_payment_method"), (customer, previous, "default_source"))
    for new, old, name in places:
        chosen = new.id_or_none(name)
        if old.has(name) and chosen is not None and chosen != old.id_or_none(name):
            return new.expanded(name) or Fields({"id": chosen}, f"{new.path}.{name}")
    return None


def _timezone(metadata: Fields) -> str | None:
    # Stripe keeps no zone of a customer; merchants who know one put it into the metadata.
    for name in ("timezone", "tz"):
        zone = metadata.text_or_none(name)
        if zone and "/" in zone and len(zone) <= _MAX_ZONE:
            return zone
    return None


def subscription(
    obj: Source, *, id: str, at: datetime, deleted: bool = False
) -> SubscriptionReported:
    """The subscription; `deleted` when the event said that it is over."""
    f = fields(obj, "subscription")
    status = f.word("status")
    ended_at = None
    if deleted or status in _ENDED:
        # `canceled_at` is when somebody asked for the end, which may be long before it.
        ended_at = f.time_or_none("ended_at") or f.time_or_none("canceled_at") or at
    items = f.each("items")
    recurring, yearly, currency = _recurring(items)
    metadata = f.metadata()
    return SubscriptionReported(
        id=id,
        at=at,
        subscription=f.id("id"),
        customer=f.id_or_none("customer"),
        status=status,
        ended_at=ended_at,
        end_reason=_end_reason(f) if ended_at else None,
        ended_by_us=bool(ended_at and dict(metadata).get(OUR_MARK)),
        paused=status == "paused" or f.given("pause_collection"),
        default_method=f.id_or_none("default_payment_method") or f.id_or_none("default_source"),
        products=products_of(items),
        plans=plans_of(items),
        intervals=intervals_of(items),
        started_at=f.time_or_none("start_date")
        or f.time_or_none("start")
        or f.time_or_none("created"),
        recurring=recurring,
        yearly=yearly,
        currency=f.currency_or_none() or currency,
        metadata=metadata,
        outlook=_outlook(f, items),
    )


def _outlook(f: Fields, items: tuple[Fields, ...]) -> Outlook:
    """When it renews and what is charged then. Newer versions say the term of each item."""
    ends = [end for item in items if (end := item.time_or_none("current_period_end"))]
    begins = [at for item in items if (at := item.time_or_none("current_period_start"))]
    renews_at = f.time_or_none("current_period_end") or min(ends, default=None)
    anchor = f.time_or_none("billing_cycle_anchor")
    terms = intervals_of(items)
    price, currency = _price(f, items) if len(terms) == 1 else (None, None)
    at_end = renews_at if f.flag_or_none("cancel_at_period_end") else None
    return Outlook(
        renews_at=renews_at,
        began_at=f.time_or_none("current_period_start") or max(begins, default=None),
        started_at=f.time_or_none("start_date"),
        cancels_at=f.time_or_none("cancel_at") or at_end,
        method=f.id_or_none("default_payment_method") or f.id_or_none("default_source"),
        automatic=f.word_or_none("collection_method") != "send_invoice",
        paused=f.word_or_none("status") == "paused" or f.given("pause_collection"),
        price=price,
        currency=currency,
        term=terms[0] if len(terms) == 1 else None,
        anchor_day=anchor.day if anchor else None,
    )


# What may make a bill another than its price: taxes, discounts.
_CHANGES_BILL: Final = ("discount", "discounts", "default_tax_rates", "tax_rates")


def _price(f: Fields, items: tuple[Fields, ...]) -> tuple[int | None, str | None]:
    """What one term costs, where nothing that is shown can make its bill another."""
    taxed = f.inner("automatic_tax").flag_or_none("enabled")
    if taxed or any(each.data.get(name) for each in (f, *items) for name in _CHANGES_BILL):
        return None, None
    parts = [_each_term(item) for item in items]
    currencies = {currency for _, currency in parts}
    amounts = [amount for amount, _ in parts if amount is not None]
    if len(currencies) != 1 or len(amounts) < len(parts) or sum(amounts) > MAX_AMOUNT:
        return None, None
    return sum(amounts), currencies.pop()


def _each_term(item: Fields) -> tuple[int | None, str | None]:
    price, plan = item.opened("price"), item.opened("plan")
    unit, quantity = price.amount_or_none("unit_amount"), item.count_or_none("quantity")
    if unit is None:
        unit = plan.amount_or_none("amount")
    currency = price.currency_or_none() or plan.currency_or_none()
    return (None if unit is None or quantity is None else unit * quantity), currency


def subscribed(obj: Source) -> Subscribed:
    """A subscription that goes on, and whether collecting is paused by us or by others."""
    f = fields(obj, "subscription")
    return Subscribed(
        id=f.id("id"),
        paused=f.word("status") == "paused" or f.given("pause_collection"),
        paused_under=dict(f.metadata()).get(PAUSE_MARK) or None,
    )


def _end_reason(f: Fields) -> str | None:
    return f.inner("cancellation_details").word_or_none("reason")


def _recurring(items: tuple[Fields, ...]) -> tuple[int | None, int | None, str | None]:
    """What the items cost in a month and in a year, and in which currency.

    Nothing when one of them has no fixed price or quantity, or their currencies differ. What is
    metered is not known before the bill is made: in a month it is left out, a year is not known.
    """
    parts = [_monthly(item) for item in items]
    currencies = {currency for _, currency in parts}
    one = currencies.pop() if len(currencies) == 1 else None
    fixed = [item for item in items if not _is_metered(item)]
    amounts = [amount for amount, _ in map(_monthly, fixed) if amount is not None]
    if one is None or not fixed or len(amounts) < len(fixed):
        return None, None, one
    exact = sum(amounts, Fraction())
    yearly = _whole(exact * 12) if len(fixed) == len(items) else None
    return _whole(exact), yearly, one


def _whole(amount: Fraction) -> int | None:
    whole = rounded(amount)
    return whole if whole <= MAX_AMOUNT else None


def _is_metered(item: Fields) -> bool:
    price, plan = item.opened("price"), item.opened("plan")
    terms = price.inner("recurring") if price.given("recurring") else plan
    return terms.word_or_none("usage_type") == "metered"


def _monthly(item: Fields) -> tuple[Fraction | None, str | None]:
    # Plans came before prices and stayed beside them.
    price, plan = item.opened("price"), item.opened("plan")
    terms, unit = price.inner("recurring"), price.amount_or_none("unit_amount")
    if unit is None:
        terms, unit = plan, plan.amount_or_none("amount")
    quantity = item.count_or_none("quantity")
    every = terms.count_or_none("interval_count") if terms.given("interval_count") else 1
    currency = price.currency_or_none() or plan.currency_or_none()
    if unit is None or quantity is None:
        return None, currency
    return a_month(unit * quantity, terms.word_or_none("interval") or "", every or 0), currency


def method(
    obj: Source,
    news: MethodNews,
    *,
    id: str,
    at: datetime,
    customer: str,
    off_session: bool = False,
) -> MethodChanged:
    """A payment method, or a legacy card, bank account or source, as news of the customer."""
    f = fields(obj, "payment_method")
    kind = _kind(f)
    facts = f.inner(kind) if kind and f.given(kind) else f
    return MethodChanged(
        id=id,
        at=at,
        customer=customer,
        news=news,
        method=f.id("id"),
        method_type=kind,
        network=brand(facts.word_or_none("brand")),
        last4=facts.word_or_none("last4"),
        fingerprint=facts.word_or_none("fingerprint"),
        exp_month=_between(facts, "exp_month", 1, 12),
        exp_year=_between(facts, "exp_year", 1970, 2200),
        country=facts.word_or_none("country"),
        off_session=off_session,
    )


def _kind(f: Fields) -> str | None:
    what = f.word_or_none("object")
    return what if what in ("card", "bank_account") else f.word_or_none("type")


def _between(f: Fields, name: str, least: int, most: int) -> int | None:
    value = f.count_or_none(name)
    if value is None or least <= value <= most:
        return value
    raise f.wrong(name, f"an integer from {least} to {most}")
