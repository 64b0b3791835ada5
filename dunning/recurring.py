"""The book of recurring revenue as it is stored: its rows, its guard, its proof, its sums.

One movement of a case is one row. A subscription with several unpaid invoices has the rows of
several cases; `counted_once` tells what it did as a whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, select, text
from sqlmodel import Session, col

from dunning.appending import Book, difference
from dunning.core.moves import Cause
from dunning.core.recurring import TURNS, Moved, RecurringAccount, Turn, once
from dunning.store import CaseRow, RecurringRow, table_of

_NEVER = datetime.min.replace(tzinfo=UTC)
_GUARDS = {
    "sqlite": text(
        "SELECT count(*) = 4 FROM sqlite_master WHERE type = 'trigger'"
        " AND tbl_name = 'recurring_entries' AND sql LIKE '%RAISE(ABORT%'"
        " AND name IN ('recurring_entries_no_update', 'recurring_entries_no_delete',"
        " 'recurring_entries_in_order', 'recurring_entries_not_closed')"
    ),
    "postgresql": text(
        "SELECT count(*) = 3 FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        " WHERE tgrelid = 'recurring_entries'::regclass AND tgenabled IN ('O', 'A')"
        " AND tgqual IS NULL AND prosrc LIKE '%RAISE EXCEPTION%'"
        " AND tgname IN ('recurring_entries_no_change', 'recurring_entries_no_truncate',"
        " 'recurring_entries_in_order')"
    ),
}


def guarded(session: Session) -> bool:
    """Whether the database itself refuses to change, delete and skip these entries."""
    return bool(session.execute(_GUARDS[session.get_bind().dialect.name]).scalar_one())


def rows_of(session: Session, case_ids: Sequence[str]) -> Mapping[str, list[RecurringRow]]:
    """The stored entries of these cases, in their order."""
    found: defaultdict[str, list[RecurringRow]] = defaultdict(list)
    query = select(RecurringRow).where(col(RecurringRow.case_id).in_(case_ids))
    query = query.order_by(col(RecurringRow.case_id), col(RecurringRow.place))
    for row in session.scalars(query.execution_options(populate_existing=True)):
        found[row.case_id].append(row)
    return found


# --- proof ---------------------------------------------------------------------------------


def faults_of(
    book: Book, wanted: Sequence[Turn], at_risk: int, rows: Sequence[RecurringRow]
) -> Iterator[str]:
    """What does not hold of the rows of one case, by its facts and by the state it is in."""
    if [row.place for row in rows] != list(range(1, len(rows) + 1)):
        yield "its recurring revenue is not numbered from 1 on without a gap"
    by_key = {row.key: row for row in rows}
    undone: set[str] = set()
    held = 0
    for row in rows:
        turn = (row.debit, row.credit) if row.reverses is None else (row.credit, row.debit)
        mine = row.source == book.source and row.key.startswith(book.case_id + "/recurring:")
        if row.amount <= 0 or row.currency != book.currency or turn not in TURNS or not mine:
            yield f"{row.key}: is no movement of recurring revenue of this case"
        if row.reverses is not None:
            target = by_key.get(row.reverses)
            if target is None or not _takes_back(row, target) or row.reverses in undone:
                yield f"{row.key}: takes back nothing that stood"
            undone.add(row.reverses)
        held += row.amount * ((row.credit == _AT_RISK) - (row.debit == _AT_RISK))
    if held != at_risk:
        yield f"recurring revenue at risk is {held} by the books, {at_risk} by its state"
    for missing in difference(book, wanted, rows, _NEVER):
        yield f"the facts and the recurring revenue differ: {missing.key}"


_AT_RISK = RecurringAccount.AT_RISK.value


def _takes_back(counter: RecurringRow, target: RecurringRow) -> bool:
    shared = ("base", "subscription", "amount", "currency", "source", "cause", "how", "occurred_at")
    return (
        target.reverses is None
        and (counter.debit, counter.credit) == (target.credit, target.debit)
        and all(getattr(counter, name) == getattr(target, name) for name in shared)
    )


def strays(session: Session, proved: int) -> Iterator[str]:
    """Rows of no case, and rows that were not looked at when all cases were."""
    query = select(func.count()).select_from(RecurringRow)
    there = session.execute(query).scalar_one()
    has_case = exists(select(1).where(col(CaseRow.id) == col(RecurringRow.case_id)))
    lone = session.execute(query.where(~has_case)).scalar_one()
    if lone:
        yield f"recurring revenue without a case: {lone} entries"
    if there - lone != proved:
        yield f"{there - lone} entries of recurring revenue are there, {proved} were found by case"


# --- each subscription once ----------------------------------------------------------------


def standing() -> tuple[ColumnElement[bool], ...]:
    """Rows that hold: neither a counter-entry nor taken back by one."""
    counter = table_of(RecurringRow).alias("counter")
    taken_back = exists(
        select(1).where(
            counter.c.case_id == col(RecurringRow.case_id),
            counter.c.reverses == col(RecurringRow.key),
        )
    )
    return col(RecurringRow.reverses).is_(None), ~taken_back


_READ = (
    *("source", "subscription", "currency", "key", "case_id", "debit", "credit", "amount"),
    *("cause", "occurred_at", "how"),
)


def counted_once(
    session: Session, narrowed: Select[Any] | None = None
) -> Iterator[tuple[str, str, list[Moved]]]:
    """Source, currency and movements of each subscription; of all, or those of a query of rows."""
    query = narrowed if narrowed is not None else select(RecurringRow)
    query = query.with_only_columns(*(table_of(RecurringRow).c[name] for name in _READ))
    query = query.where(*standing()).order_by(
        col(RecurringRow.source), col(RecurringRow.subscription), col(RecurringRow.currency)
    )
    rows = session.execute(query.execution_options(yield_per=5_000))
    for (source, name, currency), group in groupby(rows, key=lambda row: tuple(row[:3])):
        yield source, currency, list(once(_turn(name, row) for row in group))


def _turn(subscription: str, row: Any) -> Turn:
    return Turn(
        key=row.key,
        case_id=row.case_id,
        subscription=subscription,
        debit=RecurringAccount(row.debit),
        credit=RecurringAccount(row.credit),
        amount=row.amount,
        cause=Cause(row.cause),
        at=row.occurred_at,
        how=row.how,
    )


def balances(session: Session) -> dict[str, dict[str, int]]:
    """What stands in each account, per currency, each subscription counted once."""
    sums: dict[str, Counter[str]] = {}
    for _, currency, moved in counted_once(session):
        add_up(sums.setdefault(currency, Counter()), moved)
    return {
        currency: {name.value: sums[currency][name.value] for name in RecurringAccount}
        for currency in sorted(sums)
    }


def add_up(held: Counter[str], moved: Iterable[Moved]) -> None:
    """Add movements to what accounts hold."""
    for one in moved:
        held[one.turn.debit.value] -= one.turn.amount
        held[one.turn.credit.value] += one.turn.amount
