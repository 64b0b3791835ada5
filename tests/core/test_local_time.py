"""The customer's own time: windows, times of day, preferred days, and clocks that change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.calendar import Local, at_time, in_window, known_zone, on_day, zone_of, zones
from dunning.core.days import PATIENCE, Day, Wish

NEW_YORK = ZoneInfo("America/New_York")
THERE = Local(NEW_YORK)
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in (
        *("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe"),
        *("Pacific/Apia", "America/St_Johns", "Africa/Casablanca", "Pacific/Chatham"),
    )
]
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 3 * 365 * 86_400).map(lambda s: FIRST + timedelta(seconds=s))
CLOCKS = st.times().map(lambda clock: clock.replace(second=0, microsecond=0, fold=0))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "clock", "zone", "expected"),
    [
        # The same day, the next day, exactly then.
        ("2026-01-05 12:00", time(8), NEW_YORK, "2026-01-05 13:00"),
        ("2026-01-05 13:00", time(8), NEW_YORK, "2026-01-05 13:00"),
        ("2026-01-05 13:01", time(8), NEW_YORK, "2026-01-06 13:00"),
        # The local day is another one than in UTC.
        ("2026-01-06 02:00", time(23), NEW_YORK, "2026-01-06 04:00"),
        ("2026-01-05 23:30", time(0, 30), BERLIN, "2026-01-05 23:30"),
        # Summer begins: 8:00 comes an hour earlier; a time that is left out comes an hour later.
        ("2026-03-07 14:00", time(8), NEW_YORK, "2026-03-08 12:00"),
        ("2026-03-08 05:00", time(2, 30), NEW_YORK, "2026-03-08 07:30"),
        ("2026-03-28 22:00", time(2, 30), BERLIN, "2026-03-29 01:30"),
        # Winter begins: 8:00 comes an hour later; a time shown twice is not missed.
        ("2026-10-31 13:00", time(8), NEW_YORK, "2026-11-01 13:00"),
        ("2026-11-01 05:00", time(1, 30), NEW_YORK, "2026-11-01 05:30"),
        ("2026-11-01 05:45", time(1, 30), NEW_YORK, "2026-11-01 06:30"),
        ("2026-11-01 06:45", time(1, 30), NEW_YORK, "2026-11-02 06:30"),
    ],
)
def test_the_next_time_the_clock_shows_a_time(
    moment: str, clock: time, zone: ZoneInfo, expected: str
) -> None:
    assert at_time(utc(moment), clock, zone) == utc(expected)


@given(moment=MOMENTS, clock=CLOCKS, zone=st.sampled_from(ZONES))
def test_a_time_of_day_comes_within_about_a_day(
    moment: datetime, clock: time, zone: ZoneInfo
) -> None:
    found = at_time(moment, clock, zone)
    assert moment <= found <= moment + timedelta(hours=25)
    shown = found.astimezone(zone)
    left_out = shown.utcoffset() != (found - timedelta(hours=2)).astimezone(zone).utcoffset()
    assert (shown.hour, shown.minute) == (clock.hour, clock.minute) or left_out


WINDOW = (time(9), time(18))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-05 13:59:59", "2026-01-05 14:00:00"),
        ("2026-01-05 14:00:00", "2026-01-05 14:00:00"),
        ("2026-01-05 22:59:59", "2026-01-05 22:59:59"),
        # Closing time is too late.
        ("2026-01-05 23:00:00", "2026-01-06 14:00:00"),
        ("2026-01-06 03:00:00", "2026-01-06 14:00:00"),
        # Over both changes of the clocks.
        ("2026-03-07 23:30:00", "2026-03-08 13:00:00"),
        ("2026-10-31 22:30:00", "2026-11-01 14:00:00"),
    ],
)
def test_mail_waits_for_the_window(moment: str, expected: str) -> None:
    assert in_window(utc(moment), WINDOW, NEW_YORK) == utc(expected)


def test_without_a_window_mail_goes_at_any_time() -> None:
    moment = utc("2026-01-05 03:33")
    assert in_window(moment, None, NEW_YORK) == moment


@given(moment=MOMENTS, zone=st.sampled_from(ZONES))
def test_what_waited_for_the_window_is_in_it(moment: datetime, zone: ZoneInfo) -> None:
    found = in_window(moment, WINDOW, zone)
    assert moment <= found < moment + timedelta(hours=25)
    assert WINDOW[0] <= found.astimezone(zone).time() < WINDOW[1]
    assert in_window(found, WINDOW, zone) == found


@pytest.mark.parametrize(
    ("moment", "days", "expected"),
    [
        # Monday 12 January: the 15th is a payday within three days.
        ("2026-01-12 12:00", (Day.PAYDAY, Day.WEEKDAY), "2026-01-15 12:00"),
        # Sunday the 11th: no payday near, so the next weekday.
        ("2026-01-11 12:00", (Day.PAYDAY, Day.WEEKDAY), "2026-01-12 12:00"),
        ("2026-01-15 12:00", (Day.PAYDAY,), "2026-01-15 12:00"),
        # The last day of a month is a payday, and so is the first.
        ("2026-02-26 12:00", (Day.PAYDAY,), "2026-02-28 12:00"),
        ("2028-02-28 12:00", (Day.PAYDAY,), "2028-02-29 12:00"),
        ("2026-03-01 12:00", (Day.PAYDAY,), "2026-03-01 12:00"),
        # None within three days: as it was.
        ("2026-01-05 12:00", (Day.PAYDAY,), "2026-01-05 12:00"),
        ("2026-01-10 12:00", (Day.WEEKDAY,), "2026-01-12 12:00"),
        # Days by name and by number; the last one for a number that the month does not have.
        ("2026-01-05 12:00", (Day.THURSDAY,), "2026-01-08 12:00"),
        ("2026-01-05 12:00", (7,), "2026-01-07 12:00"),
        ("2026-02-26 12:00", (31,), "2026-02-28 12:00"),
        ("2026-01-29 12:00", (30,), "2026-01-30 12:00"),
        ("2026-01-30 12:00", (Day.LAST_DAY,), "2026-01-31 12:00"),
        # Where nothing is known of the country, its business days are Monday to Friday.
        ("2026-01-10 12:00", (Day.BUSINESS_DAY,), "2026-01-12 12:00"),
        # The order of wishes counts: Friday the 30th is a weekday, Saturday the 31st a payday.
        ("2026-01-30 12:00", (Day.PAYDAY, Day.WEEKDAY), "2026-01-31 12:00"),
        ("2026-01-30 12:00", (Day.WEEKDAY, Day.PAYDAY), "2026-01-30 12:00"),
    ],
)
def test_a_rung_waits_for_the_day_it_prefers(
    moment: str, days: tuple[Wish, ...], expected: str
) -> None:
    assert on_day(utc(moment), days, Local(ZoneInfo("UTC"))) == utc(expected)


def test_paydays_are_those_of_the_policy() -> None:
    local = Local(ZoneInfo("UTC"), paydays=(25,))
    assert on_day(utc("2026-01-13 12:00"), (Day.PAYDAY,), local) == utc("2026-01-13 12:00")
    assert on_day(utc("2026-01-23 12:00"), (Day.PAYDAY,), local) == utc("2026-01-25 12:00")


def test_business_days_are_those_of_the_country() -> None:
    class Once:
        def __call__(self, country: str | None, day: date, /) -> bool:
            return country == "NO" and day.isoformat() == "2026-05-19"

        def holiday(self, country: str | None, day: date, /) -> bool:
            raise NotImplementedError

    local = Local(ZoneInfo("UTC"), country="NO", works=Once())
    assert on_day(utc("2026-05-17 12:00"), (Day.BUSINESS_DAY,), local) == utc("2026-05-19 12:00")


def test_patience_is_how_far_a_day_is_looked_for() -> None:
    monday, local = utc("2026-01-05 12:00"), Local(ZoneInfo("UTC"))
    assert on_day(monday, (Day.SUNDAY,), local, timedelta(days=5)) == monday
    assert on_day(monday, (Day.SUNDAY,), local, timedelta(days=6)) == utc("2026-01-11 12:00")


def test_the_day_is_the_customers_and_the_time_of_day_stays_over_a_change_of_clocks() -> None:
    # In New York it is still Saturday the 14th of March; the clocks changed a week before.
    assert on_day(utc("2026-03-15 02:00"), (Day.PAYDAY,), THERE) == utc("2026-03-16 02:00")
    # From Saturday to Monday over the change: 12:00 in New York both times.
    assert on_day(utc("2026-03-07 17:00"), (Day.WEEKDAY,), THERE) == utc("2026-03-09 16:00")
    assert on_day(utc("2026-10-31 16:00"), (Day.WEEKDAY,), THERE) == utc("2026-11-02 17:00")


@given(
    moment=MOMENTS,
    zone=st.sampled_from(ZONES),
    days=st.lists(st.sampled_from(Day) | st.integers(1, 31), unique=True).map(tuple),
)
def test_no_preference_moves_a_rung_back_or_far(
    moment: datetime, zone: ZoneInfo, days: tuple[Wish, ...]
) -> None:
    found = on_day(moment, days, Local(zone))
    assert moment <= found <= moment + PATIENCE + timedelta(hours=2)


@pytest.mark.parametrize(
    ("customer", "policy", "expected"),
    [
        ("Asia/Tokyo", "Europe/Berlin", "Asia/Tokyo"),
        (None, "Europe/Berlin", "Europe/Berlin"),
        ("", "Europe/Berlin", "Europe/Berlin"),
        ("Mars/Olympus", "Europe/Berlin", "Europe/Berlin"),
        ("../../etc/passwd", "Europe/Berlin", "Europe/Berlin"),
        ("America", "Europe/Berlin", "Europe/Berlin"),
        ("Bad\x00Name", "Europe/Berlin", "Europe/Berlin"),
        ("\ud800", "Europe/Berlin", "Europe/Berlin"),
        ("Mars/Olympus", "Mars/Olympus", "UTC"),
    ],
)
def test_an_unknown_zone_gives_way_to_the_policys(
    customer: str | None, policy: str, expected: str
) -> None:
    assert zone_of(customer, None, policy).key == expected


@pytest.mark.parametrize(
    ("customer", "country", "expected"),
    [
        ("Asia/Tokyo", "NO", "Asia/Tokyo"),
        (None, "NO", "Europe/Oslo"),
        ("Mars/Olympus", "no", "Europe/Oslo"),
        # In its middle, so that nobody is written to at night.
        (None, "US", "America/Chicago"),
        (None, "ZZ", "UTC"),
    ],
)
def test_a_country_says_which_zone_when_the_customer_does_not(
    customer: str | None, country: str, expected: str
) -> None:
    assert zone_of(customer, country, "UTC").key == expected


def test_every_zone_of_a_country_is_known() -> None:
    assert all(known_zone(zone) for zone in zones().values())
    assert len(zones()) > 240


def changes(zone: ZoneInfo) -> Iterator[datetime]:
    """Every moment of ten years at which the clocks of a zone change, to the minute."""
    step = timedelta(days=5)
    for number in range(731):
        left, right = FIRST + number * step, FIRST + (number + 1) * step
        if left.astimezone(zone).utcoffset() == right.astimezone(zone).utcoffset():
            continue
        while right - left > timedelta(minutes=1):
            middle = left + (right - left) / 2
            same = left.astimezone(zone).utcoffset() == middle.astimezone(zone).utcoffset()
            left, right = (middle, right) if same else (left, middle)
        yield right.replace(second=0, microsecond=0)


def test_over_every_change_of_the_clocks_of_ten_years_no_time_of_day_is_missed_or_far() -> None:
    """Every zone of the tables: before, in and after each change, at the hours around it."""
    seen = 0
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for change in changes(zone):
            seen += 1
            for minutes in (-90, -30, 0, 30, 90):
                moment = change + timedelta(minutes=minutes)
                for clock in (time(0), time(1, 30), time(2, 30), time(8)):
                    check_time(moment, clock, zone)
    assert seen > 2_000


def check_time(moment: datetime, clock: time, zone: ZoneInfo) -> None:
    found = at_time(moment, clock, zone)
    assert moment <= found <= moment + timedelta(hours=26), (zone, moment, clock)
    shown = found.astimezone(zone)
    if (shown.hour, shown.minute) != (clock.hour, clock.minute):
        # Left out that day: shown as the same time after the change.
        before = (found - timedelta(hours=3)).astimezone(zone).replace(tzinfo=None)
        gap = shown.replace(tzinfo=None) - before - timedelta(hours=3)
        assert gap > timedelta(0), (zone, moment, clock)
        meant = shown - gap
        assert (meant.hour, meant.minute) == (clock.hour, clock.minute)


@given(st.text(max_size=80))
def test_no_name_of_a_zone_is_an_error(name: str) -> None:
    assert known_zone(name) is None or isinstance(known_zone(name), ZoneInfo)
