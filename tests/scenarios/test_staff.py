"""Staff are told of a story as it goes: what the file says, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.staff import Notice, Staff
from dunning.staff.ways import Outcome
from tests.scenarios.conftest import Begin
from tests.world import World

POLICY = """
version: 1
segments: {vip: {tag: vip}}
policies:
  standard:
    grace: 3d
    window: 28d
    timeline:
      - {at: 1d, do: retry}
      - {at: 3d, do: suspend}
"""
# What the file says of staff, and all that they hear of a yearly plan of 900 USD that is suspended.
FAILED = "A payment of 900.00 USD failed"
SUSPENDED = "suspended: 900.00 USD is owed"
# The first is due while the renewal is waited for, and comes as soon as somebody looks.
FIRST, DAILY = "14h Digest", "8h Digest"
STORIES = {
    "usual": ("", [FIRST, *[DAILY] * 3, SUSPENDED, DAILY]),
    "alerts": ("staff: {alerts: none, digest: none}", []),
    "high_value": ("staff: {high_value: 900 USD, digest: none}", [FAILED, SUSPENDED]),
    "above it": ("staff: {high_value: 901 USD, digest: none}", [SUSPENDED]),
    "segment": ("staff: {segment: vip, digest: none}", [SUSPENDED]),
    "empty_digest": ("staff: {alerts: none, empty_digest: leave_out}", [DAILY] * 4),
    "timezone": (
        'staff: {alerts: none, digest: "08:00", timezone: Pacific/Kiritimati}',
        [FIRST, *["20h Digest"] * 4],
    ),
    "every": ("staff: {alerts: suspended, digest: none, every: 1m}", [SUSPENDED]),
}


class Desk:
    """Somebody who reads what comes."""

    name, recipient = "chat", ""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.hour = 0

    def send(self, name: str, notice: Notice, *, again: bool) -> Outcome:
        is_digest = notice.title.startswith("Digest")
        self.titles.append(f"{self.hour}h Digest" if is_digest else notice.title)
        return Outcome(sent=True)


def told(world: World, desk: Desk, **span: Any) -> None:
    """Time passes in hours, and staff are told as it does."""
    staff = Staff(world.program.engine, world.program.policies, [desk])
    for _ in range(int(span["hours"] / 3)):
        world.passes(hours=3)
        desk.hour = world.now.hour
        staff.tick(world.now)


@pytest.mark.parametrize("name", STORIES)
def test_a_story_as_staff_hear_of_it(begin: Begin, name: str) -> None:
    said, expected = STORIES[name]
    world = begin(policy=POLICY + said + "\n")
    desk = Desk()
    Staff(world.program.engine, world.program.policies, [desk]).tick(world.now)
    world.failing(times=9, amount=90_000, interval="year", at_once=["product case.opened"])
    told(world, desk, hours=4 * 24)
    assert len(desk.titles) == len(expected), desk.titles
    for title, end in zip(desk.titles, expected, strict=True):
        assert title.endswith(end), desk.titles
