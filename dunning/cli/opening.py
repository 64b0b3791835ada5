"""Opens what a command works on: settings, the database to read, or the whole program."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from dunning.clock import FollowedClock, SystemClock
from dunning.errors import ConfigError, DunningError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.exc import DBAPIError
    from sqlmodel import Session

    from dunning.config import Settings
    from dunning.wiring import Program

SANDBOX_KEY = "sk_test_sandbox"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and the environment they came from with `.env` behind it."""

    settings: Settings
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """One unmoving view of the database, and what time it is."""

    session: Session
    now: datetime
    settings: Settings


# --- settings ------------------------------------------------------------------------------


def load(data: Path | None = None, sandbox: str | None = None) -> Loaded:
    """Read the settings; what the command line says comes before the environment."""
    from dunning.config import load_settings, read_environment

    environ = dict(os.environ)
    if data is not None:
        environ["DUNNING_DATA"] = str(data)
        environ["DUNNING_DATABASE_URL"] = ""
    if sandbox is not None:
        environ["DUNNING_SANDBOX_URL"] = sandbox.rstrip("/")
    cwd = Path.cwd()
    known = read_environment(environ, cwd)
    if known.get("DUNNING_SANDBOX_URL", "").strip() and not known.get("STRIPE_API_KEY", "").strip():
        # The sandbox takes any test key.
        environ["STRIPE_API_KEY"] = SANDBOX_KEY
    settings = load_settings(environ, cwd)
    return Loaded(settings, read_environment(environ, cwd))


def start_logging(settings: Settings, *, quiet: bool) -> None:
    """Logs go to stderr; a command that ends by itself says only what went wrong."""
    import structlog

    from dunning import log

    level = settings.log_level
    log.configure("warning" if quiet and level == "info" else level, settings.log_format)
    if settings.strange and not quiet:
        said = structlog.get_logger(__name__)
        said.warning("settings.unknown", names=settings.strange, see=".env.example")


def moment(settings: Settings) -> datetime:
    """What time it is: the machine's, or the sandbox's when there is one."""
    if settings.sandbox_url is None:
        return SystemClock().now()
    try:
        with closing(FollowedClock(settings.sandbox_url, "cli")) as clock:
            return clock.fresh()
    except (OSError, HTTPException, ValueError, KeyError) as error:
        message = (
            f"the sandbox at {settings.sandbox_url} does not answer; start it with "
            "`dunning sandbox`, or unset DUNNING_SANDBOX_URL"
        )
        raise ConfigError(message) from error


# --- the database --------------------------------------------------------------------------


@contextmanager
def reading(data: Path | None = None) -> Iterator[Reading]:
    """Look into the database, keeping nobody waiting; nothing can be written."""
    settings = load(data).settings
    now = moment(settings)
    with engine_of(settings) as engine:
        from dunning.reports.snapshot import snapshot

        with snapshot(engine) as session:
            yield Reading(session, now, settings)


@contextmanager
def engine_of(settings: Settings) -> Iterator[Engine]:
    """The database, which must be there; what is wrong with it is said in one line."""
    must_exist(settings)
    with explained(settings):
        from dunning.store import engine_for

        engine = engine_for(settings.database_url.reveal(), role="command", patient=True)
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def program(data: Path | None = None) -> Iterator[Program]:
    """The whole program, for commands that change something."""
    loaded = load(data)
    must_exist(loaded.settings)
    start_logging(loaded.settings, quiet=True)
    moment(loaded.settings)  # a sandbox that is away is found out here
    with explained(loaded.settings):
        from dunning.store import misfit
        from dunning.wiring import assemble

        made = assemble(loaded.settings, environ=loaded.environ, role="command")
        try:
            if why := misfit(made.engine):
                message = f"the database {loaded.settings.database_url} {why}"
                raise ConfigError(message)
            made.policies.look()
            yield made
        finally:
            if isinstance(made.clock, FollowedClock):
                made.clock.close()
            made.close()


@dataclass(frozen=True, slots=True)
class Opened:
    """The database and the clock, without the policy file on disk: that may be what is wrong."""

    settings: Settings
    engine: Engine

    def now(self) -> datetime:
        """The machine's time, or the sandbox's."""
        return moment(self.settings)


@contextmanager
def opened(data: Path | None = None) -> Iterator[Opened]:
    """The database of this version, for commands that need no more."""
    settings = load(data).settings
    must_exist(settings)
    start_logging(settings, quiet=True)
    with engine_of(settings) as engine:
        from dunning.store import misfit

        if why := misfit(engine):
            raise ConfigError(f"the database {settings.database_url} {why}")
        yield Opened(settings, engine)


def must_exist(settings: Settings) -> None:
    """Refuse a SQLite file that is not there: looking at it would make an empty one."""
    scheme, _, path = settings.database_url.reveal().partition(":///")
    path = path.partition("?")[0]
    if not scheme.startswith("sqlite") or not path or path == ":memory:" or Path(path).exists():
        return
    message = (
        f"there is no database at {path}; `dunning up` makes one, "
        "and --data DIR or DUNNING_DATA names another folder"
    )
    raise ConfigError(message)


@contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn what a database says of itself into one line that says what to do."""
    try:
        yield
    except DunningError:
        raise
    except Exception as error:
        from sqlalchemy.exc import DBAPIError

        if isinstance(error, DBAPIError):
            raise ConfigError(_trouble(settings, error)) from error
        raise


_NO_TABLE = ("no such table", "no such column", "has no column")
_NO_TABLE_STATES = ("42P01", "42703")


def _trouble(settings: Settings, error: DBAPIError) -> str:
    said = " ".join(str(error.orig).partition("Is the server running")[0].split())
    state = getattr(error.orig, "sqlstate", None)
    if state in _NO_TABLE_STATES or any(words in said for words in _NO_TABLE):
        return _other_version(settings)
    if "file is not a database" in said:
        return f"{settings.database_url} is not a database of SQLite; --data names the folder"
    if "database is locked" in said:
        return f"the database {settings.database_url} is busy: {said}; try again"
    if state is None:
        return (
            f"the database {settings.database_url} cannot be reached: {said[:300]}; "
            "is it running, and is DUNNING_DATABASE_URL right?"
        )
    return f"the database {settings.database_url} refused: {said[:300]}"


def _other_version(settings: Settings) -> str:
    return (
        f"the database {settings.database_url} has no tables of this version; run "
        "`dunning migrate` (`dunning up` does it by itself)"
    )
