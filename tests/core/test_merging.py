"""Any order and any repetition of the same news gives the same case, books and plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dunning.core.case import advance
from dunning.core.entries import books
from dunning.core.events import (
    Actor,
    AttemptStatus,
    BillingEvent,
    Decline,
    DisputeStatus,
    MethodNews,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.plan import plan
from dunning.core.status import status
from tests import builders as b
from tests import happenings as h
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


# --- every kind of contradiction, told in every order ----------------------------------------

ONE, TWO = b.days(1), b.days(2)
FULL = b.attempt(AttemptStatus.DECLINED, ONE, code="lost_card", name="ch_1", by=Actor.PROVIDER)
BARE = replace(FULL, at=TWO, by=Actor.OURS, key="case_x/retry:1", method=None, decline=None)
CONTRADICTIONS: dict[str, list[BillingEvent]] = {
    "views of one second": [
        b.partly_paid(1000, ONE, id="evt_b"),
        b.partly_paid(2000, ONE, id="evt_a"),
        b.voided(ONE, id="evt_0"),
        b.paid(ONE, id="evt_c"),
    ],
    "views of one second and one content": [
        b.reported(at=ONE, id="evt_a", told=b.bill(email="a@example.org")),
        b.reported(at=ONE, id="evt_b", told=b.bill(email="b@example.org", products=("p",))),
    ],
    "reports of one try": [
        b.attempted(FULL, id="evt_a"),
        b.attempted(BARE, id="evt_b"),
        b.attempted(replace(BARE, status=AttemptStatus.PROCESSING, decline=None), id="evt_c"),
        b.attempted(replace(FULL, decline=Decline(network_code="51", network="visa")), id="evt_d"),
    ],
    "a payment by two names": [
        b.payment(1000, TWO, charge="ch_1"),
        b.payment(1500, ONE),
        b.payment(900, ONE, name="ch_1", payment_intent=None, charge="ch_1"),
    ],
    "a refund that fails": [
        b.refund(at=ONE),
        b.refund(at=ONE, live=False),
        b.refund(at=TWO, made_at=ONE),
    ],
    "sums of refunds": [b.charge_refunded(1000, ONE), b.charge_refunded(500, TWO)],
    "sums of refunds of one second": [b.charge_refunded(1000, ONE), b.charge_refunded(500, ONE)],
    "a credit note": [b.credit_note(at=ONE), b.credit_note(at=ONE, live=False)],
    "a dispute": [b.dispute(word, ONE) for word in DisputeStatus],
    "a dispute won twice": [b.dispute(DisputeStatus.WON, at) for at in (ONE, TWO)],
    "new cards": [h.new_card(ONE, "pm_a"), h.new_card(ONE, "pm_b"), h.new_card(b.T0, "pm_c")],
    "removed cards": [
        h.method(MethodNews.REMOVED, ONE),
        h.method(MethodNews.MANDATE_GONE, TWO),
        h.method(MethodNews.REMOVED, ONE, None),
    ],
    "fixed cards": [h.method(MethodNews.CHANGED, ONE), h.method(MethodNews.NETWORK_UPDATED, TWO)],
    "who it is": [
        h.customer(ONE, email="a@example.org", timezone="UTC"),
        h.customer(TWO, email="b@example.org"),
        replace(h.customer(TWO, email="c@example.org"), id="evt_zz"),
        h.customer(ONE, deleted=True),
    ],
    "ends": [
        h.ended(ONE),
        h.ended(ONE, reason="payment_failed"),
        h.ended(ONE, reason=None, by_us=True),
        h.ended(TWO),
    ],
    "holds": [
        h.held(ONE),
        h.held(ONE, TWO),
        replace(h.resumed(ONE), id="act_1"),
        h.held(b.T0),
    ],
    "moved to other policies": [
        h.policy_changed(ONE),
        h.policy_changed(ONE, "3333333333333333", number=2),
        h.policy_changed(ONE, "4444444444444444", number=2),
        h.policy_changed(TWO, number=2),
    ],
    "closed twice": [h.closed_by_hand(ONE), h.closed_by_hand(TWO)],
    "asked twice": [h.retry_asked(ONE), replace(h.retry_asked(ONE), at=TWO), h.retry_asked(TWO)],
    "a step that ended twice": [
        h.step("suspend:1", ONE, StepResult.SKIPPED),
        h.step("suspend:1", ONE),
        h.step("suspend:1", TWO, StepResult.NOT_OWED),
    ],
    "a step put off twice": [
        h.deferred("retry:1", ONE, TWO),
        h.deferred("retry:1", TWO, TWO),
        h.deferred("retry:1", ONE, ONE),
    ],
    "visits": [h.page_opened(TWO), h.page_opened(ONE), h.pressed(TWO), h.pressed(ONE)],
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_what_contradicts_itself_comes_out_the_same_in_every_order(what: str) -> None:
    told = CONTRADICTIONS[what]
    cases = [b.case_of(b.failed(), *order) for order in permutations(told)]
    assert all(case == cases[0] for case in cases)
    # Each of them says something: the order of news is not made safe by ignoring it.
    assert len({repr(b.case_of(b.failed(), event)) for event in told}) > 1
