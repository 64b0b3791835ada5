"""Workers at once: one case for one invoice, no event lost, nobody waiting for each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from sqlalchemy import event as hooks
from sqlalchemy.exc import DBAPIError

from dunning.core.events import StepEnded, StepKind, StepResult
from dunning.schedule import Claim
from dunning.store import CaseRow, EntryRow, OutboxRow, ScheduleRow
from tests.providers.stripe.bodies import Body, event, invoice, invoice_payment, paid_invoice
from tests.providers.stripe.bodies_money import charge
from tests.providers.stripe.bodies_people import method
from tests.stages.kit import Stage, Together, later, named, renamed


def failed(mark: str) -> Body:
    return renamed(named(event("invoice.payment_failed", invoice())), mark)


def paid(mark: str) -> Body:
    return renamed(named(later(event("invoice.paid", paid_invoice()), 600)), mark)


def handling(stage: Stage, ids: list[int]) -> Callable[[], int]:
    return partial(stage.inbox.handle, ids, stage.clock.now())


def test_one_invoice_told_by_two_workers_at_once_is_one_case(stage: Stage) -> None:
    for number in range(10):
        mark = f"m{number}"
        ids = stage.keep(failed(mark), paid(mark))
        both = Together(*(handling(stage, [row_id]) for row_id in ids))
        assert both.errors == []
    cases = stage.all(CaseRow)
    assert len(cases) == 10
    assert {case.state for case in cases} == {"recovered"}
    assert len(stage.all(EntryRow)) == 20
    assert [row.state for row in stage.inbox_rows()] == ["handled"] * 20


def test_a_decline_and_its_link_at_once_find_each_other(stage: Stage) -> None:
    for number in range(10):
        mark = f"m{number}"
        told = [
            event("invoice.payment_failed", invoice()),
            event("charge.failed", charge()),
            event("invoice_payment.paid", invoice_payment(amount_paid=100)),
        ]
        ids = stage.keep(*(renamed(named(body), mark) for body in told))
        assert Together(*(handling(stage, [row_id]) for row_id in ids)).errors == []
    assert {case.decline_code for case in stage.all(CaseRow)} == {"insufficient_funds"}


def test_a_new_card_and_the_failure_at_once_find_each_other(stage: Stage) -> None:
    for number in range(10):
        mark = f"m{number}"
        card = event("payment_method.attached", method(id="pm_2")) | {"created": 1_790_000_100}
        ids = stage.keep(failed(mark), renamed(named(card), mark))
        assert Together(*(handling(stage, [row_id]) for row_id in ids)).errors == []
        case = stage.case(f"in_{mark}")
        assert '"method":"pm_2"' in case.facts


def test_batches_that_share_customers_in_other_orders_do_not_stop_each_other(
    stage: Stage,
) -> None:
    """Each worker holds what it has touched to its end: without one order for all they deadlock."""
    refused: list[DBAPIError] = []
    hooks.listen(stage.engine, "handle_error", lambda told: refused.append(told.original_exception))
    marks = [f"m{number}" for number in range(20)]
    there = stage.keep(*(failed(mark) for mark in marks))
    back = stage.keep(*(paid(mark) for mark in reversed(marks)))
    both = Together(handling(stage, there), handling(stage, back))
    assert both.errors == []
    assert refused == []
    assert both.given == [20, 20]
    assert {case.state for case in stage.all(CaseRow)} == {"recovered"}


# --- access of a subscription with two unpaid invoices -----------------------------------------


def second_of(mark: str) -> str:
    return f"in_{mark}b"


def begin_two_suspended(stage: Stage, mark: str) -> None:
    """Two unpaid invoices of one subscription, both suspended and then paid."""
    for told in (failed(mark), paid(mark)):
        other = named(json.loads(json.dumps(told)))
        other["data"]["object"]["id"] = second_of(mark)
        stage.hears(told, other)
        if told["type"] == "invoice.payment_failed":
            ends(stage, f"in_{mark}", StepKind.SUSPEND)
            ends(stage, second_of(mark), StepKind.SUSPEND)


def ends(stage: Stage, invoice: str, kind: StepKind) -> None:
    """A step of the case ended well, as its executor says."""
    case = stage.case(invoice)
    now = stage.clock.now()
    with stage.writing() as session:
        row = session.get_one(ScheduleRow, case.id)
        row.leased_until, row.lease_token = now, f"token {case.id}"
    done = StepEnded(id=f"{case.id}/{kind}:1", at=now, kind=kind, result=StepResult.DONE)
    with stage.writing() as session:
        claim = Claim(case.id, "stripe", f"token {case.id}")
        stage.book.apply_to(session, claim, [done], now)


def test_the_last_two_to_let_go_at_once_give_access_back_once(announcing: Stage) -> None:
    for number in range(8):
        mark = f"m{number}"
        begin_two_suspended(announcing, mark)
        both = Together(
            partial(ends, announcing, f"in_{mark}", StepKind.RESTORE),
            partial(ends, announcing, second_of(mark), StepKind.RESTORE),
        )
        assert both.errors == []
        rows = sorted(announcing.all(OutboxRow), key=lambda row: row.id or 0)
        told = [row.type for row in rows if f"sub_{mark}" in row.body]
        assert [one for one in told if one.startswith("access")] == [
            "access.suspended",
            "access.restored",
        ]
