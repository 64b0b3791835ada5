"""What reports of cohorts share: cases by when their payment first failed, and their books."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    func,
)
from sqlmodel import Session, col

from dunning.core.entries import Account
from dunning.core.status import State
from dunning.reports.dimensions import CASE_DEFINITIONS, dimensions
from dunning.reports.flows import period
from dunning.reports.periods import UNITS, label_of, span, unit_of, zone_named
from dunning.reports.recovered import told_of
from dunning.reports.report import Row
from dunning.reports.scope import Scope
from dunning.store import CaseRow, EntryRow


def of_cohort(query: Select[Any], scope: Scope) -> Select[Any]:
    """Only cases of which something failed, for the first time between the two dates."""
    opened = col(CaseRow.opened_at)
    query = query.where(col(CaseRow.amount_due) > 0, col(CaseRow.state) != State.NONE.value)
    starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
    if starts is not None:
        query = query.where(opened >= starts)
    if ends is not None:
        query = query.where(opened < ends)
    given = (
        (col(CaseRow.source), scope.source),
        (col(CaseRow.currency), scope.currency),
        (col(CaseRow.policy), scope.policy),
    )
    return query.where(*(column == value for column, value in given if value is not None))


def entries_of_cohort(query: Select[Any], scope: Scope) -> Select[Any]:
    """The entries of these cases, joined to them."""
    query = query.select_from(EntryRow).join(CaseRow, col(CaseRow.id) == col(EntryRow.case_id))
    starts, _ = span(scope.since, scope.until, zone_named(scope.zone))
    if starts is not None:
        # Nothing happens to a case before it fails, so older months need not be opened.
        query = query.where(col(EntryRow.occurred_at) >= starts)
    return of_cohort(query, scope)


def balance(account: Account) -> ColumnElement[int]:
    """What an entry changes of an account."""
    name, much = account.value, col(EntryRow.amount)
    return case((col(EntryRow.credit) == name, much), (col(EntryRow.debit) == name, -much), else_=0)


def told_of_cohorts(scope: Scope) -> dict[str, str]:
    """What the keys and the periods of the report mean, in words."""
    told = told_of(scope)
    year = told["period"].partition("range.")[2]
    told["period"] = (
        f"Days, weeks (ISO, from Monday), months, quarters and years by the calendar of "
        f"{scope.zone}, by when the payment first failed. Since and until are both part of the "
        f"range.{year}"
    )
    return {key: text for key, text in told.items() if key in (*CASE_DEFINITIONS, "period")}


def keys_of_cases(session: Session, scope: Scope) -> dict[str, SQLColumnExpression[Any]]:
    """What cases are told apart by, as columns; a period is the one of the first failure."""
    known = dimensions(session.get_bind().dialect.name) | {
        "currency": col(CaseRow.currency),
        "source": col(CaseRow.source),
    }
    keys: dict[str, SQLColumnExpression[Any]] = {
        key: known[key] for key in scope.keys if key in known
    }
    unit = unit_of(scope.by)
    if unit is not None:
        keys[unit] = period(session, unit, scope, col(CaseRow.opened_at))
    return keys


def labelled(scope: Scope, row: Row) -> Row:
    """The row with the label of its period in place of the period's first day."""
    units = {key for key in row if key in UNITS}
    unit = unit_of(tuple(units))
    if unit is None:
        return row
    return row | {unit: label_of(unit, date.fromisoformat(row[unit]), scope.year_from)}


def minutes_between(dialect: str, earlier: Any, later: Any) -> ColumnElement[int]:
    """Whole minutes from one moment to the other, rounded down, on either database."""
    if dialect == "sqlite":
        return (seconds_of(later) - seconds_of(earlier)) // 60
    return cast(func.floor(func.extract("epoch", later - earlier) / 60), BigInteger())


def seconds_of(moment: Any) -> ColumnElement[int]:
    """Seconds since 1970 of a moment that SQLite keeps as text."""
    return cast(func.strftime("%s", func.substr(cast(moment, Text()), 1, 19)), Integer())
