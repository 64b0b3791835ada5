"""Webhooks come twice, late, in any order or not at all, and the case is the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from dunning.case_rows import read_facts
from dunning.config import load_settings
from dunning.core.entries import books
from dunning.inbox import Received, keep
from dunning.reconcile import Account, reconcile
from dunning.store import CaseRow, InboxRow, transaction
from dunning.wiring import assemble
from tests.staging import SECRET
from tests.world import World

PAID = ["product case.recovered", "email recovered"]


def test_every_webhook_ten_times_over_changes_nothing(world: World) -> None:
    world.sandbox.deliver("duplicate", copies=9)
    ann = world.failing(times=2)
    world.passes(days=4, expect=["retry:1 declined", "email reminder", "retry:2 paid", *PAID])
    assert world.balances(ann) == {"recovered": 4900}
    with world.session() as session:
        ids = [row.event_id for row in session.exec(select(InboxRow)).all()]
    assert len(ids) == len(set(ids))
    posted = [one["event"] for one in world.sandbox.world.deliveries]
    assert len(posted) == 10 * len(set(posted))


def test_the_newest_first_makes_the_same_case(world: World) -> None:
    world.sandbox.deliver("reorder")
    ann = world.failing(times=2)
    world.passes(days=4, expect=["retry:1 declined", "email reminder", "retry:2 paid", *PAID])
    assert world.entries(ann) == [("owed", "at_risk", 4900), ("at_risk", "recovered", 4900)]


def test_webhooks_three_days_late_open_the_case_as_of_the_failure(world: World) -> None:
    ann = world.customer()
    world.settles(expect=[])
    world.declines(ann, times=9)
    world.sandbox.deliver("delay", seconds=3 * 86_400)
    world.renewal(ann)
    failed = world.now
    world.passes(days=2.9, expect=[])
    world.control("DELETE", "deliveries/rules")
    world.passes(days=0.2)
    case = world.case(ann)
    assert case["opened_at"] == f"{failed:%Y-%m-%dT%H:%M:%SZ}"
    world.passes(days=10.8)
    world.passes(days=0.2, expect=["suspend:1", "product access.suspended", "email suspended"])


def test_a_late_failure_does_not_make_a_paid_invoice_unpaid(world: World) -> None:
    ann = world.failing()
    world.sandbox.deliver("delay", types=["invoice.payment_failed"], seconds=86_400)
    world.declines(ann)
    world.passes(hours=1)
    world.pays(ann)
    world.settles(expect=[])
    world.pays(ann)
    world.settles(expect=PAID[:1])
    world.passes(days=1, expect=PAID[1:])
    world.passes(days=3, expect=[])
    assert world.state(ann) == ("recovered", "full", "paid")


def look_for_missed(world: World) -> None:
    live = world.program.sources["stripe"]
    assert live.provider is not None
    reconcile(
        world.program.engine,
        world.program.cases,
        world.program.inbox,
        Account("stripe", live.reader, live.provider),
        since=world.now - timedelta(days=3),
        now=lambda: world.now,
    )
    world.up.work.poke.set()


def test_webhooks_that_never_came_are_found_by_asking(world: World) -> None:
    ann = world.customer()
    world.settles(expect=[])
    world.declines(ann)
    world.sandbox.deliver("drop")
    world.renewal(ann)
    world.passes(hours=3, expect=[])
    assert world.cases() == []
    look_for_missed(world)
    world.passes(minutes=1, expect=["product case.opened", "email payment_failed"])
    # The payment is not announced either; the next look finds it.
    world.pays(ann)
    world.passes(hours=2, expect=[])
    look_for_missed(world)
    world.passes(minutes=1, expect=PAID[:1])
    assert world.state(ann)[0] == "recovered"
    world.control("DELETE", "deliveries/rules")
    world.passes(days=1, expect=PAID[1:])


Order = Callable[[list[Received]], list[Received]]


def _forwards(kept: list[Received]) -> list[Received]:
    return kept


def _backwards(kept: list[Received]) -> list[Received]:
    return kept[::-1]


def _anyhow(kept: list[Received]) -> list[Received]:
    return random.Random(7).sample(kept * 2, len(kept) * 2)


def a_long_life(world: World) -> None:
    """Failures, a part payment, a credit, a new card, a payment, a refund and a dispute."""
    ann = world.failing(times=3)
    world.passes(days=2)
    world.sandbox.world.faults.charges.clear()
    world.pays_part(ann, 900)
    world.declines(ann)
    world.stripe.v1.credit_notes.create({"invoice": world.case(ann)["invoice"], "amount": 1000})
    world.passes(days=2)
    world.sandbox.new_card(ann.id)
    world.passes(days=1)
    charge = world.books(ann)["payments"][-1]["charge"]
    world.stripe.v1.refunds.create({"charge": charge, "amount": 500})
    world.passes(days=3)
    world.sandbox.disputes(ann.id, charge)
    world.passes(days=1)


@pytest.mark.parametrize("order", [_forwards, _backwards, _anyhow])
def test_the_same_events_in_any_order_make_the_same_books(
    world: World, order: Order, tmp_path: Path
) -> None:
    a_long_life(world)
    live = world.program.sources["stripe"]
    with world.session() as session:
        rows = session.exec(select(InboxRow).order_by(col(InboxRow.id))).all()
    kept = [Received("replayed", live.reader.open(row.body), row.body) for row in rows]
    policy = """
version: 1
policies: {standard: {grace: 1d, window: 2d, timeline: [{at: 1d, do: suspend}]}}
sources: [{name: replayed, provider: stripe, webhook_secrets_env: [S]}]
"""
    settings = load_settings(
        {"DUNNING_DATABASE_URL": str(world.program.engine.url.render_as_string(False))}, tmp_path
    )
    listener = assemble(settings, environ={"S": SECRET}, policy_text=policy)
    for received in order(kept):
        with transaction(listener.engine) as session:
            ids = keep(session, [received], world.now)
        listener.inbox.handle(ids, world.now)
    listener.close()
    with world.session() as session:
        both = [
            read_facts(row)
            for row in session.exec(select(CaseRow).order_by(col(CaseRow.source))).all()
        ]
    replayed, lived = (books(case) for case in both)
    assert replayed.balances == lived.balances
    assert [(e.debit, e.credit, e.amount) for e in replayed.entries] == [
        (e.debit, e.credit, e.amount) for e in lived.entries
    ]


def test_the_echo_of_our_own_giving_up_does_not_close_the_case_under_our_hands(
    world: World,
) -> None:
    ann = world.failing(times=20)
    world.passes(days=27.9)
    provider: Any = world.program.providers["stripe"]
    real = provider.cancel

    def cancel(*args: Any, **named: Any) -> None:
        provider.cancel = real
        look_for_missed(world)  # the invoice is written off, and its webhook is there already
        real(*args, **named)

    provider.cancel = cancel
    world.passes(days=0.2, expect=["give_up:1", "product case.lost"])
    assert world.state(ann) == ("lost", "suspended", "given_up")
    assert "case.closed" not in world.product.types
