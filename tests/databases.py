"""Fresh databases for tests: empty, or copies of one that was migrated once."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy.engine import make_url

from tests.servers import Postgres, locked
from tests.sharing import Shared

if TYPE_CHECKING:
    from pathlib import Path


def migrate(url: str) -> None:
    """Bring a database to this version of the program, by the program's own way."""
    from dunning import store

    store.migrate(url)


class PostgresDatabases:
    """Creates and drops databases on the run's server, in one process of the run."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.run = shared.folder.name.rpartition("-")[2]
        self.template = f"dunning_template_{self.run}"
        self._numbers = itertools.count(1)
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def create(self, *, migrated: bool = False) -> str:
        """Return the address of a database that nobody else uses."""
        template = self._migrated_template() if migrated else "template0"
        name = f"dunning_{self.run}_{self.shared.member}_{next(self._numbers)}"
        # Copying files is six times as quick where nothing waits for the disk, as on our server.
        given = Postgres.override in self.shared.overrides
        how = "" if given else " STRATEGY file_copy"
        self._execute("CREATE DATABASE {} TEMPLATE {}" + how, name, template)
        return self._url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        name = make_url(url).database
        assert name is not None
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def end(self) -> None:
        """On a server that outlives the run, leave nothing behind."""
        if Postgres.override in self.shared.overrides and self._template_mark.exists():
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.template)
        self.close()

    @property
    def _template_mark(self) -> Path:
        return self.shared.folder / "template.migrated"

    def _migrated_template(self) -> str:
        with locked(self.shared.folder / "template.lock"):
            if not self._template_mark.exists():
                self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.template)
                self._execute("CREATE DATABASE {} TEMPLATE template0", self.template)
                migrate(self._url(self.template))
                # A database with guests cannot be copied.
                self._execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", self.template)
                self._evict(self.template)
                self._template_mark.touch()
        return self.template

    def _evict(self, name: str) -> None:
        self._admin().execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
            (name,),
        )

    def _execute(self, statement: str, *names: str) -> None:
        self._admin().execute(SQL(statement).format(*map(Identifier, names)))

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            address = make_url(self.shared.url("postgresql")).set(drivername="postgresql")
            conninfo = address.render_as_string(hide_password=False)
            self._connection = psycopg.connect(conninfo, autocommit=True)
        return self._connection

    def _url(self, name: str) -> str:
        address = make_url(self.shared.url("postgresql"))
        ours = address.set(drivername="postgresql+psycopg", database=name)
        return ours.render_as_string(hide_password=False)


class SqliteDatabases:
    """Files; a migrated one is made once per process and copied."""

    def __init__(self, folder: Path) -> None:
        self._original = folder / "migrated.db"

    def copy_migrated(self, path: Path) -> str:
        if not self._original.exists():
            unfinished = self._original.with_suffix(".unfinished")
            unfinished.unlink(missing_ok=True)
            migrate(sqlite_url(unfinished))
            with closing(sqlite3.connect(unfinished)) as connection:
                # Everything into the one file that is copied.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            unfinished.rename(self._original)
        shutil.copyfile(self._original, path)
        return sqlite_url(path)


def sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"
