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

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from dunning import rollups
from dunning.clock import rfc3339
from dunning.core.attribution import TOUCH, as_booked, told_of
from dunning.core.entries import Account, Entry
from dunning.core.identity import TRANSFERS, Flows, add_entries, broken_months, differences
from dunning.core.status import State
from dunning.desk import Desk, Line
from dunning.store import CaseRow, EntryRow


@dataclass(frozen=True, slots=True)
class Posting:
    """What the ledger should say of one case, in full."""

    case_id: str
    source: str
    currency: str
    entries: Sequence[Entry]


def record(desk: Desk, posting: Posting, now: datetime) -> int:
    """Append whatever makes the ledger say what the posting says; how many lines that took."""
    stored = desk.entries.get(posting.case_id) or ()
    added = _difference(posting, stored, now)
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


def _difference(posting: Posting, stored: Sequence[EntryRow | Line], now: datetime) -> list[Line]:
    """The lines that are missing, and the counter-entries of those that no longer hold."""
    after = max((row.place for row in stored), default=0)
    standing: dict[str, EntryRow | Line] = {}
    revisions: defaultdict[str, int] = defaultdict(int)
    for row in stored:
        revisions[row.base] += 1
        if row.reverses:
            standing.pop(row.base, None)
        else:
            standing[row.base] = row
    wanted = {entry.key: entry for entry in posting.entries}
    lines: list[Line] = []
    for base, row in standing.items():
        entry = wanted.get(base)
        if entry is None or not _same(row, entry, posting.currency):
            revisions[base] += 1
            lines.append(_counter(row, revisions[base], after + len(lines) + 1, now))
    for base, entry in wanted.items():
        known = standing.get(base)
        if known is None or not _same(known, entry, posting.currency):
            revisions[base] += 1
            lines.append(_fresh(posting, entry, revisions[base], after + len(lines) + 1, now))
    return lines


def _same(row: EntryRow | Line, entry: Entry, currency: str) -> bool:
    return (
        row.debit == entry.debit
        and row.credit == entry.credit
        and row.amount == entry.amount
        and row.currency == currency
        and row.occurred_at == entry.at
        and row.cause == entry.cause
        and as_booked(row, entry.how, entry.touch)
    )


def _key(base: str, revision: int) -> str:
    return base if revision == 1 else f"{base}#{revision}"


def _fresh(posting: Posting, entry: Entry, revision: int, place: int, now: datetime) -> Line:
    return Line(
        key=_key(entry.key, revision),
        base=entry.key,
        case_id=posting.case_id,
        place=place,
        source=posting.source,
        debit=entry.debit.value,
        credit=entry.credit.value,
        amount=entry.amount,
        currency=posting.currency,
        cause=entry.cause.value,
        how=entry.how,
        occurred_at=entry.at,
        recorded_at=now,
        reverses=None,
        **told_of(entry.touch),
    )


def _counter(row: EntryRow | Line, revision: int, place: int, now: datetime) -> Line:
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
        **{name: getattr(row, name) for name in TOUCH},
    )


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


# Whether the database itself refuses to change, delete and skip entries.
guarded = rollups.guarded


# --- export --------------------------------------------------------------------------------

EXPORTED = (
    "id key base case place source debit credit amount currency cause how occurred_at recorded_at "
    "reverses posted_at closed_period email_step email_template email_at click click_at"
).split()


def export(session: Session, batch: int = 5000) -> Iterator[dict[str, object]]:
    """Every entry in the order of its id, as a program reads it; flat memory."""
    table = EntryRow.__table__  # type: ignore[attr-defined]
    last = 0
    while True:
        query = select(table).where(table.c.id > last).order_by(table.c.id).limit(batch)
        found = session.execute(query).mappings().all()
        for row in found:
            told: dict[str, object] = {
                name: row["case_id" if name == "case" else name] for name in EXPORTED
            }
            for name in ("occurred_at", "recorded_at", "posted_at", "email_at", "click_at"):
                told[name] = rfc3339(row[name])
            yield told
        if len(found) < batch:
            return
        last = found[-1]["id"]


# --- proof ---------------------------------------------------------------------------------


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
            "faults": [{"case": case_id, "fault": what} for case_id, what in self.faults],
            "more_faults": self.more_faults,
        }


def prove_case(proof: Proof, posting: Posting, rows: Sequence[EntryRow]) -> None:
    """Prove the rows of one case against its facts: every transfer, every correction, the sum."""
    proof.cases += 1
    proof.rows += len(rows)
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
    for missing in _difference(posting, rows, datetime.min.replace(tzinfo=UTC)):
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
    by_facts: Flows = Counter()
    for cases in _batches(session):
        stored = rows_of(session, [case.id for case in cases])
        for case in cases:
            posting = read_posting(case, proof)
            if posting is None:
                proof.cases += 1
                proof.rows += len(stored[case.id])
                continue
            prove_case(proof, posting, stored[case.id])
            add_entries(by_facts, posting.currency, posting.entries)
        if progress is not None:
            progress(proof.cases)
    _prove_strays(session, proof)
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


def _flows(session: Session) -> Flows:
    """The ledger's own sums; a counter-entry counts against the transfer that it takes back."""
    occurred = col(EntryRow.occurred_at)
    if session.get_bind().dialect.name == "sqlite":
        month: ColumnElement[str] = func.strftime("%Y-%m", occurred)
    else:
        month = func.to_char(func.timezone("UTC", occurred), "YYYY-MM")
    accounts = (col(EntryRow.debit), col(EntryRow.credit))
    keys = (col(EntryRow.currency), month, *accounts, col(EntryRow.reverses).is_not(None))
    query = select(*keys, func.sum(col(EntryRow.amount))).group_by(*keys)
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
