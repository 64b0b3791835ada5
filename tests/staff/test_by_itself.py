"""Whoever runs `up` or `dispatch` tells staff, on a thread that nothing else waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlmodel import select

from dunning.staff import Notice
from dunning.staff.ways import Outcome
from dunning.store import PruningRow, StaffMarkRow, reading
from dunning.upkeep import Upkeep
from tests.staff.conftest import Opens
from tests.staff.office import Office
from tests.staff.test_alerts import change
from tests.stages.kit import eventually


@contextmanager
def running(here: Office) -> Iterator[None]:
    upkeep = Upkeep(here.program, every=0.01)
    upkeep.start()
    try:
        yield
    finally:
        upkeep.stop()


def rows(here: Office, kind: type[PruningRow | StaffMarkRow]) -> int:
    with reading(here.program.engine) as session:
        return len(session.exec(select(kind)).all())


@pytest.mark.parametrize("sandbox", [None, "http://127.0.0.1:9"])
def test_it_tells_beside_a_sandbox_too(opens: Opens, sandbox: str | None) -> None:
    here = opens("staff: {digest: none}\n", looked=False)
    here.program.settings = replace(here.program.settings, sandbox_url=sandbox)
    with running(here):
        eventually(lambda: rows(here, StaffMarkRow))
        here.clock.passes(minutes=1)
        here.add(change(here, "held", "all of 8 calls failed"))
        eventually(lambda: (here.clock.passes(seconds=1), here.chats())[1])
        eventually(lambda: {row.state for row in here.rows()} == {"sent"})
    assert len(here.mails()) == len(here.chats()) == 1


def test_nothing_waits_for_a_room_that_does_not_answer(opens: Opens) -> None:
    here = opens("staff: {digest: none}\n")
    room = Stuck()
    here.staff.ways = (room,)
    here.add(change(here, "held", "all of 8 calls failed"))
    here.tick()
    here.clock.passes(minutes=2)
    try:
        with running(here):
            eventually(room.asked.is_set)
            eventually(lambda: rows(here, PruningRow))
            room.free.set()
    finally:
        room.free.set()


class Stuck:
    """A room that is asked and does not answer until it is let go."""

    name, recipient = "chat", ""

    def __init__(self) -> None:
        self.asked, self.free = threading.Event(), threading.Event()

    def send(self, name: str, notice: Notice, *, again: bool) -> Outcome:
        self.asked.set()
        self.free.wait(60)
        return Outcome(sent=True)
