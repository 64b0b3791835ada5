"""Keep each webhook once; hand it to its case until handled; sweep; replay.

`new` is the only state in which anything is still to be done. Kept rows are handled by whoever
gets their id first; a row nobody handled in time is swept up again. What cannot be understood is
parked with the reason, for a person to look at and replay; nothing is dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple, assert_never

import structlog
from sqlalchemy import Engine, Integer, bindparam, column, func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from dunning import crashpoints, metrics
from dunning.cases import CaseBook
from dunning.core.events import BillingEvent
from dunning.core.ports import (
    Ignored,
    Incomplete,
    Reading,
    Understood,
    Unreadable,
)
from dunning.desk import Desk, Named, Waiting
from dunning.errors import DunningError, NamesTakenError, NotFoundError, ProviderError
from dunning.readers import Kept, Readers, SourceReader
from dunning.received import LEASE, Received, keep
from dunning.redaction import clean_text, in_words
from dunning.routing import everything_named
from dunning.store import (
    InboxRow,
    PruningRow,
    UTCDateTime,
    change_rows,
    day_of_id,
    guard,
    is_passing,
    is_postgres,
    listed,
    one_of,
    reading,
    table_of,
    transaction,
)

__all__ = [
    "LEASE",
    "Backlog",
    "Inbox",
    "Received",
    "SourceReader",
    "backlog",
    "keep",
    "replay",
    "sweep",
]

log = structlog.get_logger(__name__)

# A thin event whose object cannot be fetched waits longer each time, then is parked.
FETCH_WAITS = tuple(timedelta(seconds=s) for s in (30, 120, 600, 3600, 3 * 3600, 12 * 3600))


class _Locked(NamedTuple):
    """A row that is ours until the transaction ends."""

    id: int
    tries: int
    wake_at: datetime


@dataclass(frozen=True, slots=True)
class _Read:
    """A kept row and what became of reading it."""

    row: Kept
    reading: Reading | ProviderError

    @property
    def events(self) -> Sequence[BillingEvent]:
        return self.reading.events if isinstance(self.reading, Understood) else ()


@dataclass(slots=True)
class _Ending:
    """How a row stands after it was handled."""

    state: str = "new"
    reason: str = ""
    ref: str | None = None
    waiting: bool = False
    wake_at: datetime | None = None  # None: as it was


class Inbox:
    """Handles kept webhooks."""

    def __init__(
        self, engine: Engine, cases: CaseBook, sources: Mapping[str, SourceReader]
    ) -> None:
        self._engine = engine
        self._cases = cases
        self._readers = Readers(sources)
        cases.remember_with(self._readers.recall)

    def handle(self, ids: Iterable[int], now: datetime) -> int:
        """Handle these rows; how many were still to be done. Safe to call twice or at once."""
        with reading(self._engine) as session:
            rows = _new_rows(session, list(ids))
        crashpoints.reach("handle.read")
        return self._bring_in([_Read(row, self._readers.read(row)) for row in rows], now)

    # --- a batch ---------------------------------------------------------------------------

    def _bring_in(
        self, batch: Sequence[_Read], now: datetime, besides: frozenset[str] = frozenset()
    ) -> int:
        """Handle a batch in one transaction; what the database refuses is parked alone.

        Halved until the row at fault is by itself, so that it harms no other. `besides`: what an
        earlier try found out that it would speak of.
        """
        if not batch:
            return 0
        try:
            return self._together(batch, now, besides)
        except NamesTakenError as taken:
            return self._bring_in(batch, now, besides | taken.names)
        except DBAPIError as error:
            if is_passing(error):
                raise
            refused: Exception = error
        except Exception as error:  # noqa: BLE001 - told once the row at fault is alone
            refused = error
        if len(batch) == 1:
            return self._park_alone(batch[0].row, refused, now)
        middle = len(batch) // 2
        return self._bring_in(batch[:middle], now) + self._bring_in(batch[middle:], now)

    def _together(self, batch: Sequence[_Read], now: datetime, besides: frozenset[str]) -> int:
        endings: list[tuple[Kept, _Ending]] = []
        with transaction(self._engine) as session:
            ours = _lock(session, [one.row.id for one in batch])
            taken = [one for one in batch if one.row.id in ours]
            told: defaultdict[str, list[BillingEvent]] = defaultdict(list)
            for one in taken:
                told[one.row.source].extend(one.events)
            # All at once, as two batches that share customers would wait for each other.
            names = [everything_named(source, events) for source, events in told.items()]
            guarded = besides.union(*names)
            guard(session, guarded)
            desk = self._cases.desk(session)
            desk.guarded, desk.patient = guarded, False
            self._cases.gather(desk, told)
            for one in taken:
                ending = self._finish(desk, one, ours[one.row.id], now)
                endings.append((one.row, ending))
            self._cases.write(desk, now)
            crashpoints.reach("handle.before_commit")
        crashpoints.reach("handle.committed")
        for row, ending in endings:
            _log(row, ending)
        return len(endings)

    def _finish(self, desk: Desk, one: _Read, lock: _Locked, now: datetime) -> _Ending:
        """Bring one row to its end, on the desk. An error in it harms no other of the batch."""
        row = one.row
        if isinstance(one.reading, ProviderError):
            ending = _try_later(one.reading, lock.tries + 1, now)
        else:
            try:
                with desk.drafting():
                    ending = self._take(desk, one, one.reading, now)
            except DBAPIError:
                raise  # the transaction is over
            except Exception as error:  # noqa: BLE001 - told, and the row is parked
                # Whatever it is, it would happen again: a person looks, mends and replays.
                ending = _parked(_told(error, row.id))
        with desk.drafting():
            desk.inbox.put(row.id, _columns(lock, ending, now))
        return ending

    def _take(self, desk: Desk, one: _Read, reading: Reading, now: datetime) -> _Ending:
        match reading:
            case Understood():
                source = one.row.source
                provider = self._readers.name_of(source)
                applied = self._cases.take(desk, source, provider, reading.events, now)
                if applied.cases or applied.waiting is None:
                    return _Ending("handled", ref=next(iter(applied.cases), None))
                key = Named(source, applied.waiting)
                waiting = Waiting(one.row.id, applied.waiting, tuple(reading.events))
                desk.waiting.put(key, (*(desk.waiting.get(key) or ()), waiting))
                return _Ending("handled", "no case of ours (yet)", applied.waiting, waiting=True)
            case Ignored():
                return _Ending("ignored", reading.why)
            case Unreadable():
                return _parked(reading.why)
            case Incomplete():
                return _parked("the fetched object is incomplete as well")
            case _:
                assert_never(reading)

    def _park_alone(self, row: Kept, refused: Exception, now: datetime) -> int:
        """Park what cannot be written, in a transaction in which nothing else happens."""
        with transaction(self._engine) as session:
            ours = _lock(session, [row.id])
            if row.id not in ours:
                return 0
            ending = _parked(_told(refused, row.id))
            change_rows(session, InboxRow, [_columns(ours[row.id], ending, now)])
        _log(row, ending)
        return 1


def _new_rows(session: Session, ids: Sequence[int]) -> list[Kept]:
    query = _still_new(Kept._fields, postgres=is_postgres(session))
    return [Kept(*row) for row in session.execute(query, {"ids": listed(session, ids)})]


def _lock(session: Session, ids: Sequence[int]) -> dict[int, _Locked]:
    """Of these rows, those still to be done that nobody else is at."""
    query = _still_new(_Locked._fields, postgres=is_postgres(session), locked=True)
    rows = session.execute(query, {"ids": listed(session, ids)})
    return {row[0]: _Locked(*row) for row in rows}


@cache
def _still_new(names: tuple[str, ...], *, postgres: bool, locked: bool = False) -> Any:
    """Built once: that costs several times what it takes to run it."""
    table = table_of(InboxRow)
    mine = one_of(table.c.id, "ids", postgres=postgres)
    found = select(*(table.c[name] for name in names)).where(mine, table.c.state == "new")
    found = found.order_by(table.c.id)
    return found.with_for_update(skip_locked=True) if locked else found


def _columns(lock: _Locked, ending: _Ending, now: datetime) -> dict[str, object]:
    return {
        "id": lock.id,
        "state": ending.state,
        "reason": ending.reason,
        "ref": ending.ref,
        "waiting": ending.waiting,
        "wake_at": ending.wake_at or lock.wake_at,
        "tries": lock.tries + 1,
        "handled_at": None if ending.state == "new" else now,
    }


def _log(row: Kept, ending: _Ending) -> None:
    metrics.handled(row.source, "tried_later" if ending.state == "new" else ending.state)
    log.info(
        f"inbox.{ending.state}",
        source=row.source,
        inbox=row.id,
        event_id=row.event_id,
        about=ending.ref,
        type=row.type,
        why=ending.reason,
    )


def _told(error: Exception, row_id: int) -> str:
    """An error as a reason. One that nobody foresaw goes to the log with where it came from."""
    if isinstance(error, DBAPIError):
        return f"the database refused what follows from it: {error.orig}"
    expected = isinstance(error, DunningError | ValueError)
    log.warning("inbox.fault", inbox=row_id, exc_info=None if expected else error)
    return in_words(error)


def _parked(why: str) -> _Ending:
    # What is wrong with the event may be in the words about it: no database takes these.
    storable = clean_text(why).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return _Ending("parked", storable)


def _try_later(error: ProviderError, tries: int, now: datetime) -> _Ending:
    if tries > len(FETCH_WAITS):
        return _parked(f"gave up fetching what it speaks of: {error}")
    why = clean_text(f"will be fetched again: {error}")
    return _Ending("new", why, wake_at=now + FETCH_WAITS[tries - 1])


# --- for the dispatch loop and for people --------------------------------------------------


def sweep(session: Session, now: datetime, *, limit: int, lease: timedelta = LEASE) -> list[int]:
    """Take up rows that were kept and not handled: the hint got lost, or its worker died."""
    found = session.scalars(_DUE, {"now": now, "limit": limit})
    ids = [row_id for row_id in found if row_id is not None]
    if ids:
        session.execute(
            update(InboxRow)
            .where(col(InboxRow.id).in_(ids))
            .values(wake_at=now + lease)
            .execution_options(synchronize_session=False)
        )
    return ids


_DUE = (
    select(col(InboxRow.id))
    .where(col(InboxRow.state) == "new", col(InboxRow.wake_at) <= bindparam("now"))
    .order_by(col(InboxRow.wake_at), col(InboxRow.id))
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update(skip_locked=True)
)


def replay(session: Session, ids: Sequence[int], now: datetime) -> list[int]:
    """Put parked rows back to be handled again; `NotFoundError` for an id nobody knows."""
    known = {
        row.id: row for row in session.scalars(select(InboxRow).where(col(InboxRow.id).in_(ids)))
    }
    if missing := [row_id for row_id in ids if row_id not in known]:
        raise NotFoundError(_missing(session, missing))
    for row in known.values():
        row.state, row.reason, row.tries = "new", "", 0
        row.wake_at, row.handled_at = now, None
        session.add(row)
    return list(ids)


def _missing(session: Session, ids: Sequence[int]) -> str:
    named = f"no inbox row {', '.join(map(str, ids))}"
    days = [day for row_id in ids if (day := day_of_id(row_id))]
    bodies = select(func.max(col(PruningRow.before))).where(col(PruningRow.what) == "inbox")
    before = session.scalar(bodies)
    if before is not None and days and min(days) < before.date():
        return (
            f"{named}: handled, and let go of by `dunning prune` with everything of before "
            f"{before.date()}; `dunning reconcile` asks the provider for what may be missing"
        )
    return f"{named}; `dunning inbox list` shows the parked ones"


@dataclass(frozen=True, slots=True)
class Backlog:
    """How the inbox stands."""

    new: int
    fresh: int  # of them, those nobody has tried yet
    parked: int
    oldest_new_at: datetime | None  # of those: what waits to be fetched waits on purpose
    next_at: datetime | None


_BACKLOG = text(
    """
    SELECT
        count(*) AS kept,
        coalesce(sum(CASE WHEN tries = 0 THEN 1 ELSE 0 END), 0) AS fresh,
        min(CASE WHEN tries = 0 THEN received_at END) AS oldest_new_at,
        min(wake_at) AS next_at,
        (SELECT count(*) FROM inbox WHERE state = 'parked') AS parked
    FROM inbox WHERE state = 'new'
    """
).columns(
    column("kept", Integer),
    column("fresh", Integer),
    column("oldest_new_at", UTCDateTime()),
    column("next_at", UTCDateTime()),
    column("parked", Integer),
)


def backlog(session: Session) -> Backlog:
    """Count what is still to be handled and what waits for a person."""
    found = session.execute(_BACKLOG).one()
    return Backlog(
        new=found.kept,
        fresh=found.fresh,
        parked=found.parked,
        oldest_new_at=found.oldest_new_at,
        next_at=found.next_at,
    )
