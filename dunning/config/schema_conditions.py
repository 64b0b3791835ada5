"""Conditions, segments and the value of a customer in the JSON Schema of the policy file."""

from __future__ import annotations

from collections.abc import Iterable

from dunning.config import conditions, values, worth
from dunning.config.schema_parts import MONEY, SCALAR, Schema, bounds, one_or_more, pattern, table
from dunning.config.schema_parts import words as one_of
from dunning.core.branches import BRANCHES
from dunning.core.declines import Advice
from dunning.core.subject import OUTCOMES

_SHARE = r"[0-9]+(\.[0-9]+)?%?"


def when(keys: Iterable[str]) -> Schema:
    """A table of conditions with these keys."""
    known = _known()
    return table({key: known[key] for key in keys}, about="All must hold.")


def _known() -> Schema:
    def several(item: Schema) -> Schema:
        return one_or_more(item, conditions.MAX_WORDS)

    interval = {"anyOf": [one_of(conditions.INTERVALS), pattern(conditions.INTERVAL)]}
    count = {"type": "integer", "minimum": 1, "maximum": 9999}
    flag = {"type": "boolean"}
    return {
        "amount": bounds(MONEY),
        "currency": several(pattern("[A-Za-z]{3}")),
        "country": several(pattern(values.COUNTRY)),
        "product": several(SCALAR),
        "plan": several(SCALAR),
        "interval": several(interval),
        "method": several(pattern(conditions.METHOD)),
        "source": several(pattern(values.SOURCE_NAME)),
        "metadata": {
            "type": "object",
            "additionalProperties": SCALAR,
            "minProperties": 1,
            "maxProperties": conditions.MAX_METADATA,
        },
        "tag": several(SCALAR),
        "segment": several(pattern(values.NAME)),
        "tenure": bounds(pattern(values.DURATION)),
        "lifetime_revenue": bounds(MONEY),
        "lifetime_value": bounds(MONEY),
        "subscription": flag,
        "by_hand": flag,
        "decline": several(one_of(BRANCHES)),
        "advice": several(one_of(Advice)),
        "code": several(pattern(conditions.CODE)),
        "outcome": several(one_of(OUTCOMES)),
        "clicked": flag,
        "open_invoices": bounds(count),
    }


def value() -> Schema:
    """How a customer's lifetime value is reckoned."""
    share = {"anyOf": [{"type": "number"}, pattern(_SHARE)]}
    metadata = {"metadata": {"type": "string"}}
    known = {
        "expected_years": _term(share, "How long a customer stays: 3."),
        "acquisition_cost": _term(MONEY, "What winning a customer costs: 120 USD."),
        "margin": _term(share, "What is left of the revenue: 80%."),
        "lifetime_revenue": table(
            metadata, required=("metadata",), about="Where the customer's metadata says it."
        ),
    }
    return table({key: known[key] for key in worth.VALUE_KEYS}) | {"minProperties": 1}


def _term(given: Schema, about: str) -> Schema:
    read = table({"metadata": {"type": "string"}, "default": given}, required=("metadata",))
    return {"anyOf": [given, read], "description": about}
