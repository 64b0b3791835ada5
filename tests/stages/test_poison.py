"""Rows that cannot be handled, in the middle of a batch: only they are parked."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from sqlalchemy import event as hooks

from dunning.core.choosing import Subject
from dunning.core.policy import Policy
from dunning.reports.proof import verify_all
from dunning.store import CaseRow, CustomerRow, EntryRow, LinkRow
from tests.providers.stripe.bodies import Body, event, invoice, paid_invoice
from tests.providers.stripe.bodies_people import customer
from tests.stages.kit import Stage, later, named, renamed

FAILED = event("invoice.payment_failed", invoice())
PAID = later(event("invoice.paid", paid_invoice()), 600)
HUGE = event("invoice.payment_failed", invoice(amount_due=10**30, amount_remaining=10**30))


def of(body: Body, mark: str) -> Body:
    return renamed(named(body), mark)


def states(stage: Stage) -> list[str]:
    return [row.state for row in stage.inbox_rows()]


@pytest.mark.parametrize("seed", range(3))
def test_what_the_database_refuses_is_found_wherever_it_stands(stage: Stage, seed: int) -> None:
    """The batch is halved until those at fault are alone; the rest is as if they had never been."""
    chance = Random(seed)
    poisoned = set(chance.sample(range(20), 3))
    told = [of(HUGE if n in poisoned else FAILED, f"m{n}") for n in range(20)]
    told += [of(PAID, f"m{n}") for n in range(20)]
    ids = stage.keep(*told)
    assert stage.inbox.handle(ids, stage.clock.now()) == 40
    assert {n for n, state in enumerate(states(stage)) if state == "parked"} == poisoned
    for n in poisoned:
        assert stage.inbox_rows()[n].reason != ""
    rows = stage.inbox_rows()
    assert [row.tries for row in rows] == [1] * 40
    # What was paid without ever having failed for us waits.
    assert {n - 20 for n, row in enumerate(rows) if row.waiting} == poisoned
    cases = stage.all(CaseRow)
    assert {case.invoice for case in cases} == {f"in_m{n}" for n in range(20) if n not in poisoned}
    assert {(case.state, case.version) for case in cases} == {("recovered", 2)}
    assert len(stage.all(EntryRow)) == 34
    with stage.writing() as session:
        assert verify_all(session).faults == []


class Picky:
    """A choice of policies that fails for invoices of one amount."""

    def __init__(self, stage: Stage, amount: int) -> None:
        self._amount = amount
        self._choose = stage._choose
        stage.book._policies.choose = self

    def __call__(self, subject: Subject) -> Policy:
        assert subject.amount is not None
        if subject.amount.minor == self._amount:
            raise ZeroDivisionError
        return self._choose(subject)


def test_what_goes_wrong_while_deciding_leaves_nothing_of_its_row(announcing: Stage) -> None:
    Picky(announcing, 777)
    odd = event("invoice.payment_failed", invoice(amount_due=777, amount_remaining=777))
    told = [of(FAILED, "m1"), of(odd, "m2"), of(PAID, "m1"), of(odd, "m1"), of(FAILED, "m3")]
    ids = announcing.keep(*told)
    statements: list[str] = []
    hooks.listen(
        announcing.engine, "before_cursor_execute", lambda *told: statements.append(told[2])
    )
    announcing.inbox.handle(ids, announcing.clock.now())
    assert states(announcing) == ["handled", "parked", "handled", "handled", "handled"]
    assert announcing.inbox_rows()[1].reason == "ZeroDivisionError: "
    assert {case.invoice for case in announcing.all(CaseRow)} == {"in_m1", "in_m3"}
    assert not [row for row in announcing.all(LinkRow) if row.invoice == "in_m2"]
    # One transaction did it: nothing had to be done over.
    assert sum(said.startswith("INSERT INTO cases") for said in statements) == 1


def test_an_error_after_news_of_a_customer_takes_that_news_back(stage: Stage) -> None:
    """A row's events stand or fall together, in memory as in the tables."""

    def take(desk: Any, *given: Any) -> Any:
        applied = known(desk, *given)
        if "pois" in repr(given):
            raise KeyError("pois")
        return applied

    known = stage.book.take
    stage.book.take = take  # type: ignore[method-assign,assignment]
    told = [
        of(event("customer.updated", customer(name="Ada")), "m1"),
        of(later(event("customer.updated", customer(name="poison")), 60), "m1"),
        of(later(event("customer.updated", customer(name="Ada L.")), 30), "m1"),
    ]
    stage.inbox.handle(stage.keep(*told), stage.clock.now())
    assert states(stage) == ["handled", "parked", "handled"]
    (row,) = stage.all(CustomerRow)
    assert row.name == "Ada L."


@pytest.mark.parametrize("name", ["nul \x00", "half a pair \ud800"], ids=["nul", "surrogate"])
def test_text_that_no_table_takes_harms_no_mate(stage: Stage, name: str) -> None:
    odd = event("customer.updated", customer(name=name, id="cus_1"))
    told = [of(FAILED, "m1"), of(odd, "m2"), of(FAILED, "m3"), of(odd, "m4"), of(PAID, "m1")]
    stage.inbox.handle(stage.keep(*told), stage.clock.now())
    found = states(stage)
    assert found[0::2] == ["handled"] * 3
    # SQLite keeps a NUL as it keeps any other letter.
    assert set(found[1::2]) <= {"parked", "handled"}
    assert found[1] == found[3]
    assert {case.invoice: case.state for case in stage.all(CaseRow)} == {
        "in_m1": "recovered",
        "in_m3": "in_grace",
    }
