"""kill -9 at every crash point: a real process, in stories that come to a good end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlmodel import select

from dunning.crashpoints import EXIT_CODE
from dunning.store import CaseRow, EntryRow, InboxRow, engine_for, reading
from tests import secrets
from tests.crashes import stories
from tests.crashes.house import DAY, House, run
from tests.crashes.points import points
from tests.databases import PostgresDatabases
from tests.world import Customer

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)

# What one process that does everything dies at, one after the other: as it is started again, it
# has the order for the next. Each line is one customer's story.
CHAINS = {
    "receiving": [
        ["webhook.read:1", "webhook.verified:1", "inbox.before_commit:1", "inbox.committed:1"],
        ["webhook.answering:1", "handle.read:1", "handle.before_commit:1", "handle.committed:1"],
    ],
    "working": [
        ["rollup.written:1", "claim.committed:1", "broker.pushed:1", "message.taken:1"],
        ["message.done:1", "intent.before_commit:1", "intent.committed:1", "act.done:1"],
        ["outcome.before_commit:1", "outcome.committed:1"],
        ["asking.before_commit:1", "asking.committed:2"],
    ],
    "acting": [
        ["call.sent:1", "call.answered:1", "mail.data:1", "mail.accepted:1"],
        ["provider.asking:1", "provider.answered:1"],
    ],
}
# Those have a test of their own below.
BY_THEMSELVES = {
    "worker.stopping", "migrate.before_commit", "move.batch", "move.before_commit",
    "prune.batch", "reconcile.page", "filling.page", "lookout.before_commit",
    "policy.before_commit", "policy.committed", "policy.batch",
    "staff.found", "staff.written", "staff.reported", "staff.claimed", "staff.sent",
    "chat.answered",
    # tests/stages/test_closing.py
    "close.marked", "close.written",
}  # fmt: skip
# Around the charges: in `is_declined_then_paid` the process that is started before one of them.
AROUND_A_CHARGE = [
    ["intent.committed:1", "outcome.before_commit:1"],
    ["provider.asking:4", "provider.answered:4"],
]
# From the look ahead to the letter that has left, of which nobody then knows: it is not sent again.
AROUND_A_NOTICE = [
    *("lookout.before_commit:1", "intent.committed:1", "provider.answered:1"),
    *("asking.before_commit:1", "mail.accepted:1"),
]
# A step, its outcome and the call that tells of it, in the order in which they come.
AROUND_A_SUSPENSION = ["provider.answered:2", "outcome.before_commit:1", "call.answered:1"]


def test_no_crash_point_is_forgotten() -> None:
    orders = [order for chain in CHAINS.values() for line in chain for order in line]
    known = {order.partition(":")[0] for order in orders} | BY_THEMSELVES
    assert set(points()) == known, "a point without a story, or a story without its point"
    assert len(orders) == len(set(orders))


@pytest.mark.parametrize("chain", CHAINS)
def test_a_death_at_a_point_loses_nothing(house: House, chain: str) -> None:
    lines = CHAINS[chain]
    known = stories.people(house, len(lines))
    house.is_to_die("up", *(order for line in lines for order in line))
    house.start("up")
    for number, who in enumerate(known, 1):
        stories.is_paid_the_next_day(house, who)
        orders = [order for line in lines[:number] for order in line]
        assert house.died[: len(orders)] == orders, house.said()
        house.audit()
    assert sum(house.deaths.values()) == len(house.died)


def test_a_death_around_a_charge_charges_once(house: House) -> None:
    """Each of two charges of each customer meets a process that dies around it."""
    known = stories.people(house, len(AROUND_A_CHARGE), every=5)
    house.start("up")
    for who, orders in zip(known, AROUND_A_CHARGE, strict=True):
        house.world.declines(who, times=2)
        house.renewal(who)
        failed = int(who.renews_at.timestamp())
        for order, (before, after) in zip(orders, ((0.9, 1.2), (2.9, 4.2)), strict=True):
            house.goes_to(failed + int(before * DAY))
            house.rests()
            house.swap("up", crash=order)
            house.goes_to(failed + int(after * DAY))
            house.rests()
            assert house.died[-1:] == [order], house.said()
        assert house.world.state(who) == ("recovered", "full", "paid")
        assert house.world.tries(who) == ["stripe decline", "api decline", "api succeed"]
        house.audit()


def test_a_death_around_a_suspension(house: House, ann: Customer) -> None:
    house.start("up")
    stories.before_suspension(house, ann)
    first, *others = AROUND_A_SUSPENSION
    house.is_to_die("up", *others)
    house.swap("up", crash=first)
    stories.is_suspended_and_restored(house, ann)
    assert house.died == AROUND_A_SUSPENSION, house.said()
    # A call whose answer was lost is made again under its key, by which the product knows it.
    product = house.world.product
    heard = zip(product.headers, product.types, strict=True)
    calls = {headers["webhook-id"]: what for headers, what in heard}
    told = ["access.restricted", "access.suspended", "case.recovered", "access.restored"]
    assert list(calls.values()) == ["case.opened", *told]
    house.audit()


# --- what is not a moment of a story -----------------------------------------------------------


def test_a_death_while_it_is_told_to_stop(house: House, ann: Customer) -> None:
    house.world.declines(ann)
    up = house.start("up", crash="worker.stopping:1")
    house.renewal(ann)
    house.passes(days=1, minutes=2)
    assert up.stop() == EXIT_CODE
    house.revive()
    house.passes(days=1)
    house.rests()
    assert house.world.state(ann) == ("recovered", "full", "paid")
    house.audit()


def test_a_migration_that_dies_has_done_nothing(tmp_path: Path) -> None:
    environ = {"DUNNING_DATA": str(tmp_path), "STRIPE_WEBHOOK_SECRET": secrets.SIGNING}
    dying = environ | {"DUNNING_TEST_CRASH_AT": "migrate.before_commit:1"}
    assert run(tmp_path, dying, "migrate")[0] == EXIT_CODE
    code, said = run(tmp_path, environ, "doctor")
    assert code == 1, said
    assert run(tmp_path, environ, "migrate")[0] == 0
    assert run(tmp_path, environ, "migrate")[0] == 0


def test_a_move_that_dies_has_moved_nothing(
    house: House, ann: Customer, postgres_databases: PostgresDatabases
) -> None:
    house.start("up")
    stories.is_paid_the_next_day(house, ann)
    house.lives.pop("up").dies()
    # The look this test has at the database is one too many.
    house.engine.dispose()
    target = postgres_databases.create()
    for order in ("move.batch:1", "move.batch:9", "move.before_commit:1"):
        assert house.command("move", "--to", target, crash=order)[0] == EXIT_CODE, order
        engine = engine_for(target)
        with reading(engine) as session:
            if inspect(session.connection()).has_table("cases"):
                for table in (CaseRow, EntryRow, InboxRow):
                    assert session.exec(select(table)).first() is None, order
        engine.dispose()
    code, said = house.command("move", "--to", target)
    assert code == 0, said
    house.audit()
    moved = house.environ | {"DUNNING_DATABASE_URL": target}
    code, said = run(house.folder, moved, "ledger", "verify")
    assert code == 0, said
    postgres_databases.drop(target)


def test_a_pruning_that_dies_is_gone_on_with(house: House, ann: Customer) -> None:
    house.start("up")
    stories.is_paid_the_next_day(house, ann)
    house.passes(days=33)
    house.rests()
    assert house.command("prune", crash="prune.batch:1")[0] == EXIT_CODE
    house.audit_books()
    for removes in (True, False):
        code, said = house.command("prune", "--format", "json")
        assert code == 0, said
        assert (json.loads(said)["inbox"] > 0) is removes
    house.passes(days=1)
    house.rests()
    house.audit_books()


def test_asking_for_what_was_missed_dies_and_is_done_again(house: House, ann: Customer) -> None:
    house.start("up")
    house.sandbox.deliver("drop")
    house.world.declines(ann)
    house.renewal(ann)
    for order in ("handle.before_commit:1", "reconcile.page:1"):
        assert house.command("reconcile", crash=order)[0] == EXIT_CODE, order
    code, said = house.command("reconcile")
    assert code == 0, said
    house.sandbox.world.delivery_rules.clear()
    house.passes(days=1.1)
    house.rests()
    assert house.world.state(ann) == ("recovered", "full", "paid")
    house.audit()


NOTICES = """
version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    timeline: [{at: 0h, do: email, template: payment_failed}]
  expiry:
    kind: card_expiry
    timeline: [{before: 30d, do: email, template: card_expiring}]
choose: [{policy: expiry}, {policy: standard}]
"""


def test_looking_ahead_dies_and_is_done_again(house: House, tmp_path: Path) -> None:
    """Who subscribed before we were there is read in, looked at, and told of their card once."""
    policy = tmp_path / "notices.yaml"
    policy.write_text(NOTICES, encoding="utf-8")
    house.environ["DUNNING_POLICY_FILE"] = str(policy)
    terms: Any = {"number": "4242424242424242", "exp_month": 4, "exp_year": 2026, "cvc": "123"}
    methods = house.world.stripe.v1.payment_methods
    card = methods.create({"type": "card", "card": terms})
    house.world.customer(card=card.id)
    assert house.command("reconcile", crash="filling.page:1")[0] == EXIT_CODE
    code, said = house.command("reconcile", "--format", "json")
    assert code == 0, said
    house.is_to_die("up", *AROUND_A_NOTICE)
    house.start("up")
    house.passes(days=31)
    house.rests()
    assert house.died == AROUND_A_NOTICE, house.said()
    subjects = [str(mail["Subject"]) for mail in house.world.mailbox.messages]
    assert subjects == ["Your card expires before your next payment to Example Ltd"]
    house.audit()


def test_taking_over_an_estate_dies_and_is_done_again(house: House, ann: Customer) -> None:
    house.sandbox.deliver("drop")
    house.world.declines(ann, times=9)
    house.renewal(ann)
    house.passes(days=5)
    house.start("up")
    for order in ("provider.answered:1", "provider.answered:3", "rollup.written:1"):
        code, said = house.command("adopt", crash=order)
        assert code == EXIT_CODE, said
    code, said = house.command("adopt")
    assert code == 0, said
    house.sandbox.world.delivery_rules.clear()
    house.sandbox.world.faults.charges.clear()
    house.passes(days=8)
    house.rests()
    assert house.world.state(ann) == ("recovered", "full", "paid")
    assert [one["by"] for one in house.world.books(ann)["attempts"]] == ["stripe", "api"]
    house.audit()
