"""A worker that stands still for longer than its lease, and comes back."""

from __future__ import annotations

import signal

import pytest

from tests.crashes.house import House
from tests.crashes.stories import people

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)


def test_a_worker_that_stands_still_and_comes_back_writes_nothing(apart: House) -> None:
    """Its charge went through; another found it; what the first one says afterwards is refused."""
    (ann,) = people(apart, 1)
    apart.world.declines(ann)
    for name in ("web", "dispatch"):
        apart.start(name)
    slow = apart.start("worker-1")
    apart.renewal(ann)
    apart.passes(days=0.9)
    apart.rests()
    # The charge is made, its answer takes its time.
    apart.sandbox.next_charge({"hang": 3.0})
    apart.sandbox.clock.advance(apart.sandbox.now + 4 * 3600)
    apart.until(lambda: "api succeed" in apart.world.tries(ann), "the charge is made")
    slow.signal(signal.SIGSTOP)
    apart.start("worker-2")
    apart.passes()
    apart.rests()
    assert apart.world.state(ann) == ("recovered", "full", "paid")
    before = apart.world.record()
    slow.signal(signal.SIGCONT)
    apart.until(lambda: "step.lease_lost" in slow.said(), "the late one is refused")
    assert apart.world.record() == before
    assert apart.world.tries(ann) == ["stripe decline", "api succeed"]
    apart.audit()
