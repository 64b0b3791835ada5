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

from sqlalchemy import func, select, update
from sqlmodel import Session, col

from dunning.store import CaseRow


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
    oldest_due_at: datetime | None
    next_at: datetime | None


def backlog(session: Session, now: datetime, sources: Sequence[str]) -> Backlog:
    """Count what is due and what is being worked on, and find the next moment anything is due."""
    mine = col(CaseRow.source).in_(sources)
    due = session.execute(
        select(func.count(), func.min(col(CaseRow.next_at))).where(
            col(CaseRow.wake_at) <= now, mine
        )
    ).one()
    claimed = session.execute(
        select(func.count()).where(
            col(CaseRow.wake_at) > now, col(CaseRow.lease_token).is_not(None), mine
        )
    ).scalar_one()
    next_at = session.execute(
        select(func.min(col(CaseRow.wake_at))).where(col(CaseRow.wake_at) > now, mine)
    ).scalar_one()
    return Backlog(due=due[0], claimed=claimed, oldest_due_at=due[1], next_at=next_at)
