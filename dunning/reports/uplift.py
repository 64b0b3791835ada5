"""uplift(): the treated beside those who were held out, and whether they differ."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, case, func, select
from sqlmodel import Session, col

from dunning.core.entries import Account
from dunning.core.status import State
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.intervals import (
    Counted,
    Interval,
    Sums,
    counted,
    difference,
    in_blocks,
    resampled,
    wilson,
)
from dunning.reports.periods import label_at, span, zone_named
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import Scope
from dunning.store import CaseRow, EntryRow

BY = ("policy", "month")
GROUPS = ("treated", "held_out", "difference")
SEED = 1
# The rule for saying anything about the difference; it is part of the definitions.
LEAST_CASES, LEAST_CUSTOMERS, LEAST_OF_EACH, WIDEST = 30, 20, 5, 0.10
_MOST = 10_000_000

DEFINITIONS = {
    "group": "treated: walked by the policy; held_out: drawn by a hash of the customer to be left "
    "alone, or walked by the policy that `held_out` names. Drawn when the case began, before "
    "anything was done, and never changed. Cases that were taken over, or began before their "
    "customer was known, were not drawn.",
    "cases": "Cases whose window has closed: the policy's window, or the longer one of the two "
    "policies. Younger ones are `open` and count for nothing yet, whatever became of them, since "
    "those that are paid soon would stand for all.",
    "recovered_cases": "Of these, the ones that were paid by the end of the window, by whatever "
    "means, so that nothing was left at risk or lost; what was refunded or disputed by then is "
    "not counted. Cases that were withdrawn or cancelled stay in `cases`.",
    "rate": "recovered_cases divided by cases, with the interval of Wilson, for 95 %. Cases of one "
    "customer are not independent: they count as fewer, by as much as they are alike.",
    "failed": "What the cases began with, in minor units.",
    "recovered": "What came in of it by the end of the window, less what went back by then.",
    "money_rate": "recovered divided by failed. The interval is where 95 % of the figures lie "
    f"when customers are drawn again with replacement, 1000 times, seed {SEED}; for more than 500 "
    "customers of a group in 500 blocks of them.",
    "difference": "The treated less the held out: of the rates by Newcombe's interval, of the "
    "money rates by drawing the customers of both groups again. It says what the policy did more "
    "than what those who were held out got, to these customers at that time, and no more.",
    "extra": "The difference of the money rates times what the treated began with: an estimate, "
    "its bounds rounded outwards.",
    "verdict": "The difference is told when each group has at least "
    f"{LEAST_CASES} cases of {LEAST_CUSTOMERS} customers, {LEAST_OF_EACH} of them recovered and "
    f"{LEAST_OF_EACH} not, and its interval is no wider than {WIDEST * 100:.0f} points to either "
    "side. Until then: about how many more cases with a closed window that takes, both groups "
    "together, if the rates stay as they are. Whoever looks every day and stops at the first "
    "clear difference is wrong more often than one time in twenty: decide beforehand when to look.",
    "held_out": "The share that is held out, and what is done to it. Other terms are another "
    "comparison. Left alone means no retries and no emails; access and giving up are as for the "
    "treated. With `retries: ours` or `signal` the provider's own retries are switched off, so "
    "nobody tries the card: the difference is to doing nothing, and not to the provider's retries.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}


@dataclass(slots=True)
class _Group:
    """One side of a comparison: sums by customer, and what is too young to count."""

    customers: dict[str, list[int]] = field(default_factory=dict)
    open: int = 0

    def take(self, customer: str, recovered: bool, failed: int, came_in: int) -> None:
        sums = self.customers.setdefault(customer, [0, 0, 0, 0])
        for place, more in enumerate((int(recovered), 1, came_in, failed)):
            sums[place] += more

    @property
    def counted(self) -> Counted:
        return counted((sums[0], sums[1]) for sums in self.customers.values())

    @property
    def money(self) -> list[Sums]:
        """By customer what came in and what had failed."""
        return in_blocks([(sums[2], sums[3]) for _, sums in sorted(self.customers.items())])

    def sum(self, place: int) -> int:
        return sum(sums[place] for sums in self.customers.values())


_Key = tuple[str, ...]  # policy, terms, month if asked for, currency
_Groups = dict[_Key, dict[str, _Group]]
_USUAL = Scope(by=("policy",))


def uplift(session: Session, now: datetime, scope: Scope = _USUAL) -> Report:
    """The two groups of every hold-out; both dates are of the first failure."""
    scope = scope.of("uplift", BY)
    monthly, calendar = "month" in scope.by, zone_named(scope.zone)
    fresh_until, sentence = data_until(session, now)
    starts, ends = span(scope.since, scope.until, calendar)
    query = _cases(scope)
    if starts is not None:
        query = query.where(col(CaseRow.opened_at) >= starts)
    if ends is not None:
        query = query.where(col(CaseRow.opened_at) < ends)
    groups = _gathered(session, query, fresh_until, calendar if monthly else None)
    keys = ("policy", "held_out", *(("month",) if monthly else ()))
    names = (*keys, "currency")
    rows = [
        dict(zip(names, key, strict=True)) | row
        for key, sides in groups.items()
        for row in _compared(key[1], sides)
    ]
    rows = in_order(rows, (*keys, "currency", "group"), {"group": GROUPS})
    empty = "no case of a policy with a hold-out; see `holdout` in docs/policies.md"
    return Report(
        name="uplift",
        filters=scope.filters(("date", "year_from")),
        definitions=DEFINITIONS | {"data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=_totals(groups),
        shown=_columns(keys),
        note=_note(rows, keys) if rows else why_empty(session, empty, scope),
    )


def _columns(keys: Sequence[str]) -> tuple[Column, ...]:
    return (
        *(Column(key, key.replace("_", " ").capitalize()) for key in keys),
        Column("currency", "Currency"),
        Column("group", "Group"),
        Column("open", "Open", Kind.COUNT, rank=6),
        Column("cases", "Cases", Kind.COUNT),
        Column("customers", "Customers", Kind.COUNT, rank=7),
        Column("recovered_cases", "Recovered", Kind.COUNT),
        Column("rate", "Rate", Kind.RATE),
        Column("rate_low", "from", Kind.RATE),
        Column("rate_high", "to", Kind.RATE),
        Column("failed", "Failed", Kind.MONEY, rank=5),
        Column("recovered", "Recovered", Kind.MONEY, rank=5),
        Column("money_rate", "Of money", Kind.RATE, rank=3),
        Column("money_low", "from", Kind.RATE, rank=3),
        Column("money_high", "to", Kind.RATE, rank=3),
        Column("extra", "Extra (estimate)", Kind.MONEY, rank=4),
        Column("extra_low", "from", Kind.MONEY, rank=4),
        Column("extra_high", "to", Kind.MONEY, rank=4),
        Column("verdict", "Verdict", rank=9),
    )


# --- reading -------------------------------------------------------------------------------


def _cases(scope: Scope) -> Select[Any]:
    """Every case that was drawn, with its balances as its window closed."""
    amount, credit, debit = col(EntryRow.amount), col(EntryRow.credit), col(EntryRow.debit)

    def balance(account: Account) -> Any:
        name = account.value
        change = case((credit == name, amount), (debit == name, -amount), else_=0)
        return func.coalesce(func.sum(change), 0)

    kept = (
        col(CaseRow.holdout_of),
        col(CaseRow.holdout_terms),
        col(CaseRow.currency),
        col(CaseRow.holdout_group),
        col(CaseRow.customer),
        col(CaseRow.opened_at),
        col(CaseRow.matures_at),
    )
    accounts = (Account.OWED, Account.AT_RISK, Account.LOST, Account.RECOVERED)
    in_time = (col(EntryRow.case_id) == col(CaseRow.id)) & (
        col(EntryRow.occurred_at) <= col(CaseRow.matures_at)
    )
    query = (
        select(*kept, *(balance(account) for account in accounts))
        .select_from(CaseRow)
        .join(EntryRow, in_time)
        # Opened on news that turned out to be late: nothing was owed, so there is no case.
        .where(col(CaseRow.holdout_of).is_not(None), col(CaseRow.state) != State.NONE.value)
        .group_by(col(CaseRow.id), *kept)
    )
    for column, value in (
        (col(CaseRow.source), scope.source),
        (col(CaseRow.holdout_of), scope.policy),
        (col(CaseRow.currency), scope.currency),
    ):
        if value is not None:
            query = query.where(column == value)
    return query


def _gathered(
    session: Session, query: Select[Any], until: datetime, calendar: ZoneInfo | None
) -> _Groups:
    groups: _Groups = defaultdict(lambda: {name: _Group() for name in GROUPS[:2]})
    for found in session.execute(query.execution_options(yield_per=2000)):
        policy, terms, currency, side, customer, opened_at, matures_at, *sums = found
        month = (label_at("month", opened_at, calendar),) if calendar else ()
        group = groups[policy, terms, *month, currency][side]
        if matures_at > until:
            group.open += 1
            continue
        # PostgreSQL adds 64-bit integers up to a Decimal.
        owed, at_risk, lost, came_in = (int(value) for value in sums)
        group.take(customer or "", came_in > 0 and at_risk <= 0 and lost <= 0, -owed, came_in)
    return groups


# --- comparing -----------------------------------------------------------------------------


def _compared(terms: str, sides: dict[str, _Group]) -> Iterator[Row]:
    treated, held_out = (sides[name] for name in GROUPS[:2])
    for name in GROUPS[:2]:
        yield _side(name, sides[name])
    enough = _is_enough(treated, held_out)
    needed = 0 if enough else _needed(treated, held_out, _share(terms))
    row = dict.fromkeys(column.name for column in _columns(()) if column.name != "currency")
    row |= {"group": "difference", "open": treated.open + held_out.open, "needed": needed}
    if not enough:
        row["verdict"] = f"not enough data yet: needs about {needed:,} more cases"
        yield row
        return
    apart = difference(treated.counted, held_out.counted)
    money = resampled([treated.money, held_out.money], lambda s: _part(s[0]) - _part(s[1]), SEED)
    failed = treated.sum(3)
    row |= _rates("rate", apart) | _rates("money", money)
    row["verdict"] = _verdict(apart)
    row["extra"] = round(money.value * failed)
    row["extra_low"] = math.floor(money.low * failed)
    row["extra_high"] = math.ceil(money.high * failed)
    yield row


def _side(name: str, group: _Group) -> Row:
    told = group.counted
    row = dict.fromkeys(column.name for column in _columns(()) if column.name != "currency")
    row |= {
        "group": name,
        "open": group.open,
        "cases": group.sum(1),
        "customers": len(group.customers),
        "recovered_cases": group.sum(0),
        "recovered": group.sum(2),
        "failed": group.sum(3),
        "needed": None,
    }
    if group.customers:
        row |= _rates("rate", wilson(told))
    if len(group.customers) >= LEAST_CUSTOMERS:
        row |= _rates("money", resampled([group.money], lambda sums: _part(sums[0]), SEED))
    return row


def _rates(name: str, told: Interval) -> Row:
    value = "rate" if name == "rate" else f"{name}_rate"
    low, high = f"{name}_low", f"{name}_high"
    return {value: round(told.value, 6), low: round(told.low, 6), high: round(told.high, 6)}


def _part(sums: Sums) -> float:
    return sums[0] / sums[1] if sums[1] else 0.0


def _verdict(apart: Interval) -> str:
    if apart.low > 0:
        return "more is recovered of the treated"
    if apart.high < 0:
        return "less is recovered of the treated"
    return "no clear difference"


def _is_enough(treated: _Group, held_out: _Group) -> bool:
    customers = min(len(treated.customers), len(held_out.customers))
    return customers >= LEAST_CUSTOMERS and _holds(treated.counted, held_out.counted)


def _holds(one: Counted, other: Counted) -> bool:
    least = min(one.of, other.of) >= LEAST_CASES and all(
        min(side.good, side.of - side.good) >= LEAST_OF_EACH for side in (one, other)
    )
    return least and difference(one, other).half <= WIDEST


def _needed(treated: _Group, held_out: _Group, share: float) -> int:
    """About how many more cases it takes if their rates stay: in two digits, and never none."""
    now = [side.counted for side in (treated, held_out)]
    # Of few cases a rate is drawn to the middle, where most are needed.
    rates = [(side.good + 1) / (side.of + 2) for side in now]
    have = int(sum(side.of for side in now))

    def holds(total: int) -> bool:
        sizes = (total * (1 - share), total * share)
        ahead = [
            Counted(rate * of, of, side.alike)
            for rate, of, side in zip(rates, sizes, now, strict=True)
        ]
        return _holds(*ahead)

    low, high = 0, LEAST_CASES
    while not holds(high) and high < _MOST:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    more = max(high - have, math.ceil((LEAST_CASES - now[1].of) / share), LEAST_CASES)
    digits: int = 10 ** max(0, len(str(more)) - 2)
    return math.ceil(more / digits) * digits


def _share(terms: str) -> float:
    return float(terms.partition(" %")[0]) / 100


# --- putting together ----------------------------------------------------------------------


def _totals(groups: _Groups) -> list[Row]:
    """What was counted, per currency and group. Comparisons of different terms do not add up."""
    rows: dict[tuple[str, str], Row] = {}
    for key, sides in groups.items():
        for name, group in sides.items():
            row = rows.setdefault(
                (key[-1], name),
                {"currency": key[-1], "group": name}
                | dict.fromkeys(("open", "cases", "recovered_cases", "failed", "recovered"), 0),
            )
            more = (group.open, group.sum(1), group.sum(0), group.sum(3), group.sum(2))
            names = ("open", "cases", "recovered_cases", "failed", "recovered")
            for part, value in zip(names, more, strict=True):
                row[part] += value
    return in_order(list(rows.values()), ("currency", "group"), {"group": GROUPS})


def _note(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """The verdicts, and how many cases still count for nothing."""
    said = [
        f"{', '.join(str(row[key]) for key in keys)}, {row['currency'].upper()}: {row['verdict']}"
        f" ({row['open']:,} still open)"
        for row in rows
        if row["group"] == "difference"
    ]
    return f"by policy and terms: {'; '.join(said)}"
