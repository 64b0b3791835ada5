"""at_risk(): what is open now, by age, state, policy, decline code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date as Day  # noqa: N812 - a day, beside names of columns
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, case, func, select
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.status import State
from dunning.reports.converted import name_in, with_rates
from dunning.reports.dimensions import (
    CASE_DEFINITIONS,
    CASE_HEADINGS,
    CASE_KEYS,
    dimensions,
    joined,
)
from dunning.reports.exchange import Exchange
from dunning.reports.flows import period
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.report import (
    Column,
    Kind,
    Report,
    Row,
    in_order,
)
from dunning.reports.scope import Scope
from dunning.store import CaseRow

BY = ("currency", "age", "state", "standing", *CASE_KEYS, "source")
_USUAL = Scope(by=("currency",))
_WITHOUT = ("since", "until", "zone", "date", "year_from")
# Whole days since the first failure, up to and with the number.
_AGES = (("0-3d", 3), ("4-7d", 7), ("8-14d", 14), ("15-30d", 30))
_OLDEST = "30d+"
AGES = (*(label for label, _ in _AGES), _OLDEST)

DEFINITIONS = {
    "at_risk": "What is still owed and pursued: for every open case, the invoice's amount less "
    "what was paid, credited, given up or withdrawn. It is the balance of the ledger's account "
    "at_risk, and `dunning ledger verify` proves it so.",
    "cases": "Open cases: those with money at risk, whether or not the service is suspended.",
    "oldest": "When the first payment of the oldest of these cases failed.",
    "age": "Whole days since the first failed payment; 30d+ is more than 30.",
    "state": "in_grace: the service goes on; suspended: it is off until the invoice is paid.",
    "standing": "What the timeline stands still for: exempt (the customer is), hold or promise (a "
    "person said so), dispute, in_process; goes_on when it does not.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_SHOWN = {"age": "Age", "state": "State", "standing": "Standing", **CASE_HEADINGS}


def at_risk(
    session: Session,
    now: datetime,
    scope: Scope = _USUAL,
    *,
    into: Exchange | None = None,
) -> Report:
    """What is open now. The zone of the scope is of the days of exchange rates."""
    scope = scope.of("at-risk", BY, _WITHOUT)
    until, sentence = data_until(session, now)
    found = _sums(session, scope.keys, scope, now, into)
    rows = in_order(found, scope.by, {"age": AGES})
    empty = "nothing is at risk: no case is open"
    of_keys = {key: CASE_DEFINITIONS[key] for key in scope.by if key in CASE_DEFINITIONS}
    report = Report(
        name="at-risk",
        filters=scope.filters(_WITHOUT),
        definitions=DEFINITIONS | of_keys | {"data_until": sentence},
        data_until=until,
        rows=rows,
        totals=in_order(_added_up(found), (), {}),
        shown=(
            *(Column(key, _SHOWN[key]) for key in scope.keys),
            Column("at_risk", "At risk", Kind.MONEY),
            Column("cases", "Cases", Kind.COUNT),
            Column("oldest", "Oldest", Kind.TIME),
        ),
        note="" if rows else why_empty(session, empty, scope),
    )
    if into is None:
        return report
    day = "the day on which the payment first failed"
    return with_rates(report, into, {"at_risk": "At risk"}, day)


def is_open() -> tuple[ColumnElement[bool], ...]:
    """Cases with money at risk; their states are named for the index."""
    states = [state.value for state in State if state.is_open]
    return col(CaseRow.state).in_(states), col(CaseRow.amount_at_risk) > 0


def _added_up(rows: Sequence[Row]) -> list[Row]:
    """The totals: each case is in one row."""
    whole: dict[str, Row] = {}
    for row in rows:
        told = whole.setdefault(
            row["currency"], {"currency": row["currency"], "at_risk": 0, "cases": 0, "oldest": None}
        )
        told["at_risk"] += row["at_risk"]
        told["cases"] += row["cases"]
        told["oldest"] = min(filter(None, (told["oldest"], row["oldest"])))
    return list(whole.values())


def _sums(
    session: Session, keys: Sequence[str], scope: Scope, now: datetime, into: Exchange | None
) -> list[Row]:
    known = dimensions(session.get_bind().dialect.name) | _dimensions(now)
    groups = [known[key] for key in keys]
    figures = (
        func.sum(col(CaseRow.amount_at_risk)),
        func.count(),
        func.min(col(CaseRow.opened_at)),
    )
    query: Select[Any] = _of_open_cases(select(*groups, *figures), keys, scope).group_by(*groups)
    rows = []
    for *names, amount, cases, oldest in session.execute(query):
        row: Row = dict(zip(keys, names, strict=True))
        rows.append(row | {"at_risk": int(amount), "cases": cases, "oldest": oldest})
    if into is not None:
        sums = _sums_in(session, {key: known[key] for key in keys}, scope, into)
        for row in rows:
            row[name_in("at_risk", into)] = sums[tuple(row[key] for key in keys)]
    return rows


def _sums_in(
    session: Session, keys: Mapping[str, SQLColumnExpression[Any]], scope: Scope, into: Exchange
) -> Counter[tuple[Any, ...]]:
    """The same in the other currency: each case by itself, at the rate of its first failure."""
    told: dict[str, Any] = {
        **keys,
        "_day": period(session, "day", scope, col(CaseRow.opened_at)),
        "_currency": col(CaseRow.currency),
        "_each": col(CaseRow.amount_at_risk),
    }
    named: list[Any] = [one.label(name) for name, one in told.items()]
    each = _of_open_cases(select(*named), tuple(keys), scope).subquery()
    groups = [each.c[name] for name in told]
    sums: Counter[tuple[Any, ...]] = Counter()
    for *names, day, currency, much, many in session.execute(
        select(*groups, func.count()).group_by(*groups)
    ):
        sums[tuple(names)] += many * into.convert(much, currency, Day.fromisoformat(day))
    return sums


def _of_open_cases(query: Select[Any], keys: Sequence[str], scope: Scope) -> Select[Any]:
    # One meaning of open, for access and for finance: money is at risk.
    query = joined(query.select_from(CaseRow).where(*is_open()), keys)
    for column, value in (
        (col(CaseRow.source), scope.source),
        (col(CaseRow.policy), scope.policy),
        (col(CaseRow.currency), scope.currency),
    ):
        if value is not None:
            query = query.where(column == value)
    return query


def _stands(now: datetime) -> ColumnElement[bool]:
    ends = col(CaseRow.standing_until)
    return col(CaseRow.standing).is_not(None) & (ends.is_(None) | (ends > utc(now)))


def _dimensions(now: datetime) -> dict[str, SQLColumnExpression[Any]]:
    opened = col(CaseRow.opened_at)
    young = [(opened > utc(now) - timedelta(days=most + 1), label) for label, most in _AGES]
    return {
        "age": case(*young, else_=_OLDEST),
        "state": col(CaseRow.state),
        "standing": case((_stands(now), col(CaseRow.standing)), else_="goes_on"),
        "source": col(CaseRow.source),
        "currency": col(CaseRow.currency),
    }
