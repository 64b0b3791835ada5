"""Promises, exemptions, steps brought forward, forced charges: what they mean to a case."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from dunning.core.events import BillingEvent, Decline, StepKind, StepResult
from dunning.core.freezing import Stop, freeze
from dunning.core.overriding import past_which, too_soon, why_not_now
from dunning.core.permission import why_no_charge
from dunning.core.plan import Plan, plan
from dunning.core.promises import Ending, furthest, judged
from tests import builders as b
from tests import happenings as h
from tests.core.walking import PLAIN, dated, walk

FAILED = b.failed()
OPENED = h.step("reconcile:open", b.hours(1))


def ahead(now: float, *events: BillingEvent) -> Plan:
    return plan(b.case_of(FAILED, *events), PLAIN, b.days(now))


# --- promises ----------------------------------------------------------------------------------


def endings(now: float, *events: BillingEvent) -> list[Ending]:
    return [one.ending for one in judged(b.case_of(FAILED, *events), b.days(now))]


P = h.promised(b.days(2), b.days(6))
HALF = h.promised(b.days(2), b.days(6), b.AMOUNT // 2)


@pytest.mark.parametrize(
    ("now", "events", "ending"),
    [
        (3, (P,), Ending.OPEN),
        (5.999, (P,), Ending.OPEN),
        (6, (P,), Ending.BROKEN),
        (9, (P, b.paid(b.days(4))), Ending.KEPT),
        (9, (P, b.paid(b.days(6))), Ending.KEPT),
        (9, (P, b.paid(b.days(6.1))), Ending.BROKEN),
        (9, (P, b.paid(b.days(1))), Ending.VOID),
        (9, (P, b.partly_paid(b.AMOUNT // 2, b.days(4))), Ending.BROKEN),
        (9, (HALF, b.partly_paid(b.AMOUNT // 2, b.days(4))), Ending.KEPT),
        (9, (HALF, b.partly_paid(b.AMOUNT // 4, b.days(4))), Ending.BROKEN),
        (9, (P, b.voided(b.days(4))), Ending.VOID),
        (9, (P, h.closed_by_hand(b.days(4))), Ending.VOID),
        (9, (P, h.resumed(b.days(3))), Ending.WITHDRAWN),
        (9, (P, h.resumed(b.days(3)), b.paid(b.days(4))), Ending.WITHDRAWN),
        (9, (P, b.paid(b.days(4)), h.resumed(b.days(5))), Ending.KEPT),
        (9, (P, h.resumed(b.days(7))), Ending.BROKEN),
    ],
)
def test_a_promise_ends_by_what_comes_first(
    now: float, events: Sequence[BillingEvent], ending: Ending
) -> None:
    assert endings(now, *events) == [ending]


def test_a_promise_may_be_replaced_by_another() -> None:
    later = h.promised(b.days(4), b.days(9))
    assert endings(5, P, later) == [Ending.REPLACED, Ending.OPEN]
    assert endings(10, P, later, b.paid(b.days(8))) == [Ending.REPLACED, Ending.KEPT]
    after = h.promised(b.days(7), b.days(9))
    assert endings(8, P, after) == [Ending.BROKEN, Ending.OPEN]


def test_the_timeline_stands_still_for_a_promise_and_goes_on_by_itself() -> None:
    told = ahead(3, OPENED, P)
    assert told.frozen is not None
    assert told.frozen.stop is Stop.PROMISE
    assert "promised to pay" in told.frozen.why
    assert told.next_at == b.days(6)
    walked = walk(b.case_of(FAILED), PLAIN, world=[P])
    free = walk(b.case_of(FAILED), PLAIN)
    made = dated(walked, StepKind.RETRY)
    assert not [name for name, day in made.items() if 2 < day < 6]
    # Of what fell due meanwhile one charge is made, and the rest is where it was.
    assert len([day for day in made.values() if day == 6]) <= 1
    later = {name: day for name, day in dated(free, StepKind.RETRY).items() if day > 7}
    assert later.items() <= made.items()


def test_a_promise_puts_doors_off_to_its_end() -> None:
    long = h.promised(b.days(12), b.days(20))
    walked = walk(b.case_of(FAILED), PLAIN, world=[long])
    assert dated(walked, StepKind.SUSPEND)["suspend:1"] >= 20
    over = h.promised(b.days(25), b.days(40))
    walked = walk(b.case_of(FAILED), PLAIN, world=[over])
    assert dated(walked, StepKind.GIVE_UP)["give_up:1"] >= 40


def test_of_several_words_the_one_that_lasts_longest_is_told() -> None:
    hold = h.held(b.days(2), b.days(4))
    case = b.case_of(FAILED, P, hold)
    told = freeze(case, b.days(3))
    assert told is not None
    assert (told.stop, told.until) == (Stop.PROMISE, b.days(6))
    told = freeze(b.case_of(FAILED, P, h.held(b.days(2))), b.days(3))
    assert told is not None
    assert (told.stop, told.until) == (Stop.HOLD, None)


def test_how_far_a_promise_may_reach() -> None:
    case = b.case_of(FAILED)
    assert furthest(case, PLAIN, b.days(1)) == b.days(32)
    assert furthest(case, PLAIN, b.days(26)) == b.days(57)


# --- exemptions --------------------------------------------------------------------------------


def test_an_exempt_customer_is_left_alone_and_stays_at_risk() -> None:
    walked = walk(b.case_of(FAILED), PLAIN, world=[h.exempted(b.hours(2))])
    kinds = (StepKind.RETRY, StepKind.EMAIL, StepKind.RESTRICT, StepKind.SUSPEND, StepKind.GIVE_UP)
    assert walked.names(*kinds) == ["email:1"]  # sent before anybody said so


def test_the_provider_is_asked_all_the_same_so_that_it_does_not_charge_either() -> None:
    told = ahead(0, h.exempted(b.T0))
    assert [step.key.partition("/")[2] for step in told.steps if not step.held] == [
        "reconcile:open"
    ]
    assert told.frozen is not None
    assert told.frozen.stop is Stop.EXEMPT


def test_when_an_exemption_ends_the_timeline_goes_on_without_a_burst() -> None:
    ends: list[list[BillingEvent]] = [
        [h.exempted(b.hours(2), b.days(8))],
        [h.exempted(b.hours(2)), h.unexempted(b.days(8))],
    ]
    for end in ends:
        made = dated(walk(b.case_of(FAILED), PLAIN, world=end), StepKind.RETRY)
        assert min(made.values()) == 8
        assert len([day for day in made.values() if day == 8]) == 1


def test_who_is_exempt_hears_no_thanks_either() -> None:
    mailed = h.step("email:1", b.hours(1), template="payment_failed")
    paid = b.paid(b.days(3))
    exempt = h.exempted(b.days(2))

    def thanks(*events: BillingEvent) -> list[str | None]:
        told = ahead(4, mailed, *events)
        return [step.skip for step in told.steps if step.key.endswith("email:recovered")]

    assert thanks(paid) == [None]
    assert thanks(exempt, paid) == ["the customer is exempt: a partner"]
    assert thanks(exempt, h.unexempted(b.days(2.5)), paid) == [None]


# --- steps brought forward ---------------------------------------------------------------------


def walked(kind: StepKind, *world: BillingEvent) -> dict[str, float]:
    return dated(walk(b.case_of(FAILED), PLAIN, world=list(world)), kind)


def test_a_step_brought_forward_is_done_then_and_not_again() -> None:
    told = h.advanced("email:2", b.days(1.5))
    free, moved = (
        dated(walk(b.case_of(FAILED), PLAIN, world=w), StepKind.EMAIL) for w in ([], [told])
    )
    assert moved["email:2"] == 1.5 < free["email:2"]
    assert {k: v for k, v in moved.items() if k != "email:2"} == {
        k: v for k, v in free.items() if k != "email:2"
    }


def test_a_charge_brought_forward_leaves_the_others_in_their_places() -> None:
    told = h.advanced("retry:3", b.days(4))
    free, moved = (
        dated(walk(b.case_of(FAILED), PLAIN, world=w), StepKind.RETRY) for w in ([], [told])
    )
    assert moved["retry:3"] == 4
    assert free | {"retry:3": 4} == moved


@pytest.mark.parametrize(
    ("name", "now", "events", "why"),
    [
        ("retry:2", 1.5, (h.held(b.days(1)),), "stands still: on hold"),
        ("suspend:1", 5, (), "not before the grace ends"),
        ("retry:5", 5, (), "suspend:1 comes before it"),
        ("retry:3", 3.1, (b.declined("do_not_honor", at=b.days(3)),), "as the bank's answer asks"),
        ("give_up:1", 20, (), "suspend:1 comes before it"),
    ],
)
def test_what_cannot_be_brought_forward(
    name: str, now: float, events: Sequence[BillingEvent], why: str
) -> None:
    case = b.case_of(FAILED, OPENED, *events)
    told = plan(case, PLAIN, b.days(now))
    step = next(step for step in told.steps if step.key.endswith(f"/{name}"))
    said = why_not_now(case, PLAIN, told, step, b.days(now))
    assert said is not None
    assert why in said


def test_giving_up_may_come_early_once_nothing_is_left_to_try() -> None:
    done = [
        *(h.step(f"retry:{i}", b.days(2 * i), StepResult.DECLINED) for i in (1, 2, 3, 4)),
        h.step("suspend:1", b.days(14)),
    ]
    case = b.case_of(FAILED, OPENED, *done)

    def against(*more: BillingEvent) -> str | None:
        told = plan(b.case_of(FAILED, OPENED, *done, *more), PLAIN, b.days(16))
        step = next(step for step in told.steps if step.kind is StepKind.GIVE_UP)
        return why_not_now(case, PLAIN, told, step, b.days(16))

    assert "retry:5 is a chance ahead of it" in (against() or "")
    assert against(h.step("retry:5", b.days(15), StepResult.SKIPPED)) is None


# --- charges in spite of the advice --------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "network", "network_code", "free"),
    [
        ("lost_card", None, None, True),
        ("expired_card", None, None, True),
        ("lost_card", "visa", "41", False),
        ("do_not_honor", "visa", "14", False),
    ],
)
def test_a_person_may_go_past_the_advice_and_past_no_network(
    code: str, network: str | None, network_code: str | None, *, free: bool
) -> None:
    said = Decline(code=code, network=network, network_code=network_code)
    case = b.case_of(FAILED, b.attempted(b.attempt(at=b.days(1), decline=said)))
    assert why_no_charge(case, PLAIN) is not None
    assert (why_no_charge(case, PLAIN, forced=True) is None) == free
    assert bool(past_which(case, PLAIN, b.days(2))) == free


def test_a_wait_that_a_network_asks_for_binds_a_person_who_does_not_insist() -> None:
    ours = b.case_of(FAILED, b.declined("insufficient_funds", at=b.days(1)))
    assert too_soon(ours, PLAIN, b.days(1.1)) is None
    said = Decline(code="insufficient_funds", network="mastercard", network_advice_code="30")
    theirs = b.case_of(FAILED, b.attempted(b.attempt(at=b.days(1), decline=said)))
    assert "as the network asks" in (too_soon(theirs, PLAIN, b.days(10.9)) or "")
    assert too_soon(theirs, PLAIN, b.days(11)) is None
    assert len(past_which(theirs, PLAIN, b.days(2))) == 1


def test_the_house_ceiling_yields_and_is_named() -> None:
    tries = [b.declined("insufficient_funds", at=b.days(i), name=f"ch_{i}") for i in range(1, 9)]
    case = b.case_of(FAILED, *tries)
    said = past_which(case, PLAIN, b.days(9) + timedelta(days=2))
    assert len(said) == 1
    assert said[0].startswith("house ceiling: 8 attempts")


def test_a_forced_charge_is_planned_where_a_plain_one_is_not() -> None:
    lost = b.declined("lost_card", at=b.days(1))
    plain = ahead(2, lost, h.retry_asked(b.days(2)))
    forced = ahead(2, lost, h.retry_asked(b.days(2), forced=True))

    def by_hand(told: Plan) -> list[tuple[bool, bool]]:
        return [(s.skip is None, s.forced) for s in told.steps if "retry:hand" in s.key]

    assert by_hand(plain) == [(False, False)]
    assert by_hand(forced) == [(True, True)]
