"""A local SMTP server that keeps what it receives, and shows it on a page. Nothing is sent on."""

from __future__ import annotations

import asyncio
import email
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from html import escape, unescape
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from dunning.sandbox.errors import Obj
from dunning.sandbox.sandbox import Sandbox

_HREF = re.compile(r"""href\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
_BARE = re.compile(r"https?://[^\s<>\"')\]]+")
_MOST_KEPT = 20_000


@dataclass(frozen=True)
class Mail:
    """One received message."""

    number: int
    at: int
    sender: str
    to: tuple[str, ...]
    subject: str
    text: str
    html: str
    links: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]

    def summary(self) -> Obj:
        """As JSON."""
        return {
            "id": self.number,
            "at": self.at,
            "from": self.sender,
            "to": list(self.to),
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "links": list(self.links),
            "headers": [list(pair) for pair in self.headers],
        }


class Mailbox:
    """Receives over SMTP. `attach` it to a sandbox to see it there and to keep its time."""

    def __init__(self, now: Callable[[], int] = lambda: 0) -> None:
        self.mails: list[Mail] = []
        self.refuse: list[tuple[int, str]] = []  # answers for the next recipients, for tests
        self._now = now
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Mail], None]] = []

    def attach(self, sandbox: Sandbox) -> None:
        """Show the mail at `/_sandbox/mail`, take the sandbox's time, wake its followers.

        Before the sandbox is served: it learns its pages when it starts.
        """
        self._now = lambda: sandbox.now
        sandbox.extra_routes += self._routes()

        def wake(_: Mail) -> None:
            with sandbox.world.lock:
                sandbox.world.bump()

        self._callbacks.append(wake)

    def on_mail(self, callback: Callable[[Mail], None]) -> None:
        """Call with every new mail, on the server's thread."""
        self._callbacks.append(callback)

    def feed(self, on_email: Callable[[str, str, str, list[str], int], None]) -> None:
        """Hand every mail to a population's `on_email`."""

        def hand_over(mail: Mail) -> None:
            for recipient in mail.to:
                on_email(recipient, mail.subject, mail.text, list(mail.links), mail.at)

        self._callbacks.append(hand_over)

    @contextmanager
    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
        """Listen; the address as an smtp:// URL."""
        controller = SmtpServer(_Handler(self), hostname=host, port=port)
        controller.start()
        try:
            yield f"smtp://{host}:{controller.actual_port()}"
        finally:
            controller.stop()

    def keep(self, sender: str, recipients: list[str], raw: bytes) -> Mail:
        """Take one message in."""
        message = email.message_from_bytes(raw, policy=default)
        text, html = _part(message, "plain"), _part(message, "html")
        with self._lock:
            mail = Mail(
                number=len(self.mails) + 1,
                at=self._now(),
                sender=sender,
                to=tuple(recipients),
                subject=str(message["Subject"] or ""),
                text=text,
                html=html,
                links=_links(text, html),
                headers=tuple((name, str(value)) for name, value in message.items()),
            )
            if len(self.mails) < _MOST_KEPT:
                self.mails.append(mail)
        for callback in self._callbacks:
            callback(mail)
        return mail

    # --- the page --------------------------------------------------------------------------
    def _routes(self) -> list[Route]:
        async def listing(request: Request) -> Response:
            if request.query_params.get("format") == "json":
                return JSONResponse({"data": [mail.summary() for mail in self.mails]})
            return HTMLResponse(_list_page(self.mails))

        async def single(request: Request) -> Response:
            number = request.path_params["number"]
            if not 1 <= number <= len(self.mails):
                return HTMLResponse(_frame("No such message", ""), 404)
            mail = self.mails[number - 1]
            if request.query_params.get("format") == "json":
                return JSONResponse(mail.summary())
            return HTMLResponse(_mail_page(mail))

        return [
            Route("/_sandbox/mail", listing),
            Route("/_sandbox/mail/{number:int}", single),
        ]


class SmtpServer(Controller):
    """aiosmtpd's controller, which tells the port the system chose and lets go of everything."""

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._talks: list[SMTP] = []

    def factory(self) -> SMTP:
        """One connection begins."""
        talk: SMTP = super().factory()  # type: ignore[no-untyped-call]
        self._talks.append(talk)
        return talk

    def actual_port(self) -> int:
        """Where it listens."""
        server = self.server
        if not isinstance(server, asyncio.Server):
            raise TypeError("the mail server is not running")
        return int(server.sockets[0].getsockname()[1])

    def stop(self, no_assert: bool = False) -> None:
        """Hang up on everybody, then end; the base class would leave open what is under way."""
        asyncio.run_coroutine_threadsafe(self._hang_up(), self.loop).result(10)
        super().stop(no_assert)

    async def _hang_up(self) -> None:
        if self.server is not None:
            self.server.close()
        for talk in self._talks:
            if isinstance(talk.transport, asyncio.WriteTransport):
                talk.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _trigger_server(self) -> None:
        """The base class connects to the port it was given, which is 0 when the system chose."""
        self.port = self.actual_port()
        super()._trigger_server()  # type: ignore[no-untyped-call]


class _Handler:
    """What aiosmtpd calls."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        """Accept the recipient, unless a test has ordered otherwise."""
        if self._mailbox.refuse:
            code, text = self._mailbox.refuse.pop(0)
            return f"{code} {text}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep the message."""
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        self._mailbox.keep(envelope.mail_from or "", list(envelope.rcpt_tos), raw)
        return "250 Message kept"


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else ""


def _links(text: str, html: str) -> tuple[str, ...]:
    found = [unescape(link) for link in _HREF.findall(html)] + _BARE.findall(text)
    return tuple(dict.fromkeys(found))


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .6rem;
border-bottom:1px solid #e3e8ee}iframe{width:100%;height:40rem;border:1px solid #c1c9d2;
border-radius:8px}pre{white-space:pre-wrap;background:#f6f8fa;padding:1rem;border-radius:8px}
.simulated{background:#fff3cd;color:#7a5b00;border-radius:4px;padding:0 .5rem;font-size:.75rem}"""


def _frame(title: str, content: str) -> str:
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}"
        f"</title><style>{_STYLE}</style></head><body><span class='simulated'>SIMULATED</span>"
        f"<h1>{escape(title)}</h1>{content}</body></html>"
    )


def _list_page(mails: list[Mail]) -> str:
    rows = "".join(
        f"<tr><td>{mail.number}</td><td>{escape(', '.join(mail.to))}</td>"
        f"<td><a href='/_sandbox/mail/{mail.number}'>{escape(mail.subject or '(none)')}</a></td>"
        "</tr>"
        for mail in reversed(mails)
    )
    return _frame("Mail", f"<table><tr><th>#<th>To<th>Subject</tr>{rows}</table>")


def _mail_page(mail: Mail) -> str:
    # The message is shown in a frame of its own, without scripts or forms: it is not ours.
    shown = f"<iframe sandbox srcdoc='{escape(mail.html, quote=True)}'></iframe>"
    return _frame(
        mail.subject or "(no subject)",
        f"<p>To {escape(', '.join(mail.to))} from {escape(mail.sender)}</p>"
        f"{shown if mail.html else ''}<pre>{escape(mail.text)}</pre>"
        "<p><a href='/_sandbox/mail'>All mail</a></p>",
    )
