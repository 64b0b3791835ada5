"""rates(): what part of what had failed came in, by cohort of first failure, with its maturity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.entries import Account
from dunning.reports.cohorts import (
    balance,
    keys_of_cases,
    labelled,
    of_cohort,
    told_of_cohorts,
)
from dunning.reports.dimensions import (
    CASE_HEADINGS,
    CASE_KEYS,
    joined,
)
from dunning.reports.flows import amount, came_in
from dunning.reports.folds import Asked, sums
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.origins import PAYMENT_DEFINITIONS, PAYMENT_HEADINGS, PAYMENT_KEYS
from dunning.reports.payments import last_payments
from dunning.reports.periods import UNITS, span, zone_named
from dunning.reports.published import (
    ALL,
    CHURN_BUSTER_WINDOW,
    NAMES,
    RETAIN_WINDOW,
    USUAL,
    Published,
)
from dunning.reports.published import DEFINITIONS as PUBLISHED
from dunning.reports.recovered import MECHANISMS
from dunning.reports.report import (
    Column,
    Kind,
    Report,
    Row,
    in_order,
    refuse_unknown,
)
from dunning.reports.scope import BY_MONTH, Scope
from dunning.reports.windows import Windows, has_closed, in_words, windows, within, within_window
from dunning.store import CaseRow, EntryRow

BY = (*UNITS, *PAYMENT_KEYS, *CASE_KEYS, "source", "currency")

DEFINITIONS = {
    "cohort": "A case belongs to the period in which its payment first failed, whenever the money "
    "came in. The cash view, by when it came in, is the report `recovered`.",
    "cases": "Cases of the cohort. Those of which it turned out that nothing had failed are none.",
    "mature": "The share of the cohort whose window has closed: how final its figures are.",
    "numerator": "What is above the line: minor units where `measure` is money, else a number.",
    "denominator": "What is below the line, of the same measure.",
    "rate": "numerator divided by denominator; nothing where the denominator is 0.",
    "window": "How long after the first failure what comes in counts.",
    "measure": "What is counted: money, cases or customers.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_FIGURES = (
    "cases closed failed_in_all failed recovered recovered_cases recovered_so_far recovered_in_all "
    "gross gross_28 customers customers_14"
).split()
# Those that count whatever came in, however late.
_WITHOUT_END = {"recovered_so_far", "recovered_in_all", "gross"}
_SHOWN = {**PAYMENT_HEADINGS, **CASE_HEADINGS}


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question with what it takes to answer it."""

    scope: Scope
    until: datetime
    windows: Windows
    chosen: tuple[Published, ...]

    @property
    def wanted(self) -> set[str]:
        """The figures that these definitions are made of."""
        return {"cases", "closed"}.union(*((one.numerator, one.denominator) for one in self.chosen))

    def known_until(self, scope: Scope) -> datetime:
        """Up to when entries may matter: of an old cohort, not all that came since."""
        _, ends = span(scope.since, scope.until, zone_named(scope.zone))
        if ends is None or not self.wanted.isdisjoint(_WITHOUT_END):
            return self.until
        longest = max((*(window for window, _ in self.windows), CHURN_BUSTER_WINDOW, RETAIN_WINDOW))
        return min(self.until, ends + longest)


def rates(
    session: Session,
    now: datetime,
    scope: Scope = BY_MONTH,
    *,
    definitions: Sequence[str] = USUAL,
) -> Report:
    """The rates of each cohort under these definitions; both dates are of the first failure."""
    scope = scope.of("rates", BY)
    fresh_until, sentence = data_until(session, now)
    asked = _Asked(scope, utc(fresh_until), windows(session), _chosen(definitions))
    order = {"definition": NAMES, "mechanism": MECHANISMS}
    bare = scope.less(*PAYMENT_KEYS)
    cohorts = _gathered(session, asked, bare)
    parts = cohorts if bare == scope else _parts(session, asked, scope, bare, cohorts)
    rows = in_order(_rows(asked, scope, parts), (*scope.keys, "definition"), order)
    whole = _added_up(cohorts)
    if any(one.measure == "customers" for one in asked.chosen):
        # Who is in two cohorts is one customer, so these cannot be added up.
        whole = _gathered(session, asked, scope.totalled)
    totals = _rows(asked, scope.totalled, whole)
    filters = scope.filters(("date",)) | {"definitions": [one.name for one in asked.chosen]}
    told = {one.name: one.told for one in asked.chosen}
    return Report(
        name="rates",
        filters=filters,
        definitions=DEFINITIONS | told | _told(scope) | {"data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=in_order(totals, ("currency", "definition"), order),
        shown=_columns(scope),
        note="" if rows else why_empty(session, "no cohort", scope),
    )


def _chosen(names: Sequence[str]) -> tuple[Published, ...]:
    for name in names:
        refuse_unknown("definition", name, (*NAMES, ALL))
    return tuple(one for one in PUBLISHED if ALL in names or one.name in names)


def _told(scope: Scope) -> dict[str, str]:
    asked = [key for key in PAYMENT_KEYS if key in scope.by]
    paid = {key: f"{PAYMENT_DEFINITIONS[key]} {_PAID}" for key in asked}
    return told_of_cohorts(scope) | paid


_PAID = (
    "Above the line stands what came in so, below it the whole cohort, so that the rates of a "
    "cohort add up to its own. Of a case paid in parts the newest payment says it; the report "
    "`recovered` has each part by itself."
)


def _columns(scope: Scope) -> tuple[Column, ...]:
    return (
        *(Column(key, _SHOWN.get(key, key.capitalize())) for key in scope.keys),
        Column("definition", "Definition"),
        Column("cases", "Cases", Kind.COUNT),
        Column("mature", "Mature", Kind.RATE),
        Column("measure", "Measure", rank=2),
        Column("numerator", "Numerator", Kind.FIGURE),
        Column("denominator", "Denominator", Kind.FIGURE),
        Column("rate", "Rate", Kind.RATE),
        Column("window", "Window"),
    )


# --- rows ----------------------------------------------------------------------------------


def _gathered(session: Session, asked: _Asked, scope: Scope) -> list[Row]:
    """The figures of every cohort, with what came in during its period where that is asked for."""
    cohorts: dict[tuple[Any, ...], Row] = {}
    for found in _cohorts(session, asked, scope):
        cohorts[tuple(found[key] for key in scope.keys)] = found
    if any(one.numerator == "cash" for one in asked.chosen):
        blank = dict.fromkeys(_FIGURES, 0)
        cash = Asked(amounts={"cash": amount}, cases={}, where=came_in())
        for found in sums(session, scope, cash):
            key = tuple(found[name] for name in scope.keys)
            cohort = cohorts.setdefault(key, {name: found[name] for name in scope.keys} | blank)
            cohort["cash"] = found["cash"]
    return list(cohorts.values())


def _parts(
    session: Session, asked: _Asked, scope: Scope, bare: Scope, cohorts: Sequence[Row]
) -> list[Row]:
    """What came in of each cohort in each way, over the whole of it."""
    whole = {tuple(cohort[key] for key in bare.keys): cohort for cohort in cohorts}
    below = {"cases", "closed", *(one.denominator for one in asked.chosen)}
    return [
        part | {name: whole[tuple(part[key] for key in bare.keys)][name] for name in below}
        for part in _gathered(session, asked, scope)
    ]


def _added_up(cohorts: Sequence[Row]) -> list[Row]:
    """All cohorts of a currency as one: a case is in one cohort only."""
    whole: dict[str, Row] = {}
    for cohort in cohorts:
        currency = cohort["currency"]
        sums = whole.setdefault(currency, {"currency": currency} | dict.fromkeys(_FIGURES, 0))
        for name in (*_FIGURES, "cash"):
            sums[name] = sums.get(name, 0) + cohort.get(name, 0)
    return list(whole.values())


def _rows(asked: _Asked, scope: Scope, cohorts: Sequence[Row]) -> list[Row]:
    """A row for each cohort and definition."""
    length = in_words(asked.windows)
    return [
        _row(scope, cohort, one, one.window or length) for cohort in cohorts for one in asked.chosen
    ]


def _row(scope: Scope, cohort: Row, one: Published, window: str) -> Row:
    above, below = cohort.get(one.numerator, 0), cohort[one.denominator]
    row: Row = {key: cohort[key] for key in scope.keys}
    return row | {
        "definition": one.name,
        "cases": cohort["cases"],
        "mature": _ratio(cohort["closed"], cohort["cases"]),
        "measure": one.measure,
        "numerator": above,
        "denominator": below,
        "rate": _ratio(above, below),
        "window": window,
    }


def _ratio(above: int, below: int) -> float | None:
    return round(above / below, 6) if below else None


def _cohorts(session: Session, asked: _Asked, scope: Scope) -> list[Row]:
    """The figures of each cohort, from what became of each of its cases."""
    of_case = _of_cases(session, asked, scope)
    measures = _measures(asked, of_case)
    groups = [of_case[key] for key in scope.keys]
    named = [figure.label(name) for name, figure in measures.items()]
    rows = []
    for found in session.execute(select(*groups, *named).group_by(*groups)).mappings():
        row = labelled(scope, {key: found[key] for key in scope.keys})
        rows.append(row | {name: int(found[name] or 0) for name in measures})
    return rows


def _measures(asked: _Asked, book: Any) -> Mapping[str, ColumnElement[Any]]:
    """The figures of a cohort that are asked for. A case without entries has none of the sums."""
    due, customer, closed = book.due, book.customer, book.closed == 1
    paid_up = (book.came_in > 0) & (book.left_over <= 0)
    in_14 = book.gross_14 >= due
    known = {
        "cases": func.count(),
        "closed": _where(closed),
        "failed_in_all": func.sum(due),
        "failed": _where(closed, due),
        "recovered": _where(closed, book.came_in),
        "recovered_cases": _where(closed & paid_up),
        "recovered_so_far": func.sum(book.so_far),
        "recovered_in_all": _where(paid_up),
        "gross": func.sum(book.gross),
        "gross_28": func.sum(book.gross_28),
        "customers": func.count(customer.distinct()),
        "customers_14": func.count(case((in_14, customer), else_=None).distinct()),
    }
    return {name: figure for name, figure in known.items() if name in asked.wanted}


def _where(rule: ColumnElement[bool], figure: Any = 1) -> ColumnElement[int]:
    return func.sum(case((rule, figure), else_=0))


def _of_cases(session: Session, asked: _Asked, scope: Scope) -> Any:
    """For each case of the cohorts, what its accounts had held and by when.

    A counter-entry goes the other way on the same day, so plain sums are net of corrections.
    """
    dialect = session.get_bind().dialect.name
    in_window = within_window(dialect, asked.windows)
    came = balance(Account.RECOVERED)
    left = balance(Account.AT_RISK) + balance(Account.LOST)
    paid = case((came_in(), amount), else_=0)
    figures = {
        "came_in": case((in_window, came), else_=0),
        "left_over": case((in_window, left), else_=0),
        "so_far": came,
        "gross": paid,
        "gross_28": case((within(dialect, CHURN_BUSTER_WINDOW), paid), else_=0),
        "gross_14": case((within(dialect, RETAIN_WINDOW), paid), else_=0),
    }
    by_payment = [key for key in PAYMENT_KEYS if key in scope.by]
    last = last_payments(by_payment, came_in(), scope).subquery()
    keys = keys_of_cases(session, scope) | {key: last.c[key] for key in by_payment}
    told: dict[str, Any] = {
        **keys,
        "due": col(CaseRow.amount_due),
        "customer": col(CaseRow.customer),
        "closed": case((has_closed(asked.windows, asked.until), 1), else_=0),
    }
    named: list[Any] = [one.label(name) for name, one in told.items()]
    summed: list[Any] = [func.sum(figure).label(name) for name, figure in figures.items()]
    query: Select[Any] = select(*named, *summed).select_from(CaseRow)
    query = joined(query.outerjoin(EntryRow, _its_entries(asked, scope)), scope.keys)
    if by_payment:
        query = query.join(last, last.c.case_id == col(CaseRow.id))
    # What stands in the case's own row goes with its id.
    beside = [keys[key] for key in (*by_payment, "country", "plan") if key in keys]
    return of_cohort(query, scope).group_by(col(CaseRow.id), *beside).subquery().c


def _its_entries(asked: _Asked, scope: Scope) -> ColumnElement[bool]:
    """The entries of a case that may matter."""
    occurred = col(EntryRow.occurred_at)
    known = (col(EntryRow.case_id) == col(CaseRow.id)) & (occurred <= asked.known_until(scope))
    starts, _ = span(scope.since, scope.until, zone_named(scope.zone))
    # Nothing happens to a case before it fails, so older months need not be opened.
    return known if starts is None else known & (occurred >= starts)
