"""The parts that the JSON Schema of the policy file is put together from."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

# What is written is compared as text; an editor may take `1` or `true` for something else.
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
MONEY: Schema = {
    "type": "string",
    "description": "An amount and a currency: 500 USD.",
    "pattern": r"^[0-9][0-9.,]*\s+[A-Za-z]{3}$",
}


def table(fields: Schema, *, required: tuple[str, ...] = (), about: str = "") -> Schema:
    """Keys and values, and no others."""
    made: Schema = {"type": "object", "properties": fields, "additionalProperties": False}
    if required:
        made["required"] = list(required)
    return {"description": about, **made} if about else made


def list_of(items: Schema, most: int) -> Schema:
    """A list that has some."""
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def one_or_more(item: Schema, most: int) -> Schema:
    """A single value, or a list of them."""
    return {"anyOf": [item, list_of(item, most) | {"uniqueItems": True}]}


def pattern(text: str, about: str = "") -> Schema:
    """A word that looks like this."""
    made: Schema = {"type": "string", "pattern": f"^(?:{text})$"}
    return made | {"description": about} if about else made


def words(kind: type[enum.StrEnum] | Iterable[str], about: str = "") -> Schema:
    """One of some words."""
    made: Schema = {"enum": [str(each) for each in kind]}
    return made | {"description": about} if about else made


def bounds(value: Schema) -> Schema:
    """From one value on, below another, or both."""
    return table({"at_least": value, "below": value}) | {"minProperties": 1}
