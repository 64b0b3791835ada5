"""churn(): customers, subscriptions and recurring revenue that were lost, and why."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.reports.flows import periods_of
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.periods import (
    UNITS,
    Period,
    unit_of,
)
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Scope
from dunning.store import CaseRow, SubscriptionRow

BY = (*UNITS, "kind", "source", "currency")
_WITHOUT = ("policy", "date")
KINDS = ("involuntary", "voluntary_in_dunning", "voluntary", "unknown")
NO_CURRENCY = ""  # its price was never told, or is in several

_CANNOT = (
    "Known is what the provider told: subscriptions that ended before this program was connected, "
    "and those it never heard of, are in no figure. What a subscription brings in is its amount as "
    "last heard, also for periods before it changed; past prices, trials and pauses are not known. "
    "A subscription whose start was never told counts as running from before the first period."
)
DEFINITIONS = {
    "kind": "involuntary: ended by us or by the provider for non-payment, or while a payment was "
    "failing and without a request of the customer; voluntary_in_dunning: the customer cancelled "
    "while a payment was failing; voluntary: the customer cancelled otherwise, or it ended by a "
    "dispute; unknown: it ended without a reason told and without a failed payment.",
    "subscriptions_lost": "Subscriptions that ended in the period.",
    "customers_lost": "Customers whose last running subscription of this currency ended in the "
    "period, by the kind of that end. One who comes back and leaves again is counted again.",
    "recurring_lost": "What the lost subscriptions brought in a month, in minor units; yearly and "
    "weekly prices are brought to a month, rounded half to even once for each subscription. What "
    "is metered is not in it.",
    "at_start": "subscriptions_at_start, customers_at_start and recurring_at_start are what there "
    "was at the first moment of the period: started before it, and not ended by then.",
    "subscription_churn": "Of the subscriptions there were at the start, the share that ended in "
    "the period. What began and ended within it is lost, and in no rate.",
    "customer_churn": "Of the customers there were at the start, the share that was lost.",
    "recurring_churn": "Of the recurring revenue there was at the start, the share that was lost.",
    "totals": "All periods of the report as one: its rates are of what there was at its start.",
    "cannot_be_known": _CANNOT,
    "currency": "That of the subscription; none where no price was told. A customer with two is "
    "counted in each; amounts of two currencies are never added.",
}
_COUNTS = ("customers", "subscriptions", "recurring")
_TITLES = {"customers": "Customers", "subscriptions": "Subscriptions", "recurring": "Recurring"}
_RATES = {
    "customers": "customer_churn",
    "subscriptions": "subscription_churn",
    "recurring": "recurring_churn",
}


@dataclass(slots=True)
class _Sums:
    """What was lost under one key, and how much of it there had been at the start."""

    customers: int = 0
    subscriptions: int = 0
    recurring: int = 0
    of_start: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))


@dataclass(frozen=True, slots=True)
class _End:
    """One subscription that ended."""

    source: str
    currency: str
    kind: str
    recurring: int
    started_at: datetime | None
    ended_at: datetime
    customer: str | None
    was_last: bool

    def was_there(self, start: datetime) -> bool:
        return self.started_at is None or self.started_at < start


_Key = tuple[str, str]  # source or "", currency
_There = dict[_Key, dict[str, int]]


def churn(session: Session, now: datetime, scope: Scope = BY_MONTH) -> Report:
    """Who left in each period, of those who were there at its start."""
    scope = scope.of("churn", BY, _WITHOUT)
    fresh_until, sentence = data_until(session, now)
    periods = list(periods_of(session, scope, col(SubscriptionRow.ended_at), utc(fresh_until)))
    ends = sorted(_ends(session, scope, periods), key=_ended_at)
    # The totals begin where the first period does.
    there = cache(partial(_at_start, session, scope))
    rows: list[Row] = []
    for label, starts, closes in periods if unit_of(scope.by) else _one(periods):
        rows += _rows(there, scope.keys, (label, starts, closes), ends)
    totals: list[Row] = []
    for whole in _one(periods):
        totals += _rows(there, ("currency",), whole, ends)
    rows = in_order(rows, scope.keys, {"kind": KINDS})
    empty = "no subscription has ended"
    return Report(
        name="churn",
        filters=scope.filters(_WITHOUT),
        definitions=DEFINITIONS | {"period": _period_sentence(scope), "data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=in_order(totals, (), {}),
        shown=_columns(scope),
        note="" if rows else why_empty(session, empty, scope),
    )


def _period_sentence(scope: Scope) -> str:
    return (
        "Days, weeks (ISO, from Monday), months, quarters and years by the calendar of "
        f"{scope.zone}, by when the subscription ended. Since and until are part of the range."
    )


def _columns(scope: Scope) -> tuple[Column, ...]:
    shown = [Column(key, key.capitalize()) for key in scope.keys]
    for name, rank in (("customers", 0), ("subscriptions", 2), ("recurring", 0)):
        kind = Kind.MONEY if name == "recurring" else Kind.COUNT
        title = _TITLES[name]
        shown += [
            Column(f"{name}_lost", f"{title} lost", kind, rank),
            Column(f"{name}_at_start", "of", kind, rank + 1),
            Column(_RATES[name], "Churn", Kind.RATE, rank),
        ]
    return tuple(shown)


def _one(periods: Sequence[Period]) -> list[Period]:
    return [("", periods[0][1], periods[-1][2])] if periods else []


# --- rows ----------------------------------------------------------------------------------


def _ended_at(end: _End) -> datetime:
    return end.ended_at


def _rows(
    at_start: Callable[[datetime, bool], _There],
    keys: Sequence[str],
    whole: Period,
    ends: Sequence[_End],
) -> list[Row]:
    """The rows of one period: for each key what was lost, beside what there was at the start.

    `ends` are in the order of time.
    """
    label, starts, closes = whole
    there = at_start(starts, "source" in keys)
    first, after = (bisect_left(ends, moment, key=_ended_at) for moment in (starts, closes))
    lost = _lost(keys, ends[first:after], starts)
    by_kind = "kind" in keys
    found: dict[tuple[str, str, str], _Sums] = dict(lost)
    if not by_kind:
        # A period in which nobody left is told as well.
        for source, currency in there:
            found.setdefault((source, currency, ""), _Sums())
    rows = []
    for (source, currency, kind), sums in found.items():
        known = {"source": source, "currency": currency or None, "kind": kind}
        row: Row = {key: known.get(key, label) for key in keys}
        row |= _figures(sums, there.get((source, currency), {}))
        if not currency:
            # Without a currency there is no amount, not even none.
            row |= {name: None for name in row if name.startswith("recurring_")}
        rows.append(row)
    return rows


def _figures(sums: _Sums, there: dict[str, int]) -> Row:
    row: Row = {}
    for name in _COUNTS:
        at_start = there.get(name, 0)
        row[f"{name}_lost"] = getattr(sums, name)
        row[f"{name}_lost_of_start"] = sums.of_start[name]
        row[f"{name}_at_start"] = at_start
        row[_RATES[name]] = round(sums.of_start[name] / at_start, 6) if at_start else None
    return row


def _lost(
    keys: Sequence[str], ends: Sequence[_End], starts: datetime
) -> dict[tuple[str, str, str], _Sums]:
    found: defaultdict[tuple[str, str, str], _Sums] = defaultdict(_Sums)
    gone: set[tuple[str, str, str | None]] = set()
    for end in sorted(ends, key=_ended_at, reverse=True):
        kind = end.kind if "kind" in keys else ""
        sums = found[end.source if "source" in keys else "", end.currency, kind]
        was_there = int(end.was_there(starts))
        customer = (end.source, end.currency, end.customer)
        left = int(end.was_last and end.customer is not None)
        # Of the start each customer is lost once, at the last time they left.
        first_time = left and customer not in gone
        if first_time:
            gone.add(customer)
        sums.subscriptions += 1
        sums.recurring += end.recurring
        sums.customers += left
        sums.of_start["subscriptions"] += was_there
        sums.of_start["recurring"] += was_there * end.recurring
        sums.of_start["customers"] += was_there if first_time else 0
    return found


# --- reading -------------------------------------------------------------------------------


def _running(row: Any, at: Any) -> ColumnElement[bool]:
    started, ended = row.started_at, row.ended_at
    return and_(or_(started.is_(None), started < at), or_(ended.is_(None), ended >= at))


def _at_start(session: Session, scope: Scope, at: datetime, apart: bool) -> _There:
    """Who and what was there at that moment, per currency and, where asked, per source."""
    currency = func.coalesce(func.lower(col(SubscriptionRow.currency)), NO_CURRENCY)
    source, customer = col(SubscriptionRow.source), col(SubscriptionRow.customer)
    # By customer first: that is quicker than to count them apart.
    told: list[Any] = [
        currency.label("currency"),
        source.label("source"),
        customer.label("customer"),
        func.count().label("many"),
        func.sum(col(SubscriptionRow.recurring)).label("recurring"),
    ]
    whose: Select[Any] = select(*told).where(_running(SubscriptionRow, at))
    each = _filtered(whose, scope).group_by(text("1, 2, 3")).subquery().c
    groups = [each["currency"], *([each["source"]] if apart else [])]
    query: Select[Any] = select(
        *groups, func.count(each["customer"]), func.sum(each["many"]), func.sum(each["recurring"])
    ).group_by(*groups)
    there: _There = {}
    for name, *of, people, subscriptions, recurring in session.execute(query):
        figures = (people, int(subscriptions), int(recurring or 0))
        there[of[0] if apart else "", name] = dict(zip(_COUNTS, figures, strict=True))
    return there


def _ends(session: Session, scope: Scope, periods: Sequence[Period]) -> Iterator[_End]:
    """Every end within the periods, with its kind and whether it was the customer's last."""
    if not periods:
        return
    row = SubscriptionRow
    ended, currency = col(row.ended_at), func.coalesce(func.lower(col(row.currency)), NO_CURRENCY)
    failing, other = _failing(), _another_runs()
    told_of_each: list[Any] = [
        col(row.source),
        currency,
        col(row.customer),
        col(row.recurring),
        col(row.started_at),
        ended,
        col(row.end_reason),
        col(row.ended_by_us),
        failing,
        other,
    ]
    query: Select[Any] = select(*told_of_each).where(ended >= periods[0][1], ended < periods[-1][2])
    for found in session.execute(_filtered(query, scope).execution_options(yield_per=2000)):
        source, name, customer, recurring, began, at, reason, ours, failed, another = found
        yield _End(
            source=source,
            currency=name,
            kind=_kind(reason, bool(ours), bool(failed)),
            recurring=recurring or 0,
            started_at=began,
            ended_at=at,
            customer=customer,
            was_last=not another,
        )


def _kind(reason: str | None, ours: bool, failing: bool) -> str:
    if ours or reason == "payment_failed":
        return "involuntary"
    if reason == "cancellation_requested":
        return "voluntary_in_dunning" if failing else "voluntary"
    if reason is not None:
        return "voluntary"
    return "involuntary" if failing else "unknown"


def _failing() -> ColumnElement[bool]:
    """Whether a case of the subscription was open when it ended, or ended by that."""
    row = SubscriptionRow
    closed = col(CaseRow.closed_at)
    return exists(
        select(1).where(
            col(CaseRow.source) == col(row.source),
            # The customer is named for its index.
            col(CaseRow.customer) == col(row.customer),
            col(CaseRow.subscription) == col(row.id),
            col(CaseRow.opened_at) <= col(row.ended_at),
            or_(closed.is_(None), closed >= col(row.ended_at)),
        )
    )


def _another_runs() -> ColumnElement[bool]:
    """Whether the customer had another subscription of this currency as this one ended."""
    row, other = SubscriptionRow, aliased(SubscriptionRow)
    ends: Any = other.ended_at
    # Of two that end at one moment, the one with the greater name is the last.
    goes_on = or_(
        ends.is_(None),
        ends > col(row.ended_at),
        and_(ends == col(row.ended_at), col(other.id) > col(row.id)),
    )
    started: Any = other.started_at
    return exists(
        select(1).where(
            col(other.source) == col(row.source),
            col(other.customer) == col(row.customer),
            col(other.id) != col(row.id),
            col(other.currency).is_not_distinct_from(col(row.currency)),
            or_(started.is_(None), started <= col(row.ended_at)),
            goes_on,
        )
    )


def _filtered(query: Select[Any], scope: Scope) -> Select[Any]:
    if scope.source is not None:
        query = query.where(col(SubscriptionRow.source) == scope.source)
    if scope.currency is not None:
        query = query.where(func.lower(col(SubscriptionRow.currency)) == scope.currency)
    return query
