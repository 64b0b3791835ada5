"""timing(): how long from the first failure to the payment, and what part came in by which day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, case, func, select, true
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.status import State
from dunning.reports.cohorts import (
    entries_of_cohort,
    keys_of_cases,
    labelled,
    minutes_between,
    of_cohort,
    told_of_cohorts,
)
from dunning.reports.dimensions import CASE_HEADINGS, CASE_KEYS, joined
from dunning.reports.flows import came_in, standing
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.periods import UNITS, span, zone_named
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Scope
from dunning.store import CaseRow, EntryRow

TOOK = "took"
BY = (TOOK, *UNITS, *CASE_KEYS, "source", "currency")
# Whole days since the first failure, up to and with the number.
_BUCKETS = (
    *(("0d", 0), ("1d", 1), ("2-3d", 3), ("4-7d", 7)),
    *(("8-14d", 14), ("15-30d", 30), ("31-60d", 60)),
)
_OLDEST = "60d+"
BUCKETS = (*(label for label, _ in _BUCKETS), _OLDEST)
_ENDS = tuple(timedelta(days=last + 1) for _, last in _BUCKETS)
_DAY = 24 * 60

DEFINITIONS = {
    "cohort": "A case belongs to the period in which its payment first failed, whenever the money "
    "came in.",
    "cases": "Cases of the cohort; broken down by `took`, those that were paid up so long after.",
    "paid": "Cases that are paid up: nothing of them is at risk, lost or withdrawn, credit notes "
    "apart. Late payments count; a later refund or dispute does not undo the time it took.",
    "open": "Cases that are still unpaid and pursued. Nobody knows yet how long they take.",
    "unpaid": "Cases that ended without being paid up: lost, cancelled, voided, credited.",
    "time": "p25, median, p75, p90 and mean are of the cases in `paid` alone, in days of 24 hours, "
    "from the first failure to the last payment, each to the minute. The pth percentile is the "
    "shortest time within which at least p % of them were paid. While cases are open these "
    "figures are too short, since the quick ones are in first: see `paid_by_then`.",
    "amount": "What came in, refunds and disputes not taken off, in minor units; broken down by "
    "`took` each payment counts where it came, also a part of a case that is not paid up. It is "
    "`gross` of the report `recovered` for these cases.",
    TOOK: "Whole days from the first failure to the payment: 0d is within 24 hours, 2-3d from 48 "
    "to less than 96 hours.",
    "share": "cases divided by all cases that are paid up.",
    "amount_share": "amount divided by the amount of all rows of `took`.",
    "watched": "Cases of the cohort, whatever became of them, whose first failure is at least as "
    "long ago as this row reaches: of the others nobody knows yet.",
    "paid_by_then": "Of the watched, how many had been paid up by the end of this row. Cancelled "
    "and lost cases stay below the line. None where the row has no end.",
    "rate_by_then": "paid_by_then divided by watched. Each row has its own cohort, so a later row "
    "can be lower than an earlier one while cases are young.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_PERCENTILES = {"p25": 25, "median": 50, "p75": 75, "p90": 90}


@dataclass(slots=True)
class _Group:
    """What is known of the cases of one key."""

    # So many cases, by how long they took in minutes, and by how many buckets are behind them.
    paid: Counter[tuple[int, int]] = field(default_factory=Counter)
    watched: Counter[int] = field(default_factory=Counter)
    open: int = 0
    unpaid: int = 0
    amount: int = 0
    amounts: Counter[int] = field(default_factory=Counter)  # by bucket

    def add(self, other: _Group) -> None:
        self.paid += other.paid
        self.watched += other.watched
        self.amounts += other.amounts
        self.open += other.open
        self.unpaid += other.unpaid
        self.amount += other.amount

    @property
    def cases(self) -> int:
        return self.watched.total()


_Groups = dict[tuple[str | None, ...], _Group]


def timing(session: Session, now: datetime, scope: Scope = BY_MONTH) -> Report:
    """How long it took; both dates are of the first failure."""
    asked = scope.of("timing", BY)
    spread, scope = TOOK in asked.by, asked.less(TOOK)
    fresh_until, sentence = data_until(session, now)
    groups = _gathered(session, scope, utc(fresh_until), spread=spread)
    whole: _Groups = {}
    for key, group in groups.items():
        whole.setdefault((key[scope.keys.index("currency")],), _Group()).add(group)
    order = {TOOK: BUCKETS}
    keys = (*scope.keys, TOOK) if spread else scope.keys
    rows = in_order(list(_rows(scope, groups, spread=spread)), keys, order)
    totals = _rows(scope.totalled, whole, spread=False) if not spread else _sums(whole)
    return Report(
        name="timing",
        filters=asked.filters(("date",)),
        definitions=DEFINITIONS | told_of_cohorts(scope) | {"data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=in_order(list(totals), (), {}),
        shown=_columns(scope, spread=spread),
        note="" if rows else why_empty(session, "no case", scope),
    )


def _columns(scope: Scope, *, spread: bool) -> tuple[Column, ...]:
    keys = tuple(Column(key, CASE_HEADINGS.get(key, key.capitalize())) for key in scope.keys)
    if spread:
        return (
            *keys,
            Column(TOOK, "Took"),
            Column("cases", "Cases", Kind.COUNT),
            Column("share", "Share", Kind.RATE),
            Column("amount", "Amount", Kind.MONEY),
            Column("amount_share", "Share of amount", Kind.RATE, 2),
            Column("paid_by_then", "Paid by then", Kind.COUNT, 1),
            Column("watched", "of", Kind.COUNT, 1),
            Column("rate_by_then", "Rate by then", Kind.RATE),
        )
    return (
        *keys,
        Column("cases", "Cases", Kind.COUNT),
        Column("paid", "Paid", Kind.COUNT),
        Column("open", "Open", Kind.COUNT),
        Column("unpaid", "Unpaid", Kind.COUNT, 2),
        Column("amount", "Amount", Kind.MONEY, 3),
        Column("p25", "P25", Kind.DAYS, 1),
        Column("median", "Median", Kind.DAYS),
        Column("p75", "P75", Kind.DAYS, 1),
        Column("p90", "P90", Kind.DAYS),
        Column("mean", "Mean", Kind.DAYS, 1),
    )


# --- rows ----------------------------------------------------------------------------------


def _rows(scope: Scope, groups: _Groups, *, spread: bool) -> Iterator[Row]:
    for key, group in groups.items():
        row: Row = dict(zip(scope.keys, key, strict=True))
        if spread:
            yield from (row | one for one in _spread(group))
        else:
            yield row | _summary(group)


def _summary(group: _Group) -> Row:
    times = sorted(_times(group).items())
    many = sum(count for _, count in times)
    told: Row = {
        "cases": group.cases,
        "paid": many,
        "open": group.open,
        "unpaid": group.unpaid,
        "amount": group.amount,
    }
    for name, percent in _PERCENTILES.items():
        told[name] = _days(_percentile(times, many, percent)) if many else None
    all_minutes = sum(minutes * count for minutes, count in times)
    return told | {"mean": _days(all_minutes / many) if many else None}


def _times(group: _Group) -> Counter[int]:
    times: Counter[int] = Counter()
    for (minutes, _), count in group.paid.items():
        times[minutes] += count
    return times


def _percentile(times: Sequence[tuple[int, int]], many: int, percent: int) -> int:
    """The nearest rank: the least time by which at least so many of a hundred were paid."""
    wanted, reached = -(-many * percent // 100), 0
    for minutes, count in times:
        reached += count
        if reached >= wanted:
            return minutes
    raise AssertionError("there are as many times as cases")


def _days(minutes: float) -> float:
    return round(minutes / _DAY, 4)


def _bucket(minutes: int) -> int:
    return next((i for i, (_, last) in enumerate(_BUCKETS) if minutes // _DAY <= last), len(_ENDS))


def _spread(group: _Group) -> Iterator[Row]:
    """A row for each bucket, also the empty ones: together they are all there is."""
    found: Counter[int] = Counter()
    for (minutes, _), count in group.paid.items():
        found[_bucket(minutes)] += count
    many = found.total()
    for place, label in enumerate(BUCKETS):
        has_end = place < len(_ENDS)
        watched = sum(n for behind, n in group.watched.items() if behind > place)
        paid = sum(
            count
            for (minutes, behind), count in group.paid.items()
            if behind > place and _bucket(minutes) <= place
        )
        yield {
            TOOK: label,
            "cases": found[place],
            "share": _ratio(found[place], many),
            "amount": group.amounts[place],
            "amount_share": _ratio(group.amounts[place], group.amounts.total()),
            "paid_by_then": paid if has_end else None,
            "watched": watched if has_end else None,
            "rate_by_then": _ratio(paid, watched) if has_end else None,
        }


def _sums(groups: _Groups) -> Iterator[Row]:
    for (currency,), group in groups.items():
        yield {
            "currency": currency,
            "cases": group.paid.total(),
            "amount": group.amounts.total(),
        }


def _ratio(above: int, below: int) -> float | None:
    return round(above / below, 6) if below else None


# --- reading -------------------------------------------------------------------------------


def _gathered(session: Session, scope: Scope, until: datetime, *, spread: bool) -> _Groups:
    groups: _Groups = {}
    places = range(len(BUCKETS)) if spread else ()
    for found in session.execute(_cases(session, scope, until, places)).mappings():
        told = labelled(scope, {key: found[key] for key in scope.keys})
        group = groups.setdefault(tuple(told.values()), _Group())
        count = found["cases"]
        group.watched[found["behind"]] += count
        group.amount += int(found["amount"] or 0)
        if found["stands"] == "paid":
            group.paid[int(found["minutes"] or 0), found["behind"]] += count
        elif found["stands"] == "open":
            group.open += count
        else:
            group.unpaid += count
        for place in places:
            if part := found[f"amount_{place}"]:
                group.amounts[place] += int(part)
    return groups


def _payments(dialect: str, scope: Scope, places: Sequence[int]) -> Subquery:
    """Of each case what came in and when the last of it, and how much in each bucket."""
    case_id, at, paid = col(EntryRow.case_id), col(EntryRow.occurred_at), col(EntryRow.amount)
    minutes = minutes_between(dialect, col(CaseRow.opened_at), at)
    told: list[Any] = [
        case_id.label("case_id"),
        func.max(at).label("at"),
        func.sum(paid).label("amount"),
        *(
            func.sum(case((_within(minutes, place), paid), else_=0)).label(f"amount_{place}")
            for place in places
        ),
    ]
    starts, _ = span(scope.since, scope.until, zone_named(scope.zone))
    query = entries_of_cohort(select(*told), scope).where(came_in(), *standing(starts))
    return query.group_by(case_id).subquery()


def _within(minutes: ColumnElement[int], place: int) -> ColumnElement[bool]:
    """Whether so many minutes lie in that bucket."""
    after = minutes >= (_BUCKETS[place - 1][1] + 1) * _DAY if place else true()
    return after & (minutes < (_BUCKETS[place][1] + 1) * _DAY) if place < len(_BUCKETS) else after


def _cases(session: Session, scope: Scope, until: datetime, places: Sequence[int]) -> Select[Any]:
    """How many cases there are of each key, by how they stand and how long they took."""
    dialect = session.get_bind().dialect.name
    of_case = _payments(dialect, scope, places)
    is_paid = col(CaseRow.state) == State.RECOVERED.value
    minutes = minutes_between(dialect, col(CaseRow.opened_at), of_case.c.at)
    told: dict[str, ColumnElement[Any]] = {
        "stands": case((is_paid, "paid"), (col(CaseRow.amount_at_risk) > 0, "open"), else_="ended"),
        "minutes": case((is_paid, minutes), else_=None),
        "behind": _behind(until),
    }
    named: list[Any] = [
        one.label(name) for name, one in (keys_of_cases(session, scope) | told).items()
    ]
    amounts = ["amount", *(f"amount_{place}" for place in places)]
    query: Select[Any] = select(*named, *(of_case.c[name] for name in amounts))
    query = query.select_from(CaseRow).outerjoin(of_case, of_case.c.case_id == col(CaseRow.id))
    each = of_cohort(joined(query, scope.keys), scope).subquery()
    groups = [each.c[name] for name in (*scope.keys, *told)]
    sums: list[Any] = [func.sum(each.c[name]).label(name) for name in amounts]
    return select(*groups, func.count().label("cases"), *sums).group_by(*groups)


def _behind(until: datetime) -> ColumnElement[int]:
    """How many buckets of the case are wholly in the past."""
    opened = col(CaseRow.opened_at)
    ages = [(opened <= until - end, i) for i, end in reversed(list(enumerate(_ENDS, 1)))]
    return case(*ages, else_=0)
