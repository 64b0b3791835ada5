"""Bounces and complaints of real mail servers are understood; hostile ones do no harm."""

from __future__ import annotations

import email
import io
import mailbox
from email.message import Message
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dunning.channels.returned.mailboxes import of_maildir, of_mbox, of_pipe
from dunning.channels.returned.mime import MOST_BYTES, parts_of
from dunning.channels.returned.reports import read
from dunning.core.returned import Fate, Returned, weigh
from tests.channels import bounces
from tests.channels.bounces import OURS, TO, complaint, postfix


def one(message: bytes) -> Returned:
    (found,) = read(message)
    return found


@pytest.mark.parametrize(
    ("message", "fate", "status"),
    [
        (postfix(), Fate.PERMANENT, "5.1.1"),
        (bounces.EXCHANGE, Fate.PERMANENT, "5.1.10"),
        (bounces.EXIM, Fate.PERMANENT, None),
        (bounces.QMAIL, Fate.TEMPORARY, None),
        (complaint(), Fate.COMPLAINT, None),
        (postfix(action="delayed", status="4.4.1", said="timed out"), Fate.DELAYED, "4.4.1"),
        (postfix(status="4.4.7", said="delivery time expired"), Fate.TEMPORARY, "4.4.7"),
        (postfix(status="5.7.1", said="550 5.7.1 blocked by policy"), Fate.TEMPORARY, "5.7.1"),
        (postfix(status="5.0.0", said="550 Unknown user"), Fate.PERMANENT, "5.0.0"),
        (postfix(status="5.0.0", said="554 rejected"), Fate.TEMPORARY, "5.0.0"),
    ],
)
def test_reports_of_mail_servers(message: bytes, fate: Fate, status: str | None) -> None:
    for written in (message, message.replace(b"\r\n", b"\n")):
        found = one(written)
        assert (found.fate, found.status) == (fate, status)
        assert OURS in found.message_ids
        assert found.addresses[:1] == (TO,) or not found.addresses
        assert found.why
        assert not found.trusted
    assert one(message).key == one(message).key


def test_the_reason_is_the_servers_own_word() -> None:
    assert one(postfix()).why.startswith("550 5.1.1 <ann@customer.example>: Recipient address")
    assert "RecipientNotFound" in one(bounces.EXCHANGE).why
    assert one(bounces.EXIM).why == "550 No Such User Here"
    assert one(bounces.QMAIL).why == "Remote host said: 552 5.2.2 mailbox full"
    assert one(complaint()).why == "reported as abuse (SomeGenerator/1.0)"


@pytest.mark.parametrize(
    "message",
    [
        bounces.HOLIDAY,
        bounces.ANSWER,
        complaint("not-spam"),
        postfix(action="delivered", status="2.0.0", said="250 ok"),
        postfix(action="relayed", status="2.0.0", said="250 ok"),
        b"",
        b"\r\n\r\n",
        b"nonsense",
        b"\x00\xff" * 1000,
    ],
)
def test_what_is_no_bounce_is_nothing(message: bytes) -> None:
    assert read(message) == []


def test_several_recipients_are_several_reports() -> None:
    end = b"\r\n\r\n--AB12.1772445601/mx.acme.example\r\nContent-Description: Und"
    other = b"\r\n\r\nFinal-Recipient: rfc822; bob@other.example\r\n"
    whole = postfix().replace(end, other + b"Action: failed\r\nStatus: 5.2.2" + end)
    found = read(whole)
    assert [(each.addresses, each.fate) for each in found] == [
        ((TO,), Fate.PERMANENT),
        (("bob@other.example",), Fate.TEMPORARY),
    ]
    assert len({each.key for each in found}) == 2


def test_international_reports_and_encoded_parts() -> None:
    widened = postfix(to="zoë@customer.example").replace(b"text/rfc822-", b"message/global-")
    found = one(widened.replace(b"message/delivery-status", b"message/global-delivery-status"))
    assert found.addresses == ("zoë@customer.example",)
    encoded = email.message_from_bytes(postfix())
    for part in encoded.walk():
        if part.get_content_type() == "text/rfc822-headers":
            body = part.get_payload()
            part.set_payload(body)
            email.encoders.encode_base64(part)  # type: ignore[attr-defined]
    assert OURS in one(encoded.as_bytes()).message_ids


# --- mailboxes --------------------------------------------------------------------------------


def test_an_mbox_is_taken_apart_as_the_standard_library_does(tmp_path: Path) -> None:
    path = tmp_path / "bounces"
    box = mailbox.mbox(path)
    letters = [
        postfix(),
        complaint(),
        bounces.ANSWER + b"From here on it is quoted\r\n",
    ]
    letters = [each.replace(b"\r\n", b"\n") for each in letters]
    for each in letters:
        box.add(each)
    box.close()
    with path.open("rb") as stream:
        found = list(of_mbox(stream))
    assert [each.rstrip(b"\n") for each in found] == [each.rstrip(b"\n") for each in letters]


def test_a_maildir_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "Maildir")
    box.add(postfix())
    seen = mailbox.MaildirMessage(complaint())
    seen.set_subdir("cur")
    box.add(seen)
    before = sorted((tmp_path / "Maildir").rglob("*"))
    assert sorted(one(each).fate for each in of_maildir(tmp_path / "Maildir")) == [
        Fate.COMPLAINT,
        Fate.PERMANENT,
    ]
    assert sorted((tmp_path / "Maildir").rglob("*")) == before


def test_of_large_messages_only_the_beginning_is_kept() -> None:
    endless = postfix() + b"x" * (3 * MOST_BYTES)
    stream = io.BytesIO(b"From MAILER-DAEMON Mon Mar  2 10:00:00 2026\n" + endless)
    kept = of_pipe(stream)
    assert len(kept) <= MOST_BYTES
    assert stream.read() == b"", "a pipe that is not read to its end kills who writes to it"
    assert one(kept).fate is Fate.PERMANENT
    twice = io.BytesIO((b"From a\n" + endless + b"\n\n") * 2)
    assert [len(each) <= MOST_BYTES + 16_384 for each in of_mbox(twice)] == [True, True]


# --- hostile ones -----------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    heads = "".join(
        f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(depth)
    )
    return heads.encode()


@pytest.mark.parametrize(
    "message",
    [
        nested(3_000),
        b'Content-Type: multipart/report; boundary="b"\r\n\r\n' + b"--b\r\n" * 50_000,
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 30_000,
        b"a: b\r\n" * 40_000,
        b"a:" + b" b\r\n" * 60_000,
        b"\r\n" * 120_000,
        b" \r\n" * 80_000,
        b"\n \t" * 80_000,
        b"Content-Type: multipart/x; boundary=" + b'"' * 100_000,
        b"Subject: Undelivered\r\n\r\n" + b"> " * 60_000 + b"Message-ID:",
        b"Subject: Undelivered\r\n\r\n" + b"Message-ID: <" * 15_000,
        b"Subject: Undelivered\r\n\r\n5.1.1" + b"<" * 200_000,
        b"From: mailer-daemon\r\n\r\n" + b"550 " * 50_000,
        b"X-Failed-Recipients: " + b"a@" * 60_000 + b"\r\nSubject: Undelivered\r\n\r\n5.1.1",
    ],
)
def test_hostile_messages_are_read_in_no_time(message: bytes) -> None:
    began = process_time()
    read(message)
    assert process_time() - began < 5


FRAGMENTS = [
    *(b"\r\n", b"\n", b"\r\n\r\n", b"--b", b"--b--", b"\x00", b"\xff\xfe", b": ", b";", b"=?x?q?="),
    *(b"Content-Type: multipart/report; boundary=b", b"Content-Type: message/delivery-status"),
    *(b"Content-Type: message/feedback-report", b"Content-Type: message/rfc822"),
    *(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable"),
    *(b"Final-Recipient: rfc822; a@b.example", b"Action: failed", b"Status: 5.1.1"),
    *(b"Message-ID: <case_a.email.1@b.example>", b"Subject: Undelivered", b"550 no such user"),
    *(b"Feedback-Type: abuse", b"From: mailer-daemon@x", b"=3D=", b"AAAA", b"=\r\n"),
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=20), max_size=60))
def test_any_bytes_are_read_without_a_fault(pieces: list[bytes]) -> None:
    message = b"".join(pieces)
    for found in read(message):
        assert found.why.isprintable()
        assert len(found.why) <= 300
        assert len(found.key) <= 100
        assert len(found.message_ids) <= 40
    list(of_mbox(io.BytesIO(message)))


@settings(max_examples=150)
@given(st.integers(0, len(postfix())), st.integers(0, 40), st.binary(max_size=8))
def test_a_bounce_with_anything_cut_out_or_written_over(at: int, cut: int, put: bytes) -> None:
    whole = postfix()
    read(whole[:at] + put + whole[at + cut :])


def leaves(message: Message) -> list[str]:
    if message.get_content_maintype() == "message":
        return [message.get_content_type()]
    if not message.is_multipart():
        return [message.get_content_type()]
    inner: Any = message.get_payload()
    return [kind for part in inner for kind in leaves(part)]


@pytest.mark.parametrize(
    "message", [postfix(), bounces.EXCHANGE, bounces.EXIM, complaint(), bounces.HOLIDAY]
)
def test_parts_are_those_that_the_standard_library_finds(message: bytes) -> None:
    assert [part.kind for part in parts_of(message)] == leaves(email.message_from_bytes(message))


@pytest.mark.parametrize(
    ("action", "status", "said", "fate"),
    [
        ("failed", "5.1.1", "", Fate.PERMANENT),
        ("Failed ", None, "550-5.1.1 gone", Fate.PERMANENT),
        ("failed", "5.5.0", "550 mailbox unavailable", Fate.TEMPORARY),
        ("failed", "5.1.0", "550 5.1.1 unknown", Fate.PERMANENT),
        ("failed", "5.2.2", "user unknown", Fate.TEMPORARY),
        ("failed", None, "", Fate.TEMPORARY),
        ("expanded", None, "", None),
        ("nonsense", "5.1.1", "", None),
    ],
)
def test_what_a_report_means(action: str, status: str | None, said: str, fate: Fate | None) -> None:
    assert weigh(action, status, said) is fate
