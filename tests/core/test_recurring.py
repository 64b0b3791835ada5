"""What a subscription brings in a month, and where that stands while its invoices are unpaid."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.entries import Account, books
from dunning.core.events import BillingEvent, OnCancel
from dunning.core.facts import Terms
from dunning.core.monthly import KEPT, Monthly, a_month, as_of, merged, needed, newest, rounded
from dunning.core.recurring import TURNS, RecurringAccount, turns
from dunning.core.status import status
from tests import builders as b
from tests import happenings as h
from tests.builders import T0, days
from tests.core.lives import lives, part, shuffled

AT_RISK, SAVED, LOST = RecurringAccount.AT_RISK, RecurringAccount.SAVED, RecurringAccount.LOST
RUNNING, WITHDRAWN = RecurringAccount.RUNNING, RecurringAccount.WITHDRAWN
NAME = b.SUBSCRIPTION


def priced(amount: int | None, at: datetime = T0 - timedelta(days=5)) -> BillingEvent:
    return h.subscription(at, recurring=amount, currency=b.USD)


def told(*events: BillingEvent, on_cancel: OnCancel = OnCancel.CLOSE) -> list[tuple[str, str, int]]:
    case = b.fold(replace(b.empty(), terms=Terms(on_cancel=on_cancel)), events)
    return [(one.debit, one.credit, one.amount) for one in turns(case, books(case))]


OPENED = (RUNNING, AT_RISK, 1000)


@pytest.mark.parametrize(
    ("amount", "unit", "every", "exact"),
    [
        (1000, "month", 1, Fraction(1000)),
        (3000, "month", 3, Fraction(1000)),
        (12_000, "year", 1, Fraction(1000)),
        (24_000, "year", 2, Fraction(1000)),
        (1200, "week", 1, Fraction(5200)),
        (1200, "week", 2, Fraction(2600)),
        (12, "day", 1, Fraction(365)),
        (12, "fortnight", 1, None),
        (12, "month", 0, None),
    ],
)
def test_every_interval_is_brought_to_a_month(
    amount: int, unit: str, every: int, exact: Fraction | None
) -> None:
    assert a_month(amount, unit, every) == exact


def test_halves_are_rounded_to_even_once_for_the_sum() -> None:
    assert [rounded(Fraction(n, 2)) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]
    # Two yearly items of 30 and 36 are 2.5 and 3 a month: 5.5, not 2 + 3.
    items = [a_month(30, "year"), a_month(36, "year")]
    assert rounded(sum((item for item in items if item), Fraction())) == 6


@pytest.mark.parametrize(
    ("after", "ends"),
    [
        ((b.paid(days(3)),), [(AT_RISK, SAVED, 1000)]),
        ((h.step("give_up:1", days(20)),), [(AT_RISK, LOST, 1000)]),
        ((b.voided(days(3)),), [(AT_RISK, WITHDRAWN, 1000)]),
        ((h.ended(days(3)),), [(AT_RISK, WITHDRAWN, 1000)]),
        ((h.ended(days(3), reason="payment_failed"),), [(AT_RISK, LOST, 1000)]),
        ((h.ended(days(3), by_us=True),), [(AT_RISK, LOST, 1000)]),
        # Paid late, and the subscription still ran; then it had ended before, and after.
        (
            (h.step("give_up:1", days(20)), b.paid(days(25))),
            [(AT_RISK, LOST, 1000), (LOST, SAVED, 1000)],
        ),
        (
            (h.step("give_up:1", days(20)), h.ended(days(21)), b.paid(days(25))),
            [(AT_RISK, LOST, 1000)],
        ),
        (
            (h.step("give_up:1", days(20)), b.paid(days(25)), h.ended(days(26))),
            [(AT_RISK, LOST, 1000), (LOST, SAVED, 1000)],
        ),
        ((h.step("give_up:1", days(20)), b.partly_paid(1000, days(25))), [(AT_RISK, LOST, 1000)]),
    ],
)
def test_it_goes_where_the_money_and_the_subscription_go(
    after: tuple[BillingEvent, ...], ends: list[tuple[str, str, int]]
) -> None:
    assert told(priced(1000), b.failed(), *after) == [OPENED, *ends]


def test_a_subscription_that_ends_while_its_debt_is_pursued_is_withdrawn_at_once() -> None:
    gone = told(priced(1000), b.failed(), h.ended(days(3)), on_cancel=OnCancel.KEEP)
    assert gone == [OPENED, (AT_RISK, WITHDRAWN, 1000)]
    # What is paid after that saves nothing.
    paid = (h.ended(days(3)), b.paid(days(5)))
    assert told(priced(1000), b.failed(), *paid, on_cancel=OnCancel.KEEP) == gone


def test_what_had_ended_or_is_not_known_is_not_at_risk() -> None:
    assert told(priced(1000), h.ended(T0 - timedelta(days=1)), b.failed()) == []
    assert told(b.failed()) == []
    assert told(priced(None), b.failed()) == []  # it hangs on use
    assert told(b.failed(), b.paid(days(1)), priced(1000, days(2))) == []  # told after the end
    assert told(priced(0), b.failed()) == []


@pytest.mark.parametrize(
    ("prices", "amount"),
    [
        (((1000, -9), (2000, -1), (3000, 2)), 2000),  # changed before, and after
        (((1000, 1), (2000, 2)), 1000),  # none before: the first one after
        (((1000, -9), (None, -1), (3000, 2)), None),
    ],
)
def test_the_price_is_that_of_the_first_failure(
    prices: tuple[tuple[int | None, int], ...], amount: int | None
) -> None:
    news = [priced(price, days(day)) for price, day in prices]
    expected = [] if amount is None else [(RUNNING, AT_RISK, amount)]
    for order in permutations((*news, b.failed())):
        assert told(*order) == expected


MARKS = st.lists(
    st.builds(
        Monthly,
        st.sampled_from((NAME, "sub_2")),
        st.integers(-30, 30).map(days),
        st.sampled_from((None, 100, 200)),
        st.just(b.USD),
    ),
    max_size=24,
)


@given(marks=MARKS, first=st.integers(-30, 30), earlier=st.integers(0, 10), cut=st.integers(0, 24))
def test_forgetting_what_no_failure_asks_for_loses_nothing(
    marks: list[Monthly], first: int, earlier: int, cut: int
) -> None:
    since, sooner = days(first), days(first - earlier)
    kept = needed(merged((), marks[:cut]), since)
    kept = needed(merged(kept, marks[cut:]), sooner)
    assert kept == needed(merged((), marks), sooner)
    for name in (NAME, "sub_2"):
        assert as_of(kept, name, sooner, None) == as_of(merged((), marks), name, sooner, None)
    one = tuple(mark for mark in marks if mark.subscription == NAME)
    few = newest(merged((), one[:cut]), 5)
    assert newest(merged(few, one[cut:]), 5) == newest(merged((), one), 5)
    assert KEPT > 5


@part(1)
@given(data=st.data(), said=st.sampled_from(OnCancel))
def test_of_every_life_in_any_order_it_is_at_risk_while_the_case_is_open(
    data: st.DataObject, said: OnCancel
) -> None:
    news = [priced(1000), *data.draw(lives())]
    begun = replace(b.empty(), terms=Terms(on_cancel=said))
    case = b.fold(begun, news)
    found = turns(case, books(case))
    other = b.fold(begun, data.draw(shuffled(news)))
    assert found == turns(other, books(other))
    assert all((one.debit.value, one.credit.value) in TURNS and one.amount > 0 for one in found)
    assert [one.at for one in found] == sorted(one.at for one in found)
    held: Counter[str] = Counter()
    for one in found:
        held[one.debit] -= one.amount
        held[one.credit] += one.amount
    is_open = status(case).state.is_open and case.end is None
    assert held[AT_RISK] == (found[0].amount if found and is_open else 0)
    if held[SAVED]:
        assert books(case).balance(Account.LOST) == 0
