"""Which version of the tables the database has, how it gets to ours, and whether the two fit."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlmodel import Session

from dunning import crashpoints
from dunning.clock import SystemClock
from dunning.errors import ConfigError
from dunning.store import partitions
from dunning.store.engine import engine_for

MIGRATIONS = Path(__file__).parents[1] / "migrations"


def migrate(url: str) -> None:
    """Bring the database to this version of the program; safe to run again, and at once by two.

    One transaction: killed half-way, it has changed nothing. A newer database that this program
    can work with is left as it is; `ConfigError` when it cannot.
    """
    engine = engine_for(url, patient=True)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(partitions.LOCK)
            have = _revision(connection)
            if _is_newer(have):
                if why := _misfit(connection):
                    raise ConfigError(why)
            elif have != newest_version():
                _upgrade(connection)
            crashpoints.reach("migrate.before_commit")
        partitions.ahead(engine, SystemClock().now())
    finally:
        engine.dispose()


def _upgrade(connection: Connection) -> None:
    # Not above: a process that starts on tables of its version does without all of Alembic.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", os.fspath(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def version(engine: Engine) -> str | None:
    """The migration the database stands at; None when it has none of our tables."""
    with engine.connect() as connection:
        return _revision(connection)


def version_seen(session: Session) -> str | None:
    """The same inside a session that only reads, which waits for no writer."""
    return _revision(session.connection())


def newest_version() -> str:
    """The newest migration this program knows."""
    return known_versions()[0]


def known_versions() -> list[str]:
    """Every migration this program knows, the newest first; any other is of a later program."""
    files = (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    return sorted((file.name.partition("_")[0] for file in files), reverse=True)


def misfit(engine: Engine) -> str | None:
    """Why this program cannot work on the database, and what to do; None when it can.

    A newer database is fine while its `fits` row says so: programs of two versions work side by
    side while a new one is rolled out.
    """
    with engine.connect() as connection:
        return _misfit(connection)


def _misfit(connection: Connection) -> str | None:
    have, need = _revision(connection), newest_version()
    if have == need:
        return None
    if not _is_newer(have):
        return f"stands at {have or 'nothing'}, this version needs {need}; run `dunning migrate`"
    oldest = "nothing this program knows"
    if inspect(connection).has_table("fits"):
        oldest = connection.execute(text("SELECT oldest FROM fits WHERE id = 1")).scalar() or oldest
    # Migrations are numbered, so their names compare.
    if need >= oldest:
        return None
    return (
        f"stands at {have} and wants a program that knows {oldest}, this one knows {need}; "
        "update dunning"
    )


def _is_newer(have: str | None) -> bool:
    """Whether the database stands at a migration that this program has not heard of."""
    return have is not None and have not in known_versions()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
