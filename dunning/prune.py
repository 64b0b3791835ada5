"""Let go of what nobody needs any more: raw webhooks, what was seen long ago, calls delivered.

So go days on which customers were written to, and bounces of emails that were not ours. Never the
ledger, never an attempt, never a mark on an address. What still waits for anybody stays: new and
parked webhooks for as long as they are that, those that wait for a case for `waiting`. In batches
that commit one by one, so it may be stopped at any moment and goes on where it was; beside
everything else at work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, MetaData, Table, and_, delete, func, or_, select, text
from sqlalchemy import tuple_ as pair
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from dunning import crashpoints
from dunning.store import (
    CaseRow,
    InboxRow,
    MailDayRow,
    OutboxRow,
    PruningRow,
    ReturnRow,
    SeenRow,
    first_id,
    insert_into,
    is_passing,
    partitions,
    transaction,
)
from dunning.store.partitions import Partition

log = structlog.get_logger(__name__)

BATCH = 2_000
# A partition with more rows that somebody still needs is left whole; most of them wait for a case
# and are let go of together when their own time has come.
MOVED_AT_MOST = 1_000
# So long at most the others wait behind us for a lock that we cannot get.
LOCK_MILLISECONDS = "1000"
# A provider delivers for days and can be asked for a month; until then an event must be known.
SEEN_AT_LEAST = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what is kept."""

    bodies: timedelta = timedelta(days=30)
    seen: timedelta = timedelta(days=42)
    calls: timedelta = timedelta(days=90)
    mail: timedelta = timedelta(days=90)  # a day of an email, and a bounce of somebody else's

    @classmethod
    def of_days(cls, *, bodies: int, seen: int, calls: int) -> Limits:
        """As the settings have them."""
        return cls(timedelta(days=bodies), timedelta(days=seen), timedelta(days=calls))

    @property
    def waiting(self) -> timedelta:
        """How long a webhook waits for a case that it may be about."""
        return max(self.bodies, SEEN_AT_LEAST)


@dataclass(slots=True)
class Pruned:
    """How many rows were let go of, or would be."""

    inbox: int = 0
    waited: int = 0  # of these, those that waited in vain for a case
    seen: int = 0
    outbox: int = 0
    mail_days: int = 0
    returns: int = 0
    dropped: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # partitions somebody holds or needs

    def summary(self) -> dict[str, object]:
        """For programs."""
        return {name: getattr(self, name) for name in Pruned.__slots__}


Progress = Callable[[Pruned], None]


def due(engine: Engine, now: datetime, limits: Limits) -> Pruned | None:
    """Prune if nobody did today; None when somebody did. For the loop of every dispatcher.

    Makes the partitions of the coming days as well.
    """
    with transaction(engine) as session:
        if not _claimed(session, now, limits):
            return None
    partitions.ahead(engine, now)
    done = prune(engine, now, limits)
    log.info("prune.done", **done.summary())
    return done


def prune(
    engine: Engine,
    now: datetime,
    limits: Limits,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _done: None,
) -> Pruned:
    """Let go of everything older than its limit; with `dry_run` only say what that would be."""
    limits = replace(limits, seen=max(limits.seen, SEEN_AT_LEAST, limits.bodies))
    work = _Pruning(engine, now, limits, dry_run, progress)
    if engine.dialect.name == "postgresql":
        work.partitions("inbox", now - limits.bodies)
        work.partitions("seen", now - limits.seen)
    work.rows()
    if engine.dialect.name == "sqlite" and not dry_run:
        _give_back(engine)
    return work.done


def _claimed(session: Session, now: datetime, limits: Limits) -> bool:
    """Whether this process is the first today."""
    mark = insert_into(session, PruningRow).values(
        day=f"{now:%Y-%m-%d}", what="begun", at=now, before=now - limits.bodies, removed=0
    )
    claimed = mark.on_conflict_do_nothing().returning(PruningRow.day)
    return session.execute(claimed).first() is not None


class _Pruning:
    """One run."""

    def __init__(
        self, engine: Engine, now: datetime, limits: Limits, dry_run: bool, progress: Progress
    ) -> None:
        self._engine = engine
        self._now = now
        self._limits = limits
        self._dry = dry_run
        self._progress = progress
        self.done = Pruned()

    # --- whole partitions --------------------------------------------------------------------

    def partitions(self, table: str, before: datetime) -> None:
        """Drop those that ended before, oldest first."""
        with self._engine.connect() as connection:
            there = partitions.names(connection, table)
        for part in filter(None, map(partitions.parse, there)):
            if part.ends > before:
                continue
            try:
                self._drop(part)
            except DBAPIError as error:
                if not is_passing(error):
                    raise
                # Somebody works in it just now; another day.
                self.done.left.append(part.name)
            self._progress(self.done)

    def _drop(self, part: Partition) -> None:
        rows = _renamed(part.table, part.name)
        with transaction(self._engine) as session:
            connection = session.connection()
            connection.execute(_SET_LOCK, {"wait": LOCK_MILLISECONDS})
            removed: Counter[str] = Counter()
            if part.table == "inbox":
                needed = self._needed(rows)
                if _at_least(connection, rows, needed, MOVED_AT_MOST + 1):
                    self.done.left.append(part.name)
                    return
                if not self._dry:
                    # From here nobody else comes in, and the ids of that day go to the default.
                    partitions.detach(connection, part)
                    kept = rows.select().where(needed)
                    names = [column.name for column in rows.c]
                    connection.execute(_INBOX.insert().from_select(names, kept))
                removed["inbox"] = _count(connection, rows, ~needed)
                removed["waited"] = _count(connection, rows, and_(~needed, rows.c.waiting))
            else:
                removed["seen"] = _count(connection, rows, None)
            if not self._dry:
                partitions.drop(connection, part)
            self._settle(session, removed)
        self.done.dropped.append(part.name)

    # --- rows --------------------------------------------------------------------------------

    def rows(self) -> None:
        """What has no partition of its own: everything on SQLite, the default ones elsewhere."""
        rest = "_rest" if self._engine.dialect.name == "postgresql" else ""
        inbox, seen = _renamed("inbox", f"inbox{rest}"), _renamed("seen", f"seen{rest}")
        old = inbox.c.id < first_id((self._now - self._limits.bodies).date())
        self._walk("inbox", inbox, and_(old, ~self._needed(inbox)))
        self._walk("seen", seen, seen.c.created_at < self._now - self._limits.seen)
        told = _OUTBOX.c.sent_at < self._now - self._limits.calls
        # While a case is open, what its product was told is not told again.
        is_over = select(_CASES.c.id).where(
            _CASES.c.id == _OUTBOX.c.case_id, _CASES.c.closed_at.is_not(None)
        )
        self._walk("outbox", _OUTBOX, and_(_OUTBOX.c.state == "sent", told, is_over.exists()))
        self._mail(self._now - self._limits.mail)

    def _mail(self, before: datetime) -> None:
        """Days of emails that are long over, and bounces of emails that were not ours.

        A bounce of ours stays, as it must count once however often its mailbox is read. So does
        one that names no email: read again, it could be taken for one of a newer email.
        """
        over = and_(_MAIL_DAYS.c.at < before, _MAIL_DAYS.c.day < f"{before:%Y-%m-%d}")
        self._walk("mail_days", _MAIL_DAYS, over)
        foreign = and_(_RETURNS.c.step_key.is_(None), _RETURNS.c.message_id.is_not(None))
        self._walk("returns", _RETURNS, and_(_RETURNS.c.at < before, foreign))

    def _walk(self, what: str, rows: Table, goes: Any) -> None:
        """Delete in the order of the key, from where the last batch ended."""
        key = list(rows.primary_key)
        last: tuple[Any, ...] | None = None
        while True:
            with transaction(self._engine) as session:
                query = select(*key).where(goes).order_by(*key).limit(BATCH)
                if last is not None:
                    query = query.where(pair(*key) > pair(*last))
                found = [tuple(row) for row in session.execute(query)]
                if found:
                    last = found[-1]
                    self._delete(session, what, rows, pair(*key).in_(found), goes)
                    crashpoints.reach("prune.batch")
            self._progress(self.done)
            if len(found) < BATCH:
                return

    def _delete(self, session: Session, what: str, rows: Table, those: Any, goes: Any) -> None:
        connection = session.connection()
        removed: Counter[str] = Counter()
        if what == "inbox":
            removed["waited"] = _count(connection, rows, and_(those, goes, rows.c.waiting))
        if self._dry:
            removed[what] = _count(connection, rows, and_(those, goes))
        else:
            # Asked again: somebody may have put a row back to be handled.
            gone = session.execute(delete(rows).where(those, goes))
            removed[what] = gone.rowcount  # type: ignore[attr-defined]
        self._settle(session, removed)

    # --- what both do ------------------------------------------------------------------------

    def _needed(self, rows: Table) -> Any:
        """The webhooks that somebody still needs."""
        waits = and_(
            rows.c.waiting, rows.c.id >= first_id((self._now - self._limits.waiting).date())
        )
        return or_(rows.c.state.in_(("new", "parked")), waits)

    def _settle(self, session: Session, removed: Counter[str]) -> None:
        """Count what went, and put it on record in the transaction that removed it."""
        limits = {
            "seen": self._limits.seen,
            "outbox": self._limits.calls,
            "mail_days": self._limits.mail,
            "returns": self._limits.mail,
        }
        for what, number in removed.items():
            setattr(self.done, what, getattr(self.done, what) + number)
            if self._dry or not number:
                continue
            kept = self._limits.waiting if what == "waited" else self._limits.bodies
            row = insert_into(session, PruningRow).values(
                day=f"{self._now:%Y-%m-%d}",
                what=what,
                at=self._now,
                before=self._now - limits.get(what, kept),
                removed=number,
            )
            session.execute(
                row.on_conflict_do_update(
                    index_elements=["day", "what"],
                    set_={
                        "removed": PruningRow.removed + row.excluded.removed,
                        "before": row.excluded.before,
                        "at": row.excluded.at,
                    },
                )
            )


_INBOX: Table = InboxRow.__table__  # type: ignore[attr-defined]
_OUTBOX: Table = OutboxRow.__table__  # type: ignore[attr-defined]
_MAIL_DAYS: Table = MailDayRow.__table__  # type: ignore[attr-defined]
_RETURNS: Table = ReturnRow.__table__  # type: ignore[attr-defined]
_CASES: Table = CaseRow.__table__  # type: ignore[attr-defined]
_SEEN: Table = SeenRow.__table__  # type: ignore[attr-defined]
_TABLES = {"inbox": _INBOX, "seen": _SEEN}
_SET_LOCK = text("SELECT set_config('lock_timeout', :wait, true)")


def _renamed(table: str, name: str) -> Table:
    """A partition as a table."""
    return _TABLES[table].to_metadata(MetaData(), name=name)


def _count(connection: Connection, rows: Table, where: Any) -> int:
    query = select(func.count()).select_from(rows)
    return int(connection.execute(query if where is None else query.where(where)).scalar_one())


def _at_least(connection: Connection, rows: Table, where: Any, number: int) -> bool:
    some = select(rows.c.id).where(where).limit(number).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) >= number


def _give_back(engine: Engine) -> None:
    """Let the file of SQLite shrink, a little at a time, and its log with it."""
    with engine.connect() as connection:
        line = connection.connection.dbapi_connection
        assert line is not None
        for _ in _while_free(line):
            # As a script: each step of the statement gives back one page, and `execute` takes one.
            line.executescript(_VACUUM)
        line.execute("PRAGMA wal_checkpoint(TRUNCATE)")


PAGES = 2_000
_VACUUM = "PRAGMA incremental_vacuum(2000)"


def _while_free(line: Any) -> Iterator[int]:
    free = line.execute("PRAGMA freelist_count").fetchone()[0]
    yield from range(free // PAGES + 1)
