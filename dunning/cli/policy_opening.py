"""The database of the commands that are about the policy in force."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dunning.cli.opening import engine_of, load, moment, must_exist, start_logging
from dunning.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dunning.config import Settings


@dataclass(frozen=True, slots=True)
class Opened:
    """The database and the clock, without the policy file on disk: that may be what is wrong."""

    settings: Settings
    engine: Engine

    def now(self) -> datetime:
        """The machine's time, or the sandbox's."""
        return moment(self.settings)


@contextmanager
def opened(data: Path | None) -> Iterator[Opened]:
    """The database of this version."""
    settings = load(data).settings
    must_exist(settings)
    start_logging(settings, quiet=True)
    with engine_of(settings) as engine:
        from dunning.store import misfit

        if why := misfit(engine):
            raise ConfigError(f"the database {settings.database_url} {why}")
        yield Opened(settings, engine)
