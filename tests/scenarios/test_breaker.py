"""A source that is held: nothing is charged or written, no rung is used up, no door opens."""

from __future__ import annotations

from collections.abc import Callable

from dunning.breaker import Standing, standings
from dunning.store import reading
from tests.world import World

PAID = ["retry:1 paid", "product case.recovered", "email recovered"]


def stands(world: World) -> Standing:
    with reading(world.program.engine) as session:
        (found,) = standings(session, ["stripe"], world.now)
    return found


def asked(world: World, during: Callable[[], object]) -> int:
    """How many requests of ours reached Stripe meanwhile."""
    before = len(world.sandbox.world.requests)
    during()
    return len(world.sandbox.world.requests) - before


def test_with_a_wrong_key_everything_waits_and_no_rung_is_used_up(world: World) -> None:
    ann = world.failing()
    world.sandbox.next_request({"status": 401}, times=100_000)
    world.passes(days=2, expect=[])
    assert stands(world).open
    assert stands(world).why.startswith("all of 8 calls failed")
    assert world.tries(ann) == ["stripe decline"]
    assert asked(world, lambda: world.passes(hours=6, expect=[])) < 40
    world.sandbox.world.faults.requests.clear()
    world.passes(days=1, expect=PAID)
    assert not stands(world).open


def test_charges_that_never_leave_count_as_an_outage_and_use_up_no_rung(world: World) -> None:
    """Looking goes well, charging does not come through: nobody is declined for that."""
    ann = world.failing()
    world.sandbox.next_request({"status": 401}, path="/pay", times=100_000)
    world.passes(days=2, expect=[])
    assert stands(world).open
    assert stands(world).why.startswith("all of 8 calls failed")
    assert world.tries(ann) == ["stripe decline"]
    world.sandbox.world.faults.requests.clear()
    world.passes(days=1, expect=PAID)


def test_a_storm_of_429_holds_nobody_and_uses_up_no_rung(world: World) -> None:
    ann = world.failing()
    world.sandbox.next_request({"status": 429, "retry_after": 30}, path="/pay", times=100_000)
    world.passes(days=2, expect=[])
    assert not stands(world).open
    assert world.tries(ann) == ["stripe decline"]
    world.sandbox.world.faults.requests.clear()
    world.passes(days=1, expect=PAID)


def test_what_is_held_by_hand_waits_and_so_do_the_doors(world: World) -> None:
    ann = world.failing(times=100, interval="year")
    world.program.breaker.hold("stripe", by="eve", why="an audit", now=world.now)
    world.passes(days=15)
    world.passes(days=15)
    # The soft limit is set in time; what is lost for good waits for its last chance.
    assert world.state(ann)[:2] == ("in_grace", "restricted")
    assert world.tries(ann) == ["stripe decline"]
    assert [one.template for one in world.messages()] == ["payment_failed"]
    world.program.breaker.release("stripe", by="eve", why="it is over", now=world.now)
    happened = world.passes(days=1)
    charged = [what for what in happened if what.startswith("retry") and "skipped" not in what]
    assert len(charged) == 1
    assert charged[0].endswith("declined")
    assert world.tries(ann) == ["stripe decline", "api decline"]
    # The suspension is announced a day before.
    assert "email final_notice" in happened
    assert world.state(ann)[1] == "restricted"
    world.passes(days=1)
    assert world.state(ann)[1] == "suspended"


def test_what_gives_access_back_is_never_held(world: World) -> None:
    ann = world.failing(times=100)
    world.passes(days=20)
    assert world.state(ann)[1] == "suspended"
    world.program.breaker.hold("stripe", by="eve", why="an audit", now=world.now)
    world.sandbox.world.faults.charges.clear()
    assert world.pays(ann) == "succeed"
    happened = world.passes(hours=1)
    assert any(what.startswith("restore") for what in happened)
    assert "email recovered" not in happened
    world.program.breaker.release("stripe", by="eve", why="it is over", now=world.now)
    assert "email recovered" in world.passes(days=1)
