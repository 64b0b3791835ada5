"""Periods: every moment in exactly one, wherever clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.core.attribution import (
    BACKUP_METHOD,
    BY_HAND,
    HOLDOUT,
    LINK,
    NATURAL,
    NEW_CARD,
    OUTSIDE,
    PROVIDER,
    UPDATER,
    is_ours,
)
from dunning.errors import RefusedError
from dunning.reports.origins import CLAIMED, UNKNOWN, mechanism_of, step_of
from dunning.reports.periods import (
    Unit,
    first_moment,
    label_at,
    label_of,
    offsets,
    periods_between,
    span,
    unit_of,
    zone_named,
)
from dunning.reports.recovered import MECHANISMS

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Asia/Kathmandu"]
MOMENTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(MOMENTS, st.timedeltas(timedelta(0), timedelta(days=800)), st.sampled_from(ZONES))
def test_offsets_say_what_the_clock_says(first: datetime, length: timedelta, name: str) -> None:
    zone = zone_named(name)
    last = first + length
    known = offsets(zone, first, last)
    assert known[0][0] == first
    moments = [first, last, first + length / 3]
    for since, _ in known[1:]:
        assert since.microsecond == 0
        moments += [since, since - timedelta(microseconds=1)]
    for at in moments:
        [*_, (_, offset)] = [entry for entry in known if entry[0] <= at]
        assert at.astimezone(zone).utcoffset() == offset


@given(MOMENTS, st.sampled_from(ZONES))
def test_a_day_begins_at_its_first_moment(at: datetime, name: str) -> None:
    zone = zone_named(name)
    begins = first_moment(at.astimezone(zone).date(), zone)
    assert begins <= at
    assert label_at("day", begins, zone) == label_at("day", at, zone)
    assert label_at("day", begins - timedelta(microseconds=1), zone) < label_at("day", at, zone)


@pytest.mark.parametrize(
    ("unit", "day", "label"),
    [
        ("week", date(2027, 1, 1), "2026-W53"),
        ("week", date(2024, 12, 30), "2025-W01"),
        ("quarter", date(2026, 12, 31), "2026-Q4"),
        ("quarter", date(2026, 4, 1), "2026-Q2"),
        ("month", date(2024, 2, 29), "2024-02"),
        ("year", date(2024, 12, 31), "2024"),
    ],
)
def test_labels(unit: Unit, day: date, label: str) -> None:
    assert label_of(unit, day) == label


def test_a_day_without_midnight_begins_where_the_clock_skips() -> None:
    # In Santiago 2025-09-07 begins at 01:00: at 04:00 UTC the clock went from 24:00 to 01:00.
    assert first_moment(date(2025, 9, 7), zone_named("America/Santiago")) == datetime(
        2025, 9, 7, 4, tzinfo=UTC
    )


def test_a_span_holds_its_last_day() -> None:
    starts, ends = span(date(2026, 3, 29), date(2026, 3, 29), zone_named("Europe/Berlin"))
    assert starts is not None
    assert ends is not None
    assert ends - starts == timedelta(hours=23)
    assert span(None, None, zone_named("UTC")) == (None, None)


def test_one_period_at_a_time() -> None:
    assert unit_of(("policy",)) is None
    assert unit_of(("policy", "week")) == "week"
    with pytest.raises(RefusedError):
        unit_of(("week", "year"))


@pytest.mark.parametrize("name", ["localtime", "", "../etc/passwd", "Mars/Base"])
def test_a_zone_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(RefusedError):
        zone_named(name)


def test_every_mechanism_of_the_core_has_its_place() -> None:
    ours = [NEW_CARD, BACKUP_METHOD, BY_HAND, "retry:1", "retry:12"]
    words = [OUTSIDE, PROVIDER, UPDATER, LINK, NATURAL, HOLDOUT, *ours, ""]
    assert {mechanism_of(word) for word in words} == set(MECHANISMS)
    unclaimed = (OUTSIDE, PROVIDER, UPDATER, NATURAL, HOLDOUT, "")
    assert {mechanism_of(word) for word in unclaimed}.isdisjoint(CLAIMED)
    assert {word for word in words if is_ours(word)} == {*ours, LINK}
    assert mechanism_of("") == UNKNOWN
    assert {word for word in words if step_of(word)} == set(ours)


def test_more_periods_than_anybody_reads_are_refused_and_not_cut() -> None:
    starts = datetime(2020, 1, 1, tzinfo=UTC)
    found = list(periods_between("day", starts, starts + timedelta(days=1_000), zone_named("UTC")))
    assert len(found) == 1_000
    with pytest.raises(RefusedError, match="longer period"):
        list(periods_between("day", starts, starts + timedelta(days=1_001), zone_named("UTC")))
