"""The receiver, served on a loopback port with nobody working behind it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from sqlmodel import col, select

from dunning.broker import build_broker
from dunning.processes import web_server
from dunning.store import InboxRow, transaction
from dunning.wiring import Program
from dunning.worker import Work
from tests.providers.stripe.bodies import AT, Body, raw
from tests.stages.kit import ManualClock, eventually
from tests.stages.parts import SECRET, program_on
from tests.web.client import Answer, Client, signed


class Edge(Client):
    """A client of the receiver that also sees what was kept."""

    def __init__(self, port: int, program: Program) -> None:
        super().__init__(port)
        self.program = program
        self.clock: ManualClock = program.clock  # type: ignore[assignment]

    def hook(
        self,
        body: Body | bytes,
        *,
        secret: str = SECRET,
        source: str = "stripe",
        age: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Post a webhook as Stripe signs it, so many seconds after it did."""
        whole = body if isinstance(body, bytes) else raw(body)
        given = signed(whole, secret, self.clock.time)
        if age:
            self.clock.passes(seconds=age)
        return self.post(f"/webhooks/{source}", whole, {**given, **(headers or {})})

    def kept(self) -> Sequence[InboxRow]:
        with transaction(self.program.engine) as session:
            return session.exec(select(InboxRow).order_by(col(InboxRow.id))).all()


@contextmanager
def listening(server: uvicorn.Server) -> Iterator[int]:
    """Run a web server on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), "the web server starts")
        assert thread.is_alive()
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


@contextmanager
def served(
    url: str, folder: Path, *, broker_url: str | None = None, **options: Any
) -> Iterator[Edge]:
    options.setdefault("clock", ManualClock(AT))
    with program_on(url, folder, **options) as program:
        broker = build_broker(broker_url)
        with listening(web_server(program, Work(program, broker), "127.0.0.1", 0)) as port:
            yield Edge(port, program)
        broker.close()


def refused(answer: Answer, status: int, code: str | None = None) -> None:
    """The answer is this refusal, in the one form a refusal has, and tells nothing else."""
    assert answer.status == status, answer
    told = answer.json()
    assert set(told) == {"error"}
    assert set(told["error"]) == {"code", "message"}
    if code is not None:
        assert told["error"]["code"] == code
    assert answer.headers["content-type"] == "application/json"
    for leak in (b"Traceback", b'File "', b"evt_", b"whsec_", b"SELECT", b"psycopg", b"sqlite"):
        assert leak not in answer.body
