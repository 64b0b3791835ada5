"""verify_all(): the whole ledger and every case, proved from the facts of the cases."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session

from dunning import closed, statements
from dunning.case_rows import read_facts
from dunning.core.entries import Account
from dunning.core.facts import Case
from dunning.core.notices import kind_of
from dunning.core.status import Status, status
from dunning.errors import DunningError
from dunning.ledger import LEDGER, Posting, Progress, Proof, posting_of, verify
from dunning.store import CaseRow


def verify_all(session: Session, progress: Progress | None = None) -> Proof:
    """Prove everything as of one moment; give it a session of `snapshot`.

    In a session that sees others commit meanwhile, their work could look like a fault.
    """
    proof = verify(session, read_posting, progress)
    prove_closed(session, proof)
    return proof


def prove_closed(session: Session, proof: Proof, *, entries: bool = True) -> None:
    """Prove the statements of closed periods; without `entries` only that they are as written."""
    for wrong in statements.faults(session, entries=entries):
        proof.fault(LEDGER, wrong)
    for case_id, wrong in closed.misplaced(session):
        proof.fault(case_id, wrong)


def read_posting(row: CaseRow, proof: Proof) -> Posting | None:
    """What the ledger should say of a case; a fault for each column that says something else."""
    try:
        case = read_facts(row)
        present = status(case)
    except (ValueError, TypeError, KeyError, AssertionError, DunningError) as error:
        # Its message may quote the facts, and with them a customer.
        proof.fault(row.id, f"the facts cannot be read: {type(error).__name__}")
        return None
    for wrong in _disagreements(row, case, present):
        proof.fault(row.id, wrong)
    return posting_of(case, present)


def _disagreements(row: CaseRow, case: Case, present: Status) -> Iterator[str]:
    """The columns that money, access and reports go by, each against the facts."""
    opened = sum(e.amount for e in present.books.entries if e.debit is Account.OWED)
    told = case.notice
    wanted = {
        "id": case.id,
        "kind": kind_of(case).value,
        "source": case.source,
        "invoice": case.invoice,
        "currency": case.currency if told is None else told.ahead.currency,
        "state": present.state.value,
        "access": present.access.value,
        "amount_due": opened,
        "amount_at_risk": present.at_risk,
        "opened_at": case.failed_at if told is None else case.noticed_at,
        "closed_at": present.ended_at,
        "closed_reason": present.reason or None,
    }
    for name, value in wanted.items():
        stored = getattr(row, name)
        if stored != value:
            yield f"{name} is {stored}, the facts say {value}"
