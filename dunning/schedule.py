"""Claim cases whose next step is due, under a lease; release; rescue.

One indexed column, `cases.wake_at`, is the whole schedule. A claim moves it to the end of the
lease and leaves a token: if the worker dies, the case wakes up again by itself, and what the dead
one might still write is refused, since its token is no longer the case's.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Integer, String, bindparam, column, select, text, update
from sqlmodel import Session, col

from dunning.store import CaseRow, UTCDateTime


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one case until the lease runs out."""

    case_id: str
    source: str
    token: str


def claim_due(
    session: Session, now: datetime, *, limit: int, lease: timedelta, sources: Sequence[str]
) -> list[Claim]:
    """Take up to `limit` cases of these sources whose moment has come, the longest due first."""
    if not sources:
        return []
    due = (
        select(col(CaseRow.id), col(CaseRow.source))
        .where(col(CaseRow.wake_at) <= now, col(CaseRow.source).in_(sources))
        .order_by(col(CaseRow.wake_at), col(CaseRow.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = session.execute(due).all()
    if not found:
        return []
    ids = [case_id for case_id, _ in found]
    token = secrets.token_hex(8)
    session.execute(
        update(CaseRow)
        .where(col(CaseRow.id).in_(ids))
        .values(wake_at=now + lease, lease_token=token)
        .execution_options(synchronize_session=False)
    )
    return [Claim(case_id, source, token) for case_id, source in found]


def release(session: Session, claims: Sequence[Claim]) -> None:
    """Give claims back unused, so that others need not wait for the lease to run out."""
    for claim in claims:
        session.execute(
            update(CaseRow)
            .where(col(CaseRow.id) == claim.case_id, col(CaseRow.lease_token) == claim.token)
            .values(wake_at=col(CaseRow.next_at), lease_token=None)
            .execution_options(synchronize_session=False)
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """How the schedule stands."""

    due: int
    claimed: int
    oldest_due_at: datetime | None  # of those claimed as well: a claim is no work done
    next_at: datetime | None


# Asked many times a second, so prepared once. Both counts and both moments come from the index.
_BACKLOG = (
    text(
        """
        SELECT
            (SELECT count(*) FROM cases WHERE wake_at <= :now AND source IN :sources) AS due,
            (SELECT count(*) FROM cases
              WHERE wake_at > :now AND lease_token IS NOT NULL AND source IN :sources) AS claimed,
            (SELECT min(next_at) FROM cases
              WHERE wake_at <= :now AND source IN :sources) AS oldest_due_at,
            (SELECT min(next_at) FROM cases
              WHERE wake_at > :now AND lease_token IS NOT NULL AND next_at <= :now
                AND source IN :sources) AS oldest_claimed_at,
            (SELECT min(wake_at) FROM cases
              WHERE wake_at > :now AND source IN :sources) AS next_at
        """
    )
    .bindparams(
        bindparam("now", type_=UTCDateTime()),
        # With its type, as an empty list of nothing is compared with no text on PostgreSQL.
        bindparam("sources", type_=String(), expanding=True),
    )
    .columns(
        column("due", Integer),
        column("claimed", Integer),
        column("oldest_due_at", UTCDateTime()),
        column("oldest_claimed_at", UTCDateTime()),
        column("next_at", UTCDateTime()),
    )
)


def backlog(session: Session, now: datetime, sources: Sequence[str]) -> Backlog:
    """Count what is due and what is being worked on, and find the next moment anything is due."""
    found = session.execute(_BACKLOG, {"now": now, "sources": list(sources)}).one()
    return Backlog(
        due=found.due,
        claimed=found.claimed,
        oldest_due_at=min(
            (at for at in (found.oldest_due_at, found.oldest_claimed_at) if at), default=None
        ),
        next_at=found.next_at,
    )
