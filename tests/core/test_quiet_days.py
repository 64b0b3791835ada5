"""Quiet days: no email on them, in any zone, over any change of clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.calendar import Hours, Local, day_begins, day_of, next_opening, opening
from dunning.core.days import WEEK, Quiet, is_quiet
from dunning.workdays import works_on

WEEKEND = (Quiet.SATURDAY, Quiet.SUNDAY)
ALL = (*WEEKEND, Quiet.HOLIDAY)
OFFICE = (time(9), time(18))
ZONES = sorted(zone for zone in available_timezones() if "/" in zone)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def place(zone: str, country: str | None = None) -> Local:
    return Local(ZoneInfo(zone), country=country, works=works_on)


@pytest.mark.parametrize(
    ("moment", "where", "quiet", "opens"),
    [
        # Friday noon is fine; Friday after closing time waits for Monday.
        ("2026-06-05 12:00", place("UTC"), WEEKEND, "2026-06-05 12:00"),
        ("2026-06-05 18:30", place("UTC"), WEEKEND, "2026-06-08 09:00"),
        # The day is the customer's: in Auckland it is Saturday already, in Honolulu still Friday.
        ("2026-06-05 13:00", place("Pacific/Auckland"), WEEKEND, "2026-06-07 21:00"),
        ("2026-06-06 01:00", place("Pacific/Honolulu"), WEEKEND, "2026-06-06 01:00"),
        # Good Friday and Easter Monday, over a weekend; 9 o'clock in Oslo is 7 by then.
        ("2026-04-03 10:00", place("Europe/Oslo", "NO"), ALL, "2026-04-07 07:00"),
        ("2026-04-03 10:00", place("Europe/Oslo", "NO"), WEEKEND, "2026-04-03 10:00"),
        # A holiday on a Saturday is one where Saturdays are not quiet.
        ("2026-12-26 10:00", place("Europe/Berlin", "DE"), (Quiet.HOLIDAY,), "2026-12-27 08:00"),
        # Of who lives nobody knows where, no holiday is known.
        ("2026-12-25 10:00", place("UTC"), ALL, "2026-12-25 10:00"),
        # Clocks go forward in the night to Sunday 8 March, in New York.
        ("2026-03-07 17:00", place("America/New_York"), (Quiet.SATURDAY,), "2026-03-08 13:00"),
    ],
)
def test_an_email_waits_for_a_day_that_is_not_quiet(
    moment: str, where: Local, quiet: tuple[Quiet, ...], opens: str
) -> None:
    assert opening(utc(moment), Hours(OFFICE, quiet), where) == utc(opens)


seconds = st.integers(int(utc("2000-01-01").timestamp()), int(utc("2037-01-01").timestamp()))
moments = seconds.map(lambda second: datetime.fromtimestamp(second, UTC))
zones = st.sampled_from(ZONES)
spans = st.sampled_from(
    [None, OFFICE, (time(0), time(1)), (time(2, 15), time(2, 45)), (time(23), time(23, 59))]
)
quiets = st.lists(st.sampled_from(Quiet), unique=True).filter(
    lambda days: not set(WEEK) <= set(days)
)
countries = st.sampled_from([None, "US", "DE", "JP", "EG", "IL", "ZZ"])


@given(moments, zones, countries, spans, quiets)
def test_what_waits_begins_on_a_day_that_is_not_quiet(
    moment: datetime,
    zone: str,
    country: str | None,
    span: tuple[time, time] | None,
    quiet: list[Quiet],
) -> None:
    where, hours = place(zone, country), Hours(span, tuple(quiet))
    opens = opening(moment, hours, where)
    shown = opens.astimezone(where.zone)
    assert opens >= moment
    assert not is_quiet(quiet, shown.date(), country, works_on)
    assert opening(opens, hours, where) == opens
    # Nothing sooner would have done: each whole day passed over was quiet.
    day = moment.astimezone(where.zone).date() + timedelta(days=1)
    while day < shown.date():
        # A day of a country that changed sides of the date line is not there at all.
        is_there = day_of(day_begins(day, where.zone), where.zone) == day
        assert is_quiet(quiet, day, country, works_on) or not is_there
        day += timedelta(days=1)


@given(moments, zones, spans, quiets)
def test_what_is_put_off_begins_on_a_later_day(
    moment: datetime, zone: str, span: tuple[time, time] | None, quiet: list[Quiet]
) -> None:
    where, hours = place(zone), Hours(span, tuple(quiet))
    opens = next_opening(moment, hours, where)
    assert day_of(opens, where.zone) > day_of(moment, where.zone)
    assert opening(opens, hours, where) == opens
    if not quiet:
        assert opens - moment <= timedelta(days=2, hours=2)


@given(st.dates(date(2000, 1, 1), date(2037, 1, 1)), zones)
def test_a_day_begins_with_its_first_moment(day: date, zone: str) -> None:
    begins = day_begins(day, ZoneInfo(zone))
    assert day_of(begins, ZoneInfo(zone)) >= day
    assert day_of(begins - timedelta(microseconds=1), ZoneInfo(zone)) < day
