"""Texts over the provider's HTTP API: what each answer means, and what is found again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dunning.channels.texting import TwilioTexts, account_of, asked_for
from dunning.channels.texting.receipts import signature
from dunning.core.phones import e164, wrong_sender
from dunning.core.ports import Bounced, Doubtful, Sent, Text, Unsent
from dunning.errors import ConfigError
from tests.phones import ACCOUNT, SENDER, TOKEN, Phones

SERVICE = f"MG{'0a' * 16}"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
TEXT = Text(
    to="+4512345678", body="Acme: 49 € åbent https://a.example/pay/rcv_pay_x_y_z", mark="_x_"
)


def test_a_text_is_asked_for_with_its_words_and_its_sender() -> None:
    phones = Phones()
    with phones.serve() as url:
        outcome = TwilioTexts(url, SENDER).send(TEXT)
        TwilioTexts(url, SERVICE).send(TEXT)
        assert TwilioTexts(url, SENDER).check() is None
    assert outcome == Sent(reference=phones.texts[0]["sid"])
    assert phones.forms == [
        {"To": TEXT.to, "From": SENDER, "Body": TEXT.body},
        {"To": TEXT.to, "MessagingServiceSid": SERVICE, "Body": TEXT.body},
    ]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((400, 21610), Bounced(why="the customer has texted STOP (21610)", dead=True)),
        ((400, 21614), Bounced(why="it is not a mobile phone (21614)", dead=True)),
        # Of numbers nothing is kept but where they belong.
        ((400, 21408), Bounced(why="127.0.0.1 answered 400 (21408): no: … is wrong")),
        ((400, 21606), Unsent(why="127.0.0.1 answered 400 (21606): no: … is wrong")),
        ((403, 20003), Unsent(why="127.0.0.1 answered 403 (20003): no: … is wrong")),
        ((429, 20429), Unsent(why="127.0.0.1 answered 429 (20429): no: … is wrong", full=True)),
        ((500, 20500), Doubtful(why="127.0.0.1 answered 500 (20500): no: … is wrong")),
    ],
)
def test_a_refusal_is_the_numbers_or_the_texts_or_ours(
    answer: tuple[int, int], outcome: object
) -> None:
    phones = Phones()
    phones.refuse = answer
    with phones.serve() as url:
        assert TwilioTexts(url, SENDER).send(TEXT) == outcome


def test_what_got_no_answer_is_in_doubt_and_found_again_by_its_mark() -> None:
    phones = Phones()
    phones.lose_answers = 1
    with phones.serve() as url:
        texts = TwilioTexts(url, SENDER)
        assert isinstance(texts.send(TEXT), Doubtful)
        assert texts.find(TEXT, NOW) == Sent(reference=phones.texts[0]["sid"])
        assert isinstance(texts.find(TEXT, NOW + timedelta(hours=1)), Doubtful)
        assert isinstance(texts.find(Text(to=TEXT.to, body="", mark="_w_"), NOW), Doubtful)
        phones.texts[0]["status"] = "undelivered"
        assert texts.find(TEXT, NOW) == Bounced(why="the provider calls it undelivered")
    assert isinstance(texts.find(TEXT, NOW), Unsent)
    assert isinstance(texts.send(TEXT), Unsent)
    assert "cannot be reached" in (texts.check() or "")


def test_the_signature_is_that_of_the_published_example() -> None:
    told = {
        "CallSid": "CA1234567890ABCDE", "Caller": "+14158675309", "Digits": "1234",
        "From": "+14158675309", "To": "+18005551212",
    }  # fmt: skip
    at = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature(at, list(told.items()), "12345") == b"RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize(
    ("login", "public", "asked"),
    [
        (
            f"{ACCOUNT}:token",
            "https://pay.example.com/a/",
            "https://pay.example.com/a/texts/twilio",
        ),
        (f"{ACCOUNT}:token", "http://pay.example.com", None),
        (f"{ACCOUNT}:token", "https://localhost", None),
        (f"{ACCOUNT}:token", "https://10.0.0.1:8443", None),
        (f"{ACCOUNT}:token", None, None),
        ("SK0123:secret", "https://pay.example.com", None),
    ],
)
def test_where_it_is_to_be_told(login: str, public: str | None, asked: str | None) -> None:
    tail = "" if login.startswith(ACCOUNT) else f"/{ACCOUNT}"
    url = f"twilio://{login}@api.twilio.com{tail}"
    assert asked_for(url, public) == asked


def test_a_text_says_where_its_fate_is_to_be_told() -> None:
    phones = Phones()
    with phones.serve() as url:
        TwilioTexts(url, SENDER, receipts="https://pay.example.com/texts/twilio").send(TEXT)
    assert phones.forms[0]["StatusCallback"] == "https://pay.example.com/texts/twilio"


def test_a_wrong_login_is_told_by_the_check_and_never_repeated() -> None:
    with Phones().serve() as url:
        wrong = TwilioTexts(url.replace(TOKEN, "hunter2"), SENDER).check()
    assert wrong == "127.0.0.1 answered 401 (20003): Authenticate"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("twilio://AC0123:hunter2@api.twilio.com/AD", "names no account"),
        ("https://AC0123:hunter2@api.twilio.com", "is not one"),
        ("twilio://SK0123:hunter2@api.twilio.com", "names no account"),
        ("twilio://AC0123@api.twilio.com", "names no account"),
        ("twilio://AC0123:hunter2@api.twilio.com?x=1", "goes on after the account"),
        ("twilio+http://AC0123:hunter2@api.twilio.com", "plain http to another machine"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_token(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        account_of(url)
    assert "hunter2" not in str(caught.value)


def test_a_url_names_the_account_and_who_logs_in() -> None:
    plain = account_of(f"twilio://{ACCOUNT}:a%2Fb@api.twilio.com")
    assert (plain.account, plain.user, plain.password, plain.port) == (ACCOUNT, ACCOUNT, "a/b", 443)
    keyed = account_of(f"twilio://SK1:s@texts.example:8443/{ACCOUNT}")
    assert (keyed.account, keyed.user, keyed.port) == (ACCOUNT, "SK1", 8443)
    assert "a/b" not in repr(plain)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+45 12 34 56 78", "+4512345678"),
        ("0044 (0)20-7946/0018", "+442079460018"),
        ("+1 (415) 555.0100", "+14155550100"),
        ("12345678", None),
        ("+0123456789", None),
        ("+123456", None),
        ("+1234567890123456", None),
        ("+45 12 34 56 78 ext. 9", None),
        ("", None),
        (None, None),
    ],
)
def test_a_number_is_international_or_none(written: str | None, number: str | None) -> None:
    assert e164(written) == number


def test_who_texts_come_from() -> None:
    assert [wrong_sender(one) for one in (SENDER, SERVICE, "ACME Ltd", "12345")] == [None] * 4
    assert all(wrong_sender(one) for one in ("", "a very long name", "+0", "MG1234567890", "ÅÆ"))
