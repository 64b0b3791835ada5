"""Keep each webhook once: durable before its sender is told so, in one statement for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import LargeBinary, String, bindparam, func, insert, select, text
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.ports import Envelope
from dunning.store import Column, InboxRow, SeenRow, UTCDateTime, first_id, insert_into

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
    if not received:
        return []
    # The same event twice in one batch: one statement may not hit a row twice.
    ordered = list({(item.source, item.envelope.id): item for item in received}.values())
    day = first_id(utc(now).date())
    keep_on = _keep_on_sqlite if session.get_bind().dialect.name == "sqlite" else _keep_at_once
    return keep_on(session, ordered, day, now)


def _keep_at_once(
    session: Session, received: Sequence[Received], day: int, now: datetime
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
    return list(session.scalars(_KEEP, given | times))


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
    session: Session, received: Sequence[Received], day: int, now: datetime
) -> list[int]:
    """There is one writer, who counts on from the last id."""
    last = session.scalar(select(func.max(col(InboxRow.id)))) or 0
    numbered = dict(enumerate(received, max(last, day) + 1))
    seen = insert_into(session, SeenRow).on_conflict_do_nothing().returning(SeenRow.inbox_id)
    told = [
        {
            "event_id": item.envelope.id,
            "source": item.source,
            "created_at": item.envelope.created,
            "inbox_id": row_id,
        }
        for row_id, item in numbered.items()
    ]
    fresh = sorted(session.scalars(seen, told))
    rows = [
        {
            "id": row_id,
            "source": item.source,
            "event_id": item.envelope.id,
            "type": item.envelope.type,
            "created_at": item.envelope.created,
            "received_at": now,
            "body": item.body,
            "state": "new",
            "reason": "",
            "waiting": False,
            # Handled at once by the hint; swept up only if that got lost.
            "wake_at": now + LEASE,
            "tries": 0,
        }
        for row_id, item in ((row_id, numbered[row_id]) for row_id in fresh)
    ]
    if rows:
        session.execute(insert(_INBOX), rows)
    return fresh


_INBOX = InboxRow.__table__  # type: ignore[attr-defined]
