"""The columns of a case, as they follow from its facts and its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from dunning.core.entries import Account
from dunning.core.facts import Case
from dunning.core.plan import Plan
from dunning.core.policy import Policy
from dunning.core.status import Status, last_decline, verdict


def columns_of(case: Case, present: Status, policy: Policy) -> dict[str, Any]:
    """The columns that follow from the facts alone."""
    opened = sum(e.amount for e in present.books.entries if e.debit is Account.OWED)
    last, said = last_decline(case), verdict(_with_its_cards(case, present), policy.declines)
    assert case.failed_at is not None
    return {
        "customer": case.customer,
        "subscription": case.subscription,
        "scope": case.scope,
        "state": present.state.value,
        "access": present.access.value,
        "currency": case.currency,
        "amount_due": opened,
        "amount_at_risk": present.at_risk,
        "decline_code": _code(last.decline) if last and last.decline else None,
        "advice": said.advice.value if said else None,
        "opened_at": case.failed_at,
        "closed_at": present.ended_at,
        "closed_reason": present.reason or None,
    }


def schedule_columns(
    row: Mapping[str, Any], case: Case, ahead: Plan, now: datetime
) -> dict[str, Any]:
    """The columns that say when the case is looked at next."""
    next_step = next((step for step in ahead.steps if not step.held), None)
    next_at = ahead.next_at
    standing = ahead.frozen
    told = {
        "standing": standing.stop.value if standing else None,
        "standing_until": standing.until if standing else None,
        "next_at": next_at,
        "next_step": next_step.key.removeprefix(case.id + "/") if next_step else None,
    }
    # Somebody holds the case: it wakes when they are done, or when their lease runs out.
    if row["lease_token"] is None or row["wake_at"] is None or row["wake_at"] <= now:
        told |= {"wake_at": next_at, "lease_token": None}
    return told


def _with_its_cards(case: Case, present: Status) -> Case:
    """A case that is over does not hear of every new card: the advice is the bank's, without."""
    if present.ended_at is None:
        return case
    return replace(case, method=None, method_at=None, method_fixed_at=None)


def _code(decline: object) -> str | None:
    code = getattr(decline, "code", None) or getattr(decline, "outcome_reason", None)
    return code or getattr(decline, "error_code", None)
