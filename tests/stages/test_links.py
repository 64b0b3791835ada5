"""The links in our messages: names of a case and a moment that nobody can make up."""

from __future__ import annotations

import quopri
import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning import links
from dunning.links import PURPOSES, Named, Pages, read_token, token_for, url_for
from tests.builders import T0, empty

SECRET = "a-secret-of-the-tests-that-signs-links"
OTHER = "another-secret-of-32-characters-or-more"
CASE = empty()
TOKEN = token_for(SECRET, CASE.id, "pay", T0)
# As messages had them before links said when they were made.
WITHOUT_MOMENT = f"rcv_pay_{CASE.id[5:]}_{links._sign(SECRET, f'pay:{CASE.id}')}"


def named(token: str, *keys: str) -> Named | None:
    return read_token(keys or (SECRET,), token)


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_names_its_case_its_purpose_and_its_moment(purpose: str) -> None:
    moment = T0 + timedelta(seconds=1, milliseconds=700)
    token = token_for(SECRET, CASE.id, purpose, moment)
    assert named(token) == Named(CASE.id, purpose, T0 + timedelta(seconds=1))


@given(st.integers(0, 2**35 - 1))
def test_any_moment_comes_back_to_the_second(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=999)
    found = named(token_for(SECRET, CASE.id, "pay", moment))
    assert found is not None
    assert found.issued_at == moment.replace(microsecond=0)


def test_a_token_of_before_there_were_moments_is_still_one() -> None:
    assert named(WITHOUT_MOMENT) == Named(CASE.id, "pay", None)


def test_a_moment_can_neither_be_taken_out_nor_put_in_nor_changed() -> None:
    *start, stamp, signature = TOKEN.split("_")
    assert named("_".join((*start, signature))) is None
    later = token_for(SECRET, CASE.id, "pay", T0 + timedelta(days=1)).split("_")[-2]
    assert later != stamp
    assert named("_".join((*start, later, signature))) is None
    *start, signature = WITHOUT_MOMENT.split("_")
    assert named("_".join((*start, stamp, signature))) is None


def test_the_address_is_the_page_and_the_token() -> None:
    url = url_for("https://billing.example.com", SECRET, CASE.id, "pay", T0)
    assert url == f"https://billing.example.com/pay/{TOKEN}"


def test_another_secret_makes_other_tokens() -> None:
    assert token_for(OTHER, CASE.id, "pay", T0) != TOKEN
    assert named(TOKEN, OTHER) is None
    assert named(TOKEN, *()) is not None


def test_without_a_secret_there_are_no_links() -> None:
    assert read_token((), TOKEN) is None


def test_while_a_secret_is_rolled_the_old_links_are_good() -> None:
    assert named(TOKEN, OTHER, SECRET) == named(TOKEN, SECRET)
    assert named(TOKEN, OTHER, OTHER[::-1]) is None


class Counted(str):
    """A key that counts how often it signs."""

    __slots__ = ("signed",)
    signed: int

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.signed = getattr(self, "signed", 0) + 1
        return super().encode(encoding, errors)


@pytest.mark.parametrize(
    "token", [TOKEN, TOKEN[:-1] + "a", "rcv_pay_" + "a" * 54, "rcv_", "x", "", "é" * 50]
)
def test_a_guess_costs_one_signature_for_each_key_whatever_is_right_of_it(token: str) -> None:
    keys = (Counted(SECRET), Counted(OTHER))
    read_token(keys, token)
    assert [key.signed for key in keys] == [1, 1]


def test_a_token_for_one_purpose_is_none_for_another() -> None:
    assert named(TOKEN.replace("rcv_pay_", "rcv_card_")) is None


def test_the_token_of_one_case_is_none_of_another() -> None:
    other = token_for(SECRET, empty("in_2").id, "pay", T0)
    assert named(TOKEN[: TOKEN.rindex("_")] + other[other.rindex("_") :]) is None


def test_no_single_changed_letter_passes() -> None:
    for place in range(len("rcv_pay_"), len(TOKEN)):
        for letter in {"a", "b", "7"} - {TOKEN[place]}:
            assert named(TOKEN[:place] + letter + TOKEN[place + 1 :]) is None


@given(st.text(max_size=90))
def test_nothing_made_up_is_one(text: str) -> None:
    assert named(text) is None
    assert named(f"rcv_pay_{text}") is None


@given(st.binary(min_size=1, max_size=80), st.integers(0, len(TOKEN) - 1))
def test_nothing_mixed_in_is_one(noise: bytes, place: int) -> None:
    assert named(TOKEN[:place] + noise.decode("latin-1") + TOKEN[place:]) is None


@pytest.mark.parametrize("more", ["\n", " ", "a", "?x=1", "%00", "/"])
def test_a_token_with_something_after_it_is_nothing(more: str) -> None:
    assert named(TOKEN + more) is None


def test_capital_letters_are_no_other_way_to_write_it() -> None:
    assert named(TOKEN.upper()) is None


def test_no_mail_encoding_breaks_it() -> None:
    assert set(TOKEN) <= set(string.ascii_lowercase + "234567_")
    line = f"https://billing.example.com/pay/{TOKEN}".encode()
    assert quopri.decodestring(quopri.encodestring(line)) == line
    # The only equals signs are those of soft line ends: none stands before two hexadecimal digits.
    assert b"=" not in quopri.encodestring(line).replace(b"=\n", b"")
    # Where a sender did not encode at all, a reader that decodes all the same finds nothing to.
    assert quopri.decodestring(b"?t=" + TOKEN.encode()) == b"?t=" + TOKEN.encode()


def test_the_pages_that_are_allowed_are_those_a_browser_may_be_led_to() -> None:
    pages = Pages(("stripe.com", "pay.example.com"), "http://localhost:12111/x")
    assert pages.patterns() == (
        *("https://stripe.com", "https://*.stripe.com"),
        *("https://pay.example.com", "https://*.pay.example.com"),
        "http://localhost:12111",
    )
    assert pages.allow("https://invoice.stripe.com/i/1")
    assert not pages.allow("https://stripe.com.evil.example")
