"""Walk a case to its end as the executor would: one step at a time, on a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from dunning.core.case import advance
from dunning.core.days import Day
from dunning.core.events import (
    Actor,
    AttemptStatus,
    BillingEvent,
    OnCancel,
    StepDeferred,
    StepEnded,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.places import CHARGES
from dunning.core.plan import Plan, plan
from dunning.core.policy import Policy, Reach, Retries
from dunning.core.steps import Step, in_order
from tests import builders as b
from tests.policies import policy, rung

FOREVER = 500
PUT_OFF = "put off"
# How a step may end: a decline code for a charge, a result for anything, or put off for hours.
Answer = str | StepResult


@dataclass(frozen=True)
class Act:
    """One step that was really begun, in the case and with the plan as they were."""

    at: datetime
    step: Step
    case: Case
    result: Answer

    @property
    def name(self) -> str:
        return self.step.key.rpartition("/")[2]

    @property
    def ended(self) -> bool:
        return self.result != PUT_OFF


@dataclass
class Walk:
    """A case being walked; `looks` is every plan that was made on the way."""

    case: Case
    policy: Policy
    now: datetime = b.T0
    acts: list[Act] = field(default_factory=list)
    skips: list[tuple[datetime, Step]] = field(default_factory=list)
    looks: list[tuple[datetime, Plan]] = field(default_factory=list)

    def look(self) -> Plan:
        """The plan of this moment, with what must hold of every plan."""
        seen = plan(self.case, self.policy, self.now)
        assert seen.steps == in_order(seen.steps)
        due = seen.due(self.now)
        if not due:
            assert seen.next_at is None or seen.next_at > self.now, seen
        self.looks.append((self.now, seen))
        return seen

    def tell(self, *events: BillingEvent) -> None:
        for event in events:
            self.case = advance(self.case, event)

    def names(self, *kinds: StepKind) -> list[str]:
        """What was begun, in order."""
        return [act.name for act in self.acts if not kinds or act.step.kind in kinds]

    def skipped(self) -> dict[str, str]:
        """What was not to be done, and why."""
        return {step.key.rpartition("/")[2]: step.skip or "" for _, step in self.skips}

    def one_look(self, answers: Iterator[Answer]) -> bool:
        """Put the skipped on record and do the next step. False: nothing is due now."""
        seen = self.look()
        while passed := [step for step in seen.due(self.now) if step.skip]:
            for step in passed:
                self.skips.append((self.now, step))
                self.tell(ending(step, self.now, StepResult.SKIPPED))
            seen = self.look()
        due = next(iter(seen.due(self.now)), None)
        if due is None:
            return False
        answer = next(answers, None) or default(due)
        self.acts.append(Act(self.now, due, self.case, answer))
        self.tell(*told(due, self.now, answer))
        return True


def default(step: Step) -> Answer:
    """Charges are declined for want of money, everything else works."""
    return "insufficient_funds" if step.kind is StepKind.RETRY else StepResult.DONE


def ending(step: Step, now: datetime, result: StepResult) -> StepEnded:
    return StepEnded(id=step.key, at=now, kind=step.kind, result=result, template=step.template)


def told(step: Step, now: datetime, answer: Answer) -> list[BillingEvent]:
    """What the executor and the provider say of a step that was begun."""
    if answer == PUT_OFF:
        until = now + timedelta(hours=7)
        return [StepDeferred(id=step.key, at=now, until=until, why="the provider is away")]
    if isinstance(answer, StepResult):
        return [ending(step, now, answer)]
    if step.kind is not StepKind.RETRY:
        return [ending(step, now, StepResult.DONE)]
    tried = b.attempt(
        AttemptStatus.DECLINED,
        now,
        code=answer,
        by=Actor.OURS,
        key=step.key,
        name=f"ch_{step.key[-16:]}_{now:%d%H%M}",
        method=None,
    )
    return [b.attempted(tried), ending(step, now, StepResult.DECLINED)]


def walk(
    case: Case,
    by: Policy,
    *,
    start: datetime = b.T0,
    world: Iterable[BillingEvent] = (),
    answers: Iterable[Answer] = (),
    until: datetime | None = None,
) -> Walk:
    """Walk from `start` (the worker was away before) until nothing is planned any more.

    `world` is what happens meanwhile, told when its time comes; `answers` how the steps end.
    """
    walked = Walk(case, by, start)
    coming = sorted(world, key=lambda event: event.at)
    answered = iter(answers)
    for _ in range(FOREVER):
        while coming and coming[0].at <= walked.now:
            walked.tell(coming.pop(0))
        if walked.one_look(answered):
            continue
        moments = [walked.looks[-1][1].next_at, coming[0].at if coming else None]
        next_at = min((moment for moment in moments if moment), default=None)
        if next_at is None or (until is not None and next_at > until):
            return walked
        walked.now = next_at
    raise AssertionError(f"no end after {FOREVER} looks: {walked.names()}")


# --- policies and answers at random ----------------------------------------------------------

# Every line a policy may have here; with `unique` offsets and kinds, as the policy file demands.
LINES = (
    rung("email", 0, template="payment_failed"),
    rung("retry", 0),
    rung("retry", 1),
    rung("retry", 2, clock=time(2, 30)),
    rung("email", 3, template="reminder"),
    rung("retry", 3, clock=time(8)),
    rung("retry", 5, on=(Day.PAYDAY,)),
    rung("retry", 7, on=(Day.PAYDAY, Day.WEEKDAY)),
    rung("email", 9, template="reminder"),
    rung("restrict", 10),
    rung("email", 11, template="final_notice"),
    rung("retry", 12),
    rung("retry", 13.9, clock=time(23, 59)),
    rung("email", 16, template="reminder"),
    rung("retry", 16),
    rung("retry", 21, on=(Day.PAYDAY,)),
    rung("email", 25, template="final_notice"),
)
DOOR_LINES = (
    rung("suspend", 14),
    rung("retry", before=timedelta(hours=1), anchor=StepKind.SUSPEND),
    rung("give_up", 28),
    rung("retry", before=timedelta(days=1), anchor=StepKind.GIVE_UP),
)
# With and without suspension, a last chance before it, a give_up of its own, one before that.
DOORS_OF = tuple(
    tuple(DOOR_LINES[i] for i in chosen)
    for chosen in ((), (0,), (0, 1), (0, 2), (0, 1, 2), (2, 3), (0, 1, 2, 3))
)
WINDOWS = ((time(9), time(18)), (time(0), time(23, 59)), None)
OWNERS = (Retries.OURS, Retries.OURS, Retries.SIGNAL)


@st.composite
def policies(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Policy:
    """Valid policies of every shape, their lines in any order."""
    chosen = draw(st.integers(0, 2 ** len(LINES) - 1))
    lines = [line for place, line in enumerate(LINES) if chosen >> place & 1]
    lines += draw(st.sampled_from(DOORS_OF))
    Random(chosen).shuffle(lines)
    return policy(
        *lines,
        send_between=draw(st.sampled_from(WINDOWS)),
        timezone=draw(st.sampled_from(("UTC", "America/New_York", "Asia/Kolkata"))),
        retries=draw(st.sampled_from(OWNERS)),
        access=draw(st.sampled_from(Reach)),
        on_cancel=draw(st.sampled_from(OnCancel)),
        backup_methods=draw(st.sampled_from(((), ("card",), ("any",)))),
        backup_after_last_retry=draw(st.booleans()),
    )


SOFT = ("insufficient_funds", "generic_decline", "processing_error", "no_such_code")
HARD = ("lost_card", "expired_card", "authentication_required")


def answers(*codes: str) -> st.SearchStrategy[list[Answer]]:
    """How the first steps of a walk end; later ones as by `default`."""
    results = (StepResult.DONE, StepResult.DOUBTFUL, StepResult.SKIPPED, StepResult.ACTION_NEEDED)
    return st.lists(st.sampled_from((PUT_OFF, *codes, *codes, *results)), max_size=25)


def charged(walked: Walk) -> list[Act]:
    """The charges that were really begun."""
    return [act for act in walked.acts if act.step.kind in CHARGES]


# --- a timeline to read off ------------------------------------------------------------------

PLAIN = policy(
    rung("email", 0, template="payment_failed"),
    rung("retry", 1),
    rung("retry", 3),
    rung("email", 3, template="reminder"),
    rung("retry", 7),
    rung("restrict", 10),
    rung("email", 11, template="final_notice"),
    rung("retry", before=timedelta(days=1), anchor=StepKind.SUSPEND),
    rung("suspend", 14),
    rung("retry", 21),
    rung("give_up", 28),
    send_between=None,
)
"""The standard timeline without times of day, so that every step has a round date."""

LADDER = {"retry:1": 1, "retry:2": 3, "retry:3": 7, "retry:4": 13, "retry:5": 21}
"""Its charges, and the day of each."""

KINDS = (StepKind.RETRY, StepKind.EMAIL, StepKind.RESTRICT, StepKind.SUSPEND, StepKind.GIVE_UP)


def dated(walked: Walk, *kinds: StepKind) -> dict[str, float]:
    """What was begun, and on which day."""
    chosen = kinds or KINDS
    return {
        act.name: (act.at - b.T0).total_seconds() / 86_400
        for act in walked.acts
        if act.step.kind in chosen
    }
