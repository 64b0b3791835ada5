"""Email against real SMTP servers that accept, refuse, stall and hang up at every moment."""

from __future__ import annotations

import contextlib
import socket
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from dunning.channels.email import EmailChannel
from dunning.channels.email.address import parsed
from dunning.channels.email.body import message_id, written
from dunning.core.ports import Bounced, Doubtful, SendOutcome, Sent, Unsent
from dunning.errors import ConfigError
from dunning.sandbox.mailbox import SmtpServer
from tests.channels.mail import (
    CERTIFICATE,
    LETTER,
    LOGIN,
    QUOTED,
    Postbox,
    authenticate,
    script,
    send,
    sent,
    server_context,
    serving,
)

# --- a letter as it arrives -------------------------------------------------------------------


def test_a_letter_arrives_whole_and_once() -> None:
    envelope, message = sent(LETTER)
    assert envelope.mail_from == "billing@acme.example"
    assert envelope.rcpt_tos == ["ada@customer.example"]
    assert message["From"] == "Acme Billing <billing@acme.example>"
    assert message["To"] == "Ada Lovelace <ada@customer.example>"
    assert message["Reply-To"] == "help@acme.example"
    assert message["Subject"] == LETTER.subject
    assert message["Message-ID"] == "<case_1/email%3A2@acme.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"] == "Sun, 01 Mar 2026 09:00:00 +0000"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    text, page = (part.get_content() for part in message.iter_parts())
    assert text.splitlines() == LETTER.text.splitlines()
    assert page.splitlines() == LETTER.html.splitlines()
    assert isinstance(envelope.content, bytes)
    assert all(len(line) <= 998 for line in envelope.content.split(b"\r\n"))


def test_the_answer_of_the_server_is_the_reference() -> None:
    with serving(Postbox()) as where:
        assert send(where) == Sent(reference="250 2.0.0 Ok: queued as 4F2A")


def test_no_date_is_made_up_and_the_same_letter_is_the_same_bytes() -> None:
    bare = replace(LETTER, headers={})
    _, message = sent(bare)
    assert message["Date"] is None
    recipient = parsed(bare.to)
    assert written(bare, recipient) == written(bare, recipient)


@pytest.mark.parametrize(
    ("letter_id", "as_written"),
    [
        ("case_1/email:2", "<case_1/email%3A2@acme.example>"),
        ("<abc@mail.acme.example>", "<abc@mail.acme.example>"),
        ("abc@mail.acme.example", "<abc@mail.acme.example>"),
        ("a b\r\nBcc: x", "<a%20b%0D%0ABcc%3A%20x@acme.example>"),
        ("x" * 200, f"<{'x' * 200}@acme.example>"),
    ],
)
def test_the_message_id_is_the_letters_own(letter_id: str, as_written: str) -> None:
    assert message_id(letter_id, "acme.example") == as_written
    _, message = sent(replace(LETTER, id=letter_id))
    assert message["Message-ID"] == as_written


# --- outcomes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("postbox", "outcome"),
    [
        (Postbox(rcpt="550 5.1.1 no such user"), Bounced),
        (Postbox(rcpt="552 5.2.2 mailbox full"), Bounced),
        (Postbox(data="554 5.7.1 looks like spam"), Bounced),
        (Postbox(rcpt="450 4.2.0 greylisted"), Unsent),
        (Postbox(rcpt="421 4.3.2 shutting down"), Unsent),
        (Postbox(data="451 4.3.0 try later"), Unsent),
        (Postbox(mail="553 5.7.1 not your address"), Unsent),
        (Postbox(mail="530 5.7.0 log in first"), Unsent),
        (Postbox(rcpt="530 5.7.0 log in first"), Unsent),
        (Postbox(hang_up_at="MAIL"), Unsent),
        (Postbox(hang_up_at="RCPT"), Unsent),
        (Postbox(hang_up_at="DATA"), Doubtful),
    ],
)
def test_what_the_server_says_decides(postbox: Postbox, outcome: type[SendOutcome]) -> None:
    with serving(postbox) as where:
        result = send(where)
    assert type(result) is outcome
    said = postbox.mail + postbox.rcpt + postbox.data
    why = getattr(result, "why", "")
    assert why
    assert not why.endswith(":")
    if not postbox.hang_up_at:
        assert why.partition(": ")[2] in said


def test_no_answer_after_the_letter_was_handed_over_leaves_a_doubt() -> None:
    postbox = Postbox(stall=2)
    with serving(postbox) as where:
        result = send(where, timeout=0.3)
    assert isinstance(result, Doubtful)
    assert "no answer in time" in result.why
    assert len(postbox.envelopes) == 1


HELLO = (b"220 hi\r\n", b"250 hi\r\n")


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ((None,), Unsent),
        ((b"220 hi\r\n", None), Unsent),
        ((b"421 busy\r\n", None), Unsent),
        ((b"554 go away\r\n", None), Unsent),
        ((b"garbage\r\n", None), Unsent),
        ((*HELLO, None), Unsent),
        ((*HELLO, b"250 ok\r\n", None), Unsent),
        ((*HELLO, b"250 ok\r\n", b"251 will forward\r\n", None), Unsent),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"451 no\r\n"), Unsent),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"554 no\r\n"), Bounced),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"250 what\r\n"), Unsent),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"nonsense\r\n"), Doubtful),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"354 go\r\n"), Doubtful),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250-half\r\n", None), Doubtful),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 done\r\n", None), Sent),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 d\xff\x00\r\n", None), Sent),
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 " + b"x" * 9000), Doubtful),
    ],
)
def test_a_line_that_breaks_at_every_moment(
    lines: tuple[bytes | None, ...], outcome: type[SendOutcome]
) -> None:
    with script(*lines) as where:
        assert type(send(where, timeout=1)) is outcome


def test_who_hangs_up_before_the_dot_has_nothing() -> None:
    """Whether we see it in time is a race; that it is never called sent is not."""
    with script(*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", None) as where:
        assert isinstance(send(where, timeout=1), Unsent | Doubtful)
        # More than the system takes in: what cannot be sent cannot be taken.
        long = send(where, replace(LETTER, text="long\n" * 4_000_000), timeout=5)
    assert isinstance(long, Unsent)


def test_a_refused_connection_is_tried_again_for_seconds_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    slept: list[float] = []
    with closing(EmailChannel(f"smtp://127.0.0.1:{port}", sleep=slept.append)) as channel:
        result = channel.send(LETTER)
    assert isinstance(result, Unsent)
    assert "cannot be reached" in result.why
    assert len(slept) == 2
    assert sum(slept) < 10


def test_a_server_that_comes_back_within_seconds_gets_the_letter() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with contextlib.ExitStack() as stack:
        postbox = Postbox()

        def start_server(seconds: float) -> None:
            server = SmtpServer(postbox, hostname="127.0.0.1", port=port)
            server.start()
            stack.callback(server.stop)

        channel = EmailChannel(f"smtp://127.0.0.1:{port}", sleep=start_server)
        stack.callback(channel.close)
        result = channel.send(LETTER)
        assert isinstance(result, Sent)
    assert len(postbox.envelopes) == 1


def test_a_server_that_never_greets_is_waited_for_once() -> None:
    slept: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = time.monotonic()
        channel = EmailChannel(f"smtp://127.0.0.1:{port}", timeout=0.3, sleep=slept.append)
        result = channel.send(LETTER)
    assert isinstance(result, Unsent)
    assert "did not answer in time" in result.why
    assert slept == []
    assert time.monotonic() - began < 3


def test_a_name_that_does_not_exist() -> None:
    result = send("smtp://mail.nowhere.invalid")
    assert isinstance(result, Unsent)
    assert "smtp://mail.nowhere.invalid:25 cannot be reached" in result.why


# --- login, TLS, doctor -----------------------------------------------------------------------


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


def test_login_with_a_password_that_needs_quoting() -> None:
    postbox = Postbox()
    with serving(postbox, **LOGIN) as where:
        assert isinstance(send(f"smtp://user:{QUOTED}@{where}"), Sent)
        assert EmailChannel(f"smtp://user:{QUOTED}@{where}").check() is None
    assert postbox.sessions[0].authenticated


@pytest.mark.parametrize("login", ["user:wr0ng-secret", "nobody:wr0ng-secret"])
def test_a_refused_login_is_said_without_the_password(login: str) -> None:
    with serving(Postbox(), **LOGIN) as where:
        result = send(f"smtp://{login}@{where}")
        problem = EmailChannel(f"smtp://{login}@{where}").check()
    assert isinstance(result, Unsent)
    assert result.why == problem == f"smtp://{where} refused the login (535)"


def test_a_login_where_none_is_offered() -> None:
    with serving(Postbox()) as where:
        problem = EmailChannel(f"smtp://user:s3cret@{where}").check()
    assert problem is not None
    assert "AUTH" in problem
    assert "s3cret" not in problem


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("smtp+starttls", {"tls_context": server_context(), "require_starttls": True}),
        ("smtps", {"ssl_context": server_context(), "auth_require_tls": False}),
    ],
)
def test_tls(scheme: str, options: dict[str, Any]) -> None:
    postbox = Postbox()
    with serving(postbox, authenticator=authenticate, **options) as where:
        url = f"{scheme}://user:{QUOTED}@{where}"
        assert EmailChannel(url).check() is None
        assert isinstance(send(url), Sent)
    assert postbox.sessions[0].authenticated


def test_a_certificate_nobody_vouches_for_is_refused() -> None:
    with serving(Postbox(), tls_context=server_context()) as where:
        problem = EmailChannel(f"smtp+starttls://{where}").check()
    assert problem is not None
    assert f"the certificate of smtp+starttls://{where} is not trusted" in problem


def test_starttls_is_demanded_and_not_merely_wished() -> None:
    with serving(Postbox()) as where:
        result = send(f"smtp+starttls://user:s3cret@{where}")
    assert isinstance(result, Unsent)
    assert "STARTTLS" in result.why
    assert "s3cret" not in result.why


def test_doctor_hears_what_is_wrong() -> None:
    with serving(Postbox()) as where:
        assert EmailChannel(f"smtp://{where}").check() is None
    with script(*HELLO, b"421 closing\r\n") as where:
        assert EmailChannel(f"smtp://{where}").check() == f"smtp://{where} answered 421 closing"
    with script(*HELLO, None) as where:
        problem = EmailChannel(f"smtp://{where}").check()
        assert problem is not None
        assert "went away" in problem
    with script(b"554 go away\r\n") as where:
        assert EmailChannel(f"smtp://{where}").check() == f"smtp://{where} refused us: 554 go away"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example",
        "http://s3cret@mail.example",
        "smtp://",
        "smtp://user:s3cret@",
        "smtp://user:s3cret@mail.example:port",
        "smtp://user:s3cret@mail.example:99999",
        "smtp://user:s3cret#x@mail.example",
        "smtp://user:s3cret?x@mail.example",
        "smtp://user:s3cret/x@mail.example",
        "smtp://user:s3cret@mail.example/path",
        "smtp://user:s3cret%C3%A9@mail.example",
        "smtp://user:s3cret@[broken",
    ],
)
def test_a_wrong_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EmailChannel(url)
    assert "s3cret" not in str(caught.value)
    assert "SMTP URL" in str(caught.value)


def test_nothing_that_is_printed_holds_the_password() -> None:
    channel = EmailChannel("smtp://user:s3cret@mail.example:2525")
    assert "s3cret" not in repr(channel) + str(channel) + repr(vars(channel))
    assert channel.name == "email"
    for url, port in (("smtp://h", 25), ("smtps://h", 465), ("smtp+starttls://h", 587)):
        assert EmailChannel(url)._server.port == port
