"""Scope: what a report is asked, the same for every report, and checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Literal, get_args

from dunning.core.money import currency_code
from dunning.errors import RefusedError
from dunning.reports.periods import span, unit_of, zone_named
from dunning.reports.report import checked_breakdown, refuse_unknown

# When the provider says it happened; when it was written down here; or where the books count it:
# when it happened, unless its month was closed by then. By the last two a correction counts by
# itself, so that what was reported of a month, or of a closed one, stays as it was.
Dated = Literal["occurred", "recorded", "books"]
DATED: tuple[Dated, ...] = get_args(Dated)

# What is no filter but the calendar of the books, which a report without periods does not need.
_CALENDAR = ("zone", "year_from")
_NAMES = {"year_from": "fiscal_year_start"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a report is about: its breakdown, its filters, and whose days it goes by."""

    by: tuple[str, ...] = ("month",)
    since: date | None = None
    until: date | None = None
    source: str | None = None
    policy: str | None = None
    currency: str | None = None
    zone: str = "UTC"
    date: Dated = "occurred"
    year_from: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, before the database is asked."""
        unit_of(self.by)
        span(self.since, self.until, zone_named(self.zone))
        refuse_unknown("date", self.date, DATED)
        if self.currency is not None:
            object.__setattr__(self, "currency", currency_code(self.currency))

    def of(self, report: str, keys: Sequence[str], without: Sequence[str] = ("date",)) -> Scope:
        """The same, for this report: `RefusedError` for a key or a filter that it does not have."""
        for one in fields(self):
            given = getattr(self, one.name) != one.default
            if given and one.name in without and one.name not in _CALENDAR:
                raise RefusedError(f"{report} cannot be asked by {one.name}")
        return replace(self, by=checked_breakdown(report, self.by, keys))

    @property
    def keys(self) -> tuple[str, ...]:
        """What rows are told apart by: the breakdown, and always the currency."""
        return self.by if "currency" in self.by else (*self.by, "currency")

    @property
    def is_recorded(self) -> bool:
        """Whether the report goes by when things were written down here."""
        return self.date == "recorded"

    @property
    def is_of_books(self) -> bool:
        """Whether it goes by the months of the books, of which closed ones never change."""
        return self.date == "books"

    @property
    def totalled(self) -> Scope:
        """The same question without a breakdown."""
        return replace(self, by=())

    def less(self, *keys: str) -> Scope:
        """The same question without these keys in its breakdown."""
        return replace(self, by=tuple(key for key in self.by if key not in keys))

    def filters(self, without: Sequence[str] = ()) -> dict[str, Any]:
        """The filters as the report states them."""
        told: dict[str, Any] = {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "by": list(self.by),
            "source": self.source,
            "policy": self.policy,
            "currency": self.currency,
            "zone": self.zone,
            "date": self.date,
            "fiscal_year_start": self.year_from,
        }
        left_out = {_NAMES.get(name, name) for name in without}
        return {name: value for name, value in told.items() if name not in left_out}


# What most reports are asked where nothing is said.
BY_MONTH = Scope()
