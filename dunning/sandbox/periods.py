"""Billing periods: the next date on the same day of the month, in UTC."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from dunning.sandbox.world import DAY


def add_interval(anchor: int, interval: str, count: int) -> int:
    """`count` intervals after the anchor; 31 January plus a month is the end of February."""
    if interval == "day":
        return anchor + count * DAY
    if interval == "week":
        return anchor + count * 7 * DAY
    months = count * (12 if interval == "year" else 1)
    start = datetime.fromtimestamp(anchor, UTC)
    index = start.year * 12 + (start.month - 1) + months
    year, month = divmod(index, 12)
    last = calendar.monthrange(year, month + 1)[1]
    moved = start.replace(year=year, month=month + 1, day=min(start.day, last))
    return int(moved.timestamp())


def period_after(anchor: int, at: int, interval: str, count: int) -> int:
    """The first boundary after `at`, counted from the anchor so that short months do no harm."""
    rough = {"day": DAY, "week": 7 * DAY, "month": 31 * DAY, "year": 366 * DAY}[interval] * count
    step = max(0, (at - anchor) // rough - 1)
    while add_interval(anchor, interval, step * count) <= at:
        step += 1
    return add_interval(anchor, interval, step * count)
