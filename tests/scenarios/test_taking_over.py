"""`adopt`: a running estate is taken over without a burst of charges, emails or suspensions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlmodel import select

from dunning.adopt import Adoption, Line, Terms
from dunning.case_rows import read_facts
from dunning.store import AttemptRow, CaseRow, EntryRow, MessageRow, OutboxRow, PolicyRow, StepRow
from tests.scenarios.conftest import Begin
from tests.scenarios.test_catching_up import asks
from tests.world import Customer, World

SHORT = Terms(spread=timedelta(hours=2))
SKIPS = ["retry:1 skipped", "retry:2 skipped", "email:1 skipped", "email:2 skipped"]


@contextmanager
def before_us(world: World) -> Iterator[None]:
    """The time when nobody listened: no webhook reaches us."""
    world.settles(expect=[])
    world.sandbox.deliver("drop")
    yield
    world.control("DELETE", "deliveries/rules")


def overdue(world: World, days: float, **how: Any) -> Customer:
    """A customer whose renewal failed so long ago, before we were there."""
    who = world.customer(**how)
    with before_us(world):
        world.declines(who, times=50)
        world.renewal(who)
        world.passes(days=days, expect=[])
    world.sandbox.world.faults.charges.clear()
    return who


def takes_over(world: World, terms: Terms = SHORT, limit: int | None = None) -> list[Line]:
    provider = world.program.providers["stripe"]
    book = world.program.cases
    adoption = Adoption(world.program.engine, book, "stripe", provider, terms, lambda: world.now)
    lines = list(adoption.all(limit=limit))
    world.up.work.poke.set()
    return lines


def rows(world: World) -> dict[str, int]:
    tables = (CaseRow, StepRow, AttemptRow, EntryRow, MessageRow, OutboxRow, PolicyRow)
    with world.session() as session:
        return {table.__name__: len(session.exec(select(table)).all()) for table in tables}


def test_an_old_debt_is_given_notice_before_anything_is_done_to_it(world: World) -> None:
    ann = overdue(world, 20)
    failed = world.now - timedelta(days=20)
    (line,) = takes_over(world)
    assert (line.outcome, line.amount, line.day) == ("adopted", 4900, 7)
    assert line.failed_at is not None
    assert abs(line.failed_at - failed) < timedelta(minutes=5)
    # One charge, at the place it stands at, and not one for each of the rungs it missed.
    world.declines(ann, times=9)
    world.passes(
        hours=3, expect=["product case.opened", *SKIPS[:2], "retry:3 declined", *SKIPS[2:]]
    )
    assert world.tries(ann) == ["stripe decline", "api decline"]
    assert world.step(ann, "email:1").why.startswith("adopted: ")
    world.passes(days=3, expect=["restrict:1", "product access.restricted"])
    world.passes(days=1, expect=["email final_notice"])
    world.passes(days=2.8, expect=["retry:4 declined"])
    world.passes(days=0.2, expect=["suspend:1", "product access.suspended", "email suspended"])
    world.passes(days=7, expect=["retry:5 declined"])
    world.passes(days=6.8, expect=[])
    world.passes(days=0.2, expect=["give_up:1", "product case.lost"])
    assert world.state(ann) == ("lost", "suspended", "given_up")
    assert world.balances(ann) == {"lost": 4900}


def test_a_dry_run_writes_nothing_and_says_what_the_real_one_does(world: World) -> None:
    ann = overdue(world, 20)
    before = rows(world)
    planned = takes_over(world, Terms(spread=SHORT.spread, dry=True))
    assert rows(world) == before
    done = takes_over(world)
    told = [(one.case, one.day, one.next_step, one.skipped, one.amount) for one in planned]
    assert told == [(one.case, one.day, one.next_step, one.skipped, one.amount) for one in done]
    world.passes(hours=3)
    assert world.state(ann)[0] == "recovered"


def test_a_second_run_changes_nothing_and_a_stopped_one_goes_on(world: World) -> None:
    people = [world.customer() for _ in range(3)]
    with before_us(world):
        for who in people:
            world.declines(who, times=50)
        world.renewal(people[0])
        world.passes(days=20, expect=[])
    assert [one.outcome for one in takes_over(world, limit=2)] == ["adopted"] * 2
    assert [one.outcome for one in takes_over(world)].count("adopted") == 1
    before = rows(world)
    assert {one.outcome for one in takes_over(world)} == {"known"}
    assert rows(world) == before
    world.happened()
    with world.session() as session:
        resumes = [read_facts(row).adopted for row in session.exec(select(CaseRow)).all()]
    assert len({one.resumes_at for one in resumes if one}) == 3
    world.sandbox.world.faults.charges.clear()
    world.passes(hours=3)


def test_the_provider_s_tries_and_the_first_failure_are_on_record(begin: Begin) -> None:
    world = begin(smart_retries=[2, 3])
    ann = overdue(world, 20)
    tries = len(world.sandbox.books()["invoices"][takes_over(world)[0].invoice]["attempts"])
    assert tries == 3
    with world.session() as session:
        attempts = session.exec(select(AttemptRow)).all()
        (entry,) = session.exec(select(EntryRow)).all()
    assert len(attempts) == tries
    assert {row.by for row in attempts} <= {"provider", "unknown"}
    case = world.case(ann)
    assert entry.cause == "adopted"
    assert entry.occurred_at == min(row.at for row in attempts)
    assert case["opened_at"] == f"{entry.occurred_at:%Y-%m-%dT%H:%M:%SZ}"
    world.passes(hours=3)


def test_the_provider_keeps_its_retries_until_the_policy_takes_them(begin: Begin) -> None:
    world = begin(smart_retries=[5, 3])
    ann = overdue(world, 1)
    (line,) = takes_over(world)
    assert any("they are switched off by the first step" in one for one in line.warnings)
    assert world.invoice(ann)["auto_advance"]
    world.passes(hours=3)
    assert not world.invoice(ann)["auto_advance"]


def test_catching_up_with_an_estate_nobody_took_over_takes_it_over_first(world: World) -> None:
    ann = overdue(world, 20)
    found = asks(world)
    assert (found.adopted, found.events_new > 0) == (1, True)
    world.declines(ann, times=9)
    happened = world.passes(days=1.1)
    assert [one for one in happened if "skipped" not in one] == [
        "product case.opened",
        "retry:3 declined",
    ]


def test_a_pause_made_by_others_is_left_as_it_is(world: World) -> None:
    ann = overdue(world, 20)
    pause: Any = {"pause_collection": {"behavior": "void"}}
    world.stripe.v1.subscriptions.update(ann.subscription, pause)
    world.settles(expect=[])
    (line,) = takes_over(world)
    assert any("paused already" in one for one in line.warnings)
    world.passes(hours=3)
    world.pays(ann)
    world.passes(hours=1, expect=["product case.recovered"])
    subscription: Any = world.stripe.v1.subscriptions.retrieve(ann.subscription)
    assert subscription["pause_collection"]


def test_a_pause_for_this_debt_ends_with_it(world: World) -> None:
    ann = overdue(world, 20)
    pause: Any = {"pause_collection": {"behavior": "void"}}
    world.stripe.v1.subscriptions.update(ann.subscription, pause)
    world.settles(expect=[])
    takes_over(world, Terms(spread=SHORT.spread, lift_pauses=True))
    world.passes(hours=3)
    world.pays(ann)
    assert "product access.restored" in world.passes(hours=1)
    subscription: Any = world.stripe.v1.subscriptions.retrieve(ann.subscription)
    assert not subscription["pause_collection"]


def test_what_is_over_is_left_out(world: World) -> None:
    ann = overdue(world, 20)
    with before_us(world):
        world.stripe.v1.subscriptions.cancel(ann.subscription)
        world.settles(expect=[])
    (line,) = takes_over(world)
    assert (line.outcome, line.why) == ("left_out", "it is over: cancelled")
    assert world.cases() == []
