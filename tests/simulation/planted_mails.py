"""Bugs to be found in what is written to customers, and how often a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from dunning import mail_days, mail_turns
from dunning.actions import speaking
from dunning.core import daily, plan
from dunning.core.facts import Case
from dunning.core.steps import Step
from tests.simulation.planting import Patch, bug, unseen


@bug("subscribes again")
def a_day_is_anybodys(patch: Patch) -> None:
    """Nobody takes the day before they write."""
    patch(mail_days, "take", lambda *_: {})
    patch(mail_days, "about_to_say", lambda *_: True)


@bug("subscribes again", "posts fate=(delay|lose|refuse)", "pays who|voids")
def nobody_looks_at_the_other_debts(patch: Patch) -> None:
    """Of the other cases that a message speaks of, what we last heard is taken for what is."""
    patch(speaking, "fold", lambda case, view: unseen(case))


@bug("subscribes again")
def a_day_is_taken_by_who_sent_nothing(patch: Patch) -> None:
    """What was to be said is taken for said, whatever became of it."""
    real = daily.instead

    def instead(case: Case, policy: Any, step: Step, taken: Any, now: datetime) -> Any:
        every = replace(taken, left=True, cases=(case.id,), template=step.template)
        return real(case, policy, step, every, now)

    patch(mail_turns, "instead", instead)


@bug("policy=gentle")
def a_door_does_not_wait_for_its_notice(patch: Patch) -> None:
    """The customer may read of a suspension after it."""
    patch(plan, "await_notice", lambda _case, _way, steps, _now: steps)
