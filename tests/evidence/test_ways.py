"""One case under another policy, by hand: what is kept, what is estimated, and what is exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dunning.core.events import BillingEvent, StepKind, StepResult
from dunning.core.policy import Policy
from dunning.core.status import status
from dunning.evidence.cells import Tally, after, charge_cell, customer_cell, rates
from dunning.evidence.records import Outcome, Record, record_of
from dunning.evidence.walking import walk
from dunning.evidence.ways import CHARGE, Way, chances, really, tally_of, way
from tests.builders import case_of, declined, failed
from tests.evidence.made_up import BEGAN, DENSE, SPARSE, UTC_ZONE, customers, history
from tests.happenings import step
from tests.policies import rung


def at(days: float) -> datetime:
    return BEGAN + timedelta(days=days)


def lost(policy: Policy = SPARSE, **changes: Any) -> Record:
    """A case that failed for lack of funds and was given up by this policy."""
    person = next(one for one in customers(50, 0) if one.start.failed_at == BEGAN)
    made = next(one for one in history([person] * 40, policy, 1) if one.outcome is Outcome.LOST)
    return replace(made, policy=policy, **changes)


def paid(days: float, acts: int, **changes: Any) -> Record:
    """The same case, paid after so many days and so many acts of ours."""
    whole = lost()
    return replace(
        whole,
        outcome=Outcome.RECOVERED,
        ended_at=at(days),
        acts=whole.acts[:acts],
        came_in=((at(days), whole.start.amount),),
        tries=(),
        **changes,
    )


def under(record: Record, policy: Policy, *, keep: bool = True) -> Way:
    return way(record, policy, walk(record.start, policy), keep=keep)


def test_a_walk_is_what_the_policy_says_if_nobody_pays() -> None:
    acts = walk(lost().start, SPARSE)
    assert [(act.kind.value, (act.at - BEGAN).days) for act in acts] == [
        ("email", 0),
        ("retry", 4),
        ("retry", 12),
        ("suspend", 14),
        ("email", 14),
        ("give_up", 21),
    ]


def test_what_ended_before_the_policies_part_is_kept() -> None:
    # Both write at once; the dense one charges on the third day, the sparse one on the fourth.
    told = under(paid(2, 1, reacted=True), DENSE)
    assert told.known
    assert told.stops == ()
    assert told.sums == really(paid(2, 1))
    later = under(paid(3.5, 1, reacted=True), DENSE)
    assert not later.known
    assert later.stops[0][0] == CHARGE
    assert later.sums.emails == 1


@pytest.mark.parametrize("sent", [True, False])
def test_the_policy_that_walked_a_case_gives_back_its_texts(sent: bool) -> None:
    """Their absence too, where the customer could not be reached by phone."""
    lines = (SPARSE.timeline[0], rung("sms", 1, template="sms_reminder"), rung("give_up", 21))
    texting = replace(SPARSE, timeline=lines)
    news: list[BillingEvent] = [failed(BEGAN), declined("insufficient_funds", BEGAN)]
    for number, act in enumerate(walk(lost().start, texting), 1):
        made = sent or act.kind is not StepKind.SMS
        result = StepResult.DONE if made else StepResult.SKIPPED
        name = f"{act.kind.value}:{number}"
        news.append(step(name, act.at, result, template=act.template))
    case = case_of(*news)
    record = record_of(case, status(case), texting, lost().subject)
    told = under(record, texting)
    assert told.known
    assert (told.sums.emails, told.sums.texts, told.planned.texts) == (1, sent, sent)


def test_a_case_that_a_charge_of_its_own_ended_is_estimated_from_there() -> None:
    told = under(paid(4, 2), DENSE)
    assert not told.known
    assert [stop[0] for stop in told.stops].count(CHARGE) == 4


def test_who_paid_before_we_did_anything_pays_under_any_policy() -> None:
    late = replace(
        SPARSE, name="late", timeline=(rung("email", 3, template="reminder"), rung("give_up", 21))
    )
    natural = replace(paid(2, 0, reacted=True), policy=late, natural=True)
    told = under(natural, DENSE)
    assert told.sure
    assert told.rest == natural.start.amount
    # The email at once would have been written all the same; no charge comes before the payment.
    found = rates(Tally(), {cell for stop in told.stops for cell in (stop[1], stop[3]) if cell})
    assert chances(told.stops, found).emails == 1
    assert chances(told.stops, found).charges == 0


def test_what_was_withdrawn_is_kept_until_the_policies_part_and_a_chance_after() -> None:
    early = replace(lost(), outcome=Outcome.CLOSED, ended_at=at(2), acts=lost().acts[:1])
    assert under(early, DENSE).known
    record = replace(lost(), outcome=Outcome.CLOSED, ended_at=at(9), acts=lost().acts[:2])
    tally = tally_of(record, (1, 15))
    assert tally.good["closing",] == 1
    told = under(record, DENSE)
    assert not told.known
    found = rates(tally, {cell for stop in told.stops for cell in (stop[1], stop[3]) if cell})
    assert 0 < chances(told.stops, found).closed < 1


def test_who_did_not_pay_by_themselves_is_known_not_to_have() -> None:
    silent = replace(SPARSE, name="silent", timeline=(rung("retry", 6), rung("give_up", 21)))
    record = lost(silent)
    kept = [stop for stop in under(record, DENSE).stops if stop[0] == "waiting"]
    assert kept[0][1][2] == "1st day"  # as soon as the dense policy writes, they may
    other = replace(silent, timeline=(rung("retry", 3), rung("give_up", 21)))
    assert sum(stop[2] for stop in under(record, other).stops if stop[0] == "waiting") == 15


def test_a_part_that_was_paid_before_is_kept() -> None:
    record = replace(lost(), came_in=((at(1), 900),))
    told = under(record, DENSE)
    assert (told.sums.recovered, told.rest) == (900, record.start.amount - 900)


def test_the_most_there_can_be_is_exact() -> None:
    planned = under(lost(), DENSE).planned
    assert (planned.charges, planned.emails, planned.suspensions) == (4, 3, 1)
    assert planned.free_days == pytest.approx(14)


def test_chances_follow_one_after_the_other() -> None:
    cell = charge_cell("wait", timedelta(days=3), 0, at(3), UTC_ZONE, (1, 15))
    waiting = customer_cell("wait", None, 0)
    found = {cell: 0.25, waiting: 0.1}
    charge = ("charge", cell, 1.0, ())
    told = chances((charge, ("waiting", waiting, 2.0, ()), charge), found)
    assert told.charges == pytest.approx(1 + 0.75 * 0.81)
    assert told.lost == pytest.approx(0.75 * 0.81 * 0.75)
    assert told.paid + told.closed + told.lost == pytest.approx(1)


def test_days_are_shared_between_paying_and_going_away() -> None:
    assert after(0.1, 0.0, 2) == pytest.approx((0.19, 0.0))
    paid, gone = after(0.1, 0.1, 3)
    assert paid == pytest.approx(gone)
    assert paid + gone == pytest.approx(1 - 0.81**3)
    assert after(0.0, 0.0, 5) == (0.0, 0.0)


# --- cells -------------------------------------------------------------------------------------


def test_a_cell_says_what_charges_have_in_common() -> None:
    cell = charge_cell("wait", timedelta(days=3), 1, at(13), UTC_ZONE, (1, 15))
    assert cell == ("charge", "wait", "2-5 days", "payday", "later try")  # 16 January
    other = charge_cell("wait", timedelta(days=40), 0, at(7), UTC_ZONE, (1, 15))
    assert other == ("charge", "wait", "31+ days", "other day", "first try")
    soft = charge_cell("retry", timedelta(days=3), 1, at(13), UTC_ZONE, (1, 15))
    assert soft == ("charge", "retry", "2-5 days", "later try")


def test_a_thin_cell_leans_on_the_wider_one_and_a_thick_one_does_not() -> None:
    tally = Tally()
    thick, thin, never = (("charge", "wait", name, "first try", "payday") for name in "abc")
    tally.add(thick, 800, 1000)
    tally.add(thin, 0, 2)
    found = rates(tally, {thick, thin, never})
    assert found[thick] == pytest.approx(0.8, abs=0.01)
    assert found[thin] > 0.6
    assert found[never] == pytest.approx(found["charge", "wait"], abs=0.01)
    assert tally.is_thin(thin)
    assert tally.is_thin(never)
    assert not tally.is_thin(thick)


def test_every_try_and_every_day_is_counted_once() -> None:
    record = lost()
    tally = tally_of(record, (1, 15))
    assert tally.of["charge",] == len(record.tries) == 2
    assert tally.of["customer",] == pytest.approx(21)
    assert tally.good["customer",] == 0
    later = [cell for cell in tally.of if cell[-1] == "later email"]
    assert sum(tally.of[cell] for cell in later) == pytest.approx(7)  # from suspension on


def test_what_a_charge_brought_is_not_kept_where_the_other_policy_makes_none() -> None:
    whole = lost(DENSE)
    record = replace(
        whole,
        outcome=Outcome.RECOVERED,
        ended_at=at(3),
        acts=whole.acts[:2],
        came_in=((at(3), whole.start.amount),),
    )
    told = under(record, SPARSE)  # which charges a day later
    assert not told.known
    assert told.sums.recovered == 0
