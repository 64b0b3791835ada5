"""By hand: hold, resume, retry, close, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from dunning.acts import ByHand, Person
from dunning.core.events import StepResult
from dunning.errors import NotFoundError, RefusedError
from dunning.store import ActRow, transaction
from tests.builders import days, paid, processing
from tests.cli.conftest import Books, Shell
from tests.happenings import step


def acts(books: Books) -> list[Any]:
    with transaction(books.engine) as session:
        return list(session.exec(select(ActRow).order_by(col(ActRow.id))).all())


def test_hold_stops_the_case_and_is_on_record(shell: Shell, books: Books) -> None:
    case = books.failing()
    out = shell("cases", "hold", case[:12], "--until", "7d", "--why", "pays on Friday").out
    assert out.startswith(f"{case}: on hold.")
    (act,) = acts(books)
    assert (act.act, act.why, act.case_id) == ("hold", "pays on Friday", case)
    assert act.by
    assert act.until - act.at == timedelta(days=7)
    told = shell("cases", "show", case, "--format", "json").json()
    assert told["frozen"]["why"] == "on hold: pays on Friday"
    assert told["acts"][0]["by"] == act.by
    assert books.facts(case).hold.until == act.until


def test_hold_without_an_end_and_resume(shell: Shell, books: Books) -> None:
    case = books.failing()
    shell("cases", "hold", case, "--why", "a lawyer wrote", "--by", "eve")
    assert books.row(case)["next_at"] is None
    told = shell("cases", "resume", case, "--why", "settled", "--format", "json").json()
    assert told == books.row(case)
    assert told["next_step"] == "email:1"
    assert next((act.act, act.by) for act in acts(books)) == ("hold", "eve")
    complaint = shell("cases", "resume", case, "--why", "again", code=1).complaint
    assert "is not on hold" in complaint


def test_retry_is_due_at_once_and_asked_for_once(shell: Shell, books: Books) -> None:
    case = books.failing()
    books.did(case, step("email:1"))
    told = shell("cases", "retry", case, "--why", "they said now", "--format", "json").json()
    (asked,) = books.facts(case).retries_asked
    planned = shell("cases", "show", case, "--format", "json").json()["timeline"]
    (line,) = [each for each in planned if each["step"] == f"retry:hand:{asked.id}"]
    assert line["state"] == "planned"
    assert told["state"] == "in_grace"
    complaint = shell("cases", "retry", case, "--why", "now!", code=1).complaint
    assert "has not been made yet" in complaint
    assert len(acts(books)) == 1


def test_a_retry_after_the_one_before_has_a_key_of_its_own(books: Books) -> None:
    case = books.failing()
    hands = ByHand(books.engine, books.book)
    person = Person(by="eve", why="x", now=days(1))
    hands.retry(case, person)
    (first,) = books.facts(case).retries_asked
    books.did(case, step(f"retry:hand:{first.id}", days(1), StepResult.DECLINED))
    hands.retry(case, person)
    assert len(books.facts(case).retries_asked) == 2


def test_without_a_key_somebody_else_must_charge(shell: Shell, books: Books) -> None:
    case = books.failing()
    assert "no API key for stripe here" in shell("cases", "retry", case, "--why", "x").out


@pytest.mark.parametrize(
    ("code", "words"), [("lost_card", "reported lost"), ("expired_card", "The card has expired")]
)
def test_a_card_that_must_not_be_charged_is_not(
    shell: Shell, books: Books, code: str, words: str
) -> None:
    case = books.failing(code)
    complaint = shell("cases", "retry", case, "--why", "try", code=1).complaint
    assert f"{case} cannot be charged: " in complaint
    assert words in complaint
    assert acts(books) == []


def test_nothing_is_charged_while_a_payment_is_in_process(shell: Shell, books: Books) -> None:
    case = books.failing()
    shell.at(days(2))
    books.take(processing(days(1)))
    complaint = shell("cases", "retry", case, "--why", "x", code=1).complaint
    assert "a payment is in process" in complaint


def test_close_ends_the_case_and_withdraws_the_debt(shell: Shell, books: Books) -> None:
    case = books.failing()
    out = shell("cases", "close", case, "--why", "goodwill").out
    assert out.startswith(f"{case}: closed. It is closed")
    told = shell("cases", "show", case, "--format", "json").json()
    assert (told["state"], told["closed_reason"]) == ("closed", "closed_by_hand")
    assert [entry["credit"] for entry in told["entries"]] == ["at_risk", "withdrawn"]
    assert shell("ledger", "verify").code == 0


@pytest.mark.parametrize("act", ["hold", "resume", "retry", "close"])
def test_an_ended_case_is_left_alone(shell: Shell, books: Books, act: str) -> None:
    case = books.failing()
    shell.at(days(2))
    books.take(paid(days(1)))
    complaint = shell("cases", act, case, "--why", "x", code=1).complaint
    assert "it ended on 2026-01-06 as recovered (paid)" in complaint
    assert acts(books) == []


@pytest.mark.parametrize("act", ["hold", "resume", "retry", "close"])
def test_an_unknown_case_and_an_empty_reason(shell: Shell, books: Books, act: str) -> None:
    case = books.failing()
    assert "no case nope" in shell("cases", act, "nope", "--why", "x", code=1).complaint
    assert "--why is empty" in shell("cases", act, case, "--why", " ", code=1).complaint
    assert "--by is empty" in shell("cases", act, case, "--why", "x", "--by", "", code=1).complaint
    assert acts(books) == []


def test_a_hold_ends_in_the_future(shell: Shell, books: Books) -> None:
    case = books.failing()
    passed = shell("cases", "hold", case, "--why", "x", "--until", "2020-01-01", code=1).complaint
    assert "that moment has passed" in passed
    wrong = shell("cases", "hold", case, "--why", "x", "--until", "friday", code=2).complaint
    assert "'friday' is no time" in wrong


def test_acts_on_the_same_second_are_told_apart(books: Books) -> None:
    case = books.failing()
    hands = ByHand(books.engine, books.book)
    person = Person(by="eve", why="x", now=days(1))
    hands.hold(case, person)
    hands.resume(case, person)
    with pytest.raises(RefusedError):
        hands.resume(case, person)
    with pytest.raises(NotFoundError):
        hands.close("case_nobody", person)
    assert [act.act for act in acts(books)] == ["hold", "resume"]
