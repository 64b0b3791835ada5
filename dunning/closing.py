"""Close a period of the books: no entry is taken into it any more, and its statement is sealed.

It takes two transactions. The first marks the period as closed while no entry is on its way: from
then on the database refuses entries into it, so what is in it stands still. The second adds its
entries up at leisure and writes the statement, which nobody can change. Killed in between, the same
command writes the statement that is missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, func, select, text
from sqlmodel import Session, col

from dunning import crashpoints
from dunning.closed import alone, closings
from dunning.core.calendar import known_zone
from dunning.errors import RefusedError
from dunning.statements import Statement, bounds, canonical, content_of, digest_of
from dunning.store import (
    CatchUpRow,
    ClosingRow,
    EntryRow,
    InboxRow,
    StatementRow,
    StepRow,
    reading,
    table_of,
    transaction,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who closes which month, and why although something is not settled (or empty)."""

    period: str
    by: str
    why: str = ""
    zone: str | None = None  # None: that of the period before, else UTC


# --- periods -------------------------------------------------------------------------------


def _zone(wish: Wish, last: ClosingRow | None) -> ZoneInfo:
    name = wish.zone or (last.zone if last else "UTC")
    if last is not None and name != last.zone:
        raise RefusedError(f"the books are closed by the calendar of {last.zone}, not of {name}")
    zone = known_zone(name) if name != "localtime" else None
    if zone is None:
        raise RefusedError(f"time zone {name!r} is not known; use one such as Europe/Berlin")
    return zone


def to_close(session: Session, wish: Wish) -> list[str]:
    """The months that have to be closed before this one, oldest first, and then itself."""
    rows = closings(session)
    last = rows[-1] if rows else None
    zone = _zone(wish, last)
    starts, _ = bounds(wish.period, zone)
    if last is not None:
        begin = last.ends_at
    else:
        first = session.execute(select(func.min(col(EntryRow.occurred_at)))).scalar_one()
        begin = min(first or starts, starts)
    at = begin.astimezone(zone)
    year, month = at.year, at.month
    months = []
    while (name := f"{year:04}-{month:02}") <= wish.period:
        months.append(name)
        year, month = year + month // 12, month % 12 + 1
    return months


# --- what is not settled -----------------------------------------------------------------


# In the words of the partial indexes.
_UNHANDLED = (
    (text("state = 'new'"), "webhooks not handled"),
    (text("state = 'parked'"), "webhooks parked"),
)


def loose_ends(session: Session, until: datetime) -> dict[str, int]:
    """What may still bring entries of before that moment: how many of each kind."""
    inbox = table_of(InboxRow)
    counts: dict[str, int] = {}
    for state, name in _UNHANDLED:
        query = select(func.count()).where(state, inbox.c.created_at < until)
        counts[name] = session.execute(query.select_from(inbox)).scalar_one()
    unknown = select(func.count()).where(
        text("state = 'unknown'"), col(StepRow.first_started_at) < until
    )
    counts["charges of unknown outcome"] = session.execute(unknown).scalar_one()
    behind = select(func.count()).where(
        col(CatchUpRow.kind) == "sweep", col(CatchUpRow.seen_to) < until
    )
    counts["sources not asked up to its end"] = session.execute(behind).scalar_one()
    return {name: count for name, count in counts.items() if count}


# --- closing -------------------------------------------------------------------------------


def close(engine: Engine, wish: Wish, now: datetime) -> Statement:
    """Close the month and write its statement; `RefusedError` says why that may not be."""
    if not wish.by.strip():
        raise RefusedError("--by is empty: a closing says who did it")
    with alone(engine) as session:
        _mark(session, wish, now)
    crashpoints.reach("close.marked")
    return write(engine, wish.period, now)


def _mark(session: Session, wish: Wish, now: datetime) -> None:
    """Say that the period is closed, unless that was said and only its statement is missing."""
    rows = closings(session)
    zone = _zone(wish, rows[-1] if rows else None)
    starts, ends = bounds(wish.period, zone)
    done = next((row for row in rows if row.period == wish.period), None)
    if done is not None:
        there = session.get(StatementRow, wish.period)
        if there is None:
            return
        who = f"by {done.closed_by} on {done.closed_at:%Y-%m-%d}"
        raise RefusedError(f"{wish.period} was closed {who}; digest {there.digest}")
    if now < ends:
        raise RefusedError(f"{wish.period} is not over before {ends:%Y-%m-%d %H:%M} UTC")
    before = to_close(session, wish)[:-1]
    if before or (rows and rows[-1].ends_at > starts):
        late = f"{before[0]} is still open" if before else f"{rows[-1].period} is closed already"
        raise RefusedError(f"months are closed one after the other, and {late}")
    open_ends = loose_ends(session, ends)
    if open_ends and not wish.why.strip():
        told = ", ".join(f"{count} {name}" for name, count in open_ends.items())
        message = f"{wish.period} is not settled: {told}; see to them, or --even-so WHY"
        raise RefusedError(message)
    session.add(
        ClosingRow(
            period=wish.period,
            zone=zone.key,
            starts_at=starts,
            ends_at=ends,
            closed_at=now,
            closed_by=wish.by,
            why=wish.why if open_ends else "",
            loose_ends=canonical(open_ends),
        )
    )
    session.flush()


def write(engine: Engine, period: str, now: datetime) -> Statement:
    """Write the statement of a closed period; the one that is there if it was written by now."""
    with reading(engine) as session:
        content = content_of(session, period)
    digest = digest_of(content)
    with transaction(engine) as session:
        there = session.get(StatementRow, period)
        if there is None:
            row = StatementRow(period=period, content=content, digest=digest, written_at=now)
            session.add(row)
            session.flush()
        elif there.digest != digest:
            raise RefusedError(f"another statement of {period} is there: {there.digest}")
    crashpoints.reach("close.written")
    return Statement(period, json.loads(content), digest)
