"""recurring(): what subscriptions bring in a month: at risk, saved and lost, each counted once."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, union
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.recurring import Moved, RecurringAccount
from dunning.core.status import State
from dunning.recurring import counted_once
from dunning.reports.dimensions import (
    CASE_DEFINITIONS,
    CASE_HEADINGS,
    CASE_KEYS,
    dimensions,
    joined,
)
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.origins import mechanism_of
from dunning.reports.periods import (
    UNITS,
    Period,
    first_moment,
    period_from,
    periods_between,
    span,
    unit_of,
    zone_named,
)
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Scope
from dunning.store import CaseRow, RecurringRow, among

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
_AT_RISK, _RUNNING = RecurringAccount.AT_RISK, RecurringAccount.RUNNING
_Key = tuple[str | None, ...]


@dataclass(slots=True)
class _Sums:
    """What each account grew by, and by how many subscriptions."""

    amounts: dict[RecurringAccount, int] = field(
        default_factory=lambda: dict.fromkeys(RecurringAccount, 0)
    )
    counts: dict[RecurringAccount, int] = field(
        default_factory=lambda: dict.fromkeys(RecurringAccount, 0)
    )

    def take(self, debit: RecurringAccount, credit: RecurringAccount, amount: int) -> None:
        self.amounts[debit] -= amount
        self.amounts[credit] += amount
        self.counts[debit] -= 1
        self.counts[credit] += 1


def recurring(session: Session, now: datetime, scope: Scope = BY_MONTH) -> Report:
    """What became of recurring revenue whose payment failed; both days are part of the range."""
    scope = scope.of("recurring", BY)
    fresh_until, sentence = data_until(session, now)
    told = _told(session, scope)
    periods = list(_periods(scope, told, utc(now)))
    keys = tuple(key for key in scope.keys if key not in UNITS)
    rows = list(_rows(scope, keys, periods, told))
    whole = [("", periods[0][1], periods[-1][2])] if periods else []
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
        totals=in_order(list(_rows(scope, ("currency",), whole, told)), (), {}),
        shown=(
            *(Column(key, _SHOWN.get(key, key.capitalize())) for key in scope.keys),
            *(Column(name, heading, Kind.MONEY) for name, heading in _MONEY.items()),
            *(Column(f"subscriptions_{name}", name, Kind.COUNT, 2) for name in _COUNTS),
        ),
        note="" if rows else why_empty(session, empty, scope),
    )


# --- reading -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """One movement of a subscription, with what it is known by."""

    at: datetime
    debit: RecurringAccount
    credit: RecurringAccount
    amount: int
    keys: dict[str, str | None]


def _told(session: Session, scope: Scope) -> list[_Told]:
    """The movements of every subscription that may matter to the range, in the order of time."""
    found = [
        (source, code, moved)
        for source, code, moved in counted_once(session, _narrowed(scope))
        if moved
    ]
    asked = [key for key in scope.by if key in CASE_KEYS]
    first = {one.first for _, _, moved in found for one in moved}
    known = _of_cases(session, asked, first if asked or scope.policy else ())
    told = []
    for source, code, moved in found:
        hows = _mechanisms(moved)
        for one in moved:
            of_case = known.get(one.first, {})
            if scope.policy is not None and of_case.get("policy") != scope.policy:
                continue
            keys = of_case | {
                "source": source,
                "currency": code,
                "mechanism": hows.get(one.first),
            }
            turn = one.turn
            told.append(_Told(turn.at, turn.debit, turn.credit, turn.amount, keys))
    return sorted(told, key=lambda one: one.at)


def _mechanisms(moved: Sequence[Moved]) -> dict[str, str]:
    """What saved it, for each time it was at risk."""
    saved = (one for one in moved if one.turn.credit is RecurringAccount.SAVED)
    return {one.first: mechanism_of(one.turn.how) for one in saved}


def _narrowed(scope: Scope) -> Select[Any]:
    """The entries of subscriptions that moved in the range, or were at risk as it began."""
    row = RecurringRow
    query: Select[Any] = select(row).select_from(row)
    if scope.source is not None:
        query = query.where(col(row.source) == scope.source)
    if scope.currency is not None:
        query = query.where(col(row.currency) == scope.currency)
    starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
    if starts is None:
        return query
    wanted = union(*_touched(starts, ends)).subquery()
    return query.join(
        wanted,
        (wanted.c.source == col(row.source)) & (wanted.c.name == col(row.subscription)),
    )


def _touched(starts: datetime, ends: datetime | None) -> Iterator[Select[Any]]:
    """The names of those that moved, those at risk still, and those that were until later."""
    row = RecurringRow
    its_name: list[Any] = [col(row.source).label("source"), col(row.subscription).label("name")]
    moved = select(*its_name).where(col(row.occurred_at) >= starts)
    yield moved if ends is None else moved.where(col(row.occurred_at) < ends)
    yield select(col(CaseRow.source), col(CaseRow.subscription)).where(
        col(CaseRow.state).in_([state.value for state in State if state.is_open]),
        col(CaseRow.subscription).is_not(None),
    )
    if ends is not None:
        before = aliased(row)
        failed = select(col(before.case_id)).where(
            col(before.occurred_at) < starts, col(before.credit) == _AT_RISK.value
        )
        yield select(*its_name).where(
            col(row.occurred_at) >= ends,
            col(row.debit) == _AT_RISK.value,
            col(row.case_id).in_(failed),
        )


def _of_cases(
    session: Session, keys: Sequence[str], names: Collection[str]
) -> dict[str, dict[str, str | None]]:
    """What the cases are known by, with which subscriptions came to be at risk."""
    if not names:
        return {}
    known = dimensions(session.get_bind().dialect.name)
    wanted = dict.fromkeys((*keys, "policy"))
    query: Select[Any] = select(col(CaseRow.id), *(known[key] for key in wanted))
    query = joined(query.select_from(CaseRow), wanted)
    query = query.where(among(session, col(CaseRow.id), sorted(names)))
    return {
        case_id: dict(zip(wanted, told, strict=True)) for case_id, *told in session.execute(query)
    }


# --- adding up -------------------------------------------------------------------------------


def _periods(scope: Scope, told: Sequence[_Told], now: datetime) -> Iterator[Period]:
    """Every period of the range, up to now at most."""
    zone, unit = zone_named(scope.zone), unit_of(scope.by)
    starts, closes = span(scope.since, scope.until, zone)
    if starts is None:
        if not told:
            return
        day = told[0].at.astimezone(zone).date()
        starts = first_moment(period_from(unit or "day", day, scope.year_from), zone)
    closes = min(closes, now) if closes is not None else now
    yield from periods_between(unit, starts, closes, zone, scope.year_from)


def _rows(
    scope: Scope, keys: Sequence[str], periods: Sequence[Period], told: Sequence[_Told]
) -> Iterator[Row]:
    """For each key and period in which there was anything: what there was, moved and is."""
    if not periods:
        return
    before: defaultdict[_Key, int] = defaultdict(int)
    sums: defaultdict[_Key, defaultdict[int, _Sums]] = defaultdict(lambda: defaultdict(_Sums))
    begins = [starts for _, starts, _ in periods]
    for one in told:
        key = tuple(one.keys.get(name) for name in keys)
        place = bisect_right(begins, one.at) - 1
        if place < 0:
            before[key] += one.amount * ((one.credit is _AT_RISK) - (one.debit is _AT_RISK))
        elif one.at < periods[-1][2]:
            sums[key][place].take(one.debit, one.credit, one.amount)
    unit = unit_of(scope.by)
    for key in sorted(before.keys() | sums.keys(), key=repr):
        held = before[key]
        for place, (label, _, _) in enumerate(periods):
            moved = sums[key].get(place, _Sums())
            after = held + moved.amounts[_AT_RISK]
            if held or place in sums[key]:
                row: Row = dict(zip(keys, key, strict=True))
                if unit is not None and label:
                    row[unit] = label
                yield row | _figures(held, moved, after)
            held = after


def _figures(before: int, moved: _Sums, after: int) -> Row:
    amounts, counts = moved.amounts, moved.counts
    row: Row = {"at_risk_before": before, "failed": -amounts[_RUNNING]}
    for account in (
        RecurringAccount.SAVED,
        RecurringAccount.LOST,
        RecurringAccount.WITHDRAWN,
    ):
        row[account.value] = amounts[account]
    row |= {"at_risk_after": after, "subscriptions_failed": -counts[_RUNNING]}
    for account in (RecurringAccount.SAVED, RecurringAccount.LOST):
        row[f"subscriptions_{account.value}"] = counts[account]
    return row
