"""What people do by hand, seen from outside: promises, exemptions, steps, forced charges."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from dunning.case_rows import read_facts
from dunning.core.money import Money
from dunning.core.promises import judged
from dunning.errors import RefusedError
from dunning.exempting import Exemptions
from dunning.store import CaseRow
from tests.scenarios.conftest import Begin
from tests.scenarios.test_policy_keys import OPENED, policy
from tests.world import Customer, World

LINES = (
    "at: 0h, do: email, template: payment_failed",
    "at: 1d, do: retry",
    "at: 3d, do: retry",
    "at: 5d, do: email, template: final_notice",
    "at: 7d, do: retry",
    "at: 10d, do: restrict",
    "at: 13d, do: retry",
    "at: 14d, do: suspend",
    "at: 21d, do: retry",
)
POLICY = policy(*LINES, grace="14d", window="28d")
BEGUN = [OPENED, "email payment_failed"]


@pytest.fixture
def world(begin: Begin) -> World:
    return begin(policy=POLICY)


def endings(world: World, who: Customer) -> list[str]:
    with world.session() as session:
        case = read_facts(session.get_one(CaseRow, world.case(who)["id"]))
    return [one.ending.value for one in judged(case, world.now)]


def exemptions(world: World) -> Exemptions:
    return Exemptions(world.program.engine, world.program.cases)


# --- promises ----------------------------------------------------------------------------------


def test_nothing_happens_until_the_promised_day_and_then_it_goes_on_without_a_burst(
    world: World,
) -> None:
    ann = world.failing(times=9, at_once=BEGUN)
    case = world.case(ann)["id"]
    world.passes(hours=12, expect=[])
    world.hands.promise(case, world.ops, until=world.now + timedelta(days=7))
    assert world.case(ann)["standing"] == "promise"
    world.passes(days=6.9, expect=[])
    assert endings(world, ann) == ["open"]
    world.passes(
        days=0.2,
        expect=["retry:1 skipped", "retry:2 skipped", "retry:3 declined", "email final_notice"],
    )
    assert endings(world, ann) == ["broken"]
    assert world.case(ann)["standing"] is None
    world.passes(days=2.5, expect=["restrict:1", "product access.restricted"])


def test_a_promise_that_is_kept_ends_the_case(world: World) -> None:
    ann = world.failing(at_once=BEGUN)
    case = world.case(ann)["id"]
    world.hands.promise(case, world.ops, until=date(2026, 4, 10), amount=Money(4900, "usd"))
    world.passes(days=4, expect=[])
    world.pays(ann)
    world.passes(minutes=5, expect=["product case.recovered", "email recovered"])
    assert endings(world, ann) == ["kept"]


def test_the_suspension_waits_for_a_promise(world: World) -> None:
    ann = world.failing(times=9, at_once=BEGUN)
    world.passes(days=12)
    case = world.case(ann)["id"]
    world.hands.promise(case, world.ops, until=world.now + timedelta(days=8))
    world.passes(days=7.9, expect=[])
    world.passes(
        days=0.2,
        expect=["retry:4 declined", "suspend:1", "product access.suspended", "email suspended"],
    )


def test_a_promise_that_is_withdrawn_lets_it_go_on_at_once(world: World) -> None:
    ann = world.failing(times=9, at_once=BEGUN)
    case = world.case(ann)["id"]
    world.hands.promise(case, world.ops, until=world.now + timedelta(days=9))
    world.passes(days=2, expect=[])
    world.hands.resume(case, world.ops)
    world.passes(minutes=5, expect=["retry:1 declined"])
    assert endings(world, ann) == ["withdrawn"]


# --- exemptions --------------------------------------------------------------------------------


def test_an_exempt_customer_is_left_alone_in_open_and_later_cases(world: World) -> None:
    ann = world.failing(times=99, at_once=BEGUN)
    exemptions(world).exempt("stripe", ann.id, world.ops)
    world.passes(days=29, expect=[])
    # The next renewal fails as well, and begins a case of which the product hears, and nobody else.
    world.passes(days=10, expect=[OPENED])
    cases = world.cases(customer=ann.id)
    assert [(case["standing"], case["state"]) for case in cases] == [("exempt", "in_grace")] * 2
    assert all(case["amount_at_risk"] == 4900 for case in cases)
    assert world.messages()[0].template == "payment_failed"
    assert len(world.messages()) == 1


def test_after_an_exemption_the_case_goes_on_where_it_is(world: World) -> None:
    ann = world.failing(times=9, at_once=BEGUN)
    exemptions(world).exempt("stripe", ann.id, world.ops)
    world.passes(days=8, expect=[])
    exemptions(world).lift("stripe", ann.id, world.ops)
    world.passes(
        minutes=5,
        expect=["retry:1 skipped", "retry:2 skipped", "retry:3 declined", "email final_notice"],
    )


def test_the_provider_does_not_charge_an_exempt_customer_of_ours_either(world: World) -> None:
    """Its own retries are taken over as ever, and then nobody tries."""
    bob = world.customer()
    exemptions(world).exempt("stripe", bob.id, world.ops)
    world.declines(bob, times=99)
    world.renewal(bob)
    assert world.happened() == [OPENED]
    world.passes(days=20, expect=[])
    assert world.tries(bob) == ["stripe decline"]


def test_an_exempt_customer_who_pays_is_not_written_to(world: World) -> None:
    ann = world.failing(at_once=BEGUN)
    exemptions(world).exempt("stripe", ann.id, world.ops)
    world.passes(hours=5, expect=[])
    world.pays(ann)
    world.passes(minutes=5, expect=["product case.recovered", "email:recovered skipped"])


# --- steps ---------------------------------------------------------------------------------------


def test_a_skipped_step_is_not_done_and_the_rest_is(world: World) -> None:
    ann = world.failing(times=9, at_once=BEGUN)
    case = world.case(ann)["id"]
    world.hands.skip(case, "retry:2", world.ops)
    world.passes(minutes=5, expect=["retry:2 skipped"])
    world.passes(days=8, expect=["retry:1 declined", "email final_notice", "retry:3 declined"])
    with pytest.raises(RefusedError, match="retry:2 is over"):
        world.hands.skip(case, "retry:2", world.ops)


def test_a_skipped_suspension_leaves_the_service_on(world: World) -> None:
    ann = world.failing(times=9, at_once=BEGUN)
    world.hands.skip(world.case(ann)["id"], "suspend", world.ops)
    world.passes(minutes=5, expect=["suspend:1 skipped"])
    world.passes(days=20)
    assert world.state(ann)[:2] == ("in_grace", "restricted")
    world.passes(days=9, expect=["retry:5 declined", "give_up:1", "product case.lost"])


def test_a_step_brought_forward_is_done_at_once_and_once(world: World) -> None:
    ann = world.failing(times=9, at_once=BEGUN)
    case = world.case(ann)["id"]
    world.passes(days=1.5, expect=["retry:1 declined"])
    world.hands.advance(case, "email:2", world.ops)
    world.passes(minutes=5, expect=["email final_notice"])
    assert "brought forward by ops: a story" in world.step(ann, "email:2").why
    world.passes(days=7, expect=["retry:2 declined", "retry:3 declined"])


# --- charges in spite of the advice ------------------------------------------------------------


def test_a_person_may_insist_where_only_the_provider_advised_against_it(world: World) -> None:
    said = {"decline_code": "expired_card", "network_decline_code": "54"}
    ann = world.failing(said, at_once=[OPENED, "email new_card_needed"])
    case = world.case(ann)["id"]
    with pytest.raises(RefusedError, match="new_method"):
        world.hands.retry(case, world.ops)
    world.hands.retry(case, replace(world.ops, why="the bank has renewed it"), forced=True)
    (paid, *rest) = world.passes(minutes=5)
    assert paid.startswith("retry:hand:")
    assert paid.endswith(" paid")
    assert rest == ["product case.recovered"]
    world.passes(days=1, expect=["email recovered"])


def test_nobody_insists_where_the_network_says_never(world: World) -> None:
    ann = world.failing("lost_card", at_once=[OPENED, "email new_card_needed"])
    with pytest.raises(RefusedError, match="stop"):
        world.hands.retry(world.case(ann)["id"], world.ops, forced=True)
    assert world.tries(ann) == ["stripe decline"]
