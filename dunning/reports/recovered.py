"""recovered(): revenue recovered per period and currency, by what brought it in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import case, distinct, func
from sqlmodel import Session, col

from dunning.core.entries import Account
from dunning.reports.flows import CLAIMED, Scope, claimed, sums
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.periods import UNITS
from dunning.reports.report import Column, Kind, Report, Row, checked_breakdown, in_order
from dunning.reports.takebacks import take_backs
from dunning.store import EntryRow

BY = (*UNITS, "mechanism", "step", "policy", "decline_code", "source", "currency")
MECHANISMS = (*CLAIMED, "provider_retry", "network_updater", "natural", "outside", "unknown")

DEFINITIONS = {
    "recovered": "gross less refunded less disputed: money of invoices whose payment had failed, "
    "that came in and stayed. Each part counts in the period in which it happened, so a refund "
    "lowers the period of the refund and a row can be negative.",
    "gross": "Payments that came in after the first failure, up to what was unpaid then; also "
    "late ones, of invoices given up or withdrawn in the meantime.",
    "refunded": "Of money recovered, what was given back to the customer.",
    "disputed": "Of money recovered, what the cardholder's bank took back; a dispute counts from "
    "the day it was opened until it is won, and for good when it is lost. An inquiry takes "
    "nothing.",
    "claimed": "The part of recovered that an act of ours brought in: our retries (our_retry, "
    "new_card, backup_method, retry_by_hand) and payments after a message of ours had reached the "
    "customer "
    "(link). What the provider's own retries, the customer alone (natural) or a payment outside "
    "of the provider brought in is recovered and not claimed.",
    "cases": "Cases with a payment in this row. A case paid in parts is counted once in each row "
    "it has a part in, and once in the total.",
    "mechanism": "our_retry: a planned charge of ours; new_card: our charge because the customer "
    "gave a new card; backup_method: our charge of another saved method; retry_by_hand: a charge "
    "asked for by a person; link: the customer paid "
    "after a message of ours; provider_retry: a charge of the provider's own; network_updater: "
    "the same, after the card network had refreshed the card; natural: paid "
    "without any act of ours; outside: marked as paid elsewhere; unknown: the ledger does not "
    "say. A refund or dispute takes back the newest money of its case first.",
    "step": "Which charge of ours it was: retry:3 is the third of the timeline.",
    "decline_code": "The provider's reason for the last charge that failed.",
    "corrections": "What the ledger corrected counts as corrected, in the period it is about.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_SHOWN = {
    "mechanism": "Mechanism",
    "step": "Step",
    "policy": "Policy",
    "decline_code": "Decline code",
    "source": "Source",
    "currency": "Currency",
}
_MONEY = ("recovered", "gross", "refunded", "disputed", "claimed")


def recovered(
    session: Session,
    now: datetime,
    *,
    since: date | None = None,
    until: date | None = None,
    by: Sequence[str] = ("month",),
    source: str | None = None,
    policy: str | None = None,
    currency: str | None = None,
    zone: str = "UTC",
) -> Report:
    """What came in, net of what went back; both dates are part of the range."""
    chosen = checked_breakdown("recovered", by, BY)
    scope = Scope(
        by=chosen,
        since=since,
        until=until,
        source=source,
        policy=policy,
        currency=currency,
        zone=zone,
    )
    fresh_until, sentence = data_until(session, now)
    rows = in_order(_rows(session, scope), scope.by, {"mechanism": MECHANISMS})
    empty = "nothing recovered yet"
    return Report(
        name="recovered",
        filters=scope.filters(),
        definitions=DEFINITIONS | {"period": period_sentence(zone), "data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=in_order(_rows(session, totalled(scope)), (), {}),
        shown=(
            *(Column(key, _SHOWN.get(key, key.capitalize())) for key in scope.keys),
            *(Column(name, name.capitalize(), Kind.MONEY) for name in _MONEY),
            Column("cases", "Cases", Kind.COUNT),
        ),
        note="" if rows else why_empty(session, empty, policy=policy, source=source),
    )


def period_sentence(zone: str) -> str:
    """How a period's boundaries are drawn, in words."""
    return (
        f"Days, weeks (ISO, from Monday), months, quarters and years by the calendar of {zone}, "
        "by when the money moved at the provider. Since and until are both part of the range."
    )


def totalled(scope: Scope) -> Scope:
    """The same question without a breakdown."""
    return Scope(
        by=(),
        since=scope.since,
        until=scope.until,
        source=scope.source,
        policy=scope.policy,
        currency=scope.currency,
        zone=scope.zone,
    )


def _rows(session: Session, scope: Scope) -> list[Row]:
    amount = col(EntryRow.amount)
    came_in = (col(EntryRow.credit) == Account.RECOVERED.value) & col(EntryRow.debit).not_in(
        (Account.REFUNDED.value, Account.DISPUTED.value)
    )
    measures = {
        "gross": func.sum(amount),
        "claimed": func.sum(case((claimed, amount), else_=0)),
        "cases": func.count(distinct(col(EntryRow.case_id))),
    }
    rows: dict[tuple[str | None, ...], Row] = {}
    for found in sums(session, scope, measures, came_in):
        key = tuple(found[name] for name in scope.keys)
        rows[key] = _row(scope, key, found["gross"], found["claimed"], found["cases"])
    for part in take_backs(session, scope):
        row = rows.setdefault(part.keys, _row(scope, part.keys, 0, 0, 0))
        row[part.account.value] += part.amount
        row["recovered"] -= part.amount
        if part.mechanism in CLAIMED:
            row["claimed"] -= part.amount
    return list(rows.values())


def _row(scope: Scope, key: Sequence[str | None], gross: int, ours: int, cases: int) -> Row:
    row: Row = dict(zip(scope.keys, key, strict=True))
    money = {"recovered": gross, "gross": gross, "refunded": 0, "disputed": 0, "claimed": ours}
    return row | money | {"cases": cases}
