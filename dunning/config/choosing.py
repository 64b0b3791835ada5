"""The `choose` list: which invoice gets which policy."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dunning.config import values
from dunning.config.cursor import At, Fields, fields, listing, one_or_more, pairs, text
from dunning.config.problems import expected_one_of, quoted
from dunning.core.money import Money
from dunning.core.policy import Choice, When

MAX_CHOICES = 500
MAX_WORDS = 500
MAX_METADATA = 20
CHOICE_KEYS = ("when", "policy")
WHEN_KEYS = ("amount", "currency", "country", "product", "source", "metadata")
AMOUNT_KEYS = ("at_least", "below")

_EXAMPLE = "- {policy: standard}"


def read_choices(
    at: At | None, root: Fields, policies: Collection[str], sources: Collection[str]
) -> tuple[Choice, ...]:
    """Every line. A file with one policy needs no list, as there is nothing to choose."""
    if at is None:
        if len(policies) == 1:
            return (Choice(policy=next(iter(policies))),)
        root.at.fail(f"`choose` is missing; expected a list that ends with `{_EXAMPLE}`")
        return ()
    lines = listing(at, "lines such as {policy: standard}", MAX_CHOICES)
    read = [_choice(line, policies, sources) for line in lines]
    if read and lines:
        _check_last(lines[-1], read[-1])
    return tuple(choice for choice in read if choice is not None)


def _check_last(at: At, last: Choice | None) -> None:
    """An invoice that no line fits would have no policy; so the last line fits all."""
    if last is not None and last.when != When():
        at.fail(
            "the last line of `choose` must match everything;"
            f" expected a last line without `when`, such as `{_EXAMPLE}`"
        )


def _choice(at: At, policies: Collection[str], sources: Collection[str]) -> Choice | None:
    problems = at.report.count
    found = fields(at, CHOICE_KEYS)
    if found is None:
        return None
    policy = found.need("policy", lambda at: policy_name(at, policies), "the name of a policy")
    condition = found.get("when")
    when = When() if condition is None else _when(condition, sources)
    if policy is None or when is None or at.report.count > problems:
        return None
    return Choice(policy=policy, when=when)


def policy_name(at: At, policies: Collection[str]) -> str | None:
    """The name of one of the policies of this file."""
    value = text(at, "the name of a policy")
    if value is None or value in policies:
        return value
    if policies:
        at.fail(f"there is no policy {quoted(value)}; {expected_one_of(policies, value)}")
    return None


def _when(at: At, sources: Collection[str]) -> When | None:
    found = fields(at, WHEN_KEYS)
    if found is None:
        return None
    low, high = _amount(found.get("amount"))
    return When(
        at_least=low,
        below=high,
        currency=_words(found, "currency", values.currency),
        country=_words(found, "country", values.country),
        product=_words(found, "product", text),
        source=_words(found, "source", lambda at: _source(at, sources)),
        metadata=found.read("metadata", _metadata, ()) or (),
    )


def _words(found: Fields, key: str, reader: Callable[[At], str | None]) -> tuple[str, ...]:
    at = found.get(key)
    return () if at is None else one_or_more(at, reader, "words", MAX_WORDS)


def _source(at: At, sources: Collection[str]) -> str | None:
    value = values.source_name(at)
    if value is None or value in sources:
        return value
    at.fail(f"there is no source {quoted(value)}; {expected_one_of(sources, value)}")
    return None


def _amount(at: At | None) -> tuple[Money | None, Money | None]:
    if at is None:
        return None, None
    found = fields(at, AMOUNT_KEYS)
    if found is None:
        return None, None
    if not found.table.entries:
        at.fail("expected at_least, below or both, such as {at_least: 500 USD}")
    low = found.read("at_least", values.money, None)
    high = found.read("below", values.money, None)
    if low and high and low.currency != high.currency:
        at.fail(f"{low} and {high} are in two currencies; expected one")
    elif low and high and low.minor >= high.minor:
        at.fail(f"nothing is at least {low} and below {high}")
    return low, high


def _metadata(at: At) -> tuple[tuple[str, str], ...] | None:
    return pairs(at, MAX_METADATA, "{tier: gold}", expected="a value, which is compared as text")
