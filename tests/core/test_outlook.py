"""Which card will really be charged for which renewal, when, and how much."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.ahead import Outlook, outlook_from, outlook_to
from dunning.core.notices import expires_at
from dunning.core.outlook import Person, lies_ahead, renewal_from
from tests.core.ahead import DAY, LASTING, MONTHLY, NOW, VISA, YEARLY, expiring, person, sub


def test_the_month_of_a_card_ends_where_its_customer_lives() -> None:
    assert expires_at(2026, 4, ZoneInfo("UTC")) == datetime(2026, 5, 1, tzinfo=UTC)
    assert expires_at(2026, 12, ZoneInfo("UTC")) == datetime(2027, 1, 1, tzinfo=UTC)
    berlin = expires_at(2026, 4, ZoneInfo("Europe/Berlin"))
    assert berlin == datetime(2026, 4, 30, 22, tzinfo=UTC)


def test_a_card_is_told_of_with_the_first_renewal_after_its_last_day() -> None:
    told = expiring(person(sub()))
    assert told is not None
    assert told.renews_at == datetime(2026, 5, 2, 10, tzinfo=UTC)
    assert (told.exact, told.amount, told.last4) == (False, 4900, "4242")


CARDS = [
    (
        "its own card comes first",
        person(sub(replace(MONTHLY, method="pm_2")), cards=(VISA, LASTING)),
        "pm_2",
    ),
    ("then the customer's default", person(sub(), cards=(VISA, LASTING), default="pm_2"), "pm_2"),
    ("then their only one", person(sub(), default=None), "pm_1"),
    ("of two nobody knows", person(sub(), cards=(VISA, LASTING), default=None), None),
    ("a default nobody showed us", person(sub(), default="pm_9"), None),
    ("a card that is gone", person(sub(), cards=(replace(VISA, gone=True),)), None),
    ("a bank account", person(sub(), cards=(replace(VISA, type="sepa_debit"),)), None),
    ("paid by hand", person(sub(replace(MONTHLY, automatic=False))), None),
    ("paused", person(sub(replace(MONTHLY, paused=True))), None),
    ("ended", person(sub(ended=True)), None),
    ("given up on", person(sub(status="unpaid")), None),
    ("deleted", person(sub(), deleted=True), None),
    ("ends by itself before it", person(sub(replace(MONTHLY, cancels_at=MONTHLY.renews_at))), None),
    ("ends by itself after it", person(sub(replace(MONTHLY, cancels_at=NOW + 90 * DAY))), "pm_1"),
    ("no term is known", person(sub(replace(MONTHLY, term=None))), None),
]


@pytest.mark.parametrize(("who", "card"), [row[1:] for row in CARDS], ids=[row[0] for row in CARDS])
def test_the_card_that_will_really_be_charged(who: Person, card: str | None) -> None:
    told = expiring(who)
    assert (told.method if told else None) == card


def test_a_card_that_has_expired_is_no_proof_of_anything() -> None:
    assert expiring(person(sub()), datetime(2026, 5, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("term", "first", "after", "expected"),
    [
        ("month", "2026-01-31", "2026-02-01", "2026-02-28"),
        ("month", "2026-01-31", "2026-03-01", "2026-03-31"),
        ("quarter", "2026-01-15", "2026-07-15", "2026-07-15"),
        ("half_year", "2026-01-15", "2026-07-16", "2027-01-15"),
        ("year", "2024-02-29", "2025-03-01", "2026-02-28"),
        ("2 years", "2024-02-29", "2025-03-01", "2026-02-28"),
        ("2 weeks", "2026-01-01", "2026-01-16", "2026-01-29"),
        ("week", "2026-01-01", "2026-01-08", "2026-01-08"),
        ("day", "2026-01-01", "2026-02-01", "2026-02-01"),
        ("3 months", "2026-01-01", "2030-12-02", "2031-01-01"),
    ],
)
def test_renewals_are_reckoned_on(term: str, first: str, after: str, expected: str) -> None:
    def at(day: str) -> datetime:
        return datetime.fromisoformat(day).replace(tzinfo=UTC)

    outlook = Outlook(renews_at=at(first), term=term, anchor_day=at(first).day)
    assert renewal_from(outlook, at(after)) == at(expected)


@given(
    st.integers(0, 3650),
    st.integers(-60, 4000),
    st.sampled_from(
        ["day", "week", "month", "quarter", "half_year", "year", "3 weeks", "5 months"]
    ),
)
def test_the_next_renewal_is_the_first_after_and_none_is_left_out(
    day: int, gap: int, term: str
) -> None:
    first = datetime(2020, 1, 1, 12, tzinfo=UTC) + day * DAY
    outlook = Outlook(renews_at=first, term=term, anchor_day=first.day)
    after = first + gap * DAY
    found = renewal_from(outlook, after)
    assert found is not None
    # One after the other, each the first after the one before.
    walked = first
    while walked < after:
        following = renewal_from(outlook, walked + timedelta(hours=1))
        assert following is not None
        assert following > walked
        walked = following
    assert found == walked


@pytest.mark.parametrize(
    ("upcoming", "amount"),
    [
        (None, 4900),
        ((YEARLY.renews_at, 5100, "usd"), 5100),  # with its taxes, less its discounts
        ((NOW, 5100, "usd"), 4900),  # of the term before
    ],
)
def test_how_much_a_renewal_is(upcoming: Any, amount: int) -> None:
    (told,) = lies_ahead(person(sub(YEARLY, upcoming=upcoming), cards=()), NOW).values()
    assert (told.ahead.amount, told.ahead.currency) == (amount, "usd")


def test_an_amount_that_nobody_knows_is_not_claimed() -> None:
    who = person(sub(replace(YEARLY, price=None)), cards=())
    (told,) = lies_ahead(who, NOW).values()
    assert told.ahead.amount is None


def test_an_outlook_is_read_back() -> None:
    for outlook in (Outlook(), MONTHLY, YEARLY, replace(MONTHLY, cancels_at=NOW, paused=True)):
        assert outlook_from(outlook_to(outlook)) == outlook
