"""Signed calls to the merchant's product: written with the change they tell of, sent in order.

A row is written in the transaction that made it true, so nothing is announced that did not
happen and nothing that happened goes unannounced. Rows of one case leave one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Integer, bindparam, column, func, select, text, update
from sqlmodel import Session, col

from dunning.clock import rfc3339
from dunning.core.events import BillingEvent, StepEnded, StepKind
from dunning.core.facts import Case
from dunning.core.status import ACCESS_ORDER, Access, State, Status, access_before
from dunning.desk import Desk, Named
from dunning.store import OutboxRow, UTCDateTime, put_rows

# After each failure a longer wait, up to hours; after the last the row is dead and ops see it.
BACKOFF = tuple(
    timedelta(seconds=s) for s in (10, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400)
)
_ENDINGS = {
    State.RECOVERED: "case.recovered",
    State.LOST: "case.lost",
    State.CLOSED: "case.closed",
    # It was opened on news that came late: nothing was owed after all.
    State.NONE: "case.closed",
}
_ACCESS = {
    Access.FULL: "access.restored",
    Access.RESTRICTED: "access.restricted",
    Access.SUSPENDED: "access.suspended",
}


_TAKES_ACCESS = (StepKind.RESTRICT, StepKind.SUSPEND, StepKind.RESTORE)


def changes_access(event: BillingEvent) -> bool:
    """Whether this may change what a customer may use, so that the scope is looked at."""
    return isinstance(event, StepEnded) and event.kind in _TAKES_ACCESS


def announce(desk: Desk, case: Case, present: Status, now: datetime) -> None:
    """Write what the change of a case means to the merchant's product."""
    before = desk.cases.get(case.id)
    known_state = State(before.row["state"]) if before else State.NONE
    known_access = Access(before.row["access"]) if before else access_before(case)
    if known_state is State.NONE and present.state is not State.NONE:
        _call(desk, case, present, "case.opened", "case.opened", now)
    if present.access is not known_access:
        _announce_access(desk, case, known_access, present, now)
    if present.state is not known_state and present.state in _ENDINGS:
        kind = _ENDINGS[present.state]
        _call(desk, case, present, kind, kind, now)


def _announce_access(desk: Desk, case: Case, known: Access, present: Status, now: datetime) -> None:
    """The product hears of a change of the whole scope: the worst of its cases decides."""
    rest = max(
        (Access(other) for other in _others_of_scope(desk, case)),
        key=ACCESS_ORDER.__getitem__,
        default=Access.FULL,
    )
    was = max(known, rest, key=ACCESS_ORDER.__getitem__)
    now_is = max(present.access, rest, key=ACCESS_ORDER.__getitem__)
    if was is not now_is:
        kind = _ACCESS[now_is]
        steps = sum(1 for step in case.done if step.kind in _TAKES_ACCESS)
        _call(desk, case, present, kind, f"{kind}:{steps}", now)


def _others_of_scope(desk: Desk, case: Case) -> Iterator[str]:
    """The access that the scope's other cases leave: as stored, and as the batch has it."""
    stored = desk.scopes.get(Named(case.source, case.scope)) or {}
    access = dict(stored)
    for held in desk.cases.values():
        row = held.row
        access.pop(row["id"], None)
        if (row["source"], row["scope"]) == (case.source, case.scope):
            access[row["id"]] = row["access"]
    access.pop(case.id, None)
    yield from access.values()


def _call(desk: Desk, case: Case, present: Status, kind: str, name: str, now: datetime) -> None:
    row = _row(case, present, kind, name, now)
    desk.calls.add(str(row["key"]), row)


def put(session: Session, case: Case, present: Status, kind: str, name: str, now: datetime) -> None:
    """Write one call; the same call about the same change is written once."""
    put_rows(session, OutboxRow, [_row(case, present, kind, name, now)])


def _row(case: Case, present: Status, kind: str, name: str, now: datetime) -> dict[str, object]:
    body = {
        "type": kind,
        "timestamp": rfc3339(now),
        "data": {
            "case": case.id,
            "source": case.source,
            "invoice": case.invoice,
            "customer": case.customer,
            "subscription": case.subscription,
            "scope": case.scope,
            "state": present.state.value,
            "access": present.access.value,
            "reason": present.reason or None,
            "amount_at_risk": present.at_risk,
            "currency": case.currency,
        },
    }
    return {
        "key": f"{case.id}/{name}",
        "case_id": case.id,
        "source": case.source,
        "type": kind,
        "body": json.dumps(body, separators=(",", ":")),
        "state": "pending",
        "tries": 0,
        "leased": False,
        "created_at": now,
        "wake_at": now,
        "error": "",
    }


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make now, under a lease."""

    id: int
    key: str
    body: bytes
    tries: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What the product answered: taken, or why not and whether it is worth another try."""

    taken: bool
    why: str = ""
    retry_after: timedelta | None = None
    final: bool = False


def claim_calls(session: Session, now: datetime, *, limit: int, lease: timedelta) -> list[Call]:
    """Take the calls that are due: of each case only the first that is not yet delivered."""
    first = (
        select(func.min(col(OutboxRow.id)))
        .where(col(OutboxRow.state) == "pending")
        .group_by(col(OutboxRow.case_id))
    )
    rows = session.scalars(
        select(OutboxRow)
        .where(
            col(OutboxRow.state) == "pending",
            col(OutboxRow.wake_at) <= now,
            col(OutboxRow.id).in_(first),
        )
        .order_by(col(OutboxRow.wake_at), col(OutboxRow.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    calls = []
    for row in rows:
        row.wake_at = now + lease
        row.tries += 1
        row.leased = True
        session.add(row)
        assert row.id is not None
        calls.append(Call(id=row.id, key=row.key, body=row.body.encode(), tries=row.tries))
    return calls


def settle_call(session: Session, call: Call, heard: Heard, now: datetime) -> None:
    """Write what came of a call. What cannot be delivered is dead: seen by ops, never dropped."""
    values: dict[str, object]
    if heard.taken:
        values = {"state": "sent", "sent_at": now, "error": ""}
    elif heard.final or call.tries > len(BACKOFF):
        values = {"state": "dead", "error": heard.why}
    else:
        wait = max(BACKOFF[call.tries - 1], heard.retry_after or timedelta(0))
        values = {"wake_at": now + wait, "error": heard.why}
    ours = update(OutboxRow).where(col(OutboxRow.id) == call.id, col(OutboxRow.state) == "pending")
    if not heard.taken:
        # A refusal heard after the lease ran out says nothing of the call that came after.
        ours = ours.where(col(OutboxRow.tries) == call.tries)
    session.execute(ours.values(leased=False, **values))


@dataclass(frozen=True, slots=True)
class Backlog:
    """How the outbox stands."""

    pending: int
    under_way: int
    dead: int
    next_at: datetime | None  # of the first calls of each case: the others wait for those


_BACKLOG = (
    text(
        """
        SELECT
            count(*) AS pending,
            coalesce(sum(CASE WHEN leased AND wake_at > :now THEN 1 ELSE 0 END), 0) AS under_way,
            min(CASE WHEN NOT EXISTS (
                SELECT 1 FROM outbox AS before
                WHERE before.case_id = waiting.case_id AND before.state = 'pending'
                  AND before.id < waiting.id
            ) THEN wake_at END) AS next_at,
            (SELECT count(*) FROM outbox WHERE state = 'dead') AS dead
        FROM outbox AS waiting WHERE state = 'pending'
        """
    )
    .bindparams(bindparam("now", type_=UTCDateTime()))
    .columns(
        column("pending", Integer),
        column("under_way", Integer),
        column("next_at", UTCDateTime()),
        column("dead", Integer),
    )
)


def backlog(session: Session, now: datetime) -> Backlog:
    """Count the calls to be made, those being made, and those nobody took."""
    found = session.execute(_BACKLOG, {"now": now}).one()
    return Backlog(
        pending=found.pending,
        under_way=found.under_way,
        dead=found.dead,
        next_at=found.next_at,
    )


# How a call leaves: the product webhook channel, handed in by wiring.
Deliver = Callable[[str, bytes, datetime], Heard]
