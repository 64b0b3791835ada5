"""Up to when the figures are complete, and what to tell people when there are none."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.reports.report import time_text
from dunning.reports.scope import Scope
from dunning.store import CaseRow, EntryRow, InboxRow

DATA_UNTIL = "Everything received before this moment is in the figures."


def data_until(session: Session, now: datetime) -> tuple[datetime, str]:
    """The moment before which everything received is counted, and the sentence that says so."""
    # One state at a time: each has a small index of its own.
    new = select(func.count(), func.min(col(InboxRow.received_at))).where(text("state = 'new'"))
    waiting, oldest = session.execute(new).one()
    parked = session.scalar(
        select(func.count()).select_from(InboxRow).where(text("state = 'parked'"))
    )
    sentence = DATA_UNTIL
    if waiting:
        sentence += f" Still to be handled: {waiting}."
    if parked:
        sentence += f" Parked and not counted: {parked}; see `dunning inbox list --state parked`."
    return min(utc(now), oldest) if oldest else utc(now), sentence


def why_empty(session: Session, plain: str, scope: Scope) -> str:
    """One line on why a report has no rows; a misspelt filter is the likeliest reason."""
    for column, given, word in (
        (col(CaseRow.policy), scope.policy, "policy"),
        (col(CaseRow.source), scope.source, "source"),
    ):
        if given is None:
            continue
        known = sorted(session.scalars(select(column).distinct()))
        if given not in known:
            have = f"; there are cases of {', '.join(known)}" if known else ""
            return f"{plain}: no case is of {word} {given!r}{have}"
    occurred = col(EntryRow.occurred_at)
    first, last = session.execute(select(func.min(occurred), func.max(occurred))).one()
    if first is None:
        return f"{plain}: no payment has failed, so the ledger is empty"
    return f"{plain}; the ledger goes from {time_text(first)} to {time_text(last)}"
