"""A policy changes while cases are open: what the plan said is what then happens."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest
from sqlmodel import col, select

from dunning.acts import Person
from dunning.changing import Mover, Order, bring_into_force
from dunning.config import read_policy_text
from dunning.foreseen import Asked, Outcome, Target, target_of
from dunning.in_force import Text, loader
from dunning.messages import Messages
from dunning.planning import look
from dunning.reports import snapshot
from dunning.store import StepRow
from tests.world import Customer, World

BUILT_IN = read_policy_text(None)[0]
# Sooner and with other charges; the week's notice holds for those whose time would be up.
HASTY = """\
version: 1
policies:
  standard:
    grace: 5d
    window: 26d
    send_between: "09:00-18:00"
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 2d, do: retry}
      - {at: 4d, do: retry, time: "07:00"}
      - {before: suspend 1d, do: email, template: final_notice}
      - {before: suspend 6h, do: retry}
      - {at: 5d, do: suspend}
      - {at: 12d, do: retry}
      - {at: 19d, do: retry}
      - {at: 26d, do: give_up, subscription: cancel, invoice: uncollectible}
"""


def order_of(world: World, text: str) -> tuple[Order, Target]:
    told = Text(text, "policies.yaml")
    file = loader(tuple(Messages().names()))(told)
    author = Person(by="ops", why="a trial", now=world.now)
    order = Order(text=told, file=file, author=author, open_cases=None)
    return order, target_of(file.policies, file.choices)


def moves(world: World, text: str) -> Outcome:
    """Plan, then apply with all open cases; what the plan said."""
    order, target = order_of(world, text)
    with snapshot(world.program.engine) as session:
        found = look(session, target, Asked(now=world.now))
    row = bring_into_force(world.program.engine, order)
    mover = Mover(
        world.program.engine,
        world.program.cases,
        order,
        target,
        lambda: world.now,
        may_suspend_sooner=frozenset(each.case for each in found.sooner),
    )
    done = mover.run(row)
    assert (done.moved, done.busy, done.unlisted) == (found.changed, set(), set())
    return found


def three_of_different_ages(world: World) -> list[Customer]:
    """Their yearly renewals fail on the first, the fourth and the eighth day; nobody ever pays."""
    known = []
    for wait in (3, 4, 0):
        # One card, as test cards are: with an amount each, its limits count them apart.
        who = world.customer(interval="year", amount=4900 + wait, email=f"{wait}@example.com")
        known.append(who)
        world.passes(days=wait)
    for who in known:
        world.declines(who, times=30)
        world.renewal(who)
    world.passes(hours=5)
    return known


def done_since(world: World, moment: datetime) -> Counter[str]:
    """What was really done, by kind."""
    with world.session() as session:
        rows = session.exec(select(StepRow).where(col(StepRow.started_at) >= moment)).all()
    return Counter(row.kind for row in rows if row.result in ("done", "declined"))


@pytest.mark.parametrize("age", [0, 6, 13, 20])
def test_the_plan_counts_what_then_happens(world: World, age: int) -> None:
    three_of_different_ages(world)
    world.passes(days=age)
    found = moves(world, HASTY)
    moment = world.now
    world.passes(days=60)
    did = done_since(world, moment)
    for kind, told in found.kinds.items():
        assert did[kind.value] == told.after, f"{kind}: {world.record()}"
    assert {case["state"] for case in world.cases()} == {"lost"}
    with world.session() as session:
        for each in found.sooner:
            row = session.get_one(StepRow, f"{each.case}/suspend:1")
            assert row.ended_at is not None
            assert abs(row.ended_at - each.after) < timedelta(minutes=2)


def test_nothing_that_lay_before_is_made_up_for(world: World) -> None:
    """At the moment of the move nothing is charged, written or taken away."""
    three_of_different_ages(world)
    found = moves(world, HASTY)
    assert found.changed == 3
    happened = world.passes(hours=1)
    assert not [line for line in happened if "skipped" not in line], happened
    assert len(found.sooner) == 2, "the oldest would be suspended in less than a week anyway"
    assert min(each.after for each in found.sooner) - world.now > timedelta(days=6)


def test_back_again_each_goes_on_as_it_began(world: World) -> None:
    ann, *_ = three_of_different_ages(world)
    version = world.case(ann)["policy_version"]
    moves(world, HASTY)
    assert world.case(ann)["policy_version"] != version
    moves(world, BUILT_IN)
    assert world.case(ann)["policy_version"] == version
    case = world.case(ann)["id"]
    world.passes(days=60)
    with world.session() as session:
        rows = session.exec(select(StepRow).where(StepRow.case_id == case)).all()
    tried = sorted(row.key.partition("/")[2] for row in rows if row.result == "declined")
    assert tried == [f"retry:{number}" for number in range(1, 6)]
