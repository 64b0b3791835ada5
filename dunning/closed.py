"""Which periods are closed, and where an entry is booked that comes too late for its own.

An entry keeps the moment at which it occurred. The books count it at `posted_at` where it has one:
the first moment that was open when it was written. So no closed period ever changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select, text
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.store import ClosingRow, EntryRow, RecurringRow, table_of, transaction

# Whoever adds entries shares this lock to the end of the transaction, whoever closes has it alone.
# The trigger of the entries takes it as well, for whoever writes past this program.
_SHARED = text("SELECT pg_advisory_xact_lock_shared(715518)")
_ALONE = text("SELECT pg_advisory_xact_lock(715518)")


def booked(session: Session, rows: Sequence[Mapping[str, Any]]) -> Sequence[dict[str, Any]]:
    """The new entries with where they are booked, and nobody closes a period until they are in."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_SHARED)
    periods = closings(session)
    return [{**row, **_place(periods, utc(row["occurred_at"]))} for row in rows]


def _place(periods: Sequence[ClosingRow], occurred_at: datetime) -> dict[str, Any]:
    if not periods or occurred_at >= periods[-1].ends_at:
        return {"posted_at": None, "closed_period": None}
    # What is older than the first statement belongs to it.
    own = next(row.period for row in periods if occurred_at < row.ends_at)
    return {"posted_at": periods[-1].ends_at, "closed_period": own}


def closings(session: Session) -> Sequence[ClosingRow]:
    """The closed periods, oldest first: one row a month."""
    return session.scalars(_CLOSINGS).all()


_CLOSINGS = (
    select(ClosingRow).order_by(col(ClosingRow.starts_at)).execution_options(populate_existing=True)
)


@contextmanager
def alone(engine: Engine) -> Iterator[Session]:
    """A transaction in which no entry is on its way: all that were begun are in, none begins."""
    with transaction(engine) as session:
        if engine.dialect.name == "postgresql":
            session.execute(_ALONE)
        yield session


# --- for queries -----------------------------------------------------------------------------


def booked_at() -> ColumnElement[datetime]:
    """The moment the books count an entry at."""
    return func.coalesce(col(EntryRow.posted_at), col(EntryRow.occurred_at))


Booked = type[EntryRow | RecurringRow]


def booked_between(
    since: datetime | None, until: datetime | None, model: Booked = EntryRow
) -> ColumnElement[bool]:
    """The entries that the books count from then until then, so that indexes find them."""
    posted, occurred = col(model.posted_at), col(model.occurred_at)
    own: list[ColumnElement[bool]] = [posted.is_(None)]
    later: list[ColumnElement[bool]] = [posted.is_not(None)]
    for moment, rules in ((occurred, own), (posted, later)):
        if since is not None:
            rules.append(moment >= since)
        if until is not None:
            rules.append(moment < until)
    return or_(and_(*own), and_(*later))


def misplaced(session: Session) -> Iterator[tuple[str, str]]:
    """Entries that are booked elsewhere than when they occurred, and not as `booked` does it."""
    periods = {row.period: row for row in closings(session)}
    ends = {row.ends_at for row in periods.values()}
    models: tuple[Booked, ...] = (EntryRow, RecurringRow)
    for model in models:
        late = col(model.posted_at).is_not(None) | col(model.closed_period).is_not(None)
        table = table_of(model).c
        query = select(table.case_id, table.key, table.occurred_at, table.posted_at)
        query = query.add_columns(table.closed_period).where(late).order_by(table.id)
        for row in session.execute(query.execution_options(yield_per=5_000)):
            period = periods.get(row.closed_period or "")
            if period is None or row.posted_at not in ends or row.occurred_at >= period.ends_at:
                yield row.case_id, f"{row.key}: booked neither when it occurred nor after a closing"
