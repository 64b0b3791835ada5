"""Where the lines of a policy stand, and from when on they count for a case.

They count from the first failure. A case that was taken over from a running estate may be long
past its doors: it is placed no further along than NOTICE before the next of them, and what lay
before its place is left undone. Nothing at all is done before `Adopted.resumes_at`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.core.events import Standing, StepKind
from dunning.core.facts import Case
from dunning.core.policy import Policy, Rung

DOORS = (StepKind.SUSPEND, StepKind.GIVE_UP)
# From taking a case over to the first door it comes to, at least; less only where the policy
# itself leaves less time from the failure.
NOTICE = timedelta(days=7)


def offsets(policy: Policy) -> list[tuple[Rung, timedelta]]:
    """Every line of the policy with its distance from the beginning."""
    rungs = list(policy.timeline)
    if all(rung.do is not StepKind.GIVE_UP for rung in rungs):
        rungs.append(Rung(do=StepKind.GIVE_UP, after=policy.window))
    anchors = {rung.do: rung.after for rung in rungs if rung.do in DOORS and rung.after is not None}
    return [(rung, _offset(policy, rung, anchors)) for rung in rungs]


def _offset(policy: Policy, rung: Rung, anchors: dict[StepKind, timedelta]) -> timedelta:
    offset = rung.after
    if offset is None:
        assert rung.anchor is not None
        assert rung.before is not None
        offset = max(anchors[rung.anchor] - rung.before, timedelta(0))
    return max(offset, policy.grace) if rung.do is StepKind.SUSPEND else offset


def starts_at(case: Case, policy: Policy) -> datetime:
    """The moment from which the policy's lines count for this case."""
    assert case.failed_at is not None
    adopted = case.adopted
    if adopted is None:
        return case.failed_at
    off = adopted.standing is not Standing.NORMAL
    ahead = min(
        offset
        for rung, offset in offsets(policy)
        if rung.do in DOORS and not (off and rung.do is StepKind.SUSPEND)
    )
    # A policy whose door comes sooner than the notice begins anew.
    place = max(ahead - NOTICE, timedelta(0))
    return max(case.failed_at, adopted.resumes_at - place)


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
