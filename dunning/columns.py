"""The columns of a case, as they follow from its facts and its plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from dunning.core.entries import Account
from dunning.core.events import NoticeReported
from dunning.core.facts import Case
from dunning.core.holdout import Drawn
from dunning.core.plan import Plan
from dunning.core.policy import Policy
from dunning.core.status import Status, last_decline, verdict
from dunning.core.words import Kind


def columns_of(case: Case, present: Status, policy: Policy) -> dict[str, Any]:
    """The columns that follow from the facts alone."""
    if case.notice is not None:
        return _of_notice(case, case.notice, present)
    opened = sum(e.amount for e in present.books.entries if e.debit is Account.OWED)
    last, said = last_decline(case), verdict(_with_its_cards(case, present), policy.declines)
    assert case.failed_at is not None
    return {
        "kind": Kind.RECOVERY.value,
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
        **_group(case.drawn, case.failed_at),
    }


def _of_notice(case: Case, told: NoticeReported, present: Status) -> dict[str, Any]:
    """The same of a case that only tells of what lies ahead."""
    assert case.noticed_at is not None
    return {
        "kind": told.kind.value,
        "customer": case.customer,
        "subscription": case.subscription,
        "scope": case.scope,
        "state": present.state.value,
        "access": present.access.value,
        "currency": told.ahead.currency,
        "amount_due": 0,
        "amount_at_risk": 0,
        "opened_at": case.noticed_at,
        "closed_at": present.ended_at,
        "closed_reason": present.reason or None,
    }


def pinned_columns(case: Case) -> dict[str, Any]:
    """Which policy walks the case, if somebody gave it another than it began under."""
    change = case.policy_change
    return {} if change is None else {"policy": change.policy, "policy_version": change.version}


def _group(drawn: Drawn | None, failed_at: datetime) -> dict[str, Any]:
    """The group of a hold-out, for whoever compares the two."""
    if drawn is None:
        names = ("holdout_of", "holdout_terms", "holdout_group", "matures_at")
        return dict.fromkeys(names)
    return {
        "holdout_of": drawn.policy,
        "holdout_terms": drawn.terms,
        "holdout_group": "held_out" if drawn.held_out else "treated",
        "matures_at": failed_at + drawn.window,
    }


def next_columns(case: Case, ahead: Plan) -> dict[str, Any]:
    """The columns that say what is next, for lists."""
    next_step = next((step for step in ahead.steps if not step.held), None)
    standing = ahead.frozen
    return {
        "standing": standing.stop.value if standing else None,
        "standing_until": standing.until if standing else None,
        "next_at": ahead.next_at,
        "next_step": next_step.key.removeprefix(case.id + "/") if next_step else None,
    }


def free_cursor(case: Case, next_at: datetime | None) -> dict[str, Any]:
    """The case's row of the schedule while nobody holds it; without a time there is to be none."""
    return {
        "case_id": case.id,
        "source": case.source,
        "due_at": next_at,
        "leased_until": None,
        "lease_token": None,
    }


def is_held(cursor: Mapping[str, Any] | None, now: datetime) -> bool:
    """Whether somebody holds the case of this row of the schedule: they say what comes next."""
    if cursor is None or cursor["lease_token"] is None:
        return False
    return bool(cursor["leased_until"] > now)


def _with_its_cards(case: Case, present: Status) -> Case:
    """A case that is over does not hear of every new card: the advice is the bank's, without."""
    if present.ended_at is None:
        return case
    return replace(case, method=None, method_at=None, method_fixed_at=None)


def _code(decline: object) -> str | None:
    code = getattr(decline, "code", None) or getattr(decline, "outcome_reason", None)
    return code or getattr(decline, "error_code", None)
