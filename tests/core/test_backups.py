"""Which other saved method is charged next, and when none is. Each case in both orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dunning.core.backups import choices, key_of, why_no_backup
from dunning.core.events import (
    BillingEvent,
    MethodChanged,
    MethodNews,
    StepEnded,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.permission import why_no_charge
from dunning.core.plan import plan
from dunning.core.policy import Policy, Retries
from dunning.core.status import last_decline, verdict
from tests import builders as b
from tests import happenings as h
from tests.policies import policy

CARDS = policy(backup_methods=("card",))
NOW = b.days(0.5)


def saved(name: str, **other: Any) -> MethodChanged:
    told: dict[str, Any] = {"method_type": "card", "off_session": True, "at": b.days(-9), **other}
    return MethodChanged(
        id=f"saved:{name}", customer=b.CUSTOMER, news=MethodNews.SAVED, method=name, **told
    )


def declined(code: str = "lost_card", **other: Any) -> BillingEvent:
    return b.declined(code, at=b.T0, **other)


def case_of(*events: BillingEvent) -> Case:
    told = (b.failed(), *events)
    case = b.case_of(*told)
    assert b.case_of(*reversed(told)) == case
    return case


def next_ones(case: Case, rules: Policy = CARDS) -> list[str]:
    """The charges of other methods that are planned; the first is the one that is due."""
    steps = plan(case, rules, NOW).steps
    return [step.method for step in sorted(steps, key=lambda s: s.held) if step.method]


LOST = declined()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ((LOST, saved("pm_2")), ["pm_2"]),
        ((LOST,), []),
        ((LOST, saved("pm_2", off_session=False)), []),
        ((LOST, saved("pm_2", off_session=False), saved("pm_2", at=b.days(-8))), ["pm_2"]),
        ((LOST, saved("pm_2", method_type="link")), []),
        ((LOST, saved(b.CARD)), []),
        ((LOST, saved("pm_2"), replace(saved("pm_2"), news=MethodNews.REMOVED, id="x")), []),
        # The one that was saved last goes first.
        ((LOST, saved("pm_2"), saved("pm_3", at=b.days(-3))), ["pm_3", "pm_2"]),
        ((declined("insufficient_funds"), saved("pm_2")), []),
        ((declined("authentication_required"), saved("pm_2")), []),
        ((declined("fraudulent"), saved("pm_2")), []),
        ((declined("merchant_blacklist"), saved("pm_2")), []),
        ((declined("revocation_of_authorization"), saved("pm_2")), []),
        ((declined("stop_payment_order"), saved("pm_2")), []),
    ],
)
def test_what_is_charged_in_place_of_the_present_method(
    events: tuple[BillingEvent, ...], expected: list[str]
) -> None:
    assert next_ones(case_of(*events)) == expected


def test_the_order_is_that_of_the_policy() -> None:
    case = case_of(LOST, saved("pm_card"), saved("ba", method_type="sepa_debit", at=b.days(-99)))
    both = policy(backup_methods=("sepa_debit", "card"))
    assert next_ones(case, both) == ["ba", "pm_card"]
    assert next_ones(case, policy(backup_methods=("any",))) == ["pm_card", "ba"]


def test_the_same_card_under_another_name_is_not_another_card() -> None:
    (attempt,) = case_of(LOST).attempts
    twin = saved("pm_twin", fingerprint=attempt.fingerprint)
    assert attempt.fingerprint
    assert next_ones(case_of(LOST, twin)) == []


@pytest.mark.parametrize("owner", [Retries.PROVIDER, Retries.SIGNAL])
def test_where_the_charges_are_not_ours_no_other_method_is_charged(owner: Retries) -> None:
    rules = policy(backup_methods=("card",), retries=owner)
    assert next_ones(case_of(LOST, saved("pm_2")), rules) == []


def refused(case: Case, method: str, code: str) -> tuple[BillingEvent, ...]:
    """A charge of another method that its bank refused."""
    key = key_of(case, method)
    made = b.declined(code, at=NOW, method=method, name="ch_backup", key=key)
    told = made.attempt
    assert told.key == key
    kind, result = StepKind.RETRY, StepResult.DECLINED
    return made, StepEnded(id=key, at=NOW, kind=kind, result=result)


def test_what_the_bank_of_a_backup_says_is_not_said_of_the_present_method() -> None:
    soft = (declined("insufficient_funds"), saved("pm_2"))
    before = case_of(*soft)
    after = case_of(*soft, *refused(before, "pm_2", "stolen_card"))
    assert verdict(after, ()) == verdict(before, ())
    assert last_decline(after) == last_decline(before)
    assert why_no_charge(after, CARDS) is None


def test_each_is_charged_once_and_the_next_a_day_later() -> None:
    told = (LOST, saved("pm_2"), saved("pm_3", at=b.days(-3)))
    case = case_of(*told, *refused(case_of(*told), "pm_3", "insufficient_funds"))
    assert next_ones(case) == ["pm_2"]
    (step,) = [step for step in plan(case, CARDS, NOW).steps if step.method]
    assert step.due_at == NOW + timedelta(days=1)
    assert why_no_backup(case, CARDS, "pm_3") is not None
    assert why_no_backup(case, CARDS, "pm_2") is None


def test_one_of_unknown_ending_stays_ahead_of_one_that_was_saved_since() -> None:
    told = (LOST, saved("pm_2"))
    key = key_of(case_of(*told), "pm_2")
    asked = b.processing(NOW, method="pm_2", name="ch_2", key=key)
    case = case_of(*told, asked, saved("pm_3", at=b.days(0.2)))
    assert [one.id for one in choices(case, CARDS)] == ["pm_2", "pm_3"]


def test_a_door_waits_for_the_first_and_not_for_all() -> None:
    told = (LOST, *(saved(f"pm_{n}", at=b.days(-n)) for n in range(2, 30)))
    told = (*told, h.step("email:3", b.days(11), template="final_notice"))
    late = b.days(14.5)
    steps = {step.key.rpartition("/")[2]: step for step in plan(case_of(*told), CARDS, late).steps}
    assert not steps["retry:backup:pm_2"].held
    assert steps["suspend:1"].held
    case = case_of(*told, *refused(case_of(*told), "pm_2", "lost_card"))
    steps = {step.key.rpartition("/")[2]: step for step in plan(case, CARDS, late).steps}
    assert steps["suspend:1"].due_at <= b.days(15)
