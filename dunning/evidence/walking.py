"""The way of one case under any policy, on the assumption that nobody ever pays.

The core does the planning, as in life: this walks what it plans, step by step, and every charge is
declined for the reason of the first. What is known of the case later plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dunning.core.case import advance, new_case
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    Decline,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    StepEnded,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case, Word
from dunning.core.holdout import Drawn
from dunning.core.plan import plan
from dunning.core.policy import Policy
from dunning.core.status import status
from dunning.core.steps import Step
from dunning.core.terms import under
from dunning.core.words import MESSAGES

# A policy has at most a few dozen lines; more turns would be a fault of ours.
TURNS = 1_000
_WORDS = ("customer", "subscription", "country", "timezone", "email", "locale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What was known as the first charge failed: all that a way depends on beside the policy."""

    source: str
    provider: str
    invoice: str
    failed_at: datetime
    amount: int
    currency: str
    decline: Decline | None = None
    status: AttemptStatus = AttemptStatus.DECLINED
    method_type: str | None = "card"
    words: tuple[Word, ...] = ()
    bill: Bill | None = None
    no_texts: bool = False  # they could not be written to by phone: no number, or no way out


@dataclass(frozen=True, slots=True)
class Act:
    """One thing we did to a case, or would do. Telling the billing system to charge is a retry."""

    kind: StepKind
    at: datetime
    template: str | None = None


def start_of(case: Case, amount: int) -> Start:
    """The beginning of a case that has gone on since."""
    assert case.failed_at is not None
    failed = (AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED)
    first = min(
        (one for one in case.attempts if one.status in failed),
        key=lambda one: (one.at, one.id),
        default=None,
    )
    return Start(
        source=case.source,
        provider=case.provider,
        invoice=case.invoice,
        failed_at=case.failed_at,
        amount=amount,
        currency=case.currency,
        decline=first.decline if first else None,
        status=first.status if first else AttemptStatus.DECLINED,
        method_type=first.method_type if first else None,
        words=tuple(word for word in case.words if word.about in _WORDS),
        bill=case.bill,
        no_texts=any(_not_texted(step) for step in case.done),
    )


def _not_texted(step: StepEnded) -> bool:
    return step.kind is StepKind.SMS and step.result is StepResult.SKIPPED


def walk(start: Start, policy: Policy, drawn: Drawn | None = None) -> list[Act]:
    """Everything we would do if nobody ever paid, giving up at the end."""
    case = under(replace(_begun(start), drawn=drawn), policy)
    now, acts = start.failed_at, list[Act]()
    open_ = status(case)  # it stays so until it is given up: nothing comes in
    for turn in range(TURNS):
        ahead = plan(case, policy, now, open_)
        due = ahead.due(now)
        if not due:
            if ahead.next_at is None:
                break
            now = max(now, ahead.next_at)
            due = ahead.due(now)
            if len(due) > 1:
                continue  # which of them is done depends on the moment
        step = next((one for one in due if one.skip), due[0])
        act = _act(step, now)
        if act and not (act.kind is StepKind.SMS and start.no_texts):
            acts.append(act)
        for event in _news(start, step, now, turn):
            case = advance(case, event)
        if step.kind is StepKind.GIVE_UP and not step.skip:
            break
    return acts


def _begun(start: Start) -> Case:
    case = new_case(start.source, start.provider, start.invoice)
    case = replace(case, words=start.words)
    told: dict[str, Any] = {
        "status": InvoiceStatus.OPEN,
        "remaining": start.amount,
        "paid": 0,
        "credited": 0,
        "next_attempt_at": None,
        "out_of_band": False,
        "paid_at": None,
        "voided_at": None,
        "uncollectible_at": None,
    }
    if start.bill is None:
        bill = Bill(
            invoice=start.invoice,
            status=InvoiceStatus.OPEN,
            currency=start.currency,
            remaining=start.amount,
            attempt_count=1,
        )
    else:
        bill = replace(start.bill, **told)
    at = start.failed_at
    case = advance(
        case, InvoiceReported(id="evidence:bill", at=at, news=InvoiceNews.PAYMENT_FAILED, bill=bill)
    )
    asked = StepEnded(
        id=f"{case.id}/reconcile:open", at=at, kind=StepKind.RECONCILE, result=StepResult.DONE
    )
    return advance(advance(case, _tried(start, at, "first", start.status)), asked)


def _tried(start: Start, at: datetime, name: str, status: AttemptStatus) -> AttemptReported:
    attempt = Attempt(
        id=f"evidence:{name}",
        at=at,
        status=status,
        amount=start.amount,
        currency=start.currency,
        by=Actor.PROVIDER,
        method_type=start.method_type,
        decline=start.decline,
    )
    return AttemptReported(
        id=f"evidence:{name}", at=at, attempt=attempt, invoice=start.invoice, customer=None
    )


def _act(step: Step, now: datetime) -> Act | None:
    """What the step is to others; None for one that is left out, or that nobody sees."""
    if step.skip or step.kind in (StepKind.RECONCILE, StepKind.RESTORE):
        return None
    if step.kind is StepKind.ANNOUNCE:
        charge = step.rung is not None and step.rung.do is StepKind.RETRY
        return Act(StepKind.RETRY, now) if charge else None
    return Act(step.kind, now, step.template if step.kind in MESSAGES else None)


def _news(start: Start, step: Step, now: datetime, turn: int) -> list[BillingEvent]:
    """What the program would learn from the step."""
    result = StepResult.DONE
    if step.skip:
        result = StepResult.SKIPPED
    elif step.kind is StepKind.RETRY:
        result = StepResult.DECLINED
    ended = StepEnded(id=step.key, at=now, kind=step.kind, result=result, template=step.template)
    if result is not StepResult.DECLINED:
        return [ended]
    told = _tried(start, now, str(turn), AttemptStatus.DECLINED)
    return [replace(told, attempt=replace(told.attempt, by=Actor.OURS, key=step.key)), ended]
