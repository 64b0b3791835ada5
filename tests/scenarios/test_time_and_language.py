"""Days and hours are the customer's own, and so are the words."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.scenarios.conftest import Begin
from tests.world import World


def test_the_reminder_comes_in_the_customers_morning_and_the_retry_at_their_eight(
    begin: Begin,
) -> None:
    world = begin()
    ann = world.failing(
        times=9, at_once=["product case.opened"], metadata={"timezone": "America/Los_Angeles"}
    )
    # It failed at 04:00 in Los Angeles: the first message waits until nine there, 16:00 UTC.
    world.passes(hours=4.9, expect=[])
    world.passes(hours=0.2, expect=["email payment_failed"])
    world.passes(days=4)
    assert f"{world.step(ann, 'retry:2').ended_at:%d %H:%M}" == "05 15:00"
    assert f"{world.step(ann, 'email:2').ended_at:%d %H:%M}" == "05 16:00"


def test_dates_in_a_message_are_days_of_the_customer(begin: Begin) -> None:
    """Eleven at night in Los Angeles is the next day in London; nobody reads London's date."""
    world = begin(start=_start(hour=5))
    world.failing(
        times=9, at_once=["product case.opened"], metadata={"timezone": "America/Los_Angeles"}
    )
    world.passes(hours=12, expect=["email payment_failed"])
    part = world.mailbox.messages[0].get_body(("plain",))
    assert part is not None
    text = " ".join(part.get_content().split())
    assert "April 1" in text
    assert "April 15" in text


def test_where_the_zone_is_not_known_the_policys_holds(begin: Begin) -> None:
    policy = """
version: 1
defaults: {timezone: Asia/Tokyo, send_between: "09:00-18:00"}
policies:
  standard:
    grace: 9d
    window: 9d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 1d, do: retry, time: "08:00"}
"""
    world = begin(policy=policy)
    ann = world.failing(times=9, at_once=["product case.opened"])
    world.passes(days=3, expect=["email payment_failed", "retry:1 declined"])
    assert f"{world.step(ann, 'email:1').ended_at:%d %H:%M}" == "03 00:00"
    assert f"{world.step(ann, 'retry:1').ended_at:%d %H:%M}" == "03 23:00"


def test_clocks_that_go_forward_lose_no_step(begin: Begin) -> None:
    """In New York the night of 8 March has no half past two."""
    policy = """
version: 1
policies:
  standard:
    grace: 9d
    window: 9d
    timeline:
      - {at: 1d, do: retry, time: "02:30"}
      - {at: 2d, do: retry, time: "02:30"}
"""
    world = begin(policy=policy, start=_start(month=2, day=5))
    ann = world.failing(
        times=9, at_once=["product case.opened"], metadata={"timezone": "America/New_York"}
    )
    world.passes(days=4, expect=["retry:1 declined", "retry:2 declined"])
    assert f"{world.step(ann, 'retry:1').ended_at:%d %H:%M}" == "07 07:30"
    assert f"{world.step(ann, 'retry:2').ended_at:%d %H:%M}" == "08 07:30"


def test_an_unknown_language_falls_back_and_is_not_a_fault(world: World) -> None:
    world.failing(preferred_locales=["tlh"])
    (row,) = world.messages()
    assert row.state == "sent"
    world.passes(days=1, expect=["retry:1 paid", "product case.recovered", "email recovered"])


def _start(*, month: int = 3, day: int = 2, hour: int = 10) -> datetime:
    return datetime(2026, month, day, hour, 0, tzinfo=UTC)
