"""A policy is plain data: written, read back, and named by its content. Choosing one."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import time, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given

from dunning.core.choosing import (
    Choice,
    Has,
    Is,
    OneOf,
    Subject,
    Terms,
    When,
    Within,
    choose,
    matches,
)
from dunning.core.days import Day, Quiet
from dunning.core.decline_table import Advice, Override
from dunning.core.events import OnCancel, StepKind
from dunning.core.holdout import Holdout
from dunning.core.limits import built_in
from dunning.core.money import Money
from dunning.core.policy import (
    Collection,
    Invoice,
    Policy,
    Reach,
    Retries,
    Rung,
    Subscription,
    from_data,
    to_data,
)
from dunning.core.words import Kind
from dunning.core.worth import Term, Value
from tests.core.walking import policies
from tests.policies import STANDARD, rung


@given(policy=policies())
def test_a_policy_is_read_back_as_it_was_written(policy: Policy) -> None:
    again = from_data(json.loads(json.dumps(to_data(policy))))
    assert again == policy
    assert again.version == policy.version


LINE = Rung(
    do=StepKind.EMAIL,
    after=timedelta(days=1),
    template="reminder",
    clock=time(8),
    on=(Day.PAYDAY,),
    collection=Collection.VOID,
    subscription=Subscription.CANCEL,
    invoice=Invoice.VOID,
)
WHEN = When(
    (
        OneOf("decline", ("funds", "unknown")),
        Within("amount", Money(2_000, "usd"), None),
        Within("tenure", None, timedelta(days=90)),
        Within("open_invoices", 2, 5),
        Has("metadata", (("tier", "gold"),)),
        Is("clicked", so=False),
    )
)
VALUE = Value(
    expected_years=Term(given=Fraction(5, 2), metadata="years"),
    acquisition_cost=Term(given=Money(12_000, "usd")),
    margin=Term(given=Fraction(4, 5)),
    lifetime_revenue="ltr",
)
OTHER_LINE: dict[str, Any] = {
    "do": StepKind.RETRY,
    "name": "first",
    "past": timedelta(hours=2),
    "patience": timedelta(days=5),
    "jitter": timedelta(minutes=30),
    "between": (time(9), time(17)),
    "after": timedelta(days=1, minutes=1),
    "before": timedelta(hours=1),
    "anchor": StepKind.GIVE_UP,
    "template": "final_notice",
    "clock": time(8, 1),
    "on": (Day.PAYDAY, 25, Day.LAST_DAY),
    "collection": Collection.GO_ON,
    "subscription": Subscription.KEEP,
    "invoice": Invoice.KEEP,
    "tell": (("banner", "red"), ("exports", "off")),
    "when": WHEN,
}
OTHER: dict[str, Any] = {
    "name": "patient",
    "grace": timedelta(days=15),
    "window": timedelta(days=29),
    "timeline": (*STANDARD.timeline, LINE),
    "timezone": "Asia/Tokyo",
    "retries": Retries.SIGNAL,
    "send_between": (time(9), time(18, 1)),
    "quiet_days": (Quiet.SUNDAY, Quiet.HOLIDAY),
    "paydays": (25,),
    "locale": "de",
    "holdout": Holdout(share=1_000, policy="gentle", salt="2026"),
    "kind": Kind.RENEWAL,
    "access": Reach.CUSTOMER,
    "on_cancel": OnCancel.VOID,
    "backup_methods": ("card", "sepa_debit"),
    "backup_after_last_retry": True,
    "limits": (replace(built_in()[0], count=5), replace(built_in()[1], name="ours", note="")),
    "declines": (
        Override(
            code="do_not_honor",
            advice=Advice.WAIT,
            why="our acquirer says so",
            wait=timedelta(days=2),
            source="mail of 2026-03-01",
        ),
        Override(code="14", kind="visa", advice=Advice.STOP, why="as it says", category="x"),
    ),
    "branches": (("funds", (LINE,)), ("unknown", ())),
    "terms": Terms(value=VALUE, segments=(("vip", WHEN),)),
    "promise_within": timedelta(days=3),
    "promise_most": 2,
}


@pytest.mark.parametrize("field", [field.name for field in fields(Rung)])
def test_every_field_of_a_line_is_kept_and_counts_for_the_version(field: str) -> None:
    one = replace(STANDARD, timeline=(LINE,))
    other = replace(one, timeline=(replace(LINE, **{field: OTHER_LINE[field]}),))
    assert other.version != one.version
    assert from_data(to_data(other)) == other


@pytest.mark.parametrize("field", [field.name for field in fields(Policy) if field.compare])
def test_every_field_of_a_policy_is_kept_and_counts_for_the_version(field: str) -> None:
    other = replace(STANDARD, **{field: OTHER[field]})
    assert other.version != STANDARD.version
    assert from_data(to_data(other)) == other


def test_the_order_of_lines_is_part_of_a_policy() -> None:
    turned = replace(STANDARD, timeline=tuple(reversed(STANDARD.timeline)))
    assert turned.version != STANDARD.version


def test_the_version_of_a_policy_never_changes_by_itself() -> None:
    # Cases in databases are pinned to it: a new field needs a default that is not written.
    plain = Policy(
        name="plain",
        grace=timedelta(days=1),
        window=timedelta(days=2),
        timeline=(rung("retry", 1), rung("give_up", 2)),
    )
    assert plain.version == "ce23afc4153ce0af"


# --- choosing ----------------------------------------------------------------------------------

SUBJECT = Subject(
    source="stripe",
    amount=Money(50_000, "usd"),
    country="de",
    products=("price_1", "prod_1"),
    metadata=(("tier", "gold"), ("x", "y")),
)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (When(), True),
        (When((Within("amount", Money(50_000, "usd"), None),)), True),
        (When((Within("amount", Money(50_001, "usd"), None),)), False),
        (When((Within("amount", None, Money(50_000, "usd")),)), False),
        (When((Within("amount", None, Money(50_001, "usd")),)), True),
        (When((Within("amount", Money(1, "eur"), None),)), False),
        (When((Within("amount", None, Money(10**9, "eur")),)), False),
        (When((OneOf("currency", ("eur", "usd")),)), True),
        (When((OneOf("currency", ("eur",)),)), False),
        (When((OneOf("country", ("DE", "AT")),)), True),
        (When((OneOf("country", ("AT",)),)), False),
        (When((OneOf("product", ("prod_1",)),)), True),
        (When((OneOf("product", ("prod_2",)),)), False),
        (When((OneOf("source", ("stripe",)),)), True),
        (When((OneOf("source", ("stripe-eu",)),)), False),
        (When((Has("metadata", (("tier", "gold"),)),)), True),
        (When((Has("metadata", (("tier", "gold"), ("x", "z"))),)), False),
        (When((OneOf("currency", ("usd",)), OneOf("country", ("AT",)))), False),
    ],
)
def test_all_conditions_of_a_line_must_hold(when: When, holds: bool) -> None:
    assert matches(when, SUBJECT) is holds


def test_what_is_not_known_of_an_invoice_meets_no_condition() -> None:
    bare = Subject(source="stripe", amount=Money(1, "usd"))
    for when in (
        When((OneOf("country", ("DE",)),)),
        When((OneOf("product", ("p",)),)),
        When((Has("metadata", (("a", "b"),)),)),
    ):
        assert not matches(when, bare)


def test_the_first_line_that_fits_names_the_policy() -> None:
    lines = (
        Choice(policy="patient", when=When((Within("amount", Money(50_000, "usd"), None),))),
        Choice(policy="strict", when=When((OneOf("currency", ("usd",)),))),
        Choice(policy="standard"),
    )
    assert choose(lines, SUBJECT) == "patient"
    assert choose(lines, replace(SUBJECT, amount=Money(49_999, "usd"))) == "strict"
    assert choose(lines, replace(SUBJECT, amount=Money(99_999, "eur"))) == "standard"
    with pytest.raises(ValueError, match="no line"):
        choose(lines[:1], replace(SUBJECT, amount=Money(1, "usd")))
