"""Recurring revenue: a subscription is counted once, however many of its invoices are unpaid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random

from sqlalchemy import insert, select
from sqlmodel import Session

from dunning.core.recurring import RecurringAccount
from dunning.recurring import balances, counted_once
from dunning.store import RecurringRow
from tests.builders import days
from tests.reports.shop import Shop

AT_RISK, SAVED, LOST = RecurringAccount.AT_RISK, RecurringAccount.SAVED, RecurringAccount.LOST
RUNNING, WITHDRAWN = RecurringAccount.RUNNING, RecurringAccount.WITHDRAWN
Station = tuple[RecurringAccount, int]
Turned = tuple[int, str, str, int]  # the day, from where, to where, how much
OPENED = (0, RUNNING, AT_RISK, 1000)
LAST_DAY = 62


def life(
    session: Session,
    opens: int,
    *stations: tuple[RecurringAccount, int],
    amount: int,
    of: str = "a",
) -> None:
    """The rows of one case: at risk from a day on, then wherever on which day."""
    name = f"{of}/{session.info.setdefault('cases', 0)}"
    session.info["cases"] += 1
    stands = RUNNING
    for place, (account, day) in enumerate(((AT_RISK, opens), *stations), 1):
        values = {
            "key": f"{name}/{place}",
            "base": f"{name}/{place}",
            "case_id": name,
            "place": place,
            "source": "stripe",
            "subscription": of,
            "debit": stands.value,
            "credit": account.value,
            "amount": amount,
            "currency": "usd",
            "cause": "paid",
            "how": f"retry:{place}",
            "occurred_at": days(day),
            "recorded_at": days(day),
        }
        session.execute(insert(RecurringRow).values(values))
        stands = account


def moved(session: Session) -> list[Turned]:
    return [turn for _, turn in found_in(session)]


def found_in(session: Session) -> list[tuple[str, Turned]]:
    """What moved, each with the case by which it came to be at risk."""
    one = counted_once().c
    query = select(one.first, one.at, one.debit, one.credit, one.amount).order_by(one.at)
    return [
        (first, ((at - days(0)).days, debit, credit, amount))
        for first, at, debit, credit, amount in session.execute(query)
    ]


def test_two_unpaid_invoices_are_one_subscription_at_risk(shop: Shop) -> None:
    with shop.trial() as session:
        life(session, 8, (SAVED, 25), amount=2000)
        life(session, 0, (LOST, 20), amount=1000)
        # From the first failure, with what it brought in then, to wherever the last one goes.
        assert moved(session) == [OPENED, (25, AT_RISK, SAVED, 1000)]
        assert {first for first, _ in found_in(session)} == {"a/1"}
        saved_by = session.scalars(select(counted_once().c.saved_by)).all()
        assert saved_by == ["retry:2", "retry:2"]
        assert balances(session)["usd"] == {
            RUNNING: -1000,
            AT_RISK: 0,
            SAVED: 1000,
            LOST: 0,
            WITHDRAWN: 0,
        }


def test_what_was_lost_is_not_lost_again_by_the_next_invoice(shop: Shop) -> None:
    with shop.trial() as session:
        life(session, 0, (LOST, 20), amount=1000)
        life(session, 30, (LOST, 50), amount=2000)
        assert moved(session) == [
            OPENED,
            (20, AT_RISK, LOST, 1000),
            (30, LOST, AT_RISK, 1000),
            (50, AT_RISK, LOST, 1000),
        ]
    # What was saved runs, and may be saved again.
    with shop.trial() as session:
        life(session, 0, (SAVED, 20), amount=1000)
        life(session, 30, (SAVED, 50), amount=2000)
        assert moved(session)[2:] == [(30, RUNNING, AT_RISK, 2000), (50, AT_RISK, SAVED, 2000)]


def test_paid_late_while_another_invoice_is_unpaid_saves_nothing_yet(shop: Shop) -> None:
    with shop.trial() as session:
        life(session, 0, (LOST, 20), (SAVED, 40), amount=1000)
        life(session, 30, (LOST, 50), amount=1000)
        assert moved(session)[2:] == [(30, LOST, AT_RISK, 1000), (50, AT_RISK, LOST, 1000)]


def test_a_subscription_is_at_risk_while_any_case_is_and_never_twice(shop: Shop) -> None:
    chance = Random(11)
    with shop.trial() as session:
        lives: dict[str, list[tuple[int, int]]] = {}
        for number in range(150):
            name = f"sub_{number:03}"
            for _ in range(chance.randint(1, 5)):
                opens, lasts = chance.randint(0, 30), chance.randint(0, 30)
                ends = chance.choice((None, SAVED, LOST, WITHDRAWN))
                stations = ((ends, opens + lasts),) if ends else ()
                life(session, opens, *stations, amount=chance.randint(1, 9), of=name)
                over = opens + lasts if ends else LAST_DAY
                lives.setdefault(name, []).append((opens, over))
        of_each: dict[str, list[Turned]] = {}
        for first, turn in found_in(session):
            of_each.setdefault(first.partition("/")[0], []).append(turn)
        for name, cases in lives.items():
            _check(cases, of_each.get(name, []))


def _check(cases: Iterable[tuple[int, int]], turns: Iterable[tuple[int, str, str, int]]) -> None:
    for day in range(LAST_DAY):
        held: Counter[str] = Counter()
        for at, debit, credit, amount in turns:
            if at <= day:
                held[debit] -= amount
                held[credit] += amount
        assert bool(held[AT_RISK]) is any(opens <= day < over for opens, over in cases)
        assert min(held[AT_RISK], held[SAVED], held[LOST], held[WITHDRAWN]) >= 0
