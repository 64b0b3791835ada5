"""When a world's feeder looks for what is due, and how what it hands out gets to the workers.

The real feeder looks every few seconds and mostly finds nothing. Here it looks when there is
something to be found: a question to the tables, beside the program, says when that is.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dunning.simulation.process import Message

if TYPE_CHECKING:
    from dunning.simulation.world import World

# After a look that failed, one that handed something out, and one that could not.
AFTER_ERROR, AFTER_WORK, AFTER_NOTHING = 5, 5, 20
# Calls of one case leave one after the other: only the first of them can be due.
_SOONEST = """
    SELECT min(at) FROM (
        SELECT min(max(due_at, coalesce(leased_until, due_at))) AS at FROM schedule
        UNION ALL SELECT min(wake_at) FROM inbox WHERE state = 'new'
        UNION ALL SELECT min(wake_at) FROM outbox
        WHERE id IN (SELECT min(id) FROM outbox WHERE state = 'pending' GROUP BY case_id)
    )
"""


class Feeding:
    """The feeder's pace, and the broker's queue."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._line: sqlite3.Connection | None = None
        self._known: tuple[float | None] | None = None
        self.rests_until = 0
        self.messages: list[Message] = []

    @property
    def due_at(self) -> int | None:
        """The true time at which the feeder will find something; None: there is nothing at all."""
        if self._known is None:
            self._known = (self._soonest(),)
        if (soonest := self._known[0]) is None:
            return None
        return max(int(-(-soonest // 1)) - self._world.clock.wrong, self.rests_until)

    def something_happened(self) -> None:
        """What is known of the tables may be so no longer."""
        self._known = None

    def _soonest(self) -> float | None:
        database = self._world.around.stage.database
        self._line = self._line or sqlite3.connect(database, isolation_level=None)
        (at,) = self._line.execute(_SOONEST).fetchone()
        return datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() if at else None

    def close(self) -> None:
        """Let go of the database."""
        if self._line is not None:
            self._line.close()

    def tick(self) -> None:
        """The feeder looks."""
        world = self._world
        # It looks again soon whatever it found; that its look fails is no reason not to.
        self.rests_until = world.now + 1
        try:
            world.process.tick()
        except Exception as error:  # noqa: BLE001 - the feeder's own loop does the same
            world.say(f"  the feeder waits: {type(error).__name__}")
            self.rests_until = world.now + AFTER_ERROR
            return
        sent = self.forward()
        self.something_happened()
        due_at = self.due_at
        if due_at is not None and due_at <= self.rests_until:
            self.rests_until = world.now + (AFTER_WORK if sent else AFTER_NOTHING)

    def forward(self) -> int:
        """Take what was handed to the broker; it may be lost, doubled or late there."""
        world = self._world
        sent = world.process.sent()
        for message in sent:
            order = world.weather.of_message()
            if order is None:
                self.messages.append(message)
                continue
            world.say(f"  the broker: {order.fate} {message.name}")
            if order.fate == "twice":
                self.messages += [message, message]
            elif order.fate == "late":
                due = world.now + order.what["seconds"]
                self.messages.append(Message(message.actor, message.args, due))
        return len(sent)

    def work(self, message: Message) -> None:
        """A worker takes a message and does what it says."""
        world = self._world
        self.messages.remove(message)
        try:
            world.process.work(message)
        except Exception as error:  # noqa: BLE001 - a worker thread drops the message and goes on
            world.say(f"  the worker failed: {type(error).__name__}: {error}"[:150])
        self.forward()
