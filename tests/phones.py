"""A provider of texts as a real HTTP server: Twilio's Messages API, as far as it is used."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.secrets import MARK, WATCH

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
TOKEN = f"{MARK}TokenForTexts"
SENDER = "+15005550006"


class Phones:
    """Keeps the texts it takes, and misbehaves as it is told.

    `refuse` is the status and code it answers with; `lose_answers` how many texts it takes and
    then hangs up; `lose_texts` how many it loses before that. `now` is its clock.
    """

    def __init__(self) -> None:
        self.texts: list[dict[str, Any]] = []
        self.forms: list[dict[str, str]] = []  # whatever was asked for
        self.looked_for: list[dict[str, str]] = []
        self.refuse: tuple[int, int] | None = None
        self.lose_answers = 0
        self.lose_texts = 0
        self.became = "queued"
        self.now: Callable[[], datetime] = lambda: datetime(2026, 3, 2, tzinfo=UTC)

    def take(self, form: dict[str, str]) -> tuple[int, dict[str, Any]] | None:
        """A text is asked for: the answer, or none."""
        WATCH.look("a text", json.dumps(form))
        self.forms.append(form)
        if self.refuse is not None:
            status, code = self.refuse
            return status, {"code": code, "message": f"no: {form['To']} is wrong", "status": status}
        if self.lose_texts:
            self.lose_texts -= 1
            return None
        made = {
            "sid": f"SM{len(self.texts) + 1:032}",
            "to": form["To"],
            "body": form["Body"],
            "status": self.became,
            "date_created": format_datetime(self.now()),
            "date_sent": None,
        }
        self.texts.append(made)
        if self.lose_answers:
            self.lose_answers -= 1
            return None
        return 201, made

    def get(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path == f"/2010-04-01/Accounts/{ACCOUNT}.json":
            return 200, {"sid": ACCOUNT, "status": "active"}
        self.looked_for.append(query)
        found = [one for one in reversed(self.texts) if one["to"] == query["To"]]
        return 200, {"messages": found}

    @contextmanager
    def serve(self) -> Iterator[str]:
        phones = self
        login = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                at_home = self.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
                self.answer(
                    phones.take(dict(parse_qsl(body))) if at_home else (404, {"code": 20404})
                )

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                self.answer(phones.get(parts.path, dict(parse_qsl(parts.query))))

            def answer(self, told: tuple[int, dict[str, Any]] | None) -> None:
                if self.headers["Authorization"] != login:
                    told = (401, {"code": 20003, "message": "Authenticate"})
                if told is None:
                    self.close_connection = True
                    return
                content = json.dumps(told[1]).encode()
                self.send_response(told[0])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"twilio+http://{ACCOUNT}:{TOKEN}@127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=60)
