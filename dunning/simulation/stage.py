"""What the worlds of one process share, so that none pays for it again: nothing a world can see.

A migrated database to begin from, one engine with the statements it has compiled, and a look for
garbage between worlds instead of within them.
"""

from __future__ import annotations

import gc
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, event
from sqlmodel import Session

from dunning import store

# Garbage of so many worlds is let go of at once: about a hundred megabytes.
WORLDS_BETWEEN = 20


class Audience(Protocol):
    """Who hears of the database: the world that is played."""

    def before_begin(self, connection: Connection) -> None: ...
    def reach(self, point: str) -> None: ...


class Stage:
    """One per process; one world at a time is played on it."""

    def __init__(self) -> None:
        self._litter = tempfile.TemporaryDirectory(prefix="dunning-simulation-", dir=memory())
        self.folder = Path(self._litter.name)
        self.database = self.folder / "world.db"
        self.url = f"sqlite:///{self.database}"
        self._template = self.folder / "template.db"
        self._audience: Audience | None = None
        self._worlds = 0
        store.migrate(f"sqlite:///{self._template}")
        with closing(sqlite3.connect(self._template)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.engine = store.engine_for(self.url)
        event.listen(self.engine, "connect", _do_not_wait)
        event.listen(self.engine, "begin", self._before_begin, insert=True)
        event.listen(self.engine, "commit", lambda _connection: self._reach("sql.commit"))
        event.listen(Session, "after_commit", lambda _session: self._reach("sql.committed"))

    @staticmethod
    def of_this_process() -> Stage:
        """The stage, built when first asked for."""
        return _stage()

    @contextmanager
    def shown_to(self, audience: Audience) -> Iterator[None]:
        """An empty database, and somebody who hears what is done to it."""
        for old in self.folder.glob("world.db*"):
            old.unlink()
        shutil.copyfile(self._template, self.database)
        self._audience = audience
        try:
            yield
        finally:
            self._audience = None
            self.engine.dispose()

    @contextmanager
    def tidy(self) -> Iterator[None]:
        """A world is thrown away whole; looking for garbage in it again and again takes a tenth."""
        was_on = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            self._worlds += 1
            if was_on:
                gc.enable()
            elif self._worlds == 1:
                gc.collect()
                gc.freeze()  # what is there by now stays: it need not be looked through again
            elif self._worlds % WORLDS_BETWEEN == 0:
                gc.collect()

    def _before_begin(self, connection: Connection) -> None:
        if self._audience is not None:
            self._audience.before_begin(connection)

    def _reach(self, point: str) -> None:
        if self._audience is not None:
            self._audience.reach(point)


@cache
def _stage() -> Stage:
    return Stage()


def memory() -> Path:
    """Where worlds are kept: in memory, if this machine has a place for that."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    return shared if shared.is_dir() else Path(tempfile.gettempdir())


def _do_not_wait(connection: Any, _record: Any) -> None:
    """Nobody else can let go of a lock while the one thread waits for it."""
    connection.execute("PRAGMA busy_timeout=0")
