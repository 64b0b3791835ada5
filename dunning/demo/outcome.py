"""What a demo came to: counts, the ledger, and the proof that two sets of books agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from dunning import ledger
from dunning.core.attribution import is_ours
from dunning.core.bookings import Booking
from dunning.core.entries import Account
from dunning.core.events import StepKind, StepResult
from dunning.core.words import Kind
from dunning.demo.stage import Stage
from dunning.reports import snapshot
from dunning.reports.both_books import Question
from dunning.reports.proof import verify_all
from dunning.store import CaseRow, EntryRow, InboxRow, MessageRow, StepRow
from dunning.tieout import ask_providers

CHARGED = ("done", "declined", "action_needed", "processing")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The report of a run; `data` is what `--format json` prints."""

    data: dict[str, Any]
    differences: list[str]
    said: list[Booking]  # what the provider's API says was paid, refunded and disputed


def outcome(stage: Stage, *, seed: int, customers: int, days: int, seconds: float) -> Outcome:
    """Read both sets of books and compare them, invoice by invoice, to the minor unit."""
    books = stage.company.order("books")
    tied, said = tie_out(stage)
    with snapshot(stage.program.engine) as session:
        balances = ledger.balances(session)
        proof = verify_all(session)
        differences = compare(books["invoices"], _our_invoices(session))
        came_by = _recovered_by(session)
        data: dict[str, Any] = {
            "seed": seed,
            "customers": customers,
            "days": days,
            "webhooks_received": _count(session, InboxRow),
            "webhooks_parked": _count(session, InboxRow, col(InboxRow.state) == "parked"),
            "cases": _by(session, col(CaseRow.state), col(CaseRow.kind) == Kind.RECOVERY.value),
            "retries": _steps(session, StepKind.RETRY, CHARGED),
            "emails": _count(session, MessageRow, col(MessageRow.state) == "sent"),
            "notices": _notices(session),
            "emails_by_template": _by(session, col(MessageRow.template)),
            "suspensions": _steps(session, StepKind.SUSPEND, ("done",)),
            "restorations": _steps(session, StepKind.RESTORE, ("done",)),
            "ledger": balances,
            "recovered": {c: sums[Account.RECOVERED] for c, sums in balances.items()},
            "recovered_by": came_by,
            "of_which_ours": {currency: claimed(sums) for currency, sums in came_by.items()},
            "lost": {c: sums[Account.LOST] for c, sums in balances.items()},
            "at_risk": {c: sums[Account.AT_RISK] for c, sums in balances.items()},
            "identity_holds": proof.holds,
            "agrees_with_billing_system": not differences,
            "ties_out": not tied,
            "charged_twice": _charged_twice(books["invoices"]),
            "emails_after_payment": _emails_after_payment(session, books["invoices"]),
            "emails_doubtful": _steps(session, StepKind.EMAIL, (StepResult.DOUBTFUL.value,)),
            "seconds": round(seconds, 2),
        }
    faults = [f"{case}: {what}" for case, what in proof.faults]
    return Outcome(data, [*differences, *tied, *faults], said)


def tie_out(stage: Stage) -> tuple[list[str], list[Booking]]:
    """The report that finance has, by the API: every row of it, and what the provider said."""
    program, said = stage.program, list[Booking]()
    now = program.clock.now()
    report, _ = ask_providers(program.engine, program.providers, Question(), now, keep=said.extend)
    rows = (
        f"{row['invoice']}: {row['kind']} {row['provider']} at the provider's API and "
        f"{row['ledger']} in our ledger: {row['cause']}"
        for row in report.rows
    )
    return list(rows), said


def compare(theirs: Mapping[str, Any], ours: Mapping[str, dict[str, Any]]) -> list[str]:
    """Every difference between the billing system's books and our ledger, in words."""
    found = []
    for invoice, line in sorted(theirs.items()):
        if line["first_failed_at"] is None or line["amount_due"] == 0:
            continue
        mine = ours.get(invoice)
        if mine is None:
            found.append(f"{invoice} failed at the billing system, and we have no case")
            continue
        expected = {
            "currency": line["currency"],
            "opened": line["amount_due"],
            "paid": line["amount_paid"],
            "refunded": line["refunded"],
            "disputed": line["disputed"],
            "owed": line["amount_remaining"] if mine["open"] else 0,
        }
        found += [
            f"{invoice}: {name} is {value} there and {mine[name]} in our ledger"
            for name, value in expected.items()
            if mine[name] != value
        ]
    failed = {invoice for invoice, line in theirs.items() if line["first_failed_at"] is not None}
    found += [f"{invoice}: a case of ours, but it never failed" for invoice in ours.keys() - failed]
    return found


def _our_invoices(session: Session) -> dict[str, dict[str, Any]]:
    lines: dict[str, dict[str, Any]] = {}
    by_case: dict[str, dict[str, Any]] = {}
    for row in session.scalars(select(CaseRow).where(col(CaseRow.kind) == Kind.RECOVERY.value)):
        line: dict[str, Any] = dict.fromkeys(("opened", "paid", "refunded", "disputed", "owed"), 0)
        line |= {"currency": row.currency, "open": row.closed_at is None}
        lines[row.invoice] = by_case[row.id] = line
    for entry in session.scalars(select(EntryRow)):
        line, amount = by_case[entry.case_id], entry.amount
        sign = -1 if entry.reverses else 1
        pair = (entry.debit, entry.credit) if sign > 0 else (entry.credit, entry.debit)
        for account, change in ((pair[0], -sign * amount), (pair[1], sign * amount)):
            if account in (Account.REFUNDED, Account.DISPUTED):
                line[account] += change
            elif account == Account.AT_RISK:
                line["owed"] += change
        if pair[0] == Account.OWED:
            line["opened"] += sign * amount
        if pair[1] == Account.RECOVERED and pair[0] not in (Account.REFUNDED, Account.DISPUTED):
            line["paid"] += sign * amount
    return lines


def _charged_twice(invoices: Mapping[str, Any]) -> int:
    return sum(
        1
        for line in invoices.values()
        if line["successful_charges"] > 1 and line["amount_paid"] > line["amount_due"]
    )


def _emails_after_payment(session: Session, invoices: Mapping[str, Any]) -> int:
    """Messages about a debt that left after the billing system had its money."""
    rows = session.execute(
        select(col(MessageRow.at), col(CaseRow.invoice))
        .join(CaseRow, col(CaseRow.id) == col(MessageRow.case_id))
        .where(col(MessageRow.state) == "sent", col(MessageRow.template) != "recovered")
    ).all()
    paid_at = {invoice: line["paid_at"] for invoice, line in invoices.items()}
    return sum(
        1 for at, invoice in rows if (paid := paid_at.get(invoice)) and at.timestamp() > paid
    )


def _recovered_by(session: Session) -> dict[str, dict[str, int]]:
    query = select(
        col(EntryRow.currency),
        col(EntryRow.how),
        col(EntryRow.reverses).is_not(None),
        func.sum(col(EntryRow.amount)),
    )
    found: dict[str, Counter[str]] = {}
    paid = query.where(col(EntryRow.cause) == "paid").group_by(
        col(EntryRow.currency), col(EntryRow.how), col(EntryRow.reverses).is_not(None)
    )
    for currency, how, reversed_, amount in session.execute(paid):
        found.setdefault(currency, Counter())[how] += -int(amount) if reversed_ else int(amount)
    return {currency: {h: a for h, a in sums.items() if a} for currency, sums in found.items()}


def claimed(sums: Mapping[str, int]) -> int:
    """What of it an act of ours brought in: the rest is shown and never claimed."""
    return sum(amount for how, amount in sums.items() if is_ours(how))


def _count(session: Session, table: Any, *conditions: Any) -> int:
    query = select(func.count()).select_from(table).where(*conditions)
    return int(session.execute(query).scalar_one())


def _notices(session: Session) -> dict[str, int]:
    """How many messages told of what lies ahead, by what that is."""
    query = (
        select(col(CaseRow.kind), func.count())
        .join(MessageRow, col(MessageRow.case_id) == col(CaseRow.id))
        .where(col(CaseRow.kind) != Kind.RECOVERY.value, col(MessageRow.state) == "sent")
        .group_by(col(CaseRow.kind))
    )
    return {kind: int(count) for kind, count in session.execute(query)}


def _by(session: Session, column: Any, *conditions: Any) -> dict[str, int]:
    query = select(column, func.count()).where(*conditions).group_by(column).order_by(column)
    return {str(value): int(count) for value, count in session.execute(query)}


def _steps(session: Session, kind: StepKind, results: tuple[str, ...]) -> int:
    return _count(
        session, StepRow, col(StepRow.kind) == kind.value, col(StepRow.result).in_(results)
    )
