"""Where the lines of a policy stand, and from when on they count for a case.

They count from the first failure. A case that was taken over from a running estate may be long
past its doors: it is placed no further along than NOTICE before the next of them, and what lay
before its place is left undone. Nothing at all is done before `Adopted.resumes_at`.

A case that was moved to another version of its policy goes on at its place on the new timeline.
What lay before the move is left undone, but for the last line of a kind of which the former policy
still owed one: so one charge that waited is made, and never a burst. No door opens sooner than
NOTICE after the move, unless the former policy had it sooner. Where the new timeline would have
been there already, the case is put back so far before the door; of what lay before the move then
comes what makes the door ready, and nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from dunning.core.calendar import ALL_HOURS, Hours
from dunning.core.events import PolicyChanged, Standing, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.local import hours_of, latest
from dunning.core.notices import moment, term_space
from dunning.core.policy import Policy, Retries, Rung
from dunning.core.remembered import per_policy
from dunning.core.steps import Step
from dunning.core.words import MESSAGES

# By names of their own: to look `StepKind.EMAIL` up takes as long as to call a function.
_RETRY, _EMAIL, _RESTRICT = StepKind.RETRY, StepKind.EMAIL, StepKind.RESTRICT
_SUSPEND, _DONE = StepKind.SUSPEND, StepResult.DONE
CHARGES = frozenset((StepKind.RETRY, StepKind.SIGNAL))
DOORS = frozenset((StepKind.SUSPEND, StepKind.GIVE_UP))
# Steps of which a timeline has one at most: others may be placed by them without a name.
ONCE = (StepKind.RESTRICT, StepKind.SUSPEND, StepKind.GIVE_UP)
# What a branch has its own of, with its name in the key; the rest has one key in all branches.
REPLACED = (StepKind.RETRY, *MESSAGES, StepKind.ANNOUNCE)
# From taking a case over to the first door it comes to, at least; less only where the policy
# itself leaves less time from the failure.
NOTICE = timedelta(days=7)


def places(policy: Policy) -> list[timedelta | None]:
    """The distance of each line from the beginning, in the order of the timeline.

    None: it hangs on a line that is not there, or in the end on itself. May be below zero.
    """
    anchors = anchors_of(policy.timeline)
    return [_place(policy, i, anchors, frozenset()) for i in range(len(policy.timeline))]


def anchors_of(timeline: Sequence[Rung]) -> dict[str, int]:
    """The lines that others may be placed by: by name, and the single ones by what they do."""
    anchors: dict[str, int] = {}
    for i, rung in enumerate(timeline):
        if rung.do in ONCE:
            anchors.setdefault(rung.do.value, i)
        if rung.name is not None:
            anchors.setdefault(rung.name, i)
    return anchors


def _place(
    policy: Policy, index: int, anchors: dict[str, int], on_the_way: frozenset[int]
) -> timedelta | None:
    rung = policy.timeline[index]
    if rung.after is not None:
        return rung.after
    if rung.anchor is None and rung.before is not None:
        return -rung.before  # of a notice: before what lies ahead
    if rung.anchor is None or index in on_the_way:
        return None
    anchor = anchors.get(rung.anchor)
    if anchor is not None:
        base = _place(policy, anchor, anchors, on_the_way | {index})
    else:
        # A timeline without a line for giving up does so at the end of its window.
        base = policy.window if rung.anchor == StepKind.GIVE_UP else None
    if base is None:
        return None
    return base - rung.before if rung.before is not None else base + (rung.past or timedelta(0))


_Door = tuple[timedelta, StepKind]  # its distance from the beginning, and which it is


@per_policy
def offsets(policy: Policy) -> Sequence[tuple[Rung, timedelta]]:
    """Every line of the policy with its distance from the beginning, giving up included."""
    found = []
    if policy.kind.is_notice:
        zipped = zip(policy.timeline, places(policy), strict=True)
        return tuple((rung, place or timedelta(0)) for rung, place in zipped)
    for rung, place in zip(policy.timeline, places(policy), strict=True):
        assert place is not None, "the loader lets no line hang on nothing"
        least = policy.grace if rung.do is StepKind.SUSPEND else timedelta(0)
        found.append((rung, max(place, least)))
    if all(rung.do is not StepKind.GIVE_UP for rung in policy.timeline):
        found.append((Rung(do=StepKind.GIVE_UP, after=policy.window), policy.window))
    return tuple(found)


@per_policy
def _doors(policy: Policy) -> Sequence[_Door]:
    return sorted((offset, rung.do) for rung, offset in offsets(policy) if rung.do in DOORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a way with all that is the same for every case.

    `name` is its key behind the case's: the same in every branch, but for what each has its own of.
    """

    rung: Rung
    kind: StepKind  # what is done: where others make the charges, to say when
    name: str
    offset: timedelta
    latest: timedelta  # no later than so long after the beginning does it come by itself
    order: int  # its place in seconds: it decides between steps of one moment
    hours: Hours
    is_door: bool  # a door has one name in all versions
    why: str
    is_plain: bool = False  # it comes at its place, whatever the customer's clock and days say
    is_notice: bool = False  # it announces a door: the customer is to read it before


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The lines of `whole` that hold now, as a policy of their own.

    `since` is when the case came to them; None when they have held from the beginning.
    """

    whole: Policy
    policy: Policy
    branch: str | None = None
    lines: tuple[Line, ...]
    notices: tuple[Line, ...] = ()  # of them those that announce a door
    asks: bool = False  # whether any of them has a condition
    since: datetime | None = None


def walked(policy: Policy, branch: str | None) -> Policy:
    """The policy with the lines of a branch in the place of what they stand for.

    Restricting and doors that the branch has not stay where the timeline has them, but for those
    that would come after the branch has given up.
    """
    if branch is None:
        return replace(policy, branches=()) if policy.branches else policy
    lines = dict(policy.branches)[branch]
    own = {rung.do for rung in lines}
    kept = [
        replace(rung, after=place, before=None, past=None, anchor=None)
        for rung, place in zip(policy.timeline, places(policy), strict=True)
        if rung.do not in REPLACED and rung.do not in own and place is not None
    ]
    whole = replace(policy, timeline=(*lines, *kept), branches=())
    if StepKind.GIVE_UP not in own:
        return whole
    end = places(whole)[[rung.do for rung in lines].index(StepKind.GIVE_UP)]
    kept = [rung for rung in kept if end is None or (rung.after or end) <= end]
    return replace(whole, timeline=(*lines, *kept))


@per_policy
def every_way(policy: Policy) -> tuple[Way, ...]:
    """The timeline and each branch, whatever the case."""
    return tuple(_way(policy, name) for name in (None, *(name for name, _ in policy.branches)))


def _way(whole: Policy, branch: str | None) -> Way:
    policy = walked(whole, branch)
    lines = _lines(whole, policy, branch)
    return Way(
        whole=whole,
        policy=policy,
        branch=branch,
        lines=lines,
        notices=tuple(line for line in lines if line.is_notice),
        asks=any(rung.when for rung in policy.timeline),
    )


def _lines(whole: Policy, policy: Policy, branch: str | None) -> tuple[Line, ...]:
    number: Counter[StepKind] = Counter()
    told = f"policy {whole.name}, branch {branch}" if branch else f"policy {whole.name}"
    lines = []
    for rung, offset in offsets(policy):
        number[rung.do] += 1
        signals = rung.do is StepKind.RETRY and policy.retries is Retries.SIGNAL
        own = f"{branch}." if branch and rung.do in REPLACED else ""
        kind = StepKind.SIGNAL if signals else rung.do
        hours = hours_of(rung, kind, policy)
        line = Line(
            rung=rung,
            kind=kind,
            name=f"{own}{rung.do.value}:{number[rung.do]}",
            offset=offset,
            latest=offset + latest(rung, hours),
            order=10 + _seconds(offset),
            hours=hours,
            is_door=rung.do in DOORS,
            is_plain=hours == ALL_HOURS and not (rung.clock or rung.on or rung.jitter),
            is_notice=_announces(rung),
            why=f"{told}: {rung.do.value} {number[rung.do]} at {_span(offset)}",
        )
        lines.append(line)
    return tuple(lines)


def _announces(rung: Rung) -> bool:
    """Whether a line is an email that says that a door is about to open."""
    placed_by_one = rung.before is not None and rung.anchor in DOORS
    return rung.do is StepKind.EMAIL and (rung.template == "final_notice" or placed_by_one)


def _seconds(span: timedelta) -> int:
    return span.days * 86_400 + span.seconds


def _span(offset: timedelta) -> str:
    if offset < timedelta(0):
        return f"{_span(-offset)} before"
    hours, rest = divmod(_seconds(offset), 3600)
    if rest:
        return f"{_seconds(offset) // 60}m"
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


def starts_at(case: Case, policy: Policy) -> datetime:
    """The moment from which the policy's lines count for this case."""
    return placed(case, policy).start


class Placed(NamedTuple):
    """Where a case stands on the timeline of its policy."""

    start: datetime  # from here the lines count
    change: PolicyChanged | None = None  # the move that brought it to this policy
    door: _Door | None = None  # the next one as of the move
    # How much later the timeline counts than it would, so that this door keeps the notice.
    put_back: timedelta = timedelta(0)


def placed(case: Case, policy: Policy) -> Placed:
    """Place a case on its timeline."""
    # One kind of UTC for all moments: two kinds take ten times as long to compare.
    start = _begun_at(case, policy).astimezone(UTC)
    change = case.policy_change
    if change is None:
        return Placed(start)
    door = _next_door(case, policy, change)
    put_back = _put_back(change, start, door)
    return Placed(start + put_back, change, door, put_back)


def _begun_at(case: Case, policy: Policy) -> datetime:
    if case.notice is not None:
        return moment(case, policy.timezone)
    failed_at, adopted = case.failed_at, case.adopted
    assert failed_at is not None
    if adopted is None:
        return failed_at
    off = adopted.standing is not Standing.NORMAL
    ahead = min(
        offset
        for way in every_way(policy)
        for offset, kind in _doors(way.policy)
        if not (off and kind is StepKind.SUSPEND)
    )
    # A policy whose door comes sooner than the notice begins anew.
    place = max(ahead - NOTICE, timedelta(0))
    return max(failed_at, adopted.resumes_at - place)


def _put_back(change: PolicyChanged, start: datetime, door: _Door | None) -> timedelta:
    """How much later the timeline counts, so that its next door keeps the notice."""
    if door is None:
        return timedelta(0)
    offset, kind = door
    return max(opens_from(change, kind) - (start + offset), timedelta(0))


def _next_door(case: Case, policy: Policy, change: PolicyChanged) -> _Door | None:
    """The next one as of the move: a timeline stays where it is once a door has opened."""
    doors = _doors(policy)
    ended = {step.id: step.at for step in case.done if step.kind in DOORS}
    if doors and not ended:
        return doors[0]
    for offset, kind in doors:
        at = ended.get(f"{case.id}/{kind.value}:1")
        if at is None or at > change.at:
            return offset, kind
    return None


def opens_from(change: PolicyChanged, kind: StepKind) -> datetime:
    """The moment before which a door stays shut since the case was moved to its policy."""
    return change.suspends_from if kind is _SUSPEND else change.gives_up_from


def namespace(case: Case) -> str:
    """What the names of lines begin with, so that lines of two versions are never taken for one.

    Those of the version that the case began under, and doors of any, have plain names: what is
    done once is not done again.
    """
    if case.notice is not None:
        return term_space(case) + _version_space(case)
    return _version_space(case)


def _version_space(case: Case) -> str:
    change = case.policy_change
    if change is None:
        return ""
    several = case.policy_changes
    first = several[0] if len(several) == 1 else min(several, key=lambda each: (each.at, each.id))
    return "" if change.version == first.former_version else f"{change.version[:8]}."


def left_behind(case: Case, place: Placed, steps: Sequence[Step]) -> Mapping[str, str]:
    """The lines of a timeline that lay before the case was moved to it, each with the reason."""
    change = place.change
    if change is None:
        return {}
    lines = [step for step in steps if step.kind not in DOORS]
    past = [step for step in lines if step.due_at < change.at]
    left = {step.key: _BEFORE for step in past}
    for kind in change.owed:
        several = [step for step in past if step.rung and step.rung.do is kind]
        if several:
            del left[max(several, key=lambda step: (step.due_at, step.order)).key]
    if place.put_back:
        left |= _not_again(case, place, change, [s for s in lines if s.due_at >= change.at])
    if _restricted(case):
        left |= {step.key: _RESTRICTED for step in lines if step.kind is _RESTRICT}
    return left


def _restricted(case: Case) -> bool:
    done = [step.result for step in case.done if step.kind is _RESTRICT]
    return _DONE in done


_BEFORE = "policy changed: its moment lay before the case was moved to this version"
_RESTRICTED = "policy changed: access was restricted before"
_TOLD = "policy changed: the customer was told so before"


def _not_again(
    case: Case, place: Placed, change: PolicyChanged, steps: Sequence[Step]
) -> dict[str, str]:
    """What does not come again where the timeline was put back to keep a door's notice.

    Of the lines that lay before the move those come that make the door ready: the last charge
    ahead of it, and the messages that the customer has not had.
    """
    start, door = place.start - place.put_back, place.door
    assert door is not None
    # A line's order is its place in seconds, and ten.
    gone, opens = (change.at - start).total_seconds() + 10, door[0].total_seconds() + 10
    before = [step for step in steps if step.rung and step.order < gone]
    charges = [step for step in before if step.rung and step.rung.do is _RETRY]
    ahead = [step for step in charges if step.order < opens]
    last = max(ahead, key=lambda step: step.order, default=None)
    left = {step.key: _BEFORE for step in charges if step is not last}
    told = {step.template for step in case.done if step.told and step.at <= change.at}
    if told:
        told.add("payment_failed")  # whatever it was, they know
    messages = [s for s in before if s.kind in MESSAGES and s.template in told]
    return left | {step.key: _TOLD for step in messages}


def why_left_out(case: Case, kind: StepKind, due_at: datetime) -> str | None:
    """The reason not to do a line of the timeline, if it lay before the case was taken over."""
    adopted = case.adopted
    if adopted is None:
        return None
    if kind in (StepKind.SUSPEND, StepKind.RESTRICT) and adopted.standing is not Standing.NORMAL:
        return f"adopted: the service was {adopted.standing.value} already"
    if due_at < adopted.resumes_at and kind not in DOORS:
        return "adopted: its moment lay before the case was taken over"
    return None
