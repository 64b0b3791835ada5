"""The kept webhooks alone make the same ledger; what they cannot say is said, not guessed."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlmodel import col

from dunning.case_rows import locked
from dunning.core.events import ButtonPressed
from dunning.core.visits import PAY
from dunning.prune import Limits, prune
from dunning.readers import SourceReader
from dunning.rebuilding import Rebuilt, rebuild
from dunning.store import CaseRow, EntryRow, InboxRow, transaction
from tests.scenarios.conftest import Begin
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


NO_EMAILS = """
version: 1
policies:
  standard:
    grace: 3d
    window: 5d
    timeline:
      - {at: 1d, do: retry}
      - {at: 3d, do: suspend}
      - {at: 5d, do: give_up}
"""


def test_what_the_customer_pressed_came_by_no_webhook_and_is_in_the_same_ledger(
    begin: Begin,
) -> None:
    world = begin(policy=NO_EMAILS)
    ann = world.failing(at_once=["product case.opened"])
    world.passes(hours=1)
    case, now = world.case(ann), world.program.clock.now()
    press = ButtonPressed(id="pay:1", at=now, invoice=str(case["invoice"]), button=PAY)
    with transaction(world.program.engine) as session:
        row = locked(session, str(case["id"]))
        world.program.cases.apply_by_hand(session, row, [press], now)
    world.pays_part(ann, 1000)
    world.settles(expect=[])
    with transaction(world.program.engine) as session:
        paid = select(col(EntryRow.how)).where(col(EntryRow.cause) == "paid")
        assert session.scalars(paid).all() == ["link"]
    assert rebuilt(world).differences == []


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
