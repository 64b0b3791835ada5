"""Real SMTP servers for tests: one that keeps what it gets, one that says what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from dunning.channels.email import EmailChannel
from dunning.core.ports import Letter, SendOutcome, Sent
from dunning.sandbox.mailbox import SmtpServer
from tests.secrets import MARK, WATCH

CERTIFICATE = Path(__file__).parent / "localhost.pem"
PASSWORD = f"{MARK}/w:rd@x"
QUOTED = quote(PASSWORD, safe="")
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
            assert isinstance(server.transport, asyncio.WriteTransport)
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
        WATCH.look("an email", envelope.content or "")
        await self._step("DATA", server)
        return self.data

    def message(self) -> EmailMessage:
        (envelope,) = self.envelopes
        assert isinstance(envelope.content, bytes)
        message = BytesParser(policy=policy.default).parsebytes(envelope.content)
        assert isinstance(message, EmailMessage)
        return message


@contextlib.contextmanager
def serving(postbox: Postbox, **options: Any) -> Iterator[str]:
    server = SmtpServer(postbox, hostname="127.0.0.1", port=0, **options)
    server.start()
    try:
        yield f"127.0.0.1:{server.actual_port()}"
    finally:
        server.stop()


def send(where: str, letter: Letter = LETTER, **options: Any) -> SendOutcome:
    options.setdefault("timeout", 5)
    url = where if "://" in where else f"smtp://{where}"
    with closing(EmailChannel(url, sleep=lambda seconds: None, **options)) as channel:
        return channel.send(letter)


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


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    good = (data.login, data.password) == (b"user", PASSWORD.encode())
    return AuthResult(success=good, handled=False)


LOGIN = {"authenticator": authenticate, "auth_require_tls": False}


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context
