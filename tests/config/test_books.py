"""`books` of the policy file: what it says, what is usual, what is refused."""

from __future__ import annotations

import pytest

from dunning.config import Books, describe_books, load_policies
from dunning.errors import ConfigError

FILE = """version: 1
books: BOOKS
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {at: 1d, do: retry}
"""


def books(text: str) -> Books:
    told = FILE.replace("BOOKS", text)
    return load_policies(told, filename="p.yaml", environ=None, known_templates=[]).books


def test_what_the_file_says_and_what_is_usual() -> None:
    assert books("{report_day: 28}") == Books(report_day=28)
    assert books("{timezone: Europe/Berlin}") == Books("Europe/Berlin", 1, 5)
    assert describe_books(Books()) == []
    assert describe_books(Books("Asia/Tokyo", 4, 2)) == [
        "Reports go by the calendar of Asia/Tokyo; years begin in April.",
        "Finance gets the report of a month on day 2 of the next one.",
    ]


@pytest.mark.parametrize("day", ["0", "29", "-1", "1.5", "fifth", "[5]"])
def test_a_day_that_not_every_month_has_is_refused(day: str) -> None:
    with pytest.raises(ConfigError, match="expected a day of the month from 1 to 28"):
        books(f"{{report_day: {day}}}")
