"""Recurring revenue of a case: what its subscription brings in a month, and where that stands.

    running -> at_risk -> saved | lost | withdrawn      lost, withdrawn -> saved (paid late)

Beside the money and computed in the same way: whole, from the facts of one case. A subscription
with several unpaid invoices has a case for each, so whoever adds up has to count it once.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from dunning.core.attribution import mechanism
from dunning.core.entries import Account, Books
from dunning.core.facts import Case, End
from dunning.core.monthly import as_of
from dunning.core.moves import Cause


class RecurringAccount(enum.StrEnum):
    """Where the recurring revenue of a subscription stands."""

    RUNNING = "running"
    AT_RISK = "at_risk"
    SAVED = "saved"
    LOST = "lost"
    WITHDRAWN = "withdrawn"


# The only ways it goes, in words as stored. Counter-entries go them backwards.
TURNS = frozenset(
    (debit.value, credit.value)
    for debit, credit in (
        (RecurringAccount.RUNNING, RecurringAccount.AT_RISK),
        (RecurringAccount.AT_RISK, RecurringAccount.SAVED),
        (RecurringAccount.AT_RISK, RecurringAccount.LOST),
        (RecurringAccount.AT_RISK, RecurringAccount.WITHDRAWN),
        (RecurringAccount.LOST, RecurringAccount.SAVED),
        (RecurringAccount.WITHDRAWN, RecurringAccount.SAVED),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One movement of what a subscription brings in a month, in minor units."""

    key: str
    case_id: str
    subscription: str
    debit: RecurringAccount
    credit: RecurringAccount
    amount: int
    cause: Cause
    at: datetime
    how: str = ""  # of what was saved: what brought the money in


def runs(case: Case, sheet: Books) -> bool:
    """Whether the subscription still runs while money of the case is at risk."""
    return sheet.balance(Account.AT_RISK) > 0 and case.end is None


def turns(case: Case, sheet: Books) -> tuple[Turn, ...]:
    """The movements of a case; none without a subscription whose price is known by its end."""
    name, end = case.subscription, case.end
    if not sheet.entries or name is None:
        return ()
    first = sheet.entries[0]
    if end is not None and end.at < first.at:
        return ()  # it had ended: what is still owed is its last bill
    over = _over(sheet, end)
    told = as_of(case.monthly, name, case.first_sign or first.at, over)
    if told is None or not told.amount or told.currency != case.currency:
        return ()
    found = [(RecurringAccount.RUNNING, RecurringAccount.AT_RISK, first.cause, first.at)]
    if over is not None:
        ended = end is not None and end.at <= over
        found.append(_ended(end, over) if end and ended else _settled(sheet, over))
        late = None if ended else _late(sheet, end)
        if late is not None and found[-1][1] is not RecurringAccount.SAVED:
            found.append((found[-1][1], RecurringAccount.SAVED, Cause.PAID, late))
    return tuple(
        Turn(
            key=f"{case.id}/recurring:{debit.value}",
            case_id=case.id,
            subscription=name,
            debit=debit,
            credit=credit,
            amount=told.amount,
            cause=cause,
            at=at,
            how=mechanism(case, at) if cause is Cause.PAID else "",
        )
        for debit, credit, cause, at in found
    )


_Turn = tuple[RecurringAccount, RecurringAccount, Cause, datetime]


def _over(sheet: Books, end: End | None) -> datetime | None:
    """When it ceased to be at risk: nothing was owed any more, or the subscription had ended."""
    times = (sheet.ended_at, end.at if end else None)
    return min((at for at in times if at is not None), default=None)


def _ended(end: End, at: datetime) -> _Turn:
    """The subscription is over, whatever becomes of the debt."""
    if end.by_us:
        return RecurringAccount.AT_RISK, RecurringAccount.LOST, Cause.GIVEN_UP, at
    if end.reason == "payment_failed":
        return RecurringAccount.AT_RISK, RecurringAccount.LOST, Cause.ENDED_FOR_NON_PAYMENT, at
    return RecurringAccount.AT_RISK, RecurringAccount.WITHDRAWN, Cause.CANCELLED, at


_LOSES = frozenset((Cause.GIVEN_UP, Cause.WRITTEN_OFF_ELSEWHERE, Cause.ENDED_FOR_NON_PAYMENT))


def _settled(sheet: Books, at: datetime) -> _Turn:
    """The debt is over and the subscription goes on: as went the last of the money."""
    cause = sheet.ended_by
    assert cause is not None
    if cause in _LOSES:
        return RecurringAccount.AT_RISK, RecurringAccount.LOST, cause, at
    paid = any(one.cause is Cause.PAID and one.at <= at for one in sheet.entries)
    if cause in (Cause.PAID, Cause.CREDITED) and paid:
        return RecurringAccount.AT_RISK, RecurringAccount.SAVED, Cause.PAID, at
    return RecurringAccount.AT_RISK, RecurringAccount.WITHDRAWN, cause, at


def _late(sheet: Books, end: End | None) -> datetime | None:
    """When the last of a debt came in that had been given up, if the subscription still ran."""
    left = sheet.balance(Account.LOST), sheet.balance(Account.WITHDRAWN) - sheet.forgiven
    gone = (Account.LOST, Account.WITHDRAWN)
    times = [one.at for one in sheet.entries if one.cause is Cause.PAID and one.debit in gone]
    if max(left) > 0 or not times:
        return None
    return None if end is not None and end.at <= max(times) else max(times)
