"""Ask each source, every quarter of an hour, for what its webhooks may have missed.

By itself, in one process at a time, and as far back as it takes: after days without the program
it finds what happened meanwhile. That it keeps finding something means that webhooks do not come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from dunning import bookmarks
from dunning.bookmarks import Bookmark
from dunning.cases import CaseBook
from dunning.clock import Clock
from dunning.core.ports import Health, Provider, Reader
from dunning.errors import DunningError, LeaseLostError
from dunning.inbox import Inbox
from dunning.reconcile import HORIZON, Account, Found, Pass
from dunning.redaction import in_words
from dunning.store import CatchUpRow

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=15)
# So much of what was asked for before is asked for again: events may be listed late.
OVERLAP = timedelta(minutes=10)
# Going back further than this, all open invoices are read, not the newest alone.
LONG = timedelta(days=1)
# An invoice is made some time before a charge of it fails.
BEFORE_IT_FAILS = timedelta(days=2)
# How often a process looks whether a sweep is due; asking the database costs little.
LOOK_SECONDS = 20.0


class Live(Protocol):
    """A configured source."""

    @property
    def reader(self) -> Reader:
        """What reads it."""

    @property
    def provider(self) -> Provider | None:
        """What asks it, given a key."""


class Parts(Protocol):
    """What of the program is needed here."""

    @property
    def engine(self) -> Engine:
        """The database."""

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def cases(self) -> CaseBook:
        """The one door."""

    @property
    def inbox(self) -> Inbox:
        """What handles events."""

    @property
    def sources(self) -> Mapping[str, Live]:
        """The billing accounts."""


@dataclass(frozen=True, slots=True)
class Swept:
    """One sweep that came to its end."""

    source: str
    since: datetime
    found: Found


def catch_up(parts: Parts, now: datetime, *, every: timedelta = EVERY) -> list[Swept]:
    """Sweep each source whose sweep is due and that nobody else sweeps; takes its time."""
    done = []
    for name, live in parts.sources.items():
        if live.provider is None:
            continue
        bookmark = bookmarks.claim(parts.engine, name, now)
        if bookmark is None:
            continue
        account = Account(name, live.reader, live.provider)
        try:
            done.append(_sweep(parts, account, bookmark, now, every))
        except LeaseLostError as lost:
            log.warning("catch_up.lease_lost", source=name, why=str(lost))
        except Exception as error:
            why = in_words(error)
            expected = isinstance(error, DunningError | SQLAlchemyError)
            log.warning("catch_up.failed", source=name, why=why, exc_info=not expected)
            _put_off(bookmark, now, every, why)
    return done


def _put_off(bookmark: Bookmark, now: datetime, every: timedelta, why: str) -> None:
    try:
        bookmark.move(now, error=why, wake_at=now + every, lease_token=None)
    except (DunningError, SQLAlchemyError) as error:
        # The lease runs out by itself.
        log.warning("catch_up.not_put_off", source=bookmark.source, why=str(error))


def _sweep(
    parts: Parts, account: Account, bookmark: Bookmark, began: datetime, every: timedelta
) -> Swept:
    row = bookmark.row()
    assert row is not None
    gap = began - row.seen_to
    since = max(row.seen_to - OVERLAP, began - HORIZON)
    if gap > 4 * every:
        log.warning("catch_up.going_back", source=account.source, since=since.isoformat())
    if gap > HORIZON:
        days = HORIZON.days
        why = f"events older than {days} days are not kept; open invoices say what is still owed"
        log.warning("catch_up.too_old", source=account.source, why=why)
    # What was stopped in the middle begins at its bookmark, which the row's `seen_to` is.
    whole = began - (row.ended_at or row.seen_to) > LONG
    bookmark.begin(since, began)
    asking = Pass(parts.engine, parts.cases, parts.inbox, account, parts.clock.now, bookmark)
    asking.events(since, began)
    bookmark.move(parts.clock.now(), state="invoices", seen_to=began)
    asking.invoices(None if whole else since - BEFORE_IT_FAILS, None)
    found = asking.found
    in_a_row = row.in_a_row + 1 if found.missed else 0
    bookmark.move(
        began,
        state="done",
        ended_at=parts.clock.now(),
        missed_in_all=row.missed_in_all + found.missed,
        in_a_row=in_a_row,
        error="",
        wake_at=began + every,
        lease_token=None,
    )
    _tell(account.source, since, found, in_a_row)
    return Swept(account.source, since, found)


def _tell(source: str, since: datetime, found: Found, in_a_row: int) -> None:
    log.info(
        "catch_up.done",
        source=source,
        since=since.isoformat(),
        events=found.events,
        events_new=found.events_new,
        invoices=found.invoices,
        adopted=found.adopted,
    )
    if found.missed:
        log.warning(
            "catch_up.webhooks_missing",
            source=source,
            missed=found.missed,
            in_a_row=in_a_row,
            types=dict(found.types.most_common(5)),
            why="these events came by asking; their webhooks should have brought them",
        )


class Sweeper:
    """Sweeps on a thread of its own, so that nobody waits for it. `every` zero: never."""

    def __init__(self, parts: Parts, *, every: timedelta = EVERY) -> None:
        self._parts = parts
        self._every = every
        self._thread: threading.Thread | None = None
        self._next = 0.0

    def tick(self) -> None:
        """See whether a sweep is due, now and then; returns at once."""
        if not self._every or time.monotonic() < self._next or self.is_at_work:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        self._thread = threading.Thread(target=self._run, name="catch-up", daemon=True)
        self._thread.start()

    @property
    def is_at_work(self) -> bool:
        """Whether a sweep goes on."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            catch_up(self._parts, self._parts.clock.now(), every=self._every)
        except SQLAlchemyError as error:
            # The database is away, say; the next look finds it back.
            log.warning("catch_up.failed", why=in_words(error))

    def stop(self, timeout: float = 5.0) -> None:
        """Wait a little for a sweep that goes on; what it leaves is gone on with later."""
        if self._thread is not None:
            self._thread.join(timeout)


# --- for ops -------------------------------------------------------------------------------


def standing(session: Session, now: datetime, *, every: timedelta = EVERY) -> Iterator[Health]:
    """What the sweeps say of the webhooks, for `doctor`."""
    for row in bookmarks.sweeps(session):
        yield _health(row, now, every)


def _health(row: CatchUpRow, now: datetime, every: timedelta) -> Health:
    if row.in_a_row >= 2:
        return Health(
            level="warning",
            what=f"{row.source}: webhooks do not arrive: the last {row.in_a_row} times we asked "
            f"there were events that none had brought, the last time {row.missed_types}",
            advice="see at the provider that the endpoint is enabled, gets these events and "
            "answers with 200",
        )
    if row.error:
        return Health(
            level="warning",
            what=f"{row.source}: asking for missed events failed: {row.error}",
            advice="it is tried again by itself; `dunning reconcile` tries it now",
        )
    if row.ended_at is None or now - row.ended_at > 4 * every:
        what = "was never asked for missed events"
        if row.ended_at is not None:
            what = f"was last asked for missed events on {row.ended_at:%Y-%m-%d %H:%M} UTC"
        return Health(
            level="warning",
            what=f"{row.source}: the provider {what}",
            advice="see that `dunning up` or `dunning dispatch` runs",
        )
    what = f"{row.source}: webhooks arrive, as of {row.ended_at:%Y-%m-%d %H:%M} UTC"
    return Health(level="ok", what=what)
