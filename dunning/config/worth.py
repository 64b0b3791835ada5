"""`value` and `segments`: how a customer's value is reckoned, and conditions with a name."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

from dunning.config import values
from dunning.config.conditions import SEGMENT_KEYS, Known, read_when
from dunning.config.cursor import At, fields, text
from dunning.config.problems import quoted
from dunning.config.yaml_tree import Table
from dunning.core.choosing import Terms, When
from dunning.core.money import Money
from dunning.core.worth import Term, Value, read_number

T = TypeVar("T", Fraction, Money)

VALUE_KEYS = ("expected_years", "acquisition_cost", "margin", "lifetime_revenue")
TERM_KEYS = ("metadata", "default")
MAX_SEGMENTS = 100
MAX_YEARS = 100


def read_terms(value: At | None, segments: At | None, known: Known) -> Terms:
    """Both parts; what is wrong is in the report."""
    reckoned = None if value is None else _value(value)
    # A segment may ask for the value; one that asks for another segment is refused.
    with_value = Known(sources=known.sources, terms=Terms(value=reckoned))
    named = () if segments is None else _segments(segments, with_value)
    return Terms(value=reckoned, segments=named)


def _segments(at: At, known: Known) -> tuple[tuple[str, When], ...]:
    found = fields(at)
    if found is None:
        return ()
    names = list(found.table.entries)
    if not 1 <= len(names) <= MAX_SEGMENTS:
        at.fail(f"{len(names)} segments; expected 1 to {MAX_SEGMENTS}, such as vip: {{tag: vip}}")
    read = []
    for name in names:
        if not values.is_name(name):
            expected = "letters, digits, - and _, beginning with a letter"
            found.fail_key(name, f"{quoted(name)} is not a name; expected {expected}")
        place = found.get(name)
        when = None if place is None else read_when(place, SEGMENT_KEYS, known)
        if place is not None and when == When():
            place.fail("without a condition it is everybody; expected one such as {tag: vip}")
        # One that is wrong keeps its name, so that whoever names it is not told of it as well.
        read.append((name, when or When()))
    return tuple(read)


def _value(at: At) -> Value | None:
    found = fields(at, VALUE_KEYS)
    if found is None:
        return None
    if not found.table.entries:
        at.fail("expected some of expected_years, acquisition_cost, margin, lifetime_revenue")
    terms: dict[str, Any] = {
        "expected_years": found.read("expected_years", lambda at: _term(at, _years), None),
        "acquisition_cost": found.read("acquisition_cost", _cost, None),
        "margin": found.read("margin", lambda at: _term(at, _margin), None),
    }
    revenue = found.read("lifetime_revenue", _metadata_only, None)
    return Value(**terms, lifetime_revenue=revenue)


def _term(at: At, reader: Callable[[At], T | None]) -> Term | None:
    """A value for all customers, or where in the customer's metadata each one's stands."""
    if not isinstance(at.node, Table):
        given = reader(at)
        return None if given is None else Term(given=given)
    found = fields(at, TERM_KEYS)
    if found is None:
        return None
    key = found.need("metadata", text, "a key of the customer's metadata")
    default = found.read("default", reader, None)
    return None if key is None else Term(given=default, metadata=key)


def _metadata_only(at: At) -> str | None:
    found = fields(at, ("metadata",))
    if found is None:
        return None
    return found.need("metadata", text, "a key of the customer's metadata")


def _cost(at: At) -> Term | None:
    return _term(at, values.money)


def _years(at: At) -> Fraction | None:
    number = _number(at, "a number of years such as 3 or 2.5")
    if number is not None and not 0 < number <= MAX_YEARS:
        at.fail(f"expected more than 0 and at most {MAX_YEARS} years")
        return None
    return number


def _margin(at: At) -> Fraction | None:
    number = _number(at, "a share such as 80% or 0.8")
    if number is not None and not 0 < number <= 1:
        at.fail("expected more than 0% and at most 100%")
        return None
    return number


def _number(at: At, what: str) -> Fraction | None:
    value = text(at, what)
    if value is None:
        return None
    number = read_number(value)
    if number is None:
        at.fail(f"{quoted(value)} is not {what.partition(' such')[0]}; expected {what}")
    return number
