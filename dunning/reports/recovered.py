"""recovered(): revenue recovered per period and currency, by what brought it in."""

from __future__ import annotations

from calendar import month_name
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import case, true
from sqlmodel import Session

from dunning.reports.converted import day_of, name_in, refuse_recorded, sums_in, with_rates
from dunning.reports.dimensions import CASE_DEFINITIONS, CASE_HEADINGS, CASE_KEYS
from dunning.reports.exchange import Exchange
from dunning.reports.flows import amount, came_in
from dunning.reports.folds import Asked, sums_and_totals
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.origins import (
    CLAIMED,
    NOT_CLAIMED,
    PAYMENT_DEFINITIONS,
    PAYMENT_HEADINGS,
    PAYMENT_KEYS,
    claimed,
)
from dunning.reports.periods import UNITS
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Dated, Scope
from dunning.reports.takebacks import TakeBack, take_backs

BY = (*UNITS, *PAYMENT_KEYS, *CASE_KEYS, "source", "currency")
MECHANISMS = (*CLAIMED, *NOT_CLAIMED)

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
    "of the provider brought in is recovered and not claimed; nor is anything of customers who are "
    "held out for comparison (holdout).",
    "cases": "Cases with a payment in this row. A case paid in parts is counted once in each row "
    "it has a part in, and once in the total.",
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_SHOWN = {**PAYMENT_HEADINGS, **CASE_HEADINGS}
_MONEY = ("recovered", "gross", "refunded", "disputed", "claimed")


def recovered(
    session: Session,
    now: datetime,
    scope: Scope = BY_MONTH,
    *,
    into: Exchange | None = None,
) -> Report:
    """What came in, net of what went back; both dates are part of the range."""
    scope = scope.of("recovered", BY, ())
    if into is not None:
        refuse_recorded(scope)
    fresh_until, sentence = data_until(session, now)
    found, whole = _rows(session, scope, into)
    rows = in_order(found, scope.by, {"mechanism": MECHANISMS})
    empty = "nothing recovered yet"
    report = Report(
        name="recovered",
        filters=scope.filters(),
        definitions=DEFINITIONS | _of_payments(scope) | told_of(scope) | {"data_until": sentence},
        data_until=fresh_until,
        rows=rows,
        totals=in_order(whole, (), {}),
        shown=(
            *(Column(key, _SHOWN.get(key, key.capitalize())) for key in scope.keys),
            *(Column(name, name.capitalize(), Kind.MONEY) for name in _MONEY),
            Column("cases", "Cases", Kind.COUNT),
        ),
        note="" if rows else why_empty(session, empty, scope),
    )
    if into is None:
        return report
    figures = {name: name.capitalize() for name in _MONEY}
    return with_rates(report, into, figures, "the day on which the money moved")


def told_of(scope: Scope) -> dict[str, str]:
    """What the keys and the periods of a report mean, in words."""
    keys = {key: CASE_DEFINITIONS[key] for key in scope.by if key in CASE_DEFINITIONS}
    year = "" if scope.year_from == 1 else f" Years begin in {month_name[scope.year_from]}."
    moment, corrected = _DATED[scope.date]
    return keys | {
        "period": f"Days, weeks (ISO, from Monday), months, quarters and years by the calendar of "
        f"{scope.zone}, by when {moment}. Since and until are both part of the range.{year}",
        "corrections": corrected,
    }


class _Told(NamedTuple):
    moment: str
    corrected: str


_DATED: dict[Dated, _Told] = {
    "occurred": _Told(
        "the money moved at the provider",
        "What the ledger corrected counts as corrected, in the period it is about.",
    ),
    "recorded": _Told(
        "it was written down here",
        "A correction counts when it was made, with a plus or a minus, so that what was reported "
        "of a month does not change; cases that only had a correction are counted, too.",
    ),
    "books": _Told(
        "the books count it: when the money moved, or, where that month was closed before it was "
        "heard of, at the first moment that was open",
        "A correction of a closed month counts in the month that was open, with a plus or a minus, "
        "so that each closed month is what its statement says.",
    ),
}


def _of_payments(scope: Scope) -> dict[str, str]:
    """What the keys of payments mean; what brought the money in is always told."""
    wanted = ("mechanism", "step", *scope.by)
    return {key: text for key, text in PAYMENT_DEFINITIONS.items() if key in wanted}


def _rows(session: Session, scope: Scope, into: Exchange | None) -> tuple[list[Row], list[Row]]:
    """The rows of the report, and a total for each currency."""
    amounts = {"gross": amount, "claimed": case((claimed, amount), else_=0)}
    asked = Asked(amounts=amounts, cases={"cases": true()}, where=came_in())
    found, whole = sums_and_totals(session, scope, asked)
    parts = list(take_backs(session, scope))
    place = scope.keys.index("currency")
    of_all = [(part, (part.keys[place],)) for part in parts]
    rows = _net(scope, found, [(part, part.keys) for part in parts])
    if into is not None:
        _convert(rows, session, scope, into, parts)
    return list(rows.values()), list(_net(scope.totalled, whole, of_all).values())


def _net(
    scope: Scope, found: Sequence[Row], parts: Sequence[tuple[TakeBack, tuple[str | None, ...]]]
) -> dict[tuple[str | None, ...], Row]:
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
    return rows


def _convert(
    rows: dict[tuple[str | None, ...], Row],
    session: Session,
    scope: Scope,
    into: Exchange,
    parts: Sequence[TakeBack],
) -> None:
    """Add to each row its figures in the other currency, every part at the rate of its day."""
    amounts = {"gross": amount, "claimed": case((claimed, amount), else_=0)}
    sums = sums_in(session, scope, amounts, came_in(), into)
    for key, row in rows.items():
        came = sums.get(key, Counter())
        for name in _MONEY:
            row[name_in(name, into)] = came["gross" if name == "recovered" else name]
    for part in parts:
        row = rows[part.keys]
        back = into.convert(part.amount, row["currency"], day_of(part.at, scope))
        row[name_in(part.account.value, into)] += back
        row[name_in("recovered", into)] -= back
        if part.mechanism in CLAIMED:
            row[name_in("claimed", into)] -= back


def _row(scope: Scope, key: Sequence[str | None], gross: int, ours: int, cases: int) -> Row:
    row: Row = dict(zip(scope.keys, key, strict=True))
    money = {"recovered": gross, "gross": gross, "refunded": 0, "disputed": 0, "claimed": ours}
    return row | money | {"cases": cases}
