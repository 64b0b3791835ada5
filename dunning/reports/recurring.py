"""recurring(): what subscriptions bring in a month: at risk, saved and lost, each counted once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    SelectBase,
    Text,
    case,
    exists,
    func,
    literal,
    select,
    true,
    union,
)
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.recurring import RecurringAccount
from dunning.core.status import State
from dunning.recurring import counted_once, told
from dunning.reports.buckets import begin_of
from dunning.reports.dimensions import (
    CASE_DEFINITIONS,
    CASE_HEADINGS,
    CASE_KEYS,
    dimensions,
    joined,
)
from dunning.reports.flows import periods_of
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.origins import mechanism_of
from dunning.reports.periods import (
    UNITS,
    Period,
    label_of,
    offsets,
    span,
    unit_of,
    zone_named,
)
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Scope
from dunning.store import CaseRow, RecurringRow

BY = (*UNITS, "mechanism", *CASE_KEYS, "source", "currency")

DEFINITIONS = {
    "recurring": "What a subscription brings in a month, in minor units: the listed price of each "
    "item times its quantity, days (365 a year), weeks (52), months and years brought to a month, "
    "the sum rounded once, half to even. Discounts, credits and taxes added on top are not in it; "
    "nor is what is metered. A subscription with another item without a fixed price, or of which "
    "nothing was told before it ceased to be at risk, is in no figure.",
    "as_of": "As last told before the first payment failed; where nothing was told before, as "
    "first told after it. Later changes of its price change nothing here.",
    "once": "A subscription with several unpaid invoices counts once: from the first failure, with "
    "what it brought in then, until the last of them is settled, and then as that one ended.",
    "at_risk_before": "At risk at the first moment of the period.",
    "failed": "Of subscriptions that ran, what came to be at risk: a payment failed, or an open "
    "debt was taken over.",
    "saved": "Of subscriptions that run on: the failed invoice was paid, in time or late. What "
    "was paid after the subscription had ended saves nothing.",
    "lost": "We gave up, it was written off elsewhere, or we or the provider ended the "
    "subscription for non-payment; less what of it was saved later, or is at risk again by the "
    "next invoice.",
    "withdrawn": "No longer at risk for another reason: the customer cancelled, or the invoice "
    "was voided, credited or closed by hand; less what was saved later.",
    "at_risk_after": "At risk at the end of the period: at_risk_before + failed = saved + lost + "
    "withdrawn + at_risk_after.",
    "subscriptions": "subscriptions_failed, subscriptions_saved and subscriptions_lost count what "
    "the amounts add up.",
    "mechanism": "What brought in the money that saved it; none where nothing did.",
    "currency": "Minor units of the subscription's own currency; currencies are never added.",
}
_MONEY = {
    "at_risk_before": "At risk before",
    "failed": "Failed",
    "saved": "Saved",
    "lost": "Lost",
    "withdrawn": "Withdrawn",
    "at_risk_after": "At risk after",
}
_COUNTS = ("failed", "saved", "lost")
_SHOWN = {"mechanism": "Mechanism", **CASE_HEADINGS}
_AT_RISK = RecurringAccount.AT_RISK.value
_LOST, _WITHDRAWN = RecurringAccount.LOST, RecurringAccount.WITHDRAWN
_SETTLED = ("saved", "lost", "withdrawn")
_Key = tuple[str | None, ...]


@dataclass(slots=True)
class _Sums:
    """What each account grew by, and by how many subscriptions."""

    amounts: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, one: _Moved) -> None:
        for account, sign in ((one.debit, -1), (one.credit, 1)):
            self.amounts[account] += sign * one.amount
            self.counts[account] += sign * one.many


def recurring(session: Session, now: datetime, scope: Scope = BY_MONTH) -> Report:
    """What became of recurring revenue whose payment failed; both days are part of the range."""
    scope = scope.of("recurring", BY)
    fresh_until, sentence = data_until(session, now)
    periods = list(periods_of(session, scope, col(RecurringRow.occurred_at), utc(now)))
    moved = list(_moved(session, scope, periods))
    keys = tuple(key for key in scope.keys if key not in UNITS)
    rows = list(_rows(scope, keys, periods, moved))
    totals = list(_rows(scope.totalled, ("currency",), periods[:1], moved))
    filters = scope.filters(("date",))
    of_keys = {key: CASE_DEFINITIONS[key] for key in keys if key in CASE_DEFINITIONS}
    period = (
        f"Days, weeks (ISO, from Monday), months, quarters and years by the calendar of "
        f"{scope.zone}, by when the provider says it happened. Since and until are part of the "
        "range."
    )
    empty = "no recurring revenue has been at risk"
    return Report(
        name="recurring",
        filters=filters,
        definitions=DEFINITIONS | of_keys | {"period": period, "data_until": sentence},
        data_until=fresh_until,
        rows=in_order(rows, scope.keys, {}),
        totals=in_order(totals, (), {}),
        shown=(
            *(Column(key, _SHOWN.get(key, key.capitalize())) for key in scope.keys),
            *(Column(name, heading, Kind.MONEY) for name, heading in _MONEY.items()),
            *(Column(f"subscriptions_{name}", name, Kind.COUNT, 2) for name in _COUNTS),
        ),
        note="" if rows else why_empty(session, empty, scope),
    )


# --- reading -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moved:
    """Movements that are alike, added up. `place`: in which of the periods, or before them all."""

    keys: dict[str, str | None]
    place: int | None
    debit: str
    credit: str
    many: int
    amount: int


def _moved(session: Session, scope: Scope, periods: Sequence[Period]) -> Iterator[_Moved]:
    """What moved up to the end of the last period, each subscription counted once."""
    if not periods:
        return
    unit, places = unit_of(scope.by), {label: i for i, (label, _, _) in enumerate(periods)}
    keys = [key for key in scope.keys if key not in UNITS]
    for found in session.execute(_sums(session, scope, keys, periods)).mappings():
        known = {key: found[key] for key in keys}
        if "mechanism" in known:
            how = known["mechanism"]
            known["mechanism"] = None if how is None else mechanism_of(how)
        place = None
        if found["_begins"] is not None:
            day = date.fromisoformat(found["_begins"])
            place = places[label_of(unit, day, scope.year_from)] if unit else 0
        figures = int(found["_many"]), int(found["_amount"])
        yield _Moved(known, place, found["_debit"], found["_credit"], *figures)


def _sums(
    session: Session, scope: Scope, keys: Sequence[str], periods: Sequence[Period]
) -> Select[Any]:
    """The sums of each key, period and turn; of no period is what came before the first."""
    starts, closes = periods[0][1], periods[-1][2]
    dialect, zone = session.get_bind().dialect.name, zone_named(scope.zone)
    counted = counted_once(*_parts(dialect, scope))
    one = counted.c
    known: dict[str, Any] = dimensions(dialect) | {
        "source": one.source,
        "currency": one.currency,
        "mechanism": one.saved_by,
    }
    begins: ColumnElement[str] = literal(starts.date().isoformat(), Text())
    if (unit := unit_of(scope.by)) is not None:
        begins = begin_of(dialect, unit, offsets(zone, starts, closes), one.at, scope.year_from)
    columns: list[Any] = [known[key].label(key) for key in keys]
    columns.append(case((one.at < starts, None), else_=begins).label("_begins"))
    columns += [one.debit.label("_debit"), one.credit.label("_credit"), one.amount]
    query: Select[Any] = select(*columns).select_from(counted)
    asked = [key for key in keys if key in CASE_KEYS]
    if asked or scope.policy is not None:
        query = joined(query.join(CaseRow, col(CaseRow.id) == one.first), asked)
    if scope.policy is not None:
        query = query.where(col(CaseRow.policy) == scope.policy)
    each = query.where(one.at < closes).subquery().c
    groups = [each[name] for name in (*keys, "_begins", "_debit", "_credit")]
    many, amount = func.count().label("_many"), func.sum(each.amount).label("_amount")
    return select(*groups, many, amount).group_by(*groups)


def _parts(dialect: str, scope: Scope) -> Iterator[Select[Any]]:
    """The entries that matter to the range: its own, and what says how it was as it began."""
    row = RecurringRow
    at = col(row.occurred_at)
    starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
    every: Select[Any] = select(row).select_from(row)
    if scope.source is not None:
        every = every.where(col(row.source) == scope.source)
    if scope.currency is not None:
        every = every.where(col(row.currency) == scope.currency)
    within = every if ends is None else every.where(at < ends)
    yield told(within if starts is None else within.where(at >= starts))
    if starts is not None:
        yield _of(dialect, every.where(at < starts), union(*_with_a_past(starts, ends)))
    if ends is not None and "mechanism" in scope.by:
        # What saved it may have come later.
        moved = _names(at < ends, *([at >= starts] if starts else [])).distinct()
        yield _of(dialect, every.where(at >= ends), moved)


def _of(dialect: str, query: Select[Any], names: SelectBase) -> Select[Any]:
    """The entries of these subscriptions alone, looked up one subscription after another."""
    wanted, row = names.subquery(), RecurringRow
    its = (wanted.c.source == col(row.source)) & (wanted.c.subscription == col(row.subscription))
    if dialect == "sqlite":
        return told(query.join(wanted, its))
    # By itself PostgreSQL would rather read all there is, as if none of it were in memory.
    found = told(query.where(its)).offset(0).lateral()
    return select(*found.c).select_from(wanted).join(found, true())


def _names(*where: ColumnElement[bool]) -> Select[Any]:
    name: list[Any] = [col(RecurringRow.source), col(RecurringRow.subscription)]
    return select(*name).where(*where)


def _with_a_past(starts: datetime, ends: datetime | None) -> Iterator[Select[Any]]:
    """Those at risk at that moment, still or until later, and of what moves those lost before."""
    row, before = RecurringRow, aliased(RecurringRow)
    at, debit = col(row.occurred_at), col(row.debit)
    of_case: list[Any] = [col(CaseRow.source), col(CaseRow.subscription)]
    yield select(*of_case).where(
        col(CaseRow.state).in_([state.value for state in State if state.is_open]),
        col(CaseRow.subscription).is_not(None),
        col(CaseRow.opened_at) < starts,
    )
    earlier: Any = select(1).where(col(before.occurred_at) < starts)
    failed = earlier.where(before.case_id == col(row.case_id), before.credit == _AT_RISK)
    yield _names(at >= starts, debit == _AT_RISK, exists(failed))
    ended = earlier.where(
        before.source == col(row.source),
        before.subscription == col(row.subscription),
        col(before.credit).in_([account.value for account in (_LOST, _WITHDRAWN)]),
    )
    moved = [at >= starts, debit != _AT_RISK, exists(ended)]
    yield _names(*moved, *([at < ends] if ends is not None else []))


# --- adding up -------------------------------------------------------------------------------


def _rows(
    scope: Scope, keys: Sequence[str], periods: Sequence[Period], moved: Sequence[_Moved]
) -> Iterator[Row]:
    """For each key and period in which there was anything: what there was, moved and is.

    Of one period only, all that moved was in it.
    """
    before: defaultdict[_Key, int] = defaultdict(int)
    sums: defaultdict[_Key, defaultdict[int, _Sums]] = defaultdict(lambda: defaultdict(_Sums))
    for one in moved:
        key = tuple(one.keys[name] for name in keys)
        if one.place is None:
            before[key] += one.amount * ((one.credit == _AT_RISK) - (one.debit == _AT_RISK))
        else:
            sums[key][min(one.place, len(periods) - 1)].take(one)
    unit = unit_of(scope.by)
    for key in sorted(before.keys() | sums.keys(), key=repr):
        held = before[key]
        for place, (label, _, _) in enumerate(periods):
            told = sums[key].get(place, _Sums())
            after = held + told.amounts[_AT_RISK]
            if held or place in sums[key]:
                row: Row = dict(zip(keys, key, strict=True))
                if unit is not None:
                    row[unit] = label
                yield row | _figures(held, told, after)
            held = after


def _figures(before: int, moved: _Sums, after: int) -> Row:
    amounts, counts = moved.amounts, moved.counts
    row: Row = {"at_risk_before": before, "failed": -amounts[RecurringAccount.RUNNING.value]}
    row |= {name: amounts[name] for name in _SETTLED}
    row |= {"at_risk_after": after}
    row |= {"subscriptions_failed": -counts[RecurringAccount.RUNNING.value]}
    return row | {f"subscriptions_{name}": counts[name] for name in _SETTLED if name in _COUNTS}
