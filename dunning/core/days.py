"""Days that a step may wait for, or that emails pass over, in the customer's own calendar."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import Protocol


class Day(enum.StrEnum):
    """Days a rung may prefer, beside days of the month by their number."""

    PAYDAY = "payday"
    WEEKDAY = "weekday"  # Monday to Friday, holidays or not
    BUSINESS_DAY = "business_day"  # a day on which the customer's country works
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"
    LAST_DAY = "last_day"  # of the month


Wish = Day | int  # an int is a day of the month, 1 to 31


class Works(Protocol):
    """What is known of the days of a country (two letters; None: not known which)."""

    def __call__(self, country: str | None, day: date, /) -> bool:
        """Whether people work there on that day."""

    def holiday(self, country: str | None, day: date, /) -> bool:
        """Whether it is a public holiday there, on whatever day of the week."""


class Quiet(enum.StrEnum):
    """Days on which no email is written."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"
    HOLIDAY = "holiday"  # a public holiday of the customer's country


NAMES = (
    Day.MONDAY,
    Day.TUESDAY,
    Day.WEDNESDAY,
    Day.THURSDAY,
    Day.FRIDAY,
    Day.SATURDAY,
    Day.SUNDAY,
)
PAYDAYS: tuple[Wish, ...] = (1, 15, Day.LAST_DAY)
# A rung waits at most this long for the day it prefers; then it goes on as it is.
PATIENCE = timedelta(days=3)


class _MondayToFriday:
    """Where nothing is known of a country's holidays."""

    def __call__(self, country: str | None, day: date, /) -> bool:
        del country
        return day.weekday() < 5

    def holiday(self, country: str | None, day: date, /) -> bool:
        """None is known."""
        del country, day
        return False


monday_to_friday: Works = _MondayToFriday()
WEEK = tuple(Quiet)[:7]


def is_quiet(quiet: Collection[Quiet], day: date, country: str | None, works: Works) -> bool:
    """Whether no email is to be written on that day."""
    return WEEK[day.weekday()] in quiet or (Quiet.HOLIDAY in quiet and works.holiday(country, day))


def is_day(wish: Wish, day: date, paydays: tuple[Wish, ...], works: Callable[[date], bool]) -> bool:
    """Whether it is such a day. A number that the month does not have is its last day."""
    if isinstance(wish, int):
        return day.day == wish or (day.day < wish and _is_last(day))
    match wish:
        case Day.PAYDAY:
            return any(is_day(each, day, (), works) for each in paydays)
        case Day.WEEKDAY:
            return day.weekday() < 5
        case Day.BUSINESS_DAY:
            return works(day)
        case Day.LAST_DAY:
            return _is_last(day)
        case _:
            return NAMES[day.weekday()] is wish


def _is_last(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1
