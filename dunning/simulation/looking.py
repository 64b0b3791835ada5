"""When a world looks ahead of its customers, as upkeep does every few seconds in production.

Only worlds whose policy gives notices have this. It looks when there is something to look at: a
question to the tables, beside the program, says when that is.
"""

from __future__ import annotations

import math
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dunning.lookout import EVERY

if TYPE_CHECKING:
    from dunning.simulation.world import World

# As often as upkeep looks.
PAUSE = 20
_NEWS = "SELECT min(since) FROM look_again"
_DAILY = "SELECT stage, began_at FROM lookouts"


class Looking:
    """The pace of the lookout."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._line: sqlite3.Connection | None = None
        self._known: int | None = None
        self.rests_until = 0

    @property
    def due_at(self) -> int:
        """The true time at which it will find somebody to look at."""
        if self._known is None:
            self._known = self._soonest()
        return max(self._known - self._world.clock.wrong, self.rests_until)

    def something_happened(self) -> None:
        """What is known of the tables may be so no longer."""
        self._known = None

    def _soonest(self) -> int:
        if self._line is None:
            database = self._world.around.stage.database
            self._line = sqlite3.connect(database, isolation_level=None)
        (news,) = self._line.execute(_NEWS).fetchone()
        daily = self._line.execute(_DAILY).fetchone()
        if news is not None or daily is None or daily[0] != "done":
            return 0  # at once
        return math.ceil(_moment(daily[1]) + EVERY.total_seconds())

    def tick(self) -> None:
        """The lookout looks at all there is."""
        world = self._world
        self.rests_until = world.now + PAUSE
        try:
            world.process.program.lookout.run(world.process.now)
        except Exception as error:  # noqa: BLE001 - upkeep's own loop does the same
            world.say(f"  the lookout waits: {type(error).__name__}")

    def close(self) -> None:
        """Let go of the database."""
        if self._line is not None:
            self._line.close()


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
