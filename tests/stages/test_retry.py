"""A charge of unknown ending: the same request again within the life of its key, then reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from dunning.actions.retry import KEY_FORGOTTEN, KEY_LIFE, MOST_ASKED, UNKNOWN_LIFE, Retry
from dunning.core.case import advance, new_case
from dunning.core.events import StepKind, StepResult
from dunning.core.plan import plan
from dunning.core.ports import (
    Asked,
    ChargeOutcome,
    Doing,
    Ended,
    NotKnown,
    NotSent,
    Provider,
    PutOff,
    Refused,
    Saying,
    View,
)
from dunning.errors import LeaseLostError
from tests.builders import INVOICE, SOURCE, bill, days, declined, failed
from tests.policies import policy, rung

POLICY = policy(rung("retry", 1), rung("give_up", 28))


class Provided:
    """A provider that shows an open invoice, and answers a charge as it is told."""

    def __init__(self, answer: ChargeOutcome, method: str | None = "pm_new") -> None:
        self._answer = answer
        self._method = method
        self.charges: list[tuple[str | None, bool]] = []

    def look(self, _invoice: str) -> View:
        return View(bill=bill(), method=self._method)

    def charge(
        self, _invoice: str, *, key: str, method: str | None, may_repeat: bool
    ) -> ChargeOutcome:
        self.charges.append((method, may_repeat))
        return self._answer


@pytest.fixture
def doing() -> Doing:
    """The first retry of a case, due now."""
    case = new_case(SOURCE, "stripe", INVOICE)
    for event in (failed(), declined()):
        case = advance(case, event)
    steps = plan(case, POLICY, days(1)).steps
    step = next(one for one in steps if one.kind is StepKind.RETRY)
    return Doing(case=case, policy=POLICY, step=step, now=days(1), first_started_at=days(1))


def acted(
    doing: Doing, answer: ChargeOutcome
) -> tuple[Ended | PutOff, Provided, list[Asked | Saying]]:
    asked: list[Asked | Saying] = []
    provider = Provided(answer)
    retry = Retry({SOURCE: cast("Provider", provider)}, lambda *_: [])
    outcome = retry.act(replace(doing, asking=asked.append))
    return outcome, provider, asked


def again(doing: Doing, age: timedelta, **more: Any) -> Doing:
    begun = {"again": True, "tries": 2, "asked": Asked(method="pm_old"), **more}
    return replace(doing, first_started_at=doing.now - age, **begun)


def test_what_is_asked_for_is_remembered_before_it_is_sent(doing: Doing) -> None:
    outcome, provider, asked = acted(doing, NotKnown(why="no answer"))
    assert asked == [Asked(method="pm_new", times=1)]
    assert provider.charges == [("pm_new", True)]
    assert isinstance(outcome, PutOff)
    assert outcome.unknown


def test_whoever_lost_the_case_meanwhile_charges_nothing(doing: Doing) -> None:
    provider = Provided(NotKnown(why="must not be asked"))

    def lost(_asked: Asked | Saying) -> None:
        raise LeaseLostError("somebody else has it")

    retry = Retry({SOURCE: cast("Provider", provider)}, lambda *_: [])
    with pytest.raises(LeaseLostError):
        retry.act(replace(doing, asking=lost))
    assert provider.charges == []


def test_a_new_card_in_between_does_not_change_what_the_key_stands_for(doing: Doing) -> None:
    _, provider, asked = acted(again(doing, timedelta(hours=1)), NotKnown(why="no answer"))
    assert provider.charges == [("pm_old", True)]
    assert asked == [Asked(method="pm_old", times=2)]


def test_past_the_life_of_the_key_it_is_only_read(doing: Doing) -> None:
    outcome, provider, asked = acted(again(doing, KEY_LIFE), NotKnown(why="cannot be told"))
    assert asked == []
    assert provider.charges == [("pm_old", False)]
    assert isinstance(outcome, PutOff)
    assert outcome.unknown


def test_once_the_records_say_no_the_card_of_today_is_charged(doing: Doing) -> None:
    settled = again(doing, KEY_FORGOTTEN, again=False)
    _, provider, asked = acted(settled, NotKnown(why="no answer"))
    assert provider.charges == [("pm_new", True)]
    assert asked == [Asked(method="pm_new", times=2)]


def test_the_same_request_is_sent_so_often_and_then_only_read_about(doing: Doing) -> None:
    often = again(doing, timedelta(hours=1), asked=Asked(method="pm_old", times=MOST_ASKED))
    outcome, provider, _ = acted(often, NotSent(why="Stripe's records show no try"))
    assert provider.charges == [("pm_old", False)]
    assert isinstance(outcome, Ended)
    assert outcome.result is StepResult.SKIPPED
    assert outcome.why == "asked 3 times without an answer of use; Stripe's records show no try"


def test_what_nobody_can_tell_ends_on_record_with_what_the_provider_says(doing: Doing) -> None:
    old = again(doing, UNKNOWN_LIFE + timedelta(hours=1), tries=60)
    outcome, _, asked = acted(old, NotKnown(why="whose request made ch_1 cannot be told"))
    assert asked == []
    assert isinstance(outcome, Ended)
    assert outcome.result is StepResult.DOUBTFUL
    assert outcome.why.endswith("UTC: whose request made ch_1 cannot be told")


def test_the_reading_becomes_ever_rarer(doing: Doing) -> None:
    waits = []
    for tries in (1, 2, 10, 72, 500):
        known = again(doing, KEY_LIFE, tries=tries)
        outcome, _, _ = acted(known, NotKnown(why="cannot be told"))
        assert isinstance(outcome, PutOff)
        waits.append(outcome.until - doing.now)
    minutes = [wait.total_seconds() / 60 for wait in waits]
    assert minutes == [5, 10, 50, 360, 360]


@pytest.mark.parametrize("answer", [Refused(why="no"), NotSent(why="busy")])
def test_a_doubt_outlives_every_answer_that_is_none(doing: Doing, answer: ChargeOutcome) -> None:
    outcome, _, _ = acted(again(doing, timedelta(hours=1), tries=99), answer)
    assert isinstance(outcome, PutOff)
    assert outcome.unknown
