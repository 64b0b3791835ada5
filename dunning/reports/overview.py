"""overview(): the reports that a month of finance begins with, of one snapshot and one range."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlmodel import Session

from dunning.reports.at_risk import at_risk
from dunning.reports.churn import churn
from dunning.reports.lost import lost
from dunning.reports.periods import zone_named
from dunning.reports.rates import rates
from dunning.reports.recovered import recovered
from dunning.reports.report import Report

MONTHS = 12


def overview(
    session: Session,
    now: datetime,
    *,
    since: date | None = None,
    until: date | None = None,
    source: str | None = None,
    currency: str | None = None,
    zone: str = "UTC",
    year_from: int = 1,
    unit: str = "month",
    brief: bool = False,
) -> list[Report]:
    """What is at risk, and by period what was recovered and lost, at what rates, and churn.

    `brief`: without the rates of all of it under each definition.
    """
    today = now.astimezone(zone_named(zone)).date()
    until = until or today
    since = since or _months_before(until, MONTHS - 1)
    of: dict[str, Any] = {"source": source, "currency": currency}
    told = of | {"since": since, "until": until, "zone": zone, "year_from": year_from}
    every = () if brief else (rates(session, now, by=(), definitions=("all",), **told),)
    return [
        at_risk(session, now, by=("age",), **of),
        recovered(session, now, by=(unit, "mechanism"), **told),
        lost(session, now, by=(unit, "kind"), **told),
        rates(session, now, by=(unit,), definitions=("ours", "ours_so_far"), **told),
        *every,
        churn(session, now, by=(unit, "kind"), **told),
    ]


def _months_before(day: date, months: int) -> date:
    total = day.year * 12 + day.month - 1 - months
    return date(total // 12, total % 12 + 1, 1)
