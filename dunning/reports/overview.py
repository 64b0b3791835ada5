"""overview(): the reports that a month of finance begins with, of one snapshot and one range."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from sqlmodel import Session

from dunning.reports.at_risk import at_risk
from dunning.reports.churn import churn
from dunning.reports.lost import lost
from dunning.reports.periods import zone_named
from dunning.reports.rates import rates
from dunning.reports.recovered import recovered
from dunning.reports.report import Report
from dunning.reports.scope import BY_MONTH, Scope

MONTHS = 12


def overview(
    session: Session, now: datetime, scope: Scope = BY_MONTH, *, brief: bool = False
) -> list[Report]:
    """What is at risk, and by period what was recovered and lost, at what rates, and churn.

    `brief`: without the rates of all of it under each definition.
    """
    today = now.astimezone(zone_named(scope.zone)).date()
    until = scope.until or today
    scope = replace(scope, since=scope.since or _months_before(until, MONTHS - 1), until=until)

    def by(*keys: str) -> Scope:
        return replace(scope, by=keys)

    unit = next(iter(scope.by), "month")
    open_now = Scope(by=("age",), source=scope.source, currency=scope.currency)
    every = () if brief else (rates(session, now, by(), definitions=("all",)),)
    return [
        at_risk(session, now, open_now),
        recovered(session, now, by(unit, "mechanism")),
        lost(session, now, by(unit, "kind")),
        rates(session, now, by(unit), definitions=("ours", "ours_so_far")),
        *every,
        churn(session, now, by(unit, "kind")),
    ]


def _months_before(day: date, months: int) -> date:
    total = day.year * 12 + day.month - 1 - months
    return date(total // 12, total % 12 + 1, 1)
