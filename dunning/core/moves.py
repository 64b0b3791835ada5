"""What moved the money of an invoice, each thing once and dated, however often it was told.

The same money is told by views of the invoice (sums so far), by payments and by charges that went
through; a credit by notes and by views; a refund singly and as a sum per charge. Here they become
one list; `core.entries` posts it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dunning.core.events import (
    Attempt,
    AttemptStatus,
    ChargeRefunded,
    DisputeReported,
    DisputeStatus,
    InvoiceStatus,
    OnCancel,
    RefundReported,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.merge import DEBITS, last_words


class Cause(enum.StrEnum):
    """Why money moved; `voided` and the like end a case, the others do not."""

    FAILED = "failed"
    ADOPTED = "adopted"  # failed before we were there, and taken over later
    PAID = "paid"
    CREDITED = "credited"
    VOIDED = "voided"
    CANCELLED = "cancelled"
    CUSTOMER_DELETED = "customer_deleted"
    CLOSED_BY_HAND = "closed_by_hand"
    GIVEN_UP = "given_up"
    WRITTEN_OFF_ELSEWHERE = "written_off_elsewhere"
    ENDED_FOR_NON_PAYMENT = "ended_for_non_payment"
    REFUND = "refund"
    DISPUTE = "dispute"


_SETTLED = (InvoiceStatus.PAID, InvoiceStatus.VOID)
# From closing the invoice to the end of the give_up step, crashes and outages included.
GIVING_UP_TAKES = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Something that moves money. `rank` orders what happened within one second."""

    at: datetime
    rank: int
    cause: Cause
    amount: int
    name: str
    back: bool = False


def moves(case: Case, failed_at: datetime) -> list[Move]:
    """Everything that moved the invoice's money, in order of time."""
    case, receipts = _without_strays(case, _receipts(case))
    notes = list(_credits(case))
    credited = sum(move.amount for move in notes)
    paid = list(_payments(case, receipts, credited))
    found = [
        *paid,
        *notes,
        *_endings(case, failed_at, paid),
        *_refunds(case, receipts, failed_at),
        *_disputes(case, receipts, failed_at),
    ]
    return sorted(found, key=lambda move: (move.at, move.rank, move.name))


# --- money that came in --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Receipt:
    """One payment, under every name it was told by; `by_charge` if only a charge told of it."""

    names: frozenset[str]
    at: datetime
    amount: int
    by_charge: bool


def _receipts(case: Case) -> list[_Receipt]:
    """Every single payment that was told of, each once."""
    told = [
        _Receipt(_names(payment.id, payment.charge), payment.at, payment.amount, by_charge=False)
        for payment in case.payments
    ]
    told += [
        _Receipt(
            _names(attempt.id, attempt.charge, attempt.payment_intent),
            _came_in(case, attempt),
            attempt.amount,
            by_charge=True,
        )
        for attempt in case.attempts
        if attempt.status is AttemptStatus.SUCCEEDED
    ]
    groups: list[list[_Receipt]] = []
    for receipt in told:
        same = [group for group in groups if any(one.names & receipt.names for one in group)]
        groups = [group for group in groups if group not in same]
        groups.append([receipt, *(one for group in same for one in group)])
    return [_one(group) for group in groups]


def _without_strays(case: Case, receipts: list[_Receipt]) -> tuple[Case, list[_Receipt]]:
    """Leave out charges the invoice was settled without, and what went back of them.

    A debit may go through when a credit note or the merchant's own hand has ended the debt already.
    The provider keeps such money for the customer: nothing was recovered by it, nothing is lost.
    """
    bill = case.bill
    if bill is None or bill.status not in _SETTLED:
        return case, receipts
    beyond = sum(receipt.amount for receipt in receipts) - bill.paid
    strays = frozenset[str]()
    for receipt in sorted(receipts, key=lambda one: (one.at, sorted(one.names)), reverse=True):
        if receipt.by_charge and receipt.amount <= beyond:
            beyond -= receipt.amount
            strays |= receipt.names
    if not strays:
        return case, receipts

    def ours(told: RefundReported | ChargeRefunded | DisputeReported) -> bool:
        return not strays & _names(told.charge, told.payment_intent)

    case = replace(
        case,
        refunds=tuple(filter(ours, case.refunds)),
        charge_refunds=tuple(filter(ours, case.charge_refunds)),
        disputes=tuple(filter(ours, case.disputes)),
    )
    return case, [receipt for receipt in receipts if not receipt.names & strays]


def left_out(case: Case, failed_at: datetime) -> frozenset[str]:
    """The names of payments that the ledger rightly leaves out.

    Those from before the failure were never at risk, and by strays nothing was settled.
    """
    receipts = _receipts(case)
    _, kept = _without_strays(case, receipts)
    out = (one for one in receipts if one not in kept or one.at < failed_at)
    return frozenset[str]().union(*(one.names for one in out))


def too_much(case: Case, credited: int) -> int:
    """What was paid beyond the bill less its credit notes: the customer's, and no recovery."""
    _, receipts = _without_strays(case, _receipts(case))
    paid = max(sum(one.amount for one in receipts), case.bill.paid if case.bill else 0)
    return max(paid - (case.gross - credited), 0)


def _one(group: Sequence[_Receipt]) -> _Receipt:
    """Several reports of one payment; the payment itself knows better than its charge."""
    best = [one for one in group if not one.by_charge] or group
    return _Receipt(
        names=frozenset[str]().union(*(one.names for one in group)),
        at=min(one.at for one in best),
        amount=max(one.amount for one in best),
        by_charge=best is group,
    )


def _came_in(case: Case, attempt: Attempt) -> datetime:
    """A bank debit is dated when it began: its money came when the invoice showed it, if it did."""
    if attempt.method_type not in DEBITS:
        return attempt.at
    shown = [at for _, at in case.paid_marks] + ([case.paid_at] if case.paid_at else [])
    return min((at for at in shown if at >= attempt.at), default=attempt.at)


def _names(*names: str | None) -> frozenset[str]:
    return frozenset(name for name in names if name)


def _payments(case: Case, receipts: Iterable[_Receipt], credited: int) -> Iterator[Move]:
    """What was paid when, from single payments and from the invoice's own running total."""
    singles = [(receipt.at, receipt.amount) for receipt in receipts]
    marks = case.paid_marks
    if case.paid_at is not None:
        marks += ((case.gross - credited, case.paid_at),)
    yield from _growth(Cause.PAID, 2, "paid", singles, marks)


def _credits(case: Case) -> Iterator[Move]:
    """What credit notes took off the debt; a voided one is as if it had never been issued."""
    singles = [(note.credited_at, note.amount) for note in case.credits if note.live]
    marks = case.credit_marks
    most = None
    if case.bill is not None and case.bill_at is not None:
        most = case.bill.credited - _voided_by_then(case, case.bill_at)
        marks += ((case.bill.credited, case.bill_at),)
    totals = [(total - _voided_by_then(case, at), at) for total, at in marks]
    standing = tuple((total, at) for total, at in totals if most is None or total <= most)
    yield from _growth(Cause.CREDITED, 1, "credited", singles, standing)


def _voided_by_then(case: Case, at: datetime) -> int:
    """What a view of that moment counts of credit notes that were voided after it."""
    gone = (note for note in case.credits if not note.live)
    return sum(note.amount for note in gone if note.credited_at <= at < note.at)


def _growth(
    cause: Cause,
    rank: int,
    name: str,
    singles: Sequence[tuple[datetime, int]],
    marks: tuple[tuple[int, datetime], ...],
) -> Iterator[Move]:
    """Each rise of a running total that is told both piece by piece and as sums so far."""
    times = sorted({at for at, _ in singles} | {at for _, at in marks})
    reached = 0
    for now in times:
        pieces = sum(amount for at, amount in singles if at <= now)
        total = max([pieces, *(mark for mark, at in marks if at <= now)])
        if total > reached:
            yield Move(
                at=now, rank=rank, cause=cause, amount=total - reached, name=f"{name}/{total}"
            )
            reached = total


# --- the end of the debt -------------------------------------------------------------------


def _endings(case: Case, failed_at: datetime, paid: Sequence[Move]) -> Iterator[Move]:
    """Everything that says the debt is no longer pursued, in whoever's words."""

    def ending(cause: Cause, at: datetime | None) -> Iterator[Move]:
        if at is not None:
            moment = max(at, failed_at)
            yield Move(at=moment, rank=3, cause=cause, amount=case.gross, name=cause.value)

    given_up = given_up_at(case)
    for cause, at in (
        (Cause.VOIDED, case.voided_at),
        (Cause.WRITTEN_OFF_ELSEWHERE, case.uncollectible_at),
    ):
        # Giving up may itself void the invoice or write it off: the debt is lost, in our words.
        if at is not None and (given_up is None or given_up - at > GIVING_UP_TAKES):
            yield from ending(cause, at)
    yield from ending(Cause.GIVEN_UP, given_up)
    yield from ending(Cause.CUSTOMER_DELETED, case.customer_deleted_at)
    by_hand = case.closed_by_hand
    yield from ending(Cause.CLOSED_BY_HAND, by_hand.at if by_hand else None)
    end = case.end
    if end is not None and not end.by_us:
        if end.reason == "payment_failed":
            yield from ending(Cause.ENDED_FOR_NON_PAYMENT, end.at)
        elif not _owed_all_the_same(case, end.at, paid):
            yield from ending(Cause.CANCELLED, end.at)


def _owed_all_the_same(case: Case, cancelled_at: datetime, paid: Sequence[Move]) -> bool:
    """Whether the policy pursues the debt of a customer who has cancelled."""
    partly = any(move.at <= cancelled_at for move in paid)
    said = case.terms.on_cancel
    return said is OnCancel.KEEP or (said is OnCancel.VOID_IF_WHOLLY_UNPAID and partly)


def given_up_at(case: Case) -> datetime | None:
    """When our own give_up step ended the case."""
    times = [
        step.at
        for step in case.done
        if step.kind is StepKind.GIVE_UP and step.result is StepResult.DONE
    ]
    return min(times, default=None)


# --- money that went back ------------------------------------------------------------------


def _paid_at(receipts: Iterable[_Receipt], *names: str | None) -> datetime | None:
    """When the payment came in that goes by one of these names; None when it is not known."""
    return next((one.at for one in receipts if one.names & _names(*names)), None)


def _refunds(case: Case, receipts: Iterable[_Receipt], failed_at: datetime) -> Iterator[Move]:
    """Money given back; a refund that failed later is as if it had never been made.

    What was paid before the failure was never at risk, so giving it back moves nothing here.
    """
    for refund in case.refunds:
        paid_at = _paid_at(receipts, refund.charge, refund.payment_intent)
        if refund.live and (paid_at is None or paid_at >= failed_at):
            yield _back(f"refund/{refund.refund}", refund.refunded_at, refund.amount)
    for told in case.charge_refunds:
        paid_at = _paid_at(receipts, told.charge, told.payment_intent)
        if paid_at is None or paid_at >= failed_at:
            names = _names(told.charge, told.payment_intent)
            singly = sum(
                refund.amount
                for refund in case.refunds
                if names & _names(refund.charge, refund.payment_intent)
                and refund.refunded_at <= told.at
                and (refund.live or refund.at > told.at)
            )
            if told.amount > singly:
                yield _back(f"refund/{told.charge}", told.at, told.amount - singly)


def _back(name: str, at: datetime, amount: int) -> Move:
    return Move(at=at, rank=4, cause=Cause.REFUND, amount=amount, name=name)


def _disputes(case: Case, receipts: Iterable[_Receipt], failed_at: datetime) -> Iterator[Move]:
    """Money taken back by the cardholder's bank, and returned when the dispute is won.

    An inquiry takes nothing, and ends as won without money coming back.
    """
    told = {(report.dispute, report.status): report for report in case.disputes}
    for last in last_words(case.disputes):
        taken = told.get((last.dispute, DisputeStatus.OPEN)) or told.get(
            (last.dispute, DisputeStatus.LOST)
        )
        paid_at = _paid_at(receipts, last.charge, last.payment_intent)
        if taken is None or (paid_at is not None and paid_at < failed_at):
            continue
        asked = told.get((last.dispute, DisputeStatus.INQUIRY))
        at = max(
            taken.opened_at, asked.at if asked else taken.opened_at, paid_at or taken.opened_at
        )
        name = f"dispute/{last.dispute}"
        yield Move(at=at, rank=5, cause=Cause.DISPUTE, amount=taken.amount, name=name)
        if last.status is DisputeStatus.WON:
            yield Move(
                at=max(at, last.at),
                rank=6,
                cause=Cause.DISPUTE,
                amount=taken.amount,
                name=name,
                back=True,
            )
