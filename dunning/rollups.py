"""Append entries, and add them to the sums of their months.

The only place that writes `entries`, `recurring_entries` and `rollups`, in one transaction. What
the sums should be can be told from the entries at any time (`faults`), so nobody has to trust them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, case, column, func, select, text
from sqlmodel import Session, col

from dunning import closed, crashpoints
from dunning.clock import utc
from dunning.store import EntryRow, RecurringRow, RollupRow, TallyRow, add_rows, put_rows

# So many writers add to one month side by side; more wait for each other, for one commit.
SLOTS = 16


class Key(NamedTuple):
    """What entries are added up by; a counter-entry counts against what it takes back."""

    source: str
    month: str
    currency: str
    debit: str
    credit: str
    cause: str
    how: str


class Sum(NamedTuple):
    """Minor units, and how many entries stand behind them."""

    amount: int
    entries: int


def append(
    session: Session,
    rows: Sequence[Mapping[str, Any]],
    monthly: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Append new entries of money and of recurring revenue, numbered within their cases.

    What happened in a period that is closed by now is booked to the first open moment.
    """
    if not rows and not monthly:
        return
    placed = closed.booked(session, [*rows, *monthly])
    add_rows(session, EntryRow, placed[: len(rows)])
    add_rows(session, RecurringRow, placed[len(rows) :])
    if rows:
        add(session, rows)


def add(session: Session, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add entries to the sums of their months: one statement, in one order for all writers."""
    deltas: Counter[Key] = Counter()
    counts: Counter[Key] = Counter()
    for row in rows:
        taken_back = row["reverses"] is not None
        debit, credit = row["debit"], row["credit"]
        key = Key(
            source=row["source"],
            month=month_of(row["occurred_at"]),
            currency=row["currency"],
            debit=credit if taken_back else debit,
            credit=debit if taken_back else credit,
            cause=row["cause"],
            how=row["how"],
        )
        sign = -1 if taken_back else 1
        deltas[key] += sign * row["amount"]
        counts[key] += sign
    slot = _slot(session)
    values = [
        {**key._asdict(), "slot": slot, "amount": deltas[key], "entries": counts[key]}
        for key in sorted(deltas)
    ]
    put_rows(session, RollupRow, values, add=Sum._fields)
    crashpoints.reach("rollup.written")


def month_of(at: datetime) -> str:
    """The month a sum belongs to, by UTC."""
    return f"{utc(at):%Y-%m}"


def _slot(session: Session) -> int:
    """Each connection adds to rows of its own; SQLite has one writer."""
    if session.get_bind().dialect.name == "sqlite":
        return 0
    return int(session.execute(_CONNECTION).scalar_one()) % SLOTS


_CONNECTION = text("SELECT pg_backend_pid()")


# --- the guard ----------------------------------------------------------------------------

_GUARDS = {
    "sqlite": text(
        "SELECT count(*) = 5 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entries'"
        " AND (name IN ('entries_no_update', 'entries_no_delete', 'entries_in_order')"
        " AND sql LIKE '%RAISE(ABORT%' OR name = 'entries_counted' AND sql LIKE '%tallies%'"
        " OR name = 'entries_not_closed' AND sql LIKE '%closings%RAISE(ABORT%')"
    ),
    # Of the table and of each partition. Disabled is as good as gone.
    "postgresql": text(
        "SELECT bool_and(guards = 3) FROM (SELECT (SELECT count(*) FROM pg_trigger"
        " JOIN pg_proc ON pg_proc.oid = tgfoid"
        " WHERE tgrelid = part.oid AND tgenabled IN ('O', 'A') AND tgqual IS NULL"
        " AND tgname IN ('entries_no_change', 'entries_no_truncate', 'entries_in_order')"
        " AND prosrc LIKE '%RAISE EXCEPTION%'"
        " AND (tgname <> 'entries_in_order' OR prosrc LIKE '%closings%')) AS guards"
        " FROM pg_class AS part WHERE oid = 'entries'::regclass OR oid IN"
        " (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'entries'::regclass)) AS parts"
    ),
}


def guarded(session: Session) -> bool:
    """Whether the database itself refuses to change, delete and skip entries."""
    query = _GUARDS[session.get_bind().dialect.name]
    return bool(session.execute(query).scalar_one())


# --- reading ---------------------------------------------------------------------------------


def totals(session: Session) -> dict[Key, Sum]:
    """The sums as they are kept, all slots together; what was wholly taken back is left out."""
    keys = [getattr(RollupRow, name) for name in Key._fields]
    query = select(
        *keys, func.sum(col(RollupRow.amount)), func.sum(col(RollupRow.entries))
    ).group_by(*keys)
    return _gathered(session.execute(query).all())


def from_entries(session: Session, after: int | None = None) -> dict[Key, Sum]:
    """The same sums, told afresh from every entry, or from those with a higher id."""
    counter = col(EntryRow.reverses).is_not(None)
    debit: ColumnElement[Any] = case((counter, col(EntryRow.credit)), else_=col(EntryRow.debit))
    credit: ColumnElement[Any] = case((counter, col(EntryRow.debit)), else_=col(EntryRow.credit))
    sign = case((counter, -1), else_=1)
    query = select(
        col(EntryRow.source),
        _month(session),
        col(EntryRow.currency),
        debit.label("from_account"),
        credit.label("to_account"),
        col(EntryRow.cause),
        col(EntryRow.how),
        func.sum(sign * col(EntryRow.amount)),
        func.sum(sign),
    ).group_by(
        col(EntryRow.source),
        column("month"),
        col(EntryRow.currency),
        column("from_account"),
        column("to_account"),
        col(EntryRow.cause),
        col(EntryRow.how),
    )
    if after is not None:
        query = query.where(col(EntryRow.id) > after)
    return _gathered(session.execute(query).all())


def _month(session: Session) -> ColumnElement[Any]:
    occurred = col(EntryRow.occurred_at)
    if session.get_bind().dialect.name == "sqlite":
        return func.strftime("%Y-%m", occurred).label("month")
    return func.to_char(func.timezone("UTC", occurred), "YYYY-MM").label("month")


def _gathered(rows: Iterable[Sequence[Any]]) -> dict[Key, Sum]:
    sums = {Key(*row[:7]): Sum(int(row[7]), int(row[8])) for row in rows}
    return {key: total for key, total in sums.items() if total != Sum(0, 0)}


# --- proof -----------------------------------------------------------------------------------


def faults(session: Session) -> Iterator[tuple[str | None, str]]:
    """Where the kept sums and numbers differ from the entries: a case, or None, and how."""
    kept, told = totals(session), from_entries(session)
    for key in sorted(kept.keys() | told.keys()):
        have, should = kept.get(key, Sum(0, 0)), told.get(key, Sum(0, 0))
        if have != should:
            what = f"{key.debit} to {key.credit} ({' '.join(filter(None, (key.source, *key[5:])))})"
            yield (
                None,
                (
                    f"{key.currency} {key.month}, {what}: the month's sum is {have.amount} of "
                    f"{have.entries}, the entries say {should.amount} of {should.entries}"
                ),
            )
    yield from _miscounted(session)


def _miscounted(session: Session) -> Iterator[tuple[str | None, str]]:
    """Cases whose entries are not as many as the database itself counted."""
    there = (
        select(col(EntryRow.case_id), func.count().label("entries"))
        .group_by(col(EntryRow.case_id))
        .subquery()
    )
    # Both ways round: entries without a count, and a count without entries.
    joined = (
        select(there.c.case_id, there.c.entries, col(TallyRow.entries))
        .outerjoin(TallyRow, col(TallyRow.case_id) == there.c.case_id)
        .where(col(TallyRow.entries).is_distinct_from(there.c.entries))
    )
    for case_id, entries, counted in session.execute(joined.order_by(there.c.case_id)):
        yield case_id, f"{entries} entries are there, {counted or 0} were appended"
    gone = (
        select(col(TallyRow.case_id), col(TallyRow.entries))
        .outerjoin(there, there.c.case_id == col(TallyRow.case_id))
        .where(there.c.case_id.is_(None), col(TallyRow.entries) != 0)
    )
    for case_id, counted in session.execute(gone.order_by(col(TallyRow.case_id))):
        yield case_id, f"no entry is there, {counted} were appended"


def fingerprint(session: Session) -> str:
    """One word for all that the ledger says, the same wherever it is kept."""
    digest = hashlib.sha256()
    for key, total in sorted(from_entries(session).items()):
        digest.update(repr((tuple(key), tuple(total))).encode())
    return digest.hexdigest()[:16]
