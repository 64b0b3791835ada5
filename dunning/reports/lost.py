"""lost(): what was written off or withdrawn, and what came in after all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, case, or_, true
from sqlmodel import Session, col

from dunning.core.entries import Account
from dunning.reports.converted import Sums, name_in, refuse_recorded, sums_in, with_rates
from dunning.reports.dimensions import CASE_HEADINGS, CASE_KEYS
from dunning.reports.exchange import Exchange
from dunning.reports.flows import amount, credit, debit
from dunning.reports.folds import Asked, sums_and_totals
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.periods import UNITS
from dunning.reports.recovered import told_of
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Scope
from dunning.store import EntryRow

BY = (*UNITS, "kind", "cause", *CASE_KEYS, "source", "currency")
KINDS = ("lost", "withdrawn", "late_recovery")

DEFINITIONS = {
    "lost": "Given up by us, ended by the provider for non-payment, or written off elsewhere. "
    "A credit note for a lost invoice moves it from lost to withdrawn.",
    "withdrawn": "No longer owed: voided, credited, cancelled by the customer, customer deleted, "
    "or closed by hand.",
    "late_recovery": "Paid after it had been lost or withdrawn, with a minus: it takes that much "
    "off net. The same money is in the report `recovered`.",
    "net": "lost plus withdrawn plus late_recovery: what left the books unpaid and stayed so.",
    "cases": "Cases with such a movement in this row, each once; once in the total.",
    "kind": "lost, withdrawn or late_recovery, as above.",
    "cause": "What ended the pursuit of the debt; for a late recovery: paid.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_SHOWN = {"kind": "Kind", "cause": "Cause", **CASE_HEADINGS}
_MONEY = {
    "lost": "Lost",
    "withdrawn": "Withdrawn",
    "late_recovery": "Late recoveries",
    "net": "Net",
}


def lost(
    session: Session,
    now: datetime,
    scope: Scope = BY_MONTH,
    *,
    into: Exchange | None = None,
) -> Report:
    """What is no longer pursued, and what of it came in late; both dates are part of the range."""
    scope = scope.of("lost", BY, ())
    if into is not None:
        refuse_recorded(scope)
    fresh_until, sentence = data_until(session, now)
    bare = scope.less("kind")
    found, whole = sums_and_totals(
        session, bare, Asked(amounts=_AMOUNTS, cases=_CASES, where=_left())
    )
    other = {} if into is None else sums_in(session, bare, _AMOUNTS, _left(), into)
    rows = in_order(list(_rows(scope, found, into, other)), scope.by, {"kind": KINDS})
    empty = "nothing lost"
    report = Report(
        name="lost",
        filters=scope.filters(),
        definitions=DEFINITIONS | told_of(scope) | {"data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=in_order(list(_rows(scope.totalled, whole, None, {})), (), {}),
        shown=(
            *(Column(key, _SHOWN.get(key, key.capitalize())) for key in scope.keys),
            *(Column(name, heading, Kind.MONEY) for name, heading in _MONEY.items()),
            Column("cases", "Cases", Kind.COUNT),
        ),
        note="" if rows else why_empty(session, empty, scope),
    )
    if into is None:
        return report
    figures = {name: _MONEY[name] for name in ("net", *KINDS)}
    return with_rates(report, into, figures, "the day on which the money moved")


def _rows(scope: Scope, sums: Sequence[Row], into: Exchange | None, other: Sums) -> Iterator[Row]:
    """A row for each key; broken down by kind, one for each kind that is in it."""
    of_case = tuple(key for key in scope.keys if key != "kind")
    for found in sums:
        converted = other.get(tuple(found[key] for key in of_case), Counter())
        if "kind" not in scope.by:
            yield _row(scope, found, found, found["cases"]) | _in(into, converted)
            continue
        for kind in KINDS:
            if found[f"{kind}_cases"]:
                amounts = {name: found[name] if name == kind else 0 for name in KINDS}
                row = _row(scope, found | {"kind": kind}, amounts, found[f"{kind}_cases"])
                yield row | _in(into, Counter({kind: converted[kind]}))


def _row(scope: Scope, keys: Row, amounts: Row, cases: int) -> Row:
    row: Row = {key: keys[key] for key in scope.keys}
    money = {kind: amounts[kind] for kind in KINDS}
    return row | money | {"net": sum(money.values()), "cases": cases}


def _in(into: Exchange | None, sums: Counter[str]) -> Row:
    """The same amounts in the other currency, if there is one."""
    if into is None:
        return {}
    told = {name_in(kind, into): sums[kind] for kind in KINDS}
    return told | {name_in("net", into): sum(told.values())}


_lost, _withdrawn = Account.LOST.value, Account.WITHDRAWN.value
_gone = (_lost, _withdrawn)


def _left() -> ColumnElement[bool]:
    # The same either way round, so that counter-entries are among them.
    return col(EntryRow.credit).in_(_gone) | col(EntryRow.debit).in_(_gone)


_MOVED = (debit == _lost) & (credit == _withdrawn)
_LATE = debit.in_(_gone) & (credit == Account.RECOVERED.value)
_RULES: dict[str, tuple[tuple[ColumnElement[bool], ColumnElement[int]], ...]] = {
    "lost": ((credit == _lost, amount), (_MOVED, -amount)),
    "withdrawn": ((credit == _withdrawn, amount),),
    "late_recovery": ((_LATE, -amount),),
}
_AMOUNTS: dict[str, ColumnElement[int]] = {
    kind: case(*whens, else_=0) for kind, whens in _RULES.items()
}
_CASES: dict[str, ColumnElement[bool]] = {
    "cases": true(),
    **{f"{kind}_cases": or_(*(when for when, _ in whens)) for kind, whens in _RULES.items()},
}
