"""The secrets of the tests: each carries a mark, and no word of the program may.

Whatever comes out of the program during any test is looked through: what it prints and logs, in
this process and in others, the mail and the calls it sends, its answers over HTTP, and at the end
its database. A mark that is found fails the test, and the finding says where it was.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal
from sqlalchemy.engine import make_url

MARK = "MarkedSecret"
# Twelve characters are sixteen in base 64, wherever in a secret of ours they begin.
_BASE64 = base64.b64encode(MARK.encode()).decode()
MARKS = (MARK, _BASE64)

API_KEY = f"sk_test_{MARK}ApiKey00000000000"
SIGNING = f"whsec_{MARK}HookOfTheTests"
LINKS = f"{MARK}-signs-the-links-of-the-messages"
PRODUCT = f"whsec_{_BASE64}cHJvZHVjdHNlY3JldDEyMzQ="


def findings(where: str, said: str | bytes) -> Iterator[str]:
    """Where a secret was told, with what stands around it; the secret itself is not repeated."""
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    for mark in MARKS:
        if (at := text.find(mark)) >= 0:
            after = text[at + len(mark) : at + len(mark) + 20]
            yield f"{where}: …{text[max(at - 200, 0) : at]}<a secret>{after}…"


class Watch:
    """Collects what was found since it was last asked."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def look(self, where: str, said: str | bytes) -> None:
        """Look through something the program said."""
        self._found += findings(where, said)

    def mail(self, message: EmailMessage) -> None:
        """Look through a message as whoever opens it would."""
        self.look("an email's headers", "\n".join(f"{k}: {v}" for k, v in message.items()))
        for part in message.walk():
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                self.look(f"an email's {part.get_content_type()}", content)

    def database(self, url: str) -> None:
        """Look through everything that is stored."""
        address = make_url(url)
        if address.get_backend_name() == "sqlite":
            for path in _files(Path(address.database or "")):
                self.look(f"the database file {path.name}", path.read_bytes())
        else:
            conninfo = address.set(drivername="postgresql").render_as_string(hide_password=False)
            self._found += _in_postgres(conninfo)

    def folder(self, folder: Path) -> None:
        """Look through the databases and logs that a test's processes left in a folder."""
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".db", ".db-wal", ".log"} and path.is_file():
                self.look(f"the file {path.name}", path.read_bytes())

    def found(self) -> list[str]:
        """What was found; asked once more, nothing of it is left."""
        found, self._found = self._found, []
        return found


WATCH = Watch()


def _files(path: Path) -> list[Path]:
    both = (path, path.with_name(f"{path.name}-wal"))
    return [one for one in both if one.is_file()]


def _in_postgres(conninfo: str) -> Iterator[str]:
    """Each row of each table as text, in one question; bytes are in base 16 there."""
    with psycopg.connect(conninfo) as connection:
        names = connection.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1"
        ).fetchall()
        if not names:
            return
        marks = "|".join([*MARKS, *(mark.encode().hex() for mark in MARKS)])
        part = SQL("(SELECT {}, t::text FROM {} t WHERE t::text ~ {} LIMIT 1)")
        parts: list[Composable] = [
            part.format(Literal(name), Identifier(name), Literal(marks)) for (name,) in names
        ]
        for name, row in connection.execute(SQL(" UNION ALL ").join(parts)).fetchall():
            yield f"the table {name}: a row of {len(row)} characters holds a secret"
