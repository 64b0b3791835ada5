"""Why a line that holds is not done: it came too late, or its condition does not hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from dunning.core.around import Around
from dunning.core.choosing import Subject, holds
from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.permission import template_for
from dunning.core.places import Way, why_left_out
from dunning.core.policy import Policy
from dunning.core.status import Status
from dunning.core.steps import Step
from dunning.core.subject import subject_at


def left_undone(
    case: Case, way: Way, steps: Sequence[Step], present: Status, around: Around
) -> dict[str, str]:
    """The lines that are not to be done, whenever their moment comes, by key with the reason.

    What was begun is not ruled out any more: how it ended has to be found out.
    """
    if not way.asks and way.since is None and case.adopted is None:
        return {}
    subject = None
    if way.asks:
        subject = subject_at(case, way.policy, present, around)
    said = _said(case) if way.since else frozenset()

    def why_not(step: Step) -> str | None:
        if step.key in around.begun:
            return None
        why = why_left_out(case, step.kind, step.due_at)
        if why is None and way.since is not None:
            why = _too_late(case, way.policy, step, steps, way.since, said)
        if why is None and subject is not None:
            why = _unfulfilled(step, subject, way)
        return why

    return {step.key: why for step in steps if (why := why_not(step))}


def has_when(step: Step) -> bool:
    """Whether the step is a line with a condition."""
    return step.rung is not None and bool(step.rung.when)


def _too_late(
    case: Case,
    policy: Policy,
    step: Step,
    steps: Sequence[Step],
    since: datetime,
    said: Collection[str],
) -> str | None:
    """A moment that lay before these lines held is not made up for, but that the customer hears."""
    if step.due_at > since or step.rung is None:
        return None
    match step.rung.do:
        case StepKind.RETRY:
            return "its moment lay before these lines held: the bank's answer changed since"
        case StepKind.EMAIL | StepKind.SMS:
            template = template_for(case, step.template or "", policy)
            return f"{template} was said before these lines held" if template in said else None
        case StepKind.ANNOUNCE:
            return _outdone(step, steps, since)
        case _:
            return None


def _outdone(step: Step, steps: Sequence[Step], since: datetime) -> str | None:
    """Of announcements that lay before these lines held, the last one says it all."""
    later = [
        other
        for other in steps
        if other.rung is not None
        and other.rung.do is StepKind.ANNOUNCE
        and step.order < other.order
        and other.due_at <= since
    ]
    return f"missed: {later[-1].key.rpartition('/')[2]} lay before too" if later else None


def _unfulfilled(step: Step, subject: Subject, way: Way) -> str | None:
    rung = step.rung
    if rung is None or not rung.when:
        return None
    why = holds(rung.when, subject, way.policy.terms)
    return why and f"its condition does not hold: {why}"


def _said(case: Case) -> frozenset[str]:
    """The messages that reached, or may have reached, the customer."""
    return frozenset(step.template for step in case.done if step.told and step.template)
