"""Emails as they cross the wire, over TLS, read by a parser that is not Python's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from fast_mail_parser import PyMail, parse_email
from hypothesis import given
from hypothesis import strategies as st

from dunning.actions.message import to_stop
from dunning.channels.email import EmailChannel
from dunning.channels.email.address import parsed
from dunning.channels.email.body import quoted_printable, written
from dunning.core.money import Money
from dunning.core.ports import Letter, Sent, Unsent
from dunning.messages import TEMPLATES, Facts, Messages, every_fact
from tests.channels.mail import (
    CERTIFICATE,
    LETTER,
    QUOTED,
    Postbox,
    authenticate,
    server_context,
    serving,
)

LINK = "https://pay.example/r/rcv_=3Dab=C3=A9?a=b&c==3D0A#=20" + "x" * 200
ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type")


def lines_of(text: str) -> list[str]:
    return re.split("\r\n|\r|\n", text.rstrip("\r\n"))


def checked(raw: bytes) -> PyMail:
    """What RFC 5322, 2045 and 5321 ask of a letter; and what another parser reads."""
    assert raw.isascii(), "8-bit bytes need a server that takes them"
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\x00" not in raw
    head, _, body = raw.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert max(map(len, body.split(b"\r\n"))) <= 78
    names = [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] > b" "]
    for name in ONCE:
        assert names.count(name) == 1, name
    mail: PyMail = parse_email(raw)
    assert not mail.warnings
    assert not mail.attachments
    assert (len(mail.text_plain), len(mail.text_html)) == (1, 1)
    return mail


@pytest.fixture(scope="module", params=["smtp+starttls", "smtps"])
def post(request: pytest.FixtureRequest) -> Iterator[tuple[Postbox, EmailChannel]]:
    """A server that wants TLS and a login, and a channel that keeps its connection to it."""
    wanted: dict[str, Any] = {
        "smtp+starttls": {"tls_context": server_context(), "require_starttls": True},
        "smtps": {"ssl_context": server_context(), "auth_require_tls": False},
    }[request.param]
    postbox = Postbox()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        with serving(postbox, authenticator=authenticate, **wanted) as where:
            url = f"{request.param}://user:{QUOTED}@{where}"
            with closing(EmailChannel(url)) as channel:
                yield postbox, channel


def facts(template: str, locale: str) -> Facts:
    return replace(
        every_fact(template),
        locale=locale,
        customer_name="Zoë Müller-Łukasiewicz 👩\u200d💻",
        company="Bücher & Söhne <GmbH>",
        pay_url=LINK,
        update_card_url=LINK,
        amount=Money(1234567, "eur"),
        failed_on=date(2026, 3, 1),
    )


@pytest.mark.parametrize("locale", ["en", "de", "ja"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_email_is_read_as_it_was_written(
    post: tuple[Postbox, EmailChannel], template: str, locale: str
) -> None:
    postbox, channel = post
    made = Messages().render(facts(template, locale))
    letter = replace(LETTER, subject=made.subject, text=made.text, html=made.html)
    letter = replace(letter, id=f"<case_1.{template}.{locale}@acme.example>")
    assert isinstance(channel.send(letter), Sent)
    raw = postbox.envelopes[-1].content
    assert isinstance(raw, bytes)
    mail = checked(raw)
    assert lines_of(mail.text_plain[0]) == lines_of(made.text)
    assert lines_of(mail.text_html[0]) == lines_of(made.html)
    assert mail.subject == made.subject
    assert mail.headers["Message-ID"] == [letter.id]
    for text in (made.text, mail.text_plain[0]):
        assert (LINK in text) == (LINK in made.text)
    assert len({id(session) for session in postbox.sessions}) == 1, "one connection for all"
    assert postbox.sessions[0].authenticated


def body(letter: Letter) -> bytes:
    return written(letter, parsed(letter.to)).body


@given(text=st.text(max_size=400), html=st.text(max_size=400))
def test_any_text_comes_out_as_it_went_in(text: str, html: str) -> None:
    mail = checked(body(replace(LETTER, text=text, html=html)))
    for put, got in ((text, mail.text_plain[0]), (html, mail.text_html[0])):
        sent = put.encode("utf-8", "replace").decode()
        # Empty lines at the end belong to the boundary, or to nobody.
        assert lines_of(got) == lines_of(sent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ".\n..\n.\n",
        "From here\nFrom there",
        "tail \t\nnext\t",
        "=" * 500,
        "é" * 500,
        "x" * 5_000,
        "a\r\nb\rc\nd",
        "\x00\x0b\x0c\x85\u2028\ud800",
        "--=_767ad70517a45e75db99f9ae457a9450--",
        "\r\n.\r\nMAIL FROM:<x@y>\r\n",
    ],
)
def test_awkward_texts_are_written_in_short_lines(text: str) -> None:
    made = quoted_printable(text)
    assert max(map(len, made.split(b"\r\n"))) <= 76
    assert made.endswith(b"\r\n")
    mail = checked(body(replace(LETTER, text=text, html=text)))
    assert lines_of(mail.text_plain[0]) == lines_of(text.encode("utf-8", "replace").decode())


# --- a way out of notices ----------------------------------------------------------------------

WAY_OUT = "<https://billing.example.com/off/rcv_" + "x" * 300 + ">, <mailto:off@example.com>"
ONE_CLICK = {"List-Unsubscribe": WAY_OUT, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def test_unsubscribing_stands_only_where_the_letter_asks_for_it() -> None:
    plain = checked(body(LETTER))
    assert not [name for name in plain.headers if name.lower().startswith("list-")]
    raw = body(replace(LETTER, headers={**LETTER.headers, **ONE_CLICK}))
    mail = checked(raw)
    assert f"\r\nList-Unsubscribe: {WAY_OUT}\r\n".encode() in raw, "in one line, as it is"
    assert mail.headers["List-Unsubscribe"] == [WAY_OUT]
    assert mail.headers["List-Unsubscribe-Post"] == ["List-Unsubscribe=One-Click"]


def test_a_notice_names_the_page_that_stops_notices_where_that_is_https() -> None:
    headers = to_stop("https://billing.example.com/pay/rcv_card_x/stop")
    mail = checked(body(replace(LETTER, headers={**LETTER.headers, **headers})))
    assert mail.headers["List-Unsubscribe"] == ["<https://billing.example.com/pay/rcv_card_x/stop>"]
    assert mail.headers["List-Unsubscribe-Post"] == ["List-Unsubscribe=One-Click"]
    assert to_stop("http://localhost/pay/rcv_card_x/stop") == to_stop(None) == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"List-Unsubscribe": "https://billing.example.com/off"},
        {"List-Unsubscribe": "<http://billing.example.com/off>"},
        {"List-Unsubscribe": "<https://b.example/off>\r\nBcc: x@evil.example"},
        {"List-Unsubscribe": "<https://b.example/o ff>"},
        {"List-Unsubscribe": "<https://b.example/" + "x" * 1000 + ">"},
        {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
        {"List-Unsubscribe": "<mailto:off@b.example>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
        {"List-Unsubscribe": WAY_OUT, "List-Unsubscribe-Post": "yes"},
    ],
)  # fmt: skip
def test_a_broken_way_out_is_a_fault_of_ours(headers: dict[str, str]) -> None:
    with closing(EmailChannel("smtp://127.0.0.1:9")) as channel:
        ended = channel.send(replace(LETTER, headers=headers))
    assert isinstance(ended, Unsent)
    assert "List-Unsubscribe" in ended.why
