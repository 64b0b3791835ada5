"""Hours and days where customers live, around changes of clocks, in ranges long and short."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session

from dunning.pinned import row_of
from dunning.reports import hours
from dunning.reports.clocks import WEEKDAYS
from dunning.reports.hours import Clock
from dunning.reports.scope import Scope
from dunning.store import CaseRow, CustomerRow, PolicyRow
from tests.policies import STANDARD
from tests.reports.shop import NOW, Shop, on
from tests.reports.test_took_and_cost import add, charged

# When clocks change in 2026: by an hour, of Lord Howe by half an hour.
CHANGES = {
    "America/New_York": (on(3, 8, 7), on(11, 1, 6)),
    "Europe/Berlin": (on(3, 29, 1), on(10, 25, 1)),
    "Australia/Lord_Howe": (on(4, 4, 15), on(10, 3, 15, 30)),
    "America/Santiago": (on(4, 5, 4), on(9, 6, 4)),
}
AROUND = (timedelta(minutes=-1), timedelta(0), timedelta(days=10, hours=5))
MOMENTS = [at + after for both in CHANGES.values() for at in both for after in AROUND]
TWO_MONTHS = pairwise([*(date(2026, month, 1) for month in range(1, 13, 2)), date(2027, 1, 1)])
SHORT = [(since, until - timedelta(days=1)) for since, until in TWO_MONTHS]


def homes(shop: Shop, session: Session) -> None:
    """A customer in each zone, charged at each moment: by country, zone, zone and policy."""
    york, berlin, howe, santiago = (shop.failed(on(1, 1)) for _ in CHANGES)
    known = ((york, "America/New_York", "DE"), (berlin, None, "DE"))
    for one, zone, country in (*known, (howe, "Australia/Lord_Howe", None)):
        who = f"cus_{one.invoice}"
        told: dict[str, Any] = {"timezone": zone, "country": country, "as_of": on(1, 1)}
        add(shop, CustomerRow(source="stripe", id=who, **told))
    version = session.get_one(CaseRow, santiago.case).policy_version
    assert version is not None
    policy = replace(STANDARD, timezone="America/Santiago")
    add(shop, PolicyRow(**row_of(policy, version, NOW)))
    for one in (york, berlin, howe, santiago):
        charged(one, *MOMENTS)


def by_clock(zone: str, by: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """How often a clock there shows each at these moments."""
    shown: Counter[tuple[str, ...]] = Counter()
    for moment in MOMENTS:
        at = moment.astimezone(ZoneInfo(zone))
        told = {"hour": f"{at:%H}:00", "weekday": WEEKDAYS[at.weekday()], "monthday": f"{at:%d}"}
        shown[tuple(told[key] for key in by)] += 1
    return shown


def test_a_long_range_and_short_ones_tell_what_clocks_show(shop: Shop) -> None:
    def found(scope: Scope, clock: Clock, now: datetime) -> Counter[tuple[str, ...]]:
        rows = hours(session, now, scope, clock=clock).rows
        return Counter({tuple(row[key] for key in scope.by): row["attempts"] for row in rows})

    with shop.trial() as session:
        homes(shop, session)
        for by in (("hour",), ("weekday",), ("monthday",), ("hour", "weekday")):
            everywhere = sum((by_clock(zone, by) for zone in CHANGES), Counter())
            berlin = Counter({key: 4 * n for key, n in by_clock("Europe/Berlin", by).items()})
            told: dict[Clock, Any] = {"customer": everywhere, "books": berlin}
            for clock, expected in told.items():
                whole = Scope(by=by, zone="Europe/Berlin")
                ranges = [replace(whole, since=since, until=until) for since, until in SHORT]
                each = (found(scope, clock, on(12, 31)) for scope in ranges)
                assert sum(each, Counter()) == expected, (by, clock)
                # Of NOW half of the charges are still to come, as test clocks of providers do.
                for now in (NOW, on(12, 31)):
                    assert found(whole, clock, now) == expected, (by, clock, now)
