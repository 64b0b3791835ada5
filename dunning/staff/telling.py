"""One turn: find what is new, make messages of it, send what is due. Any number may take turns.

Whatever is wrong here is logged and tried again; nothing of it is raised, and no other part of the
program waits for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col

from dunning import crashpoints, metrics
from dunning.config import Alert, PolicyFile, StaffTerms
from dunning.reports.snapshot import snapshot
from dunning.staff import sending
from dunning.staff.digest import Day, day_due, digest
from dunning.staff.finance import Finance
from dunning.staff.finding import Finder, Found, News
from dunning.staff.gathering import gathered
from dunning.staff.ways import MailWay, Outcome, Way
from dunning.store import (
    StaffMarkRow,
    StaffNewsRow,
    StaffNoticeRow,
    guard,
    put_rows,
    reading,
    transaction,
)

log = structlog.get_logger(__name__)

# A row may be committed so much later than its own time says.
OVERLAP = timedelta(minutes=15)
# What is older when it is found is no news: after a long stop nobody is told of last week.
RECENT = timedelta(days=3)
# The first of a burst waits so long for the others.
GATHER = timedelta(minutes=1)
KEPT = timedelta(days=90)
PRUNED_EVERY = timedelta(hours=1)
MOST_AT_ONCE = 10_000  # in one message; it is the numbers that are told
DIGEST = "digest"


class InForce(Protocol):
    """The policy file in force."""

    @property
    def current(self) -> PolicyFile:
        """As this process has it now."""


class Staff:
    """What one process does for staff. `recent` None: everything since the last look is news."""

    def __init__(
        self,
        engine: Engine,
        policies: InForce,
        ways: Sequence[Way],
        *,
        finance: Sequence[MailWay] = (),
        recent: timedelta | None = RECENT,
    ) -> None:
        self.ways = tuple(ways)
        self.finance = Finance(engine, policies, finance)
        self._engine = engine
        self._policies = policies
        self._recent = recent
        self._finder = Finder()
        self._pruned_at: datetime | None = None
        self._stop = threading.Event()

    def stop(self) -> None:
        """Send nothing more after the message in hand."""
        self._stop.set()

    @property
    def tells(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.ways or self.finance.ways)

    def tick(self, now: datetime) -> None:
        """One turn; nothing is raised."""
        if not self.tells:
            return
        turns = (self.look, self.gather, self.digest) if self.ways else ()
        for turn in (*turns, self.finance.write, self.send, self._prune):
            try:
                turn(now)
            except (SQLAlchemyError, OSError) as error:
                log.warning("staff.put_off", what=turn.__name__, why=type(error).__name__)
            except Exception:
                # A mistake in one kind of message must not end all of them.
                log.exception("staff.failed", what=turn.__name__)

    # --- finding -----------------------------------------------------------------------------

    def look(self, now: datetime) -> None:
        """Find what is new of each kind, and keep it."""
        file = self._policies.current
        with reading(self._engine) as session:
            marks = {row.what: row for row in session.scalars(select(StaffMarkRow))}
            found = {
                alert: self._finder.find(
                    session, alert, self._since(marks[alert], now), now, file.staff, file.terms
                )
                for alert in file.staff.alerts
                if alert in marks
            }
        crashpoints.reach("staff.found")
        with transaction(self._engine) as session:
            _begin(session, file.staff, marks, now)
            for alert, seen in found.items():
                _keep(session, alert, seen, now)

    def _since(self, mark: StaffMarkRow, now: datetime) -> datetime:
        since = max(mark.began_at, mark.seen_to - OVERLAP)
        return since if self._recent is None else max(since, now - self._recent)

    # --- messages ----------------------------------------------------------------------------

    def gather(self, now: datetime) -> None:
        """Make one message of all there is of a kind, unless its last one was a moment ago."""
        terms = self._policies.current.staff
        with reading(self._engine) as session:
            untold = select(col(StaffNewsRow.alert)).where(col(StaffNewsRow.notice).is_(None))
            waiting = set(session.scalars(untold.distinct()))
        for alert in terms.alerts:
            if alert in waiting:
                with transaction(self._engine) as session:
                    self._gather(session, alert, terms, now)

    def _gather(self, session: Session, alert: Alert, terms: StaffTerms, now: datetime) -> None:
        # Two who do this at once: the second finds that all is told.
        guard(session, {f"staff/{alert}"})
        mark = session.get(StaffMarkRow, alert, with_for_update=True)
        query = (
            select(StaffNewsRow)
            .where(col(StaffNewsRow.alert) == alert, col(StaffNewsRow.notice).is_(None))
            .order_by(col(StaffNewsRow.found_at), col(StaffNewsRow.at), col(StaffNewsRow.key))
            .limit(MOST_AT_ONCE)
        )
        rows = session.scalars(query).all()
        if mark is None or not rows or rows[0].found_at + GATHER > now:
            return
        if mark.told_at is not None and mark.told_at + terms.every > now:
            return
        name = f"{alert}-{now:%Y%m%dT%H%M%S}"
        notice = gathered(alert, [json.loads(row.body) for row in rows])
        sending.write(session, name, alert, notice, self.ways, now)
        for row in rows:
            row.notice = name
        mark.told_at = now
        crashpoints.reach("staff.written")

    def digest(self, now: datetime) -> None:
        """Write the digest when it is due: of the last day only, and once."""
        terms = self._policies.current.staff
        day = day_due(terms, now)
        if day is None:
            return
        with reading(self._engine) as session:
            mark = session.get(StaffMarkRow, DIGEST)
        if mark is None:
            # The days before somebody wanted to be told are nobody's news.
            with transaction(self._engine) as session:
                put_rows(session, StaffMarkRow, [_mark(DIGEST, day.due_at)])
        elif mark.seen_to < day.due_at:
            self._digest(day, terms, now)

    def _digest(self, day: Day, terms: StaffTerms, now: datetime) -> None:
        with snapshot(self._engine) as session:
            notice = digest(session, day, terms, now)
        with transaction(self._engine) as session:
            mark = session.get(StaffMarkRow, DIGEST, with_for_update=True)
            if mark is None or mark.seen_to >= day.due_at:
                return
            mark.seen_to = day.due_at
            if notice is not None:
                mark.told_at = now
                name = f"{DIGEST}-{day.date.isoformat()}"
                sending.write(session, name, DIGEST, notice, self.ways, now)

    # --- sending -----------------------------------------------------------------------------

    def send(self, now: datetime, name: str | None = None) -> None:
        """Send what is due, or only what has that name, one after the other."""
        # What this process has no way for is left to one that has.
        monthly = None if self.ways and self.finance.ways else bool(self.finance.ways)
        while not self._stop.is_set():
            with transaction(self._engine) as session:
                claimed = sending.claim(session, now, monthly=monthly, name=name)
            if claimed is None:
                return
            crashpoints.reach("staff.claimed")
            outcome = self._deliver(claimed)
            crashpoints.reach("staff.sent")
            with transaction(self._engine) as session:
                sending.settle(session, claimed, outcome, now)

    def _deliver(self, claimed: sending.Claimed) -> Outcome:
        monthly = claimed.alert == sending.MONTHLY
        outcome = self.finance.deliver(claimed) if monthly else self._tell(claimed)
        ending = "sent" if outcome.sent else "dead" if outcome.final else "failed"
        metrics.staff_notice(claimed.way, ending)
        tell = log.info if outcome.sent else log.warning
        tell(f"staff.{ending}", way=claimed.way, alert=claimed.alert, why=outcome.why or None)
        return outcome

    def _tell(self, claimed: sending.Claimed) -> Outcome:
        there = (claimed.way, claimed.recipient)
        way = next((each for each in self.ways if (each.name, each.recipient) == there), None)
        if way is None:
            return Outcome(sent=False, why="nobody is told this way any more", final=True)
        return way.send(claimed.key, claimed.notice, again=claimed.again)

    def _prune(self, now: datetime) -> None:
        """Let go of what was told long ago."""
        if self._pruned_at is not None and now - self._pruned_at < PRUNED_EVERY:
            return
        self._pruned_at = now
        with transaction(self._engine) as session:
            old = col(StaffNewsRow.found_at) < now - KEPT
            session.execute(delete(StaffNewsRow).where(old))
            over = col(StaffNoticeRow.created_at) < now - KEPT
            # What finance got stays on record.
            told = col(StaffNoticeRow.alert) != sending.MONTHLY
            session.execute(delete(StaffNoticeRow).where(over, told))


def _begin(
    session: Session, terms: StaffTerms, marks: dict[str, StaffMarkRow], now: datetime
) -> None:
    """What is told for the first time, or again, begins now; what is not told is forgotten."""
    new = [_mark(alert, now) for alert in terms.alerts if alert not in marks]
    put_rows(session, StaffMarkRow, new)
    gone = sorted(set(Alert) & set(marks) - set(terms.alerts))
    if gone:
        session.execute(delete(StaffMarkRow).where(col(StaffMarkRow.what).in_(gone)))
        session.execute(
            update(StaffNewsRow)
            .where(col(StaffNewsRow.alert).in_(gone), col(StaffNewsRow.notice).is_(None))
            .values(notice="")
        )


def _mark(what: str, now: datetime) -> dict[str, object]:
    return {"what": str(what), "began_at": now, "seen_to": now, "told_at": None}


def _keep(session: Session, alert: Alert, found: Found, now: datetime) -> None:
    put_rows(session, StaffNewsRow, [_row(news, now) for news in found.news])
    if found.whole:
        seen = update(StaffMarkRow).where(
            col(StaffMarkRow.what) == alert, col(StaffMarkRow.seen_to) < now
        )
        session.execute(seen.values(seen_to=now))


def _row(news: News, now: datetime) -> dict[str, object]:
    return {
        "key": news.key,
        "alert": news.alert.value,
        "at": news.at,
        "found_at": now,
        "body": json.dumps(news.body(), ensure_ascii=False),
        "notice": None,
    }
