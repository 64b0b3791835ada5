"""Sums over the ledger's rows, grouped as a report asks; parameters only, on both databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, case, exists, func, select
from sqlmodel import Session, col

from dunning.core.attribution import BACKUP_METHOD, BY_HAND, LINK, NEW_CARD
from dunning.core.money import currency_code
from dunning.reports.buckets import begin_of
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
from dunning.store import CaseRow, EntryRow

OUR_RETRY = "our_retry"
UNKNOWN = "unknown"
# What we did made the money come in; the rest is shown and never claimed.
CLAIMED = (OUR_RETRY, BACKUP_METHOD, BY_HAND, NEW_CARD, LINK)
_OUR_STEPS = (BACKUP_METHOD, BY_HAND, NEW_CARD)
_RUNG = "retry:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a report is about: its breakdown and its filters."""

    by: tuple[str, ...]
    since: date | None = None
    until: date | None = None
    source: str | None = None
    policy: str | None = None
    currency: str | None = None
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, before the database is asked."""
        unit_of(self.by)
        span(self.since, self.until, zone_named(self.zone))
        if self.currency is not None:
            object.__setattr__(self, "currency", currency_code(self.currency))

    @property
    def keys(self) -> tuple[str, ...]:
        """What rows are told apart by: the breakdown, and always the currency."""
        return self.by if "currency" in self.by else (*self.by, "currency")

    def filters(self) -> dict[str, Any]:
        """The filters as the report states them."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "by": list(self.by),
            "source": self.source,
            "policy": self.policy,
            "currency": self.currency,
            "zone": self.zone,
        }


# --- what a row of the ledger is grouped by ------------------------------------------------


def is_rung(how: str) -> bool:
    """Whether a planned charge of ours brought it in: of the timeline, or of a branch of it."""
    return how.startswith(_RUNG) or f".{_RUNG}" in how


def mechanism_of(how: str) -> str:
    """What brought the money in, all rungs of our ladder together."""
    return OUR_RETRY if is_rung(how) else how or UNKNOWN


def step_of(how: str) -> str | None:
    """Which charge of ours brought the money in; None when none did."""
    return how if is_rung(how) or how in _OUR_STEPS else None


_how = col(EntryRow.how)
_is_rung = _how.startswith(_RUNG, autoescape=True) | _how.contains(f".{_RUNG}", autoescape=True)
# The same two functions for the database; a test holds them together.
_DIMENSIONS: Mapping[str, SQLColumnExpression[Any]] = {
    "currency": col(EntryRow.currency),
    "source": col(EntryRow.source),
    "cause": col(EntryRow.cause),
    "policy": col(CaseRow.policy),
    "decline_code": col(CaseRow.decline_code),
    "mechanism": case((_is_rung, OUR_RETRY), (_how == "", UNKNOWN), else_=_how),
    "step": case((_is_rung | _how.in_(_OUR_STEPS), _how), else_=None),
}
claimed = _is_rung | _how.in_([word for word in CLAIMED if word != OUR_RETRY])


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


def in_scope(scope: Scope, query: Select[Any]) -> Select[Any]:
    """Only the rows that the filters let through. A row without a case is kept: it is money."""
    query = query.outerjoin(CaseRow, col(CaseRow.id) == col(EntryRow.case_id))
    given = (
        (col(EntryRow.source), scope.source),
        (col(EntryRow.currency), scope.currency),
        (col(CaseRow.policy), scope.policy),
    )
    return query.where(*(column == value for column, value in given if value is not None))


def in_span(scope: Scope, query: Select[Any]) -> Select[Any]:
    """Only what happened between the two dates."""
    starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
    occurred = col(EntryRow.occurred_at)
    if starts is not None:
        query = query.where(occurred >= starts)
    return query.where(occurred < ends) if ends is not None else query


# --- sums ----------------------------------------------------------------------------------


def sums(
    session: Session,
    scope: Scope,
    measures: Mapping[str, ColumnElement[Any]],
    where: ColumnElement[bool],
) -> Iterator[Row]:
    """One row for each combination of the scope's keys, with the measures as integers."""
    unit = unit_of(scope.by)
    keys: dict[str, SQLColumnExpression[Any]] = {
        key: _DIMENSIONS[key] for key in scope.keys if key not in UNITS
    }
    if unit is not None:
        keys[unit] = _period(session, unit, scope)
    named: list[Any] = [figure.label(name) for name, figure in (*keys.items(), *measures.items())]
    query: Select[Any] = select(*named).select_from(EntryRow)
    query = in_span(scope, in_scope(scope, query)).where(*standing(), where)
    for found in session.execute(query.group_by(*keys.values())).mappings():
        row: Row = {key: found[key] for key in scope.keys}
        if unit is not None:
            row[unit] = label_of(unit, date.fromisoformat(found[unit]))
        # PostgreSQL adds 64-bit integers up to a Decimal.
        yield row | {name: int(found[name] or 0) for name in measures}


def _period(session: Session, unit: Unit, scope: Scope) -> ColumnElement[str]:
    occurred = col(EntryRow.occurred_at)
    first, last = session.execute(select(func.min(occurred), func.max(occurred))).one()
    epoch = datetime(FIRST.year, 1, 1, tzinfo=UTC)
    known = offsets(zone_named(scope.zone), first or epoch, last or epoch)
    return begin_of(session.get_bind().dialect.name, unit, known)


# --- what refunds and disputes took back ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Movement:
    """One standing row of the ledger with what its case is known by."""

    case_id: str
    base: str
    debit: str
    credit: str
    amount: int
    how: str
    at: datetime
    keys: dict[str, str | None]


def reversed_cases(session: Session, scope: Scope) -> Iterator[Movement]:
    """Every standing row of the cases that paid something back in this span, case by case."""
    touched = in_span(scope, select(col(EntryRow.case_id)))
    touched = touched.where(col(EntryRow.cause).in_(("refund", "dispute")))
    fixed = ("currency", "source", "policy", "decline_code")
    query = select(
        col(EntryRow.case_id),
        col(EntryRow.base),
        col(EntryRow.debit),
        col(EntryRow.credit),
        col(EntryRow.amount),
        _how,
        col(EntryRow.occurred_at),
        *(_DIMENSIONS[key] for key in fixed),
    ).select_from(EntryRow)
    query = in_scope(scope, query).where(col(EntryRow.case_id).in_(touched), *standing())
    query = query.order_by(col(EntryRow.case_id)).execution_options(yield_per=2000)
    for found in session.execute(query):
        case_id, base, debit, credit, amount, how, at, *known = found
        keys = dict(zip(fixed, known, strict=True))
        yield Movement(case_id, base, debit, credit, amount, how, at, keys)
