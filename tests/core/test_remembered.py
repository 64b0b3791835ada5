"""What is worked out once and kept is what it would be if it were worked out anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from dunning.core.events import BillingEvent
from dunning.core.facts import Case
from dunning.core.local import local_of, moment_of
from dunning.core.places import every_way
from dunning.core.plan import Plan, plan
from dunning.core.policy import Policy, from_data, to_data
from dunning.core.status import State, status
from dunning.documents import parse_facts, write_facts
from tests.builders import case_of, days
from tests.core.lives import lives, part
from tests.core.walking import policies


@part(0.5)
@given(policies(), lives(), lives(), st.integers(0, 30))
def test_a_plan_is_the_same_whatever_was_planned_before(
    rules: Policy, one: list[BillingEvent], other: list[BillingEvent], day: int
) -> None:
    now, cases = days(day), (case_of(*one), case_of(*other))

    def afresh(case: Case) -> Plan:
        """With nothing at hand that was worked out for this case or this policy."""
        again = from_data(to_data(rules), rules.works)
        plan(replace(case, id="case_of_another"), again, now)
        return plan(parse_facts(write_facts(case)), again, now)

    expected = [afresh(case) for case in cases]
    assert [plan(case, rules, now) for case in cases] == expected


@part(0.5)
@given(policies(), lives(), st.sampled_from((0, 40)))
def test_a_plain_line_comes_at_its_place(
    rules: Policy, told: list[BillingEvent], minutes: int
) -> None:
    case = case_of(*told)
    if status(case).state is State.NONE:
        return
    jittered = [replace(r, jitter=timedelta(minutes=minutes)) for r in rules.timeline[::2]]
    rules = replace(rules, timeline=(*jittered, *rules.timeline[1::2]))
    local, start = local_of(case, rules), days(0.3)
    for way in every_way(rules):
        for line in way.lines:
            moment = moment_of(line.rung, start, f"{case.id}/{line.name}", local, line.hours)
            assert moment == start or not line.is_plain
