"""Prove the ledger from where it was proved last, or all of it, and remember how far that came.

Onward, a proof takes time by what is new: every case that got an entry since is proved wholly, and
so are the sums of what was added. What was proved before is not read again. Only a full proof finds
what somebody with every right on the database has changed in it since.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from dunning import ledger, recurring, rollups
from dunning.closed import alone
from dunning.core.entries import Account
from dunning.core.status import State
from dunning.ledger import LEDGER, Progress, Proof
from dunning.reports.proof import prove_closed, read_posting, verify_all
from dunning.reports.snapshot import snapshot
from dunning.rollups import Key, Sum
from dunning.store import CaseRow, EntryRow, ProofRow, RecurringRow, transaction

FULL, ONWARD = "full", "onward"


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof, what kind it was, and since when it took what had been proved for granted."""

    proof: Proof
    kind: str
    since: datetime | None = None

    def summary(self) -> dict[str, object]:
        """For programs."""
        since = self.since.isoformat().replace("+00:00", "Z") if self.since else None
        return {"kind": self.kind, "since": since, **self.proof.summary()}


def prove(
    engine: Engine, now: datetime, *, full: bool = False, progress: Progress | None = None
) -> Proved:
    """Prove what is new, or everything; when it holds, the next one goes on from here."""
    with alone(engine) as session:
        # No entry with a lower id can come any more.
        last = session.execute(select(func.max(col(EntryRow.id)))).scalar_one() or 0
        query = select(func.max(col(RecurringRow.id)))
        last_recurring = session.execute(query).scalar_one() or 0
    with snapshot(engine) as session:
        before = None if full else last_proof(session)
        if before is None:
            proved = Proved(verify_all(session, progress), FULL)
        else:
            proved = Proved(_onward(session, before, progress), ONWARD, before.at)
        totals = rollups.totals(session) if last else {}
        later = rollups.from_entries(session, after=last) if last else {}
    if proved.proof.holds:
        row = ProofRow(
            kind=proved.kind,
            at=now,
            last_entry=last,
            last_recurring=last_recurring,
            entries=proved.proof.rows,
            cases=proved.proof.cases,
            totals=_written(_less(totals, later)),
        )
        with transaction(engine) as session:
            session.add(row)
            session.flush()
    return proved


def last_proof(session: Session) -> ProofRow | None:
    """The newest proof that held."""
    return session.scalars(select(ProofRow).order_by(col(ProofRow.id).desc()).limit(1)).first()


def _onward(session: Session, before: ProofRow, progress: Progress | None) -> Proof:
    proof = Proof()
    if not ledger.guarded(session):
        proof.fault(LEDGER, "the database no longer refuses to change entries: a trigger is gone")
    new = select(col(EntryRow.case_id)).where(col(EntryRow.id) > before.last_entry)
    later = col(RecurringRow.id) > before.last_recurring
    names = sorted(session.scalars(new.union(select(col(RecurringRow.case_id)).where(later))))
    for start in range(0, len(names), ledger.CASES_A_BATCH):
        _prove_cases(session, proof, names[start : start + ledger.CASES_A_BATCH])
        if progress is not None:
            progress(proof.cases)
    _prove_sums(session, proof, before)
    prove_closed(session, proof, entries=False)
    return proof


def _prove_cases(session: Session, proof: Proof, names: list[str]) -> None:
    query = select(CaseRow).where(col(CaseRow.id).in_(names))
    cases = {
        case.id: case for case in session.scalars(query.execution_options(populate_existing=True))
    }
    stored, monthly = ledger.rows_of(session, names), recurring.rows_of(session, names)
    for name in names:
        if name not in cases:
            proof.rows += len(stored[name])
            count = len(stored[name]) + len(monthly[name])
            proof.fault(name, f"entries without a case: {count}")
            continue
        posting = read_posting(cases[name], proof)
        if posting is None:
            proof.cases += 1
            proof.rows += len(stored[name])
        else:
            ledger.prove_case(proof, posting, stored[name], monthly[name])


def _prove_sums(session: Session, proof: Proof, before: ProofRow) -> None:
    """What was added to the sums is what the new entries say, and at risk is what is open."""
    kept = rollups.totals(session)
    added = rollups.from_entries(session, after=before.last_entry)
    should = _less(kept, added)
    for key in sorted(_less(should, _read(before.totals))):
        words = " ".join(filter(None, (key.source, key.cause, key.how)))
        what = f"{key.currency} {key.month}, {key.debit} to {key.credit} ({words})"
        proof.fault(LEDGER, f"{what}: what was added to the sum is not what the new entries say")
    held: dict[str, Counter[str]] = {}
    for key, total in kept.items():
        accounts = held.setdefault(key.currency, Counter({name.value: 0 for name in Account}))
        accounts[key.debit] -= total.amount
        accounts[key.credit] += total.amount
    is_open = col(CaseRow.state).in_([state.value for state in State if state.is_open])
    sums = select(col(CaseRow.currency), func.sum(col(CaseRow.amount_at_risk))).where(is_open)
    said = {of: int(sum_) for of, sum_ in session.execute(sums.group_by(col(CaseRow.currency)))}
    for currency in sorted(held.keys() | said.keys()):
        accounts = held.get(currency, Counter())
        at_risk = accounts[Account.AT_RISK.value]
        if at_risk != said.get(currency, 0):
            what = f"the ledger holds {at_risk} at risk, open cases say {said.get(currency, 0)}"
            proof.fault(LEDGER, f"{currency}: {what}")
        proof.currencies[currency] = {"opened": -accounts[Account.OWED.value]} | {
            name.value: accounts[name.value] for name in Account if name is not Account.OWED
        }


# --- sums as they are remembered -------------------------------------------------------------


def _less(sums: dict[Key, Sum], others: dict[Key, Sum]) -> dict[Key, Sum]:
    """The difference, without what is nothing."""
    none = Sum(0, 0)
    found = {}
    for key in sums.keys() | others.keys():
        one, other = sums.get(key, none), others.get(key, none)
        left = Sum(one.amount - other.amount, one.entries - other.entries)
        if left != none:
            found[key] = left
    return found


def _written(sums: dict[Key, Sum]) -> str:
    return json.dumps([[*key, *sums[key]] for key in sorted(sums)], separators=(",", ":"))


def _read(text: str) -> dict[Key, Sum]:
    return {Key(*row[:7]): Sum(*row[7:]) for row in json.loads(text)}
