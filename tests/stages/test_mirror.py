"""What providers told us of people and cards: the same whatever came first, and however often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import permutations
from typing import Any

import pytest
from sqlmodel import Session, select

from dunning.core.events import (
    CustomerReported,
    MethodChanged,
    MethodNews,
    SubscriptionReported,
)
from dunning.mirror import Mirror
from dunning.store import CustomerRow, MethodRow, SubscriptionRow
from tests.builders import T0, days, hours
from tests.happenings import customer, ended, method, new_card, subscription
from tests.stages.kit import Stage

News = MethodChanged | CustomerReported | SubscriptionReported


def card(at: datetime, **details: Any) -> MethodChanged:
    return replace(method(MethodNews.CHANGED, at), **details)


PEOPLE: list[News] = [
    customer(hours(1), email="old@example.com", name="Ann", country="DE"),
    customer(hours(3), email="new@example.com", locale="de"),
    customer(hours(2), email="middle@example.com", timezone="Europe/Vienna"),
    customer(days(2), deleted=True),
]
CARDS: list[News] = [
    new_card(hours(1), "pm_a"),
    new_card(hours(3), "pm_b"),
    method(MethodNews.NETWORK_UPDATED, hours(4), "pm_b"),
    card(hours(2), last4="1111", exp_month=1, exp_year=2027),
    card(hours(5), last4="2222", exp_month=2, exp_year=2031),
]
# Providers show the whole object each time; only what never changes may be left out.
SUBSCRIPTIONS: list[News] = [
    subscription(hours(1), status="active", recurring=4900, currency="usd", started_at=T0),
    subscription(hours(3), status="past_due", recurring=9900, currency="usd"),
    replace(ended(days(1)), recurring=9900),
    replace(ended(days(2), reason="payment_failed", by_us=True), recurring=9900),
]


def rows_after(stage: Stage, told: Sequence[News]) -> list[dict[str, object]]:
    """Every row of the mirror, once it has taken this in; nothing of it stays."""
    with Session(stage.engine, autoflush=False) as session:
        desk = stage.book.desk(session)
        with desk.drafting():
            mirror = Mirror(desk, "stripe")
            for news in told:
                mirror.take(news)
        desk.write()
        found = [
            row.model_dump()
            for table in (CustomerRow, SubscriptionRow, MethodRow)
            for row in sorted(
                session.exec(select(table)).all(), key=lambda row: str(row.model_dump()["id"])
            )
        ]
        session.rollback()
    return found


@pytest.mark.parametrize("told", [PEOPLE, CARDS, SUBSCRIPTIONS], ids=["people", "cards", "subs"])
def test_any_order_and_any_number_give_the_same_rows(stage: Stage, told: list[News]) -> None:
    straight = rows_after(stage, told)
    assert straight
    for order in list(permutations(told))[:: 1 if len(told) < 5 else 5]:
        assert rows_after(stage, order) == straight, [news.id for news in order]
    assert rows_after(stage, [*told, *reversed(told)]) == straight


def test_the_last_word_holds_and_silence_says_nothing(stage: Stage) -> None:
    (row,) = rows_after(stage, PEOPLE)
    assert (row["email"], row["name"], row["locale"]) == ("new@example.com", "Ann", "de")
    assert (row["country"], row["timezone"]) == ("DE", "Europe/Vienna")
    assert (row["deleted_at"], row["as_of"]) == (days(2), hours(3))


def test_what_a_card_tells_does_not_age_what_the_customer_says(stage: Stage) -> None:
    old, new = PEOPLE[0], PEOPLE[2]
    row, *_ = rows_after(stage, [new_card(hours(9)), old, new])
    assert row["email"] == "middle@example.com"


def test_two_words_of_one_second_are_the_same_in_any_order(stage: Stage) -> None:
    told = [customer(T0, email="b@example.com"), customer(T0, email="a@example.com")]
    assert rows_after(stage, told) == rows_after(stage, told[::-1])


def test_the_newest_way_to_pay_is_known(stage: Stage) -> None:
    rows = rows_after(stage, CARDS)
    assert (rows[0]["method"], rows[0]["method_at"]) == ("pm_b", hours(3))
    assert rows[0]["method_fixed_at"] == hours(5)
    details = {row["id"]: (row["last4"], row["exp_year"]) for row in rows[1:]}
    assert details["pm_new"] == ("2222", 2031)


def test_a_subscription_ends_once_at_its_first_end(stage: Stage) -> None:
    (row,) = rows_after(stage, SUBSCRIPTIONS)
    assert (row["ended_at"], row["end_reason"]) == (days(1), "cancellation_requested")
    assert (row["status"], row["recurring"], row["started_at"]) == ("canceled", 9900, T0)
    assert row["ended_by_us"] is True


def test_what_was_heard_is_told_to_a_case_that_opens_later(stage: Stage) -> None:
    with stage.writing() as session:
        desk = stage.book.desk(session)
        with desk.drafting():
            mirror = Mirror(desk, "stripe")
            for news in [*PEOPLE, *CARDS, *SUBSCRIPTIONS]:
                mirror.take(news)
        desk.write()
    with stage.writing() as session:
        desk = stage.book.desk(session)
        told = list(Mirror(desk, "stripe").known("cus_1", "sub_1"))
        assert list(Mirror(desk, "other").known("cus_1", "sub_1")) == []
        assert list(Mirror(desk, "stripe").known("cus_2", None)) == []
    kinds = [type(event).__name__ for event in told]
    assert kinds == [
        "CustomerReported",
        "CustomerReported",
        "MethodChanged",
        "MethodChanged",
        "SubscriptionReported",
    ]
