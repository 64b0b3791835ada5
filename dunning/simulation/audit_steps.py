"""The part of the audit that looks at what was done when, and at what is still to do."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlmodel import Session

from dunning.core.events import StepKind
from dunning.core.status import State
from dunning.store import ActRow

if TYPE_CHECKING:
    from dunning.simulation.audit_books import Line
    from dunning.simulation.auditor import Evidence, Seen

_MADE = frozenset(("done", "declined", "action_needed", "processing"))


def check(session: Session, seen: Seen, lines: Mapping[str, Line], evidence: Evidence) -> list[str]:
    """Every breach of order and time."""
    return [
        *_before_due(seen),
        *_while_held(session, seen),
        *_bursts(seen),
        *_next_steps(session, seen, evidence),
        *_ids(session, seen),
    ]


def _before_due(seen: Seen) -> Iterator[str]:
    """I6: nothing began before its moment."""
    for row in seen.steps:
        if row.first_started_at < row.due_at:
            yield f"I6 {row.key} began {row.due_at - row.first_started_at} before it was due"


def _while_held(session: Session, seen: Seen) -> Iterator[str]:
    """I2: nothing began while a person held the case."""
    acts: dict[str, list[ActRow]] = {}
    for act in session.scalars(select(ActRow).order_by(ActRow.id)):  # type: ignore[arg-type]
        acts.setdefault(act.case_id, []).append(act)
    for case, done in acts.items():
        for place, act in enumerate(done):
            if act.act != "hold":
                continue
            later = [one.at for one in done[place + 1 :] if one.act in ("resume", "hold")]
            until = min([*later, *([act.until] if act.until else [])], default=None)
            for row in seen.steps:
                skipped = row.result == "skipped" or row.kind in ("restore", "reconcile")
                began = row.first_started_at
                if row.case_id != case or skipped or began <= act.at:
                    continue
                open_then = seen.by_case[case].closed_at is None
                if open_then and (until is None or began < until):
                    yield f"I2 {row.key} began while the case was held"


def _bursts(seen: Seen) -> Iterator[str]:
    """I6: of rungs that were missed only the last is charged."""
    ladder: dict[str, list[Any]] = {}
    for row in seen.steps:
        name = row.key.rpartition("/")[2]
        if row.kind == StepKind.RETRY.value and name.removeprefix("retry:").isdigit():
            ladder.setdefault(row.case_id, []).append(row)
    for rungs in ladder.values():
        made = sorted((row for row in rungs if row.result in _MADE), key=lambda one: one.due_at)
        for first, second in itertools.pairwise(made):
            door = any(
                row.case_id == first.case_id
                and row.kind in ("suspend", "give_up")
                and row.due_at >= first.due_at
                and row.due_at <= second.due_at
                for row in seen.steps
            )
            if first.first_started_at >= second.due_at and not door:
                yield f"I6 {first.key} was charged although {second.key} was due as well"


def _next_steps(session: Session, seen: Seen, evidence: Evidence) -> Iterator[str]:
    """I4: every open case has its next step, and it is the right one."""
    for case in seen.cases:
        if case.lease_token is None and case.wake_at != case.next_at:
            yield f"I4 {case.id} wakes at {case.wake_at}, and its next step is at {case.next_at}"
        is_open = State(case.state).is_open
        if evidence.plan_of is None or evidence.now is None:
            continue
        _, ahead = evidence.plan_of(session, case, evidence.now)
        if ahead.next_at != case.next_at and not _both_due(ahead.next_at, case.next_at, evidence):
            yield f"I4 {case.id}: next at {case.next_at}, the plan says {ahead.next_at}"
        if is_open and case.next_at is None and ahead.frozen is None:
            yield f"I4 {case.id} is open, and nothing is ahead of it"
        late = evidence.now - timedelta(seconds=90)
        if case.next_at is not None and case.next_at < late:
            yield f"I6 {case.id} has been due since {case.next_at}"


def _both_due(one: datetime | None, other: datetime | None, evidence: Evidence) -> bool:
    now = evidence.now
    return one is not None and other is not None and now is not None and max(one, other) <= now


def _ids(session: Session, seen: Seen) -> Iterator[str]:
    """I5: no gap and no overlap in the order of the entries, where the database counts so."""
    if session.get_bind().dialect.name != "sqlite":
        return
    ids = [row.id for row in seen.entries]
    if ids != list(range(1, len(ids) + 1)):
        yield f"I5 the entries are numbered {ids}"
