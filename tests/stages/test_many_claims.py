"""Many steps concluded in one transaction: as if one by one, and nobody's error is another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as hooks

from dunning.core.events import BillingEvent, InvoiceStatus, StepEnded, StepKind, StepResult
from dunning.core.facts import Case
from dunning.errors import LeaseLostError, MoneyError
from dunning.reports.proof import verify_all
from dunning.schedule import Claim, claim_due
from dunning.store import CaseRow, EntryRow, OutboxRow, ScheduleRow, StepRow
from tests.builders import T0, bill, days, declined, failed, hours, paid
from tests.stages.kit import Stage

LEASE = timedelta(minutes=2)


def open_cases(stage: Stage, count: int, *, scope: str | None = None) -> list[Claim]:
    """So many claimed cases, each with a subscription of its own unless one is given."""
    for number in range(count):
        mine = scope or f"sub_{number}"
        told = replace(bill(), invoice=f"in_{number}", customer=f"cus_{number}", subscription=mine)
        stage.tell(failed(told=told))
    return claimed(stage, count)


def claimed(stage: Stage, count: int, now: datetime = T0) -> list[Claim]:
    with stage.writing() as session:
        claims = claim_due(session, now, limit=count, lease=LEASE, sources=["stripe"])
    assert len(claims) == count
    return sorted(claims, key=lambda claim: claim.case_id)


def step(claim: Claim, kind: StepKind, number: int = 1) -> StepEnded:
    return StepEnded(
        id=f"{claim.case_id}/{kind.value}:{number}", at=T0, kind=kind, result=StepResult.DONE
    )


def test_each_case_takes_in_what_its_step_brought(stage: Stage) -> None:
    claims = open_cases(stage, 5)
    with stage.writing() as session:
        brought = [(claim, [step(claim, StepKind.RETRY)]) for claim in claims]
        told = stage.book.apply_to_many(session, brought, T0)
    assert set(told) == {claim.case_id for claim in claims}
    for claim in claims:
        case = told[claim.case_id]
        assert isinstance(case, Case)
        assert case.step(f"{claim.case_id}/retry:1") is not None
        row = stage.case(case.invoice)
        cursor = stage.cursor(case.invoice)
        assert cursor is not None
        assert (cursor.lease_token, cursor.due_at, row.version) == (None, row.next_at, 2)


def test_whose_lease_ran_out_is_told_so_and_the_others_are_written(stage: Stage) -> None:
    mine, *others = open_cases(stage, 3)
    late = replace(mine, token="somebody else's")
    gone = replace(mine, case_id="case_that_never_was")
    brought = [(claim, [step(claim, StepKind.EMAIL)]) for claim in (late, gone, *others)]
    with stage.writing() as session:
        told = stage.book.apply_to_many(session, brought, T0)
    assert isinstance(told[late.case_id], LeaseLostError)
    assert isinstance(told[gone.case_id], LeaseLostError)
    assert all(isinstance(told[claim.case_id], Case) for claim in others)
    versions = {row.id: row.version for row in stage.all(CaseRow)}
    tokens = {row.case_id: row.lease_token for row in stage.all(ScheduleRow)}
    assert (tokens[mine.case_id], versions[mine.case_id]) == (mine.token, 1)
    assert {tokens[claim.case_id] for claim in others} == {None}


def test_what_makes_no_sense_is_told_and_harms_no_other(stage: Stage) -> None:
    odd, *others = open_cases(stage, 3)
    foreign = declined(currency="eur")
    brought: list[tuple[Claim, list[BillingEvent]]] = [
        (claim, [foreign if claim is odd else step(claim, StepKind.EMAIL)])
        for claim in (*others, odd)
    ]
    with stage.writing() as session:
        told = stage.book.apply_to_many(session, brought, T0)
    assert isinstance(told[odd.case_id], MoneyError)
    assert sum(isinstance(one, Case) for one in told.values()) == 2
    with pytest.raises(MoneyError), stage.writing() as session:
        stage.book.apply_to(session, odd, [foreign], T0)


def test_two_cases_of_one_scope_let_go_in_one_batch_and_access_comes_back_once(
    announcing: Stage,
) -> None:
    open_cases(announcing, 2, scope="sub_1")
    for kind, at in ((StepKind.SUSPEND, days(20)), (StepKind.RESTORE, days(40))):
        claims = claimed(announcing, 2, at)
        with announcing.writing() as session:
            brought = [(claim, [step(claim, kind)]) for claim in claims]
            announcing.book.apply_to_many(session, brought, at)
    told = [row.type for row in announcing.all(OutboxRow) if row.type.startswith("access")]
    assert told == ["access.suspended", "access.restored"]


def test_steps_that_the_session_has_in_hand_are_not_lost(stage: Stage) -> None:
    """Whoever concludes a step changes its row in the same session, before and after."""
    (claim,) = open_cases(stage, 1)
    states = {"email": "running", "restrict": "deferred"}
    with stage.writing() as session:
        for kind, state in states.items():
            name = f"{claim.case_id}/{kind}:1"
            moments: dict[str, Any] = {"due_at": T0, "started_at": T0, "first_started_at": T0}
            session.add(StepRow(key=name, case_id=claim.case_id, kind=kind, state=state, **moments))
    whole = replace(bill(status=InvoiceStatus.PAID, paid_at=hours(1)), invoice="in_0")
    with stage.writing() as session:
        email = session.get_one(StepRow, f"{claim.case_id}/email:1")
        other = session.get_one(StepRow, f"{claim.case_id}/restrict:1")
        email.state, email.result, email.why = "ended", "done", "sent"
        events: list[BillingEvent] = [step(claim, StepKind.EMAIL), paid(hours(1), whole)]
        stage.book.apply_to(session, claim, events, hours(1))
        # What was written past the session is what its objects say.
        assert (other.state, other.result, other.ended_at) == ("ended", "not_owed", hours(1))
        email.ended_at = hours(1)
        other.state, other.result = "ended", "done"
    rows = {row.kind: (row.state, row.result, row.why) for row in stage.all(StepRow)}
    assert rows == {
        "email": ("ended", "done", "sent"),
        "restrict": ("ended", "done", "the case ended first"),
    }


def test_as_many_statements_for_many_as_for_few(announcing: Stage) -> None:
    said: list[str] = []
    hooks.listen(announcing.engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    claims = open_cases(announcing, 44)
    counts = []
    for part in (claims[:4], claims[4:]):
        brought: list[tuple[Claim, list[BillingEvent]]] = []
        for claim in part:
            charge = declined(name=f"ch_{claim.case_id}", payment_intent=f"pi_{claim.case_id}")
            brought.append((claim, [charge, step(claim, StepKind.SUSPEND)]))
        said.clear()
        with announcing.writing() as session:
            announcing.book.apply_to_many(session, brought, T0)
        counts.append(len(said))
    assert counts[0] == counts[1] <= 16, said
    told = [row.type for row in announcing.all(OutboxRow) if row.type.startswith("access")]
    assert told == ["access.suspended"] * 44
    assert len(announcing.all(EntryRow)) == 44
    with announcing.writing() as session:
        assert verify_all(session).faults == []
