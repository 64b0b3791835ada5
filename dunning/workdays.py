"""Which days a country works: its weekends and public holidays, from the `holidays` library.

Public holidays of the whole country; those of single states are not known to us.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Any

from dunning.core.days import Works, monday_to_friday


class _Countries:
    """Every country that the library knows."""

    def __call__(self, country: str | None, day: date, /) -> bool:
        """Whether people work there on that day; Monday to Friday where nothing is known of it."""
        known = _calendar(country.upper(), day.year) if country else None
        return monday_to_friday(country, day) if known is None else bool(known.is_working_day(day))

    def holiday(self, country: str | None, day: date, /) -> bool:
        """Whether it is a public holiday there; none where nothing is known of it."""
        known = _calendar(country.upper(), day.year) if country else None
        return known is not None and day in known


@lru_cache(maxsize=512)
def _calendar(country: str, year: int) -> Any:
    # Slow to import, and wanted only by policies that name business days.
    import holidays

    try:
        return holidays.country_holidays(country, years=year)
    except NotImplementedError:
        return None


works_on: Works = _Countries()
