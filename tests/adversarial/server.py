"""A real `dunning up`, as a process of its own: its words, memory and database are looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psutil
from sqlalchemy import Engine, inspect, text
from sqlmodel import Session, col, select

from dunning.clock import SystemClock
from dunning.store import InboxRow, engine_for, reading
from tests.secrets import LINKS, MARK, SIGNING, WATCH
from tests.stages.kit import eventually
from tests.web.client import Answer, Client, signed

ROOT = Path(__file__).parents[2]
HOOK = SIGNING
OLD_HOOK = f"whsec_{MARK}TheOneBefore"
# The words of a fault of ours; no sender may hear them and no log of a corpus may hold them.
LEAKS = ("Traceback", 'File "', "sqlalchemy", "psycopg", "SELECT ", "INSERT ")


class Server(Client):
    """A client of the process, with a look at its memory, its words and its database."""

    def __init__(self, port: int, process: subprocess.Popen[str], said: Path, url: str) -> None:
        super().__init__(port)
        self.process = process
        self._said = said
        self.clock: Callable[[], datetime] = lambda: SystemClock().now()
        self.engine: Engine = engine_for(url)

    def hook(self, body: bytes, *, secret: str = HOOK, **headers: str) -> Answer:
        """Post a webhook as Stripe signs it, now."""
        given = signed(body, secret, self.clock())
        return self.post("/webhooks/stripe", body, {**given, **headers})

    def rows(self) -> dict[str, InboxRow]:
        """What was kept, by the id of the event."""
        with reading(self.engine) as session:
            rows = session.exec(select(InboxRow).order_by(col(InboxRow.id))).all()
        return {row.event_id: row for row in rows}

    def settled(self) -> dict[str, InboxRow]:
        """The same once nothing is left to be handled."""
        eventually(lambda: all(row.state != "new" for row in self.rows().values()))
        return self.rows()

    def said(self) -> str:
        """Everything the process wrote, to both of its outputs."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def memory(self) -> int:
        """Bytes of it that are in the machine's memory."""
        return psutil.Process(self.process.pid).memory_info().rss

    def stored(self) -> str:
        """Everything that is in the database, as text."""
        with Session(self.engine) as session:
            tables = inspect(self.engine).get_table_names()
            rows = [
                repr(tuple(row))
                for table in tables
                for row in session.execute(text("SELECT * FROM {}".replace("{}", table)))
            ]
        return "\n".join(rows)


@contextmanager
def up(url: str, folder: Path, **environ: str) -> Iterator[Server]:
    """Run it on a migrated database until the end of the block; it must still be alive then."""
    said = folder / "said.txt"
    env: Mapping[str, str] = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "DUNNING_DATA": str(folder),
        "DUNNING_DATABASE_URL": url,
        "DUNNING_SECRET_KEY": LINKS,
        "DUNNING_LOG_LEVEL": "debug",
        "STRIPE_WEBHOOK_SECRET": f"{HOOK},{OLD_HOOK}",
        **environ,
    }
    with said.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "dunning", "up", "--port", "0"],
            cwd=folder,
            env=dict(env),
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        found: list[str] = []

        def listens() -> bool:
            assert process.poll() is None, said.read_text()
            found[:] = re.findall(r"http://127\.0\.0\.1:(\d+)/readyz", said.read_text())
            return bool(found)

        eventually(listens)
        server = Server(int(found[0]), process, said, url)
        try:
            yield server
            assert process.poll() is None, server.said()[-3000:]
        finally:
            server.engine.dispose()
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.wait(30)
            WATCH.look("dunning up", said.read_bytes())


def tells_nothing(answer: Answer) -> bool:
    """Whether a refusal has the one form there is, and nothing of what went on behind it."""
    if answer.status == 0:
        return True
    error = answer.json().get("error", {})
    words = answer.body.decode("utf-8", "replace")
    return set(error) == {"code", "message"} and not any(
        leak in words for leak in (*LEAKS, MARK, "evt_")
    )
