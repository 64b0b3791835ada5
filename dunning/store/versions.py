"""Which version of the tables the database has, and how it gets to ours."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Engine, inspect, text
from sqlmodel import Session

from dunning.store.engine import engine_for

MIGRATIONS = Path(__file__).parents[1] / "migrations"


def migrate(url: str) -> None:
    """Bring the database to this version of the program; safe to run again, and at once by two."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", os.fspath(MIGRATIONS))
    engine = engine_for(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(715517)"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def version(engine: Engine) -> str | None:
    """The migration the database stands at; None when it has none of our tables."""
    from alembic.runtime.migration import MigrationContext

    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def version_seen(session: Session) -> str | None:
    """The same inside a session that only reads, which waits for no writer."""
    if not inspect(session.connection()).has_table("alembic_version"):
        return None
    found: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def newest_version() -> str:
    """The migration this program needs."""
    return known_versions()[0]


def known_versions() -> list[str]:
    """Every migration this program knows, the newest first; any other is of a later program."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(os.fspath(MIGRATIONS))
    return [script.revision for script in scripts.walk_revisions()]
