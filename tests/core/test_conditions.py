"""Conditions hold or say why not; what a customer is worth, in whole minor units."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.around import Around
from dunning.core.case import advance
from dunning.core.choosing import (
    Condition,
    Has,
    Is,
    OneOf,
    Subject,
    Terms,
    When,
    Within,
    holds,
    words,
)
from dunning.core.events import AttemptStatus, BillingEvent
from dunning.core.facts import Case
from dunning.core.money import Money
from dunning.core.plan import plan
from dunning.core.status import status
from dunning.core.subject import subject_at, subject_of
from dunning.core.visits import CARD
from dunning.core.worth import Term, Value, lifetime_value
from tests import builders as b
from tests import happenings as h
from tests.policies import policy, rung

USD = "usd"
FACTS = Subject(
    source="stripe",
    amount=Money(4_900, USD),
    country="DE",
    products=("prod_1", "price_1"),
    metadata=(("tier", "gold"),),
    customer_metadata=(("tier", "iron"), ("team", "blue")),
    tags=("vip", "beta"),
    method="card",
    tenure=timedelta(days=90),
    subscription=True,
    clicked=False,
    declines=("funds", "bank_debit"),
    open_invoices=2,
)
UNKNOWN = Subject(source="stripe", amount=Money(4_900, USD))

# A condition, and why it does not hold of FACTS (None: it does).
CASES: list[tuple[Condition, str | None]] = [
    (OneOf("country", ("AT", "DE")), None),
    (OneOf("country", ("AT", "CH")), "the country is DE, not AT or CH"),
    (OneOf("currency", ("eur",)), "the currency is USD, not EUR"),
    (OneOf("tag", ("beta",)), None),
    (OneOf("tag", ("staff",)), "a tag is vip and beta, not staff"),
    (OneOf("decline", ("bank_debit",)), None),
    (OneOf("plan", ("Team",)), "the plan is not known; wanted is Team"),
    (Within("amount", Money(4_900, USD), Money(5_000, USD)), None),
    (Within("amount", Money(4_901, USD)), "the amount is 49.00 USD, not at least 49.01 USD"),
    (Within("amount", None, Money(4_900, USD)), "the amount is 49.00 USD, not below 49.00 USD"),
    (Within("amount", Money(1, "eur")), "the amount is 49.00 USD, not at least 0.01 EUR"),
    (Within("tenure", timedelta(days=90)), None),
    (
        Within("tenure", None, timedelta(days=90)),
        "the time as a customer is 90 days, not below 90 days",
    ),
    (Within("open_invoices", 2, 3), None),
    (
        Within("open_invoices", 3),
        "the number of the customer's unpaid invoices is 2, not at least 3",
    ),
    (Has("metadata", (("team", "blue"), ("tier", "gold"))), None),
    (Has("metadata", (("tier", "iron"),)), "the metadata tier is gold, not iron"),
    (Has("metadata", (("cat", "tom"),)), "the metadata has no cat; wanted is tom"),
    (Is("subscription", so=True), None),
    (Is("clicked", so=True), "the customer has followed no link of ours"),
    (Is("by_hand", so=True), "it is not known whether the customer pays by hand"),
]


@pytest.mark.parametrize(("condition", "why"), CASES)
def test_a_condition_holds_or_says_the_fact(condition: Condition, why: str | None) -> None:
    assert holds(When((condition,)), FACTS) == why
    assert words(When((condition,)))


@pytest.mark.parametrize("condition", [c for c, why in CASES if why is None])
def test_what_is_not_known_never_holds(condition: Condition) -> None:
    known = {"currency", "amount", "source"}
    assert (
        condition.key in known
        or "not known" in str(holds(When((condition,)), UNKNOWN))
        or (condition.key == "metadata")
    )
    assert condition.key in known or holds(When((condition,)), UNKNOWN) is not None


def test_all_must_hold_and_none_always_does() -> None:
    country, tag = OneOf("country", ("DE",)), OneOf("tag", ("staff",))
    assert holds(When(), UNKNOWN) is None
    assert holds(When((country, tag)), FACTS) == holds(When((tag,)), FACTS)


def test_a_segment_says_why_somebody_is_not_in_it() -> None:
    terms = Terms(segments=(("at", When((OneOf("country", ("AT",)),))), ("de", When())))
    assert holds(When((OneOf("segment", ("at", "de")),)), FACTS, terms) is None
    why = holds(When((OneOf("segment", ("at",)),)), FACTS, terms)
    assert why == "not in the segment at: the country is DE, not AT"


# --- what a customer is worth ----------------------------------------------------------------

YEARLY = Money(10_000, USD)
VALUE = Value(
    expected_years=Term(given=Fraction(3)),
    acquisition_cost=Term(given=Money(12_000, USD)),
    margin=Term(given=Fraction(4, 5)),
)


@pytest.mark.parametrize(
    ("value", "metadata", "worth"),
    [
        (VALUE, (), Money(12_000, USD)),
        (replace(VALUE, margin=None), (), Money(18_000, USD)),
        (replace(VALUE, acquisition_cost=None), (), Money(24_000, USD)),
        (replace(VALUE, margin=Term(given=Fraction(1, 3))), (), Money(-2_000, USD)),
        (replace(VALUE, margin=Term(given=Fraction(1, 7))), (), Money(-7_715, USD)),  # down
        (replace(VALUE, expected_years=Term(metadata="y")), (("y", "2.5"),), Money(8_000, USD)),
        (
            replace(VALUE, expected_years=Term(metadata="y", given=Fraction(1))),
            (),
            Money(-4_000, USD),
        ),
        (replace(VALUE, margin=Term(metadata="m")), (("m", "50%"),), Money(3_000, USD)),
        (
            replace(VALUE, acquisition_cost=Term(metadata="cac")),
            (("cac", "40"),),
            Money(20_000, USD),
        ),
        (
            replace(VALUE, expected_years=Term(metadata="y")),
            (),
            "the customer's metadata has no y, and `expected_years` no default",
        ),
        (
            replace(VALUE, expected_years=Term(metadata="y", given=Fraction(1))),
            (("y", "some"),),
            "the customer's metadata y is 'some', which is no number",
        ),
        (
            replace(VALUE, acquisition_cost=Term(given=Money(1, "eur"))),
            (),
            "`acquisition_cost` is in EUR, the invoice in USD",
        ),
        (None, (), "the file has no `value` with `expected_years`"),
    ],
)
def test_the_lifetime_value(
    value: Value | None, metadata: tuple[tuple[str, str], ...], worth: Money | str
) -> None:
    assert lifetime_value(value, YEARLY, metadata, USD) == worth


def test_without_a_price_nobody_knows_the_value_and_the_reason_says_so() -> None:
    when = When((Within("lifetime_value", Money(1, USD)),))
    assert holds(when, FACTS, Terms(value=VALUE)) == (
        "the lifetime value is not known (the yearly revenue of the subscription is not known);"
        " wanted is at least 0.01 USD"
    )


@given(
    yearly=st.integers(0, 10**12),
    years=st.fractions(0, 100),
    margin=st.fractions(0, 1),
    cost=st.integers(0, 10**12),
)
def test_the_value_is_exact_to_the_minor_unit(
    yearly: int, years: Fraction, margin: Fraction, cost: int
) -> None:
    value = Value(
        expected_years=Term(given=years),
        acquisition_cost=Term(given=Money(cost, USD)),
        margin=Term(given=margin),
    )
    worth = lifetime_value(value, Money(yearly, USD), (), USD)
    assert isinstance(worth, Money)
    assert 0 <= yearly * years * margin - cost - worth.minor < 1


# --- what a case knows -----------------------------------------------------------------------


def test_what_is_heard_of_customer_and_subscription_is_known_of_the_case() -> None:
    case = b.case_of(
        b.failed(),
        h.customer(since=b.days(-60), metadata=(("tags", "vip, beta"), ("tier", "iron"))),
        h.subscription(
            plans=("Team",),
            intervals=("month",),
            yearly=58_800,
            currency=USD,
            started_at=b.days(-90),
            metadata=(("tier", "gold"), ("tags", "staff")),
        ),
        h.subscription(name="sub_other", plans=("Solo",), metadata=(("tier", "tin"),)),
    )
    seen = subject_of(case, status(case))
    assert (seen.plans, seen.intervals, seen.yearly) == (
        ("Team",),
        ("month",),
        Money(58_800, USD),
    )
    assert (seen.metadata, seen.tags) == (
        (("tags", "staff"), ("tier", "gold")),
        ("staff", "vip", "beta"),
    )
    assert seen.tenure == timedelta(days=90)


def test_metadata_that_was_taken_out_is_gone() -> None:
    case = b.case_of(
        b.failed(),
        h.customer(b.days(1), metadata=(("tier", "gold"),)),
        h.customer(b.days(3)),  # a message that does not say
    )
    assert subject_of(case, status(case)).customer_metadata == (("tier", "gold"),)
    case = b.case_of(
        b.failed(),
        h.customer(b.days(2), metadata=()),
        *[h.customer(b.days(1), metadata=(("tier", "gold"),))],
    )
    assert subject_of(case, status(case)).customer_metadata == ()


def test_the_way_to_pay_is_the_newest_one() -> None:
    told: list[BillingEvent] = [b.failed(), b.declined("insufficient_funds", b.hours(1))]
    case = b.case_of(*told)
    assert subject_of(case, status(case)).method == "card"
    case = b.case_of(*told, replace(h.new_card(b.days(1)), method_type="sepa_debit"))
    assert subject_of(case, status(case)).method == "sepa_debit"


def test_how_a_case_stands() -> None:
    tried = b.attempt(AttemptStatus.ACTION_NEEDED, b.days(1))
    case = b.case_of(b.failed(), b.declined("do_not_honor"), b.attempted(tried), h.pressed())
    seen = subject_at(case, policy(), status(case), Around(open_invoices=3))
    assert (seen.outcome, seen.advice) == ("action_needed", "authenticate")
    assert (seen.declines, seen.clicked, seen.open_invoices) == (("authentication",), True, 3)


def test_a_click_is_a_button_or_as_it_was_before_there_was_a_page_a_link() -> None:
    def clicked(case: Case) -> bool | None:
        return subject_at(case, policy(), status(case), Around()).clicked

    case = b.case_of(b.failed())
    assert clicked(case) is False
    assert clicked(advance(case, h.page_opened())) is False
    assert clicked(advance(case, h.pressed(button=CARD))) is True
    assert clicked(replace(case, link_opened_at=b.T0)) is True


def test_a_skipped_line_says_the_condition_and_the_fact_and_is_judged_anew() -> None:
    when = When((Within("open_invoices", 2),))
    by = policy(rung("retry", 1, when=when), rung("suspend", 14), rung("give_up", 28))
    case = b.case_of(b.failed())
    for count, why in (
        (1, "its condition does not hold: the number of the customer's unpaid invoices is 1"),
        (2, None),
    ):
        steps = plan(case, by, b.days(0), around=Around(open_invoices=count)).steps
        (skip,) = [step.skip for step in steps if step.key.endswith("/retry:1")]
        assert (skip or "").startswith(why or "")
        assert (skip is None) == (why is None)


def test_a_line_that_is_not_done_neither_bars_a_door_nor_drops_another() -> None:
    never = When((OneOf("country", ("XX",)),))
    by = policy(
        rung("retry", 1),
        rung("retry", 3, when=never),
        rung("suspend", 14, when=never),
        rung("give_up", 28),
        send_between=None,
    )
    due = plan(b.case_of(b.failed()), by, b.days(5)).due(b.days(5))
    assert {step.key.rpartition("/")[2]: step.skip is None for step in due} == {
        "reconcile:open": True,
        "retry:1": True,
        "retry:2": False,
    }
    late = plan(b.case_of(b.failed()), by, b.days(30))
    assert [s.skip is None for s in late.steps if s.key.endswith("suspend:1")] == [False]
