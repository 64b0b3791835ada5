"""Step; plan(case, policy, now) -> all steps still to do, afresh each time.

A step's place is an offset from the first failure, never a count of attempts. A rung whose moment
passed unused (an outage, a hold) is dropped when a later one of its kind is due as well: no burst.
A door (suspend, give up) never opens before the last chance ahead of it has been used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dunning.core.announced import await_notice
from dunning.core.around import ALONE, Around
from dunning.core.branches import way_of
from dunning.core.declines import Verdict
from dunning.core.due import as_of_now, in_hours
from dunning.core.events import StepAdvanced, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.freezing import Freeze, Stop, freeze
from dunning.core.lines import left_undone
from dunning.core.local import local_of, moment_of
from dunning.core.notices import in_time, last_look
from dunning.core.permission import charge_barred, email_barred, why_held_out, why_no_access
from dunning.core.places import (
    CHARGES,
    DOORS,
    Line,
    Placed,
    Way,
    every_way,
    left_behind,
    namespace,
    opens_from,
    placed,
)
from dunning.core.policy import Policy
from dunning.core.reactions import after_end, while_open
from dunning.core.spacing import Wait, is_try, spaced, wait_of
from dunning.core.status import State, Status, status, verdict
from dunning.core.steps import Step, fitting_template, in_order, short_name
from dunning.core.words import MESSAGES

# By names of their own: to look `StepKind.RESTRICT` up takes as long as to call a function.
_RESTRICT, _ANNOUNCE = StepKind.RESTRICT, StepKind.ANNOUNCE
_DONE = StepResult.DONE
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


def plan(
    case: Case,
    policy: Policy,
    now: datetime,
    known: Status | None = None,
    around: Around = ALONE,
    *,
    brief: bool = False,
) -> Plan:
    """Every step of the case still to do. A case that has ended never plans a charge.

    `brief`: without most of the lines that lay before a move and will never be done.
    """
    present = known or status(case)
    if case.notice is not None:
        return _of_notice(case, policy, now, present, around)
    if not present.state.is_open:
        if present.state is State.NONE:
            return Plan()
        left = _ready(case, after_end(case, policy, present))
        return Plan(steps=in_hours(case, policy, left, now))
    way = way_of(case, policy)
    ladder = _ladder(case, way, now, present, around, brief=brief)
    steps = _ready(case, while_open(case, way.policy, ladder), ladder)
    if case.adopted is not None:
        resumes_at = case.adopted.resumes_at
        steps = in_order(_not_before(step, resumes_at) for step in steps)
    steps = await_notice(case, way, _bar_doors(steps), now)
    standing = freeze(case, now)
    if standing:
        steps = _frozen(case, steps, standing)
    return Plan(steps=as_of_now(case, policy, steps, now), frozen=standing)


def _of_notice(case: Case, policy: Policy, now: datetime, present: Status, around: Around) -> Plan:
    """The steps of a case that only tells of what lies ahead; see `core.notices`."""
    if not present.state.is_open:
        return Plan()
    ladder = in_time(
        case, policy, _ladder(case, way_of(case, policy), now, present, around, brief=False), now
    )
    steps, standing = _ready(case, ladder), freeze(case, now)
    if standing:
        steps = _frozen(case, steps, standing)
    # Whatever it stands still for, it ends with its moment.
    steps = in_order((*steps, *_ready(case, [last_look(case, policy)])))
    return Plan(steps=as_of_now(case, policy, steps, now), frozen=standing)


def _ready(case: Case, steps: Iterable[Step], ladder: Iterable[Step] = ()) -> tuple[Step, ...]:
    """Take out what is done, put off what was deferred, and sort; a ladder has nothing done."""
    ended = {step.id for step in case.done}
    left = [*ladder, *[step for step in steps if step.key not in ended]]
    if case.deferred:
        until = {step.id: step.until for step in case.deferred}
        left = [_not_before(s, until[s.key]) if s.key in until else s for s in left]
    return in_order(left)


def _not_before(step: Step, moment: datetime) -> Step:
    return step.put_to(moment) if moment > step.due_at else step


def _bar_doors(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Hold a door until every charge that belongs before it has been tried or ruled out."""
    chances = [step for step in steps if step.skip is None and step.kind in CHARGES]
    moved = False
    found = []
    for step in steps:
        put_to = step.due_at
        if chances and step.kind in DOORS:
            for chance in chances:
                if chance.due_at > put_to and chance.order < step.order:
                    put_to, moved = chance.due_at, True
        found.append(step if put_to is step.due_at else step.put_to(put_to))
    return in_order(found) if moved else steps


def _frozen(case: Case, steps: tuple[Step, ...], standing: Freeze) -> tuple[Step, ...]:
    """Put everything off to the end of the freeze; ask the provider daily if that is unknown."""
    until = standing.until
    # Who is exempt is not charged by the provider either: to look, and to take over, goes on.
    free = tuple(
        step for step in steps if standing.stop is Stop.EXEMPT and step.kind is StepKind.RECONCILE
    )
    steps = tuple(step for step in steps if step not in free)
    if until is not None:
        return in_order((*free, *(_not_before(step, until) for step in steps)))
    held = tuple(step._replace(held=True) for step in steps)
    if standing.stop.by_people:
        return in_order((*free, *held))
    asked = [step.at for step in case.done if "/reconcile:frozen" in step.id]
    check = Step(
        key=f"{case.id}/reconcile:frozen:{len(asked) + 1}",
        kind=StepKind.RECONCILE,
        due_at=max([standing.since, *asked]) + FROZEN_CHECK,
        why=f"{standing.why}: ask the provider how it stands",
    )
    return in_order((*_ready(case, [check]), *held))


# --- the timeline --------------------------------------------------------------------------


def _ladder(
    case: Case, way: Way, now: datetime, present: Status, around: Around, *, brief: bool
) -> list[Step]:
    """The lines that hold now as dated steps, with what must be dropped marked as such."""
    ended = {step.id: step for step in case.done}
    # Which line is owed since a move hangs on all of them.
    place = placed(case, way.whole)
    lines = _left(way, place) if brief else way.lines
    whole = _lines(case, way, place, lines, () if place.change else ended)
    ahead: list[Step] = []
    opened: list[Step] = []
    for step in whole:
        done = ended.get(step.key)
        if done is None:
            ahead.append(step)
        elif done.result is _DONE and step.kind in DOORS:
            opened.append(step)
    left = left_behind(case, place, whole)
    if left and around.begun:
        left = {key: why for key, why in left.items() if key not in around.begun}
    if case.advanced:
        pulled = {told.step: told for told in case.advanced}
        ahead = [_pulled(step, pulled.get(step.key)) for step in ahead]
    undone = {**left_undone(case, way, ahead, present, around), **left}
    standing = ahead
    found: list[Step] = []
    if undone:
        standing = [step for step in ahead if step.key not in undone]
        found = [step.left_out(undone[step.key]) for step in ahead if step.key in undone]
    if standing:
        found += map(_Judge(case, way.policy, standing, opened, now).judged, standing)
    if around.begun:
        begun = around.begun.difference(ended, (step.key for step in whole))
        found += _begun_elsewhere(case, way, begun)
    return found


def _left(way: Way, place: Placed) -> Sequence[Line]:
    """The lines without those that surely lay before the case was moved to them."""
    change = place.change
    if change is None or change.owed:
        return way.lines
    gone = change.at - place.start
    return [line for line in way.lines if line.is_door or line.latest >= gone]


def _begun_elsewhere(case: Case, way: Way, begun: frozenset[str]) -> list[Step]:
    """What was begun while other lines held, and whose ending nobody knows: it comes first."""
    why = "begun before the bank's answer changed; its ending is asked for"
    place = placed(case, way.whole)
    ways = every_way(way.whole)
    found = {step.key: step for other in ways for step in _lines(case, other, place, other.lines)}
    return [found[key]._replace(why=why) for key in sorted(begun) if key in found]


def timeline(case: Case, policy: Policy) -> list[Step]:
    """Every line that holds for this case now, with its date, done or not."""
    way = way_of(case, policy)
    return _lines(case, way, placed(case, policy), way.lines)


def line_keys(case: Case, policy: Policy) -> frozenset[str]:
    """The keys of every line of the policy, whichever branch it is in."""
    place = placed(case, policy)
    ways = every_way(policy)
    return frozenset(s.key for way in ways for s in _lines(case, way, place, way.lines))


def _lines(
    case: Case, way: Way, place: Placed, lines: Sequence[Line], ended: Collection[str] = ()
) -> list[Step]:
    """The lines with their dates; of those that have `ended` only the doors: others need none."""
    start, change = place.start, place.change
    local = local_of(case, way.policy)
    plain = f"{case.id}/"
    space = plain + namespace(case)
    steps = []
    for line in lines:
        key = (plain if line.is_door else space) + line.name
        if key in ended and not line.is_door:
            continue
        rung, due_at = line.rung, start + line.offset
        if not line.is_plain:
            due_at = moment_of(rung, due_at, key, local, line.hours)
        if change is not None and line.is_door:
            due_at = max(due_at, opens_from(change, line.kind))
        # In the order of its fields: by name it takes twice as long.
        steps.append(Step(key, line.kind, due_at, line.why, line.order, rung, rung.template))
    return steps


def _pulled(step: Step, told: StepAdvanced | None) -> Step:
    """Bring a step forward to when a person wanted it; what is due earlier stays so."""
    if told is None or told.at >= step.due_at:
        return step
    why = f"brought forward by {told.by}: {told.why}"
    return step._replace(due_at=told.at, why=f"{step.why}; {why}", moved=why)


@dataclass(slots=True)
class _Judge:
    """Says whether a line that holds may be done at all, and when at the earliest."""

    case: Case
    policy: Policy
    steps: list[Step]
    opened: list[Step]
    now: datetime
    no_charge: str | None = field(init=False)
    no_email: str | None = field(init=False)
    doors: list[Step] = field(init=False)
    wait: Wait | None = field(init=False)
    said: Verdict | None = field(init=False)

    def __post_init__(self) -> None:
        self.doors = [step for step in self.steps if step.kind in DOORS]
        held_out, said = why_held_out(self.case), verdict(self.case, self.policy.declines)
        self.no_charge = held_out or charge_barred(self.case, self.policy, said)
        self.no_email = held_out or email_barred(said)
        self.wait = None if self.no_charge else wait_of(self.case, said)
        self.said = said

    def judged(self, step: Step) -> Step:
        """The step with its reason not to be done, if there is one, and when it may be."""
        kind = step.kind
        if kind in CHARGES:
            return self._charge(step)
        if kind in MESSAGES:
            return self._message(step)
        why = None
        if kind in TAKES_ACCESS:
            why = why_no_access(self.case)
        elif kind is _ANNOUNCE:
            why = self._late(step)
        if why is None and kind is _RESTRICT:
            why = _overtaken(step, [*self.doors, *self.opened], self.now)
        return step.left_out(why) if why else step

    def _charge(self, step: Step) -> Step:
        if self.no_charge:
            return step.left_out(self.no_charge)
        if self.wait is not None and self.wait.until > step.due_at:
            step = spaced(self.case, self.wait, step, self.doors)
        why = step.skip or _missed(step, self.steps, self.now)
        return step.left_out(why) if why else step

    def _message(self, step: Step) -> Step:
        template = fitting_template(step.template or "", self.said, by_hand=self.case.by_hand)
        why = self.no_email or self._late(step) or _missed(step, self.steps, self.now)
        same = template == step.template and why == step.skip
        return step if same else step._replace(template=template, skip=why)

    def _late(self, step: Step) -> str | None:
        """What was to be said before a door is not true any more once it has opened."""
        for door in self.opened:
            if door.order > step.order:
                return f"overtaken by {door.kind.value}"
        return None


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
    why = f"missed: {short_name(max(later, key=lambda other: other.order))} is due as well"
    return f"{why}; {step.moved}" if step.moved else why


def _overtaken(step: Step, doors: list[Step], now: datetime) -> str | None:
    for door in doors:
        if door.order >= step.order and door.due_at <= now:
            return "overtaken by suspension"
    return None


def tried(case: Case) -> int:
    """How many charges of ours were really made for this case."""
    return sum(1 for step in case.done if is_try(step))
