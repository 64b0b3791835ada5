"""`books` of the policy file: by whose calendar finance counts, and when it gets its report."""

from __future__ import annotations

from calendar import month_name
from dataclasses import dataclass

from dunning.config import values
from dunning.config.cursor import At, fields, word
from dunning.config.yaml_tree import Scalar

BOOKS_KEYS = ("timezone", "fiscal_year_start", "report_day")
MONTHS = tuple(name.lower() for name in month_name[1:])
# The last day that every month has.
LAST_DAY = 28


@dataclass(frozen=True, slots=True)
class Books:
    """The calendar of reports; what is said on the command line comes first."""

    timezone: str = "UTC"
    fiscal_year_start: int = 1  # the month
    report_day: int = 5  # of the next month, when the report of a month goes out by mail

    def __str__(self) -> str:
        """In words, for people who compare two files."""
        start = month_name[self.fiscal_year_start]
        return (
            f"{self.timezone}, years from {start}, the report of a month on day {self.report_day}"
        )


USUAL = Books()


def read_books(at: At | None) -> Books:
    """What the file says; what is wrong is in the report."""
    found = None if at is None else fields(at, BOOKS_KEYS)
    if found is None:
        return USUAL
    if not found.table.entries:
        found.at.fail(f"expected some of {', '.join(BOOKS_KEYS)}")
    zone = found.read("timezone", values.timezone, "UTC")
    return Books(
        zone or "UTC",
        found.read("fiscal_year_start", _month, 1) or 1,
        found.read("report_day", _day, USUAL.report_day) or USUAL.report_day,
    )


def _month(at: At) -> int | None:
    name = word(at, MONTHS, "a month")
    return None if name is None else MONTHS.index(name) + 1


def _day(at: At) -> int | None:
    text = at.node.text.strip() if isinstance(at.node, Scalar) else ""
    if text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= LAST_DAY:
        return int(text)
    at.fail(f"expected a day of the month from 1 to {LAST_DAY}")
    return None


def describe_books(books: Books) -> list[str]:
    """What differs from the usual, as `policy explain` says it."""
    told = []
    if (books.timezone, books.fiscal_year_start) != (USUAL.timezone, USUAL.fiscal_year_start):
        start = month_name[books.fiscal_year_start]
        told.append(f"Reports go by the calendar of {books.timezone}; years begin in {start}.")
    if books.report_day != USUAL.report_day:
        told.append(
            f"Finance gets the report of a month on day {books.report_day} of the next one."
        )
    return told
