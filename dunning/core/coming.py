"""When the next step of each kind will come, as customers are told: only what will really be."""

from __future__ import annotations

from datetime import datetime

from dunning.core.events import StepKind
from dunning.core.facts import Case
from dunning.core.lines import has_when
from dunning.core.permission import why_no_access, why_no_charge
from dunning.core.places import DOORS
from dunning.core.plan import TAKES_ACCESS, plan, timeline
from dunning.core.policy import Policy


def coming(case: Case, policy: Policy, now: datetime) -> dict[StepKind, datetime]:
    """The next moment of each kind of step, as the plan has it."""
    found: dict[StepKind, datetime] = {}
    charges = why_no_charge(case, policy) is None
    planned = {step.key: step for step in plan(case, policy, now).steps}
    for line in timeline(case, policy):
        step = planned.get(line.key, line)
        # Nor for a line whose condition does not hold, as far as is known.
        if step.skip and has_when(step):
            continue
        if step.kind is StepKind.RETRY and not charges:
            continue  # no date is promised for a charge that will not be made
        if step.kind in TAKES_ACCESS and why_no_access(case):
            continue
        # A door waits for what belongs before it, so its date is that of the plan.
        due_at = step.due_at if step.kind in DOORS else line.due_at
        if due_at > now and case.step(step.key) is None and step.rung is not None:
            known = found.get(step.rung.do)
            found[step.rung.do] = min(known, due_at) if known else due_at
    return found
