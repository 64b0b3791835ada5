"""What becomes of a case under a policy, and how that differs under another one.

The future of a case is its plan: exact where every charge fails and nobody pays, writes or calls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from dunning.core.around import ALONE, Around
from dunning.core.calendar import opening
from dunning.core.declines import Verdict
from dunning.core.events import PolicyChanged, StepKind
from dunning.core.facts import Case, moved_to
from dunning.core.freezing import freeze
from dunning.core.local import local_of, message_hours
from dunning.core.permission import email_barred
from dunning.core.places import CHARGES, DOORS, NOTICE, starts_at
from dunning.core.plan import Plan, plan, timeline
from dunning.core.policy import Policy
from dunning.core.reactions import tells_of_suspension
from dunning.core.status import Status, status, verdict
from dunning.core.steps import Step
from dunning.core.terms import under

# By names of their own: to look `StepKind.EMAIL` up takes as long as to call a function.
_EMAIL, _SUSPEND, _GIVE_UP = StepKind.EMAIL, StepKind.SUSPEND, StepKind.GIVE_UP
# These follow from what is found on the way, not from the policy.
_BESIDE = (StepKind.RECONCILE, StepKind.RESTORE)


@dataclass(frozen=True, slots=True)
class Version:
    """A policy with the hash of its content, which is its version."""

    policy: Policy
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who changes the policy of a case, by which change of the file, when, and why."""

    id: str
    at: datetime
    why: str
    by: str


@dataclass(frozen=True, slots=True)
class Future:
    """The steps a case will come to, by kind, each with its moment in order."""

    steps: Mapping[StepKind, Sequence[datetime]]

    def first(self, kind: StepKind) -> datetime | None:
        """The first step of the kind, if there is one."""
        return next(iter(self.steps.get(kind, ())), None)


@dataclass(frozen=True, slots=True)
class Change:
    """One case under the policy it has and under another one."""

    event: PolicyChanged
    before: Future
    after: Future

    @property
    def suspends_sooner(self) -> bool:
        """Whether the customer would lose access sooner, or where they would have kept it."""
        old, new = self.before.first(_SUSPEND), self.after.first(_SUSPEND)
        return new is not None and (old is None or new < old)


def look_ahead(
    case: Case,
    old: Version,
    new: Version,
    person: Person,
    known: Status | None = None,
    around: Around = ALONE,
) -> Change | None:
    """What the case would live through if it were moved now; None: it stands still, who knows.

    A case on hold is looked at from the end of the hold.
    """
    known = known or status(case)
    standing, begins = freeze(case, person.at), person.at
    if standing is not None and standing.until is None:
        return None
    ahead = plan(case, old.policy, begins, known, around)
    event = _news(case, old, new, person, ahead)
    if standing is not None and standing.until is not None and standing.until > begins:
        begins = standing.until
        ahead = plan(case, old.policy, begins, known, around)
    moved = under(as_it_was := moved_to(case, event), new.policy)
    if moved is not as_it_was:
        known = status(moved)
    then = plan(moved, new.policy, begins, known, around, brief=True)
    before = _future(case, old.policy, ahead, begins)
    return Change(event, before, _future(moved, new.policy, then, begins))


def change_to(
    case: Case, old: Version, new: Version, person: Person, around: Around = ALONE
) -> PolicyChanged:
    """The news that the case goes on under another version, with what the former one owes it."""
    ahead = plan(case, old.policy, person.at, around=around)
    return _news(case, old, new, person, ahead)


def _news(case: Case, old: Version, new: Version, person: Person, ahead: Plan) -> PolicyChanged:
    doors = {step.kind: step.due_at for step in ahead.steps if step.kind in DOORS}
    notice = person.at + NOTICE
    return PolicyChanged(
        id=person.id,
        at=person.at,
        policy=new.policy.name,
        version=new.hash,
        former_policy=old.policy.name,
        former_version=old.hash,
        why=person.why,
        by=person.by,
        suspends_from=min(doors.get(_SUSPEND, notice), notice),
        gives_up_from=min(doors.get(_GIVE_UP, notice), notice),
        owed=_owed(case, old.policy, ahead, person.at),
    )


def _owed(case: Case, policy: Policy, ahead: Plan, now: datetime) -> tuple[StepKind, ...]:
    """The kinds of which a line whose moment has come is still to be done: late, or put off."""
    left = [step for step in ahead.steps if step.rung and step.skip is None]
    gone = (now - starts_at(case, policy)).total_seconds()
    # A line is never due before its place; most cases have none whose place has come.
    near = {step.key for step in left if step.order - 10 <= gone}
    if not near:
        return ()
    due = {step.key for step in timeline(case, policy) if step.due_at <= now}
    kinds = {s.rung.do for s in left if s.rung and s.key in near & due and s.kind not in DOORS}
    return tuple(sorted(kinds))


def _future(case: Case, policy: Policy, ahead: Plan, now: datetime) -> Future:
    """Every step that will be done, with the message that follows a suspension."""
    steps: dict[StepKind, list[datetime]] = defaultdict(list)
    left = [step for step in ahead.steps if step.skip is None and step.kind not in _BESIDE]
    said = verdict(case, policy.declines)
    for step in _apart(left, said, now):
        steps[step.kind].append(max(step.due_at, now))
    doors = steps.get(_SUSPEND)
    if doors and not tells_of_suspension(policy) and email_barred(said) is None:
        emails = steps[_EMAIL]
        emails.append(opening(doors[0], message_hours(policy), local_of(case, policy)))
        emails.sort()
    return Future(steps)


def _apart(steps: list[Step], said: Verdict | None, now: datetime) -> list[Step]:
    """The same with the time between charges that the bank will ask for each time it declines.

    What that pushes on to a later charge is dropped as missed, and doors wait, as in `core.plan`.
    """
    charges = [step for step in steps if step.kind in CHARGES]
    if len(charges) < 2:
        return steps
    wait = said.wait if said is not None and said.wait is not None else timedelta(0)
    near = any(b.due_at - max(a.due_at, now) < wait for a, b in pairwise(charges))
    if not near:
        return steps
    doors = [step for step in steps if step.kind in DOORS]
    made: list[Step] = []
    while charges:
        if made:
            earliest = made[-1].due_at + wait
            charges = [s._replace(due_at=max(s.due_at, earliest)) for s in charges]
        moment = max(min(step.due_at for step in charges), now)
        due = sorted((s for s in charges if s.due_at <= moment), key=lambda step: step.order)
        first = next(s for i, s in enumerate(due) if not _missed(s, due[i + 1 :], doors))
        made.append(first._replace(due_at=moment))
        gone = {s.key for s in due if s.order < first.order} | {first.key}
        charges = [step for step in charges if step.key not in gone]
    held = [
        door._replace(
            due_at=max([door.due_at, *(s.due_at for s in made if s.order < door.order)]),
        )
        for door in doors
    ]
    others = [s for s in steps if s.kind not in CHARGES and s.kind not in DOORS]
    return sorted([*others, *made, *held], key=lambda step: (step.due_at, step.order))


def _missed(step: Step, later: list[Step], doors: list[Step]) -> bool:
    """Whether a later charge is due as well, with no door between the two."""
    return any(not any(step.order < door.order <= other.order for door in doors) for other in later)
