"""Somebody else who holds the embedded database just when the program wants it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dunning.simulation.weather import Weather


class Blocker:
    """Takes the write lock for the length of one attempt to begin, when the weather says so."""

    def __init__(self, database: Path, weather: Weather) -> None:
        self._database = database
        self._weather = weather
        self._line: sqlite3.Connection | None = None
        self._holds = False

    def before_begin(self) -> None:
        """Called before the program's own BEGIN."""
        self.let_go()
        if self._weather.is_busy():
            # Where the program itself holds it, there is nobody to wait for: it is busy.
            self._line = self._line or sqlite3.connect(
                self._database, timeout=0, isolation_level=None
            )
            self._line.execute("BEGIN IMMEDIATE")
            self._holds = True

    def let_go(self) -> None:
        """Hold nothing."""
        if self._holds and self._line is not None:
            self._line.execute("ROLLBACK")
            self._holds = False

    def close(self) -> None:
        """Let go of everything."""
        if self._line is not None:
            self._line.close()
            self._line = None
            self._holds = False
