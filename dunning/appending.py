"""What is to be appended so that the rows of a case say what its facts say; nothing is changed.

The same for both books, that of money and that of recurring revenue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dunning.core.attribution import TOUCH, as_booked, told_of
from dunning.core.entries import Entry
from dunning.core.recurring import Turn
from dunning.desk import Line
from dunning.store import EntryRow, RecurringRow

Told = Entry | Turn
Stored = EntryRow | RecurringRow | Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Whose rows they are, and in which currency."""

    case_id: str
    source: str
    currency: str


def difference(
    book: Book, wanted_lines: Iterable[Told], stored: Sequence[Stored], now: datetime
) -> list[Line]:
    """The lines that are missing, and the counter-entries of those that no longer hold."""
    after = max((row.place for row in stored), default=0)
    standing: dict[str, Stored] = {}
    revisions: defaultdict[str, int] = defaultdict(int)
    for row in stored:
        revisions[row.base] += 1
        if row.reverses:
            standing.pop(row.base, None)
        else:
            standing[row.base] = row
    wanted = {entry.key: entry for entry in wanted_lines}
    lines: list[Line] = []
    for base, row in standing.items():
        entry = wanted.get(base)
        if entry is None or not _same(row, entry, book.currency):
            revisions[base] += 1
            lines.append(_counter(row, revisions[base], after + len(lines) + 1, now))
    for base, entry in wanted.items():
        known = standing.get(base)
        if known is None or not _same(known, entry, book.currency):
            revisions[base] += 1
            lines.append(_fresh(book, entry, revisions[base], after + len(lines) + 1, now))
    return lines


def _same(row: Stored, entry: Told, currency: str) -> bool:
    return (
        row.debit == entry.debit
        and row.credit == entry.credit
        and row.amount == entry.amount
        and row.currency == currency
        and row.occurred_at == entry.at
        and row.cause == entry.cause
        and _same_origin(row, entry)
    )


def _same_origin(row: Stored, entry: Told) -> bool:
    if isinstance(entry, Entry):
        return as_booked(row, entry.how, entry.touch)
    return row.how == entry.how and getattr(row, "subscription", None) == entry.subscription


def _key(base: str, revision: int) -> str:
    return base if revision == 1 else f"{base}#{revision}"


def _fresh(book: Book, entry: Told, revision: int, place: int, now: datetime) -> Line:
    return Line(
        key=_key(entry.key, revision),
        base=entry.key,
        case_id=book.case_id,
        place=place,
        source=book.source,
        debit=entry.debit.value,
        credit=entry.credit.value,
        amount=entry.amount,
        currency=book.currency,
        cause=entry.cause.value,
        how=entry.how,
        occurred_at=entry.at,
        recorded_at=now,
        reverses=None,
        subscription=getattr(entry, "subscription", None),
        **told_of(getattr(entry, "touch", None)),
    )


def _counter(row: Stored, revision: int, place: int, now: datetime) -> Line:
    return Line(
        key=_key(row.base, revision),
        base=row.base,
        case_id=row.case_id,
        place=place,
        source=row.source,
        debit=row.credit,
        credit=row.debit,
        amount=row.amount,
        currency=row.currency,
        cause=row.cause,
        how=row.how,
        # The same day as what it takes back, so no period ever shows half of a correction.
        occurred_at=row.occurred_at,
        recorded_at=now,
        reverses=row.key,
        subscription=getattr(row, "subscription", None),
        **{name: getattr(row, name, None) for name in TOUCH},
    )
