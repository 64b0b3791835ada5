"""One who claims again and again: looks at what is due and held, takes what there is room for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Integer, bindparam, func, select, text
from sqlmodel import Session

from dunning import schedule
from dunning.core.shares import share_out
from dunning.schedule import BEGINNING, Place, Taken
from dunning.store import ScheduleRow, table_of


@dataclass(frozen=True, slots=True)
class Glance:
    """What is due and what is claimed, by source; counted no further than anybody needs."""

    due: Mapping[str, int]
    claimed: Mapping[str, int]


# Searches from the very beginning may take this part of the time at most.
_RESCANS = 1 / 20
_RARELY = 10.0  # seconds
# Counts go no further than twice this, or twice the window where that is larger: two who look at
# the same moment may have claimed a window each.
_COUNTED = 100


class Dispatcher:
    """Claims again and again, and remembers how far everything is done.

    Index entries of what was done before stay where they are until a vacuum may remove them,
    and while somebody holds an old snapshot it may not. Whoever begins at the left end each time
    wades through all of them. So a look begins at the first case that the last one saw, held or
    free, and a claim at the first free one; what came in below is found by a look at everything,
    as often as that is cheap.
    """

    def __init__(self, sources: Sequence[str], *, window: int, lease: timedelta) -> None:
        self.window = window
        self._lease = lease
        self._since: dict[str, Place] = dict.fromkeys(sources, BEGINNING)
        self._free: dict[str, Place] = {}
        self._end: dict[str, Place] = dict(self._since)  # of what was claimed last
        self._rescan_at = 0.0

    def look(self, session: Session, now: datetime, *, everything: bool = False) -> Glance:
        """See what is due and what is claimed, by anybody."""
        began = time.monotonic()
        everything = everything or began >= self._rescan_at
        since = dict.fromkeys(self._since, BEGINNING) if everything else self._since
        seen = _look(session, now, since, 2 * max(self.window, _COUNTED))
        for source, place in self._since.items():
            found = seen.get(source, _NOTHING)
            # Where nothing was seen, all that was claimed is done.
            self._since[source] = found.first or max(place, self._end[source])
        self._free = {source: found.first_free for source, found in seen.items()}
        if everything:
            ended = time.monotonic()
            self._rescan_at = ended + min((ended - began) / _RESCANS, _RARELY)
        return Glance(
            {source: seen.get(source, _NOTHING).due for source in self._since},
            {source: found.claimed for source, found in seen.items() if found.claimed},
        )

    def take(self, session: Session, now: datetime, glance: Glance) -> list[Taken]:
        """Claim what there is room for, in turn from each source, of what the look has seen."""
        shares = share_out(self.window, glance.claimed, glance.due)
        taken, ends = schedule.take(session, now, shares, self._free, self._lease)
        self._end.update(ends)
        return taken


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look saw of a source; `first` is the first of all, free or not."""

    due: int
    claimed: int
    first: Place | None
    first_free: Place


_NOTHING = _Seen(0, 0, None, BEGINNING)

# What is claimed lies among what is due: a claim leaves the moment alone.
_LOOK = text(
    """
    SELECT asked.source, seen.*
    FROM unnest(
        CAST(:sources AS text[]), CAST(:moments AS timestamptz[]), CAST(:names AS text[])
    ) AS asked (source, moment, name)
    CROSS JOIN LATERAL (
        WITH found AS MATERIALIZED (
            SELECT due_at, case_id, leased_until IS NULL OR leased_until <= :now AS free
            FROM schedule
            WHERE source = asked.source AND due_at <= :now
              AND (due_at, case_id) >= (asked.moment, asked.name)
            ORDER BY due_at, case_id  -- so that the index is read, whatever it believes to be due
            LIMIT :most
        ), first_free AS (
            SELECT due_at, case_id FROM found WHERE free ORDER BY due_at, case_id LIMIT 1
        ), first AS (SELECT due_at, case_id FROM found ORDER BY due_at, case_id LIMIT 1)
        SELECT count(*) FILTER (WHERE free) AS due, count(*) FILTER (WHERE NOT free) AS claimed,
               (SELECT due_at FROM first) AS first_at, (SELECT case_id FROM first) AS first_id,
               (SELECT due_at FROM first_free) AS free_at,
               (SELECT case_id FROM first_free) AS free_id
        FROM found
    ) AS seen
    """
)


def _look(
    session: Session, now: datetime, since: Mapping[str, Place], most: int
) -> dict[str, _Seen]:
    """How things stand of each source from those places on, counted no further than `most`."""
    if session.get_bind().dialect.name != "postgresql":
        return {
            source: _look_on_sqlite(session, source, now, place, most)
            for source, place in since.items()
        }
    asked = {
        "sources": list(since),
        "moments": [at for at, _ in since.values()],
        "names": [name for _, name in since.values()],
    }
    return {
        source: _Seen(
            due,
            claimed,
            (first_at.astimezone(UTC), first_id) if first_at else None,
            (free_at.astimezone(UTC), free_id) if free_at else BEGINNING,
        )
        for source, due, claimed, first_at, first_id, free_at, free_id in session.execute(
            _LOOK, asked | {"now": now, "most": most}
        )
    }


def _look_on_sqlite(session: Session, source: str, now: datetime, place: Place, most: int) -> _Seen:
    """Nothing that is done lies in the way here, so that the moment of a place is enough."""
    asked = {"of": source, "now": now, "at": place[0], "most": most}
    count, due, first, first_free = session.execute(_look_from(), asked).one()
    return _Seen(
        due,
        count - due,
        (first, "") if first else None,
        (first_free, "") if first_free else BEGINNING,
    )


@cache
def _look_from() -> Any:
    at = table_of(ScheduleRow).c.due_at
    found = (
        select(at, schedule.is_free().label("free"))
        .where(schedule.due(), at >= bindparam("at"))
        .order_by(at)
        .limit(bindparam("most", type_=Integer()))
        .subquery()
    )
    free = found.c.free
    return select(
        func.count(),
        func.count().filter(free),
        func.min(found.c.due_at),
        func.min(found.c.due_at).filter(free),
    )
