"""Cells: what charges, or days, have in common, and how often it went well in each.

A cell with few on record is pooled with the wider one above it: its rate is that of its own and of
`STRENGTH` more of the wider one. How far such a cell may lie from the wider one is drawn by chance.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dunning.core.days import Day, Wish, is_day
from dunning.core.declines import Advice

# A cell is a path: ("charge",) > ("charge", "wait") > ("charge", "wait", "2-5 days") > …
Cell = tuple[str, ...]

CHARGE, CUSTOMER, CLOSING = "charge", "customer", "closing"
# So many of the wider cell are added: charges, and days in which a customer may act.
STRENGTH = {CHARGE: 24.0, CUSTOMER: 150.0, CLOSING: 150.0}
# Below this a cell is thin.
THIN = {CHARGE: 20.0, CUSTOMER: 100.0, CLOSING: 100.0}
AGES = ((2, "0-2 days"), (5, "2-5 days"), (10, "5-10 days"), (17, "10-17 days"), (31, "17-31 days"))
OLDEST = "31+ days"
SINCE = ((1, "1st day"), (3, "2nd-3rd day"), (7, "4th-7th day"))
SOON = 3
LATER, UNWRITTEN = "later", "not written to"
PAYDAY_LASTS = 3  # the payday itself and two days after it
_UNSAID = ("soon", "late", "no email")
_HELPLESS = ("authenticate", "new_method", "stop")  # what only the customer can mend


def charge_cell(
    family: str,
    since_failure: timedelta,
    tries: int,
    at: datetime,
    zone: ZoneInfo,
    paydays: Paydays,
) -> Cell:
    """The cell of a charge: the last answer, its age, how many went before, and the day."""
    age = _age(since_failure)
    before = "later try" if tries else "first try"
    if family != Advice.WAIT:
        return (CHARGE, family, age, before)
    # Only where time or money is lacking does the day say something.
    day = "payday" if is_payday(at.astimezone(zone), paydays) else "other day"
    return (CHARGE, family, age, day, before)


def closing_cell(since_failure: timedelta) -> Cell:
    """The cell of a stretch of time in which the debt may go away unpaid: cancelled, voided."""
    return (CLOSING, _age(since_failure))


def _age(since_failure: timedelta) -> str:
    days = since_failure / timedelta(days=1)
    return next((name for most, name in AGES if days < most), OLDEST)


def customer_cell(family: str, since_email: timedelta | None, emails: int) -> Cell:
    """The cell of a stretch of time: how long since the last email, which it was, who can mend it.

    A text to the phone counts as an email does.

    Access is no part of it: it is cut off at one time of each policy, so the two cannot be told
    apart.
    """
    if since_email is None:
        since: Cell = ("late", UNWRITTEN)
    else:
        days = since_email / timedelta(days=1)
        name = next((name for most, name in SINCE if days < most), LATER)
        # Where nobody ever waited so long, the stretch before it says more than the first days.
        since = ("late" if days >= SOON else "soon", name)
    who = "only the customer can mend it" if family in _HELPLESS else "a retry may do"
    number = ("no email", "1st email")[emails] if emails < 2 else "later email"
    return (CUSTOMER, *since, who, number)


Paydays = tuple[Wish, ...]


def is_payday(local: datetime, paydays: Paydays) -> bool:
    """Whether money may just have come: on a payday and the two days after."""
    days = (local.date() - timedelta(days=back) for back in range(PAYDAY_LASTS))
    return any(is_day(Day.PAYDAY, day, paydays, lambda _: True) for day in days)


def stretches(
    begin: datetime, end: datetime, family: str, emails: Sequence[datetime]
) -> Iterator[tuple[Cell, datetime, float]]:
    """Cut a time into stretches of one cell each, with the moment it begins and its days."""
    cuts = {begin, end, *emails}
    cuts |= {email + timedelta(days=days) for email in emails for days, _ in SINCE}
    inside = sorted(cut for cut in cuts if begin <= cut <= end)
    for start, stop in itertools.pairwise(inside):
        before = [email for email in emails if email <= start]
        since = start - max(before) if before else None
        yield customer_cell(family, since, len(before)), start, (stop - start) / timedelta(days=1)


@dataclass(slots=True)
class Tally:
    """What went well of how many, by cell, wider cells included."""

    good: defaultdict[Cell, float] = field(default_factory=lambda: defaultdict(float))
    of: defaultdict[Cell, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, cell: Cell, good: float, of: float) -> None:
        """Count in a cell and in all that are wider."""
        for depth in range(1, len(cell) + 1):
            self.good[cell[:depth]] += good
            self.of[cell[:depth]] += of

    def is_thin(self, cell: Cell) -> bool:
        """Whether so little is on record that the wider cells say most of it."""
        return self.of.get(cell, 0.0) < THIN[cell[0]]


def added(tallies: Iterable[tuple[Tally, int]]) -> Tally:
    """Add up, each so many times."""
    whole = Tally()
    for tally, times in tallies:
        if times:
            for cell, of in tally.of.items():
                whole.of[cell] += of * times
                if good := tally.good.get(cell):
                    whole.good[cell] += good * times
    return whole


def rates(
    tally: Tally, cells: Iterable[Cell], chance: random.Random | None = None
) -> dict[Cell, float]:
    """The rate of each cell; with `chance` one that it may have as well, for all one knows."""
    found: dict[Cell, float] = {}

    def rate(cell: Cell) -> float:
        if cell not in found:
            found[cell] = _rate(tally, cell, rate(cell[:-1]) if len(cell) > 1 else None, chance)
        return found[cell]

    for cell in sorted(cells):
        rate(cell)
    return found


def _rate(tally: Tally, cell: Cell, wider: float | None, chance: random.Random | None) -> float:
    good, of = tally.good.get(cell, 0.0), tally.of.get(cell, 0.0)
    if wider is None:
        return (good + 0.5) / (of + 1.0)
    strength = STRENGTH[cell[0]]
    mean = (good + strength * wider) / (of + strength)
    if chance is None or not 0 < mean < 1:
        return mean
    # Drawing customers again shows how far the cell's own may be off, and not how far a cell may
    # lie from the wider one: that is the rest of the variance, strength / (of + strength)^2.
    weight = (of + strength) ** 2 / strength - 1
    return chance.betavariate(mean * weight, (1 - mean) * weight)


def after(paying: float, closing: float, days: float) -> tuple[float, float]:
    """What part has paid, and what part has gone away, after days of these rates a day."""
    pays, goes = (-math.log1p(-min(rate, 0.999)) for rate in (paying, closing))
    if not (both := pays + goes):
        return 0.0, 0.0
    moved = -math.expm1(-both * days)
    return moved * pays / both, moved * goes / both


def words(cell: Cell) -> str:
    """A cell for people: `wait, 2-5 days, first try, payday`."""
    return ", ".join(part for part in cell[1:] if part not in _UNSAID) or "all"


Rates = Mapping[Cell, float]
