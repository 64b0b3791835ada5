"""`staff` in a policy file: what is usual, what may be said, and what is wrong."""

from __future__ import annotations

from datetime import time, timedelta

import pytest

from dunning.config import Alert, StaffTerms, describe_staff
from dunning.config.staff import USUAL, Empty
from dunning.core.money import Money
from tests.config.files import heads, load

FILE = """
version: 1
defaults: {timezone: Europe/Berlin}
segments: {vip: {tag: vip}}
policies:
  standard:
    grace: 3d
    window: 5d
    timeline: [{at: 1d, do: retry}]
staff: STAFF
"""


def text_of(staff: str) -> str:
    return FILE.replace("STAFF", staff)


def read(staff: str) -> StaffTerms:
    return load(text_of(staff)).staff


def test_what_is_usual_where_nothing_is_said() -> None:
    usual = load(FILE.replace("staff: STAFF", "")).staff
    assert usual == StaffTerms(timezone="Europe/Berlin")
    assert usual.alerts == USUAL
    assert (usual.digest, usual.empty_digest) == (time(8), Empty.SEND)


def test_everything_said() -> None:
    assert read(
        "{alerts: [parked, high_value], high_value: [500 USD, 450 EUR], segment: vip, every: 1h,"
        ' digest: "17:30", empty_digest: leave_out, timezone: America/New_York}'
    ) == StaffTerms(
        alerts=(Alert.HIGH_VALUE, Alert.PARKED),
        high_value=(Money(50_000, "usd"), Money(45_000, "eur")),
        segment="vip",
        every=timedelta(hours=1),
        digest=time(17, 30),
        empty_digest=Empty.LEAVE_OUT,
        timezone="America/New_York",
    )


def test_nothing_at_all() -> None:
    assert read("{alerts: none, digest: none}").alerts == ()
    assert read("{alerts: none, digest: none}").digest is None


@pytest.mark.parametrize("staff", ["{high_value: 500 USD}", "{segment: vip}"])
def test_whoever_says_what_is_of_high_value_is_told_of_it(staff: str) -> None:
    assert read(staff).alerts == (Alert.HIGH_VALUE, *USUAL)


@pytest.mark.parametrize(
    ("staff", "problem"),
    [
        ("{alert: parked}", "'alert' is not a key here; expected one of"),
        ("{alerts: parkd}", "'parkd' is not an alert; expected one of"),
        ("{alerts: [parked, parked]}", "'parked' is given twice"),
        ("{alerts: high_value}", "`high_value` is among them; expected `high_value: 500 USD` too"),
        ("{alerts: parked, high_value: 5 USD}", "expected `high_value` among the alerts"),
        ("{alerts: none, segment: vip}", "expected `high_value` among the alerts"),
        ("{high_value: 500}", "'500' is not an amount; expected a number and a currency: 500 USD"),
        ("{high_value: [5 USD, 6 USD]}", "USD has two amounts; expected one for each currency"),
        ("{segment: vop}", "no segment 'vop'; expected"),
        ("{every: 10s}", "'10s' is not a duration"),
        ("{every: 2d}", "expected from 1m to 1d"),
        ("{digest: 8:00}", "'8:00' is not a time of day"),
        ("{digest: [a]}", 'expected a time of day such as "08:00", or none; found a list'),
        ("{empty_digest: maybe}", "'maybe' is not what becomes of an empty digest; expected"),
        ("{timezone: Berlin}", "'Berlin' is not a time zone"),
        ("08:00", "expected keys and values with alerts"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(staff: str, problem: str) -> None:
    (head,) = heads(text_of(staff))
    assert problem in head
    assert head.startswith("10:")


def test_in_words() -> None:
    said = describe_staff(
        read("{alerts: [parked, high_value], high_value: 500 USD, segment: vip, every: 30m}")
    )
    assert said == [
        "They are told when a case of high value is opened (from 500.00 USD on or of vip).",
        "They are told when a webhook is parked, as it was not understood.",
        "At most one message of each of these in 30m.",
        "At 08:00 (Europe/Berlin) they get a digest of the day before.",
    ]
    assert describe_staff(read("{alerts: none, digest: none}")) == ["There is no digest."]
