"""Conditions on a case, and choosing a policy by them.

`choose`, `segments` and the `when` of a line are all made of the same few conditions. Each asks
for one fact of a `Subject`. What is not known never holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dunning.core.money import Money
from dunning.core.words import Kind
from dunning.core.worth import Value, lifetime_revenue, lifetime_value

Quantity = Money | timedelta | int
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class OneOf:
    """The fact is one of these words, or has one of them where it has several."""

    key: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The fact is at least this, below that, or both. Money of another currency never is."""

    key: str
    at_least: Quantity | None = None
    below: Quantity | None = None


@dataclass(frozen=True, slots=True)
class Has:
    """The fact has all of these pairs."""

    key: str
    pairs: Pairs


@dataclass(frozen=True, slots=True)
class Is:
    """The fact is so, or is not."""

    key: str
    so: bool


Condition = OneOf | Within | Has | Is


@dataclass(frozen=True, slots=True)
class When:
    """Conditions that must all hold; none at all always holds."""

    all_of: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.all_of)


ALWAYS = When()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One line of `choose`: the first whose conditions hold names the policy."""

    policy: str
    when: When = ALWAYS
    kind: Kind = Kind.RECOVERY  # of the policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the file says of its own words: how a customer's value is reckoned, its segments."""

    value: Value | None = None
    segments: tuple[tuple[str, When], ...] = ()

    def segment(self, name: str) -> When | None:
        """What must hold of a customer of that segment."""
        return dict(self.segments).get(name)


NO_TERMS = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is known of an invoice, of whom it is for, and of how its case stands."""

    source: str
    amount: Money | None  # of a renewal it may be unknown
    country: str | None = None
    products: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    intervals: tuple[str, ...] = ()
    metadata: Pairs = ()
    customer_metadata: Pairs = ()
    tags: tuple[str, ...] = ()
    method: str | None = None
    tenure: timedelta | None = None
    subscription: bool | None = None
    by_hand: bool | None = None
    yearly: Money | None = None  # what the subscription brings in a year
    revenue: Money | None = None  # what the customer has paid so far
    kind: Kind = Kind.RECOVERY
    # as the case stands
    declines: tuple[str, ...] = ()
    advice: str | None = None
    codes: tuple[str, ...] = ()
    outcome: str | None = None
    clicked: bool | None = None
    open_invoices: int | None = None


def _currency(subject: Subject) -> str:
    return subject.amount.currency if subject.amount is not None else ""


_SINGLE: Mapping[str, Callable[[Subject], str | None]] = {
    "source": lambda subject: subject.source,
    "currency": lambda subject: _currency(subject) or None,
    "country": lambda subject: (subject.country or "").upper(),
    "method": lambda subject: subject.method,
    "advice": lambda subject: subject.advice,
    "outcome": lambda subject: subject.outcome,
}
_SEVERAL: Mapping[str, Callable[[Subject], tuple[str, ...]]] = {
    "product": lambda subject: subject.products,
    "plan": lambda subject: subject.plans,
    "interval": lambda subject: subject.intervals,
    "tag": lambda subject: subject.tags,
    "decline": lambda subject: subject.declines,
    "code": lambda subject: subject.codes,
}
_FLAGS: Mapping[str, Callable[[Subject], bool | None]] = {
    "subscription": lambda subject: subject.subscription,
    "by_hand": lambda subject: subject.by_hand,
    "clicked": lambda subject: subject.clicked,
}
# A number, or the reason why it is not known.
_NUMBERS: Mapping[str, Callable[[Subject, Terms], Quantity | str | None]] = {
    "amount": lambda subject, _: subject.amount,
    "tenure": lambda subject, _: subject.tenure,
    "open_invoices": lambda subject, _: subject.open_invoices,
    "lifetime_revenue": lambda subject, terms: lifetime_revenue(
        terms.value, subject.revenue, subject.customer_metadata, _currency(subject)
    ),
    "lifetime_value": lambda subject, terms: lifetime_value(
        terms.value, subject.yearly, subject.customer_metadata, _currency(subject)
    ),
}

# What each key asks for, in words that stand before "is".
LABELS: Mapping[str, str] = {
    "source": "the source",
    "currency": "the currency",
    "country": "the country",
    "method": "the way to pay",
    "advice": "the advice on the last decline",
    "outcome": "the outcome of the last attempt",
    "product": "the product",
    "plan": "the plan",
    "interval": "the billing interval",
    "tag": "a tag",
    "decline": "the meaning of the last decline",
    "code": "the decline code",
    "amount": "the amount",
    "tenure": "the time as a customer",
    "open_invoices": "the number of the customer's unpaid invoices",
    "lifetime_revenue": "the lifetime revenue",
    "lifetime_value": "the lifetime value",
    "segment": "the segment",
    "metadata": "the metadata",
}
_SAID: Mapping[tuple[str, bool], str] = {
    ("subscription", True): "the invoice is of a subscription",
    ("subscription", False): "the invoice is one-off",
    ("by_hand", True): "the customer pays by hand",
    ("by_hand", False): "the invoice is charged automatically",
    ("clicked", True): "the customer has followed a link of ours",
    ("clicked", False): "the customer has followed no link of ours",
}


# --- do they hold? ---------------------------------------------------------------------------


def holds(when: When, subject: Subject, terms: Terms = NO_TERMS) -> str | None:
    """None when every condition holds; else the first that does not, with the fact, in words."""
    for condition in when.all_of:
        if (why := _why_not(condition, subject, terms)) is not None:
            return why
    return None


def matches(when: When, subject: Subject, terms: Terms = NO_TERMS) -> bool:
    """Whether every condition holds."""
    return holds(when, subject, terms) is None


def choose(choices: Sequence[Choice], subject: Subject, terms: Terms = NO_TERMS) -> str:
    """The name of the first policy that fits; the loader made sure the last line fits all."""
    return choices[chosen_line(choices, subject, terms)].policy


def chosen_line(choices: Sequence[Choice], subject: Subject, terms: Terms = NO_TERMS) -> int:
    """The number of the first line that fits, from 0."""
    found = fitting_line(choices, subject, terms)
    if found is not None:
        return found
    message = "no line of `choose` fits; the last one must match everything"
    raise ValueError(message)


def fitting_line(
    choices: Sequence[Choice], subject: Subject, terms: Terms = NO_TERMS
) -> int | None:
    """The same; None where none fits. A line is only for cases of its policy's own kind."""
    for number, choice in enumerate(choices):
        if choice.kind is subject.kind and matches(choice.when, subject, terms):
            return number
    return None


def in_segments(subject: Subject, terms: Terms) -> tuple[str, ...]:
    """The segments of the file whose conditions hold."""
    return tuple(name for name, when in terms.segments if matches(when, subject, terms))


def _why_not(condition: Condition, subject: Subject, terms: Terms) -> str | None:
    match condition:
        case OneOf(key="segment"):
            return _in_no_segment(condition, subject, terms)
        case OneOf():
            return _none_of(condition, subject)
        case Within():
            return _outside(condition, subject, terms)
        case Has():
            return _lacks(condition, subject)
        case Is():
            known = _FLAGS[condition.key](subject)
            if known is None:
                return f"it is not known whether {_SAID[condition.key, condition.so]}"
            return None if known is condition.so else _SAID[condition.key, known]


def _none_of(condition: OneOf, subject: Subject) -> str | None:
    key = condition.key
    if key in _SINGLE:
        word = _SINGLE[key](subject)
        known: tuple[str, ...] = (word,) if word else ()
    else:
        known = _SEVERAL[key](subject)
    wanted = {word.casefold() for word in condition.words}
    if any(word.casefold() in wanted for word in known):
        return None
    label = LABELS[key]
    if not known:
        return f"{label} is not known; wanted is {_or(key, condition.words)}"
    return f"{label} is {_and(key, known)}, not {_or(key, condition.words)}"


def _outside(condition: Within, subject: Subject, terms: Terms) -> str | None:
    label, known = LABELS[condition.key], _NUMBERS[condition.key](subject, terms)
    wanted = _bounds(condition)
    if known is None:
        return f"{label} is not known; wanted is {wanted}"
    if isinstance(known, str):
        return f"{label} is not known ({known}); wanted is {wanted}"
    low, high = condition.at_least, condition.below
    if (low is None or _less(low, known, equal=True)) and (high is None or _less(known, high)):
        return None
    return f"{label} is {quantity_words(known)}, not {wanted}"


def _less(one: Quantity, other: Quantity, *, equal: bool = False) -> bool:
    """Whether one is less than the other, or equal; what cannot be compared is not."""
    if isinstance(one, Money) and isinstance(other, Money):
        if one.currency != other.currency:
            return False
        return one.minor < other.minor or (equal and one.minor == other.minor)
    if isinstance(one, timedelta) and isinstance(other, timedelta):
        return one < other or (equal and one == other)
    if isinstance(one, int) and isinstance(other, int):
        return one < other or (equal and one == other)
    return False


def _lacks(condition: Has, subject: Subject) -> str | None:
    # What is nearest to the invoice has the say.
    known = dict(subject.customer_metadata) | dict(subject.metadata)
    for key, value in condition.pairs:
        if key not in known:
            return f"the metadata has no {key}; wanted is {value}"
        if known[key] != value:
            return f"the metadata {key} is {known[key]}, not {value}"
    return None


def _in_no_segment(condition: OneOf, subject: Subject, terms: Terms) -> str | None:
    reasons = []
    for name in condition.words:
        when = terms.segment(name)
        why = "it is not in the file" if when is None else holds(when, subject, terms)
        if why is None:
            return None
        reasons.append(f"not in the segment {name}: {why}")
    return "; ".join(reasons)


# --- in words --------------------------------------------------------------------------------


def words(when: When) -> str:
    """`the amount is at least 20.00 USD and the country is DE or AT`; empty when nothing is."""
    return " and ".join(map(_words, when.all_of))


def _words(condition: Condition) -> str:
    match condition:
        case OneOf(key=key, words=wanted):
            return f"{LABELS[key]} is {_or(key, wanted)}"
        case Within(key=key):
            return f"{LABELS[key]} is {_bounds(condition)}"
        case Has(pairs=pairs):
            return " and ".join(f"the metadata {key} is {value}" for key, value in pairs)
        case Is(key=key, so=so):
            return _SAID[key, so]


def _bounds(condition: Within) -> str:
    parts = []
    if condition.at_least is not None:
        parts.append(f"at least {quantity_words(condition.at_least)}")
    if condition.below is not None:
        parts.append(f"below {quantity_words(condition.below)}")
    return " and ".join(parts)


def quantity_words(quantity: Quantity) -> str:
    """`20.00 USD`, `90 days`, `36 hours`, `3`."""
    if not isinstance(quantity, timedelta):
        return str(quantity)
    hours = quantity // timedelta(hours=1)
    number, unit = (hours // 24, "day") if hours % 24 == 0 or hours > 240 else (hours, "hour")
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _or(key: str, several: Sequence[str]) -> str:
    return " or ".join(_shown(key, several))


def _and(key: str, several: Sequence[str]) -> str:
    return " and ".join(_shown(key, several))


def _shown(key: str, several: Sequence[str]) -> Iterator[str]:
    return (word.upper() if key == "currency" else word for word in several)


# --- what they ask for -----------------------------------------------------------------------


def keys_of(when: When, terms: Terms = NO_TERMS) -> set[str]:
    """Every fact that is asked for, by the segments it names as well."""
    found = {condition.key for condition in when.all_of}
    for name in segments_of(when):
        found |= keys_of(terms.segment(name) or ALWAYS)
    return found


def segments_of(when: When) -> tuple[str, ...]:
    """The segments that it names."""
    return tuple(
        word
        for condition in when.all_of
        if isinstance(condition, OneOf) and condition.key == "segment"
        for word in condition.words
    )
