"""Report: rows and totals as programs read them, and the same as text for people."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dunning.clock import utc
from dunning.core.money import Money
from dunning.errors import RefusedError

Row = dict[str, Any]

# What a table shows where there is nothing to say.
NOTHING = "—"


class Kind(enum.StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    MONEY = "money"  # integer minor units of the row's currency
    COUNT = "count"
    TIME = "time"
    FIGURE = "figure"  # money where the row's `measure` is money, else a number
    RATE = "rate"  # a share of one, as a number; the difference of two may be below zero
    DAYS = "days"  # a length of time, in days with decimals


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in the rows, and what stands above it."""

    name: str
    heading: str
    kind: Kind = Kind.TEXT
    rank: int = 0  # where a table has no room, the highest goes first; 0 stays
    currency: str | None = None  # of its amounts, where that is not the row's

    @property
    def is_money(self) -> bool:
        """Whether the values are minor units of the row's currency."""
        return self.kind is Kind.MONEY

    def is_money_in(self, row: Row) -> bool:
        """Whether the value in this row is minor units of its currency."""
        return self.is_money or (self.kind is Kind.FIGURE and row.get("measure") == "money")

    @property
    def may_be_money(self) -> bool:
        """Whether some of its values are minor units."""
        return self.kind in (Kind.MONEY, Kind.FIGURE)

    @property
    def is_number(self) -> bool:
        """Whether the column is set flush right."""
        return self.kind in (Kind.MONEY, Kind.COUNT, Kind.FIGURE, Kind.RATE, Kind.DAYS)

    def money(self, row: Row) -> Money:
        """The amount in this row, in the column's currency or else in the row's."""
        return Money(row[self.name], self.currency or row["currency"])


@dataclass(frozen=True)
class Report:
    """Figures with what they mean. `totals` has one row per currency; they are never added."""

    name: str
    filters: dict[str, Any]
    definitions: dict[str, str]  # one plain sentence or two per figure, for whoever must defend it
    data_until: datetime  # everything received before this moment is in the figures
    rows: list[Row]
    totals: list[Row]
    shown: tuple[Column, ...] = field(default=())
    note: str = ""  # for people, when there is nothing to show
    rates: tuple[Row, ...] = ()  # each exchange rate that was used, where amounts were converted


def columns(report: Report) -> list[Column]:
    """The columns of the report's rows, in order."""
    return list(report.shown)


def cells(report: Report) -> list[list[str]]:
    """The rows as text for people, in the order of `columns`."""
    return [_texts(report, row) for row in report.rows]


def total_cells(report: Report) -> list[list[str]]:
    """The totals as text for people, in the order of `columns`: one line per currency."""
    lines = [_texts(report, total, missing="") for total in report.totals]
    for line in lines:
        if not line[0]:
            line[0] = "total"
    return lines


def _texts(report: Report, row: Row, missing: str = NOTHING) -> list[str]:
    texts = []
    for column in report.shown:
        value = row.get(column.name)
        if value is None:
            texts.append(missing)
        elif column.is_money_in(row):
            texts.append(str(column.money(row)))
        elif column.name == "currency":
            texts.append(str(value).upper())
        elif column.kind in (Kind.COUNT, Kind.FIGURE):
            texts.append(f"{value:,}")
        elif column.kind is Kind.DAYS:
            texts.append(f"{value:,.1f} d")
        elif column.kind is Kind.RATE:
            texts.append(f"{value * 100:.1f} %")
        else:
            texts.append(time_text(value) if isinstance(value, datetime) else str(value))
    return texts


def time_text(moment: datetime) -> str:
    """A moment for people: `2026-01-05 12:00 UTC`."""
    return utc(moment).strftime("%Y-%m-%d %H:%M UTC")


def refuse_unknown(what: str, given: str, valid: Sequence[str]) -> None:
    """`RefusedError` that names the valid words and the nearest, unless `given` is one of them."""
    if given in valid:
        return
    near = difflib.get_close_matches(given.lower(), valid, n=1, cutoff=0.5)
    meant = f". Did you mean '{near[0]}'?" if near else ""
    raise RefusedError(f"{what} {given!r} is not known; it can be {', '.join(valid)}{meant}")


# Other words for a key.
_MEANT = {"decline": "decline_code", "email": "last_email", "click": "last_click"}
_PERIODS = ("day", "week", "month", "quarter", "year")
_OF_PAYMENTS = ("mechanism", "step", "last_email", "last_email_step", "last_click")
_OF_OPEN = ("age", "state", "standing")
_OF_CASES = ("policy", "policy_version", "decline_code", "advice", "network", "country", "plan")
_AMONG_OPEN = dict.fromkeys(_OF_OPEN, "it is of what is open now, in `at-risk`")
_AMONG_LOST = dict.fromkeys(("kind", "cause"), "it is of what was lost, in `lost`")
# Keys that a report has no rows by, and why not.
_WHY_NOT: dict[str, dict[str, str]] = {
    "at-risk": _AMONG_LOST
    | dict.fromkeys(_PERIODS, "what is open now is of no period; `age` says how old it is")
    | dict.fromkeys(_OF_PAYMENTS, "nothing of it has come in yet"),
    "recovered": _AMONG_OPEN | _AMONG_LOST,
    "lost": _AMONG_OPEN
    | dict.fromkeys(_OF_PAYMENTS, "nothing brought in what was lost; late money is in `recovered`"),
    "rates": _AMONG_OPEN | _AMONG_LOST,
    "churn": _AMONG_OPEN
    | {"cause": "`kind` says why it ended"}
    | dict.fromkeys(_OF_PAYMENTS, "who left has not paid; what was paid is in `recovered`")
    | dict.fromkeys(
        (*_OF_CASES, "segment"), "most subscriptions never had a case that would say it"
    ),
    "uplift": _AMONG_OPEN
    | _AMONG_LOST
    | dict.fromkeys(_OF_PAYMENTS, "both groups are compared whole, however the money came in")
    | dict.fromkeys(
        (*_PERIODS, *_OF_CASES, "segment", "source", "currency"),
        "the groups would be too small to be compared; currencies are always apart",
    ),
}


def checked_breakdown(report: str, by: Sequence[str], valid: Sequence[str]) -> tuple[str, ...]:
    """The keys of a breakdown, each once; `RefusedError` when one is not known, or not of it."""
    meant = [key if key in valid else _MEANT.get(key, key) for key in by]
    for key in meant:
        why = _WHY_NOT.get(report, {}).get(key)
        if key not in valid and why is not None:
            raise RefusedError(f"{report} by {key!r}: {why}; it can be {', '.join(valid)}")
        refuse_unknown(f"{report} by", key, valid)
    return tuple(dict.fromkeys(meant))


def in_order(rows: list[Row], keys: Sequence[str], ranks: Mapping[str, Sequence[str]]) -> list[Row]:
    """Sorted by their keys, then by currency; `ranks` are keys whose words have their own order."""

    def place(row: Row, key: str) -> tuple[bool, int, str]:
        value = row[key]
        rank = ranks[key].index(value) if value in ranks.get(key, ()) else 0
        return (value is None, rank, str(value))

    return sorted(rows, key=lambda row: [place(row, key) for key in (*keys, "currency")])
