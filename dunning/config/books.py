"""`books` of the policy file: by whose calendar finance counts."""

from __future__ import annotations

from calendar import month_name
from dataclasses import dataclass

from dunning.config import values
from dunning.config.cursor import At, fields, word

BOOKS_KEYS = ("timezone", "fiscal_year_start")
MONTHS = tuple(name.lower() for name in month_name[1:])


@dataclass(frozen=True, slots=True)
class Books:
    """The calendar of reports; what is said on the command line comes first."""

    timezone: str = "UTC"
    fiscal_year_start: int = 1  # the month

    def __str__(self) -> str:
        """In words, for people who compare two files."""
        return f"{self.timezone}, years from {month_name[self.fiscal_year_start]}"


USUAL = Books()


def read_books(at: At | None) -> Books:
    """What the file says; what is wrong is in the report."""
    found = None if at is None else fields(at, BOOKS_KEYS)
    if found is None:
        return USUAL
    if not found.table.entries:
        found.at.fail(f"expected some of {', '.join(BOOKS_KEYS)}")
    zone = found.read("timezone", values.timezone, "UTC")
    return Books(zone or "UTC", found.read("fiscal_year_start", _month, 1) or 1)


def _month(at: At) -> int | None:
    name = word(at, MONTHS, "a month")
    return None if name is None else MONTHS.index(name) + 1


def describe_books(books: Books) -> list[str]:
    """What differs from the usual, as `policy explain` says it."""
    if books == USUAL:
        return []
    start = month_name[books.fiscal_year_start]
    return [f"Reports go by the calendar of {books.timezone}; years begin in {start}."]
