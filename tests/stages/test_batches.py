"""Events in batches: the same rows as one by one, in as many statements however many they are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import pytest
from sqlalchemy import event as hooks
from sqlmodel import select

from dunning import crashpoints
from dunning.core.case import case_id
from dunning.reports.proof import verify_all
from dunning.store import (
    AttemptRow,
    CaseRow,
    CustomerRow,
    EntryRow,
    InboxRow,
    LinkRow,
    MethodRow,
    OutboxRow,
    StepRow,
    SubscriptionRow,
)
from tests.builders import SOURCE
from tests.providers.stripe.bodies import (
    Body,
    credit_note,
    event,
    invoice,
    invoice_payment,
    paid_invoice,
)
from tests.providers.stripe.bodies_money import charge, dispute, refund
from tests.providers.stripe.bodies_people import customer, ended_subscription, method
from tests.stages.kit import Stage, Together, later, named, renamed

FAILED = event("invoice.payment_failed", invoice())
PAID = later(event("invoice.paid", paid_invoice()), 600)
CHARGE_FAILED = event("charge.failed", charge())  # it names no invoice
LINKED = later(event("invoice_payment.paid", invoice_payment(amount_paid=4900)), 600)
GONE = later(event("customer.subscription.deleted", ended_subscription()), 600)
CARD = event("payment_method.attached", method(id="pm_2"))
POOL: Sequence[Body] = (
    *(FAILED, FAILED, PAID, CHARGE_FAILED, LINKED, CARD),
    later(FAILED, 300),
    later(event("invoice_payment.paid", invoice_payment(amount_paid=1000)), 60),
    later(event("refund.created", refund()), 700),
    later(event("charge.dispute.created", dispute()), 700),
    GONE,
    later(event("credit_note.created", credit_note()), 100),
    event("customer.updated", customer()),
    later(event("customer.updated", customer(email="new@example.com")), 50),
    event("invoice.payment_failed", invoice(currency="usd")),  # no mate of the others
    event("invoice.paid", paid_invoice(currency=17)),
    event("radar.early_fraud_warning.created", {"id": "issfr_1"}),
)


def about(body: Body, mark: str, *, second: bool) -> Body:
    """The event about things of this mark; `second`: another invoice of the same customer."""
    told = json.dumps(body).replace('"pm_2"', f'"pm_{mark}new"')
    for thing in ("in", "ch", "pi", "inpay") if second else ():
        told = told.replace(f'"{thing}_1"', f'"{thing}_{mark}b"')
    return renamed(json.loads(told), mark)


def life(chance: Random, mark: str) -> list[Body]:
    """Events of two customers with two invoices each, in any order and some of them repeatedly."""
    told = []
    for number in range(chance.randrange(6, 18)):
        person = f"{mark}{chance.choice('pq')}"
        body = about(chance.choice(POOL), person, second=chance.random() < 0.3)
        told.append(named(body, f"evt_{mark}_{number}"))
    return told


TABLES = (
    *(CaseRow, EntryRow, OutboxRow, InboxRow, AttemptRow, LinkRow),
    *(CustomerRow, SubscriptionRow, MethodRow, StepRow),
)


def rows_of(stage: Stage, mark: str) -> dict[str, list[str]]:
    """Every row about these things, in the order of writing, without numbers and that mark."""
    names = {
        case_id(SOURCE, f"in_{mark}{tail}"): f"case of {tail}" for tail in ("p", "pb", "q", "qb")
    }
    found: dict[str, list[str]] = {}
    for table in TABLES:
        kept = []
        for row in stage.all(table):
            told: dict[str, Any] = row.model_dump(exclude={"body"})
            if table is OutboxRow:
                told["told"] = json.loads(told.pop("body", "null") or "null")
            if isinstance(told.get("id"), int):
                number = told.pop("id")
            else:
                number = 0
            text = repr(sorted(told.items()))
            if mark in text or any(name in text for name in names):
                for name, short in names.items():
                    text = text.replace(name, short)
                kept.append((number, text.replace(mark, "")))
        found[table.__name__] = [text for _, text in sorted(kept)]
    return found


def begins(stage: Stage, mark: str, chance: Random) -> None:
    """Steps under way in some of the cases: their end is written with the news that ends them."""
    with stage.writing() as session:
        for tail in ("p", "pb", "q", "qb"):
            name = case_id(SOURCE, f"in_{mark}{tail}")
            kind, state = chance.choice(
                [("email", "running"), ("retry", "deferred"), ("give_up", "running")]
            )
            if session.get(CaseRow, name) is not None:
                at = stage.clock.now()
                moments: dict[str, Any] = {"started_at": at, "first_started_at": at, "due_at": at}
                key = f"{name}/{kind}:1"
                session.add(StepRow(key=key, case_id=name, kind=kind, state=state, **moments))


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_gives_the_rows_that_one_by_one_gives(announcing: Stage, seed: int) -> None:
    for number in range(5):
        found = {}
        for mark in (f"x{seed}{number}", f"y{seed}{number}"):
            chance = Random(seed * 100 + number)
            ids = announcing.keep(*life(chance, mark))
            # Some come before, so that the batch meets cases and steps that are there.
            first = chance.randrange(len(ids))
            alone = mark.startswith("x")
            now = announcing.clock.now()
            for half in (0, 1):
                part = ids[first:] if half else ids[:first]
                for some in [[one] for one in part] if alone else [part]:
                    announcing.inbox.handle(some, now)
                if not half:
                    begins(announcing, mark, chance)
            found[mark[0]] = rows_of(announcing, mark)
        for table in found["x"]:
            assert found["y"][table] == found["x"][table], (number, table)
        assert found["x"]["InboxRow"]
    with announcing.writing() as session:
        assert verify_all(session).faults == []


def test_the_lives_of_that_test_are_worth_comparing(announcing: Stage) -> None:
    """It would say nothing of what never happens in them."""
    for seed in range(4):
        for number in range(5):
            ids = announcing.keep(*life(Random(seed * 100 + number), f"z{seed}{number}"))
            announcing.inbox.handle(ids, announcing.clock.now())
    states = {row.state for row in announcing.all(CaseRow)}
    assert states >= {"in_grace", "recovered", "lost"}
    assert {row.state for row in announcing.inbox_rows()} == {"handled", "parked", "ignored"}
    assert {row.waiting for row in announcing.inbox_rows()} == {True, False}
    assert any(row.reverses for row in announcing.all(EntryRow))
    assert {row.type for row in announcing.all(OutboxRow)} >= {"case.opened", "case.recovered"}


# --- several events of one case ----------------------------------------------------------------


def test_the_events_of_one_case_are_taken_in_one_after_the_other(announcing: Stage) -> None:
    back = later(event("refund.created", refund()), 700)
    told = [named(body) for body in (FAILED, CHARGE_FAILED, LINKED, PAID, back)]
    ids = announcing.keep(*told)
    assert announcing.inbox.handle(reversed(ids), announcing.clock.now()) == 5
    case = announcing.case()
    assert (case.state, case.version, case.decline_code) == ("recovered", 4, "insufficient_funds")
    assert [row.type for row in announcing.all(OutboxRow)] == ["case.opened", "case.recovered"]
    assert [row.state for row in announcing.inbox_rows()] == ["handled"] * 5


def test_what_waits_is_found_by_a_case_that_opens_later_in_the_batch(stage: Stage) -> None:
    ids = stage.keep(*(named(body) for body in (PAID, CHARGE_FAILED, LINKED, FAILED)))
    stage.inbox.handle(ids, stage.clock.now())
    case = stage.case()
    assert (case.state, case.decline_code) == ("recovered", "insufficient_funds")
    for row in stage.inbox_rows():
        assert (row.state, row.waiting, row.reason, row.ref) == ("handled", False, "", case.id)


def test_what_was_recalled_waits_no_more(stage: Stage) -> None:
    (waiting,) = stage.hears(named(PAID))
    assert (waiting.waiting, waiting.ref, waiting.reason) == (True, "in_1", "no case of ours (yet)")
    stage.hears(named(FAILED))
    row, _ = stage.inbox_rows()
    assert (row.state, row.waiting, row.ref, row.reason) == (
        "handled",
        False,
        stage.case().id,
        "",
    )


def test_news_of_a_customer_reaches_the_case_that_opened_before_it_in_the_batch(
    stage: Stage,
) -> None:
    new = event("customer.updated", customer(preferred_locales=["fi"]))
    told = [FAILED, later(new, 60), PAID, later(event("customer.updated", customer()), 9000)]
    ids = stage.keep(*(named(body) for body in told))
    stage.inbox.handle(ids, stage.clock.now())
    rows = stage.inbox_rows()
    assert [row.ref for row in rows] == [stage.case().id] * 3 + [None]
    assert '"value":"fi"' in stage.case().facts


# --- how many statements -----------------------------------------------------------------------


class Counts:
    """The statements that a stage asks of its database."""

    def __init__(self, stage: Stage) -> None:
        self.said: list[str] = []
        hooks.listen(stage.engine, "before_cursor_execute", self._look)

    def _look(self, _c: object, _cursor: object, said: str, *_rest: object) -> None:
        self.said.append(said)

    def handling(self, stage: Stage, bodies: Sequence[Body]) -> int:
        ids = stage.keep(*(named(body) for body in bodies))
        self.said.clear()
        assert stage.inbox.handle(ids, stage.clock.now()) == len(ids)
        return len(self.said)


def test_a_batch_takes_as_many_statements_however_large_it_is(announcing: Stage) -> None:
    counts = Counts(announcing)
    stories = {
        "failed": (FAILED,),
        "paid": (PAID,),
        "news of customers": (CARD, event("customer.updated", customer())),
        "a charge without an invoice, and its link": (CHARGE_FAILED, LINKED),
    }
    marks = {size: [f"s{size}m{number}" for number in range(size)] for size in (10, 100)}
    for story, bodies in stories.items():
        few, many = (
            counts.handling(
                announcing, [renamed(body, mark) for mark in marks[size] for body in bodies]
            )
            for size in (10, 100)
        )
        assert few == many <= 22, (story, few, many, counts.said)


def test_no_look_of_a_batch_walks_a_table(stage: Stage) -> None:
    """SQLite says how it goes about each; on a database of years a walk would never end."""
    looks: dict[str, Any] = {}

    def note(_c: object, _cursor: object, said: str, given: Any, *_rest: object) -> None:
        if said.startswith("SELECT") and stage.engine.dialect.name == "sqlite":
            looks[said] = given

    hooks.listen(stage.engine, "before_cursor_execute", note)
    told = [named(body) for body in (CHARGE_FAILED, FAILED, CARD, LINKED, GONE, PAID)]
    for part in (told[:1], told[1:3], told[3:]):
        ids = stage.keep(*part)
        stage.inbox.handle(ids, stage.clock.now())
    hooks.remove(stage.engine, "before_cursor_execute", note)
    with stage.engine.connect() as connection:
        for said, given in looks.items():
            asked = f"EXPLAIN QUERY PLAN {said}"
            for *_, way in connection.exec_driver_sql(asked, given):
                # Of months that are closed there are a dozen a year.
                assert not re.match(r"SCAN (?!anon|closings)", way), said
                assert not way.endswith("(source=?)"), said


# --- at once -----------------------------------------------------------------------------------


def test_batches_that_overlap_do_everything_once(announcing: Stage) -> None:
    marks = [f"m{number}" for number in range(12)]
    told = [renamed(named(body), mark) for body in (FAILED, CARD, PAID) for mark in marks]
    Random(7).shuffle(told)
    ids = announcing.keep(*told)
    parts = [ids[:24], ids[12:], list(reversed(ids))]
    now = announcing.clock.now()
    all_of_them = Together(*(partial(announcing.inbox.handle, part, now) for part in parts))
    # A row that another worker held was left to that worker; what is over is for the sweep.
    assert all_of_them.errors == []
    assert sum(all_of_them.given) == len(ids)
    assert [row.tries for row in announcing.inbox_rows()] == [1] * len(ids)
    assert {case.state for case in announcing.all(CaseRow)} == {"recovered"}
    assert len(announcing.all(CaseRow)) == 12
    told_of = [row.type for row in announcing.all(OutboxRow)]
    assert sorted(set(told_of)) == ["case.opened", "case.recovered"]
    assert len(told_of) == 24
    with announcing.writing() as session:
        assert verify_all(session).faults == []


# --- dying -------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["handle.read", "handle.before_commit", "handle.committed"])
def test_a_worker_that_dies_leaves_the_whole_batch_or_none_of_it(stage: Stage, point: str) -> None:
    ids = stage.keep(named(FAILED), named(PAID))

    def dies(name: str) -> None:
        if name == point:
            raise crashpoints.Killed

    with crashpoints.listening(dies), pytest.raises(crashpoints.Killed):
        stage.inbox.handle(ids, stage.clock.now())
    done = point == "handle.committed"
    assert [row.state for row in stage.inbox_rows()] == ["handled" if done else "new"] * 2
    assert len(stage.all(CaseRow)) == int(done)
    assert stage.inbox.handle(ids, stage.clock.now()) == (0 if done else 2)
    assert stage.case().state == "recovered"
    with stage.writing() as session:
        assert len(session.exec(select(EntryRow)).all()) == 2
