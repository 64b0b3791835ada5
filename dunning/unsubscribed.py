"""Customers who want no notices of what lies ahead: renewals, and cards that expire.

What is owed is another matter: of a payment that failed they hear all the same.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlmodel import Session

from dunning.core.facts import Case
from dunning.store import UnsubscribedRow, insert_into

log = structlog.get_logger(__name__)


def since(session: Session, source: str, customer: str) -> datetime | None:
    """Since when the customer wants none, if that is so."""
    row = session.get(UnsubscribedRow, (source, customer))
    return row.at if row else None


def stop(session: Session, case: Case, now: datetime) -> bool:
    """The customer of this case wants none from now on; whether that is news."""
    if case.customer is None:
        return False
    values = {"source": case.source, "customer": case.customer, "at": now, "case_id": case.id}
    new = insert_into(session, UnsubscribedRow).values(**values).on_conflict_do_nothing()
    made = session.execute(new.returning(UnsubscribedRow.case_id)).first()
    if made is not None:
        log.info("notices.stopped", case=case.id)
    return made is not None
