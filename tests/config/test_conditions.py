"""Conditions, branches, segments and the value of a customer as they are written, and refused."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest

from dunning.config.sentences import describe, describe_branches, describe_terms
from dunning.core.choosing import Has, Is, OneOf, When, Within
from dunning.core.money import Money
from dunning.core.worth import Term, Value
from tests.config.files import heads, load

FILE = """\
version: 1
value:
  expected_years: {metadata: years, default: 2.5}
  acquisition_cost: 120 USD
  margin: 80%
  lifetime_revenue: {metadata: ltr}
segments:
  vip: {tag: vip}
  worthy: {lifetime_value: {at_least: 5000 USD}}
policies:
  p:
    grace: 14d
    window: 28d
    timeline:
      - {at: 1d, do: retry, when: {decline: [funds, unknown], amount: {at_least: 20 USD}}}
      - {at: 3d, do: retry, name: second}
      - {at: 9d, do: restrict, when: {segment: worthy, clicked: false}}
      - {at: 14d, do: suspend}
      - {at: 28d, do: give_up}
    branches:
      hard_decline:
        - {at: 0h, do: email, template: payment_failed}
        - {before: suspend 2d, do: email, template: final_notice}
        - {at: 20d, do: give_up, subscription: cancel}
      funds:
        - {at: 2d, do: retry, when: {tenure: {below: 90d}, metadata: {tier: gold}}}
choose:
  - {when: {segment: vip, interval: [year, 2 weeks], by_hand: true}, policy: p}
  - {policy: p}
"""


def test_a_whole_file() -> None:
    file = load(FILE)
    policy = file.policies["p"]
    first, _, third, *_ = policy.timeline
    assert first.when == When(
        (OneOf("decline", ("funds", "unknown")), Within("amount", Money(2_000, "usd"), None))
    )
    assert third.when == When((OneOf("segment", ("worthy",)), Is("clicked", so=False)))
    assert [name for name, _ in policy.branches] == ["hard_decline", "funds"]
    ((retry,),) = [lines for name, lines in policy.branches if name == "funds"]
    assert retry.when == When(
        (Within("tenure", None, timedelta(days=90)), Has("metadata", (("tier", "gold"),)))
    )
    assert file.choices[0].when == When(
        (OneOf("segment", ("vip",)), OneOf("interval", ("year", "2 weeks")), Is("by_hand", so=True))
    )
    value = Value(
        expected_years=Term(given=Fraction(5, 2), metadata="years"),
        acquisition_cost=Term(given=Money(12_000, "usd")),
        margin=Term(given=Fraction(4, 5)),
        lifetime_revenue="ltr",
    )
    assert file.terms.value == value
    # A policy keeps the words that its own lines use, and no others.
    assert policy.terms.value == value
    assert [name for name, _ in policy.terms.segments] == ["worthy"]


def test_another_segment_than_a_policy_uses_is_no_change_of_it() -> None:
    other = load(FILE.replace("vip: {tag: vip}", "vip: {tag: staff}"))
    assert other.policies["p"].version == load(FILE).policies["p"].version
    changed = load(FILE.replace("5000 USD", "6000 USD"))
    assert changed.policies["p"].version != load(FILE).policies["p"].version


def test_in_sentences() -> None:
    file = load(FILE)
    policy = file.policies["p"]
    assert describe(policy)[0] == (
        "1 day after the first failure: try the charge again, only if the meaning of the last"
        " decline is funds or unknown and the amount is at least 20.00 USD."
    )
    assert describe_branches(policy)["hard_decline"] == [
        "When the charge first fails: write to the customer (payment_failed).",
        (
            "2 days before suspension, 12 days after the first failure: write to the customer"
            " (final_notice)."
        ),
        (
            "20 days after the first failure: give up: cancel the subscription and leave the"
            " invoice open."
        ),
    ]
    assert describe_terms(file.terms) == [
        (
            "Lifetime value: the yearly revenue x (the customer's metadata years, else 5/2) years x"
            " 80%, less 120.00 USD."
        ),
        "Lifetime revenue: the customer's metadata ltr, else the invoices seen paid.",
        "Segment vip: a tag is vip.",
        "Segment worthy: the lifetime value is at least 5,000.00 USD.",
    ]


WRONG: list[tuple[str, str, str]] = [
    ("decline: [funds, unknown]", "decline: fonds",
     ("15:45: policies.p.timeline.0.when.decline: 'fonds' is not a meaning of a decline; expected"
     " one of authentication, bank_debit, data_to_fix, funds, hard_decline, issuer_unavailable,"
     " unknown. Did you mean 'funds'?")),
    ("decline: [funds, unknown]", "declne: funds",
     "15:36: policies.p.timeline.0.when.declne: 'declne' is not a condition; expected one of"),
    ("{at_least: 20 USD}", "{at_least: 20 USD, below: 10 USD}",
     "15:71: policies.p.timeline.0.when.amount: nothing is at least 20.00 USD and below 10.00 USD"),
    ("{at_least: 20 USD}", "{}",
     "15:71: policies.p.timeline.0.when.amount: expected at_least, below or both, such as"),
    ("when: {segment: worthy, clicked: false}", "when: {}",
     "17:38: policies.p.timeline.2.when: no condition; expected one such as {decline: funds}"),
    ("clicked: false", "clicked: nein",
     "17:65: policies.p.timeline.2.when.clicked: 'nein' is not true or false; expected one of"),
    ("segment: worthy", "segment: wrthy",
     ("17:48: policies.p.timeline.2.when.segment: there is no segment 'wrthy'; expected one of vip,"
     " worthy. Did you mean 'worthy'?")),
    ("{at: 28d, do: give_up}", "{at: 28d, do: give_up, when: {tag: vip}}",
     "19:32: policies.p.timeline.4.when: giving up has no `when`: every case comes to an end"),
    ("      hard_decline:", "      hard_declines:",
     ("21:7: policies.p.branches.hard_declines: 'hard_declines' is not what a decline can mean;"
     " expected one of")),
    ("before: suspend 2d", "before: second 1d",
     "23:20: policies.p.branches.hard_decline.1.before: no step has the `name` 'second'; expected"),
    ("{at: 20d, do: give_up, subscription: cancel}", "{at: 29d, do: give_up}",
     "24:16: policies.p.branches.hard_decline.2.at: 29d is after the window of 28d"),
    ("{at: 20d, do: give_up, subscription: cancel}", "{at: 9d, do: suspend}",
     "24:16: policies.p.branches.hard_decline.2.at: suspension at 9d is before the grace of 14d"),
    ("tenure: {below: 90d}", "tenure: {below: 90 days}",
     "26:54: policies.p.branches.funds.0.when.tenure.below: '90 days' is not a duration"),
    ("by_hand: true", "clicked: true",
     "28:54: choose.0.when.clicked: `clicked` is not known yet when a policy is chosen; only the"),
    ("[year, 2 weeks]", "yearly",
     "28:37: choose.0.when.interval: 'yearly' is not a billing interval; expected one of day,"),
    ("vip: {tag: vip}", "vip: {}",
     "8:8: segments.vip: without a condition it is everybody; expected one such as {tag: vip}"),
    ("vip: {tag: vip}", "vip: {segment: worthy}",
     "8:9: segments.vip.segment: `segment` means nothing here; expected one of"),
    ("vip: {tag: vip}", "vip: {decline: funds}",
     "8:9: segments.vip.decline: `decline` is not known yet when a policy is chosen; only the"),
    ("default: 2.5", "default: many",
     "3:46: value.expected_years.default: 'many' is not a number of years; expected a number of"),
    ("margin: 80%", "margin: 130%", "5:11: value.margin: expected more than 0% and at most 100%"),
    ("acquisition_cost: 120 USD", "acquisition_cost: 120",
     "4:21: value.acquisition_cost: '120' is not an amount"),
    ("lifetime_revenue: {metadata: ltr}", "lifetime_revenue: 5 USD",
     "6:21: value.lifetime_revenue: expected keys and values with metadata; found '5 USD'"),
    ("  expected_years: {metadata: years, default: 2.5}\n", "",
     "8:28: segments.worthy.lifetime_value: `lifetime_value` needs `value` with `expected_years`"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "instead", "problem"), WRONG)
def test_what_is_wrong_is_told_with_its_place(line: str, instead: str, problem: str) -> None:
    assert line in FILE
    told = heads(FILE.replace(line, instead, 1))
    assert [head for head in told if head.startswith(problem)], told
