"""The merchant's application is told: signed, in order per case, until it has heard."""

from __future__ import annotations

import pytest
from sqlmodel import col, select

from dunning.channels.webhook import verify
from dunning.errors import SignatureError
from dunning.outbox import BACKOFF
from dunning.store import OutboxRow
from tests.staging import PRODUCT_SECRET
from tests.world import World

PAID = ["product case.recovered", "email recovered"]


def test_every_call_can_be_verified_and_says_what_it_is_about(world: World) -> None:
    ann = world.failing()
    (headers,) = world.product.headers
    (body,) = world.product.bodies
    verify([PRODUCT_SECRET], headers, body, world.now)
    with pytest.raises(SignatureError):
        verify([PRODUCT_SECRET], headers, body + b" ", world.now)
    assert headers["webhook-id"]
    data = world.product.calls[0]["data"]
    assert data == {
        "case": world.case(ann)["id"],
        "source": "stripe",
        "invoice": world.case(ann)["invoice"],
        "customer": ann.id,
        "subscription": ann.subscription,
        "scope": ann.subscription,
        "scope_kind": "subscription",
        "state": "in_grace",
        "access": "full",
        "reason": None,
        "amount_at_risk": 4900,
        "currency": "usd",
        "why": "the payment failed",
        "next": {"step": "email", "name": None, "at": "2026-04-02T11:00:00Z"},
    }
    world.passes(days=1, expect=["retry:1 paid", *PAID])
    assert world.product.calls[-1]["data"]["reason"] == "paid"


def test_the_end_of_a_case_is_told_once(world: World) -> None:
    world.failing(times=20)
    world.passes(days=60)
    assert world.product.types.count("case.lost") == 1
    assert world.product.types.count("access.suspended") == 1


def test_while_the_application_is_away_the_calls_wait_and_then_come_in_order(
    world: World,
) -> None:
    ann = world.failing(times=20)
    world.passes(days=13.9)
    world.product.answer = 503
    world.passes(days=1, expect=["suspend:1", "email suspended"])
    assert world.product.types == ["case.opened", "access.restricted"]
    world.sandbox.world.faults.charges.clear()
    world.pays(ann, "4242424242424242")
    world.passes(hours=1, expect=["restore:1", "email recovered"])
    world.product.answer = 200
    told = ["access.suspended", "case.recovered", "access.restored"]
    world.passes(hours=12, expect=[f"product {one}" for one in told])
    assert world.product.types == ["case.opened", "access.restricted", *told]
    assert len({headers["webhook-id"] for headers in world.product.headers}) == 5


def test_a_call_nobody_ever_takes_is_dead_and_seen_and_holds_up_no_other(world: World) -> None:
    world.product.answer = 500
    world.leaves.add("dead")
    world.failing(times=20, at_once=["email payment_failed"])
    world.passes(days=3, hours=1)
    with world.session() as session:
        (row,) = session.exec(select(OutboxRow)).all()
    assert (row.state, row.tries) == ("dead", len(BACKOFF) + 1)
    assert "500" in row.error
    world.product.answer = 200
    world.passes(days=8)
    assert world.product.types == ["access.restricted"]


def test_an_application_that_wants_no_more_calls_gets_no_more_of_that_one(world: World) -> None:
    world.product.answer = 410
    world.leaves.add("dead")
    world.failing(times=2, at_once=["email payment_failed"])
    assert world.product.refused == 1
    world.product.answer = 200
    world.passes(days=4, expect=["retry:1 declined", "email reminder", "retry:2 paid", *PAID])
    with world.session() as session:
        rows = session.exec(select(OutboxRow).order_by(col(OutboxRow.id))).all()
    assert [(row.type, row.state) for row in rows] == [
        ("case.opened", "dead"),
        ("case.recovered", "sent"),
    ]
