"""`holdout`: a part of the customers is left alone, or walked by another policy, for good."""

from __future__ import annotations

from collections.abc import Callable

from sqlmodel import select

from dunning.core.holdout import Holdout, draw
from dunning.store import CaseRow
from tests.policies import policy as plain
from tests.scenarios.conftest import Begin
from tests.world import Customer, World

OPENED = "product case.opened"
LINES = """
    grace: 3d
    window: 5d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 1d, do: retry}
      - {at: 3d, do: suspend}
      - {at: 5d, do: give_up}
"""
NATURAL = f"""
version: 1
policies:
  standard:
    holdout: 50%
{LINES}"""
WALKED = f"""
version: 1
policies:
  standard:
    holdout: {{share: 50%, policy: gentle}}
{LINES}
  gentle:
    grace: 8d
    window: 9d
    timeline:
      - {{at: 2d, do: email, template: reminder}}
      - {{at: 9d, do: give_up}}
choose: [{{policy: standard}}]
"""
HALF = plain(holdout=Holdout(share=5_000))
LEFT_ALONE = [OPENED, "email:1 skipped"]


def is_held_out(who: Customer) -> bool:
    drawn = draw(HALF, "stripe", who.id)
    assert drawn is not None
    return drawn.held_out


def one_of(world: World, held_out: Callable[[Customer], bool]) -> Customer:
    """A customer of the group, whose first charges will be declined."""
    for _ in range(30):
        who = world.customer()
        if held_out(who):
            world.declines(who, times=9)
            return who
    raise AssertionError("thirty customers, and all of them in one group")


def test_who_is_held_out_is_left_alone_and_still_loses_access(begin: Begin) -> None:
    world = begin(policy=NATURAL)
    who = one_of(world, is_held_out)
    world.renewal(who)
    world.settles(expect=LEFT_ALONE)
    world.passes(days=1, expect=["retry:1 skipped"])
    world.passes(
        days=2, expect=["suspend:1", "product access.suspended", "email:suspended skipped"]
    )
    world.passes(days=2, expect=["give_up:1", "product case.lost"])
    assert world.messages() == []
    case = world.case(who)
    assert (case["policy"], case["holdout_of"], case["holdout_group"]) == (
        "standard",
        "standard",
        "held_out",
    )
    why = world.step(who, "retry:1").why
    assert why == "held out: no retries and no emails for this part of policy standard"


def test_the_others_are_treated_as_ever(begin: Begin) -> None:
    world = begin(policy=NATURAL)
    who = one_of(world, lambda who: not is_held_out(who))
    world.renewal(who)
    world.settles(expect=[OPENED, "email payment_failed"])
    world.passes(days=1, expect=["retry:1 declined"])
    assert world.case(who)["holdout_group"] == "treated"


def test_what_is_asked_for_is_done_all_the_same(begin: Begin) -> None:
    world = begin(policy=NATURAL)
    who = one_of(world, is_held_out)
    world.renewal(who)
    world.settles(expect=LEFT_ALONE)
    world.hands.retry(world.case(who)["id"], world.ops)
    (asked,) = world.passes(minutes=1)
    assert asked.startswith("retry:hand")
    assert asked.endswith("declined")
    world.sandbox.world.faults.charges.clear()
    world.sandbox.new_card(who.id)
    happened = world.passes()
    assert happened == [
        f"retry:card:{int(world.now.timestamp())} paid",
        "product case.recovered",
    ]
    assert world.state(who)[0] == "recovered"


def test_the_other_policy_walks_them(begin: Begin) -> None:
    world = begin(policy=WALKED)
    who = one_of(world, is_held_out)
    world.renewal(who)
    world.settles(expect=[OPENED])
    world.passes(days=2, expect=["email reminder"])
    case = world.case(who)
    assert (case["policy"], case["holdout_of"], case["holdout_group"]) == (
        "gentle",
        "standard",
        "held_out",
    )
    with world.session() as session:
        (row,) = session.exec(select(CaseRow)).all()
    # Gentle takes longer, so it is nine days for everybody.
    assert row.matures_at is not None
    assert (row.matures_at - row.opened_at).days == 9


def test_the_next_invoice_of_a_customer_is_in_the_same_group(begin: Begin) -> None:
    world = begin(policy=NATURAL)
    who = one_of(world, is_held_out)
    again = world.subscribe(who.id, who.method, amount=1900)
    world.declines(again, times=9)
    world.renewal(who)
    world.passes(days=1)
    groups = {case["invoice"]: case["holdout_group"] for case in world.cases()}
    assert len(groups) == 2
    assert set(groups.values()) == {"held_out"}
