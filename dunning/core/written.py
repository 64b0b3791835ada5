"""Conditions, segments and the value of a customer as data: how a pinned policy keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from dunning.core.choosing import (
    Condition,
    Has,
    Is,
    OneOf,
    Quantity,
    Terms,
    When,
    Within,
)
from dunning.core.money import Money
from dunning.core.worth import value_from, value_to


def when_to(when: When) -> list[dict[str, Any]]:
    """The conditions as JSON-ready data, for the row a case is pinned to."""
    return [_condition_to(condition) for condition in when.all_of]


def when_from(data: Sequence[Mapping[str, Any]]) -> When:
    """Read back what `when_to` wrote."""
    return When(tuple(map(_condition_from, data)))


def _condition_to(condition: Condition) -> dict[str, Any]:
    match condition:
        case OneOf(key=key, words=several):
            return {"key": key, "one_of": list(several)}
        case Within(key=key, at_least=low, below=high):
            return {"key": key, "at_least": _quantity_to(low), "below": _quantity_to(high)}
        case Has(key=key, pairs=pairs):
            return {"key": key, "has": [list(pair) for pair in pairs]}
        case Is(key=key, so=so):
            return {"key": key, "is": so}


def _condition_from(data: Mapping[str, Any]) -> Condition:
    key = data["key"]
    if "one_of" in data:
        return OneOf(key, tuple(data["one_of"]))
    if "has" in data:
        return Has(key, tuple((name, value) for name, value in data["has"]))
    if "is" in data:
        return Is(key, data["is"])
    return Within(key, _quantity_from(data["at_least"]), _quantity_from(data["below"]))


def _quantity_to(quantity: Quantity | None) -> Any:
    if isinstance(quantity, Money):
        return [quantity.minor, quantity.currency]
    if isinstance(quantity, timedelta):
        return {"seconds": quantity // timedelta(seconds=1)}
    return quantity


def _quantity_from(data: Any) -> Quantity | None:
    if isinstance(data, list):
        return Money(*data)
    return timedelta(seconds=data["seconds"]) if isinstance(data, dict) else data


def terms_to(terms: Terms) -> dict[str, Any]:
    """The terms as JSON-ready data."""
    segments = [[name, when_to(when)] for name, when in terms.segments]
    return {"value": value_to(terms.value), "segments": segments}


def terms_from(data: Mapping[str, Any]) -> Terms:
    """Read back what `terms_to` wrote."""
    segments = tuple((name, when_from(when)) for name, when in data["segments"])
    return Terms(value=value_from(data["value"]), segments=segments)
