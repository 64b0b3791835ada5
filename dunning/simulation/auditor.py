"""The auditor: what must hold of a database and of the world beside it, whatever happened.

Usable after any test: hand in what is known. The provider's own books are the other witness; what
was posted, mailed and told to the product is told by whoever stood at the other end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Engine, select
from sqlmodel import Session

from dunning.core.status import ACCESS_ORDER, Access, State
from dunning.reports.proof import verify_all
from dunning.simulation import audit_books, audit_mails, audit_notices, audit_steps
from dunning.simulation.audit_books import Line
from dunning.simulation.journal import Asked
from dunning.store import (
    CaseRow,
    EntryRow,
    InboxRow,
    MessageRow,
    OutboxRow,
    RecurringRow,
    ScheduleRow,
    StepRow,
    SubscriptionRow,
    reading,
)

_TOLD = {
    "access.restored": Access.FULL,
    "access.restricted": Access.RESTRICTED,
    "access.suspended": Access.SUSPENDED,
}


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that reached the mail server: its id, when, and what could be known before.

    `written`: when it was put together. `heard`: how many of the provider's events there were.
    """

    id: str
    at: datetime | None = None
    known: int | None = None
    written: datetime | None = None
    heard: int | None = None
    to: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the world beside the program says; None: nobody can tell."""

    books: Mapping[str, Any]  # the provider's own, by invoice
    mails: Sequence[Arrived]
    told: Sequence[Mapping[str, Any]]  # what the product took, in order
    acked: frozenset[str] | None = None  # ids of events that were answered with a 2xx
    movements: Sequence[Mapping[str, Any]] | None = (
        None  # the provider's books as they were written
    )
    happened: Sequence[Any] = ()  # every event of the provider, whether it was sent or not
    undisturbed: bool = False  # all of them were heard, and nobody was away or dead
    asked: Sequence[Asked] = ()  # requests that change something at the provider
    secrets: Sequence[str] = ()  # marked: they may be found nowhere
    texts: Sequence[str] = ()  # traces, logs
    # States a story leaves behind on purpose: pending, dead, doubtful, deferred …; and `restored`
    # where it went back to a backup.
    leaves: frozenset[str] = frozenset()
    all_failures_known: bool = False  # everything the provider knows was fetched at the end
    only_us: bool = False  # nobody else charges by the provider's API
    now: datetime | None = None
    apart: timedelta = timedelta(0)  # how far two readings of clocks may have been apart
    plan_of: Callable[[Session, CaseRow, datetime], Any] | None = None


@dataclass(slots=True)
class Seen:
    """The whole database, read once."""

    cases: list[CaseRow]
    steps: list[StepRow]
    entries: list[EntryRow]
    messages: list[MessageRow]
    calls: list[OutboxRow]
    inbox: list[InboxRow]
    monthly: list[RecurringRow] = field(default_factory=list)
    subscriptions: dict[tuple[str, str], SubscriptionRow] = field(default_factory=dict)
    by_case: dict[str, CaseRow] = field(default_factory=dict)
    schedule: dict[str, ScheduleRow] = field(default_factory=dict)


def audit(engine: Engine, evidence: Evidence) -> list[str]:
    """Every breach in plain words; empty when everything holds."""
    with reading(engine) as session:
        breaches = [f"I5 {case}: {fault}" for case, fault in verify_all(session).faults]
        seen = _read(session)
        lines = {name: Line(name, told) for name, told in evidence.books.items()}
        breaches += audit_books.check(seen, lines, evidence)
        breaches += audit_steps.check(session, seen, lines, evidence)
        breaches += audit_mails.check(session, seen, lines, evidence)
        breaches += audit_notices.check(session, seen, evidence)
        breaches += _inbox(seen, lines, evidence)
        breaches += _left_over(seen, evidence.leaves)
        breaches += _order(seen)
        if not evidence.leaves & {"pending", "dead"}:
            breaches += _access(seen, evidence)
        breaches += _secrets(seen, evidence)
    return breaches


def _read(session: Session) -> Seen:
    def everything(table: Any, key: Any) -> list[Any]:
        return list(session.scalars(_everything(table, key)).all())

    seen = Seen(
        cases=everything(CaseRow, CaseRow.id),
        steps=everything(StepRow, StepRow.started_at),
        entries=everything(EntryRow, EntryRow.id),
        messages=everything(MessageRow, MessageRow.at),
        calls=everything(OutboxRow, OutboxRow.id),
        inbox=everything(InboxRow, InboxRow.id),
        monthly=everything(RecurringRow, RecurringRow.id),
        subscriptions={
            (row.source, row.id): row for row in everything(SubscriptionRow, SubscriptionRow.id)
        },
    )
    seen.by_case = {case.id: case for case in seen.cases}
    seen.schedule = {row.case_id: row for row in everything(ScheduleRow, ScheduleRow.case_id)}
    return seen


@cache
def _everything(table: Any, key: Any) -> Any:
    return select(table).order_by(key).execution_options(populate_existing=True)


def _left_over(seen: Seen, leaves: frozenset[str]) -> Iterator[str]:
    """I8: everything begun has been ended."""
    found: Counter[str] = Counter()
    found.update(row.state for row in seen.inbox)
    found.update(row.state for row in seen.calls)
    found.update(row.state for row in seen.steps)
    found["leased"] = sum(1 for row in seen.schedule.values() if row.lease_token is not None)
    done = {"handled", "ignored", "sent", "ended", *leaves}
    for state, count in sorted(found.items()):
        if state not in done and count:
            why = next((f": {row.reason}" for row in seen.inbox if row.state == state), "")
            yield f"I8 {count} rows are {state}{why}"


def _inbox(seen: Seen, lines: Mapping[str, Line], evidence: Evidence) -> Iterator[str]:
    """I4: what was answered with a 2xx is there, once."""
    for (_, name), count in Counter((row.source, row.event_id) for row in seen.inbox).items():
        if count > 1:
            yield f"I4 {name} is in the inbox {count} times"
    kept = {row.event_id for row in seen.inbox}
    for name in sorted((evidence.acked or frozenset()) - kept):
        yield f"I4 {name} was answered with a 200 and is not in the inbox"
    if not evidence.all_failures_known:
        return
    known = {case.invoice for case in seen.cases}
    for name, line in sorted(lines.items()):
        if line.told["first_failed_at"] is None or line.failed_at_nothing:
            continue
        if name not in known:
            yield f"I4 {name} failed, and there is no case of it"


def _order(seen: Seen) -> Iterator[str]:
    """Calls of one case leave one after the other."""
    last: dict[str, OutboxRow] = {}
    for call in seen.calls:
        before = last.get(call.case_id)
        waits = before is not None and before.state == "pending" and call.state == "sent"
        if waits:
            yield f"I2 {call.key} was delivered before {before.key if before else ''}"
        last[call.case_id] = call


def _access(seen: Seen, evidence: Evidence) -> Iterator[str]:
    """What the product was told last of a scope is the worst of its cases; calls in order."""
    told: dict[str, Access] = {}
    places = {call.key: call.id or 0 for call in seen.calls}
    newest: dict[str, int] = {}
    below: dict[str, set[str]] = {}
    for row in seen.cases:
        below.setdefault(row.customer or "", set()).add(row.scope)
    for call in evidence.told:
        key, case = call.get("key"), call["data"]["case"]
        if key is not None:
            if places.get(key, 0) < newest.get(case, 0):
                yield f"I2 {key} was told after what came later"
            newest[case] = max(newest.get(case, 0), places.get(key, 0))
        if call["type"] in _TOLD:
            about = call["data"]
            # A word on the customer is one on all they have.
            whole = about["scope"] == about["customer"]
            for scope in (about["scope"], *(below.get(about["customer"], ()) if whole else ())):
                told[scope] = _TOLD[call["type"]]
    is_now: dict[str, Access] = {}
    for row in seen.cases:
        both = (is_now.get(row.scope, Access.FULL), Access(row.access))
        is_now[row.scope] = max(both, key=ACCESS_ORDER.__getitem__)
        if row.state == State.RECOVERED.value and row.access != Access.FULL.value:
            yield f"I2 {row.id} is recovered, and its access is {row.access}"
    for customer, scopes in below.items():
        for scope in scopes & is_now.keys():
            both = (is_now[scope], is_now.get(customer, Access.FULL))
            is_now[scope] = max(both, key=ACCESS_ORDER.__getitem__)
    for scope, access in is_now.items():
        believed = told.get(scope, Access.FULL)
        if believed is not access:
            yield f"I2 {scope}: the product believes {believed}, but it is {access}"


def _secrets(seen: Seen, evidence: Evidence) -> Iterator[str]:
    """I7: a marked secret is nowhere."""
    if not evidence.secrets:
        return
    for where, text in _texts(seen, evidence):
        for secret in evidence.secrets:
            if secret in text:
                yield f"I7 {secret[:6]}… is in {where}"


def _texts(seen: Seen, evidence: Evidence) -> Iterable[tuple[str, str]]:
    for number, text in enumerate(evidence.texts):
        yield f"text {number}", text
    for row in seen.steps:
        yield f"steps {row.key}", row.why
    for call in seen.calls:
        yield f"outbox {call.key}", call.body + call.error
    for case in seen.cases:
        yield f"cases {case.id}", case.facts
    for kept in seen.inbox:
        yield f"inbox {kept.event_id}", kept.reason + kept.body.decode(errors="replace")
