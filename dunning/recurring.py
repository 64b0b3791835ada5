"""The book of recurring revenue as it is stored: its rows, its guard, its proof, its sums.

One movement of a case is one row. A subscription with several unpaid invoices has the rows of
several cases; `counted_once` tells what it did as a whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    case,
    exists,
    func,
    select,
    text,
    union_all,
)
from sqlmodel import Session, col

from dunning.appending import Book, difference
from dunning.core.recurring import TURNS, RecurringAccount, Turn
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
        # That it reverses something is said for the index of the few that do.
        select(1).where(
            counter.c.reverses.is_not(None), counter.c.reverses == col(RecurringRow.key)
        )
    )
    return col(RecurringRow.reverses).is_(None), ~taken_back


def told(query: Select[Any]) -> Select[Any]:
    """What is to be known of rows to count them once; without those that do not hold."""
    row = table_of(RecurringRow).c
    more = case((row.credit == _AT_RISK, 1), (row.debit == _AT_RISK, -1), else_=0)
    rank: Any = case(_RANK, value=row.debit)
    columns: list[Any] = [row[name] for name in _READ]
    columns += [rank.label("rank"), more.label("more")]
    return query.with_only_columns(*columns).where(*standing())


def counted_once(*parts: Select[Any]) -> FromClause:
    """The movements of each subscription as a whole: of all, or of these rows, as `told`.

    It is at risk from the first failure until the last of its cases is over, and then stands where
    that one does. What was lost is not running: at risk again, it comes from there. Columns are
    `source`, `currency`, `at`, `debit` and `credit`; `first`, the case with which it came to be at
    risk, and `amount`, what it brought in then; `saved_by`: how the money came that saved it.
    """
    rows = union_all(*(parts or (told(select(RecurringRow)),)))
    one = _changes(rows.subquery().c)
    run: dict[str, Any] = {"partition_by": (*_of_subscription(one), one.run)}
    return select(
        one.source,
        one.currency,
        one.occurred_at.label("at"),
        case((one.begins == 1, _RUNNING), else_=one.before).label("debit"),
        one.stands.label("credit"),
        func.max(case((one.begins == 1, one.case_id))).over(**run).label("first"),
        func.max(case((one.begins == 1, one.amount))).over(**run).label("amount"),
        func.max(case((one.stands == _SAVED, one.how))).over(**run).label("saved_by"),
    ).subquery()


_RUNNING, _SAVED, _LOST = (
    RecurringAccount.RUNNING.value,
    RecurringAccount.SAVED.value,
    RecurringAccount.LOST.value,
)
_READ = (
    *("source", "subscription", "currency", "case_id", "debit", "credit", "amount"),
    *("occurred_at", "how"),
)
# In what order a case goes from account to account, where it does so in one moment.
_RANK = {account.value: rank for rank, account in enumerate(RecurringAccount)}


def _changes(row: Any) -> Any:
    """The rows by which a subscription came to stand elsewhere, numbered by time at risk."""
    unpaid = func.sum(row.more).over(**_until_it(row))
    stands = case((unpaid > 0, _AT_RISK), else_=row.credit)
    row = select(*row, stands.label("stands")).subquery().c
    before = func.lag(row.stands, 1, _RUNNING).over(**_in_order(row))
    row = select(*row, before.label("before")).subquery().c
    begins = case(((row.stands == _AT_RISK) & (row.before != _LOST), 1), else_=0)
    changed = select(*row, begins.label("begins")).where(row.stands != row.before)
    row = changed.subquery().c
    return select(*row, func.sum(row.begins).over(**_until_it(row)).label("run")).subquery().c


def _of_subscription(row: Any) -> tuple[Any, ...]:
    return row.source, row.subscription, row.currency


def _in_order(row: Any) -> dict[str, Any]:
    order = (row.occurred_at, row.rank, row.case_id)
    return {"partition_by": _of_subscription(row), "order_by": order}


def _until_it(row: Any) -> dict[str, Any]:
    return _in_order(row) | {"rows": (None, 0)}


def balances(session: Session) -> dict[str, dict[str, int]]:
    """What stands in each account, per currency, each subscription counted once."""
    one = counted_once().c
    moved = func.sum(one.amount)
    query = select(one.currency, one.debit, one.credit, moved).group_by(text("1, 2, 3"))
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for currency, debit, credit, amount in session.execute(query):
        sums[currency][debit] -= int(amount)
        sums[currency][credit] += int(amount)
    return {
        currency: {name.value: sums[currency][name.value] for name in RecurringAccount}
        for currency in sorted(sums)
    }
