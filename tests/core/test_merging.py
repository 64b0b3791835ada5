"""Any order and any repetition of the same news gives the same case, books and plan."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dunning.core.case import advance
from dunning.core.entries import books
from dunning.core.events import BillingEvent
from dunning.core.facts import Case
from dunning.core.plan import plan
from dunning.core.status import status
from tests.builders import T0, case_of
from tests.core.lives import lives, part, shuffled
from tests.policies import STANDARD

FACTS = TypeAdapter(Case)
MOMENTS = st.integers(-1, 60).map(lambda days: T0 + timedelta(days=days))


@part(1.5)
@given(data=st.data(), now=MOMENTS)
def test_any_order_and_repetition_of_the_same_news_is_the_same_case(
    data: st.DataObject, now: datetime
) -> None:
    told = data.draw(lives())
    case = case_of(*told)
    other = case_of(*data.draw(shuffled(told)))
    assert other == case
    assert books(other) == books(case)
    assert status(other) == status(case)
    assert plan(other, STANDARD, now) == plan(case, STANDARD, now)


@given(told=lives())
def test_news_heard_again_at_once_changes_nothing(told: list[BillingEvent]) -> None:
    case = case_of()
    for event in told:
        case = advance(case, event)
        assert advance(case, event) == case


@given(told=lives())
def test_a_case_is_read_back_as_it_was_written(told: list[BillingEvent]) -> None:
    case = case_of(*told)
    assert FACTS.validate_json(FACTS.dump_json(case)) == case
    assert FACTS.validate_python(FACTS.dump_python(case)) == case


@given(told=lives())
def test_reading_a_case_never_changes_or_contradicts_it(told: list[BillingEvent]) -> None:
    case = case_of(*told)
    present = status(case)
    assert present == status(case)
    assert (present.at_risk > 0) == present.state.is_open
    assert (present.ended_at is None) == (present.state.is_open or not present.books.entries)
