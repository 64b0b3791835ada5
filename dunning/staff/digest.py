"""The digest: what a day brought, what comes today and tomorrow, and what waits for a person.

Its figures are those of `dunning report … --by day` for the same day and zone: money by currency,
never added up over currencies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, inspect, select, text
from sqlmodel import Session, col

from dunning.begun import unknown_steps
from dunning.breaker import standings
from dunning.case_rows import read_facts
from dunning.clock import utc
from dunning.config import StaffTerms
from dunning.config.staff import Empty
from dunning.core.around import ALONE
from dunning.core.events import StepKind, StepResult
from dunning.core.money import Money
from dunning.core.plan import plan
from dunning.core.status import State
from dunning.pinned import Pinned
from dunning.reports.at_risk import at_risk
from dunning.reports.lost import lost
from dunning.reports.recovered import recovered
from dunning.reports.scope import Scope
from dunning.staff.finding import BAD_ADDRESSES, recovery
from dunning.staff.gathering import SHOWN
from dunning.staff.notice import Notice, Part
from dunning.store import BreakerRow, CaseRow, InboxRow, OutboxRow, StepRow
from dunning.surroundings import Wanted, around

# So many cases are planned to see who is to be suspended; of more only the next step is known.
PLANNED = 5_000
_SUSPENDED = text("(steps.kind = 'suspend' OR steps.result = 'doubtful')")


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day of a zone, and the moment its digest is due."""

    date: date
    due_at: datetime
    zone: ZoneInfo

    @property
    def begins(self) -> datetime:
        """Its first moment."""
        return self.after(0)

    @property
    def ends(self) -> datetime:
        """The first moment of the next day."""
        return self.after(1)

    def after(self, days: int) -> datetime:
        """The first moment of the day so many days later."""
        day = self.date + timedelta(days=days)
        return utc(datetime(day.year, day.month, day.day, tzinfo=self.zone))


def day_due(staff: StaffTerms, now: datetime) -> Day | None:
    """The day whose digest was due last; None if there is to be none."""
    if staff.digest is None:
        return None
    zone = ZoneInfo(staff.timezone)
    today = utc(now).astimezone(zone).date()
    for back in (0, 1):
        when = today - timedelta(days=back)
        due = utc(datetime.combine(when, staff.digest, tzinfo=zone))
        if due <= now:
            return Day(when - timedelta(days=1), due, zone)
    return None


def digest(session: Session, day: Day, staff: StaffTerms, now: datetime) -> Notice | None:
    """The digest of a day as the database has it now; None if it is empty and to be left out."""
    money, happened = _money(session, day, now)
    suspended = _suspended(session, day)
    coming = list(_coming(session, day, now))
    waiting = list(_waiting(session, day, now))
    is_empty = not (happened or suspended.rows or coming or waiting)
    if is_empty and staff.empty_digest is Empty.LEAVE_OUT:
        return None
    parts = [money, suspended, *_suspensions(coming, day)]
    if waiting:
        rows = tuple(waiting)
        parts.append(Part(title="Needs a person", head=("What", "How many", "See"), rows=rows))
    title = f"Digest of {day.date:%A}, {day.date.day} {day.date:%B %Y}"
    lead = ", ".join(happened) or "Nothing was opened, recovered or lost"
    return Notice(
        title=title,
        lead=f"{lead}.",
        parts=tuple(part for part in parts if part.rows),
        foot=f"Days are those of {staff.timezone}.",
        tone="warning" if waiting else "plain",
    )


# --- money -----------------------------------------------------------------------------------


def _money(session: Session, day: Day, now: datetime) -> tuple[Part, list[str]]:
    """A row for each currency, and in a few words what happened."""
    scope = Scope(by=("currency",), since=day.date, until=day.date, zone=day.zone.key)
    came_in = recovered(session, now, scope).rows
    columns = {
        "Opened": _opened(session, day),
        "Recovered": _sums(came_in, "recovered"),
        "Lost": _sums(lost(session, now, scope).rows, "net"),
        "At risk now": _sums(at_risk(session, now).rows, "at_risk"),
    }
    currencies = sorted({currency for sums in columns.values() for currency in sums})
    ours = {row["currency"]: row["claimed"] for row in came_in}
    rows = tuple(
        (
            currency.upper(),
            *(_amount(columns[name].get(currency), currency) for name in ("Opened", "Recovered")),
            _plain(ours.get(currency), currency),
            *(_amount(columns[name].get(currency), currency) for name in ("Lost", "At risk now")),
        )
        for currency in currencies
    )
    happened = [
        f"{sum(cases for _, cases in sums.values()):,} {name.lower()}"
        for name, sums in columns.items()
        if name != "At risk now" and sums
    ]
    note = (
        "In brackets: cases. Ours is what of the recovered an act of ours brought in. Lost is net "
        "of what came in after all."
    )
    note = note if rows else ""
    head = ("Currency", "Opened", "Recovered", "Ours", "Lost", "At risk now")
    return Part(title="Money", head=head, rows=rows, note=note), happened


_Sums = dict[str, tuple[int, int]]


def _opened(session: Session, day: Day) -> _Sums:
    query = (
        select(col(CaseRow.currency), func.sum(col(CaseRow.amount_due)), func.count())
        .where(
            # All of them, named for the index.
            col(CaseRow.state).in_([state.value for state in State if state is not State.NONE]),
            col(CaseRow.opened_at) >= day.begins,
            col(CaseRow.opened_at) < day.ends,
            recovery(),
        )
        .group_by(col(CaseRow.currency))
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in session.execute(query)}


def _sums(rows: Sequence[Any], name: str) -> _Sums:
    return {row["currency"]: (row[name], row["cases"]) for row in rows}


def _amount(found: tuple[int, int] | None, currency: str) -> str:
    if found is None:
        return "–"
    return f"{_plain(found[0], currency)} ({found[1]:,})"


def _plain(amount: int | None, currency: str) -> str:
    return "–" if amount is None else str(Money(amount, currency)).partition(" ")[0]


# --- suspensions -----------------------------------------------------------------------------


def _suspended(session: Session, day: Day) -> Part:
    """Who was suspended that day, the largest debts first."""
    query = (
        select(col(CaseRow.id), col(CaseRow.customer), col(CaseRow.amount_at_risk),
               col(CaseRow.currency))
        .join(StepRow, col(StepRow.case_id) == col(CaseRow.id))
        .where(
            _SUSPENDED,
            col(StepRow.kind) == StepKind.SUSPEND.value,
            col(StepRow.result) == StepResult.DONE.value,
            col(StepRow.ended_at) >= day.begins,
            col(StepRow.ended_at) < day.ends,
        )
    )  # fmt: skip
    found = [
        (Money(row.amount_at_risk, row.currency), row.customer or "unknown", row.id)
        for row in session.execute(query)
    ]
    return _customers(f"Suspended on {_day_name(day.date)}", found, "Owed now")


def _suspensions(coming: Sequence[tuple[datetime, Money, str, str]], day: Day) -> Iterator[Part]:
    """Who will be, today and tomorrow, unless they pay before."""
    days = defaultdict(list)
    for due_at, owed, customer, name in coming:
        days[max(due_at, day.ends).astimezone(day.zone).date()].append((owed, customer, name))
    for when in sorted(days):
        whose = "today" if when == day.date + timedelta(days=1) else "tomorrow"
        title = f"To be suspended {whose}, {_day_name(when)}, unless they pay before"
        yield _customers(title, days[when], "Owed")


def _customers(title: str, found: Sequence[tuple[Money, str, str]], head: str) -> Part:
    by_size = sorted(found, key=lambda each: (each[0].currency, -each[0].minor, each[2]))
    rows = tuple((str(owed), customer, name) for owed, customer, name in by_size[:SHOWN])
    more = f"{len(found) - SHOWN:,} more are not shown." if len(found) > SHOWN else ""
    count = f": {len(found):,}" if len(found) > 1 else ""
    return Part(title=title + count, head=(head, "Customer", "Case"), rows=rows, note=more)


def _coming(
    session: Session, day: Day, now: datetime
) -> Iterator[tuple[datetime, Money, str, str]]:
    """The cases whose plan has a suspension before the end of tomorrow, if nothing changes."""
    until = day.after(3)
    query = (
        select(CaseRow)
        .where(
            col(CaseRow.state) == State.IN_GRACE.value,
            col(CaseRow.next_at) < until,
            recovery(),
        )
        .order_by(col(CaseRow.opened_at))
        .limit(PLANNED)
    )
    pinned = Pinned()
    for row in session.scalars(query):
        case, policy = read_facts(row), pinned.of(session, row.policy_version)
        wanted = Wanted.by_row(row, pinned.asks(session, row.policy_version))
        beside = around(session, [wanted]).get(row.id, ALONE)
        for step in plan(case, policy, now, around=beside).steps:
            is_one = step.kind is StepKind.SUSPEND and not step.skip and not step.held
            if is_one and step.due_at < until:
                owed = Money(row.amount_at_risk, row.currency)
                yield step.due_at, owed, row.customer or "unknown", row.id
                break


def _day_name(day: date) -> str:
    return f"{day:%A} {day.day} {day:%B}"


# --- what waits for a person -----------------------------------------------------------------


def _waiting(session: Session, day: Day, now: datetime) -> Iterator[tuple[str, str, str]]:
    """What will not go on by itself, and what shows it."""
    doubtful = select(func.count()).where(
        _SUSPENDED,
        col(StepRow.result) == StepResult.DOUBTFUL.value,
        col(StepRow.ended_at) >= day.begins,
        col(StepRow.ended_at) < day.ends,
    )
    sources = [str(name) for name in session.scalars(select(col(BreakerRow.source)))]
    held = [standing for standing in standings(session, sources, now) if standing.open]
    counts = (
        ("Sources held", len(held), "dunning breaker list"),
        ("Steps that ended in doubt that day", _count(session, doubtful), "dunning cases list"),
        ("Charges nobody knows the end of yet", unknown_steps(session).count, "dunning doctor"),
        (
            "Webhooks not understood",
            _count(session, select(func.count()).select_from(InboxRow).where(
                text("inbox.state = 'parked'"))),
            "dunning inbox list --state parked",
        ),
        (
            "Calls to your product given up",
            _count(session, select(func.count()).select_from(OutboxRow).where(
                text("outbox.state = 'dead'"))),
            "dunning doctor",
        ),
        ("Addresses marked bad that day", _bad_addresses(session, day), "dunning addresses list"),
    )  # fmt: skip
    for what, count, see in counts:
        if count:
            yield what, f"{count:,}", see


def _count(session: Session, query: Any) -> int:
    return int(session.execute(query).scalar_one())


def _bad_addresses(session: Session, day: Day) -> int:
    if not inspect(session.connection()).has_table("bad_addresses"):
        return 0
    marked = BAD_ADDRESSES.c
    that_day = (marked.since >= day.begins, marked.since < day.ends, marked.cleared_at.is_(None))
    return _count(session, select(func.count()).select_from(BAD_ADDRESSES).where(*that_day))


def day_ago(staff: StaffTerms, now: datetime, days: int) -> Day:
    """The day so many days ago, for whoever asks for it by hand."""
    zone = ZoneInfo(staff.timezone)
    today = utc(now).astimezone(zone).date()
    return Day(today - timedelta(days=days), now, zone)
