"""The links in our messages: names of a case that nobody can make up."""

from __future__ import annotations

import quopri
import string

import pytest

from dunning.links import PURPOSES, case_of, token_for, url_for
from tests.builders import empty

SECRET = "a-secret-of-the-tests-that-signs-links"
CASE = empty()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_names_its_case_and_purpose(purpose: str) -> None:
    token = token_for(SECRET, CASE.id, purpose)
    assert case_of(SECRET, token) == (CASE.id, purpose)


def test_the_address_is_the_page_and_the_token() -> None:
    url = url_for("https://billing.example.com", SECRET, CASE, "pay")
    assert url == f"https://billing.example.com/r/{token_for(SECRET, CASE.id, 'pay')}"


def test_another_secret_makes_other_tokens() -> None:
    token = token_for("another-secret-of-32-characters-or-more", CASE.id, "pay")
    assert token != token_for(SECRET, CASE.id, "pay")
    assert case_of(SECRET, token) is None


def test_a_token_for_one_purpose_is_none_for_another() -> None:
    token = token_for(SECRET, CASE.id, "pay")
    assert case_of(SECRET, token.replace("rcv_pay_", "rcv_card_")) is None


def test_the_token_of_one_case_is_none_of_another() -> None:
    one, other = token_for(SECRET, CASE.id, "pay"), token_for(SECRET, empty("in_2").id, "pay")
    mixed = one[: one.rindex("_")] + other[other.rindex("_") :]
    assert case_of(SECRET, mixed) is None


def test_no_single_changed_letter_passes() -> None:
    token = token_for(SECRET, CASE.id, "pay")
    for place in range(len("rcv_pay_"), len(token)):
        for letter in {"a", "b", "7"} - {token[place]}:
            assert case_of(SECRET, token[:place] + letter + token[place + 1 :]) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "rcv_",
        "rcv_pay_",
        "../etc",
        "rcv_pay_" + "a" * 20 + "_" + "a" * 26,
        "\x00",
        "é" * 50,
    ],
)
def test_anything_else_is_nothing(token: str) -> None:
    assert case_of(SECRET, token) is None


@pytest.mark.parametrize("more", ["\n", " ", "a", "?x=1", "%00", "/"])
def test_a_token_with_something_after_it_is_nothing(more: str) -> None:
    assert case_of(SECRET, token_for(SECRET, CASE.id, "pay") + more) is None


def test_capital_letters_are_no_other_way_to_write_it() -> None:
    assert case_of(SECRET, token_for(SECRET, CASE.id, "pay").upper()) is None


def test_no_mail_encoding_breaks_it() -> None:
    token = token_for(SECRET, CASE.id, "pay")
    assert set(token) <= set(string.ascii_lowercase + "234567_")
    line = f"https://billing.example.com/r/{token}".encode()
    assert quopri.decodestring(quopri.encodestring(line)) == line
    assert b"=" not in quopri.encodestring(line).replace(b"=\n", b"")
