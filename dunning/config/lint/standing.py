"""How conditions stand to each other: one is as wide as another, or both can never hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dunning.core.branches import BANK_DEBIT
from dunning.core.choosing import Condition, Has, Is, OneOf, Quantity, Terms, When, Within
from dunning.core.money import Money

# Facts of which there is one at a time; an invoice may have several products, plans, tags.
_SINGLE = frozenset(("source", "currency", "country", "method", "advice", "outcome"))


def covers(wide: When, narrow: When, terms: Terms) -> bool:
    """Whether all that fits `narrow` is sure to fit `wide` as well."""
    known = spread(narrow, terms)
    return all(_follows(condition, known, terms) for condition in wide.all_of)


def spread(when: When, terms: Terms) -> tuple[Condition, ...]:
    """The conditions, with those of a segment that must hold with them."""
    found = list(when.all_of)
    for condition in when.all_of:
        match condition:
            case OneOf(key="segment", words=(name,)):
                segment = terms.segment(name)
                found += segment.all_of if segment else ()
            case _:
                pass
    return tuple(found)


def _follows(wanted: Condition, known: Sequence[Condition], terms: Terms) -> bool:
    match wanted:
        case OneOf(key="segment", words=names):
            segments = (terms.segment(name) for name in names)
            one = any(
                all(_follows(condition, known, terms) for condition in segment.all_of)
                for segment in segments
                if segment is not None
            )
            return one or _within_words(wanted, known)
        case OneOf():
            return _within_words(wanted, known)
        case Within():
            return _within_bounds(wanted, known)
        case Has(pairs=pairs):
            given = {pair for one in known if isinstance(one, Has) for pair in one.pairs}
            return set(pairs) <= given
        case Is():
            return wanted in known


def _within_words(wanted: OneOf, known: Sequence[Condition]) -> bool:
    words = _folded(wanted)
    for one in known:
        if isinstance(one, OneOf) and one.key == wanted.key and _folded(one) <= words:
            return True
        if wanted.key == "currency" and isinstance(one, Within) and _currency(one) in words:
            return True
    return False


def _within_bounds(wanted: Within, known: Sequence[Condition]) -> bool:
    same = [one for one in known if isinstance(one, Within) and one.key == wanted.key]
    low = wanted.at_least is None or any(
        one.at_least is not None and _at_most(wanted.at_least, one.at_least) for one in same
    )
    high = wanted.below is None or any(
        one.below is not None and _at_most(one.below, wanted.below) for one in same
    )
    return low and high


def _at_most(one: Quantity, other: Quantity) -> bool:
    if isinstance(one, Money) and isinstance(other, Money):
        return one.currency == other.currency and one.minor <= other.minor
    if isinstance(one, timedelta) and isinstance(other, timedelta):
        return one <= other
    return isinstance(one, int) and isinstance(other, int) and one <= other


def _folded(condition: OneOf) -> set[str]:
    return {word.casefold() for word in condition.words}


def _currency(condition: Within) -> str | None:
    for bound in (condition.at_least, condition.below):
        if isinstance(bound, Money):
            return bound.currency
    return None


# --- never both ------------------------------------------------------------------------------


def clash(terms: Terms, *whens: When) -> tuple[Condition, Condition] | None:
    """Two conditions of these that can never hold together, if there are any."""
    known = [condition for when in whens for condition in spread(when, terms)]
    pairs = ((one, other) for i, one in enumerate(known) for other in known[i:])
    return next((pair for pair in pairs if _never(*pair)), None)


def _never(one: Condition, other: Condition) -> bool:
    match one, other:
        case OneOf(), OneOf() if one.key == other.key:
            return _no_word(one, other)
        case Within(), Within():
            return _no_amount(one, other)
        case OneOf(key="currency"), Within():
            return (currency := _currency(other)) is not None and currency not in _folded(one)
        case Within(), OneOf(key="currency"):
            return _never(other, one)
        case Has(), Has() if one.key == other.key:
            given = dict(other.pairs)
            return any(given.get(key, value) != value for key, value in one.pairs)
        case Is(), Is() if one.key == other.key:
            return one.so is not other.so
        case OneOf(key="interval"), Is(key="subscription", so=False):
            return True
        case Is(key="subscription", so=False), OneOf(key="interval"):
            return True
        case _:
            return False


def _no_word(one: OneOf, other: OneOf) -> bool:
    common = _folded(one) & _folded(other)
    if one.key == "decline":
        # A bank debit fails for a reason of its own as well.
        return not common and BANK_DEBIT not in _folded(one) | _folded(other)
    return one.key in _SINGLE and not common


def _no_amount(one: Within, other: Within) -> bool:
    mine, theirs = _currency(one), _currency(other)
    if mine and theirs and mine != theirs:
        return True
    if one.key != other.key:
        return False
    bounds = ((one.at_least, other.below), (other.at_least, one.below))
    return any(low is not None and high is not None and _at_most(high, low) for low, high in bounds)


def words_of(whens: Sequence[When], key: str, terms: Terms) -> frozenset[str] | None:
    """The words that one of these must have for a key; None where some do not ask for it."""
    found: set[str] = set()
    for when in whens:
        asked = [c for c in spread(when, terms) if isinstance(c, OneOf) and c.key == key]
        if not asked:
            return None
        found |= set.intersection(*map(_folded, asked))
    return frozenset(found) if whens else None


def all_are(whens: Sequence[When], key: str, *, so: bool, terms: Terms) -> bool:
    """Whether each of these asks that it is so."""
    return bool(whens) and all(Is(key, so) in spread(when, terms) for when in whens)
