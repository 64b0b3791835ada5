"""`declines` and `limits` of the policy file, and the waits that banks ask for, from outside."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import Begin
from tests.scenarios.test_policy_keys import OPENED, policy

LINES = ("at: 1d, do: retry", "at: 3d, do: retry", "at: 13d, do: retry", "at: 14d, do: suspend")
PLAIN = policy(*LINES, grace="14d", window="28d")
SUSPENDED = ["suspend:1", "product access.suspended", "email suspended"]


def asks(mac: str) -> dict[str, str]:
    return {
        "decline_code": "insufficient_funds",
        "network_decline_code": "51",
        "network_advice_code": mac,
    }


def test_a_wait_of_mastercards_moves_the_rung_and_the_door_waits_for_its_last_chance(
    begin: Begin,
) -> None:
    world = begin(policy=PLAIN)
    ann = world.failing(asks("30"), card="pm_card_mastercard", times=9, at_once=[OPENED])
    world.passes(days=9.9, expect=[])
    # Two rungs were moved to one moment: one charge is made, and the other says what became of it.
    world.passes(days=0.2, expect=["retry:1 skipped", "retry:2 declined"])
    made = world.step(ann, "retry:2").why
    assert made.startswith(
        "declined: insufficient_funds; moved from 2026-04-05 11:00 UTC to 10 days"
    )
    assert world.step(ann, "retry:1").why.startswith("missed: retry:2 is due as well; moved from")
    world.passes(days=9.8, expect=[])
    assert world.state(ann)[:2] == ("in_grace", "full")
    world.passes(days=0.2, expect=["retry:3 declined", *SUSPENDED])


@pytest.mark.parametrize(("wait", "days"), [("2d", 2), ("4d", 4)])
def test_a_code_means_what_the_file_says(begin: Begin, wait: str, days: int) -> None:
    said = f"declines: {{do_not_honor: {{advice: wait, wait: {wait}, why: our acquirer says so}}}}"
    world = begin(policy=f"{policy('at: 1d, do: retry')}{said}\n")
    ann = world.failing("do_not_honor", times=9, at_once=[OPENED])
    assert world.case(ann)["advice"] == "wait"
    world.passes(days=days - 0.1, expect=[])
    world.passes(days=0.2, expect=["retry:1 declined"])


def test_a_stop_that_the_file_softens_with_a_source_is_charged_again(begin: Begin) -> None:
    soft = "declines: {lost_card: {advice: retry, wait: 24h, why: ours errs, source: a mail}}\n"
    world = begin(policy=policy("at: 2d, do: retry") + soft)
    said = {"decline_code": "lost_card", "network_decline_code": "05"}
    ann = world.failing({**said, "advice_code": "try_again_later"}, times=1, at_once=[OPENED])
    assert world.case(ann)["advice"] == "retry"
    world.passes(days=2.1, expect=["retry:1 paid", "product case.recovered"])


def test_the_house_ceiling_of_the_file_holds(begin: Begin) -> None:
    ceiling = "limits: [{name: house ceiling, attempts: 2}]\n"
    world = begin(policy=policy(*LINES, grace="14d", window="28d") + ceiling)
    ann = world.failing(times=9, at_once=[OPENED])
    world.passes(days=1.1, expect=["retry:1 declined"])
    world.passes(days=2, expect=["retry:2 skipped"])
    assert "house ceiling: 2 attempts within 30 days" in world.step(ann, "retry:2").why
    world.passes(days=12, expect=["retry:3 skipped", *SUSPENDED])


def test_a_stricter_limit_of_a_network_holds(begin: Begin) -> None:
    stricter = "limits: [{name: Visa declines in a month, declines: 1}]\n"
    world = begin(policy=policy("at: 1d, do: retry") + stricter)
    ann = world.failing(times=9, at_once=[OPENED])
    world.passes(days=1.1, expect=["retry:1 skipped"])
    assert "Visa declines in a month" in world.step(ann, "retry:1").why


def test_an_ach_debt_is_presented_again_twice_and_never_more(begin: Begin) -> None:
    returned = {"decline_code": "insufficient_funds", "network_decline_code": "R01"}
    bounces = {"processing": {"seconds": 86_400, "then": returned}}
    lines = [f"at: {day}d, do: retry" for day in (3, 8, 13, 18)]
    world = begin(policy=policy(*lines, grace="20d", window="25d"))
    ann = world.customer(card="pm_usBankAccount_success")
    world.declines(ann, bounces, times=9)
    world.renewal(ann)
    world.passes(days=1.1, expect=[OPENED])
    world.passes(days=9, expect=["retry:1 processing", "retry:2 processing"])
    world.passes(days=9, expect=["retry:3 skipped", "retry:4 skipped"])
    assert "ACH entry and two re-presentments" in world.step(ann, "retry:3").why
    begun = [one for one in world.tries(ann) if one.endswith("processing")]
    assert begun == ["stripe processing", "api processing", "api processing"]
