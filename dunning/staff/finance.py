"""When finance gets the report of a month, and that it gets each once, whoever runs.

It is made when it is due and kept as it was made; its messages are rows that any process sends
(`sending`). After a stop only the last month's is sent, and says which ones were not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Protocol

from sqlalchemy import Engine, select
from sqlmodel import Session, col

from dunning import crashpoints
from dunning.clock import utc
from dunning.config import Books, PolicyFile
from dunning.errors import RefusedError
from dunning.reports.monthly import Month, month_of, monthly
from dunning.reports.periods import zone_named
from dunning.reports.snapshot import snapshot
from dunning.staff import sending
from dunning.staff.monthly import attached, made, not_sent
from dunning.staff.notice import Notice
from dunning.staff.sending import MONTHLY
from dunning.staff.ways import MailWay, Outcome, Parcel
from dunning.staff.written import AGAIN
from dunning.store import (
    FinanceReportRow,
    StaffMarkRow,
    StaffNoticeRow,
    put_rows,
    reading,
    transaction,
)

AT = time(8)  # of the report's day, in the zone of the books
_MOST_MISSED = 60


@dataclass(frozen=True, slots=True)
class Due:
    """The report of a month, and when it goes out."""

    month: Month
    at: datetime


class InForce(Protocol):
    """The policy file in force."""

    @property
    def current(self) -> PolicyFile:
        """As this process has it now."""


# --- when ------------------------------------------------------------------------------------


def last_month(books: Books, now: datetime) -> Month:
    """The month that was over last."""
    today = utc(now).astimezone(zone_named(books.timezone)).date()
    return Month(today.replace(day=1), books.timezone).before


def due(books: Books, now: datetime) -> Due:
    """The report that was due last."""
    month = last_month(books, now)
    found = _due(books, month)
    return found if found.at <= now else _due(books, month.before)


def coming(books: Books, now: datetime) -> Due:
    """The report that is due next."""
    return _due(books, due(books, now).month.after)


def _due(books: Books, month: Month) -> Due:
    day = month.after.first.replace(day=books.report_day)
    at = datetime.combine(day, AT, tzinfo=zone_named(books.timezone))
    return Due(month, utc(at))


def _missed(seen_to: datetime, last: Due) -> list[Month]:
    """The months whose reports were due since and before the last one, the oldest first."""
    zone = zone_named(last.month.zone)
    told = Month(seen_to.astimezone(zone).date().replace(day=1), last.month.zone).before
    found: list[Month] = []
    month = last.month.before
    while month.first > told.first and len(found) < _MOST_MISSED:
        found.insert(0, month)
        month = month.before
    return found


# --- what ------------------------------------------------------------------------------------


class Finance:
    """What one process does for finance; without an address nothing."""

    def __init__(self, engine: Engine, policies: InForce, ways: Sequence[MailWay]) -> None:
        self.ways = tuple(ways)
        self._engine = engine
        self._policies = policies

    def write(self, now: datetime) -> None:
        """Make the report that is due, and its messages: of the last month only, and once."""
        if not self.ways:
            return
        books = self._policies.current.books
        last = due(books, now)
        with reading(self._engine) as session:
            mark = session.get(StaffMarkRow, MONTHLY)
        if mark is None:
            # The months before somebody wanted the report are nobody's news.
            with transaction(self._engine) as session:
                put_rows(session, StaffMarkRow, [_begun(last, now)])
        elif mark.seen_to < last.at:
            self._write(books, last, _missed(mark.seen_to, last), now)

    def _write(self, books: Books, last: Due, missed: Sequence[Month], now: datetime) -> None:
        name = f"{MONTHLY}-{last.month.period}"
        row = self.made(books, last.month, now, name, not_sent(missed))
        with transaction(self._engine) as session:
            mark = session.get(StaffMarkRow, MONTHLY, with_for_update=True)
            if mark is None or mark.seen_to >= last.at:
                return
            mark.seen_to = last.at
            # The day it is due may be put off after it was sent: it is not sent again.
            if session.get(FinanceReportRow, name) is None:
                mark.told_at = now
                self._keep(session, row, now)
            crashpoints.reach("staff.reported")

    def made(
        self,
        books: Books,
        month: Month,
        now: datetime,
        name: str = "",
        notes: Sequence[str] = (),
        *,
        by: str = "",
    ) -> FinanceReportRow:
        """The report of a month as it would be sent now."""
        with snapshot(self._engine) as session:
            told = monthly(session, now, month, year_from=books.fiscal_year_start)
        return made(told, name, notes, by=by)

    def send_for(self, books: Books, month: Month, now: datetime, by: str) -> str:
        """Make the report of a month because somebody wants it now; the name of its messages."""
        if month.ends_at > now:
            message = f"{month.name} is not over before {month.ends_at:%Y-%m-%d %H:%M} UTC"
            raise RefusedError(message)
        name = f"{MONTHLY}-{month.period}-{now:%Y%m%dT%H%M%S%f}"
        row = self.made(books, month, now, name, by=by)
        with transaction(self._engine) as session:
            self._keep(session, row, now)
        return name

    def _keep(self, session: Session, row: FinanceReportRow, now: datetime) -> None:
        title = Notice(title=row.subject)
        sending.write(session, row.name, MONTHLY, title, self.ways, now)
        session.add(row)
        session.flush()

    def deliver(self, claimed: sending.Claimed) -> Outcome:
        """Send one of its messages."""
        way = next((each for each in self.ways if each.recipient == claimed.recipient), None)
        if way is None:
            why = "finance is not told at this address any more"
            return Outcome(sent=False, why=why, final=True)
        with reading(self._engine) as session:
            row = session.get(FinanceReportRow, claimed.name)
        if row is None:
            return Outcome(sent=False, why="the report is not there any more", final=True)
        return way.deliver(claimed.key, parcel(row, again=claimed.again))


def parcel(row: FinanceReportRow, *, again: bool = False) -> Parcel:
    """The report as it goes into the mail."""
    text, html = row.text, row.html
    if again:
        text = f"{AGAIN}\n\n{text}"
        html = html.replace("<h1", f"<p>{AGAIN}</p><h1", 1)
    return Parcel(subject=row.subject, text=text, html=html, files=attached(row))


def _begun(last: Due, now: datetime) -> dict[str, object]:
    return {"what": MONTHLY, "began_at": now, "seen_to": last.at, "told_at": None}


# --- how it stands ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A report that was made, and what became of its message to each address."""

    report: FinanceReportRow
    messages: Sequence[StaffNoticeRow]


def told(session: Session, most: int, name: str | None = None) -> list[Told]:
    """The newest reports, or the one of that name."""
    query = select(FinanceReportRow).order_by(col(FinanceReportRow.made_at).desc()).limit(most)
    if name is not None:
        query = query.where(col(FinanceReportRow.name) == name)
    reports = session.scalars(query).all()
    names = [row.name for row in reports]
    sent = session.scalars(
        select(StaffNoticeRow)
        .where(col(StaffNoticeRow.alert) == MONTHLY, col(StaffNoticeRow.name).in_(names))
        .order_by(col(StaffNoticeRow.id))
    ).all()
    return [Told(row, [one for one in sent if one.name == row.name]) for row in reports]


def begun(session: Session) -> bool:
    """Whether some process has taken up the schedule."""
    return session.get(StaffMarkRow, MONTHLY) is not None


def asked_month(books: Books, period: str | None, now: datetime) -> Month:
    """The month that is named, else the one that was over last."""
    return month_of(period, books.timezone) if period else last_month(books, now)
