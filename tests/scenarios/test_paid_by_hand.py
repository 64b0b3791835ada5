"""Invoices that the customer pays by hand: begun by the due date, never charged, ended by money."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlmodel import select

from dunning.reconcile import Account, reconcile
from dunning.store import EntryRow
from tests.scenarios.conftest import Begin
from tests.world import Customer, World

BY_HAND = {"collection_method": "send_invoice", "days_until_due": 14}
POLICY = """
version: 1
policies:
  standard:
    grace: 10d
    window: 30d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 2d, do: retry}
      - {at: 5d, do: email, template: reminder}
      - {at: 9d, do: email, template: final_notice}
      - {at: 10d, do: suspend}
      - {at: 30d, do: give_up, subscription: cancel, invoice: uncollectible}
"""
BEGUN = ["product case.opened", "email payment_failed_by_hand"]


def invoiced(world: World) -> Customer:
    """A customer whose first invoice is sent, and to be paid by hand within two weeks."""
    return world.customer(subscription=BY_HAND)


def due(world: World, who: Customer) -> datetime:
    (invoice,) = world.stripe.v1.invoices.list({"customer": who.id}).data
    assert invoice.due_date is not None
    return datetime.fromtimestamp(invoice.due_date, UTC)


def overdue(world: World) -> Customer:
    who = invoiced(world)
    world.passes(days=13.9, expect=[])
    world.passes(days=0.2, expect=BEGUN)
    return who


def test_the_case_begins_when_the_due_date_has_passed_and_walks_without_a_charge(
    begin: Begin,
) -> None:
    world = begin(policy=POLICY)
    who = invoiced(world)
    day = due(world, who)
    world.passes(days=13.9, expect=[])
    assert world.cases() == []
    world.passes(days=0.2, expect=BEGUN)
    assert world.case(who)["opened_at"] == f"{day:%Y-%m-%dT%H:%M:%SZ}"
    with world.session() as session:
        (entry,) = session.exec(select(EntryRow)).all()
        assert (entry.debit, entry.credit, entry.occurred_at) == ("owed", "at_risk", day)
    assert world.product.calls[0]["data"]["why"] == f"not paid by its due date, {day:%Y-%m-%d}"
    (letter,) = world.mailbox.messages
    text = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "was due on" in text
    assert "bank details" in text
    assert "card" not in text.lower()
    assert world.case(who)["invoice"] in world.leads_to(world.link(letter), who)
    world.passes(days=5, expect=["retry:1 skipped", "email reminder_by_hand"])
    assert "by hand" in world.step(who, "retry:1").why
    world.passes(
        days=5,
        expect=[
            "email final_notice_by_hand",
            "suspend:1",
            "product access.suspended",
            "email suspended_by_hand",
        ],
    )
    world.passes(days=20, expect=["give_up:1", "product case.lost"])
    assert world.balances(who) == {"lost": 4900}
    assert world.invoice(who).status == "uncollectible"
    assert world.tries(who) == []


def test_money_that_came_by_another_way_ends_it(begin: Begin) -> None:
    world = begin(policy=POLICY)
    who = overdue(world)
    world.passes(days=11)
    paid = {"paid_out_of_band": True}
    world.stripe.v1.invoices.pay(world.case(who)["invoice"], paid)  # type: ignore[arg-type]
    world.settles(
        expect=["restore:1", "product case.recovered", "product access.restored", "email recovered"]
    )
    assert world.balances(who) == {"recovered": 4900}
    assert world.how(who) == ["outside"]


def test_who_pays_before_the_due_date_never_hears_of_us(begin: Begin) -> None:
    world = begin(policy=POLICY)
    who = invoiced(world)
    (invoice,) = world.stripe.v1.invoices.list({"customer": who.id}).data
    world.passes(days=5)
    # A card that does not go through is no failure before the invoice is due.
    world.declines(who, "insufficient_funds")
    world.sandbox.pays(who.id, invoice.id, "4242424242424242")
    world.passes(days=5, expect=[])
    assert world.cases() == []
    world.sandbox.pays(who.id, invoice.id, "4242424242424242")
    world.passes(days=10, expect=[])
    assert world.cases() == []


def test_a_card_tried_by_hand_after_the_due_date_changes_neither_clock_nor_words(
    begin: Begin,
) -> None:
    world = begin(policy=POLICY)
    who = overdue(world)
    world.declines(who, "lost_card")
    world.pays(who, "4242424242424242")
    (skipped,) = world.passes(minutes=5)
    assert skipped.startswith("retry:card:")
    assert skipped.endswith("skipped")
    world.passes(days=5, expect=["retry:1 skipped", "email reminder_by_hand"])
    world.pays(who, "4242424242424242")
    world.settles(expect=["product case.recovered"])
    world.passes(days=1, expect=["email recovered"])


def look_for_missed(world: World) -> None:
    live = world.program.sources["stripe"]
    assert live.provider is not None
    reconcile(
        world.program.engine,
        world.program.cases,
        world.program.inbox,
        Account("stripe", live.reader, live.provider),
        since=world.now - timedelta(days=1),
        now=lambda: world.now,
    )
    world.up.work.poke.set()


def test_where_stripe_does_not_say_so_the_sweep_finds_what_is_overdue(begin: Begin) -> None:
    """It was made two weeks before the day from which the sweep looks."""
    world = begin(policy=POLICY, overdue_events=False)
    who = invoiced(world)
    day = due(world, who)
    world.passes(days=13, expect=[])
    look_for_missed(world)
    assert world.cases() == []
    world.passes(days=1.5, expect=[])
    look_for_missed(world)
    world.passes(minutes=1, expect=BEGUN)
    assert world.case(who)["opened_at"] == f"{day:%Y-%m-%dT%H:%M:%SZ}"
    world.passes(days=4.5, expect=["retry:1 skipped", "email reminder_by_hand"])


def test_one_long_overdue_is_taken_over_with_notice_of_what_comes(begin: Begin) -> None:
    world = begin(policy=POLICY, overdue_events=False)
    who = invoiced(world)
    day = due(world, who)
    world.passes(days=25, expect=[])
    look_for_missed(world)
    case = world.case(who)
    assert case["opened_at"] == f"{day:%Y-%m-%dT%H:%M:%SZ}"
    world.passes(days=6.9)
    assert world.case(who)["state"] == "in_grace"
    world.passes(days=2)
    assert world.case(who)["state"] == "suspended"
    assert world.tries(who) == []


CHOSEN = """
version: 1
policies:
  cards: {grace: 10d, window: 30d, timeline: [{at: 0h, do: restrict}]}
  bills: {grace: 10d, window: 30d, timeline: [{at: 9d, do: email, template: reminder}]}
choose:
  - {when: {by_hand: true}, policy: bills}
  - {policy: cards}
"""


def test_a_policy_of_their_own(begin: Begin) -> None:
    world = begin(policy=CHOSEN)
    who = invoiced(world)
    world.passes(days=13.9, expect=[])
    world.passes(days=0.2, expect=["product case.opened"])
    assert world.case(who)["policy"] == "bills"
