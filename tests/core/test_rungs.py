"""The timeline of a case: what moves a rung, what uses it up, and what nobody may touch."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from dunning.core.events import (
    Actor,
    BillingEvent,
    MethodNews,
    StepKind,
)
from dunning.core.plan import plan, timeline
from dunning.core.status import State, status
from tests import builders as b
from tests import happenings as h
from tests.core.walking import LADDER, PLAIN, dated, walk
from tests.policies import STANDARD, policy, rung

FAILED = b.failed()


def due(*events: BillingEvent, at: float) -> dict[str, str | None]:
    """What is due that day, and why not, if it is not to be done."""
    now = b.days(at)
    seen = plan(b.case_of(FAILED, *events), PLAIN, now)
    return {step.key.rpartition("/")[2]: step.skip for step in seen.due(now)}


WHOLE = {
    "email:1": 0,
    "retry:1": 1,
    "retry:2": 3,
    "email:2": 3,
    "retry:3": 7,
    "restrict:1": 10,
    "email:3": 11,
    "retry:4": 13,
    "suspend:1": 14,
    "email:suspended": 14,
    "retry:5": 21,
    "give_up:1": 28,
}


def test_a_case_nobody_pays_walks_the_whole_timeline() -> None:
    assert dated(walk(b.case_of(FAILED), PLAIN)) == WHOLE


def test_a_rung_is_due_at_its_very_moment_and_not_before() -> None:
    case = b.case_of(FAILED, h.step("reconcile:open"), h.step("email:1"))
    moment = b.days(1)
    assert plan(case, PLAIN, moment - timedelta(seconds=1)).due(moment - timedelta(seconds=1)) == ()
    assert [step.key for step in plan(case, PLAIN, moment).due(moment)] == [h.step_key("retry:1")]


def test_an_unknown_policy_end_is_its_window() -> None:
    walked = walk(b.case_of(FAILED), policy(rung("retry", 1), window=timedelta(days=9)))
    assert dated(walked) == {"retry:1": 1, "give_up:1": 9}


# --- foreign tries -----------------------------------------------------------------------------

FOREIGN: dict[str, list[BillingEvent]] = {
    "the customer's own": [
        b.declined(at=b.days(day), by=Actor.CUSTOMER) for day in (0.1, 0.2, 4, 5, 8)
    ],
    "the provider's": [b.declined(at=b.days(day), by=Actor.PROVIDER) for day in (0.1, 1.9, 5)],
    "asked for by a person": [h.retry_asked(b.days(day)) for day in (0.5, 5, 16)],
    "the provider telling of each": [b.failed(b.days(day)) for day in (1, 3, 5, 7, 20)],
}

LATER = {
    "the customer's own": {"retry:1": 1.2},
    "the provider's": {"retry:1": 1.1},
    "asked for by a person": {"retry:1": 1.5},
    "the provider telling of each": {},
}


@pytest.mark.parametrize("who", FOREIGN)
def test_other_tries_neither_use_up_nor_skip_nor_move_a_rung(who: str) -> None:
    walked = walk(b.case_of(FAILED), PLAIN, world=FOREIGN[who])
    planned = {name: day for name, day in dated(walked).items() if name in WHOLE}
    # Only a bank that said no within the last day is left alone for a day.
    assert planned == WHOLE | LATER[who]


def test_after_a_decline_the_next_rung_waits_as_long_as_the_bank_asks() -> None:
    walked = walk(b.case_of(FAILED), PLAIN, world=[b.declined(at=b.days(2.5))])
    assert dated(walked, StepKind.RETRY) == LADDER | {"retry:2": 3.5}


def test_a_part_payment_moves_nothing() -> None:
    world: list[BillingEvent] = [
        b.payment(1000, b.days(2)),
        b.partly_paid(1000, b.days(2)),
        b.failed(b.days(2.5)),
    ]
    assert dated(walk(b.case_of(FAILED), PLAIN, world=world)) == WHOLE


def test_every_charge_asked_for_by_hand_is_made_once() -> None:
    asked = h.retry_asked(b.hours(1))
    walked = walk(b.case_of(FAILED), PLAIN, world=[asked, asked])
    assert walked.names(StepKind.RETRY).count(f"retry:hand:{asked.id}") == 1


def test_asked_twice_before_it_was_done_charges_once() -> None:
    first, second = h.retry_asked(b.hours(1)), h.retry_asked(b.hours(2))
    assert due(h.step("email:1"), h.step("reconcile:open"), first, second, at=0.5) == {
        f"retry:hand:{first.id}": "it was asked for again since",
        f"retry:hand:{second.id}": None,
    }


def test_a_charge_since_it_was_asked_for_is_the_answer() -> None:
    asked = h.retry_asked(b.hours(1))
    told = (h.step("email:1"), h.step("reconcile:open"), asked, b.declined(at=b.hours(2)))
    assert due(*told, at=0.5) == {
        f"retry:hand:{asked.id}": "a charge was tried since it was asked for"
    }


# --- cards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["lost_card", "expired_card", "authentication_required"])
def test_after_a_hard_decline_no_charges_but_messages_go_on(code: str) -> None:
    walked = walk(b.case_of(FAILED), PLAIN, world=[b.declined(code, b.hours(1))])
    assert walked.names(StepKind.RETRY) == []
    assert set(LADDER) <= set(walked.skipped())
    assert dated(walked, StepKind.EMAIL).keys() >= {"email:1", "email:2", "email:3"}
    told = [act.step.template for act in walked.acts if act.name == "email:2"]
    wanted = "action_required" if code == "authentication_required" else "new_card_needed"
    assert told == [wanted]
    assert status(walked.case).state is State.LOST


def test_a_case_without_any_card_is_not_charged() -> None:
    gone = h.method(MethodNews.REMOVED, b.hours(1), b.CARD)
    walked = walk(b.case_of(FAILED, b.declined(), gone), PLAIN)
    assert walked.names(StepKind.RETRY) == []
    assert all("removed" in why for why in walked.skipped().values())
    assert len(walked.names(StepKind.EMAIL)) == 4


def test_a_removed_card_that_was_not_the_one_in_use_is_no_matter() -> None:
    gone = h.method(MethodNews.REMOVED, b.hours(1), "pm_third")
    walked = walk(b.case_of(FAILED, b.declined(), gone), PLAIN)
    assert dated(walked, StepKind.RETRY) == LADDER


CARD_STEP = f"retry:card:{int(b.days(5).timestamp())}"


@pytest.mark.parametrize("code", ["lost_card", "expired_card", "insufficient_funds"])
def test_a_new_card_is_charged_at_once_and_the_rungs_go_on(code: str) -> None:
    world: list[BillingEvent] = [b.declined(code, b.hours(1)), h.new_card(b.days(5))]
    walked = walk(b.case_of(FAILED), PLAIN, world=world)
    charged = dated(walked, StepKind.RETRY)
    assert charged[CARD_STEP] == 5
    assert {"retry:3": 7, "retry:4": 13, "retry:5": 21}.items() <= charged.items()
    assert ("retry:1" in charged) is (code == "insufficient_funds")


@pytest.mark.parametrize(
    "own_try",
    [
        b.declined(at=b.days(5), by=Actor.CUSTOMER, method=b.NEW_CARD),
        b.declined(at=b.days(5.1), by=Actor.CUSTOMER, method=b.NEW_CARD),
        b.declined(at=b.days(5.1), by=Actor.UNKNOWN, method=None),
        b.succeeded(b.days(5), method=b.NEW_CARD),
    ],
)
def test_a_new_card_the_customer_has_tried_already_is_not_charged_at_once(
    own_try: BillingEvent,
) -> None:
    seen = plan(b.case_of(FAILED, h.new_card(b.days(5)), own_try), PLAIN, b.days(6))
    assert h.step_key(CARD_STEP) not in [step.key for step in seen.steps]


def test_a_try_of_the_old_card_in_the_same_second_is_no_answer_for_the_new_one() -> None:
    old = b.declined("lost_card", b.hours(2), method=b.CARD)
    told = due(old, h.new_card(b.hours(2)), at=0.5)
    assert told[f"retry:card:{int(b.hours(2).timestamp())}"] is None


def test_our_own_charge_of_the_new_card_is_not_forgotten_when_its_worker_dies() -> None:
    echo = b.declined(at=b.days(5.01), key=h.step_key(CARD_STEP), method=b.NEW_CARD)
    seen = plan(b.case_of(FAILED, h.new_card(b.days(5)), echo), PLAIN, b.days(5.02))
    assert h.step_key(CARD_STEP) in [step.key for step in seen.steps]


def test_a_card_from_before_the_failure_is_the_one_that_failed() -> None:
    seen = plan(b.case_of(h.new_card(b.days(-1)), FAILED), PLAIN, b.days(1))
    assert not [step for step in seen.steps if "card" in step.key]


def test_a_refreshed_card_is_charged_at_the_next_rung_and_not_before() -> None:
    news = h.method(MethodNews.NETWORK_UPDATED, b.days(5), b.CARD)
    walked = walk(b.case_of(FAILED), PLAIN, world=[b.declined("expired_card", b.hours(1)), news])
    charged = {"retry:3": 7, "retry:4": 13, "retry:5": 21}
    assert dated(walked, StepKind.RETRY) == charged
    assert walked.skipped().keys() == {"retry:1", "retry:2"}


@pytest.mark.parametrize("code", ["lost_card", "authentication_required"])
def test_a_refreshed_card_does_not_answer_what_was_not_about_its_details(code: str) -> None:
    world: list[BillingEvent] = [
        b.declined(code, b.hours(1)),
        h.method(MethodNews.NETWORK_UPDATED, b.days(5), b.CARD),
    ]
    assert walk(b.case_of(FAILED), PLAIN, world=world).names(StepKind.RETRY) == []


@pytest.mark.parametrize("code", ["lost_card", "expired_card"])
def test_a_milder_word_later_does_not_lift_a_hard_decline(code: str) -> None:
    world = [b.declined(code, b.hours(1)), b.declined(at=b.hours(2), by=Actor.CUSTOMER)]
    assert walk(b.case_of(FAILED), PLAIN, world=world).names(StepKind.RETRY) == []


def test_of_two_words_in_one_second_the_stricter_one_holds() -> None:
    asks = b.declined("authentication_required", b.hours(1), name="ch_a")
    waits = b.declined("insufficient_funds", b.hours(1), name="ch_b")
    assert due(asks, waits, at=1)["retry:1"] is not None


# --- missed steps ------------------------------------------------------------------------------


def test_after_an_outage_the_newest_rung_is_done_and_the_others_are_dropped() -> None:
    walked = walk(b.case_of(FAILED), PLAIN, start=b.days(8))
    assert walked.skipped() == {
        "email:1": "missed: email:2 is due as well",
        "retry:1": "missed: retry:3 is due as well",
        "retry:2": "missed: retry:3 is due as well",
    }
    assert dated(walked, StepKind.RETRY) == {"retry:3": 8, "retry:4": 13, "retry:5": 21}


def test_after_a_long_outage_every_door_still_has_its_last_chance() -> None:
    walked = walk(b.case_of(FAILED), PLAIN, start=b.days(60))
    done = dated(walked, StepKind.RETRY, StepKind.SUSPEND, StepKind.GIVE_UP, StepKind.RESTRICT)
    # The customer hears of the suspension a day before it.
    assert done == {"retry:4": 60, "suspend:1": 61, "retry:5": 61, "give_up:1": 61}
    assert walked.skipped()["restrict:1"] == "overtaken by suspension"


def test_a_last_chance_that_is_put_off_keeps_its_door_and_all_behind_it_waiting() -> None:
    told = [h.step(name, b.days(30)) for name in ("reconcile:open", "email:3", "restrict:1")]
    put_off = h.deferred("retry:4", b.days(30), b.days(31))
    assert due(*told, put_off, at=30) == {
        "retry:1": "missed: retry:4 is due as well",
        "retry:2": "missed: retry:4 is due as well",
        "retry:3": "missed: retry:4 is due as well",
        "email:1": "missed: email:2 is due as well",
        "email:2": None,
    }
    later = due(*told, put_off, at=31)
    assert [name for name, skip in later.items() if skip is None] == ["email:2", "retry:4"]


def test_a_restriction_that_comes_after_the_suspension_is_dropped() -> None:
    late = h.deferred("restrict:1", b.days(10), b.days(15))
    told = due(h.step("suspend:1", b.days(14)), late, at=15)
    assert told["restrict:1"] == "overtaken by suspension"


def test_what_was_to_be_said_before_a_door_is_not_said_after_it() -> None:
    told = due(
        h.step("suspend:1", b.days(14)), h.deferred("email:3", b.days(11), b.days(15)), at=15
    )
    assert told["email:3"] == "overtaken by suspend"
    assert told["email:suspended"] is None


def test_the_customer_hears_of_the_suspension_once() -> None:
    own = policy(rung("suspend", 14), rung("email", 14, template="suspended"), send_between=None)
    walked = walk(b.case_of(FAILED), own)
    assert [act.step.template for act in walked.acts if act.step.kind is StepKind.EMAIL] == [
        "suspended"
    ]


# --- the built-in timeline ---------------------------------------------------------------------


def test_the_standard_timeline_is_dated_in_the_customers_own_time() -> None:
    case = b.case_of(FAILED, h.customer(timezone="America/New_York"))
    due_at = {s.key.rpartition("/")[2]: s.due_at.isoformat() for s in timeline(case, STANDARD)}
    assert due_at["email:1"] == "2026-01-05T14:00:00+00:00"  # 09:00 in New York
    assert due_at["retry:2"] == "2026-01-08T13:00:00+00:00"  # 08:00 there
    assert due_at["retry:3"] == "2026-01-15T12:00:00+00:00"  # the 15th is a payday
    assert due_at["retry:4"] == "2026-01-18T12:00:00+00:00"
    assert due_at["suspend:1"] == "2026-01-19T12:00:00+00:00"


def test_a_rung_that_waits_for_its_day_keeps_the_door_waiting() -> None:
    by = policy(rung("retry", 13, clock=time(8)), rung("suspend", 14), timezone="Asia/Tokyo")
    late = policy(rung("retry", 13.9, clock=time(8)), rung("suspend", 14), timezone="Asia/Tokyo")
    assert dated(walk(b.case_of(FAILED), by), StepKind.SUSPEND) == {"suspend:1": 14}
    walked = walk(b.case_of(FAILED), late)
    begun = dated(walked, StepKind.RETRY, StepKind.SUSPEND)
    assert begun["suspend:1"] == begun["retry:1"] > 14
