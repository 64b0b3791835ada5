"""Calls to the merchant's product: once each, in order per case, and never dropped."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from dunning.case_rows import locked
from dunning.core.events import Bill, StepResult
from dunning.outbox import BACKOFF, Call, Heard, backlog, claim_calls, settle_call
from dunning.store import OutboxRow
from tests.builders import T0, bill, days, declined, failed, hours, paid, voided
from tests.happenings import step
from tests.stages.kit import Stage, Together

LEASE = timedelta(seconds=60)
TAKEN = Heard(taken=True)
BUSY = Heard(taken=False, why="answered 503")


def row(stage: Stage, number: int, case: str, at: datetime = T0) -> None:
    with stage.writing() as session:
        session.add(
            OutboxRow(
                id=number,
                key=f"{case}/{number}",
                case_id=case,
                source="stripe",
                type="case.opened",
                body="{}",
                created_at=at,
                wake_at=at,
            )
        )


def claim(stage: Stage, now: datetime = T0, limit: int = 10) -> list[Call]:
    with stage.writing() as session:
        return claim_calls(session, now, limit=limit, lease=LEASE)


def settle(stage: Stage, call: Call, heard: Heard, now: datetime = T0) -> None:
    with stage.writing() as session:
        settle_call(session, call, heard, now)


def one(stage: Stage, number: int = 1) -> OutboxRow:
    with stage.writing() as session:
        return session.get_one(OutboxRow, number)


def ids(calls: list[Call]) -> list[int]:
    return [call.id for call in calls]


# --- leaving -----------------------------------------------------------------------------------


def test_of_each_case_only_the_first_leaves(stage: Stage) -> None:
    for number, case in enumerate(["a", "a", "b", "a", "b"], 1):
        row(stage, number, case)
    first = claim(stage)
    assert ids(first) == [1, 3]
    assert claim(stage) == []
    settle(stage, first[0], TAKEN)
    assert ids(claim(stage)) == [2]
    settle(stage, first[1], BUSY)
    assert claim(stage) == []


def test_a_call_that_waits_holds_up_the_rest_of_its_case_only(stage: Stage) -> None:
    row(stage, 1, "a", days(1))
    row(stage, 2, "a")
    row(stage, 3, "b")
    assert ids(claim(stage)) == [3]


def test_a_call_whose_caller_died_leaves_again_after_the_lease(stage: Stage) -> None:
    row(stage, 1, "a")
    (call,) = claim(stage)
    assert (call.key, call.body, call.tries) == ("a/1", b"{}", 1)
    assert claim(stage, T0 + LEASE - timedelta(seconds=1)) == []
    (again,) = claim(stage, T0 + LEASE)
    assert again.tries == 2


def test_two_workers_never_take_the_same_call(stage: Stage) -> None:
    for number in range(1, 31):
        row(stage, number, f"case {number % 10}")
    both = Together(*[partial(claim, stage)] * 2)
    assert both.errors == []
    taken = ids(both.given[0]) + ids(both.given[1])
    assert len(taken) == len(set(taken)) <= 10


def test_what_was_taken_is_sent(stage: Stage) -> None:
    row(stage, 1, "a")
    settle(stage, claim(stage)[0], TAKEN, hours(1))
    told = one(stage)
    assert (told.state, told.sent_at, told.error, told.leased) == ("sent", hours(1), "", False)


def test_a_refused_call_waits_ever_longer_and_then_is_dead(stage: Stage) -> None:
    row(stage, 1, "a")
    now = T0
    for wait in BACKOFF:
        (call,) = claim(stage, now)
        settle(stage, call, BUSY, now)
        told = one(stage)
        assert (told.state, told.error, told.wake_at) == ("pending", "answered 503", now + wait)
        assert not told.leased
        assert claim(stage, now + wait - timedelta(seconds=1)) == []
        now += wait
    (call,) = claim(stage, now)
    settle(stage, call, BUSY, now)
    assert one(stage).state == "dead"
    assert claim(stage, now + timedelta(days=9)) == []


def test_a_dead_call_lets_the_next_of_its_case_go(stage: Stage) -> None:
    row(stage, 1, "a")
    row(stage, 2, "a")
    gone = Heard(taken=False, why="answered 410", final=True)
    settle(stage, claim(stage)[0], gone)
    assert (one(stage).state, one(stage).error) == ("dead", "answered 410")
    assert ids(claim(stage)) == [2]


def test_the_product_may_ask_for_more_time(stage: Stage) -> None:
    row(stage, 1, "a")
    busy = Heard(taken=False, why="answered 429", retry_after=timedelta(hours=3))
    settle(stage, claim(stage)[0], busy)
    assert one(stage).wake_at == hours(3)


def test_a_late_word_does_not_undo_what_was_sent(stage: Stage) -> None:
    """Two callers, since the first one's lease ran out while it waited for its answer."""
    row(stage, 1, "a")
    (slow,) = claim(stage)
    (quick,) = claim(stage, T0 + LEASE)
    settle(stage, quick, TAKEN, T0 + LEASE)
    settle(stage, slow, Heard(taken=False, why="answered 410", final=True), T0 + LEASE)
    assert one(stage).state == "sent"


def test_a_late_refusal_does_not_take_the_call_from_its_present_caller(stage: Stage) -> None:
    row(stage, 1, "a")
    (slow,) = claim(stage)
    (present,) = claim(stage, T0 + LEASE)
    settle(stage, slow, BUSY, T0 + LEASE)
    told = one(stage)
    assert (told.leased, told.wake_at, told.error) == (True, T0 + LEASE * 2, "")
    settle(stage, slow, TAKEN, T0 + LEASE)
    assert one(stage).state == "sent"
    settle(stage, present, TAKEN, T0 + LEASE * 2)
    assert one(stage).sent_at == T0 + LEASE


def test_the_backlog_counts_what_is_pending_under_way_and_dead(stage: Stage) -> None:
    for number, case in enumerate(["a", "b", "c"], 1):
        row(stage, number, case)
    dead, under_way = claim(stage, limit=2)
    settle(stage, dead, Heard(taken=False, final=True))
    with stage.writing() as session:
        told = backlog(session, T0)
    assert (told.pending, told.under_way, told.dead, told.next_at) == (2, 1, 1, T0)
    assert under_way.id == 2


# --- what is told ------------------------------------------------------------------------------


def told_of(stage: Stage) -> list[str]:
    rows = sorted(stage.all(OutboxRow), key=lambda row: row.id or 0)
    return [row.type for row in rows]


def ends(stage: Stage, name: str, invoice: str = "in_1", at: datetime = T0) -> None:
    case = stage.case(invoice).id
    done = step(name, at, StepResult.DONE)
    with stage.writing() as session:
        event = type(done)(id=f"{case}/{name}", at=done.at, kind=done.kind, result=done.result)
        stage.book.apply_by_hand(session, locked(session, case), [event], at)


def test_nothing_is_told_where_nobody_listens(stage: Stage) -> None:
    stage.tell(failed(), paid(hours(1)))
    assert stage.all(OutboxRow) == []


def test_a_case_is_told_from_its_opening_to_its_end(announcing: Stage) -> None:
    announcing.tell(failed())
    announcing.tell(failed(), declined())
    ends(announcing, "restrict:1")
    ends(announcing, "suspend:1")
    announcing.tell(paid(hours(1)), now=hours(1))
    announcing.tell(paid(hours(1)), now=hours(2))
    ends(announcing, "restore:1")
    assert told_of(announcing) == [
        "case.opened",
        "access.restricted",
        "access.suspended",
        "case.recovered",
        "access.restored",
    ]


def test_what_opens_and_ends_at_once_is_told_as_both(announcing: Stage) -> None:
    announcing.tell(failed(), voided(hours(1)))
    assert told_of(announcing) == ["case.opened", "case.closed"]


def test_a_call_says_what_the_case_is(announcing: Stage) -> None:
    announcing.tell(failed(), now=hours(2))
    (told,) = announcing.all(OutboxRow)
    case = announcing.case()
    assert told.key == f"{case.id}/case.opened"
    assert json.loads(told.body) == {
        "type": "case.opened",
        "timestamp": "2026-01-05T14:00:00Z",
        "data": {
            "case": case.id,
            "source": "stripe",
            "invoice": "in_1",
            "customer": "cus_1",
            "subscription": "sub_1",
            "scope": "sub_1",
            "state": "in_grace",
            "access": "full",
            "reason": None,
            "amount_at_risk": 4900,
            "currency": "usd",
        },
    }


def access(stage: Stage) -> list[str]:
    return [told for told in told_of(stage) if told.startswith("access")]


def test_the_product_hears_of_access_only_when_the_worst_case_changes(announcing: Stage) -> None:
    announcing.tell(failed(), failed(told=replace(bill(), invoice="in_2")))
    ends(announcing, "restrict:1")
    ends(announcing, "restrict:1", "in_2")
    assert access(announcing) == ["access.restricted"]
    ends(announcing, "suspend:1", "in_2")
    assert access(announcing) == ["access.restricted", "access.suspended"]
    announcing.tell(paid(hours(1)), now=hours(1))
    ends(announcing, "restore:1", at=hours(1))
    assert len(access(announcing)) == 2
    announcing.tell(paid(hours(2), replace(paid_bill(), invoice="in_2")), now=hours(2))
    ends(announcing, "restore:1", "in_2", hours(2))
    assert access(announcing)[2:] == ["access.restored"]


def paid_bill() -> Bill:
    return paid(hours(2)).bill


def test_the_worst_that_is_left_is_told_when_the_worst_lets_go(announcing: Stage) -> None:
    announcing.tell(failed(), failed(told=replace(bill(), invoice="in_2")))
    ends(announcing, "restrict:1")
    ends(announcing, "suspend:1", "in_2")
    announcing.tell(paid(hours(2), replace(paid_bill(), invoice="in_2")), now=hours(2))
    ends(announcing, "restore:1", "in_2", hours(2))
    assert access(announcing) == ["access.restricted", "access.suspended", "access.restricted"]


def test_another_subscription_of_the_customer_is_a_matter_of_its_own(announcing: Stage) -> None:
    other = replace(bill(), invoice="in_2", subscription="sub_2")
    announcing.tell(failed(), failed(told=other))
    ends(announcing, "suspend:1")
    ends(announcing, "suspend:1", "in_2")
    assert access(announcing) == ["access.suspended", "access.suspended"]
