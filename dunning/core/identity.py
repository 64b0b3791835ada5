"""What must hold of every ledger: which transfers there are, and that no money is lost between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC

from dunning.core.entries import Account, Entry
from dunning.core.recurring import RecurringAccount, Turn

# The only ways money goes, in words as stored. Counter-entries go them backwards.
TRANSFERS = frozenset(
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

# Minor units moved, by currency, UTC month (2026-03), debit and credit.
Flows = Counter[tuple[str, str, str, str]]


def add_entries(flows: Flows, currency: str, entries: Iterable[Entry | Turn]) -> None:
    """Add what these entries of one case move."""
    for entry in entries:
        month = f"{entry.at.astimezone(UTC):%Y-%m}"
        flows[currency, month, entry.debit.value, entry.credit.value] += entry.amount


def differences(stored: Flows, wanted: Flows) -> Iterator[str]:
    """Each sum of a month that the ledger's rows and the facts of the cases put differently."""
    for flow in sorted(stored.keys() | wanted.keys()):
        if stored[flow] != wanted[flow]:
            currency, month, debit, credit = flow
            yield (
                f"{currency} {month}, {debit} to {credit}: "
                f"{stored[flow]} in the entries, {wanted[flow]} by the facts"
            )


def broken_months(stored: Flows, wanted: Flows) -> Iterator[str]:
    """Each month in which opening + newly failed is not recovered + lost + withdrawn + closing.

    Per currency, in minor units. The left side is folded from the ledger's rows, the right side
    from the facts of the cases, so neither can hide what is missing in the other. What went wrong
    in one month is carried on through all the later ones; only the month itself is named.
    """
    opening: Counter[str] = Counter()
    closing: Counter[str] = Counter()
    carried: Counter[str] = Counter()
    for currency, month in sorted({flow[:2] for flow in stored.keys() | wanted.keys()}):
        failed, gone = _at_risk(stored, currency, month)
        failed_by_facts, ended = _at_risk(wanted, currency, month)
        closing[currency] += failed_by_facts - ended
        gap = opening[currency] + failed - ended - closing[currency]
        if gap != carried[currency]:
            yield (
                f"{currency} {month}: opening {opening[currency]} + newly failed {failed} is not "
                f"recovered, lost and withdrawn {ended} + closing {closing[currency]}"
            )
        opening[currency] += failed - gone
        carried[currency] = opening[currency] - closing[currency]


def _at_risk(flows: Flows, currency: str, month: str) -> tuple[int, int]:
    """What came to be at risk in a month, and what ceased to be."""
    risk = Account.AT_RISK.value
    others = {account.value for account in (*Account, *RecurringAccount)} - {risk}
    came = sum(flows[currency, month, other, risk] for other in others)
    went = sum(flows[currency, month, risk, other] for other in others)
    return came, went
