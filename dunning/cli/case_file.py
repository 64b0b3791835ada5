"""Everything known of one case, read together: for `cases show`, `cases explain` and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import or_, select
from sqlmodel import Session, SQLModel, col

from dunning.case_rows import read_facts, summary
from dunning.clock import rfc3339
from dunning.core.around import ALONE
from dunning.core.branches import asks, way_of
from dunning.core.facts import Case
from dunning.core.local import local_of
from dunning.core.places import Way
from dunning.core.plan import Plan, plan
from dunning.core.policy import Policy, from_data
from dunning.core.promises import judged
from dunning.core.steps import Step
from dunning.errors import NotFoundError
from dunning.store import (
    ActRow,
    AttemptRow,
    CaseRow,
    EntryRow,
    MessageRow,
    PolicyRow,
    StepRow,
)
from dunning.surroundings import Wanted, around
from dunning.workdays import works_on

SHORTEST_PREFIX = 3
NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step of the timeline: done, not done with the reason, or still to come."""

    step: str  # retry:2
    key: str
    kind: str
    state: str  # done, declined, skipped, …; running, put off, unknown; planned, held, dropped
    due_at: datetime
    at: datetime | None = None
    why: str = ""
    template: str | None = None
    tries: int = 0

    @property
    def when(self) -> datetime:
        """When it happened, or will."""
        return self.at or self.due_at


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A case with everything that belongs to it, as of `now`."""

    row: CaseRow
    case: Case
    policy: Policy
    plan: Plan
    way: Way  # the lines that hold for it now
    zone: ZoneInfo
    now: datetime
    timeline: Sequence[Line]
    attempts: Sequence[AttemptRow]
    messages: Sequence[MessageRow]
    entries: Sequence[EntryRow]
    acts: Sequence[ActRow]


# --- finding ---------------------------------------------------------------------------------


def find(session: Session, name: str) -> CaseRow:
    """The case of that id, of an id that begins so, or of that invoice."""
    name = name.strip()
    exact = or_(col(CaseRow.id) == name, col(CaseRow.invoice) == name)
    found = session.scalars(select(CaseRow).where(exact).order_by(col(CaseRow.id))).all()
    if not found and len(name) >= SHORTEST_PREFIX:
        starts = name if name.startswith("case_") else f"case_{name}"
        query = (
            select(CaseRow)
            .where(col(CaseRow.id).startswith(starts, autoescape=True))
            .order_by(col(CaseRow.id))
            .limit(NAMED + 1)
        )
        found = session.scalars(query).all()
    if len(found) == 1:
        return found[0]
    if not found:
        message = f"no case {name}; `dunning cases list` shows the ones there are"
        raise NotFoundError(message)
    names = ", ".join(f"{row.id} ({row.source})" for row in found[:NAMED])
    more = " and others" if len(found) > NAMED else ""
    message = f"{name} could be {names}{more}; give more of the id"
    raise NotFoundError(message)


def read(session: Session, row: CaseRow, now: datetime) -> CaseFile:
    """Gather the case."""
    case = read_facts(row)
    policy = _policy(session, row.policy_version)
    wanted = Wanted.by_row(row, asks(policy))
    ahead = plan(case, policy, now, around=around(session, [wanted]).get(case.id, ALONE))
    return CaseFile(
        row=row,
        case=case,
        policy=policy,
        plan=ahead,
        way=way_of(case, policy),
        zone=local_of(case, policy).zone,
        now=now,
        timeline=_timeline(_of(session, StepRow, row, col(StepRow.first_started_at)), ahead),
        attempts=_of(session, AttemptRow, row, col(AttemptRow.at)),
        messages=_of(session, MessageRow, row, col(MessageRow.at)),
        entries=_of(session, EntryRow, row, col(EntryRow.id)),
        acts=_of(session, ActRow, row, col(ActRow.id)),
    )


def _of(session: Session, kind: type[Any], row: CaseRow, order: Any) -> Sequence[Any]:
    query = select(kind).where(kind.case_id == row.id).order_by(order)
    return session.scalars(query).all()


def _policy(session: Session, version: str) -> Policy:
    import json

    row = session.get(PolicyRow, version)
    if row is None:
        message = f"policy version {version} is not in the database"
        raise NotFoundError(message)
    return from_data(json.loads(row.body), works_on)


# --- the timeline ----------------------------------------------------------------------------


def _timeline(steps: Sequence[StepRow], ahead: Plan) -> list[Line]:
    """What was begun, in the order it ended, then what is planned, in the order it is due."""
    begun = {row.key: row for row in steps}
    lines = [_past(row) for row in steps if row.state == "ended"]
    lines.sort(key=lambda line: (line.when, line.key))
    planned = {step.key for step in ahead.steps}
    open_rows = [row for row in steps if row.state != "ended" and row.key not in planned]
    lines += [_past(row) for row in open_rows]
    lines += [_ahead(step, begun.get(step.key), ahead) for step in ahead.steps]
    return lines


_UNFINISHED = {"deferred": "put off", "running": "running", "unknown": "unknown"}


def _past(row: StepRow) -> Line:
    return Line(
        step=row.key.partition("/")[2],
        key=row.key,
        kind=row.kind,
        state=row.result or _UNFINISHED.get(row.state, row.state),
        due_at=row.due_at,
        at=row.ended_at or row.started_at,
        why=row.why,
        template=row.template,
        tries=row.tries,
    )


def _ahead(step: Step, begun: StepRow | None, ahead: Plan) -> Line:
    state, why = "planned", step.why
    if step.skip:
        state, why = "dropped", step.skip
    elif begun is not None and begun.state != "ended":
        state, why = _UNFINISHED.get(begun.state, begun.state), begun.why or step.why
    elif step.held:
        state = "held"
        first = ahead.frozen.why if ahead.frozen else "waits for an earlier step to end"
        why = f"{first}; {step.why}"
    return Line(
        step=step.key.partition("/")[2],
        key=step.key,
        kind=step.kind.value,
        state=state,
        due_at=step.due_at,
        why=why,
        template=step.template,
        tries=begun.tries if begun else 0,
    )


# --- for programs ----------------------------------------------------------------------------

_ATTEMPT = "id at status amount currency by key method network decline_code network_code advice"
_MESSAGE = "step_key at channel template recipient locale subject state reference why"
_ENTRY = "id key base debit credit amount currency cause how occurred_at recorded_at reverses"
_ACT = "id at act by why until about"


def as_json(file: CaseFile) -> dict[str, Any]:
    """The case as `cases list` has it, with its lists: amounts in minor units, times RFC 3339."""
    standing = file.plan.frozen
    frozen = None
    if standing is not None:
        frozen = {
            "stop": standing.stop.value,
            "why": standing.why,
            "since": rfc3339(standing.since),
            "until": rfc3339(standing.until),
        }
    return {
        **summary(file.row),
        "policy_why": file.row.policy_why,
        "branch": file.way.branch,
        "branch_since": rfc3339(file.way.since),
        "timezone": str(file.zone),
        "frozen": frozen,
        "timeline": [line_json(line, file.zone) for line in file.timeline],
        "attempts": _listed(file.attempts, _ATTEMPT),
        "messages": _listed(file.messages, _MESSAGE),
        "entries": _listed(file.entries, _ENTRY),
        "acts": _listed(file.acts, _ACT),
        "promises": promises_json(file),
        "ahead": _told_of(file.case),
    }


def _told_of(case: Case) -> dict[str, Any] | None:
    """What a notice tells of, as of the last look."""
    told = case.notice
    if told is None:
        return None
    known = asdict(told.ahead)
    for name in ("renews_at", "began_at"):
        known[name] = rfc3339(known[name])
    return {**known, "looked_at": rfc3339(told.at)}


def promises_json(file: CaseFile) -> list[dict[str, Any]]:
    """What the customer promised, and what became of it; no amount: all that was owed."""
    return [
        {
            "at": rfc3339(told.promise.at),
            "until": rfc3339(told.promise.until),
            "amount": told.promise.amount,
            "currency": file.case.currency,
            "why": told.promise.why,
            "by": told.promise.by,
            "ending": told.ending.value,
            "ended_at": rfc3339(told.at),
        }
        for told in judged(file.case, file.now)
    ]


def line_json(line: Line, zone: ZoneInfo) -> dict[str, Any]:
    """One step for programs."""
    return {
        "step": line.step,
        "key": line.key,
        "kind": line.kind,
        "state": line.state,
        "due_at": rfc3339(line.due_at),
        "at": rfc3339(line.at),
        "local_time": line.when.astimezone(zone).isoformat(),
        "template": line.template,
        "why": line.why,
        "tries": line.tries,
    }


def _listed(rows: Sequence[SQLModel], names: str) -> list[dict[str, Any]]:
    return [{name: _value(getattr(row, name)) for name in names.split()} for row in rows]


def _value(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value
