"""Customers who want no notices of what lies ahead: renewals, and cards that expire.

What is owed is another matter: of a payment that failed they hear all the same. They stop the
notices themselves, by the link in one; people stop and resume them by hand, and `acts` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import select
from sqlmodel import Session, col

from dunning.core.facts import Case
from dunning.errors import NotFoundError, RefusedError
from dunning.store import ActRow, CaseRow, UnsubscribedRow, insert_into

log = structlog.get_logger(__name__)

STOP: Final = "stop-notices"
RESUME: Final = "resume-notices"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Since when a customer wants no notices, and how we know; `by` nobody: by their own link."""

    at: datetime
    case: str
    by: str | None = None
    why: str | None = None


def since(session: Session, source: str, customer: str) -> datetime | None:
    """Since when the customer wants none, if that is so."""
    row = session.get(UnsubscribedRow, (source, customer))
    return row.at if row else None


def stopped(session: Session, source: str, customer: str) -> Stopped | None:
    """The same, with how it came about."""
    row = session.get(UnsubscribedRow, (source, customer))
    if row is None:
        return None
    by_hand = select(ActRow).where(
        col(ActRow.case_id) == row.case_id, col(ActRow.act) == STOP, col(ActRow.at) == row.at
    )
    act = session.scalars(by_hand.limit(1)).first()
    return Stopped(row.at, row.case_id, act.by if act else None, act.why if act else None)


def stop(session: Session, case: Case, now: datetime) -> bool:
    """The customer of this case wants none from now on; whether that is news."""
    if case.customer is None:
        return False
    values = {"source": case.source, "customer": case.customer, "at": now, "case_id": case.id}
    return _stop(session, values)


def stop_by_hand(
    session: Session, source: str, customer: str, *, by: str, why: str, now: datetime
) -> str:
    """The customer told a person that they want none; the case whose record says so."""
    theirs = select(col(CaseRow.id)).where(
        col(CaseRow.source) == source, col(CaseRow.customer) == customer
    )
    newest = theirs.order_by(col(CaseRow.opened_at).desc(), col(CaseRow.id)).limit(1)
    case_id = session.scalars(newest).first()
    if case_id is None:
        message = f"no case of {customer} at {source}, so they were never sent a notice"
        raise NotFoundError(message)
    if not _stop(session, {"source": source, "customer": customer, "at": now, "case_id": case_id}):
        standing = stopped(session, source, customer)
        at = f" since {standing.at:%Y-%m-%d %H:%M} UTC" if standing else ""
        raise RefusedError(f"{customer} of {source} is sent no notices{at}; nothing changed")
    session.add(ActRow(case_id=case_id, act=STOP, by=by, why=why, at=now))
    return case_id


def resume(
    session: Session, source: str, customer: str, *, by: str, why: str, now: datetime
) -> Stopped:
    """Send them notices again, from the next one on; how they had been stopped."""
    standing = stopped(session, source, customer)
    row = session.get(UnsubscribedRow, (source, customer), with_for_update=True)
    if standing is None or row is None:
        message = (
            f"the notices of {customer} of {source} are not stopped; "
            "`dunning customers show` says how a customer stands"
        )
        raise NotFoundError(message)
    session.delete(row)
    session.add(ActRow(case_id=row.case_id, act=RESUME, by=by, why=why, at=now))
    log.info("notices.resumed", case=row.case_id)
    return standing


def _stop(session: Session, values: Mapping[str, object]) -> bool:
    new = insert_into(session, UnsubscribedRow).values(**values).on_conflict_do_nothing()
    made = session.execute(new.returning(UnsubscribedRow.case_id)).first()
    if made is not None:
        log.info("notices.stopped", case=values["case_id"])
    return made is not None
