"""What a call to the merchant's product says of a case: whose, why, how much, and what comes next.

Access belongs to a scope. Two kinds meet: a subscription, and a customer with all they have. What
may be used of a subscription is the worst of its own cases and of the customer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dunning.core.events import StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.plan import Plan, timeline
from dunning.core.policy import Policy, Rung
from dunning.core.status import ACCESS_ORDER, Access, Status, last_decline


@dataclass(frozen=True, slots=True)
class Stand:
    """The access that one case leaves, of what, and under which policy."""

    scope: str
    access: Access
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """The access of a scope, as the product has to be told of it; `again`: it knows it."""

    scope: str
    access: Access
    again: bool = False


def worst(levels: Iterable[Access]) -> Access:
    """The worst of these; full when there are none."""
    return max(levels, key=ACCESS_ORDER.__getitem__, default=Access.FULL)


def changes(
    scope: str, customer: str | None, before: Access, after: Access, others: Iterable[Stand]
) -> Iterator[Change]:
    """What a change of one case's access makes of its scope, given the customer's other cases.

    A word on the customer is one on all they have. So whatever of it is worse is said again after.
    """
    stands = list(others)
    of_all = [one.access for one in stands if one.scope == customer]
    own = [one.access for one in stands if one.scope == scope]
    was, now_is = worst([before, *own, *of_all]), worst([after, *own, *of_all])
    if was is now_is:
        return
    yield Change(scope, now_is)
    if scope == customer:
        for name in sorted({one.scope for one in stands} - {scope}):
            level = worst(one.access for one in stands if one.scope == name)
            if ACCESS_ORDER[level] > ACCESS_ORDER[now_is]:
                yield Change(name, level, again=True)


def kind_of_scope(case: Case, scope: str) -> str:
    """`customer`, `subscription` or `invoice`."""
    if scope == case.customer:
        return "customer"
    return "invoice" if scope == case.invoice else "subscription"


def about(case: Case, present: Status) -> dict[str, Any]:
    """What every call says."""
    return {
        "case": case.id,
        **({} if case.notice is None else {"kind": case.notice.kind.value}),
        "source": case.source,
        "invoice": case.invoice,
        "customer": case.customer,
        "subscription": case.subscription,
        "scope": case.scope,
        "scope_kind": kind_of_scope(case, case.scope),
        "state": present.state.value,
        "access": present.access.value,
        "reason": present.reason or None,
        "amount_at_risk": present.at_risk,
        "currency": case.currency,
    }


def next_of(case: Case, ahead: Plan) -> Mapping[str, Any] | None:
    """The next thing that will be done, as far as it is known now."""
    for step in ahead.steps:
        if step.held or step.skip or step.kind is StepKind.RECONCILE:
            continue
        name = step.rung.name if step.rung else None
        return {"step": step.kind.value, "name": name, "at": step.due_at}
    return None


def why_opened(case: Case) -> str:
    """What went wrong first, in a few words."""
    if case.by_hand and case.failed_at is not None:
        return f"not paid by its due date, {case.failed_at:%Y-%m-%d}"
    last = last_decline(case)
    decline = last.decline if last else None
    code = decline and (decline.code or decline.outcome_reason or decline.error_code)
    return f"declined: {code}" if code else "the payment failed"


def cause_of(case: Case, policy: Policy, access: Access) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Why this case's access is what it is, and what the policy tells the product with it."""
    kinds = {Access.RESTRICTED: StepKind.RESTRICT, Access.SUSPENDED: StepKind.SUSPEND}
    by_key = {step.key: step for step in timeline(case, policy)}
    taken = [
        step
        for step in case.done
        if step.result is StepResult.DONE and (step.kind is kinds.get(access) or step.off)
    ]
    last = max(taken, key=lambda step: (step.at, step.id), default=None)
    step = by_key.get(last.id) if last else None
    if step is None:
        return "", ()
    return step.why, step.rung.tell if step.rung else ()


def tell_of(policy: Policy, access: Access) -> tuple[tuple[str, str], ...]:
    """What the policy tells the product at this level, whatever case it is of."""
    kinds = {Access.RESTRICTED: StepKind.RESTRICT, Access.SUSPENDED: StepKind.SUSPEND}
    rungs: Iterable[Rung] = policy.timeline
    return next((rung.tell for rung in rungs if rung.do is kinds.get(access)), ())
