"""The kept webhooks alone make the same ledger; what they cannot say is said, not guessed."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete
from sqlmodel import col

from dunning.prune import Limits, prune
from dunning.readers import SourceReader
from dunning.rebuilding import Rebuilt, rebuild
from dunning.store import CaseRow, InboxRow, transaction
from tests.world import Customer, World

PAID = ["product case.recovered", "email recovered"]


def rebuilt(world: World) -> Rebuilt:
    program = world.program
    sources = {name: SourceReader(live.reader, None) for name, live in program.sources.items()}
    return rebuild(program.engine, sources, program.policies.choose)


def stories(world: World) -> Customer:
    """A part paid, then the rest by our retry, of which some is given back."""
    ann = world.failing()
    world.passes(hours=1)
    world.pays_part(ann, 1000)
    world.settles(expect=[])
    world.passes(days=1, expect=["retry:1 paid", *PAID])
    charge = world.books(ann)["payments"][-1]["charge"]
    world.stripe.v1.refunds.create({"charge": charge, "amount": 500})
    world.settles(expect=[])
    return ann


def test_the_same_ledger_comes_of_the_webhooks(world: World) -> None:
    stories(world)
    told = rebuilt(world)
    assert told.differences == []
    assert (told.same, told.cases, told.left_out) == (True, 1, {})
    assert told.webhooks > 5
    assert told.entries >= 4


def test_what_was_tampered_with_is_named(world: World) -> None:
    ann = stories(world)
    with transaction(world.program.engine) as session:
        session.execute(delete(InboxRow).where(col(InboxRow.type).contains("refund")))
    told = rebuilt(world)
    (case, what), *others = told.differences
    assert others == []
    assert case == world.case(ann)["id"]
    assert what.startswith("only in the books: refund/")
    assert "recovered to refunded 500 usd refund" in what


def test_a_case_that_was_taken_out_of_the_books_is_named(world: World) -> None:
    ann = stories(world)
    case = world.case(ann)["id"]
    with transaction(world.program.engine) as session:
        row = session.get(CaseRow, case)
        assert row is not None
        kept = row.model_dump()
        session.delete(row)
    told = rebuilt(world)
    assert told.differences == [(case, "the webhooks make this case, and it is not in the books")]
    with transaction(world.program.engine) as session:
        session.add(CaseRow(**kept))


def test_what_was_let_go_of_is_said_and_never_guessed(world: World) -> None:
    stories(world)
    now = world.program.clock.now() + timedelta(days=40)
    prune(world.program.engine, now, Limits.of_days(bodies=30, seen=42, calls=90))
    told = rebuilt(world)
    assert (told.same, told.cases) == (True, 0)
    ((why, count),) = told.left_out.items()
    assert why.startswith("cases that began before ")
    assert count == 1
