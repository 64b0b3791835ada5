"""Policies of notices: what may stand in them, and what is said of what may not."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from dunning.config.lint import lint
from dunning.config.policy_file import PolicyFile, load_policies
from dunning.config.sentences import describe
from dunning.core.choosing import Subject, fitting_line
from dunning.core.events import StepKind
from dunning.core.money import Money
from dunning.core.watching import watch_of
from dunning.core.words import Kind
from dunning.demo.stage import told_ahead
from dunning.errors import ConfigError

TEMPLATES = ("payment_failed", "card_expiring", "renewal_notice")
HEAD = """version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
"""
CHOOSE = """choose:
  - {policy: told}
  - {policy: standard}
"""


def load(text: str) -> PolicyFile:
    return load_policies(text, filename="p.yaml", environ=None, known_templates=TEMPLATES)


def told(lines: str, kind: str = "card_expiry", more: str = "", choose: str = CHOOSE) -> PolicyFile:
    return load(f"{HEAD}  told:\n    kind: {kind}\n{more}    timeline:\n      {lines}\n{choose}")


def refusal(lines: str, kind: str = "card_expiry", more: str = "", choose: str = CHOOSE) -> str:
    with pytest.raises(ConfigError) as refused:
        told(lines, kind, more, choose)
    return str(refused.value)


LINE = "- {before: 30d, do: email, template: card_expiring}"


def test_a_notice_has_a_kind_and_lines_before_its_moment() -> None:
    file = told("- {before: 30d, do: announce, name: soon, tell: {banner: card}}")
    policy = file.policies["told"]
    assert policy.kind is Kind.CARD_EXPIRY
    (line,) = policy.timeline
    assert (line.before, line.anchor, line.do) == (timedelta(days=30), None, StepKind.ANNOUNCE)
    assert describe(policy)[0].startswith("30 days before the card expires: tell the product")


@pytest.mark.parametrize(
    ("line", "where", "why"),
    [
        ("- {at: 3d, do: email, template: card_expiring}", ":11:10:", "nothing has failed"),
        ("- {after: suspend 1d, do: email, template: card_expiring}", ":11:10:", "nothing has"),
        ("- {before: suspend 1d, do: email, template: card_expiring}", ":11:18:", "not a duration"),
        ("- {before: 30d, do: retry}", ":11:27:", "so nothing charges; expected one of"),
        ("- {before: 30d, do: suspend}", ":11:27:", "so nothing takes anything away"),
        ("- {before: 30d, do: give_up}", ":11:27:", "give_up is no step of a card_expiry"),
        ("- {do: email, template: card_expiring}", ":11:9:", "`before` is missing"),
        ("- {before: 0h, do: email, template: card_expiring}", ":11:18:", "expected from 1h"),
        ("- {before: 366d, do: email, template: card_expiring}", ":11:18:", "to 365d before"),
        ("- {before: 3d, do: email}", ":11:9:", "`template` is missing"),
        ("- {before: 3d, do: email, template: nope}", ":11:43:", "there is no message"),
        (f"{LINE}\n      {LINE}", ":12:9:", "30d before twice; the first is in line 11"),
        (
            "- {before: 3d, do: email, template: card_expiring, when: {decline: funds}}",
            ":11:65:",
            "here nothing has failed",
        ),
    ],
)
def test_what_has_no_place_ahead_of_a_failure(line: str, where: str, why: str) -> None:
    said = refusal(line)
    assert where in said, said
    assert why in said, said


@pytest.mark.parametrize(
    "key",
    [
        *("grace: 3d", "window: 3d", "retries: ours", "access: {scope: customer}"),
        *("on_cancel: keep", "backup_methods: any", "holdout: 10%", "branches: {}"),
    ],
)
def test_what_only_a_recovery_has(key: str) -> None:
    said = refusal(LINE, more=f"    {key}\n")
    assert f"`{key.partition(':')[0]}` means nothing for a card_expiry policy" in said
    assert ":10:5:" in said


def test_an_unknown_kind() -> None:
    said = refusal(LINE, kind="expiry")
    assert "'expiry' is not a kind of case" in said


def test_before_alone_is_explained_where_it_is_not_meant() -> None:
    with pytest.raises(ConfigError, match="`before` alone is for policies with a `kind`"):
        load(HEAD + "      - {before: 3d, do: email, template: payment_failed}\n")


def test_a_file_needs_a_policy_and_a_line_for_failed_charges() -> None:
    said = refusal(LINE, choose="choose: [{policy: told}]\n")
    assert "no line of `choose` is for failed charges" in said
    alone = f"version: 1\npolicies:\n  told:\n    kind: renewal\n    timeline:\n      {LINE}\n"
    with pytest.raises(ConfigError, match="no policy is for failed charges"):
        load(alone)
    # The last line for failed charges matches all of them, wherever notices stand.
    said = refusal(
        LINE, choose="choose: [{when: {country: DE}, policy: standard}, {policy: told}]\n"
    )
    assert "must match everything" in said


def test_a_line_is_only_for_cases_of_its_policys_kind() -> None:
    choose = "choose: [{when: {interval: year}, policy: told}, {policy: standard}]\n"
    file = told(LINE, kind="renewal", choose=choose)
    about = Subject(source="stripe", amount=Money(1, "usd"), intervals=("year",))
    assert fitting_line(file.choices, about) == 1
    renewal = Subject(source="stripe", amount=None, intervals=("year",), kind=Kind.RENEWAL)
    assert fitting_line(file.choices, renewal) == 0
    monthly = Subject(source="stripe", amount=None, intervals=("month",), kind=Kind.RENEWAL)
    assert fitting_line(file.choices, monthly) is None


def test_how_far_ahead_is_looked() -> None:
    file = told(f"{LINE}\n      - {{before: 7d, do: email, template: renewal_notice}}")
    watch = watch_of(file.policies)
    assert watch.leads == {Kind.CARD_EXPIRY: timedelta(days=30)}
    assert watch.mark == file.policies["told"].version
    assert watch_of({}) == ({}, "")


def rules(file: PolicyFile) -> list[tuple[str, int]]:
    about = ("term-too-short", "expiry-told-late", "notice-waits-past-its-date")
    return [(one.rule, one.line) for one in lint(file) if one.rule in about]


YEARLY = "choose: [{when: {interval: year}, policy: told}, {policy: standard}]\n"
EITHER = "choose: [{when: {interval: [year, month]}, policy: told}, {policy: standard}]\n"
WAITS = "- {before: 7d, do: email, template: card_expiring, on: monday, within: 7d}"


@pytest.mark.parametrize(
    ("lines", "kind", "choose", "found"),
    [
        (LINE, "renewal", YEARLY, []),
        (LINE, "renewal", EITHER, [("term-too-short", 11)]),
        (LINE, "renewal", CHOOSE, [("term-too-short", 11)]),
        (LINE.replace("30d", "20d"), "renewal", EITHER, []),
        (LINE, "card_expiry", CHOOSE, []),
        (LINE.replace("30d", "2d"), "card_expiry", CHOOSE, [("expiry-told-late", 11)]),
        (WAITS, "card_expiry", CHOOSE, [("notice-waits-past-its-date", 11)]),
    ],
)
def test_what_the_linter_says(
    lines: str, kind: str, choose: str, found: list[tuple[str, int]]
) -> None:
    assert rules(told(lines, kind=kind, choose=choose)) == found


def test_the_linter_speaks_of_failed_charges_only_where_there_are_any() -> None:
    found = lint(told(LINE))
    assert [one for one in found if one.path.startswith("policies.told")] == []


def test_the_built_in_file_gives_notices_without_its_marks() -> None:
    """As it says of itself; the demo has it so."""
    names = set(re.findall(r"template: (\w+)", told_ahead()))
    loaded = load_policies(told_ahead(), filename="p", environ=None, known_templates=names)
    assert {policy.kind for policy in loaded.policies.values()} == set(Kind)
    assert [choice.policy for choice in loaded.choices] == ["expiry", "annual", "standard"]
