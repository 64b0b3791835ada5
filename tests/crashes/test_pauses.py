"""A worker that stands still for longer than its lease, and comes back."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crashes.house import House
from tests.crashes.resuming import resumes, yesterday
from tests.crashes.stories import people

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)


def test_a_worker_that_stands_still_and_comes_back_writes_nothing(apart: House) -> None:
    """What it was about took place; another one found it; what it says afterwards is refused."""
    (ann,) = people(apart, 1)
    world = apart.world
    world.declines(ann)
    apart.start_all(("web", "dispatch", "worker-1"))

    # An email is taken, and the worker does not hear of it.
    world.mailbox.slow = 5.0
    apart.sandbox.clock.advance(int(ann.renews_at.timestamp()) + 3600)
    stands_still(apart, "worker-1", lambda: world.mailbox.messages, "the email is taken")
    world.mailbox.slow = 0.0
    assert world.step(ann, "email:1").result == "doubtful"
    assert len(world.mailbox.messages) == 1

    # A charge is made, its answer takes its time.
    apart.goes_to(int(ann.renews_at.timestamp()) + 24 * 3600)
    apart.rests()
    apart.lives.pop("worker-1").dies()
    apart.sandbox.next_charge({"hang": 5.0})
    apart.sandbox.clock.advance(apart.sandbox.now + 2 * 3600)
    paid = "api succeed"
    stands_still(apart, "worker-2", lambda: paid in world.tries(ann), "the charge is made")
    assert world.state(ann) == ("recovered", "full", "paid")
    assert world.tries(ann) == ["stripe decline", paid]
    apart.rests()
    apart.audit()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_charge_whose_worker_was_killed_is_taken_up_when_its_lease_is_over(
    tmp_path: Path, migrated_url: str, redis_url: str
) -> None:
    """By the machine's clock, and by nobody's help; how soon is for a quiet machine to say."""
    with yesterday(migrated_url, tmp_path, redis_url) as house:
        took = resumes(house)
    print(f"\ntaken up after {took.seconds:.1f} s, lease {took.lease} s")  # noqa: T201 - for -s


def stands_still(house: House, name: str, so: Callable[[], object], what: str) -> None:
    """Stopped at that moment, its work done by the next worker, and going on when that is over."""
    house.until(so, what)
    slow = house.lives[name]
    slow.signal(signal.SIGSTOP)
    kind, _, number = name.partition("-")
    house.start(f"{kind}-{int(number) + 1}")
    house.passes()
    house.rests()
    before = house.world.record()
    slow.signal(signal.SIGCONT)
    house.until(lambda: "step.lease_lost" in slow.said(), "the late one is refused")
    assert house.world.record() == before
