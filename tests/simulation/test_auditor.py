"""What the auditor says of a few rows, where no world would be needed to see it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dunning.simulation import audit_notices, audit_steps
from dunning.simulation.auditor import Seen
from dunning.store import CaseRow, InboxRow, OutboxRow, StepRow

CASE = "case_a"
OPENED = datetime(2026, 3, 31, 4, tzinfo=UTC)
CLOSED = OPENED + timedelta(hours=40)
HOUR = timedelta(hours=1)


def _heard(type: str, at: datetime, handled: datetime) -> InboxRow:
    return InboxRow(
        source="stripe",
        event_id=f"evt_{type}",
        type=type,
        ref=CASE,
        created_at=at,
        handled_at=handled,
        received_at=handled,
        body=b"",
    )


def _seen(began: datetime, behind: timedelta) -> Seen:
    """A dispute of forty hours, and a retry; our clock is so far behind the provider's."""
    step = StepRow(
        key=f"{CASE}/retry:1",
        case_id=CASE,
        kind="retry",
        state="ended",
        result="done",
        due_at=began,
        first_started_at=began,
        started_at=began,
    )
    inbox = [
        _heard("charge.dispute.created", OPENED, OPENED - behind),
        _heard("charge.dispute.closed", CLOSED, CLOSED - behind),
    ]
    case = CaseRow(
        id=CASE,
        source="stripe",
        provider="stripe",
        invoice="in_a",
        scope="sub_a",
        state="in_grace",
        access="full",
        currency="usd",
        policy="brisk",
        policy_version="1",
    )
    seen = Seen(cases=[case], steps=[step], entries=[], messages=[], calls=[], inbox=inbox)
    seen.by_case = {CASE: case}
    return seen


def test_a_notice_that_is_counted_as_a_debt_is_named() -> None:
    seen = _seen(OPENED, timedelta(0))
    (case,), (step,) = seen.cases, seen.steps
    assert list(audit_notices.without_money(seen)) == []
    case.kind, step.kind = "renewal", "email"
    assert list(audit_notices.without_money(seen)) == []
    case.amount_at_risk, step.kind = 4900, "retry"
    seen.calls.append(OutboxRow(case_id=CASE, key="k", source="stripe", type="case.opened"))
    assert list(audit_notices.without_money(seen)) == [
        f"I1 {CASE} is a notice, and counted: 4900 full",
        f"I1 {CASE}/retry:1 is a step of a notice",
        f"I1 {CASE} is a notice, and is in the outbox",
    ]


def test_a_step_in_the_middle_of_a_dispute_is_named() -> None:
    found = list(audit_steps.disputed(_seen(OPENED + 5 * HOUR, timedelta(0)), timedelta(0)))
    assert found == [f"I2 {CASE}/retry:1 began while a charge was disputed"]
    assert list(audit_steps.disputed(_seen(OPENED + 5 * HOUR, HOUR), HOUR)) == found


@pytest.mark.parametrize("behind", [timedelta(0), HOUR])
def test_a_dispute_is_over_when_the_provider_closed_it(behind: timedelta) -> None:
    """A retry in the second of the news is none too early, and a clock that is behind no proof."""
    assert list(audit_steps.disputed(_seen(CLOSED - behind, behind), behind)) == []


def _charged(began: dict[str, timedelta]) -> Seen:
    """Steps that were due one after the other, and were all missed; when each began after all."""
    steps = [
        StepRow(
            key=f"{CASE}/{name}",
            case_id=CASE,
            kind=name.partition(":")[0],
            state="ended",
            result="declined" if name.startswith("retry") else "done",
            due_at=OPENED + number * HOUR,
            first_started_at=OPENED + 9 * HOUR + after,
            started_at=OPENED + 9 * HOUR + after,
        )
        for number, (name, after) in enumerate(began.items())
    ]
    return Seen(cases=[], steps=steps, entries=[], messages=[], calls=[], inbox=[])


def test_two_rungs_that_were_missed_are_a_burst_unless_a_door_opens_between() -> None:
    seconds = [timedelta(seconds=number) for number in range(3)]
    burst = [f"I6 {CASE}/retry:1 was charged although {CASE}/retry:2 was due as well"]
    assert list(audit_steps.bursts(_charged({"retry:1": seconds[0], "retry:2": seconds[2]}))) == (
        burst
    )
    # A bank's answer had moved the first past the door, which then waited for it.
    between = {"suspend:1": seconds[1], "retry:1": seconds[0], "retry:2": seconds[2]}
    assert list(audit_steps.bursts(_charged(between))) == []
    # One that had opened by then was no reason to wait.
    before = {"retry:1": seconds[1], "suspend:1": seconds[0], "retry:2": seconds[2]}
    assert list(audit_steps.bursts(_charged(before))) == burst
