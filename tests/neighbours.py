"""Who stands beside the program in a story: a mail server, and the merchant's application."""

from __future__ import annotations

import asyncio
import email
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import default as email_policy
from typing import Any

from aiosmtpd.smtp import SMTP

from dunning.sandbox.mailbox import SmtpServer
from tests.secrets import WATCH


class _Server(SmtpServer):
    """Can hang up before it says a word."""

    def factory(self) -> SMTP:
        talk = super().factory()
        loop = asyncio.get_running_loop()
        # The connection is made right after this; what is said there is said after that.
        loop.call_soon(loop.call_soon, self.handler._goes, "greeting", talk)
        return talk


class Mailbox:
    """A real SMTP server that keeps what it is sent, and misbehaves as it is told.

    `refuse` is the answer it gives instead of taking a message, `refuse_to` those instead of
    taking a recipient, `lose_answers` how many messages it takes and then hangs up, `slow` how
    many seconds it thinks about its answer once it has taken one; `close` and `open` are an
    outage. `away_at` is the moment at which it hangs up each time: before its greeting, at MAIL,
    at RCPT.
    """

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.refuse: str | None = None
        self.refuse_to: dict[str, str] = {}
        self.copies: list[list[str]] = []  # who else got each message
        self.lose_answers = 0
        self.slow = 0.0
        self.away_at = ""
        self.hung_up = 0
        self._server: SmtpServer | None = None
        self._port = 0

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: object, envelope: Any, address: str, _options: object
    ) -> str:
        envelope.mail_from = address
        return self._goes("MAIL", server)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: object, envelope: Any, address: str, _options: object
    ) -> str:
        if address in self.refuse_to:
            return self.refuse_to[address]
        envelope.rcpt_tos.append(address)
        return self._goes("RCPT", server)

    def _goes(self, moment: str, server: SMTP) -> str:
        if self.away_at == moment and isinstance(server.transport, asyncio.WriteTransport):
            self.hung_up += 1
            server.transport.abort()
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the name aiosmtpd calls
        self, server: SMTP, _session: object, envelope: Any
    ) -> str:
        if self.refuse:
            return self.refuse
        message = email.message_from_bytes(envelope.content, policy=email_policy)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.copies.append(envelope.rcpt_tos[1:])
        if self.slow:
            await asyncio.sleep(self.slow)
        WATCH.mail(message)
        if self.lose_answers and isinstance(server.transport, asyncio.WriteTransport):
            self.lose_answers -= 1
            server.transport.abort()
        return "250 OK"

    def open(self) -> None:
        """Take connections, always on the same port."""
        self._server = _Server(self, hostname="127.0.0.1", port=self._port)
        self._server.start()
        self._port = self._server.actual_port()

    def close(self) -> None:
        """Hang up, and refuse connections."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @contextmanager
    def serve(self) -> Iterator[str]:
        self.open()
        try:
            yield f"smtp://127.0.0.1:{self._port}"
        finally:
            self.close()


class Product:
    """The merchant's application: keeps the calls it takes; `answer` is the status it gives.

    `slow` is how many seconds it takes to answer, `lose_answers` how many calls it takes and then
    hangs up.
    """

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.refused = 0
        self.answer = 200
        self.slow = 0.0
        self.lose_answers = 0
        self._over = threading.Event()

    @property
    def types(self) -> list[str]:
        """The types of the calls, in the order in which they came."""
        return [call["type"] for call in self.calls]

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Take a call in; the status to answer with."""
        WATCH.look("a product call", body)
        if self.answer >= 300:
            self.refused += 1
            return self.answer
        self.bodies.append(body)
        self.headers.append(headers)
        self.calls.append(json.loads(body))
        return self.answer

    @contextmanager
    def serve(self) -> Iterator[str]:
        product = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = product.take(headers, body)
                product._over.wait(product.slow)
                if product.lose_answers and status < 300:
                    product.lose_answers -= 1
                    self.close_connection = True
                    return
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/hooks"
        finally:
            self._over.set()
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)
