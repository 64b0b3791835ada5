"""Step; plan(case, policy, now) -> all steps still to do, afresh each time.

A step's place is an offset from the first failure, never a count of attempts. A rung whose moment
passed unused (an outage, a hold) is dropped when a later one of its kind is due as well: no burst.
A door (suspend, give up) never opens before the last chance ahead of it has been used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dunning.core.calendar import Local, in_window
from dunning.core.events import StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.local import hours_of, local_of, moment_of
from dunning.core.permission import template_for, why_no_access, why_no_charge, why_no_email
from dunning.core.places import DOORS, offsets, starts_at, why_left_out
from dunning.core.policy import Policy, Retries, Rung
from dunning.core.reactions import after_end, while_open
from dunning.core.status import (
    Freeze,
    Status,
    freeze,
    last_decline,
    status,
    verdict,
)
from dunning.core.steps import Step

CHARGES = (StepKind.RETRY, StepKind.SIGNAL)
TAKES_ACCESS = (StepKind.RESTRICT, StepKind.SUSPEND)
# A payment in process or a dispute: ask the provider once a day how it stands.
FROZEN_CHECK = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps still to do, soonest first, and what stands in their way."""

    steps: tuple[Step, ...] = ()
    frozen: Freeze | None = None

    @property
    def next_at(self) -> datetime | None:
        """When the case must be looked at again; None: only an event can move it."""
        return min((step.due_at for step in self.steps if not step.held), default=None)

    def due(self, now: datetime) -> tuple[Step, ...]:
        """The steps whose moment has come, in the order in which they are to be done."""
        return tuple(step for step in self.steps if step.due_at <= now and not step.held)


def plan(case: Case, policy: Policy, now: datetime, known: Status | None = None) -> Plan:
    """Every step of the case still to do. A case that has ended never plans a charge."""
    present = known or status(case)
    if not present.books.entries:
        return Plan()
    if not present.state.is_open:
        left = _ready(case, after_end(case, policy, present))
        return Plan(steps=_in_window(case, policy, left, now))
    ladder = _ladder(case, policy, now)
    steps = _ready(case, [*while_open(case, policy, ladder), *ladder])
    if case.adopted is not None:
        resumes_at = case.adopted.resumes_at
        steps = _sorted(replace(step, due_at=max(step.due_at, resumes_at)) for step in steps)
    steps = _bar_doors(steps)
    standing = freeze(case, now)
    if standing:
        steps = _frozen(case, steps, standing)
    steps = _one_message(_one_charge(steps, now), now)
    return Plan(steps=_in_window(case, policy, steps, now), frozen=standing)


def _ready(case: Case, steps: Iterable[Step]) -> tuple[Step, ...]:
    """Take out what is done, put off what was deferred, and sort."""
    ended = {step.id for step in case.done}
    until = {step.id: step.until for step in case.deferred}
    left = [
        replace(step, due_at=max(step.due_at, until[step.key])) if step.key in until else step
        for step in steps
        if step.key not in ended
    ]
    return _sorted(left)


def _bar_doors(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Hold a door until every charge that belongs before it has been tried or ruled out."""
    held: list[Step] = []
    for step in steps:
        due = step.due_at
        if step.kind in DOORS:
            before = [
                other.due_at
                for other in steps
                if other.kind in CHARGES and other.order < step.order and other.skip is None
            ]
            due = max([due, *before])
        held.append(step if due == step.due_at else replace(step, due_at=due))
    return _sorted(held)


def _sorted(steps: Iterable[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: (step.due_at, step.order, step.key)))


def _one_charge(steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    """Of what is due, one charge at a time; a door waits for those before it, and others for it.

    A held step is neither dropped nor used up: it is due as soon as what it waits for is done.
    """
    doors = [step.order for step in steps if step.kind in DOORS]
    waiting = {step.key for step in steps if step.rung and any(door < step.order for door in doors)}
    due = [step for step in steps if _stands(step, now) and step.key not in waiting]
    charges = [step for step in due if step.kind in CHARGES]
    waiting.update(step.key for step in charges[1:])
    waiting.update(
        door.key
        for door in due
        if door.kind in DOORS and any(charge.order < door.order for charge in charges)
    )
    return tuple(
        replace(step, held=True) if step.key in waiting and _stands(step, now) else step
        for step in steps
    )


def _one_message(steps: tuple[Step, ...], now: datetime) -> tuple[Step, ...]:
    """Of the messages that are due, the last one says it all."""
    emails = [step for step in steps if _stands(step, now) and step.kind is StepKind.EMAIL]
    if not emails:
        return steps
    why = f"missed: {_short(emails[-1])} is due as well"
    return tuple(replace(step, skip=why) if step in emails[:-1] else step for step in steps)


def _stands(step: Step, now: datetime) -> bool:
    return step.due_at <= now and step.skip is None and not step.held


def _in_window(
    case: Case, policy: Policy, steps: tuple[Step, ...], now: datetime
) -> tuple[Step, ...]:
    """Let a step whose moment passed (an outage, a hold) wait for the next opening of its hours."""
    zone = local_of(case, policy).zone

    def opened(step: Step) -> Step:
        if not _stands(step, now):
            return step
        opens = in_window(now, hours_of(step.rung, step.kind, policy), zone)
        return replace(step, due_at=opens) if opens > now else step

    return _sorted(opened(step) for step in steps)


def _short(step: Step) -> str:
    return step.key.rpartition("/")[2]


def _frozen(case: Case, steps: tuple[Step, ...], standing: Freeze) -> tuple[Step, ...]:
    """Put everything off to the end of the freeze; ask the provider daily if that is unknown."""
    if standing.until is not None:
        until = standing.until
        return tuple(replace(step, due_at=max(step.due_at, until)) for step in steps)
    held = tuple(replace(step, held=True) for step in steps)
    if standing.why.startswith("on hold"):
        return held
    asked = [step.at for step in case.done if "/reconcile:frozen" in step.id]
    check = Step(
        key=f"{case.id}/reconcile:frozen:{len(asked) + 1}",
        kind=StepKind.RECONCILE,
        due_at=max([standing.since, *asked]) + FROZEN_CHECK,
        why=f"{standing.why}: ask the provider how it stands",
    )
    return (*_ready(case, [check]), *held)


# --- the timeline --------------------------------------------------------------------------


def _ladder(case: Case, policy: Policy, now: datetime) -> list[Step]:
    """The policy's lines as dated steps, with what must be dropped marked as such."""
    ended = {step.id: step.result for step in case.done}
    whole = timeline(case, policy)
    opened = [
        step for step in whole if step.kind in DOORS and ended.get(step.key) is StepResult.DONE
    ]
    steps = [step for step in whole if step.key not in ended]
    return [_judged(case, policy, step, steps, opened, now) for step in steps]


def timeline(case: Case, policy: Policy) -> list[Step]:
    """Every line of the policy with its date for this case, done or not."""
    number: Counter[StepKind] = Counter()
    start = starts_at(case, policy)
    local = local_of(case, policy)
    steps = []
    for rung, offset in offsets(policy):
        number[rung.do] += 1
        steps.append(_dated(case, policy, rung, start, offset, local, number[rung.do]))
    return steps


def _dated(
    case: Case,
    policy: Policy,
    rung: Rung,
    start: datetime,
    offset: timedelta,
    local: Local,
    number: int,
) -> Step:
    key = f"{case.id}/{rung.do.value}:{number}"
    kind = rung.do
    if kind is StepKind.RETRY and policy.retries is Retries.SIGNAL:
        kind = StepKind.SIGNAL
    return Step(
        key=key,
        kind=kind,
        due_at=moment_of(rung, start + offset, key, local, hours_of(rung, kind, policy)),
        # The place on the timeline decides between steps of one moment, and what is a chance
        # ahead of which door.
        order=10 + _seconds(offset),
        rung=rung,
        template=rung.template,
        why=f"policy {policy.name}: {rung.do.value} {number} at {_span(offset)}",
    )


def _judged(
    case: Case, policy: Policy, step: Step, steps: list[Step], opened: list[Step], now: datetime
) -> Step:
    """Say whether the step may be done at all, and when at the earliest."""
    if why := why_left_out(case, step.kind, step.due_at):
        return replace(step, skip=why)
    if step.kind in CHARGES:
        step = _spaced(case, step)
        why = why_no_charge(case, policy) or _missed(step, steps, now)
        return replace(step, skip=why) if why else step
    if step.kind is StepKind.EMAIL:
        template = template_for(case, step.template or "")
        why = why_no_email(case)
        # What was to be said before a door is not true any more once it has opened.
        late = next((door.kind.value for door in opened if door.order > step.order), None)
        why = why or (late and f"overtaken by {late}") or _missed(step, steps, now)
        same = template == step.template and why == step.skip
        return step if same else replace(step, template=template, skip=why)
    if step.kind is StepKind.ANNOUNCE:
        late = next((door.kind.value for door in opened if door.order > step.order), None)
        return replace(step, skip=f"overtaken by {late}") if late else step
    if step.kind in TAKES_ACCESS and (why := why_no_access(case)):
        return replace(step, skip=why)
    if step.kind is StepKind.RESTRICT and (why := _overtaken(step, [*steps, *opened], now)):
        return replace(step, skip=why)
    return step


def _spaced(case: Case, step: Step) -> Step:
    """Leave the time between two charges that the bank's answer asks for."""
    last, said = last_decline(case), verdict(case)
    if last is None or said is None or said.wait is None:
        return step
    earliest = last.at + said.wait
    return step if earliest <= step.due_at else replace(step, due_at=earliest)


def _missed(step: Step, steps: list[Step], now: datetime) -> str | None:
    """Drop a rung when a later one of its kind is due too.

    The last charge ahead of a door that is still to open is not dropped: it is its last chance.
    """
    if step.due_at > now:
        return None

    def last_chance(other: Step) -> bool:
        between = (door.order for door in steps if door.kind in DOORS)
        return step.kind in CHARGES and any(step.order < at <= other.order for at in between)

    later = [
        other
        for other in steps
        if other.kind is step.kind
        and other.order > step.order
        and other.due_at <= now
        and not last_chance(other)
    ]
    if not later:
        return None
    return f"missed: {_short(max(later, key=lambda other: other.order))} is due as well"


def _overtaken(step: Step, steps: list[Step], now: datetime) -> str | None:
    door = any(s.kind in DOORS and s.order >= step.order and s.due_at <= now for s in steps)
    return "overtaken by suspension" if door else None


def _seconds(span: timedelta) -> int:
    return span.days * 86_400 + span.seconds


def _span(offset: timedelta) -> str:
    hours, rest = divmod(_seconds(offset), 3600)
    if rest:
        return f"{_seconds(offset) // 60}m"
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


def tried(case: Case) -> int:
    """How many charges of ours were really made for this case."""
    made = (StepResult.DONE, StepResult.DECLINED, StepResult.ACTION_NEEDED, StepResult.PROCESSING)
    return sum(1 for s in case.done if s.kind is StepKind.RETRY and s.result in made)
