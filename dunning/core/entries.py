"""Ledger entries, and the sums that come of them.

An entry is one transfer between two accounts. The entries of a case are computed whole from its
facts, so the same facts always give the same entries; `ledger` records what is new and corrects
what changed by a counter-entry. Accounts:

    owed -> at_risk -> recovered | lost | withdrawn      lost, withdrawn -> recovered (late)
    recovered -> refunded | disputed, and back
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from dunning.core.attribution import mechanism
from dunning.core.events import AttemptStatus, DisputeStatus, StepKind, StepResult
from dunning.core.facts import Case


class Account(enum.StrEnum):
    """Where the money of an unpaid invoice stands."""

    OWED = "owed"
    AT_RISK = "at_risk"
    RECOVERED = "recovered"
    LOST = "lost"
    WITHDRAWN = "withdrawn"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


class Cause(enum.StrEnum):
    """Why money moved; `voided` and the like end a case, the others do not."""

    FAILED = "failed"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One transfer of a positive amount, in minor units of the case's currency."""

    key: str
    debit: Account
    credit: Account
    amount: int
    cause: Cause
    at: datetime
    how: str = ""  # for money recovered: what brought it in, see `core.attribution`


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything the ledger should say of one case, and where the money stands after it."""

    entries: tuple[Entry, ...] = ()
    balances: dict[Account, int] = field(default_factory=dict)
    ended_at: datetime | None = None  # when nothing was left at risk
    ended_by: Cause | None = None  # what took the last of it

    def balance(self, account: Account) -> int:
        """What the account holds, in minor units."""
        return self.balances.get(account, 0)


@dataclass(frozen=True, slots=True)
class _Move:
    """Something that may move money; `total` is cumulative for payments, credits and refunds."""

    at: datetime
    rank: int
    cause: Cause
    amount: int
    name: str
    back: bool = False


def books(case: Case) -> Books:
    """Compute the entries of a case. Nothing failed, or nothing was left to fail: no entries."""
    if case.failed_at is None:
        return Books()
    failed_at = case.failed_at
    moves = sorted(_moves(case, failed_at), key=lambda m: (m.at, m.rank, m.name))
    settled = (Cause.PAID, Cause.CREDITED)
    before = sum(m.amount for m in moves if m.at < failed_at and m.cause in settled)
    opened = case.gross - before
    if opened <= 0 or (case.paid_at is not None and case.paid_at < failed_at):
        return Books()
    sheet = _Sheet(case)
    sheet.move("opened", Account.OWED, Account.AT_RISK, opened, Cause.FAILED, failed_at)
    for move in moves:
        if move.at >= failed_at:
            _post(sheet, move)
    return sheet.books()


class _Sheet:
    """The running balances while the entries of one case are written down."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.entries: list[Entry] = []
        self.balances: dict[Account, int] = {}
        self.ended: tuple[datetime, Cause] | None = None

    def move(
        self, name: str, debit: Account, credit: Account, amount: int, cause: Cause, at: datetime
    ) -> int:
        """Move at most what the debit account holds; return how much that was."""
        held = amount if debit is Account.OWED else min(amount, self.balances.get(debit, 0))
        if held <= 0:
            return 0
        self.entries.append(
            Entry(
                key=f"{self.case.id}/{name}:{debit.value}",
                debit=debit,
                credit=credit,
                amount=held,
                cause=cause,
                at=at,
                how=mechanism(self.case, at) if cause is Cause.PAID else "",
            )
        )
        if debit is not Account.OWED:
            self.balances[debit] -= held
        self.balances[credit] = self.balances.get(credit, 0) + held
        if debit is Account.AT_RISK and self.balances[debit] == 0:
            self.ended = (at, cause)
        return held

    def books(self) -> Books:
        ended_at, ended_by = self.ended or (None, None)
        return Books(
            entries=tuple(self.entries),
            balances=dict(self.balances),
            ended_at=ended_at,
            ended_by=ended_by,
        )


_WITHDRAWS = frozenset(
    (Cause.VOIDED, Cause.CANCELLED, Cause.CUSTOMER_DELETED, Cause.CLOSED_BY_HAND)
)
_LOSES = frozenset((Cause.GIVEN_UP, Cause.WRITTEN_OFF_ELSEWHERE, Cause.ENDED_FOR_NON_PAYMENT))


def _post(sheet: _Sheet, move: _Move) -> None:
    """Turn one move into entries, clamped to what there is."""
    cause, at, name = move.cause, move.at, move.name
    if cause is Cause.PAID:
        left = move.amount
        # Money that comes late is taken from where the debt was put in the meantime.
        for pot in (Account.AT_RISK, Account.LOST, Account.WITHDRAWN):
            left -= sheet.move(name, pot, Account.RECOVERED, left, cause, at)
    elif cause is Cause.CREDITED:
        left = move.amount
        for pot in (Account.AT_RISK, Account.LOST):
            left -= sheet.move(name, pot, Account.WITHDRAWN, left, cause, at)
    elif cause in _WITHDRAWS:
        sheet.move(name, Account.AT_RISK, Account.WITHDRAWN, move.amount, cause, at)
    elif cause in _LOSES:
        sheet.move(name, Account.AT_RISK, Account.LOST, move.amount, cause, at)
    else:
        pot = Account.REFUNDED if cause is Cause.REFUND else Account.DISPUTED
        pair = (pot, Account.RECOVERED) if move.back else (Account.RECOVERED, pot)
        sheet.move(name, *pair, move.amount, cause, at)


def _moves(case: Case, failed_at: datetime) -> Iterator[_Move]:
    yield from _payments(case)
    yield from _credits(case)
    yield from _endings(case, failed_at)
    yield from _refunds(case)
    yield from _disputes(case)


def _payments(case: Case) -> Iterator[_Move]:
    """What was paid when, from single payments and from the invoice's own running total."""
    singles = {payment.id: (payment.at, payment.amount) for payment in case.payments}
    known = set(singles) | {payment.charge for payment in case.payments}
    for attempt in case.attempts:
        # A charge that went through is a payment, unless the payment itself was told of.
        names = {attempt.payment_intent, attempt.charge, attempt.id} - {None}
        if attempt.status is AttemptStatus.SUCCEEDED and known.isdisjoint(names):
            singles[attempt.payment_intent or attempt.id] = (attempt.at, attempt.amount)
    paid = ((case.gross, case.paid_at),) if case.paid_at else ()
    credited = sum(note.amount for note in case.credits if note.live)
    whole = tuple((total - credited, at) for total, at in paid)
    yield from _growth(Cause.PAID, 2, "paid", sorted(singles.values()), case.paid_marks + whole)


def _credits(case: Case) -> Iterator[_Move]:
    """What credit notes took off the debt."""
    notes = sorted((note.credited_at, note.amount) for note in case.credits if note.live)
    told = sum(note.amount for note in case.credits)
    marks = tuple((total, at) for total, at in case.credit_marks if total > told)
    yield from _growth(Cause.CREDITED, 1, "credited", notes, marks)


def _growth(
    cause: Cause,
    rank: int,
    name: str,
    singles: list[tuple[datetime, int]],
    marks: tuple[tuple[int, datetime], ...],
) -> Iterator[_Move]:
    """Each rise of a running total that is told both piece by piece and as sums so far."""
    times = sorted({at for at, _ in singles} | {at for _, at in marks})
    reached = 0
    for now in times:
        pieces = sum(amount for at, amount in singles if at <= now)
        total = max([pieces, *(mark for mark, at in marks if at <= now)])
        if total > reached:
            yield _Move(now, rank, cause, total - reached, f"{name}/{total}")
            reached = total


def _endings(case: Case, failed_at: datetime) -> Iterator[_Move]:
    """Everything that says the debt is no longer pursued, in whoever's words."""

    def ending(cause: Cause, at: datetime | None) -> Iterator[_Move]:
        if at is not None:
            yield _Move(max(at, failed_at), 3, cause, case.gross, cause.value)

    yield from ending(Cause.VOIDED, None if _voided_by_us(case) else case.voided_at)
    yield from ending(Cause.CUSTOMER_DELETED, case.customer_deleted_at)
    by_hand = case.closed_by_hand
    yield from ending(Cause.CLOSED_BY_HAND, by_hand.at if by_hand else None)
    given_up = given_up_at(case)
    yield from ending(Cause.GIVEN_UP, given_up)
    if given_up is None:
        yield from ending(Cause.WRITTEN_OFF_ELSEWHERE, case.uncollectible_at)
    end = case.end
    if end is not None and not end.by_us:
        involuntary = end.reason == "payment_failed"
        cause = Cause.ENDED_FOR_NON_PAYMENT if involuntary else Cause.CANCELLED
        yield from ending(cause, end.at)


def given_up_at(case: Case) -> datetime | None:
    """When our own give_up step ended the case."""
    times = [
        step.at
        for step in case.done
        if step.kind is StepKind.GIVE_UP and step.result is StepResult.DONE
    ]
    return min(times, default=None)


def _voided_by_us(case: Case) -> bool:
    # Giving up may void the invoice: the debt is then lost, not withdrawn.
    given_up = given_up_at(case)
    return given_up is not None


def _refunds(case: Case) -> Iterator[_Move]:
    """Money given back; a refund that failed later is as if it had never been made."""
    single = {refund.charge for refund in case.refunds}
    for refund in case.refunds:
        if refund.live:
            name = f"refund/{refund.refund}"
            yield _Move(refund.refunded_at, 4, Cause.REFUND, refund.amount, name)
    for told in case.charge_refunds:
        if told.charge not in single and told.amount > 0:
            yield _Move(told.at, 4, Cause.REFUND, told.amount, f"refund/{told.charge}")


def _disputes(case: Case) -> Iterator[_Move]:
    """Money taken back by the cardholder's bank, and returned when the dispute is won."""
    for told in case.disputes:
        name = f"dispute/{told.dispute}"
        if told.status is not DisputeStatus.INQUIRY:
            yield _Move(told.opened_at, 5, Cause.DISPUTE, told.amount, name)
        if told.status is DisputeStatus.WON:
            at = max(told.at, told.opened_at)
            yield _Move(at, 6, Cause.DISPUTE, told.amount, name, back=True)
