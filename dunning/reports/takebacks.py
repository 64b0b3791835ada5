"""Which recovery a refund or a dispute takes back, so that breakdowns stay equal to the total.

The ledger knows how much of a case's money went back, not which of its payments. The newest money
goes first, and what a won dispute returns is again what it was before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlmodel import Session

from dunning.core.entries import Account
from dunning.reports.flows import Movement, reversed_cases
from dunning.reports.origins import UNKNOWN, Origin, mechanism_of
from dunning.reports.periods import label_at, span, unit_of, zone_named
from dunning.reports.scope import Scope


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Part of a refund or a dispute, with the keys of the recovery it takes back."""

    keys: tuple[str | None, ...]
    mechanism: str
    account: Account  # refunded or disputed
    amount: int  # negative: it came back
    at: datetime


_Lots = list[tuple[Origin, int]]  # how it came in, and how much of it there is; oldest first
_Part = tuple[Account, Origin]  # refunded or disputed, and how it had come in


def take_backs(session: Session, scope: Scope) -> Iterator[TakeBack]:
    """Every part that was taken back, or came back again, within the span of the scope."""
    zone, unit = zone_named(scope.zone), unit_of(scope.by)
    starts, ends = span(scope.since, scope.until, zone)
    parts = _as_occurred if scope.date == "occurred" else _as_written
    for _, rows in groupby(reversed_cases(session, scope), key=lambda row: row.case_id):
        case = list(rows)
        for at, account, origin, amount in parts(case):
            if (starts and at < starts) or (ends and at >= ends):
                continue
            keys = case[0].keys | origin.keys()
            if unit is not None:
                keys[unit] = label_at(unit, at, zone, scope.year_from)
            yield TakeBack(
                keys=tuple(keys[key] for key in scope.keys),
                mechanism=mechanism_of(origin.how),
                account=account,
                amount=amount,
                at=at,
            )


def _as_occurred(case: Sequence[Movement]) -> Iterator[tuple[datetime, Account, Origin, int]]:
    for row, origin, amount in walk(case):
        yield row.at, Account(row.credit if amount > 0 else row.debit), origin, amount


def _as_written(case: Sequence[Movement]) -> Iterator[tuple[datetime, Account, Origin, int]]:
    """What the rows of each moment changed in what had been taken back by then."""
    said: Counter[_Part] = Counter()
    for at in sorted({row.counts_at for row in case}):
        known = [row for row in case if row.counts_at <= at]
        gone = {row.reverses for row in known if row.reverses}
        holds = [row for row in known if not row.reverses and row.key not in gone]
        now: Counter[_Part] = Counter()
        for _, account, origin, amount in _as_occurred(holds):
            now[account, origin] += amount
        for account, origin in sorted(now.keys() | said.keys()):
            if more := now[account, origin] - said[account, origin]:
                yield at, account, origin, more
        said = now


def walk(rows: Iterable[Movement]) -> Iterator[tuple[Movement, Origin, int]]:
    """Go through one case in the order of events: each part taken back, with how it came in."""
    lots: _Lots = []
    taken: defaultdict[str, _Lots] = defaultdict(list)
    for row in _in_order(rows):
        if row.debit == Account.RECOVERED:
            for origin, amount in _take(lots, row.amount):
                taken[row.credit].append((origin, amount))
                yield row, origin, amount
        elif row.debit in _TAKEN:
            for origin, amount in _take(taken[row.debit], row.amount):
                lots.append((origin, amount))
                yield row, origin, -amount
        elif row.credit == Account.RECOVERED:
            lots.append((row.origin, row.amount))


_TAKEN = (Account.REFUNDED, Account.DISPUTED)
_OUT_OF = (Account.RECOVERED, *_TAKEN)


def _in_order(rows: Iterable[Movement]) -> Iterator[Movement]:
    """By time; of one moment, first what there is money for: it comes in before it goes out."""
    held: Counter[str] = Counter()
    ordered = sorted(rows, key=lambda row: (row.at, row.debit in _TAKEN, row.base))
    for _, same in groupby(ordered, key=lambda row: row.at):
        left = list(same)
        while left:
            incoming = (row for row in left if row.debit not in _OUT_OF)
            covered = (row for row in left if held[row.debit] >= row.amount)
            row = next(incoming, None) or next(covered, left[0])
            left.remove(row)
            held[row.credit] += row.amount
            held[row.debit] -= row.amount
            yield row


_NEVER_THERE = Origin("", UNKNOWN, UNKNOWN, UNKNOWN)


def _take(lots: _Lots, amount: int) -> Iterator[tuple[Origin, int]]:
    """Take this much, the newest first. Every unit is named, even one that was never there."""
    left = amount
    while left > 0:
        origin, held = lots.pop() if lots else (_NEVER_THERE, left)
        part = min(held, left)
        if held > part:
            lots.append((origin, held - part))
        left -= part
        yield origin, part
