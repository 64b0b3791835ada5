"""Append entries; never change one; verify.

What the ledger should say of a case is computed whole (`core.entries.books`). `record` appends
what is missing and takes back, by a counter-entry, what turned out otherwise; so the sum of the
rows of a case is what its facts say, whatever order they came in.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from dunning import recurring, rollups
from dunning.appending import Book, difference
from dunning.clock import rfc3339
from dunning.core.attribution import TOUCH
from dunning.core.entries import Account, Entry
from dunning.core.facts import Case
from dunning.core.identity import TRANSFERS, Flows, add_entries, broken_months, differences
from dunning.core.recurring import Turn, runs, turns
from dunning.core.status import State, Status
from dunning.desk import Desk
from dunning.store import CaseRow, EntryRow, RecurringRow, table_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting(Book):
    """What the ledger should say of one case, in full."""

    entries: Sequence[Entry]
    recurring: Sequence[Turn] = ()
    monthly_at_risk: int = 0  # of recurring revenue, as the state of the case has it


def posting_of(case: Case, present: Status) -> Posting:
    """What follows from the facts of a case."""
    sheet = present.books
    monthly = turns(case, sheet)
    return Posting(
        case_id=case.id,
        source=case.source,
        currency=case.currency,
        entries=sheet.entries,
        recurring=monthly,
        monthly_at_risk=monthly[0].amount if monthly and runs(case, sheet) else 0,
    )


def record(desk: Desk, posting: Posting, now: datetime) -> int:
    """Append whatever makes the ledger say what the posting says; how many lines that took."""
    stored = desk.entries.get(posting.case_id) or ()
    money = [line for line in stored if line.subscription is None]
    monthly = [line for line in stored if line.subscription is not None]
    added = difference(posting, posting.entries, money, now)
    added += difference(posting, posting.recurring, monthly, now)
    if added:
        desk.entries.put(posting.case_id, (*stored, *added))
        for line in added:
            desk.lines.put(line.key, line)
    return len(added)


def rows_of(session: Session, case_ids: Sequence[str]) -> Mapping[str, list[EntryRow]]:
    """The stored entries of these cases, in the order of their ids."""
    found: defaultdict[str, list[EntryRow]] = defaultdict(list)
    query = select(EntryRow).where(col(EntryRow.case_id).in_(case_ids)).order_by(col(EntryRow.id))
    for row in session.scalars(query.execution_options(populate_existing=True)):
        found[row.case_id].append(row)
    return found


# --- sums ----------------------------------------------------------------------------------


def balances(session: Session) -> dict[str, dict[str, int]]:
    """What every account holds, per currency, in minor units."""
    sums: defaultdict[str, dict[str, int]] = defaultdict(lambda: {a.value: 0 for a in Account})
    for side, sign in ((col(EntryRow.credit), 1), (col(EntryRow.debit), -1)):
        query = select(col(EntryRow.currency), side, func.sum(col(EntryRow.amount))).group_by(
            col(EntryRow.currency), side
        )
        for currency, account, amount in session.execute(query):
            # A word that is no account is `verify`'s to complain of.
            held = sums[currency].get(account, 0)
            sums[currency][account] = held + sign * int(amount)
    return {currency: sums[currency] for currency in sorted(sums)}


def guarded(session: Session) -> bool:
    """Whether the database itself refuses to change, delete and skip entries of either book."""
    return rollups.guarded(session) and recurring.guarded(session)


# --- export --------------------------------------------------------------------------------

_BOTH = (
    "id key base case place source debit credit amount currency cause how occurred_at recorded_at "
    "reverses posted_at closed_period"
).split()
_MOMENTS = ("occurred_at", "recorded_at", "posted_at", "email_at", "click_at")
EXPORTED = (*_BOTH, *TOUCH)
EXPORTED_RECURRING = (*_BOTH[:6], "subscription", *_BOTH[6:])


def export(
    session: Session, batch: int = 5000, *, recurring: bool = False
) -> Iterator[dict[str, object]]:
    """Every entry in the order of its id, as a program reads it; flat memory."""
    table = table_of(RecurringRow if recurring else EntryRow)
    names = EXPORTED_RECURRING if recurring else EXPORTED
    last = 0
    while True:
        query = select(table).where(table.c.id > last).order_by(table.c.id).limit(batch)
        found = session.execute(query).mappings().all()
        for row in found:
            told: dict[str, object] = {
                name: row["case_id" if name == "case" else name] for name in names
            }
            for name in set(_MOMENTS) & set(names):
                told[name] = rfc3339(row[name])
            yield told
        if len(found) < batch:
            return
        last = found[-1]["id"]


# --- proof ---------------------------------------------------------------------------------


_NEVER = datetime.min.replace(tzinfo=UTC)
# What a fault of no single case is said of.
LEDGER = "ledger"
# More are counted, not kept.
FAULTS_KEPT = 10_000
CASES_A_BATCH = 500


@dataclass(slots=True)
class Proof:
    """What was checked, and every case for which something does not hold."""

    rows: int = 0
    cases: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)  # (case id, what is wrong)
    more_faults: int = 0  # beyond those kept
    currencies: dict[str, dict[str, int]] = field(default_factory=dict)
    monthly_rows: int = 0  # of recurring revenue
    # What stands of it, a month, each subscription counted once; of full proofs only.
    recurring: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every identity held."""
        return not self.faults

    def fault(self, case_id: str, what: str) -> None:
        """Note that something does not hold for a case, or for the `LEDGER` as a whole."""
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append((case_id, what))
        else:
            self.more_faults += 1

    def summary(self) -> dict[str, object]:
        """The proof for programs: amounts in minor units, never added across currencies."""
        return {
            "holds": self.holds,
            "rows": self.rows,
            "cases": self.cases,
            "currencies": self.currencies,
            "recurring_rows": self.monthly_rows,
            "recurring": self.recurring,
            "faults": [{"case": case_id, "fault": what} for case_id, what in self.faults],
            "more_faults": self.more_faults,
        }


def prove_case(
    proof: Proof,
    posting: Posting,
    rows: Sequence[EntryRow],
    monthly: Sequence[RecurringRow] = (),
) -> None:
    """Prove the rows of one case against its facts: every transfer, every correction, the sum."""
    proof.cases += 1
    proof.rows += len(rows)
    proof.monthly_rows += len(monthly)
    at_risk = posting.monthly_at_risk
    for wrong in recurring.faults_of(posting, posting.recurring, at_risk, monthly):
        proof.fault(posting.case_id, wrong)
    by_key = {row.key: row for row in rows}
    if len(by_key) < len(rows):
        proof.fault(posting.case_id, "a key is there twice")
    if [row.place for row in rows] != list(range(1, len(rows) + 1)):
        proof.fault(posting.case_id, "the entries are not numbered from 1 on without a gap")
    undone: set[str] = set()
    for row in rows:
        for wrong in _wrong_with(row, posting):
            proof.fault(posting.case_id, f"{row.key}: {wrong}")
        if row.reverses is not None:
            target = by_key.get(row.reverses)
            if target is None or not _takes_back(row, target) or row.reverses in undone:
                proof.fault(posting.case_id, f"{row.key}: takes back nothing that stood")
            undone.add(row.reverses)
    for missing in difference(posting, posting.entries, rows, _NEVER):
        proof.fault(posting.case_id, f"the facts and the ledger differ: {missing.key}")


def _wrong_with(row: EntryRow, posting: Posting) -> Iterator[str]:
    """What no row of this case may be, whatever the others say."""
    if row.amount <= 0:
        yield "the amount is not positive"
    if row.currency != posting.currency:
        yield f"in {row.currency}, the case is in {posting.currency}"
    if row.source != posting.source:
        yield f"from {row.source}, the case is from {posting.source}"
    if not row.key.startswith(posting.case_id + "/"):
        yield "the key is another case's"
    if row.reverses is None and (row.debit, row.credit) not in TRANSFERS:
        yield f"{row.debit} to {row.credit} is no transfer of this ledger"


def _takes_back(counter: EntryRow, target: EntryRow) -> bool:
    """Whether a counter-entry undoes the target to the unit, in the same period and breakdown."""
    return (
        target.reverses is None
        and (counter.debit, counter.credit) == (target.credit, target.debit)
        and all(getattr(counter, name) == getattr(target, name) for name in _SHARED)
    )


_SHARED = ("base", "amount", "currency", "source", "cause", "how", "occurred_at", *TOUCH)


# --- the whole ledger ----------------------------------------------------------------------

# What the ledger should say of a case; what is wrong with the case itself goes into the proof.
# None: it cannot be said.
ReadPosting = Callable[[CaseRow, Proof], Posting | None]
# Called after every batch with the number of cases proved so far.
Progress = Callable[[int], None]


def verify(session: Session, read_posting: ReadPosting, progress: Progress | None = None) -> Proof:
    """Prove every row and every sum from the facts of the cases; memory does not grow with them."""
    proof = Proof()
    if not guarded(session):
        proof.fault(LEDGER, "the database no longer refuses to change entries: a trigger is gone")
    by_facts, monthly_by_facts = Flows(), Flows()
    for cases in _batches(session):
        names = [case.id for case in cases]
        stored, monthly = rows_of(session, names), recurring.rows_of(session, names)
        for case in cases:
            posting = read_posting(case, proof)
            if posting is None:
                proof.cases += 1
                proof.rows += len(stored[case.id])
                proof.monthly_rows += len(monthly[case.id])
                continue
            prove_case(proof, posting, stored[case.id], monthly[case.id])
            add_entries(by_facts, posting.currency, posting.entries)
            add_entries(monthly_by_facts, posting.currency, posting.recurring)
        if progress is not None:
            progress(proof.cases)
    _prove_strays(session, proof)
    _prove_monthly(session, proof, monthly_by_facts)
    by_rows = _flows(session)
    for wrong in (*differences(by_rows, by_facts), *broken_months(by_rows, by_facts)):
        proof.fault(LEDGER, wrong)
    for case_id, wrong in rollups.faults(session):
        proof.fault(case_id or LEDGER, wrong)
    _prove_open(session, proof)
    return proof


def _batches(session: Session) -> Iterator[Sequence[CaseRow]]:
    """All cases by id. What the session remembers is read again: the database is on trial."""
    last = ""
    while True:
        query = (
            select(CaseRow)
            .where(col(CaseRow.id) > last)
            .order_by(col(CaseRow.id))
            .limit(CASES_A_BATCH)
            .execution_options(populate_existing=True)
        )
        cases = session.scalars(query).all()
        if cases:
            yield cases
            last = cases[-1].id
        if len(cases) < CASES_A_BATCH:
            return


def _prove_strays(session: Session, proof: Proof) -> None:
    """No entry without a case, and none that was not looked at."""
    query = (
        select(col(EntryRow.case_id), func.count())
        .outerjoin(CaseRow, col(CaseRow.id) == col(EntryRow.case_id))
        .where(col(CaseRow.id).is_(None))
        .group_by(col(EntryRow.case_id))
        .order_by(col(EntryRow.case_id))
    )
    for case_id, count in session.execute(query):
        proof.rows += count
        proof.fault(case_id, f"entries without a case: {count}")
    there = session.execute(select(func.count()).select_from(EntryRow)).scalar_one()
    if there != proof.rows:
        proof.fault(LEDGER, f"{there} entries are there, {proof.rows} were found by their cases")


def _prove_monthly(session: Session, proof: Proof, by_facts: Flows) -> None:
    """The months of recurring revenue, and that no entry of it is of no case."""
    by_rows = _flows(session, RecurringRow)
    for wrong in (*differences(by_rows, by_facts), *broken_months(by_rows, by_facts)):
        proof.fault(LEDGER, f"recurring revenue, {wrong}")
    for wrong in recurring.strays(session, proof.monthly_rows):
        proof.fault(LEDGER, wrong)
    proof.recurring = recurring.balances(session)


def _flows(session: Session, model: type[EntryRow | RecurringRow] = EntryRow) -> Flows:
    """The ledger's own sums; a counter-entry counts against the transfer that it takes back."""
    row: Any = table_of(model).c
    occurred = row.occurred_at
    if session.get_bind().dialect.name == "sqlite":
        month: ColumnElement[str] = func.strftime("%Y-%m", occurred)
    else:
        month = func.to_char(func.timezone("UTC", occurred), "YYYY-MM")
    keys = (row.currency, month, row.debit, row.credit, row.reverses.is_not(None))
    query = select(*keys, func.sum(row.amount)).group_by(*keys)
    flows: Flows = Counter()
    for currency, at, debit, credit, is_counter, amount in session.execute(query):
        if is_counter:
            flows[currency, at, credit, debit] -= int(amount)
        else:
            flows[currency, at, debit, credit] += int(amount)
    return flows


def _prove_open(session: Session, proof: Proof) -> None:
    """The balance at risk is what the open cases say, and every balance adds up to what failed."""
    is_open = col(CaseRow.state).in_([state.value for state in State if state.is_open])
    sums = select(col(CaseRow.currency), func.sum(col(CaseRow.amount_at_risk))).where(is_open)
    query = sums.group_by(col(CaseRow.currency))
    said = {currency: int(amount) for currency, amount in session.execute(query)}
    held = balances(session)
    for currency in sorted(said.keys() | held.keys()):
        accounts = Counter(held.get(currency, {}))
        at_risk = accounts[Account.AT_RISK.value]
        if at_risk != said.get(currency, 0):
            what = f"the ledger holds {at_risk} at risk, open cases say {said.get(currency, 0)}"
            proof.fault(LEDGER, f"{currency}: {what}")
        proof.currencies[currency] = {"opened": -accounts[Account.OWED.value]} | {
            name.value: accounts[name] for name in Account if name is not Account.OWED
        }
