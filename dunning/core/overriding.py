"""What people may override by hand, and which rule forbids the rest."""

from __future__ import annotations

from datetime import datetime

from dunning.core.declines import permits_charge
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.limits import allowed, in_force
from dunning.core.places import CHARGES, DOORS, starts_at
from dunning.core.plan import Plan
from dunning.core.policy import Policy
from dunning.core.status import last_decline, status, verdict
from dunning.core.steps import Step


def too_soon(case: Case, policy: Policy, now: datetime) -> str | None:
    """Whether a network itself asked to wait longer; our own spacing does not bind a person."""
    last, said = last_decline(case), verdict(case, policy.declines)
    if last is None or said is None or said.network_wait is None:
        return None
    earliest = last.at + said.network_wait
    if earliest <= now:
        return None
    return f"not before {earliest:%Y-%m-%d %H:%M} UTC, as the network asks: {said.reason}"


def past_which(case: Case, policy: Policy, now: datetime) -> list[str]:
    """What speaks against a charge now and yields to a person who insists."""
    found = []
    said = verdict(case, policy.declines)
    if said is not None and not permits_charge(said.advice) and not said.forbidden:
        found.append(f"the advice is {said.advice.value}: {said.reason}")
    if wait := too_soon(case, policy, now):
        found.append(wait)
    house = [limit for limit in in_force(policy.limits) if limit.is_house]
    last = case.attempts[-1] if case.attempts else None
    ceiling = allowed(
        case.attempts,
        network=last.network if last else None,
        method_type=last.method_type if last else None,
        amount=status(case).at_risk,
        now=now,
        limits=house,
    )
    if ceiling is not None:
        found.append(ceiling.why)
    return found


def why_not_now(case: Case, policy: Policy, ahead: Plan, step: Step, now: datetime) -> str | None:
    """The rule that forbids to bring a planned step forward, if one does."""
    if standing := freeze(case, now):
        return f"the case stands still: {standing.why}"
    if step.rung is None:
        return "only what is on the timeline can be; this is done by itself in its time"
    if step.due_at <= now:
        return "it is due already"
    grace = starts_at(case, policy) + policy.grace
    if step.kind in DOORS and now < grace:
        return f"not before the grace ends at {grace:%Y-%m-%d %H:%M} UTC"
    before = [
        other
        for other in ahead.steps
        if other.skip is None and other.rung is not None and other.order < step.order
    ]
    door = next((other for other in before if other.kind in DOORS), None)
    if door is not None:
        return f"{_short(door)} comes before it"
    charge = next((other for other in before if other.kind in CHARGES), None)
    if step.kind in DOORS and charge is not None:
        return f"{_short(charge)} is a chance ahead of it; bring that forward, or skip it, first"
    if step.kind in CHARGES:
        return _asks_to_wait(case, policy, now)
    return None


def _asks_to_wait(case: Case, policy: Policy, now: datetime) -> str | None:
    last, said = last_decline(case), verdict(case, policy.declines)
    if last is None or said is None or said.wait is None or last.at + said.wait <= now:
        return None
    earliest = last.at + said.wait
    return (
        f"not before {earliest:%Y-%m-%d %H:%M} UTC, as the bank's answer asks: {said.reason} "
        "`dunning cases retry` charges beside the timeline"
    )


def _short(step: Step) -> str:
    return step.key.partition("/")[2]
