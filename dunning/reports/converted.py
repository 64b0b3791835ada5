"""Figures of a report in one currency as well: each entry at the rate of its own day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, func, select
from sqlmodel import Session, col

from dunning.errors import RefusedError
from dunning.reports.dimensions import dimensions
from dunning.reports.exchange import MOST_DAYS_BACK, Exchange
from dunning.reports.flows import ENTRY_KEYS, in_scope, in_span, period
from dunning.reports.periods import UNITS, label_of, unit_of, zone_named
from dunning.reports.report import Column, Kind, Report
from dunning.reports.scope import Scope
from dunning.store import EntryRow

_ADDED = (
    "Amounts are minor units of their own currency; added are only those of the columns in the "
    "currency that was asked for."
)
Sums = dict[tuple[Any, ...], Counter[str]]


def name_in(figure: str, into: Exchange) -> str:
    """What a figure is called in the other currency: `recovered_eur`."""
    return f"{figure}_{into.into}"


def refuse_recorded(scope: Scope) -> None:
    """A rate is of the day on which money moved; when that was written down is another matter."""
    if scope.date != "occurred":
        raise RefusedError(
            "amounts in one currency go by the day the money moved; leave out --date " + scope.date
        )


def day_of(at: datetime, scope: Scope) -> date:
    """The day whose rate counts, by the calendar of the report."""
    return at.astimezone(zone_named(scope.zone)).date()


def sums_in(
    session: Session,
    scope: Scope,
    amounts: Mapping[str, ColumnElement[int]],
    where: ColumnElement[bool],
    into: Exchange,
) -> Sums:
    """The sums of `flows.sums` in the other currency, by the values of the scope's keys.

    Entries of one day, currency and amount are rounded alike, so the database may count them:
    each of the amounts is that of the entry, the same with a minus, or nothing.
    """
    unit = unit_of(scope.by)
    known = dimensions(session.get_bind().dialect.name) | ENTRY_KEYS
    keys: dict[str, SQLColumnExpression[Any]] = {
        key: known[key] for key in scope.keys if key not in UNITS
    }
    occurred = col(EntryRow.occurred_at)
    if unit is not None:
        keys[unit] = period(session, unit, scope, occurred)
    keys["_day"] = period(session, "day", scope, occurred)
    keys["_each"] = col(EntryRow.amount)
    keys["_currency"] = col(EntryRow.currency)
    named: list[Any] = [one.label(name) for name, one in (*keys.items(), *amounts.items())]
    query: Select[Any] = select(*named).select_from(EntryRow)
    each = in_span(scope, in_scope(scope, query, scope.keys)).where(where).subquery()
    position = {name: place for place, name in enumerate(keys)}
    groups = [each.c[name] for name in keys]
    totals: list[Any] = [func.sum(each.c[name]).label(name) for name in amounts]
    found: Sums = {}
    place = scope.keys.index(unit) if unit is not None else None
    for row in session.execute(select(*groups, *totals).group_by(*groups)):
        told = [row[position[key]] for key in scope.keys]
        if unit is not None and place is not None:
            told[place] = label_of(unit, _day(told[place]), scope.year_from)
        sums = found.setdefault(tuple(told), Counter())
        day, each_of_them, currency = row[len(keys) - 3 : len(keys)]
        for name, much in zip(amounts, row[len(keys) :], strict=True):
            if many := int(much or 0) // each_of_them:
                sums[name] += many * into.convert(each_of_them, currency, _day(day))
    return found


@lru_cache(maxsize=10_000)
def _day(text: str) -> date:
    return date.fromisoformat(text)


def with_rates(report: Report, into: Exchange, figures: Mapping[str, str], of_day: str) -> Report:
    """The report with columns in the other currency, their sum, and every rate that was used."""
    code = into.into.upper()
    names = {figure: name_in(figure, into) for figure in figures}
    shown = [
        Column(names[figure], f"{heading} in {code}", Kind.MONEY, place, currency=into.into)
        for place, (figure, heading) in enumerate(figures.items())
    ]
    sums: dict[str | None, Counter[str]] = {}
    for row in report.rows:
        for key in (row["currency"], None):
            sums.setdefault(key, Counter()).update({name: row[name] for name in names.values()})
    totals = [
        total | {name: sums.get(total["currency"], Counter())[name] for name in names.values()}
        for total in report.totals
    ]
    whole = {"currency": None} | {name: sums[None][name] for name in names.values()} if sums else {}
    told = (
        f"The columns in {code} are amounts of all currencies at the rate of {of_day}, by "
        "the calendar of the report; where that day has no rate, at that of the last day before "
        f"it, at most {MOST_DAYS_BACK} days back. Each entry is rounded by itself, half to even, "
        f"to the minor unit of {code}, and what is rounded is added up. The rates are those of "
        f"{into.source}; each that was used is listed."
    )
    return replace(
        report,
        filters=report.filters | {"in": into.into, "rates": into.source},
        definitions=report.definitions | {f"in_{into.into}": told, "currency": _ADDED},
        shown=(*report.shown, *shown),
        totals=[*totals, whole] if whole else totals,
        rates=into.used,
    )
