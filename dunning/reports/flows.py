"""Sums over the ledger's rows, grouped as a report asks; parameters only, on both databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlmodel import Session, col

from dunning.closed import booked_at, booked_between
from dunning.reports.buckets import begin_of
from dunning.reports.dimensions import CASE_KEYS, dimensions, joined
from dunning.reports.origins import Origin, origin, payment_keys
from dunning.reports.periods import (
    FIRST,
    UNITS,
    Unit,
    label_of,
    offsets,
    span,
    unit_of,
    zone_named,
)
from dunning.reports.report import Row
from dunning.reports.scope import Scope
from dunning.store import CaseRow, EntryRow


def moment_of(scope: Scope) -> Any:
    """By which of its times a row counts."""
    if scope.is_of_books:
        return BOOKED_AT
    return col(EntryRow.recorded_at if scope.is_recorded else EntryRow.occurred_at)


BOOKED_AT = booked_at()


# --- what a row of the ledger is grouped by ------------------------------------------------


ENTRY_KEYS: dict[str, SQLColumnExpression[Any]] = {
    "currency": col(EntryRow.currency),
    "source": col(EntryRow.source),
    "cause": col(EntryRow.cause),
    **payment_keys,
}


# A counter-entry as what it takes back, with a minus.
_counter = col(EntryRow.reverses).is_not(None)
debit: ColumnElement[str] = case((_counter, col(EntryRow.credit)), else_=col(EntryRow.debit))
credit: ColumnElement[str] = case((_counter, col(EntryRow.debit)), else_=col(EntryRow.credit))
amount: ColumnElement[int] = case((_counter, -col(EntryRow.amount)), else_=col(EntryRow.amount))


def standing() -> tuple[ColumnElement[bool], ...]:
    """Rows that hold: neither a counter-entry nor taken back by one.

    A counter-entry has the amount and the day of what it takes back, so leaving both out is the
    same as adding both up.
    """
    counter = EntryRow.__table__.alias("counter")  # type: ignore[attr-defined]
    taken_back = exists(
        select(1).where(
            # The case is named for its index.
            counter.c.case_id == col(EntryRow.case_id),
            counter.c.reverses == col(EntryRow.key),
        )
    )
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
    starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
    if scope.is_of_books:
        return query.where(booked_between(starts, ends))
    moment = moment_of(scope)
    if starts is not None:
        query = query.where(moment >= starts)
    return query.where(moment < ends) if ends is not None else query


# --- sums ----------------------------------------------------------------------------------


def sums(
    session: Session,
    scope: Scope,
    amounts: Mapping[str, ColumnElement[int]],
    cases: Mapping[str, ColumnElement[bool]],
    where: ColumnElement[bool],
) -> Iterator[Row]:
    """One row for each combination of the scope's keys: amounts added up, cases counted once.

    Counter-entries are taken with a minus in each case, so that nobody has to look for what they
    take back; a case counts where more holds than was taken back.
    """
    lines = _lines(session, scope, amounts, cases, where)
    keys = [lines[name] for name in scope.keys]
    each = _of_cases(lines, (*amounts, *cases), keys).group_by(*keys, lines.case_id).subquery().c
    groups = [each[name] for name in scope.keys]
    query: Select[Any] = select(*groups, *_counted(each, amounts, cases)).group_by(*groups)
    yield from _read(scope, session.execute(query).mappings(), (*amounts, *cases))


def sums_and_totals(
    session: Session,
    scope: Scope,
    amounts: Mapping[str, ColumnElement[int]],
    cases: Mapping[str, ColumnElement[bool]],
    where: ColumnElement[bool],
) -> tuple[list[Row], list[Row]]:
    """The same, and beside it a row for each currency; where the database can, in one pass."""
    whole = scope.totalled
    if session.get_bind().dialect.name != "postgresql" or set(scope.keys) == {"currency"}:
        rows = list(sums(session, scope, amounts, cases, where))
        alone = set(scope.keys) == {"currency"}
        return rows, rows if alone else list(sums(session, whole, amounts, cases, where))
    lines = _lines(session, scope, amounts, cases, where)
    keys = [lines[name] for name in scope.keys]
    mine, last = [*keys, lines.case_id], [lines.currency, lines.case_id]
    # Sorted by currency and case first, one pass over the rows makes both.
    other = next(key for key in keys if key is not lines.currency)
    query = _of_cases(lines, (*amounts, *cases), keys)
    query = query.add_columns(func.grouping(other).label(_WHOLE))
    each = query.group_by(func.grouping_sets(tuple_(*mine), tuple_(*last))).subquery().c
    groups = [each[_WHOLE], *(each[name] for name in scope.keys)]
    told: Select[Any] = select(*groups, *_counted(each, amounts, cases)).group_by(*groups)
    names = (*amounts, *cases)
    found = list(session.execute(told).mappings())
    rows = list(_read(scope, (one for one in found if not one[_WHOLE]), names))
    return rows, list(_read(whole, (one for one in found if one[_WHOLE]), names))


_WHOLE = "_whole"


def _lines(
    session: Session,
    scope: Scope,
    amounts: Mapping[str, ColumnElement[int]],
    cases: Mapping[str, ColumnElement[bool]],
    where: ColumnElement[bool],
) -> Any:
    """Each row of the ledger that counts, with its keys and what it adds to each figure."""
    unit = unit_of(scope.by)
    known = dimensions(session.get_bind().dialect.name) | ENTRY_KEYS
    keys: dict[str, SQLColumnExpression[Any]] = {
        key: known[key] for key in scope.keys if key not in UNITS
    }
    if unit is not None:
        keys[unit] = period(session, unit, scope, moment_of(scope))
    one: Any = literal_column("1") if scope.is_recorded else case((_counter, -1), else_=1)
    told: list[Any] = [
        *(figure.label(name) for name, figure in keys.items()),
        col(EntryRow.case_id).label("case_id"),
        *(figure.label(name) for name, figure in amounts.items()),
        *(case((rule, one), else_=0).label(name) for name, rule in cases.items()),
    ]
    query: Select[Any] = select(*told).select_from(EntryRow)
    return in_span(scope, in_scope(scope, query, scope.keys)).where(where).subquery().c


def _of_cases(lines: Any, names: Sequence[str], keys: Sequence[Any]) -> Select[Any]:
    """What the rows of one case come to, for each of these keys."""
    return select(*keys, *(func.sum(lines[name]).label(name) for name in names))


def _counted(each: Any, amounts: Mapping[str, Any], cases: Mapping[str, Any]) -> list[Any]:
    return [
        *(func.sum(each[name]).label(name) for name in amounts),
        *(func.sum(case((each[name] != 0, 1), else_=0)).label(name) for name in cases),
        func.sum(_anything(each, amounts, cases)).label("_anything"),
    ]


def _read(scope: Scope, found: Iterable[Any], names: Sequence[str]) -> Iterator[Row]:
    """Rows as reports have them."""
    unit = unit_of(scope.by)
    for one in found:
        if not one["_anything"]:
            continue
        row: Row = {key: one[key] for key in scope.keys}
        if unit is not None:
            row[unit] = label_of(unit, date.fromisoformat(one[unit]), scope.year_from)
        # PostgreSQL adds 64-bit integers up to a Decimal.
        yield row | {name: int(one[name] or 0) for name in names}


def _anything(
    columns: Any, amounts: Mapping[str, Any], cases: Mapping[str, Any]
) -> ColumnElement[int]:
    """1 for a case of which something holds: what was taken back whole is no row of a report."""
    return case((or_(*(columns[name] != 0 for name in (*amounts, *cases))), 1), else_=0)


def period(session: Session, unit: Unit, scope: Scope, moment: Any) -> ColumnElement[str]:
    """The first day of the period in which the moment of a row lies, as text."""
    zone = zone_named(scope.zone)
    starts, ends = span(scope.since, scope.until, zone)
    if starts is None or ends is None:
        first, last = _ends(session, moment)
        epoch = datetime(FIRST.year, 1, 1, tzinfo=UTC)
        starts, ends = starts or first or epoch, ends or last or epoch
    known = offsets(zone, starts, max(starts, ends))
    return begin_of(session.get_bind().dialect.name, unit, known, moment, scope.year_from)


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
