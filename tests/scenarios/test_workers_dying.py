"""A worker dies or dawdles in the middle of a step: another takes over, nothing happens twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlmodel import select

from dunning.store import CaseRow, MessageRow
from tests.scenarios.conftest import Begin
from tests.world import World

PAID = ["product case.recovered", "email recovered"]


@pytest.fixture
def world(begin: Begin) -> World:
    """A world in which a lease is short: what a dead worker held is taken up a second later."""
    return begin(environ={"DUNNING_LEASE_SECONDS": "1"})


def dies_once(world: World, where: str) -> None:
    """The next worker to come to this part of the executor dies there."""
    executor: Any = world.program.executor
    real: Callable[..., Any] = getattr(executor, where)

    def die(*_: Any) -> None:
        setattr(executor, where, real)
        raise RuntimeError("killed")

    setattr(executor, where, die)


def test_a_worker_that_dies_before_it_acts_is_replaced(world: World) -> None:
    ann = world.failing()
    dies_once(world, "_act")
    world.passes(days=1, minutes=1, expect=["retry:1 paid", *PAID])
    assert world.step(ann, "retry:1").tries == 2
    assert world.tries(ann) == ["stripe decline", "api succeed"]


def test_a_worker_that_dies_after_the_charge_leaves_it_to_be_found(world: World) -> None:
    ann = world.failing()
    world.sandbox.deliver("hold")
    dies_once(world, "_conclude")
    world.passes(days=1, minutes=1, expect=["retry:1 paid", *PAID])
    assert world.tries(ann) == ["stripe decline", "api succeed"]
    assert "found at the provider" in world.step(ann, "retry:1").why
    world.control("DELETE", "deliveries/rules")
    world.sandbox.release()
    world.settles(expect=[])


def test_the_webhook_of_a_charge_whose_worker_died_says_it_first(world: World) -> None:
    ann = world.failing()
    dies_once(world, "_conclude")
    world.passes(days=1, minutes=1, expect=["product case.recovered", "retry:1 paid", PAID[1]])
    assert world.tries(ann) == ["stripe decline", "api succeed"]
    assert world.how(ann) == ["retry:1"]


def test_a_decline_whose_worker_died_is_not_charged_again_for_the_same_rung(world: World) -> None:
    ann = world.failing(times=2)
    dies_once(world, "_conclude")
    world.passes(days=1, minutes=1, expect=["retry:1 declined"])
    assert world.tries(ann) == ["stripe decline", "api decline"]
    world.passes(days=3, expect=["email reminder", "retry:2 paid", *PAID])


def test_a_message_whose_worker_died_is_counted_doubtful_and_not_sent_again(world: World) -> None:
    ann = world.customer()
    world.declines(ann, times=2)
    world.passes(days=1)
    executor: Any = world.program.executor
    real = executor._conclude

    def die(done: Any) -> None:
        if any(one.intent.doing.step.kind == "email" for one in done):
            executor._conclude = real
            raise RuntimeError("killed")
        real(done)

    executor._conclude = die
    world.leaves.add("doubtful")
    world.renewal(ann)
    happened = world.happened() + world.passes(minutes=2)
    assert happened == ["product case.opened", "email:1 doubtful"]
    assert len(world.mailbox.messages) == 1
    assert "not sent twice" in world.step(ann, "email:1").why
    world.passes(days=1, expect=["retry:1 declined"])


def test_a_suspension_whose_worker_died_is_made_once(world: World) -> None:
    ann = world.failing(times=20)
    world.passes(days=13.9)
    dies_once(world, "_conclude")
    world.passes(days=0.2, expect=["suspend:1", "product access.suspended", "email suspended"])
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).pause_collection is not None


def test_giving_up_whose_worker_died_is_finished_and_stays_our_doing(world: World) -> None:
    ann = world.failing(times=20)
    world.passes(days=27.9)
    dies_once(world, "_conclude")
    world.passes(days=0.2, expect=["give_up:1", "product case.lost"])
    assert world.state(ann) == ("lost", "suspended", "given_up")
    assert world.stripe.v1.subscriptions.retrieve(ann.subscription).status == "canceled"


def test_a_worker_that_comes_back_after_its_lease_can_write_nothing(world: World) -> None:
    ann = world.failing(times=9)
    executor: Any = world.program.executor
    real = executor._conclude
    kept: list[Any] = []

    def dawdle(done: Any) -> None:
        executor._conclude = real
        kept.extend(done)
        raise RuntimeError("as good as dead")

    executor._conclude = dawdle
    world.passes(days=1, minutes=1, expect=["retry:1 declined"])
    before = _rows(world)
    (late,) = kept
    with pytest.raises(Exception, match="somebody else holds the case"):
        executor._conclude([late])
    assert _rows(world) == before
    world.passes(days=1, expect=[])
    assert world.tries(ann) == ["stripe decline", "api decline"]


def _rows(world: World) -> list[object]:
    with world.session() as session:
        cases = [(row.version, row.facts) for row in session.exec(select(CaseRow)).all()]
        sent = [row.step_key for row in session.exec(select(MessageRow)).all()]
    return [cases, sent]
