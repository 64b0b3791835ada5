"""Keep each webhook once: durable before its sender is told so, in one statement for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, LargeBinary, String, bindparam, text
from sqlmodel import Session

from dunning.clock import utc
from dunning.core.ports import Envelope
from dunning.store import Column, UTCDateTime, first_id

# A kept row that nobody began to handle is taken up again after this long.
LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook whose signature held."""

    source: str
    envelope: Envelope
    body: bytes


def keep(session: Session, received: Sequence[Received], now: datetime) -> list[int]:
    """Store each event once; the ids of those that were new, in no order."""
    return keep_over(session.connection(), received, now)


def keep_over(line: Connection, received: Sequence[Received], now: datetime) -> list[int]:
    """The same without a session. On PostgreSQL it is one statement, whole by itself."""
    if not received:
        return []
    # The same event twice in one batch: one statement may not hit a row twice.
    ordered = list({(item.source, item.envelope.id): item for item in received}.values())
    day = first_id(utc(now).date())
    keep_on = _keep_on_sqlite if line.dialect.name == "sqlite" else _keep_at_once
    return keep_on(line, ordered, day, now)


def _keep_at_once(
    line: Connection, received: Sequence[Received], day: int, now: datetime
) -> list[int]:
    """One statement and one journey, whatever the number."""
    given = {
        "sources": [item.source for item in received],
        "events": [item.envelope.id for item in received],
        "types": [item.envelope.type for item in received],
        "created": [item.envelope.created for item in received],
        "bodies": [item.body for item in received],
    }
    times = {"now": now, "wake_at": now + LEASE, "day": day}
    return list(line.scalars(_KEEP, given | times))


# The counter of an id lets duplicates leave gaps; that is cheaper than to ask for them first.
_KEEP = text(
    """
    WITH given AS MATERIALIZED (
        SELECT CAST(:day AS bigint) + nextval('inbox_id_seq') AS id, each.*
        FROM unnest(
            :sources, :events, :types, :created, :bodies
        ) AS each (source, event_id, type, created_at, body)
    ), fresh AS (
        INSERT INTO seen (event_id, source, created_at, inbox_id)
        -- In one order, so that two receivers of the same events do not wait for each other.
        SELECT event_id, source, created_at, id FROM given ORDER BY event_id, source
        ON CONFLICT DO NOTHING RETURNING inbox_id
    )
    INSERT INTO inbox (id, source, event_id, type, created_at, received_at, body, state, reason,
        waiting, wake_at, tries)
    SELECT id, source, event_id, type, created_at, CAST(:now AS timestamptz), body, 'new', '',
        false, CAST(:wake_at AS timestamptz), 0
    FROM given WHERE id IN (SELECT inbox_id FROM fresh) ORDER BY id
    RETURNING id
    """
).bindparams(
    bindparam("sources", type_=Column(String())),
    bindparam("events", type_=Column(String())),
    bindparam("types", type_=Column(String())),
    bindparam("created", type_=Column(UTCDateTime())),
    bindparam("bodies", type_=Column(LargeBinary())),
)


def _keep_on_sqlite(
    line: Connection, received: Sequence[Received], day: int, now: datetime
) -> list[int]:
    """There is one writer, who counts on from the last id.

    The driver is told directly: to prepare a row's values costs more than to write it.
    """
    last = line.exec_driver_sql("SELECT max(id) FROM inbox").scalar() or 0
    first = max(last, day) + 1
    stored = UTCDateTime().dialect_impl(line.dialect).bind_processor(line.dialect)
    assert stored is not None
    # Handled at once by the hint; swept up only if that got lost.
    received_at, wake_at = stored(now), stored(now + LEASE)
    seen, rows = [], []
    for row_id, item in enumerate(received, first):
        told = item.envelope
        created_at = stored(told.created)
        seen.append((told.id, item.source, created_at, row_id))
        row = (row_id, item.source, told.id, told.type, created_at, received_at, item.body, wake_at)
        rows.append(row)
    line.exec_driver_sql(_SEE, seen)
    line.exec_driver_sql(_KEEP_NEW, rows)
    kept = line.exec_driver_sql("SELECT id FROM inbox WHERE id >= ?", (first,))
    return [row_id for (row_id,) in kept]


_SEE = """
    INSERT INTO seen (event_id, source, created_at, inbox_id) VALUES (?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
# New is what was seen under this very id.
_KEEP_NEW = """
    INSERT INTO inbox (id, source, event_id, type, created_at, received_at, body, wake_at,
        state, reason, waiting, tries)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'new', '', 0, 0
    WHERE EXISTS (
        SELECT 1 FROM seen
        WHERE event_id = ?3 AND source = ?2 AND created_at = ?5 AND inbox_id = ?1
    )
"""
