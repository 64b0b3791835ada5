"""Ends, on record, the steps that were begun and that nobody is going to conclude any more.

A step is left behind when its worker died, or when it waited while its case came to an end. The
facts of the case say how it ended.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from dunning.core.events import Attempt, AttemptStatus, StepEnded, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.words import MESSAGES
from dunning.desk import Desk, Row

_KNOWN_ENDINGS = {
    AttemptStatus.SUCCEEDED: (StepResult.DONE, "paid"),
    AttemptStatus.DECLINED: (StepResult.DECLINED, "declined"),
}


def charges_told(case: Case) -> dict[str, Attempt]:
    """Our own tries whose ending is known from the provider and not yet from us, by step key."""
    ended = {step.id for step in case.done}
    return {
        attempt.key: attempt
        for attempt in case.attempts
        if attempt.key
        and attempt.key.startswith(f"{case.id}/")
        and attempt.key not in ended
        and attempt.status in _KNOWN_ENDINGS
    }


def end_unfinished(
    desk: Desk, case: Case, planned: Collection[str], now: datetime
) -> list[StepEnded]:
    """End the steps begun that are not planned any more, or whose ending is known after all."""
    told = charges_told(case)
    begun = desk.steps.get(case.id) or ()
    left, events = [], []
    for row in begun:
        key = row["key"]
        if key not in told and (key in planned or _may_have_paid(case, row)):
            left.append(row)
            continue
        result, why = _ending_of(case, row, told.get(key))
        ending = {"state": "ended", "result": result.value, "why": why, "ended_at": now}
        desk.ended_steps.put(key, {"key": key, **ending})
        events.append(
            StepEnded(
                id=key,
                at=now,
                kind=StepKind(row["kind"]),
                result=result,
                why=why,
                template=row["template"],
            )
        )
    if events:
        desk.steps.put(case.id, tuple(left))
    return events


def _may_have_paid(case: Case, row: Row) -> bool:
    """Whether this charge may be the one that paid: nobody has said yet which one did."""
    doubtful = row["kind"] == StepKind.RETRY.value and row["state"] in ("running", "unknown")
    succeeded = any(one.status is AttemptStatus.SUCCEEDED for one in case.attempts)
    return doubtful and case.paid_at is not None and not succeeded


def _paid_by_others(case: Case) -> bool:
    """Whether the charges that are known paid all that was paid: then none of ours is missing."""
    known = (one.amount for one in case.attempts if one.status is AttemptStatus.SUCCEEDED)
    return case.paid_at is not None and case.bill is not None and sum(known) >= case.bill.paid


def _ending_of(case: Case, row: Row, attempt: Attempt | None) -> tuple[StepResult, str]:
    if attempt is not None:
        return _KNOWN_ENDINGS[attempt.status]
    begun = row["state"] in ("running", "unknown")
    # One that is running may be sent at this very moment, whatever is known of it so far.
    left = row["state"] == "running" or row["asked"] is not None
    if begun and row["kind"] in MESSAGES and left:
        return StepResult.DOUBTFUL, "the worker that sent it died before it could say so"
    # One that is running and has not asked yet is not going to: it looks whether it still runs.
    asked = begun and row["asked"] is not None
    if asked and row["kind"] == StepKind.RETRY.value and not _paid_by_others(case):
        return StepResult.DOUBTFUL, "it was asked for, and the case ended before anybody knew more"
    # Also one that was put off: an answer may have got lost, or a part of it been done.
    if row["kind"] == StepKind.SUSPEND.value:
        return StepResult.DOUBTFUL, "it may have come about before the case ended"
    closed_at = case.voided_at or case.uncollectible_at
    ours = closed_at is not None and closed_at >= row["first_started_at"]
    if begun and row["kind"] == StepKind.GIVE_UP.value and ours:
        return StepResult.DONE, "the window closed"
    return StepResult.NOT_OWED, "the case ended first"
