"""A wait that the bank asks for moves a charge, on record; doors wait for it, and not for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.core.events import BillingEvent, Decline, StepKind, StepResult
from dunning.core.plan import plan
from dunning.core.spacing import MOST_PAST_DOOR
from dunning.core.steps import Step
from tests import builders as b
from tests import happenings as h
from tests.core.walking import PLAIN

FAILED = b.failed()
OPENED = h.step("reconcile:open", b.hours(1))
MACS = {
    "24": timedelta(hours=1),
    "25": timedelta(hours=24),
    "26": timedelta(days=2),
    "27": timedelta(days=4),
    "28": timedelta(days=6),
    "29": timedelta(days=8),
    "30": timedelta(days=10),
}


def says(mac: str, at: float, name: str | None = None) -> BillingEvent:
    said = Decline(code="insufficient_funds", network="mastercard", network_advice_code=mac)
    return b.attempted(b.attempt(at=b.days(at), decline=said, name=name))


def planned(now: float, *events: BillingEvent) -> dict[str, Step]:
    ahead = plan(b.case_of(FAILED, OPENED, *events), PLAIN, b.days(now))
    return {step.key.partition("/")[2]: step for step in ahead.steps}


@pytest.mark.parametrize("mac", MACS)
def test_no_charge_comes_before_the_time_mastercard_names(mac: str) -> None:
    steps = planned(1.1, says(mac, 1), h.step("retry:1", b.days(1), StepResult.DECLINED))
    charges = [one for one in steps.values() if one.kind is StepKind.RETRY]
    assert charges
    least = max(MACS[mac], timedelta(days=1))
    assert all(one.due_at >= b.days(1) + least for one in charges if not one.skip)


def test_a_wait_past_the_next_rung_moves_it_and_says_so() -> None:
    done = (says("28", 1), h.step("retry:1", b.days(1), StepResult.DECLINED))
    steps = planned(1.1, *done)
    moved = steps["retry:2"]
    assert moved.due_at == b.days(7)
    assert moved.skip is None
    assert "moved from 2026-01-08" in moved.why
    assert "to 6 days after the try of 2026-01-06 12:00 UTC" in moved.why
    assert "mastercard advice 28" in moved.why


def test_of_two_that_were_moved_together_one_is_made_and_the_other_says_what_became_of_it() -> None:
    done = (says("30", 1), h.step("retry:1", b.days(1), StepResult.DECLINED))
    steps = planned(11, *done)
    assert steps["retry:3"].skip is None
    skipped = steps["retry:2"].skip
    assert skipped is not None
    assert skipped.startswith("missed: retry:3 is due as well; moved from 2026-01-08")


def test_a_door_waits_for_its_last_chance() -> None:
    done = [h.step(f"retry:{i}", b.days(i * 3), StepResult.DECLINED) for i in (1, 2, 3)]
    steps = planned(12, *done, says("30", 12))
    assert steps["retry:4"].due_at == b.days(22)
    assert steps["suspend:1"].due_at == b.days(22)
    assert steps["retry:4"].skip is None


def test_a_door_waits_ten_days_and_no_longer() -> None:
    done = [h.step(f"retry:{i}", b.days(i * 3), StepResult.DECLINED) for i in (1, 2, 3)]
    # The customer tries for themselves again and again, and each time the bank says: ten days.
    own = [says("30", at, f"ch_{at}") for at in (12, 13.9)]
    done.append(h.step("email:3", b.days(11), template="final_notice"))
    steps = planned(14, *done, *own)
    assert steps["suspend:1"].due_at == b.days(23.9) <= b.days(14) + MOST_PAST_DOOR
    steps = planned(15.1, *done, *own, says("30", 15, "ch_15"))
    assert steps["suspend:1"].due_at == b.days(14)
    skip = steps["retry:4"].skip
    assert skip is not None
    assert skip.startswith("ruled out: not before 2026-01-30 12:00 UTC, more than 10 days past")


def test_giving_up_waits_for_a_charge_moved_past_the_window() -> None:
    done = [
        *(h.step(f"retry:{i}", b.days(i * 3), StepResult.DECLINED) for i in (1, 2, 3, 4)),
        h.step("suspend:1", b.days(14)),
        says("30", 20.5),
    ]
    steps = planned(20.6, *done)
    assert steps["retry:5"].due_at == b.days(30.5)
    assert steps["give_up:1"].due_at == b.days(30.5)


def test_after_a_late_try_of_ours_the_ten_days_count_from_it() -> None:
    """An outage of weeks: the doors still have their last chances."""
    done = [
        *(h.step(f"retry:{i}", b.days(3 * i), StepResult.DECLINED) for i in (1, 2, 3)),
        h.step("retry:4", b.days(60), StepResult.DECLINED),
        h.step("suspend:1", b.days(60)),
        says("25", 60),
    ]
    steps = planned(60.1, *done)
    assert steps["retry:5"].skip is None
    assert steps["retry:5"].due_at == b.days(61)
    assert steps["give_up:1"].due_at == b.days(61)
