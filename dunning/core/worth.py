"""What a customer is worth: the lifetime value by the policy file's formula, and lifetime revenue.

value = yearly revenue x expected years [x margin] - acquisition cost, in the currency of the case.
Integers and fractions only. What is not known is said in words, and nothing is made up for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dunning.core.money import Money
from dunning.errors import MoneyError

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A number of the formula: in the customer's metadata under `metadata`, else `given`."""

    given: Fraction | Money | None = None
    metadata: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """How the lifetime value is reckoned; a term that is None is left out of the formula.

    `lifetime_revenue` names the metadata where the merchant keeps what a customer has paid.
    """

    expected_years: Term | None = None
    acquisition_cost: Term | None = None
    margin: Term | None = None
    lifetime_revenue: str | None = None


def read_number(text: str) -> Fraction | None:
    """`3`, `2.5` or `80%` as an exact number; None when it is none."""
    text = text.strip()
    plain = text.removesuffix("%").strip()
    if not _NUMBER.fullmatch(plain):
        return None
    number = Fraction(plain)
    return number / 100 if text.endswith("%") else number


def read_money(text: str, currency: str) -> Money | None:
    """`120 USD`, or `120` in this currency; None when it is neither."""
    try:
        return Money.parse(text if len(text.split()) > 1 else f"{text} {currency}")
    except MoneyError:
        return None


def lifetime_value(
    value: Value | None,
    yearly: Money | None,
    metadata: Sequence[tuple[str, str]],
    currency: str,
) -> Money | str:
    """The value in whole minor units, rounded down; or why it is not known."""
    if value is None or value.expected_years is None:
        return "the file has no `value` with `expected_years`"
    if yearly is None:
        return "the yearly revenue of the subscription is not known"
    if yearly.currency != currency:
        return f"the subscription is in {yearly.currency.upper()}"
    known = dict(metadata)
    years = _number("expected_years", value.expected_years, known)
    margin = Fraction(1) if value.margin is None else _number("margin", value.margin, known)
    cost: Money | str = Money(0, currency)
    if value.acquisition_cost is not None:
        cost = _amount("acquisition_cost", value.acquisition_cost, known, currency)
    for term in (years, margin, cost):
        if isinstance(term, str):
            return term
    assert not isinstance(years, str)
    assert not isinstance(margin, str)
    assert not isinstance(cost, str)
    return Money((yearly.minor * years * margin - cost.minor) // 1, currency)


def lifetime_revenue(
    value: Value | None,
    revenue: Money | None,
    metadata: Sequence[tuple[str, str]],
    currency: str,
) -> Money | str:
    """What the customer has paid so far: as the merchant says, else by the invoices seen paid."""
    name = value.lifetime_revenue if value else None
    if name is not None and (text := dict(metadata).get(name)) is not None:
        amount = read_money(text, currency)
        if amount is None:
            return f"the customer's metadata {name} is {text!r}, which is no amount"
        return _in(currency, amount, f"the customer's metadata {name}")
    return "no invoice of the customer was seen paid" if revenue is None else revenue


def _number(what: str, term: Term, known: Mapping[str, str]) -> Fraction | str:
    if term.metadata is not None and (text := known.get(term.metadata)) is not None:
        number = read_number(text)
        if number is None:
            return f"the customer's metadata {term.metadata} is {text!r}, which is no number"
        return number
    if isinstance(term.given, Fraction):
        return term.given
    return f"the customer's metadata has no {term.metadata}, and `{what}` no default"


def _amount(what: str, term: Term, known: Mapping[str, str], currency: str) -> Money | str:
    if term.metadata is not None and (text := known.get(term.metadata)) is not None:
        amount = read_money(text, currency)
        if amount is None:
            return f"the customer's metadata {term.metadata} is {text!r}, which is no amount"
        return _in(currency, amount, f"the customer's metadata {term.metadata}")
    if isinstance(term.given, Money):
        return _in(currency, term.given, f"`{what}`")
    return f"the customer's metadata has no {term.metadata}, and `{what}` no default"


def _in(currency: str, amount: Money, what: str) -> Money | str:
    if amount.currency == currency:
        return amount
    return f"{what} is in {amount.currency.upper()}, the invoice in {currency.upper()}"


# --- as data ---------------------------------------------------------------------------------

_TERMS = ("expected_years", "acquisition_cost", "margin")


def value_to(value: Value | None) -> dict[str, Any] | None:
    """The formula as JSON-ready data."""
    if value is None:
        return None
    terms = {name: _term_to(getattr(value, name)) for name in _TERMS}
    return {**terms, "lifetime_revenue": value.lifetime_revenue}


def value_from(data: Mapping[str, Any] | None) -> Value | None:
    """Read back what `value_to` wrote."""
    if data is None:
        return None
    terms = {name: _term_from(data[name]) for name in _TERMS}
    return Value(**terms, lifetime_revenue=data["lifetime_revenue"])


def _term_to(term: Term | None) -> dict[str, Any] | None:
    if term is None:
        return None
    given: Any = term.given
    if isinstance(given, Money):
        given = [given.minor, given.currency]
    elif isinstance(given, Fraction):
        given = str(given)
    return {"given": given, "metadata": term.metadata}


def _term_from(data: Mapping[str, Any] | None) -> Term | None:
    if data is None:
        return None
    given = data["given"]
    if isinstance(given, list):
        given = Money(*given)
    elif given is not None:
        given = Fraction(given)
    return Term(given=given, metadata=data["metadata"])
