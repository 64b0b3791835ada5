"""Email against real SMTP servers that accept, refuse, stall and hang up at every moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import given
from hypothesis import strategies as st

from dunning.channels.email import EmailChannel, _message_id, _one_line, _written
from dunning.channels.email import _address as parse_address
from dunning.core.ports import Bounced, Doubtful, Letter, Sent, SendOutcome, Unsent
from dunning.errors import ConfigError

CERTIFICATE = Path(__file__).parent / "localhost.pem"
PASSWORD = "pa55/w:rd@x"
QUOTED = "pa55%2Fw%3Ard%40x"
LETTER = Letter(
    to="ada@customer.example",
    to_name="Ada Lovelace",
    sender="Acme Billing <billing@acme.example>",
    subject="Your payment of $49.00 did not go through",
    text="Hello Ada,\n\n.\n..dots at the start\nhttps://pay.example/i?t=3Dab=C3=A9\n",
    html='<p>Hello <a href="https://pay.example/i?t=3Dab=C3=A9">Ada</a> – é</p>\n',
    id="case_1/email:2",
    reply_to="help@acme.example",
    headers={"Date": "Sun, 01 Mar 2026 09:00:00 +0000"},
)


@dataclass
class Postbox:
    """What the server says at each step, and what it was given."""

    mail: str = "250 ok"
    rcpt: str = "250 ok"
    data: str = "250 2.0.0 Ok: queued as 4F2A"
    hang_up_at: str = ""
    stall: float = 0
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    async def _step(self, name: str, server: SMTP) -> None:
        if self.hang_up_at == name:
            assert server.transport is not None
            server.transport.abort()
        if self.stall and name == "DATA":
            await asyncio.sleep(self.stall)

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        await self._step("MAIL", server)
        if self.mail.startswith("250"):
            envelope.mail_from = address
            envelope.mail_options = options
        return self.mail

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        await self._step("RCPT", server)
        if self.rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.rcpt

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        self.sessions.append(session)
        await self._step("DATA", server)
        return self.data

    def message(self) -> EmailMessage:
        (envelope,) = self.envelopes
        assert isinstance(envelope.content, bytes)
        message = BytesParser(policy=policy.default).parsebytes(envelope.content)
        assert isinstance(message, EmailMessage)
        return message


class _Server(Controller):
    """aiosmtpd on a free port, which it learns before it connects to itself."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(postbox: Postbox, **options: Any) -> Iterator[str]:
    server = _Server(postbox, hostname="127.0.0.1", port=0, **options)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def send(where: str, letter: Letter = LETTER, **options: Any) -> SendOutcome:
    options.setdefault("timeout", 5)
    url = where if "://" in where else f"smtp://{where}"
    return EmailChannel(url, sleep=lambda seconds: None, **options).send(letter)


def sent(letter: Letter, **options: Any) -> tuple[Envelope, EmailMessage]:
    postbox = Postbox()
    with serving(postbox, **options) as where:
        assert isinstance(send(where, letter), Sent)
    return postbox.envelopes[0], postbox.message()


@contextlib.contextmanager
def script(*lines: bytes | None) -> Iterator[str]:
    """A server that says the lines one by one, an answer per line heard; None hangs up.

    It serves any number of connections and is blind to what it is told, save for the dot.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as heard:
            for number, line in enumerate(lines):
                if line is None:
                    return
                if number:
                    previous = lines[number - 1] or b""
                    until = b".\r\n" if previous.startswith(b"354") else b""
                    while (word := heard.readline()) and until and word != until:
                        pass
                connection.sendall(line)
            ended.wait(10)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=talk, args=(connection,), daemon=True))
                threads[-1].start()

    threads = [threading.Thread(target=accept, daemon=True)]
    threads[0].start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(5)


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
    recipient = parse_address(bare.to)
    one, two = _written(bare, recipient).body, _written(bare, recipient).body
    assert one.splitlines()[:7] == two.splitlines()[:7]


@pytest.mark.parametrize(
    ("letter_id", "written"),
    [
        ("case_1/email:2", "<case_1/email%3A2@acme.example>"),
        ("<abc@mail.acme.example>", "<abc@mail.acme.example>"),
        ("abc@mail.acme.example", "<abc@mail.acme.example>"),
        ("a b\r\nBcc: x", "<a%20b%0D%0ABcc%3A%20x@acme.example>"),
        ("x" * 200, f"<{'x' * 200}@acme.example>"),
    ],
)
def test_the_message_id_is_the_letters_own(letter_id: str, written: str) -> None:
    assert _message_id(letter_id, "acme.example") == written
    _, message = sent(replace(LETTER, id=letter_id))
    assert message["Message-ID"] == written


# --- headers cannot be injected ---------------------------------------------------------------

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
    envelope, message = sent(replace(LETTER, to_name=name, subject=name))
    assert envelope.rcpt_tos == ["ada@customer.example"]
    (to,) = message["To"].addresses
    assert to.addr_spec == "ada@customer.example"
    assert len(to.display_name) <= 60
    _, plain = sent(LETTER)
    assert sorted(map(str.lower, message.keys())) == sorted(map(str.lower, plain.keys()))
    for value in (message["Subject"], to.display_name):
        assert not set(value) & set("\r\n\x00\x0b\x85\u2028\u202e\u2066")
    if not name.startswith("=?"):
        assert to.display_name == _one_line(name, 60)
        assert message["Subject"] == _one_line(name, 150)


@given(name=st.text(max_size=120), subject=st.text(max_size=200))
def test_any_name_and_subject_read_back_as_one_address(name: str, subject: str) -> None:
    letter = replace(LETTER, to_name=name, subject=subject)
    body = _written(letter, parse_address(letter.to)).body
    message = BytesParser(policy=policy.default).parsebytes(body)
    assert [to.addr_spec for to in message["To"].addresses] == ["ada@customer.example"]
    assert message["Bcc"] is None
    assert len(message.keys()) == 9
    assert len(list(message.iter_parts())) == 2


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
    ("address", "written"),
    [
        (" ada@customer.example ", "ada@customer.example"),
        ("ada+x!#$%&'*-/=?^_`{|}~@customer.example", "ada+x!#$%&'*-/=?^_`{|}~@customer.example"),
        ("o'hara@customer.example.", "o'hara@customer.example"),
        ("ada..b@customer.example", '"ada..b"@customer.example'),  # old Japanese ones exist
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@例え.example", "ada@xn--r8jz45g.example"),
        ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("zoë@customer.example", "zoë@customer.example"),
        ("zoe\u0308@customer.example", "zoë@customer.example"),
    ],
)
def test_unusual_addresses_that_exist(address: str, written: str) -> None:
    envelope, message = sent(replace(LETTER, to=address), enable_SMTPUTF8=True)
    assert envelope.rcpt_tos == [written]
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


def test_the_value_of_a_further_header_is_one_line() -> None:
    evil = {"X-Case": "a\r\nBcc: victim@evil.example"}
    _, message = sent(replace(LETTER, headers=evil))
    assert message["X-Case"] == "a Bcc: victim@evil.example"
    assert message["Bcc"] is None


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
        ((*HELLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", None), Doubtful),
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


def test_a_refused_connection_is_tried_again_for_seconds_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    slept: list[float] = []
    result = EmailChannel(f"smtp://127.0.0.1:{port}", sleep=slept.append).send(LETTER)
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
            server = _Server(postbox, hostname="127.0.0.1", port=port)
            server.start()
            stack.callback(server.stop)

        result = EmailChannel(f"smtp://127.0.0.1:{port}", sleep=start_server).send(LETTER)
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


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    good = (data.login, data.password) == (b"user", PASSWORD.encode())
    return AuthResult(success=good, handled=False)


LOGIN = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


def test_login_with_a_password_that_needs_quoting() -> None:
    with serving(Postbox(), **LOGIN) as where:
        assert isinstance(send(f"smtp://user:{QUOTED}@{where}"), Sent)
        assert EmailChannel(f"smtp://user:{QUOTED}@{where}").check() is None


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
@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_tls(scheme: str) -> None:
    postbox = Postbox()
    options: dict[str, Any] = {"authenticator": authenticate, "auth_required": True}
    with contextlib.ExitStack() as stack:
        if scheme == "smtps":
            options |= {"ssl_context": server_context(), "auth_require_tls": False}
            where = stack.enter_context(_serving_tls(postbox, **options))
        else:
            options |= {"tls_context": server_context(), "require_starttls": True}
            where = stack.enter_context(serving(postbox, **options))
        url = f"{scheme}://user:{QUOTED}@{where}"
        assert EmailChannel(url).check() is None
        assert isinstance(send(url), Sent)
    assert postbox.sessions[0].ssl is not None or scheme == "smtps"


@contextlib.contextmanager
def _serving_tls(postbox: Postbox, **options: Any) -> Iterator[str]:
    with serving(postbox, **options) as where:
        yield where


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
