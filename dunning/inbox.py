"""Keep each webhook once; hand it to its case until handled; sweep; replay.

`new` is the only state in which anything is still to be done. Kept rows are handled by whoever
gets their id first; a row nobody handled in time is swept up again. What cannot be understood is
parked with the reason, for a person to look at and replay; nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

import structlog
from sqlalchemy import Engine, Integer, column, func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from dunning.cases import CaseBook
from dunning.core.events import BillingEvent
from dunning.core.ports import (
    Ignored,
    Incomplete,
    Provider,
    Reader,
    Reading,
    Understood,
    Unreadable,
)
from dunning.errors import DunningError, NotFoundError, ProviderError
from dunning.received import LEASE, Received, keep
from dunning.routing import everything_named
from dunning.store import (
    InboxRow,
    PruningRow,
    UTCDateTime,
    day_of_id,
    guard,
    is_passing,
    reading,
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


@dataclass(frozen=True, slots=True)
class SourceReader:
    """How one source's webhooks are read, and who can fetch what they leave out."""

    reader: Reader
    provider: Provider | None


class Inbox:
    """Handles kept webhooks."""

    def __init__(
        self, engine: Engine, cases: CaseBook, sources: Mapping[str, SourceReader]
    ) -> None:
        self._engine = engine
        self._cases = cases
        self._sources = sources
        cases.remember_with(self.recall)

    def handle(self, ids: Iterable[int], now: datetime) -> int:
        """Handle these rows; how many were still to be done. Safe to call twice or at once."""
        with reading(self._engine) as session:
            rows = _new_rows(session, list(ids))
        readings = {row.id: self._read(row) for row in rows}
        done = 0
        with transaction(self._engine) as session:
            taken = _new_rows(session, [row.id for row in rows if row.id], lock=True)
            # All at once, as two batches that share customers would wait for each other.
            guard(session, _everything_named(taken, readings))
            for row in taken:
                self._finish(session, row, readings[row.id], now)
                done += 1
        return done

    def recall(self, session: Session, source: str, names: Sequence[str]) -> list[BillingEvent]:
        """The events kept earlier that wait for one of these invoices, intents or charges."""
        rows = session.scalars(
            select(InboxRow)
            .where(
                col(InboxRow.waiting),
                col(InboxRow.source) == source,
                col(InboxRow.ref).in_(names),
            )
            .order_by(col(InboxRow.id))
        ).all()
        return [event for row in rows for event in self._events(row)]

    def _events(self, row: InboxRow) -> Iterator[BillingEvent]:
        source = self._sources.get(row.source)
        reading = source.reader.normalise(row.body) if source else None
        if isinstance(reading, Understood):
            yield from reading.events

    def _read(self, row: InboxRow) -> Reading | ProviderError:
        source = self._sources.get(row.source)
        if source is None:
            return Unreadable(why=f"source {row.source!r} is no longer configured")
        reading = source.reader.normalise(row.body)
        if not isinstance(reading, Incomplete):
            return reading
        if source.provider is None:
            why = f"{row.type}: a thin event; without an API key its object cannot be fetched"
            return Unreadable(why=why)
        try:
            return source.provider.fetch(reading, event_id=row.event_id, created=row.created_at)
        except ProviderError as error:
            return error
        except Exception as error:
            log.exception("inbox.fetch_failed", inbox=row.id)
            return Unreadable(why=f"fetching what it speaks of: {type(error).__name__}: {error}")

    def _finish(
        self, session: Session, row: InboxRow, reading: Reading | ProviderError, now: datetime
    ) -> None:
        """Bring one row to its end. An error in it harms no other row of the batch."""
        row.tries += 1
        if isinstance(reading, ProviderError):
            _try_later(row, reading, now)
        else:
            try:
                with session.begin_nested():
                    self._take(session, row, reading, now)
            except DBAPIError as error:
                if is_passing(error):
                    raise
                _park(row, f"the database refused what follows from it: {error.orig}")
            except Exception as error:
                # Whatever it is, it would happen again: a person looks, mends and replays.
                expected = isinstance(error, DunningError | ValueError)
                log.warning("inbox.fault", inbox=row.id, exc_info=not expected)
                _park(row, f"{type(error).__name__}: {error}")
        row.handled_at = None if row.state == "new" else now
        session.add(row)
        session.flush()
        log.info(
            f"inbox.{row.state}",
            inbox=row.id,
            event_id=row.event_id,
            type=row.type,
            why=row.reason,
        )

    def _take(self, session: Session, row: InboxRow, reading: Reading, now: datetime) -> None:
        match reading:
            case Understood():
                provider = self._sources[row.source].reader.name
                applied = self._cases.apply(session, row.source, provider, reading.events, now)
                row.state = "handled"
                row.ref = applied.cases[0] if applied.cases else applied.waiting
                row.waiting = not applied.cases and applied.waiting is not None
                row.reason = "no case of ours (yet)" if row.waiting else ""
            case Ignored():
                row.state, row.reason = "ignored", reading.why
            case Unreadable():
                _park(row, reading.why)
            case Incomplete():
                _park(row, "the fetched object is incomplete as well")
            case _:
                assert_never(reading)


def _new_rows(session: Session, ids: Sequence[int], *, lock: bool = False) -> Sequence[InboxRow]:
    query = (
        select(InboxRow)
        .where(col(InboxRow.id).in_(ids), col(InboxRow.state) == "new")
        .order_by(col(InboxRow.id))
    )
    return session.scalars(query.with_for_update(skip_locked=True) if lock else query).all()


def _everything_named(
    rows: Iterable[InboxRow], readings: Mapping[int | None, Reading | ProviderError]
) -> set[str]:
    names: set[str] = set()
    for row in rows:
        reading = readings[row.id]
        if isinstance(reading, Understood):
            names |= everything_named(row.source, reading.events)
    return names


def _park(row: InboxRow, why: str) -> None:
    row.state, row.reason, row.waiting = "parked", why, False


def _try_later(row: InboxRow, error: ProviderError, now: datetime) -> None:
    if row.tries > len(FETCH_WAITS):
        _park(row, f"gave up fetching what it speaks of: {error}")
        return
    row.wake_at = now + FETCH_WAITS[row.tries - 1]
    row.reason = f"will be fetched again: {error}"


# --- for the dispatch loop and for people --------------------------------------------------


def sweep(session: Session, now: datetime, *, limit: int, lease: timedelta = LEASE) -> list[int]:
    """Take up rows that were kept and not handled: the hint got lost, or its worker died."""
    due = (
        select(col(InboxRow.id))
        .where(col(InboxRow.state) == "new", col(InboxRow.wake_at) <= now)
        .order_by(col(InboxRow.wake_at), col(InboxRow.id))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = [row_id for row_id in session.scalars(due) if row_id is not None]
    if ids:
        session.execute(
            update(InboxRow)
            .where(col(InboxRow.id).in_(ids))
            .values(wake_at=now + lease)
            .execution_options(synchronize_session=False)
        )
    return ids


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
