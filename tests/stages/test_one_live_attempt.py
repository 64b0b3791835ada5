"""Two charges of one invoice are never under way at once: the database refuses the second."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from dunning.begun import Intent
from dunning.core.events import StepResult
from dunning.core.ports import Asked, Doing, Ended
from dunning.errors import LeaseLostError
from dunning.schedule import Claim
from dunning.store import StepRow
from tests.builders import days
from tests.stages.doing import DECLINED, LEASE, Begin, Bench, dies
from tests.stages.kit import Together

ASKED = Asked(method="pm_old")


def running(bench: Bench) -> list[str]:
    """The charges that somebody may be making at this moment."""
    rows = [row for row in bench.stage.all(StepRow) if row.lease_token is not None]
    return [row.key.partition("/")[2] for row in rows if row.state == "running"]


def asks(bench: Bench, claim: Claim) -> Callable[[], list[str]]:
    """Begin what the claim is for, up to the request that charges."""

    def go() -> list[str]:
        made: list[Intent] = bench.executor.begin([claim])
        for intent in made:
            intent.doing.asking(ASKED)
        return [intent.doing.step.key for intent in made]

    return go


def test_one_claim_in_the_hands_of_many_makes_one_attempt(begin: Begin) -> None:
    bench = begin(day=1)
    claim = bench.claim()
    many = Together(*[asks(bench, claim) for _ in range(6)])
    assert many.errors == []
    assert sum(len(made) for made in many.given) == 1
    assert running(bench) == ["retry:1"]


def test_a_claim_is_given_to_one_of_many_who_ask_for_it(begin: Begin) -> None:
    bench = begin(day=1)
    many = Together(*[bench.claims] * 6)
    assert many.errors == []
    assert sum(len(claims) for claims in many.given) == 1


def test_who_begins_again_after_the_lease_takes_the_attempt_from_who_had_it(begin: Begin) -> None:
    bench = begin(day=1)
    (slow,) = bench.executor.begin([bench.claim()])
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    (fresh,) = bench.executor.begin([bench.claim()])
    assert (fresh.doing.step.key, fresh.doing.again) == (slow.doing.step.key, True)
    fresh.doing.asking(ASKED)
    with pytest.raises(LeaseLostError):
        slow.doing.asking(ASKED)
    assert running(bench) == ["retry:1"]


def test_a_slow_attempt_is_refused_once_the_next_rung_has_begun(begin: Begin) -> None:
    """Another key, so the provider would take it for another charge."""
    bench = begin(day=1)
    (slow,) = bench.executor.begin([bench.claim()])
    bench.stage.clock.time = days(2)
    (fresh,) = bench.executor.begin([bench.claim()])
    assert fresh.doing.step.key.endswith("/retry:2")
    with pytest.raises(LeaseLostError):
        slow.doing.asking(ASKED)
    fresh.doing.asking(ASKED)
    assert running(bench) == ["retry:2"]


def test_whoever_is_first_of_a_slow_and_a_fresh_one_charges_alone(begin: Begin) -> None:
    """Both reach the request at the same moment: either the slow one is seen, or it is refused."""
    bench = begin(day=1)
    (slow,) = bench.executor.begin([bench.claim()])
    bench.stage.clock.passes(seconds=LEASE.total_seconds())
    claim = bench.claim()

    def late() -> str:
        try:
            slow.doing.asking(ASKED)
        except LeaseLostError:
            return "refused"
        return "asked"

    found: list[Intent] = []
    both = Together(late, lambda: found.extend(bench.executor.begin([claim])))
    assert both.errors == []
    (fresh,) = found
    if both.given[0] == "asked":
        assert fresh.doing.asked == ASKED
    with pytest.raises(LeaseLostError):
        slow.doing.asking(ASKED)
    fresh.doing.asking(ASKED)


# --- what is passed over although it was begun ---------------------------------------------------


def dies_charging(doing: Doing) -> Ended:
    """The process ends after the provider was asked, and before it answered."""
    doing.asking(ASKED)
    raise KeyboardInterrupt


def test_a_charge_that_may_have_been_made_is_not_called_missed(begin: Begin) -> None:
    bench = begin(day=1)
    with pytest.raises(KeyboardInterrupt):
        bench.runs(dies_charging)
    bench.stage.clock.time = days(2)
    assert bench.runs(DECLINED) == "retry:2"
    row = bench.step("retry:1")
    assert (row.state, row.result) == ("ended", "doubtful")
    assert row.why == (
        "it was asked for, and nobody knows what became of it; missed: retry:2 is due as well"
    )
    assert bench.step("retry:2").result == "declined"


def test_a_charge_that_was_never_asked_for_is_missed(begin: Begin) -> None:
    bench = begin(day=1)
    with pytest.raises(KeyboardInterrupt):
        bench.runs(dies)
    bench.stage.clock.time = days(2)
    assert bench.runs(DECLINED) == "retry:2"
    assert bench.step("retry:1").result == "skipped"
    assert bench.step("retry:1").why == "missed: retry:2 is due as well"


def test_a_charge_that_is_known_not_to_have_been_made_is_missed(begin: Begin) -> None:
    def answered(doing: Doing) -> Ended:
        doing.asking(ASKED)
        return Ended(result=StepResult.DECLINED, why="declined")

    bench = begin(day=1)
    assert bench.runs(answered) == "retry:1"
    bench.stage.clock.time = days(2) + timedelta(hours=1)
    assert bench.runs(DECLINED) == "retry:2"
    assert bench.step("retry:1").result == "declined"
