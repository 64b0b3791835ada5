"""Append entries; never change one; verify.

What the ledger should say of a case is computed whole (`core.entries.books`). `record` appends
what is missing and takes back, by a counter-entry, what turned out otherwise; so the sum of the
rows of a case is what its facts say, whatever order they came in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, insert, select, text
from sqlmodel import Session, col

from dunning.core.entries import Account, Entry
from dunning.store import EntryRow


@dataclass(frozen=True, slots=True)
class Posting:
    """What the ledger should say of one case, in full."""

    case_id: str
    source: str
    currency: str
    entries: Sequence[Entry]


def record(session: Session, postings: Sequence[Posting], now: datetime) -> int:
    """Append whatever makes the ledger say what the postings say; how many rows that took."""
    stored = _rows_of(session, [posting.case_id for posting in postings])
    rows = [
        row for posting in postings for row in _difference(posting, stored[posting.case_id], now)
    ]
    if rows:
        session.execute(insert(EntryRow), rows)
    return len(rows)


def _rows_of(session: Session, case_ids: Sequence[str]) -> Mapping[str, list[EntryRow]]:
    found: defaultdict[str, list[EntryRow]] = defaultdict(list)
    query = select(EntryRow).where(col(EntryRow.case_id).in_(case_ids)).order_by(col(EntryRow.id))
    for row in session.scalars(query):
        found[row.case_id].append(row)
    return found


def _difference(
    posting: Posting, stored: Iterable[EntryRow], now: datetime
) -> list[dict[str, object]]:
    """The rows that are missing, and the counter-entries of those that no longer hold."""
    standing: dict[str, EntryRow] = {}
    revisions: defaultdict[str, int] = defaultdict(int)
    for row in stored:
        revisions[row.base] += 1
        if row.reverses:
            standing.pop(row.base, None)
        else:
            standing[row.base] = row
    wanted = {entry.key: entry for entry in posting.entries}
    rows: list[dict[str, object]] = []
    for base, row in standing.items():
        entry = wanted.get(base)
        if entry is None or not _same(row, entry, posting.currency):
            revisions[base] += 1
            rows.append(_counter(row, revisions[base], now))
    for base, entry in wanted.items():
        known = standing.get(base)
        if known is None or not _same(known, entry, posting.currency):
            revisions[base] += 1
            rows.append(_fresh(posting, entry, revisions[base], now))
    return rows


def _same(row: EntryRow, entry: Entry, currency: str) -> bool:
    return (
        row.debit == entry.debit
        and row.credit == entry.credit
        and row.amount == entry.amount
        and row.currency == currency
        and row.occurred_at == entry.at
        and row.cause == entry.cause
        and row.how == entry.how
    )


def _key(base: str, revision: int) -> str:
    return base if revision == 1 else f"{base}#{revision}"


def _fresh(posting: Posting, entry: Entry, revision: int, now: datetime) -> dict[str, object]:
    return {
        "key": _key(entry.key, revision),
        "base": entry.key,
        "case_id": posting.case_id,
        "source": posting.source,
        "debit": entry.debit.value,
        "credit": entry.credit.value,
        "amount": entry.amount,
        "currency": posting.currency,
        "cause": entry.cause.value,
        "how": entry.how,
        "occurred_at": entry.at,
        "recorded_at": now,
        "reverses": None,
    }


def _counter(row: EntryRow, revision: int, now: datetime) -> dict[str, object]:
    return {
        "key": _key(row.base, revision),
        "base": row.base,
        "case_id": row.case_id,
        "source": row.source,
        "debit": row.credit,
        "credit": row.debit,
        "amount": row.amount,
        "currency": row.currency,
        "cause": row.cause,
        "how": row.how,
        # The same day as what it takes back, so no period ever shows half of a correction.
        "occurred_at": row.occurred_at,
        "recorded_at": now,
        "reverses": row.key,
    }


# --- sums ----------------------------------------------------------------------------------


def balances(session: Session) -> dict[str, dict[str, int]]:
    """What every account holds, per currency, in minor units."""
    sums: defaultdict[str, dict[str, int]] = defaultdict(lambda: {a.value: 0 for a in Account})
    for side, sign in ((col(EntryRow.credit), 1), (col(EntryRow.debit), -1)):
        query = select(col(EntryRow.currency), side, func.sum(col(EntryRow.amount))).group_by(
            col(EntryRow.currency), side
        )
        for currency, account, amount in session.execute(query):
            sums[currency][account] += sign * int(amount)
    return {currency: sums[currency] for currency in sorted(sums)}


def guarded(session: Session) -> bool:
    """Whether the database itself refuses to change or delete entries."""
    if session.get_bind().dialect.name == "sqlite":
        query = text(
            "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'entries'"
        )
    else:
        query = text(
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'entries'::regclass AND NOT tgisinternal"
        )
    return int(session.execute(query).scalar_one()) >= 2


# --- proof ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Proof:
    """What was checked, and every case for which something does not hold."""

    rows: int = 0
    cases: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)  # (case id, what is wrong)

    @property
    def holds(self) -> bool:
        """Whether every identity held."""
        return not self.faults


_TRANSFERS = frozenset(
    (debit.value, credit.value)
    for debit, credit in (
        (Account.OWED, Account.AT_RISK),
        (Account.AT_RISK, Account.RECOVERED),
        (Account.AT_RISK, Account.LOST),
        (Account.AT_RISK, Account.WITHDRAWN),
        (Account.LOST, Account.RECOVERED),
        (Account.LOST, Account.WITHDRAWN),
        (Account.WITHDRAWN, Account.RECOVERED),
        (Account.RECOVERED, Account.REFUNDED),
        (Account.RECOVERED, Account.DISPUTED),
        (Account.REFUNDED, Account.RECOVERED),
        (Account.DISPUTED, Account.RECOVERED),
    )
)


def prove_case(proof: Proof, posting: Posting, rows: Sequence[EntryRow]) -> None:
    """Prove the rows of one case against its facts: every transfer, every correction, the sum."""
    proof.cases += 1
    proof.rows += len(rows)
    by_key = {row.key: row for row in rows}
    undone: set[str] = set()
    for row in rows:
        pair = (row.debit, row.credit)
        if row.amount <= 0:
            proof.faults.append((posting.case_id, f"{row.key}: the amount is not positive"))
        if row.currency != posting.currency:
            proof.faults.append((posting.case_id, f"{row.key}: in {row.currency}"))
        if row.reverses is None:
            if pair not in _TRANSFERS:
                proof.faults.append((posting.case_id, f"{row.key}: {pair[0]} to {pair[1]}"))
            continue
        target = by_key.get(row.reverses)
        mirrors = target is not None and (target.credit, target.debit, target.amount) == (
            *pair,
            row.amount,
        )
        if not mirrors or row.reverses in undone:
            proof.faults.append((posting.case_id, f"{row.key}: takes back nothing that stood"))
        undone.add(row.reverses)
    for missing in _difference(posting, rows, datetime.min):
        proof.faults.append(
            (posting.case_id, f"the facts and the ledger differ: {missing['key']}")
        )
