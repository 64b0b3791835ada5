"""recovered(): revenue recovered per period and currency, by what brought it in."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Sequence
from dataclasses import replace
from datetime import date as Day  # noqa: N812 - `date` is which of the two times counts
from datetime import datetime

from sqlalchemy import case, true
from sqlmodel import Session

from dunning.core.entries import Account
from dunning.reports.dimensions import CASE_DEFINITIONS, CASE_HEADINGS, CASE_KEYS
from dunning.reports.flows import (
    CLAIMED,
    Dated,
    Scope,
    amount,
    claimed,
    credit,
    debit,
    sums_and_totals,
)
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.periods import UNITS
from dunning.reports.report import Column, Kind, Report, Row, checked_breakdown, in_order
from dunning.reports.takebacks import TakeBack, take_backs

BY = (*UNITS, "mechanism", "step", *CASE_KEYS, "source", "currency")
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
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_SHOWN = {"mechanism": "Mechanism", "step": "Step", **CASE_HEADINGS}
_MONEY = ("recovered", "gross", "refunded", "disputed", "claimed")


def recovered(
    session: Session,
    now: datetime,
    *,
    since: Day | None = None,
    until: Day | None = None,
    by: Sequence[str] = ("month",),
    source: str | None = None,
    policy: str | None = None,
    currency: str | None = None,
    zone: str = "UTC",
    date: Dated = "occurred",
    year_from: int = 1,
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
        date=date,
        year_from=year_from,
    )
    fresh_until, sentence = data_until(session, now)
    found, whole = _rows(session, scope)
    rows = in_order(found, scope.by, {"mechanism": MECHANISMS})
    empty = "nothing recovered yet"
    return Report(
        name="recovered",
        filters=scope.filters(),
        definitions=DEFINITIONS | told_of(scope) | {"data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=in_order(whole, (), {}),
        shown=(
            *(Column(key, _SHOWN.get(key, key.capitalize())) for key in scope.keys),
            *(Column(name, name.capitalize(), Kind.MONEY) for name in _MONEY),
            Column("cases", "Cases", Kind.COUNT),
        ),
        note="" if rows else why_empty(session, empty, policy=policy, source=source),
    )


def told_of(scope: Scope) -> dict[str, str]:
    """What the keys and the periods of a report mean, in words."""
    keys = {key: CASE_DEFINITIONS[key] for key in scope.by if key in CASE_DEFINITIONS}
    moment = "it was written down here" if scope.is_recorded else "the money moved at the provider"
    year = "" if scope.year_from == 1 else f" Years begin in {month_name[scope.year_from]}."
    corrected = (
        "A correction counts when it was made, with a plus or a minus, so that what was reported "
        "of a month does not change; cases that only had a correction are counted, too."
        if scope.is_recorded
        else "What the ledger corrected counts as corrected, in the period it is about."
    )
    return keys | {
        "period": f"Days, weeks (ISO, from Monday), months, quarters and years by the calendar of "
        f"{scope.zone}, by when {moment}. Since and until are both part of the range.{year}",
        "corrections": corrected,
    }


def totalled(scope: Scope) -> Scope:
    """The same question without a breakdown."""
    return replace(scope, by=())


def _rows(session: Session, scope: Scope) -> tuple[list[Row], list[Row]]:
    """The rows of the report, and a total for each currency."""
    came_in = (credit == Account.RECOVERED.value) & debit.not_in(
        (Account.REFUNDED.value, Account.DISPUTED.value)
    )
    amounts = {"gross": amount, "claimed": case((claimed, amount), else_=0)}
    found, whole = sums_and_totals(session, scope, amounts, {"cases": true()}, came_in)
    parts = list(take_backs(session, scope))
    place = scope.keys.index("currency")
    of_all = [(part, (part.keys[place],)) for part in parts]
    return (
        _net(scope, found, [(part, part.keys) for part in parts]),
        _net(totalled(scope), whole, of_all),
    )


def _net(
    scope: Scope, found: Sequence[Row], parts: Sequence[tuple[TakeBack, tuple[str | None, ...]]]
) -> list[Row]:
    """What came in, less what was taken back of it, each part under its key."""
    rows: dict[tuple[str | None, ...], Row] = {}
    for one in found:
        key = tuple(one[name] for name in scope.keys)
        rows[key] = _row(scope, key, one["gross"], one["claimed"], one["cases"])
    for part, key in parts:
        row = rows.setdefault(key, _row(scope, key, 0, 0, 0))
        row[part.account.value] += part.amount
        row["recovered"] -= part.amount
        if part.mechanism in CLAIMED:
            row["claimed"] -= part.amount
    return list(rows.values())


def _row(scope: Scope, key: Sequence[str | None], gross: int, ours: int, cases: int) -> Row:
    row: Row = dict(zip(scope.keys, key, strict=True))
    money = {"recovered": gross, "gross": gross, "refunded": 0, "disputed": 0, "claimed": ours}
    return row | money | {"cases": cases}
