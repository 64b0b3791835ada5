"""One customer's way through a policy, on the assumption that every charge fails.

The core does the planning, as in life: this walks what it plans, step by step, and lets each
charge be declined for the same reason as the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dunning.cli.output import Column, once, pairs, say, table
from dunning.cli.rules import rule
from dunning.cli.trial import Asked, begun, declined, noticed
from dunning.cli.words import local_text, moment_text
from dunning.clock import rfc3339
from dunning.config.notices import MOMENTS
from dunning.core.calendar import zone_of
from dunning.core.case import advance
from dunning.core.choosing import Choice, Terms, choose
from dunning.core.declines import UNKNOWN, Verdict, advise
from dunning.core.events import (
    Actor,
    BillingEvent,
    StepEnded,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.notices import BEGINS_AHEAD, END_STEP, longest_lead, moment
from dunning.core.places import walked
from dunning.core.plan import plan
from dunning.core.policy import Policy
from dunning.core.status import status
from dunning.core.steps import Step
from dunning.core.subject import subject_of
from dunning.core.terms import under
from dunning.core.words import MESSAGES, Over

# A policy has at most a few dozen lines; more turns would be a fault of ours.
TURNS = 1_000
KEYS = ("at", "local_time", "day", "step", "kind", "template", "result", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One step on the way: when, what, and what became of it."""

    at: datetime
    step: Step
    result: StepResult
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The whole way, from the first failure to the end."""

    asked: Asked
    policy: Policy
    zone: ZoneInfo
    verdict: Verdict
    stops: Sequence[Stop]
    state: str
    reason: str


def chosen_for(asked: Asked, choices: Sequence[Choice], terms: Terms) -> str:
    """The name of the policy that this customer's case would get."""
    case = begun(asked)
    return choose(choices, subject_of(case, status(case)), terms)


def in_time(asked: Asked, policy: Policy) -> Asked:
    """The same with a moment that all lines of a notice lie ahead of."""
    return replace(asked, failed_at=asked.failed_at + longest_lead(policy) + BEGINS_AHEAD)


def live_through(policy: Policy, asked: Asked) -> Preview:
    """Walk the case until nothing is planned any more."""
    case, now, stops = under(begun(asked), policy), asked.failed_at, []
    if policy.kind.is_notice:
        case = noticed(asked, policy)
        asked = replace(asked, failed_at=moment(case, policy.timezone))
        now = case.noticed_at or now
    for turn in range(TURNS):
        ahead = plan(case, policy, now)
        due = next(iter(ahead.due(now)), None)
        skipped = [step for step in ahead.due(now) if step.skip]
        if due is None:
            if ahead.next_at is None:
                break
            now = max(now, ahead.next_at)
            continue
        stop = _done(skipped[0] if skipped else due, now)
        if stop.step.kind is not StepKind.RECONCILE:
            stops.append(stop)
        for event in _news(asked, stop, turn, case):
            case = advance(case, event)
    present = status(case)
    return Preview(
        asked=asked,
        policy=policy,
        zone=zone_of(asked.timezone, asked.country, policy.timezone),
        verdict=advise(asked.decline, policy.declines) if asked.decline else UNKNOWN,
        stops=stops,
        state=present.state.value,
        reason=present.reason,
    )


def _done(step: Step, now: datetime) -> Stop:
    if step.skip:
        return Stop(at=now, step=step, result=StepResult.SKIPPED, why=step.skip)
    result = StepResult.DECLINED if step.kind is StepKind.RETRY else StepResult.DONE
    return Stop(at=now, step=step, result=result, why=step.why)


def _news(asked: Asked, stop: Stop, turn: int, case: Case) -> list[BillingEvent]:
    """What the program would learn from the step."""
    if stop.step.key.endswith(END_STEP) and case.notice is not None:
        return [replace(case.notice, id="evt_passed", at=stop.at, over=Over.PASSED)]
    ended = StepEnded(
        id=stop.step.key,
        at=stop.at,
        kind=stop.step.kind,
        result=stop.result,
        why=stop.why,
        template=stop.step.template,
    )
    if stop.result is not StepResult.DECLINED:
        return [ended]
    attempt = declined(asked, stop.at, f"ch_{turn}", Actor.OURS)
    named = replace(attempt.attempt, key=stop.step.key)
    return [replace(attempt, attempt=named), ended]


# --- writing ---------------------------------------------------------------------------------


def as_json(preview: Preview) -> dict[str, Any]:
    """The way for programs."""
    asked = preview.asked
    return {
        "policy": preview.policy.name,
        "policy_version": preview.policy.version,
        "kind": preview.policy.kind.value,
        "amount": asked.amount.minor,
        "currency": asked.amount.currency,
        "decline_code": asked.code,
        "advice": preview.verdict.advice.value,
        "reason": preview.verdict.reason,
        "failed_at": rfc3339(asked.failed_at),
        "timezone": str(preview.zone),
        "method": asked.method,
        "timeline": [_stop_json(preview, stop) for stop in preview.stops],
        "state": preview.state,
        "closed_reason": preview.reason or None,
    }


def _stop_json(preview: Preview, stop: Stop) -> dict[str, Any]:
    return {
        "at": rfc3339(stop.at),
        "local_time": stop.at.astimezone(preview.zone).isoformat(),
        "day": day_of(preview, stop),
        "step": step_name(stop),
        "kind": stop.step.kind.value,
        "template": stop.step.template,
        "result": stop.result.value,
        "why": stop.why,
    }


def day_of(preview: Preview, stop: Stop) -> int:
    """Whole days since the first failure; of a notice, until what it tells of, below zero."""
    span = stop.at - preview.asked.failed_at
    return -(-span).days if preview.policy.kind.is_notice else span.days


_RESULTS = {"declined": "red", "skipped": "dim", "done": "green"}


def show(preview: Preview) -> None:
    """Write it for people."""
    asked, said = preview.asked, preview.verdict
    policy = preview.policy
    say(f"{asked.amount} under policy {policy.name} (version {policy.version})", style="bold")
    local = f"{local_text(asked.failed_at, preview.zone)} in {preview.zone}"
    lines = [
        ("  failed", f"{moment_text(asked.failed_at)} UTC, {local}"),
        ("  advice", f"{said.advice.value}: {said.reason}"),
    ]
    if not said.mapped:
        code = asked.code or asked.advice_code
        lines.append(("  note", f"no code {code!r} is known, so it is treated as any other"))
    lines.append(("  assumed", "every charge is declined for the same reason"))
    if policy.kind.is_notice:
        lines = [
            (f"  {MOMENTS[policy.kind]}", f"{moment_text(asked.failed_at)} UTC, {local}"),
            ("  assumed", "nothing changes before it"),
        ]
    pairs(lines)
    say()
    reasons = once((step_name(stop), what(policy, stop)) for stop in preview.stops)
    table(
        [
            Column("DAY", lambda stop: str(day_of(preview, stop)), right=True),
            Column("UTC", lambda stop: moment_text(stop.at), rank=1),
            Column("LOCAL", lambda stop: local_text(stop.at, preview.zone)),
            Column("STEP", _step),
            Column("RESULT", lambda stop: str(stop.result.value), paint=_RESULTS),
            Column("WHAT, OR WHY NOT", lambda stop: reasons[step_name(stop)], fold=True),
        ],
        preview.stops,
    )
    say()
    say(f"In the end: {preview.state}{f' ({preview.reason})' if preview.reason else ''}.")


def what(policy: Policy, stop: Stop) -> str:
    """The policy's line in words; for what is not done the reason."""
    if stop.result is StepResult.SKIPPED or stop.step.rung is None:
        return stop.why
    branch, own = branch_and_name(stop)
    branch = branch or _branch_of_door(policy, stop)
    words = rule(walked(policy, branch), own).partition(": ")[2]
    if stop.step.kind in MESSAGES:
        words = words.partition(" (")[0]  # which one stands beside it
    return words.rstrip(".") or stop.why


def _step(stop: Stop) -> str:
    return f"{step_name(stop)} ({stop.step.template})" if stop.step.template else step_name(stop)


def branch_and_name(stop: Stop) -> tuple[str | None, str]:
    """`funds` and `retry:2` of a line of a branch; no branch for one of the timeline."""
    branch, dot, own = step_name(stop).rpartition(".")
    if branch.isdecimal():
        return None, own  # the day of a renewal
    return (branch, own) if dot else (None, own)


def _branch_of_door(policy: Policy, stop: Stop) -> str | None:
    """A door that a branch has of its own bears the common name."""
    return next((b for b, lines in policy.branches if stop.step.rung in lines), None)


def step_name(stop: Stop) -> str:
    """`retry:2`."""
    return stop.step.key.partition("/")[2]
