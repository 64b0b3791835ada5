"""The part of the audit that looks at what was done when, and at what is still to do."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlmodel import Session

from dunning.case_rows import read_facts
from dunning.core.calendar import zone_of
from dunning.core.events import StepKind
from dunning.core.policy import from_data
from dunning.core.status import State
from dunning.core.words import MESSAGES
from dunning.store import ActRow, ExemptionRow, PolicyRow
from dunning.workdays import works_on

if TYPE_CHECKING:
    from dunning.simulation.audit_books import Line
    from dunning.simulation.auditor import Evidence, Seen

_MADE = frozenset(("done", "declined", "action_needed", "processing"))


def check(session: Session, seen: Seen, lines: Mapping[str, Line], evidence: Evidence) -> list[str]:
    """Every breach of order and time."""
    return [
        *_before_due(seen),
        *_while_held(session, seen, evidence.apart),
        *_while_exempt(session, seen, evidence.apart),
        *bursts(seen),
        *_next_steps(session, seen, evidence),
        *_recorded(seen),
        *disputed(seen, evidence.apart),
        *_at_night(session, seen),
        *_ids(session, seen),
    ]


def _before_due(seen: Seen) -> Iterator[str]:
    """I6: nothing began before its moment."""
    for row in seen.steps:
        if row.first_started_at < row.due_at:
            yield f"I6 {row.key} began {row.due_at - row.first_started_at} before it was due"


def _while_held(session: Session, seen: Seen, apart: timedelta) -> Iterator[str]:
    """I2: nothing began while a case was held, or waited for a promise, as far as clocks tell."""
    acts: dict[str, list[ActRow]] = {}
    for act in session.scalars(select(ActRow).order_by(ActRow.id)):  # type: ignore[arg-type]
        acts.setdefault(act.case_id, []).append(act)
    for case, done in acts.items():
        for place, act in enumerate(done):
            if act.act not in ("hold", "promise"):
                continue
            later = [one.at for one in done[place + 1 :] if one.act in ("resume", act.act)]
            until = min([*later, *([act.until] if act.until else [])], default=None)
            for row in seen.steps:
                skipped = row.result == "skipped" or row.kind in ("restore", "reconcile")
                began = row.first_started_at
                if row.case_id != case or skipped or began <= act.at + apart:
                    continue
                open_then = seen.by_case[case].closed_at is None
                if open_then and (until is None or began < until - apart):
                    yield f"I2 {row.key} began while the case was held"


def _while_exempt(session: Session, seen: Seen, apart: timedelta) -> Iterator[str]:
    """I2: nothing was done to a customer while a person had taken them out of dunning."""
    told: dict[tuple[str, str], list[ExemptionRow]] = {}
    rows = session.scalars(select(ExemptionRow).order_by(ExemptionRow.id))  # type: ignore[arg-type]
    for said in rows:
        told.setdefault((said.source, said.customer), []).append(said)
    for row in seen.steps:
        case = seen.by_case[row.case_id]
        words = told.get((case.source, case.customer or ""), [])
        if row.result == "skipped" or row.kind in ("restore", "reconcile"):
            continue
        began = row.first_started_at
        for place, said in enumerate(words):
            ends = [one.at for one in words[place + 1 : place + 2]]
            until = min([*ends, *([said.until] if said.until else [])], default=None)
            inside = said.at + apart < began and (until is None or began < until - apart)
            if said.act == "exempt" and inside:
                yield f"I2 {row.key} began while {said.customer} was exempt"


def bursts(seen: Seen) -> Iterator[str]:
    """I6: of rungs that were missed only the last is charged."""
    ladder: dict[str, list[Any]] = {}
    for row in seen.steps:
        branch, _, number = row.key.rpartition("/")[2].rpartition("retry:")
        if row.kind == StepKind.RETRY.value and number.isdigit():
            # Rungs of two branches are never due together: those before a branch began are left.
            ladder.setdefault(f"{row.case_id}/{branch}", []).append(row)
    for rungs in ladder.values():
        made = sorted((row for row in rungs if row.result in _MADE), key=lambda one: one.due_at)
        for first, second in itertools.pairwise(made):
            # The last chance ahead of a door that is still to open is charged: what is due behind
            # the door waits for it. By when each began, since a bank's answer moves charges alone.
            door = any(
                row.case_id == first.case_id
                and row.kind in ("suspend", "give_up")
                and first.first_started_at <= row.first_started_at <= second.first_started_at
                for row in seen.steps
            )
            if first.first_started_at >= second.due_at and not door:
                yield f"I6 {first.key} was charged although {second.key} was due as well"


def _recorded(seen: Seen) -> Iterator[str]:
    """I8: what a case says of its steps is what the steps say of themselves."""
    done: dict[str, str] = {}
    for case in seen.cases:
        done |= {step.id: step.result.value for step in read_facts(case).done}
    for row in seen.steps:
        result = done.get(row.key)
        if (row.state == "ended") != (result is not None) or row.result != result:
            yield f"I8 {row.key} is {row.state} {row.result}, its case says {result}"
        if row.state != "ended" and seen.by_case[row.case_id].closed_at is not None:
            yield f"I8 {row.key} is {row.state}, and its case is over"


def disputed(seen: Seen, apart: timedelta) -> Iterator[str]:
    """I2: nothing began while the case knew of an open dispute, as far as the clocks can tell.

    A step begins by our clock, a dispute is closed by the provider's. The news may be under way.
    """
    heard: dict[str, datetime] = {}
    for kept in sorted(seen.inbox, key=lambda one: one.created_at):
        if kept.ref is None or kept.handled_at is None or kept.ref not in seen.by_case:
            continue
        if kept.type == "charge.dispute.created":
            heard[kept.ref] = kept.handled_at
        elif kept.type == "charge.dispute.closed" and kept.ref in heard:
            since = heard.pop(kept.ref) + apart
            yield from _between(seen, kept.ref, since, kept.created_at - apart)
    for case, since in heard.items():
        yield from _between(seen, case, since + apart, None)


def _between(seen: Seen, case: str, since: datetime, until: datetime | None) -> Iterator[str]:
    for row in seen.steps:
        if row.case_id != case or row.kind in ("restore", "reconcile") or row.result == "skipped":
            continue
        after_all = row.template == "recovered"
        began = row.first_started_at
        if began > since and (until is None or began < until) and not after_all:
            yield f"I2 {row.key} began while a charge was disputed"


def _at_night(session: Session, seen: Seen) -> Iterator[str]:
    """I6: messages leave at the hours the policy allows, by the customer's own clock."""
    rows = session.scalars(select(PolicyRow))
    policies = {row.version: from_data(json.loads(row.body), works_on) for row in rows}
    for row in seen.steps:
        case = seen.by_case[row.case_id]
        policy = policies[case.policy_version]
        if row.kind not in MESSAGES or row.result != "done" or not policy.send_between:
            continue
        facts = read_facts(case)
        zone = zone_of(facts.word("timezone"), facts.word("country"), policy.timezone)
        local = row.started_at.astimezone(zone).time()
        first, last = policy.send_between
        if not first <= local <= last:
            yield f"I6 {row.key} was written at {local:%H:%M} of the customer's time"


def _next_steps(session: Session, seen: Seen, evidence: Evidence) -> Iterator[str]:
    """I4: every open case has its next step, and it is the right one."""
    for case in seen.cases:
        row = seen.schedule.get(case.id)
        wakes = row.due_at if row else None
        if (row is None or row.lease_token is None) and wakes != case.next_at:
            yield f"I4 {case.id} wakes at {wakes}, and its next step is at {case.next_at}"
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
