"""Ledger entries, and the sums that come of them.

An entry is one transfer between two accounts. The entries of a case are computed whole from its
facts, so the same facts always give the same entries; `ledger` records what is new and corrects
what changed by a counter-entry. Accounts:

    owed -> at_risk -> recovered | lost | withdrawn      lost, withdrawn -> recovered (late)
    recovered -> refunded | disputed, and back
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from dunning.core.attribution import Touch, mechanism, touched
from dunning.core.facts import Case
from dunning.core.moves import Cause, Move, moves

__all__ = ["Account", "Books", "Cause", "Entry", "books"]


class Account(enum.StrEnum):
    """Where the money of an unpaid invoice stands."""

    OWED = "owed"
    AT_RISK = "at_risk"
    RECOVERED = "recovered"
    LOST = "lost"
    WITHDRAWN = "withdrawn"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


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
    touch: Touch | None = None  # and what the customer had last heard and done by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Everything the ledger should say of one case, and where the money stands after it."""

    entries: tuple[Entry, ...] = ()
    balances: dict[Account, int] = field(default_factory=dict)
    ended_at: datetime | None = None  # when nothing was left at risk
    ended_by: Cause | None = None  # what took the last of it
    forgiven: int = 0  # taken off by credit notes, whatever it was by then

    def balance(self, account: Account) -> int:
        """What the account holds, in minor units."""
        return self.balances.get(account, 0)


_SETTLES = (Cause.PAID, Cause.CREDITED)


def books(case: Case) -> Books:
    """Compute the entries of a case. Nothing failed, or nothing was left to fail: no entries."""
    failed_at = case.failed_at
    if failed_at is None or (case.paid_at is not None and case.paid_at < failed_at):
        return Books()
    told = moves(case, failed_at)
    settled = [move for move in told if move.cause in _SETTLES]
    opened = case.gross - sum(move.amount for move in settled if move.at < failed_at)
    # The view of the invoice that tells of the failure tells of what was paid before it, too.
    at_once = sum(move.amount for move in settled if move.at == failed_at)
    before = at_once < opened
    if before:
        opened -= at_once
    if opened <= 0:
        return Books()
    sheet = _Sheet(case)
    cause = Cause.ADOPTED if case.adopted else Cause.FAILED
    sheet.move("opened", Account.OWED, Account.AT_RISK, opened, cause, failed_at)
    for move in told:
        if move.at > failed_at or (move.at == failed_at and not (before and move in settled)):
            _post(sheet, move)
    return sheet.books()


class _Sheet:
    """The running balances while the entries of one case are written down."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.entries: list[Entry] = []
        self.balances: dict[Account, int] = {}
        self.ended: tuple[datetime, Cause] | None = None
        self.forgiven = 0  # taken off by credit notes: nobody can pay this part any more
        self.overpaid = 0  # of what was forgiven, paid nevertheless: the first to go back
        self.disputed: dict[str, int] = {}  # how much of that a dispute has taken
        self.owing: list[Move] = []  # refunds of money that has not been seen to come in yet
        self.parts: Counter[str] = Counter()

    def move(
        self, name: str, debit: Account, credit: Account, amount: int, cause: Cause, at: datetime
    ) -> int:
        """Move at most what the debit account holds; return how much that was."""
        held = amount if debit is Account.OWED else min(amount, self.balances.get(debit, 0))
        if held <= 0:
            return 0
        key = f"{self.case.id}/{name}:{debit.value}"
        self.parts[key] += 1
        part = self.parts[key]
        self.entries.append(
            Entry(
                key=key if part == 1 else f"{key}/{part}",
                debit=debit,
                credit=credit,
                amount=held,
                cause=cause,
                at=at,
                how=mechanism(self.case, at) if cause is Cause.PAID else "",
                touch=touched(self.case, at) if cause is Cause.PAID else None,
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
            forgiven=self.forgiven,
        )


_WITHDRAWS = frozenset(
    (Cause.VOIDED, Cause.CANCELLED, Cause.CUSTOMER_DELETED, Cause.CLOSED_BY_HAND)
)
_LOSES = frozenset((Cause.GIVEN_UP, Cause.WRITTEN_OFF_ELSEWHERE, Cause.ENDED_FOR_NON_PAYMENT))


def _post(sheet: _Sheet, move: Move) -> None:
    """Turn one move into entries, clamped to what there is."""
    cause, at, name = move.cause, move.at, move.name
    if cause is Cause.PAID:
        _paid(sheet, move)
    elif cause is Cause.CREDITED:
        left = move.amount
        for pot in (Account.AT_RISK, Account.LOST):
            left -= sheet.move(name, pot, Account.WITHDRAWN, left, cause, at)
        sheet.forgiven += move.amount
    elif cause in _WITHDRAWS:
        sheet.move(name, Account.AT_RISK, Account.WITHDRAWN, move.amount, cause, at)
    elif cause in _LOSES:
        sheet.move(name, Account.AT_RISK, Account.LOST, move.amount, cause, at)
    elif cause is Cause.REFUND:
        _refund(sheet, move, at)
    elif move.back:
        over = sheet.disputed.pop(name, 0)
        sheet.overpaid += over
        sheet.move(name, Account.DISPUTED, Account.RECOVERED, move.amount - over, cause, at)
        _refund_the_rest(sheet, at)
    else:
        over = sheet.disputed[name] = _of_overpaid(sheet, move.amount)
        sheet.move(name, Account.RECOVERED, Account.DISPUTED, move.amount - over, cause, at)


def _paid(sheet: _Sheet, move: Move) -> None:
    """Money that comes late is taken from where the debt was put in the meantime."""
    left = move.amount
    for pot in (Account.AT_RISK, Account.LOST):
        left -= sheet.move(move.name, pot, Account.RECOVERED, left, Cause.PAID, move.at)
    # What a credit note took off is not owed: more money than that is an overpayment.
    payable = max(sheet.balances.get(Account.WITHDRAWN, 0) - sheet.forgiven, 0)
    late = min(left, payable)
    sheet.move(move.name, Account.WITHDRAWN, Account.RECOVERED, late, Cause.PAID, move.at)
    sheet.overpaid = min(sheet.overpaid + left - late, sheet.forgiven)
    _refund_the_rest(sheet, move.at)


def _of_overpaid(sheet: _Sheet, amount: int) -> int:
    """What goes back is first what was too much: it was never counted as recovered."""
    over = min(amount, sheet.overpaid)
    sheet.overpaid -= over
    return over


def _refund(sheet: _Sheet, move: Move, at: datetime) -> None:
    over = _of_overpaid(sheet, move.amount)
    left = move.amount - over
    moved = over + sheet.move(move.name, Account.RECOVERED, Account.REFUNDED, left, move.cause, at)
    if moved < move.amount:
        sheet.owing.append(replace(move, amount=move.amount - moved))


def _refund_the_rest(sheet: _Sheet, at: datetime) -> None:
    """A refund that found nothing, or the money in dispute, is made when there is some."""
    owing, sheet.owing = sheet.owing, []
    for move in owing:
        _refund(sheet, move, at)
