"""The `choose` list: which invoice gets which policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dunning.config import conditions
from dunning.config.conditions import Known, read_when
from dunning.config.cursor import At, Fields, fields, listing, text
from dunning.config.problems import expected_one_of, quoted
from dunning.core.choosing import Choice, When
from dunning.core.words import Kind

MAX_CHOICES = 500
CHOICE_KEYS = ("when", "policy")

_EXAMPLE = "- {policy: standard}"


def read_choices(
    at: At | None, root: Fields, policies: Mapping[str, Kind], known: Known
) -> tuple[Choice, ...]:
    """Every line. A file with one policy needs no list, as there is nothing to choose."""
    if at is None:
        if len(policies) == 1:
            return (Choice(policy=next(iter(policies))),)
        root.at.fail(f"`choose` is missing; expected a list that ends with `{_EXAMPLE}`")
        return ()
    lines = listing(at, "lines such as {policy: standard}", MAX_CHOICES)
    read = [_choice(line, policies, known) for line in lines]
    pairs = list(zip(lines, read, strict=True))
    # Who is told of nothing has no notice; a failed charge always has a policy.
    failed = [pair for pair in pairs if pair[1] is None or not pair[1].kind.is_notice]
    if failed:
        _check_last(*failed[-1])
    elif lines:
        root.at.fail(
            f"no line of `choose` is for failed charges; expected one such as `{_EXAMPLE}`"
        )
    return tuple(choice for choice in read if choice is not None)


def _check_last(at: At, last: Choice | None) -> None:
    """An invoice that no line fits would have no policy; so the last line for them fits all."""
    if last is not None and last.when != When():
        at.fail(
            "the last line of `choose` must match everything;"
            f" expected a last line without `when`, such as `{_EXAMPLE}`"
        )


def _choice(at: At, policies: Mapping[str, Kind], known: Known) -> Choice | None:
    problems = at.report.count
    found = fields(at, CHOICE_KEYS)
    if found is None:
        return None
    policy = found.need("policy", lambda at: policy_name(at, policies), "the name of a policy")
    condition = found.get("when")
    when = When() if condition is None else read_when(condition, conditions.CHOICE_KEYS, known)
    if policy is None or when is None or at.report.count > problems:
        return None
    return Choice(policy=policy, when=when, kind=policies[policy])


def policy_name(at: At, policies: Collection[str]) -> str | None:
    """The name of one of the policies of this file."""
    value = text(at, "the name of a policy")
    if value is None or value in policies:
        return value
    if policies:
        at.fail(f"there is no policy {quoted(value)}; {expected_one_of(policies, value)}")
    return None
