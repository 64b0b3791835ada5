"""Messages to staff as rows: written for each place, claimed, sent, and what came of it.

A message whose sender died over it is sent again, and says so: staff rather hear twice than never.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, func, select, update
from sqlmodel import Session, col

from dunning.errors import NotFoundError
from dunning.outbox import BACKOFF
from dunning.staff.notice import Notice, from_text, to_text
from dunning.staff.ways import Outcome, Way
from dunning.store import StaffNoticeRow, insert_into

LEASE = timedelta(minutes=5)
MONTHLY = "monthly"  # what the messages with the report of a month are of


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message to send now; `again`: it may be there already."""

    id: int
    key: str
    name: str
    alert: str
    way: str
    recipient: str
    notice: Notice
    tries: int
    again: bool


def write(
    session: Session, name: str, alert: str, notice: Notice, ways: Sequence[Way], now: datetime
) -> None:
    """Write the message for each place; one that is there under its name stays as it is."""
    body = to_text(notice)
    for way in ways:
        row = insert_into(session, StaffNoticeRow).values(
            key=f"{name}/{way.name}:{way.recipient}",
            name=name,
            alert=alert,
            way=way.name,
            recipient=way.recipient,
            body=body,
            state="pending",
            tries=0,
            leased=False,
            created_at=now,
            wake_at=now,
            error="",
        )
        session.execute(row.on_conflict_do_nothing(index_elements=["key"]))


def claim(
    session: Session, now: datetime, *, monthly: bool | None = None, name: str | None = None
) -> Claimed | None:
    """Take the message that is due longest; only, or no, `monthly` ones, or those of a name."""
    wanted = [col(StaffNoticeRow.state) == "pending", col(StaffNoticeRow.wake_at) <= now]
    if monthly is not None:
        of = col(StaffNoticeRow.alert)
        wanted.append(of == MONTHLY if monthly else of != MONTHLY)
    if name is not None:
        wanted.append(col(StaffNoticeRow.name) == name)
    row = session.scalars(
        select(StaffNoticeRow)
        .where(*wanted)
        .order_by(col(StaffNoticeRow.wake_at), col(StaffNoticeRow.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if row is None:
        return None
    again = row.leased  # whoever had it never said what came of it
    row.wake_at, row.leased, row.tries = now + LEASE, True, row.tries + 1
    session.add(row)
    assert row.id is not None
    return Claimed(
        id=row.id,
        key=row.key,
        name=row.name,
        alert=row.alert,
        way=row.way,
        recipient=row.recipient,
        notice=from_text(row.body),
        tries=row.tries,
        again=again,
    )


def settle(session: Session, claimed: Claimed, outcome: Outcome, now: datetime) -> None:
    """Write what came of it. What cannot be delivered is dead: shown, never dropped."""
    values: dict[str, object]
    if outcome.sent:
        values = {"state": "sent", "sent_at": now, "error": ""}
    elif outcome.final or (claimed.tries > len(BACKOFF) and claimed.alert != MONTHLY):
        values = {"state": "dead", "error": outcome.why}
    else:
        # What finance waits for is tried once a day for as long as it takes.
        wait = BACKOFF[min(claimed.tries, len(BACKOFF)) - 1]
        wait = max(wait, outcome.retry_after or timedelta(0))
        values = {"wake_at": now + wait, "error": outcome.why}
    rows = update(StaffNoticeRow).where(
        col(StaffNoticeRow.id) == claimed.id, col(StaffNoticeRow.state) == "pending"
    )
    if not outcome.sent:
        rows = rows.where(col(StaffNoticeRow.tries) == claimed.tries)
    session.execute(rows.values(leased=False, **values))


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages wait, and how many nobody could deliver."""

    pending: int
    failing: int  # of those that wait, how many were tried in vain
    dead: int
    error: str  # of the newest that was tried in vain


def backlog(session: Session) -> Backlog:
    """See `Backlog`."""
    row = StaffNoticeRow
    waiting = col(row.state).in_(("pending", "dead"))
    tried = func.sum(case((col(row.tries) > 0, 1), else_=0))
    counted = select(col(row.state), func.count(), tried).where(waiting).group_by(col(row.state))
    found = {state: (int(count), int(vain)) for state, count, vain in session.execute(counted)}
    pending, failing = found.get("pending", (0, 0))
    dead, _ = found.get("dead", (0, 0))
    last = select(col(row.error)).where(waiting, col(row.error) != "")
    error = session.execute(last.order_by(col(row.id).desc()).limit(1)).scalar() or ""
    return Backlog(pending, failing, dead, error)


def revive(session: Session, number: int | None, now: datetime) -> int:
    """Let dead messages be tried again, from the first wait on; how many."""
    dead = [col(StaffNoticeRow.state) == "dead"]
    if number is not None:
        dead.append(col(StaffNoticeRow.id) == number)
    rows = update(StaffNoticeRow).where(*dead)
    changed = session.execute(rows.values(state="pending", tries=0, leased=False, wake_at=now))
    count: int = changed.rowcount  # type: ignore[attr-defined]
    if number is not None and not count:
        message = f"no dead message {number}; `dunning staff list --dead` shows those there are"
        raise NotFoundError(message)
    return count
