"""The time between two charges that the bank's answer asks for, and how far it may move one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from dunning.core.declines import Verdict
from dunning.core.events import StepEnded, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.status import last_decline
from dunning.core.steps import Step

# A door waits for its last chance, and a bank may ask for ten days. It waits no longer than that
# past its own moment, or past a try of ours that came late: the customer's own tries, each of which
# the bank answers anew, must not keep it shut for ever.
MOST_PAST_DOOR = timedelta(days=10)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Wait(NamedTuple):
    """No charge before then, as the bank's last answer has it."""

    until: datetime
    span: timedelta
    tried_at: datetime
    reason: str


def wait_of(case: Case, said: Verdict | None) -> Wait | None:
    """How long the bank's answer asks to wait; None: it asks for nothing."""
    if said is None or said.wait is None:
        return None
    last = last_decline(case)
    return None if last is None else Wait(last.at + said.wait, said.wait, last.at, said.reason)


def spaced(case: Case, wait: Wait, step: Step, doors: Sequence[Step]) -> Step:
    """Move a charge to when the bank's answer allows it; rule it out where no door waits so long.

    The step says what moved it, so that nothing is late or left out without a word.
    """
    earliest = wait.until
    if earliest <= step.due_at:
        return step
    tried_at = f"{wait.tried_at:%Y-%m-%d %H:%M} UTC"
    because = f"{_span(wait.span)} after the try of {tried_at}: {wait.reason}"
    ahead = (one for one in doors if one.order > step.order)
    door = min(ahead, key=lambda one: one.order, default=None)
    if door is not None and earliest > max(door.due_at, *_own(case)) + MOST_PAST_DOOR:
        late = f"more than {MOST_PAST_DOOR.days} days past {door.kind.value}"
        return step._replace(skip=f"ruled out: not before {earliest:%Y-%m-%d %H:%M} UTC, {late}")
    moved = f"moved from {step.due_at:%Y-%m-%d %H:%M} UTC to {because}"
    return step._replace(due_at=earliest, why=f"{step.why}; {moved}", moved=moved)


def _own(case: Case) -> list[datetime]:
    return [case.failed_at or _NEVER, *(step.at for step in case.done if is_try(step))]


def _span(wait: timedelta) -> str:
    hours = wait // timedelta(hours=1)
    return f"{hours} h" if hours < 48 else f"{wait.days} days"


_MADE = (StepResult.DONE, StepResult.DECLINED, StepResult.ACTION_NEEDED, StepResult.PROCESSING)


def is_try(step: StepEnded) -> bool:
    """Whether a step was a charge of ours that was really made."""
    return step.kind is StepKind.RETRY and step.result in _MADE
