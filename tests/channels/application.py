"""The merchant's application as a real HTTP server, and the channel that calls it."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dunning.channels.webhook import (
    Delivery,
    WebhookChannel,
)
from tests.secrets import MARK

CERTIFICATE = Path(__file__).parent / "localhost.pem"
NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
SECRET = "whsec_" + base64.b64encode(f"{MARK}-is-in-the-signing-key".encode()).decode()
OLD_SECRET = "whsec_" + base64.b64encode(f"{MARK}-is-in-the-one-before".encode()).decode()
BODY = '{"type": "access.suspended", "customer": "Zoë"}'.encode()


@dataclass
class Application:
    """The merchant's side: what it answers and what it was told."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                application.calls.append((self.path, headers, body))
                self.send_response(application.status)
                for name, value in application.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(application.body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@contextlib.contextmanager
def serving(application: Application, context: ssl.SSLContext | None = None) -> Iterator[str]:
    server: HTTPServer = ThreadingHTTPServer(("127.0.0.1", 0), application.handler())
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextlib.contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does with each connection whatever it is told to."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    answer(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def channel(url: str, *secrets: str, **options: Any) -> WebhookChannel:
    options.setdefault("allow_http", True)
    return WebhookChannel(url, secrets or (SECRET,), **options)


def answered(**answer: Any) -> Delivery:
    with serving(Application(**answer)) as where:
        return channel(f"http://{where}/").deliver("msg_1", BODY, NOW)


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context
