"""Events come in any order: what came before its case is found again when the case begins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from dunning.core.case import case_id
from dunning.store import AttemptRow, CaseRow, EntryRow
from tests.providers.stripe.bodies import Body, event, invoice, invoice_payment, paid_invoice
from tests.providers.stripe.bodies_money import charge, dispute, refund
from tests.providers.stripe.bodies_people import customer, ended_subscription, method
from tests.stages.kit import Stage, later, named, renamed

FAILED = event("invoice.payment_failed", invoice(), request={"id": None, "idempotency_key": None})
CHARGE_FAILED = event("charge.failed", charge())  # the new shape: it names no invoice
LINKED = later(event("invoice_payment.paid", invoice_payment(amount_paid=4900)), 600)
PAID = later(event("invoice.paid", paid_invoice()), 600)
REFUNDED = later(event("refund.created", refund()), 700)
DISPUTED = later(event("charge.dispute.created", dispute()), 700)
GONE = later(event("customer.subscription.deleted", ended_subscription()), 600)
CARD = event("payment_method.attached", method(id="pm_2"))
NAMED = event("customer.updated", customer())


def lives(stage: Stage, mark: str, told: Sequence[Body]) -> None:
    stage.hears(*(renamed(named(body), mark) for body in told))


def standing(stage: Stage, mark: str) -> dict[str, object]:
    """Everything an order of events might have changed, without names."""
    name = case_id("stripe", f"in_{mark}")
    with stage.writing() as session:
        case = session.get_one(CaseRow, name)
    entries = [row for row in stage.all(EntryRow) if row.case_id == name]
    sums: dict[str, int] = {}
    for row in entries:
        sums[row.credit] = sums.get(row.credit, 0) + row.amount
        sums[row.debit] = sums.get(row.debit, 0) - row.amount
    tries = [
        (row.id.replace(mark, "x"), row.status, row.decline_code)
        for row in stage.all(AttemptRow)
        if row.case_id == name
    ]
    return {
        "state": (case.state, case.access, case.closed_reason, case.advice, case.decline_code),
        "money": (case.amount_due, case.amount_at_risk),
        "dates": (case.opened_at, case.closed_at),
        "books": {account: amount for account, amount in sums.items() if amount},
        "tries": sorted(tries),
        "who": (case.customer, case.subscription) == (f"cus_{mark}", f"sub_{mark}"),
    }


STORIES = {
    "failed, charged, paid and given back": [FAILED, CHARGE_FAILED, LINKED, PAID, REFUNDED],
    "declined without a word of the invoice": [CHARGE_FAILED, LINKED, FAILED],
    "paid, then the bank takes it back": [FAILED, PAID, LINKED, DISPUTED],
    "the customer left": [FAILED, GONE, CARD, NAMED],
}


@pytest.mark.parametrize("story", STORIES, ids=list(STORIES))
def test_any_order_gives_the_same_case(stage: Stage, story: str) -> None:
    told = STORIES[story]
    lives(stage, "m0", told)
    straight = standing(stage, "m0")
    assert straight["who"]
    orders = [list(order) for order in permutations(told)]
    # Some of them; all of them are walked in the tests of the core, without a database.
    for number, order in enumerate(orders[:: 2 if len(orders) < 30 else 11], 1):
        lives(stage, f"m{number}", order)
        found = standing(stage, f"m{number}")
        assert found == straight, [body["type"] for body in order]


def test_the_straight_story_is_what_it_should_be(stage: Stage) -> None:
    lives(stage, "1", STORIES["failed, charged, paid and given back"])
    told = standing(stage, "1")
    assert told["state"] == ("recovered", "full", "paid", "wait", "insufficient_funds")
    assert told["books"] == {"owed": -5000, "withdrawn": 100, "recovered": 3900, "refunded": 1000}
    assert told["tries"] == [("ch_x", "declined", "insufficient_funds")]


def test_an_event_twice_in_any_order_changes_nothing(stage: Stage) -> None:
    told = STORIES["failed, charged, paid and given back"]
    lives(stage, "a", told)
    lives(stage, "b", [*reversed(told), *told, *reversed(told)])
    assert standing(stage, "a") == standing(stage, "b")


def test_paid_before_failed_is_a_case_that_is_over(stage: Stage) -> None:
    stage.hears(named(PAID))
    assert stage.all(CaseRow) == []
    stage.hears(named(FAILED))
    case = stage.case()
    assert (case.state, case.closed_reason) == ("recovered", "paid")
    assert case.next_step is None or not case.next_step.startswith("retry")


def test_a_decline_of_the_new_shape_waits_under_its_payment(stage: Stage) -> None:
    (row,) = stage.hears(named(CHARGE_FAILED))
    assert (row.state, row.waiting, row.ref) == ("handled", True, "pi_1")
    stage.hears(named(FAILED))
    assert stage.case().decline_code is None  # nothing says yet that it is about this invoice
    stage.hears(named(LINKED))
    case = stage.case()
    assert (case.decline_code, case.advice) == ("insufficient_funds", "wait")


def test_a_charge_of_which_the_case_knows_already_needs_no_recall(stage: Stage) -> None:
    stage.hears(named(FAILED), named(LINKED))
    (row,) = stage.hears(named(CHARGE_FAILED))
    assert (row.waiting, row.ref) == (False, stage.case().id)
    assert stage.case().decline_code == "insufficient_funds"


def test_what_waits_is_not_given_to_another_source(stage: Stage) -> None:
    sources = stage.inbox._readers._sources
    stage.inbox._readers._sources = {**sources, "other": sources["stripe"]}
    (row_id,) = stage.keep(named(PAID), source="other")
    stage.inbox.handle([row_id], stage.clock.now())
    stage.hears(named(FAILED))
    assert stage.case().state == "in_grace"


def test_a_parked_event_is_not_recalled(stage: Stage) -> None:
    stage.hears(named(event("invoice.paid", paid_invoice(currency=17))), named(FAILED))
    assert [row.state for row in stage.inbox_rows()] == ["parked", "handled"]
    assert stage.case().state == "in_grace"
