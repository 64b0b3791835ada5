"""Conditions as they are written: in `choose`, in `segments` and in the `when` of a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dunning.config import values
from dunning.config.cursor import At, Fields, fields, one_or_more, text, word
from dunning.config.problems import expected_one_of, quoted
from dunning.config.yaml_tree import Table
from dunning.core.branches import BRANCHES
from dunning.core.choosing import (
    NO_TERMS,
    Condition,
    Has,
    Is,
    OneOf,
    Quantity,
    Terms,
    When,
    Within,
    segments_of,
)
from dunning.core.declines import Advice
from dunning.core.subject import OUTCOMES

Q = TypeVar("Q", bound=Quantity)

MAX_WORDS = 500
MAX_METADATA = 20
# What is known when a case begins.
CHOICE_KEYS = (
    "amount",
    "currency",
    "country",
    "product",
    "plan",
    "interval",
    "method",
    "source",
    "metadata",
    "tag",
    "segment",
    "tenure",
    "lifetime_revenue",
    "lifetime_value",
    "subscription",
    "by_hand",
)
# What the case comes to later.
STANDING_KEYS = ("decline", "advice", "code", "outcome", "clicked", "open_invoices")
LINE_KEYS = (*CHOICE_KEYS, *STANDING_KEYS)
SEGMENT_KEYS = tuple(key for key in CHOICE_KEYS if key != "segment")
BOUND_KEYS = ("at_least", "below")

INTERVALS = ("day", "week", "month", "quarter", "half_year", "year")
INTERVAL = r"[0-9]{1,3} (days|weeks|months|years)"
CODE = r"[A-Za-z0-9_.-]{1,60}"
METHOD = r"[a-z][a-z0-9_]{0,59}"
COUNT = r"[1-9][0-9]{0,3}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What conditions may name: the sources and the terms of the file."""

    sources: Collection[str] = ()
    terms: Terms = NO_TERMS


NOTHING = Known()


def read_when(at: At, keys: Collection[str], known: Known) -> When | None:
    """The conditions at this place, in the order of the file."""
    problems = at.report.count
    found = fields(at, None if isinstance(at.node, Table) else keys)
    if found is None:
        return None
    _check_keys(found, keys)
    read = [
        _READERS[key](value, known)
        for key in found.table.entries
        if key in keys and (value := found.get(key)) is not None
    ]
    if at.report.count > problems:
        return None
    return When(tuple(condition for condition in read if condition is not None))


def _check_keys(found: Fields, keys: Collection[str]) -> None:
    for key in found.table.entries:
        if key in keys:
            continue
        if key in STANDING_KEYS and "clicked" in keys:
            found.fail_key(key, f"`{key}` says how a failed charge stands; here nothing has failed")
        elif key in STANDING_KEYS:
            message = f"`{key}` is not known yet when a policy is chosen; only the `when` of a line"
            found.fail_key(key, f"{message} can ask for it")
        elif key in CHOICE_KEYS:
            found.fail_key(key, f"`{key}` means nothing here; {expected_one_of(keys)}")
        else:
            text = expected_one_of(keys, key, limit=len(LINE_KEYS))
            found.fail_key(key, f"{quoted(key)} is not a condition; {text}")


# --- words -----------------------------------------------------------------------------------

_Reader = Callable[[At, Known], Condition | None]


def _words(key: str, reader: Callable[[At], str | None]) -> _Reader:
    def read(at: At, _: Known) -> Condition:
        return OneOf(key, one_or_more(at, reader, "words", MAX_WORDS))

    return read


def _pattern(pattern: str, what: str) -> Callable[[At], str | None]:
    def read(at: At) -> str | None:
        value = text(at, what)
        if value is None or re.fullmatch(pattern, value, re.ASCII):
            return value
        at.fail(f"{quoted(value)} cannot be right; expected {what}")
        return None

    return read


def _one_of(words: Collection[str], noun: str) -> Callable[[At], str | None]:
    return lambda at: word(at, words, noun)


def _interval(at: At) -> str | None:
    value = text(at, f"one of {', '.join(INTERVALS)}")
    if value is None or re.fullmatch(INTERVAL, value, re.ASCII):
        return value
    return word(at, INTERVALS, "a billing interval")


def _source(at: At, known: Known) -> Condition:
    def read(at: At) -> str | None:
        value = values.source_name(at)
        if value is None or value in known.sources:
            return value
        at.fail(f"there is no source {quoted(value)}; {expected_one_of(known.sources, value)}")
        return None

    return OneOf("source", one_or_more(at, read, "words", MAX_WORDS))


def _segment(at: At, known: Known) -> Condition:
    names = [name for name, _ in known.terms.segments]

    def read(at: At) -> str | None:
        value = values.name(at)
        if value is None or value in names:
            return value
        at.fail(f"there is no segment {quoted(value)}; {expected_one_of(names, value)}")
        return None

    return OneOf("segment", one_or_more(at, read, "words", MAX_WORDS))


# --- bounds ----------------------------------------------------------------------------------


def _bounds(key: str, reader: Callable[[At], Q | None], example: str) -> _Reader:
    def read(at: At, known: Known) -> Condition | None:
        problems = at.report.count
        bounds = _read_bounds(at, key, reader, example)
        value = known.terms.value
        if key == "lifetime_value" and (value is None or value.expected_years is None):
            if at.report.count == problems:
                at.fail("`lifetime_value` needs `value` with `expected_years` at the top")
            return None
        return bounds

    return read


def _read_bounds(
    at: At, key: str, reader: Callable[[At], Q | None], example: str
) -> Condition | None:
    found = fields(at, BOUND_KEYS)
    if found is None:
        return None
    if not found.table.entries:
        at.fail(f"expected at_least, below or both, such as {{at_least: {example}}}")
    low = found.read("at_least", reader, None)
    high = found.read("below", reader, None)
    if low is not None and high is not None:
        values.check_range(at, low, high)
    return Within(key, low, high)


def _count(at: At) -> int | None:
    value = text(at, "a whole number such as 2")
    if value is None:
        return None
    if not re.fullmatch(COUNT, value, re.ASCII):
        at.fail(f"{quoted(value)} is not a whole number from 1 to 9999")
        return None
    return int(value)


# --- the rest --------------------------------------------------------------------------------


def _metadata(at: At, _: Known) -> Condition | None:
    found = fields(at)
    if found is None:
        return None
    keys = list(found.table.entries)
    if not 1 <= len(keys) <= MAX_METADATA:
        at.fail(f"{len(keys)} pairs; expected 1 to {MAX_METADATA}, such as {{tier: gold}}")
    pairs = []
    for key in keys:
        item = found.get(key)
        value = None if item is None else text(item, "a value, which is compared as text")
        if value is not None:
            pairs.append((key, value))
    return Has("metadata", tuple(sorted(pairs)))


def _flag(key: str) -> _Reader:
    def read(at: At, _: Known) -> Condition | None:
        value = word(at, ("true", "false"), "true or false")
        return None if value is None else Is(key, value == "true")

    return read


_READERS: Mapping[str, _Reader] = {
    "amount": _bounds("amount", values.money, "500 USD"),
    "currency": _words("currency", values.currency),
    "country": _words("country", values.country),
    "product": _words("product", text),
    "plan": _words("plan", text),
    "interval": _words("interval", _interval),
    "method": _words("method", _pattern(METHOD, "a way to pay such as card or sepa_debit")),
    "source": _source,
    "metadata": _metadata,
    "tag": _words("tag", text),
    "segment": _segment,
    "tenure": _bounds("tenure", values.duration, "90d"),
    "lifetime_revenue": _bounds("lifetime_revenue", values.money, "500 USD"),
    "lifetime_value": _bounds("lifetime_value", values.money, "500 USD"),
    "subscription": _flag("subscription"),
    "by_hand": _flag("by_hand"),
    "decline": _words("decline", _one_of(BRANCHES, "a meaning of a decline")),
    "advice": _words("advice", _one_of([each.value for each in Advice], "an advice")),
    "code": _words("code", _pattern(CODE, "a decline code such as insufficient_funds")),
    "outcome": _words("outcome", _one_of(OUTCOMES, "an outcome of an attempt")),
    "clicked": _flag("clicked"),
    "open_invoices": _bounds("open_invoices", _count, "2"),
}


def used_terms(whens: Collection[When], terms: Terms) -> Terms:
    """Of the terms of a file those that these conditions use: a policy is pinned to no others."""
    named = {name for when in whens for name in segments_of(when)}
    segments = tuple((name, when) for name, when in terms.segments if name in named)
    every = [*whens, *(when for _, when in segments)]
    asked = {condition.key for when in every for condition in when.all_of}
    worth = bool(asked & {"lifetime_value", "lifetime_revenue"})
    return Terms(value=terms.value if worth else None, segments=segments)
