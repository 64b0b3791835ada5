"""No name, subject or address can add a recipient, a header or a line to a letter."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.channels.email.address import one_line, parsed
from dunning.channels.email.body import written
from dunning.core.ports import Bounced, Unsent
from tests.channels.mail import LETTER, Postbox, send, sent, serving

HEADERS = [
    *("Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID"),
    *("Reply-To", "Subject", "To"),
]
BREAKS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x85", "\u2028", "\r\n "]
NAMES = [
    *(f"Ada{end}Bcc: victim@evil.example" for end in BREAKS),
    "Ada\u202egro.live\u2066",
    '"Ada" <victim@evil.example>, other@evil.example',
    "Müller, Bob; <victim@evil.example>",
    "=?utf-8?q?=0D=0ABcc=3A_victim=40evil.example?=",
    "\\",
    '\\"',
    "(comment)",
    "ü" * 400,
    "👩\u200d💻" * 100,
    "\ud800lone",
    "a, " * 300,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_or_subject_cannot_add_a_recipient_or_a_header(name: str) -> None:
    envelope, _ = sent(replace(LETTER, to_name=name, subject=name))
    assert envelope.rcpt_tos == ["ada@customer.example"]
    assert isinstance(envelope.content, bytes)
    names, to, subject = read_as_mail_programs_do(envelope.content)
    assert names == HEADERS
    assert to == (one_line(name, 60), "ada@customer.example")
    assert subject == one_line(name, 150)
    assert not set(subject) & set("\r\n\x00\x0b\x85\u2028\u202e\u2066")


def read_as_mail_programs_do(content: bytes) -> tuple[list[str], tuple[str, str], str]:
    """Header names, the one address, the subject; by the older parser, which joins words right."""
    message = message_from_bytes(content)
    ((name, address),) = getaddresses([str(message["To"])])
    name, subject = (
        " ".join(str(make_header(decode_header(each))).split())
        for each in (name, str(message["Subject"]))
    )
    return sorted(message.keys()), (name, address), subject


@given(name=st.text(max_size=120), subject=st.text(max_size=200))
def test_any_name_and_subject_read_back_as_one_address(name: str, subject: str) -> None:
    letter = replace(LETTER, to_name=name, subject=subject)
    body = written(letter, parsed(letter.to)).body
    names, to, read = read_as_mail_programs_do(body)
    assert names == HEADERS
    assert to[1] == "ada@customer.example"
    assert (to[0], read) == (one_line(name, 60), one_line(subject, 150))
    assert max(len(line) for line in body.split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@customer.example",
        "ada@",
        "ada@.example",
        "ada@customer..example",
        "ada@-customer.example",
        "ada@[127.0.0.1]",
        "ada@customer.example\r\nBcc: victim@evil.example",
        "ada@customer.example\n",
        "ada@customer.example\x00",
        "ada@customer.example,victim@evil.example",
        "ada@customer.example victim@evil.example",
        "ada@customer.example>",
        "<ada@customer.example>",
        "Ada <ada@customer.example>",
        '"ada x"@customer.example',
        "victim@evil.example@customer.example",
        "ada\u202e@customer.example",
        "ada@cust\u200bomer.example",
        "ada;victim@customer.example",
        "ada:victim@customer.example",
        "a" * 65 + "@customer.example",
        "ada@" + "a" * 64 + ".example",
        "ada@" + "a.example." * 40 + "example",
        "ad\ud800a@customer.example",
    ],
)
def test_what_is_not_exactly_one_address_bounces_and_nothing_is_sent(address: str) -> None:
    postbox = Postbox()
    with serving(postbox) as where:
        assert isinstance(send(where, replace(LETTER, to=address)), Bounced)
    assert postbox.envelopes == []


@pytest.mark.parametrize(
    ("address", "as_written"),
    [
        (" ada@customer.example ", "ada@customer.example"),
        ("ada+x!#$%&'*-/=?^_`{|}~@customer.example", "ada+x!#$%&'*-/=?^_`{|}~@customer.example"),
        ("o'hara@customer.example.", "o'hara@customer.example"),
        ("ada..b@customer.example", "ada..b@customer.example"),  # old Japanese ones exist
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@例え.example", "ada@xn--r8jz45g.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("zoë@customer.example", "zoë@customer.example"),
        ("zoe\u0308@customer.example", "zoë@customer.example"),
    ],
)
def test_unusual_addresses_that_exist(address: str, as_written: str) -> None:
    envelope, message = sent(replace(LETTER, to=address), enable_SMTPUTF8=True)
    assert envelope.rcpt_tos == [as_written]
    assert len(message["To"].addresses) == 1


def test_a_server_without_smtputf8_cannot_take_such_an_address() -> None:
    with serving(Postbox(), enable_SMTPUTF8=False) as where:
        outcome = send(where, replace(LETTER, to="zoë@customer.example"))
        assert isinstance(outcome, Bounced)
        assert "beyond ASCII" in outcome.why
        ours = send(where, replace(LETTER, sender="zoë@acme.example"))
        assert isinstance(ours, Unsent)


@pytest.mark.parametrize(
    "sender",
    [
        "billing",
        "",
        "Acme <billing@acme.example>\r\nBcc: x@evil.example",
        "a@b.example, c@d.example",
    ],
)
def test_an_unusable_sender_is_no_fault_of_the_customers(sender: str) -> None:
    outcome = send("smtp://127.0.0.1:9", replace(LETTER, sender=sender))
    assert isinstance(outcome, Unsent)
    assert "the sender is unusable" in outcome.why


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("billing@acme.example", ""),
        ("Acme, Inc. <billing@acme.example>", "Acme, Inc."),
        ('"Acme, Inc." <billing@acme.example>', "Acme, Inc."),
        ("Müller & Söhne <billing@acme.example>", "Müller & Söhne"),
    ],
)
def test_senders(sender: str, name: str) -> None:
    _, message = sent(replace(LETTER, sender=sender))
    (found,) = message["From"].addresses
    assert (found.display_name, found.addr_spec) == (name, "billing@acme.example")


@pytest.mark.parametrize("header", ["Bcc", "to", "X-A\r\nBcc", "Content-Type", "", "X Y"])
def test_further_headers_are_checked(header: str) -> None:
    outcome = send("smtp://127.0.0.1:9", replace(LETTER, headers={header: "x@evil.example"}))
    assert isinstance(outcome, Unsent)
    assert "may not be set" in outcome.why


def test_the_value_of_a_further_header_isone_line() -> None:
    evil = {"X-Case": "a\r\nBcc: victim@evil.example"}
    _, message = sent(replace(LETTER, headers=evil))
    assert message["X-Case"] == "a Bcc: victim@evil.example"
    assert message["Bcc"] is None
