"""Sums over the ledger's rows, grouped as a report asks; parameters only, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    case,
    exists,
    func,
    select,
)
from sqlmodel import Session, col

from dunning.closed import booked_at, booked_between
from dunning.core.entries import Account
from dunning.reports.buckets import begin_of
from dunning.reports.dimensions import CASE_KEYS, dimensions, joined
from dunning.reports.origins import Origin, origin, payment_keys
from dunning.reports.periods import (
    FIRST,
    Period,
    Unit,
    first_moment,
    offsets,
    period_from,
    periods_between,
    span,
    unit_of,
    zone_named,
)
from dunning.reports.scope import Scope
from dunning.store import CaseRow, EntryRow


def moment_of(scope: Scope) -> Any:
    """By which of its times a row counts."""
    if scope.is_of_books:
        return BOOKED_AT
    return col(EntryRow.recorded_at if scope.is_recorded else EntryRow.occurred_at)


BOOKED_AT = booked_at()
EPOCH = datetime(FIRST.year, 1, 1, tzinfo=UTC)


# --- what a row of the ledger is grouped by ------------------------------------------------


ENTRY_KEYS: dict[str, SQLColumnExpression[Any]] = {
    "currency": col(EntryRow.currency),
    "source": col(EntryRow.source),
    "cause": col(EntryRow.cause),
    **payment_keys,
}


# A counter-entry as what it takes back, with a minus.
is_counter = col(EntryRow.reverses).is_not(None)
debit: ColumnElement[str] = case((is_counter, col(EntryRow.credit)), else_=col(EntryRow.debit))
credit: ColumnElement[str] = case((is_counter, col(EntryRow.debit)), else_=col(EntryRow.credit))
amount: ColumnElement[int] = case((is_counter, -col(EntryRow.amount)), else_=col(EntryRow.amount))


def came_in() -> ColumnElement[bool]:
    """Payments, and the corrections of payments; not what came back of a refund or a dispute."""
    back = (Account.REFUNDED.value, Account.DISPUTED.value)
    plain, name = col(EntryRow.reverses).is_(None), Account.RECOVERED.value
    came = plain & (col(EntryRow.credit) == name) & col(EntryRow.debit).not_in(back)
    # A counter-entry goes the other way. Said of columns, it can be estimated by the database.
    return came | ~plain & (col(EntryRow.debit) == name) & col(EntryRow.credit).not_in(back)


def standing(since: datetime | None = None) -> tuple[ColumnElement[bool], ...]:
    """Rows that hold: neither a counter-entry nor taken back by one.

    A counter-entry has the amount and the moment of what it takes back, so leaving both out is the
    same as adding both up. `since`: of rows that all occurred from then on.
    """
    counter = EntryRow.__table__.alias("counter")  # type: ignore[attr-defined]
    found = select(1).where(
        # The case is named for its index.
        counter.c.case_id == col(EntryRow.case_id),
        counter.c.reverses.is_not(None),
        counter.c.reverses == col(EntryRow.key),
    )
    taken_back = exists(found if since is None else found.where(counter.c.occurred_at >= since))
    return col(EntryRow.reverses).is_(None), ~taken_back


def counted(scope: Scope) -> tuple[ColumnElement[bool], ...]:
    """The rows a report adds up: those that hold, or every one where it counts by itself."""
    return standing() if scope.date == "occurred" else ()


def in_scope(scope: Scope, query: Select[Any], keys: tuple[str, ...] = ()) -> Select[Any]:
    """Only the rows that the filters let through. A row without a case is kept: it is money."""
    query = query.outerjoin(CaseRow, col(CaseRow.id) == col(EntryRow.case_id))
    query = joined(query, keys)
    given = (
        (col(EntryRow.source), scope.source),
        (col(EntryRow.currency), scope.currency),
        (col(CaseRow.policy), scope.policy),
    )
    return query.where(*(column == value for column, value in given if value is not None))


def in_span(scope: Scope, query: Select[Any]) -> Select[Any]:
    """Only what happened, or was written down, between the two dates."""
    return between(scope, query, *span(scope.since, scope.until, zone_named(scope.zone)))


def between(
    scope: Scope, query: Select[Any], starts: datetime | None, ends: datetime | None
) -> Select[Any]:
    """The same between two moments, the second of which is not part of it."""
    if scope.is_of_books:
        return query.where(booked_between(starts, ends))
    moment = moment_of(scope)
    if starts is not None:
        query = query.where(moment >= starts)
    return query.where(moment < ends) if ends is not None else query


# --- periods -----------------------------------------------------------------------------------


def period(session: Session, unit: Unit, scope: Scope, moment: Any) -> ColumnElement[str]:
    """The first day of the period in which the moment of a row lies, as text."""
    zone = zone_named(scope.zone)
    starts, ends = span(scope.since, scope.until, zone)
    if starts is None or ends is None:
        first, last = _ends(session, moment)
        starts, ends = starts or first or EPOCH, ends or last or EPOCH
    known = offsets(zone, starts, max(starts, ends))
    return begin_of(session.get_bind().dialect.name, unit, known, moment, scope.year_from)


def edges_of(session: Session, scope: Scope) -> tuple[datetime, datetime]:
    """The first moment of the range and the first after it, within the months there are."""
    starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
    first, last = _ends(session, moment_of(scope))
    begins = month_of(first or EPOCH)
    closes = month_of(month_of(last) + timedelta(days=32)) if last else begins
    return max(starts or begins, begins), min(ends or closes, closes)


def periods_of(session: Session, scope: Scope, moment: Any, until: datetime) -> Iterator[Period]:
    """Every period of the range, the quiet ones too; the last may not be over yet.

    Where no first day is asked for they begin with that of the earliest `moment` there is.
    """
    zone, unit = zone_named(scope.zone), unit_of(scope.by)
    starts, closes = span(scope.since, scope.until, zone)
    if starts is None:
        first = session.scalar(select(func.min(moment)))
        if first is None:
            return
        began = period_from(unit or "month", first.astimezone(zone).date(), scope.year_from)
        starts = first_moment(began, zone)
    closes = min(closes, until) if closes is not None else until
    yield from periods_between(unit, starts, closes, zone, scope.year_from)


def month_of(at: datetime) -> datetime:
    """The first moment of the month, by UTC."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _ends(session: Session, moment: Any) -> tuple[datetime | None, datetime | None]:
    """The first and the last moment there is; the books count nothing before it occurred."""
    if moment is not BOOKED_AT:
        first, last = session.execute(select(func.min(moment), func.max(moment))).one()
        return first, last
    occurred, posted = col(EntryRow.occurred_at), col(EntryRow.posted_at)
    ends = select(func.min(occurred), func.max(occurred), func.max(posted))
    first, *later = session.execute(ends).one()
    return first, max((at for at in later if at is not None), default=None)


# --- what refunds and disputes took back ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the ledger with what its case is known by."""

    origin: Origin
    keys: dict[str, str | None]
    case_id: str
    base: str
    debit: str
    credit: str
    amount: int
    at: datetime
    key: str
    reverses: str | None
    counts_at: datetime  # by the time that the report goes by


def reversed_cases(session: Session, scope: Scope) -> Iterator[Movement]:
    """Every row of the cases that paid something back and moved in this span, case by case.

    Of a report by when things occurred only the rows that hold.
    """
    back = select(col(EntryRow.case_id)).where(col(EntryRow.cause).in_(("refund", "dispute")))
    at_once = scope.date == "occurred"
    touched = [in_span(scope, back) if at_once else back]
    if not at_once:
        touched.append(in_span(scope, select(col(EntryRow.case_id))))
    known = dimensions(session.get_bind().dialect.name) | ENTRY_KEYS
    fixed = tuple(key for key in (*CASE_KEYS, "currency", "source") if key in scope.keys)
    told_of_each: list[Any] = [
        col(EntryRow.case_id),
        col(EntryRow.base),
        col(EntryRow.debit),
        col(EntryRow.credit),
        col(EntryRow.amount),
        col(EntryRow.occurred_at),
        col(EntryRow.key),
        col(EntryRow.reverses),
        moment_of(scope),
        *origin,
        *(known[key] for key in fixed),
    ]
    query: Select[Any] = select(*told_of_each).select_from(EntryRow)
    query = in_scope(scope, query, fixed).where(
        *(col(EntryRow.case_id).in_(cases) for cases in touched), *counted(scope)
    )
    query = query.order_by(col(EntryRow.case_id)).execution_options(yield_per=2000)
    for found in session.execute(query):
        told: list[Any] = list(found)
        row, came, keys = told[:9], told[9 : 9 + len(origin)], told[9 + len(origin) :]
        yield Movement(Origin(*came), dict(zip(fixed, keys, strict=True)), *row)
