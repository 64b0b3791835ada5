"""Signed calls to the merchant's product: written with the change they tell of, sent in order.

A row is written in the transaction that made it true, so nothing is announced that did not
happen and nothing that happened goes unannounced. Rows of one case leave one after the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Integer, bindparam, column, func, select, text, update
from sqlmodel import Session, col

from dunning.clock import rfc3339
from dunning.core import telling
from dunning.core.events import BillingEvent, StepEnded, StepKind
from dunning.core.facts import Case
from dunning.core.plan import Plan
from dunning.core.policy import Policy
from dunning.core.status import Access, State, Status, access_before
from dunning.core.steps import Step
from dunning.core.telling import Change, Stand
from dunning.desk import Desk, Named
from dunning.store import OutboxRow, UTCDateTime, put_rows, table_of

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


_CHANGES_ACCESS = (StepKind.RESTRICT, StepKind.SUSPEND, StepKind.RESTORE, StepKind.GIVE_UP)


@dataclass(frozen=True, slots=True)
class News:
    """A case as the product is to hear of it; its plan is made when a call is written."""

    case: Case
    present: Status
    policy: Policy
    ahead: Callable[[], Plan]
    policy_of: Callable[[str], Policy]


def changes_access(event: BillingEvent) -> bool:
    """Whether this may change what a customer may use, so that the scope is looked at."""
    return isinstance(event, StepEnded) and event.kind in _CHANGES_ACCESS


def neighbourhood(case: Case) -> frozenset[Named]:
    """Under what names the cases are found whose access counts beside this one's.

    Those of the customer, and of the scope: of some of them the customer may not be known yet.
    """
    return frozenset(Named(case.source, name) for name in (case.customer, case.scope) if name)


def announce(desk: Desk, news: News, now: datetime) -> None:
    """Write what the change of a case means to the merchant's product."""
    case, present = news.case, news.present
    before = desk.cases.get(case.id)
    known_state = State(before.row["state"]) if before else State.NONE
    known_access = Access(before.row["access"]) if before else access_before(case)
    if known_state is State.NONE and present.state is not State.NONE:
        _call(desk, news, "case.opened", "case.opened", now, why=telling.why_opened(case))
    if present.access is not known_access:
        _announce_access(desk, news, known_access, now)
    if present.state is not known_state and present.state in _ENDINGS:
        kind = _ENDINGS[present.state]
        _call(desk, news, kind, kind, now, why=present.reason)


def _announce_access(desk: Desk, news: News, known: Access, now: datetime) -> None:
    """The product hears of a change of the whole scope: the worst of its cases decides."""
    case, present = news.case, news.present
    others = list(_others(desk, case))
    steps = sum(1 for step in case.done if step.kind in _CHANGES_ACCESS)
    changes = telling.changes(case.scope, case.customer, known, present.access, others)
    for change in changes:
        kind = _ACCESS[change.access]
        name = f"{kind}:{steps}" + (f":{change.scope}" if change.again else "")
        tell: Sequence[tuple[str, str]] = ()
        if change.access is Access.FULL:
            why = present.reason
        elif change.again or change.access is not present.access:
            why, tell = "another unpaid invoice", _tell_of_others(news, change, others)
        else:
            why, tell = telling.cause_of(case, news.policy, change.access)
        said = {
            "scope": change.scope,
            "scope_kind": telling.kind_of_scope(case, change.scope),
            "scope_access": change.access.value,
        }
        _call(desk, news, kind, name, now, why=why, tell=tell, said=said)


def _tell_of_others(
    news: News, change: Change, others: Iterable[Stand]
) -> Sequence[tuple[str, str]]:
    """What the policy of the case that holds a scope where it is tells the product."""
    scopes = (change.scope, news.case.customer)
    holders = (one for one in others if one.scope in scopes and one.access is change.access)
    version = next((one.version for one in holders), None)
    return telling.tell_of(news.policy_of(version), change.access) if version else ()


def _others(desk: Desk, case: Case) -> Iterator[Stand]:
    """The access that the customer's other cases leave: as stored, and as the batch has it."""
    places = neighbourhood(case)
    stands: dict[str, Stand] = {}
    for place in sorted(places):
        stands |= desk.scopes.get(place) or {}
    for held in desk.cases.values():
        row = held.row
        stands.pop(row["id"], None)
        if not places.isdisjoint(neighbourhood(held.case)):
            stands[row["id"]] = Stand(row["scope"], Access(row["access"]), row["policy_version"])
    stands.pop(case.id, None)
    yield from stands.values()


def _call(
    desk: Desk,
    news: News,
    kind: str,
    name: str,
    now: datetime,
    *,
    why: str,
    tell: Sequence[tuple[str, str]] = (),
    said: Mapping[str, object] | None = None,
) -> None:
    row = _row(news, kind, name, now, why=why, tell=tell, said=said or {})
    desk.calls.add(str(row["key"]), row)


def put(session: Session, news: News, kind: str, step: Step, now: datetime) -> None:
    """Write the call of a step; the same call about the same step is written once."""
    rung = step.rung
    name = f"{kind}:{step.key.rpartition('/')[2]}"
    said = {"name": rung.name} if rung and step.kind is StepKind.ANNOUNCE else {}
    tell = rung.tell if rung else ()
    row = _row(news, kind, name, now, why=step.why, tell=tell, said=said)
    put_rows(session, OutboxRow, [row])


def _row(
    news: News,
    kind: str,
    name: str,
    now: datetime,
    *,
    why: str,
    tell: Sequence[tuple[str, str]],
    said: Mapping[str, object],
) -> dict[str, object]:
    case = news.case
    following = telling.next_of(case, news.ahead())
    if following is not None:
        following = {**following, "at": rfc3339(following["at"])}
    body = {
        "type": kind,
        "timestamp": rfc3339(now),
        "data": {
            **telling.about(case, news.present),
            "why": why or None,
            "next": following,
            **said,
            **({"tell": dict(tell)} if tell else {}),
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
    rows = session.scalars(_DUE, {"now": now, "limit": limit}).all()
    calls = []
    for row in rows:
        row.wake_at = now + lease
        row.tries += 1
        row.leased = True
        session.add(row)
        assert row.id is not None
        calls.append(Call(id=row.id, key=row.key, body=row.body.encode(), tries=row.tries))
    return calls


_FIRST = (
    select(func.min(col(OutboxRow.id)))
    .where(col(OutboxRow.state) == "pending")
    .group_by(col(OutboxRow.case_id))
)
_DUE = (
    select(OutboxRow)
    .where(
        col(OutboxRow.state) == "pending",
        col(OutboxRow.wake_at) <= bindparam("now"),
        col(OutboxRow.id).in_(_FIRST),
    )
    .order_by(col(OutboxRow.wake_at), col(OutboxRow.id))
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
)


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
    query = _settle(tuple(values), taken=heard.taken)
    given = {f"new_{name}": value for name, value in values.items()}
    session.execute(query, given | {"its_id": call.id, "its_tries": call.tries})


@cache
def _settle(names: tuple[str, ...], *, taken: bool) -> Any:
    table = table_of(OutboxRow)
    query = update(table).where(table.c.id == bindparam("its_id"), table.c.state == "pending")
    if not taken:
        # A refusal heard after the lease ran out says nothing of the call that came after.
        query = query.where(table.c.tries == bindparam("its_tries"))
    return query.values(leased=False, **{name: bindparam(f"new_{name}") for name in names})


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
