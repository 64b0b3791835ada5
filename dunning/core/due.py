"""What of a plan is done now: one charge at a time, one message for all, and each in its hours."""

from __future__ import annotations

from datetime import datetime

from dunning.core.calendar import opening
from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.local import hours_of, local_of
from dunning.core.places import CHARGES, DOORS
from dunning.core.policy import Policy
from dunning.core.steps import Step, in_order, short_name
from dunning.core.words import MESSAGES


def as_of_now(
    case: Case, policy: Policy, steps: tuple[Step, ...], now: datetime
) -> tuple[Step, ...]:
    """Of what is due, one charge at a time, one message for all, and each in its hours."""
    if not _any_stands(steps, now):
        return steps
    return in_hours(case, policy, _one_message(_one_charge(steps, now), now), now)


def _one_charge(steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    """Of what is due, one charge at a time; a door waits for those before it, and others for it.

    A held step is neither dropped nor used up: it is due as soon as what it waits for is done.
    """
    doors = [step.order for step in steps if step.kind in DOORS and step.skip is None]
    first = min(doors, default=None)
    behind = (step for step in steps if step.rung and first is not None and first < step.order)
    waiting = {step.key for step in behind}
    due = [step for step in steps if _stands(step, now) and step.key not in waiting]
    charges = [step for step in due if step.kind in CHARGES]
    waiting.update(step.key for step in charges[1:])
    waiting.update(
        door.key
        for door in due
        if door.kind in DOORS and any(charge.order < door.order for charge in charges)
    )
    return tuple(
        step._replace(held=True) if step.key in waiting and _stands(step, now) else step
        for step in steps
    )


def _one_message(steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    """Of the messages that are due, the last one says it all.

    But no email is left out for a text, which may have no number to go to.
    """
    due = [step for step in steps if _stands(step, now) and step.kind in MESSAGES]
    gone = {
        step.key: f"missed: {short_name(due[-1])} is due as well"
        for step in due[:-1]
        if step.kind is StepKind.SMS or due[-1].kind is StepKind.EMAIL
    }
    emails = [step for step in due if step.kind is StepKind.EMAIL]
    for step in emails[:-1]:
        gone.setdefault(step.key, f"missed: {short_name(emails[-1])} is due as well")
    if not gone:
        return steps
    return tuple(s._replace(skip=gone[s.key]) if s.key in gone else s for s in steps)


def _any_stands(steps: tuple[Step, ...], now: datetime) -> bool:
    """Whether any is to be done now; they are in the order of their moments."""
    for step in steps:
        if step.due_at > now:
            return False
        if _stands(step, now):
            return True
    return False


def _stands(step: Step, now: datetime) -> bool:
    return step.due_at <= now and step.skip is None and not step.held


def in_hours(
    case: Case, policy: Policy, steps: tuple[Step, ...], now: datetime
) -> tuple[Step, ...]:
    """Let a step whose moment passed (an outage, a hold) wait for the next opening of its hours."""
    local = local_of(case, policy)

    def opened(step: Step) -> Step:
        if not _stands(step, now):
            return step
        opens = opening(now, hours_of(step.rung, step.kind, policy), local)
        return step._replace(due_at=opens) if opens > now else step

    return in_order(opened(step) for step in steps)
