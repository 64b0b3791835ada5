"""What a subscription brings in a month: brought to a month and rounded in one place, as of when.

The price of every item as listed times its quantity: discounts, credits and taxes added to it are
left out, and so is what is metered. Amounts are minor units of the subscription's own currency.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

# Twelve months, 52 weeks, 365 days: every year is the same year.
_PER_MONTH = {
    "month": Fraction(1),
    "year": Fraction(1, 12),
    "week": Fraction(52, 12),
    "day": Fraction(365, 12),
}
# So many reports of one subscription may overtake the failure of a payment.
KEPT = 16


class Monthly(NamedTuple):
    """What was told of a subscription as of a moment; no amount where it hangs on use."""

    subscription: str
    at: datetime
    amount: int | None
    currency: str


def a_month(amount: int, unit: str, every: int = 1) -> Fraction | None:
    """What an amount each so many days, weeks, months or years is in a month, exactly."""
    share = _PER_MONTH.get(unit)
    return None if share is None or every < 1 else amount * share / every


def rounded(exact: Fraction) -> int:
    """Whole minor units, half to even: the one rounding, of the sum of all items."""
    return round(exact)


def merged(known: Iterable[Monthly], heard: Iterable[Monthly]) -> tuple[Monthly, ...]:
    """Everything told of, once for each moment; of two of one moment the greater."""
    told: dict[tuple[str, datetime], Monthly] = {}
    for one in (*known, *heard):
        key = one.subscription, one.at
        told[key] = max(told.get(key, one), one, key=_order)
    return tuple(told[key] for key in sorted(told))


def _order(one: Monthly) -> tuple[int, str]:
    return (-1 if one.amount is None else one.amount, one.currency)


def newest(told: tuple[Monthly, ...], most: int = KEPT) -> tuple[Monthly, ...]:
    """The last reports of one subscription: whatever order they came in, the same ones stay."""
    return told[-most:]


def needed(told: tuple[Monthly, ...], since: datetime | None) -> tuple[Monthly, ...]:
    """Without what no failure up to that moment asks for: all but the first report after it.

    The first failure that is known only moves to earlier times, so nothing is missed later.
    """
    if since is None or len(told) < 2:
        return told
    kept: list[Monthly] = []
    for _, of_one in groupby(told, lambda one: one.subscription):
        later = False
        for one in of_one:
            if not later:
                kept.append(one)
            later = later or one.at > since
    return told if len(kept) == len(told) else tuple(kept)


def as_of(
    told: Iterable[Monthly], subscription: str, at: datetime, until: datetime | None
) -> Monthly | None:
    """The last report up to a moment; where there was none yet, the first one until another."""
    mine = [one for one in told if one.subscription == subscription]
    before = [one for one in mine if one.at <= at]
    if before:
        return before[-1]
    after = (one for one in mine if until is None or one.at <= until)
    return next(after, None)
