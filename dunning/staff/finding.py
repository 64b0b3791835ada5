"""What staff are to hear of, found in the database: each thing under a key of its own, once.

A little is looked at again each time, since a row may be committed later than its time says; the
keys tell what was found before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    cast,
    column,
    exists,
    inspect,
    literal,
    or_,
    select,
    table,
    text,
    true,
)
from sqlmodel import Session, col

from dunning.case_rows import read_facts
from dunning.config import Alert, StaffTerms
from dunning.core.around import ALONE
from dunning.core.choosing import Terms, matches
from dunning.core.events import StepKind, StepResult
from dunning.core.money import Money
from dunning.core.promises import Ending, judged
from dunning.core.status import status
from dunning.core.subject import subject_of
from dunning.staff.notice import discreet
from dunning.store import (
    ActRow,
    BreakerChangeRow,
    CaseRow,
    InboxRow,
    OutboxRow,
    StaffNewsRow,
    StepRow,
    UTCDateTime,
    table_of,
)
from dunning.surroundings import REVENUE, Wanted, around

LIMIT = 2_000  # of each kind at a time; the rest is found the next time
_REMEMBERED = 200_000

Row = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing to tell: its cells in a table, a title if it is told alone, money if it has any."""

    key: str
    alert: Alert
    at: datetime
    one: str
    cells: tuple[str, ...]
    money: Money | None = None

    def body(self) -> dict[str, Any]:
        """As it is kept, without an address in full."""
        return {
            "one": discreet(self.one),
            "cells": [discreet(cell) for cell in self.cells],
            "amount": self.money.minor if self.money else None,
            "currency": self.money.currency if self.money else None,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one kind, and whether that is all."""

    news: Sequence[News]
    whole: bool = True


@dataclass(slots=True)
class Finder:
    """Looks for one process; it remembers which cases are in no segment of high value."""

    _passed: set[str] = field(default_factory=set)
    _has_addresses: bool = False

    def find(
        self,
        session: Session,
        alert: Alert,
        since: datetime,
        now: datetime,
        staff: StaffTerms,
        terms: Terms,
    ) -> Found:
        """What came about of this kind since then and was not found before."""
        match alert:
            case Alert.HIGH_VALUE:
                return self._high_value(session, since, staff, terms)
            case Alert.SUSPENDED:
                return _found(_suspended(session, since))
            case Alert.BREAKER:
                return _found(_breaker(session, since))
            case Alert.BAD_ADDRESS:
                return _found(self._bad_addresses(session, since))
            case Alert.PROMISE_BROKEN:
                return _found(_promises(session, since, now))
            case Alert.PARKED:
                return _found(_parked(session, since))
            case Alert.NEEDS_PERSON:
                return _found([*_doubtful(session, since), *_dead_calls(session, since)])

    # --- cases of high value -----------------------------------------------------------------

    def _high_value(
        self, session: Session, since: datetime, staff: StaffTerms, terms: Terms
    ) -> Found:
        is_new = (col(CaseRow.recorded_at) > since, col(CaseRow.amount_at_risk) > 0, recovery())
        unknown = not_found(Alert.HIGH_VALUE, col(CaseRow.id))
        query = select(CaseRow).where(*is_new, unknown).order_by(col(CaseRow.recorded_at))
        dear = [
            and_(col(CaseRow.currency) == each.currency, col(CaseRow.amount_due) >= each.minor)
            for each in staff.high_value
        ]
        rows = list(session.scalars(query.where(or_(*dear)).limit(LIMIT))) if dear else []
        whole = len(rows) < LIMIT
        if staff.segment is not None:
            ids = select(col(CaseRow.id)).where(*is_new, unknown).order_by(col(CaseRow.recorded_at))
            unseen = [name for name in session.scalars(ids) if name not in self._passed]
            whole = whole and len(unseen) <= LIMIT
            known = {row.id for row in rows}
            judged_now = [name for name in unseen[:LIMIT] if name not in known]
            rows += self._in_segment(session, judged_now, staff.segment, terms)
        return Found([_opened(row) for row in rows], whole)

    def _in_segment(
        self, session: Session, ids: Sequence[str], segment: str, terms: Terms
    ) -> list[CaseRow]:
        when = dict(terms.segments).get(segment)
        if when is None:
            return []
        rows = list(session.scalars(select(CaseRow).where(col(CaseRow.id).in_(ids))))
        besides = around(session, [Wanted.by_row(row, REVENUE) for row in rows])
        inside = []
        for row in rows:
            case = read_facts(row)
            subject = subject_of(case, status(case), besides.get(row.id, ALONE))
            if matches(when, subject, terms):
                inside.append(row)
        if len(self._passed) > _REMEMBERED:
            self._passed.clear()
        self._passed.update(set(ids) - {row.id for row in inside})
        return inside

    # --- addresses ---------------------------------------------------------------------------

    def _bad_addresses(self, session: Session, since: datetime) -> list[News]:
        if not self._has_addresses:
            self._has_addresses = inspect(session.connection()).has_table("bad_addresses")
        if not self._has_addresses:
            return []
        marked = BAD_ADDRESSES.c
        query = (
            select(marked.id, marked.address, marked.since, marked.kind, marked.why)
            .where(marked.since > since, not_found(Alert.BAD_ADDRESS, marked.id))
            .order_by(marked.since)
            .limit(LIMIT)
        )
        return [
            News(
                key=f"{Alert.BAD_ADDRESS}/{row.id}",
                alert=Alert.BAD_ADDRESS,
                at=row.since,
                one=f"Address marked bad: {row.address}",
                cells=(row.address, row.kind, row.why),
            )
            for row in session.execute(query)
        ]


# A part of its table that is read here, whether or not this database has it.
BAD_ADDRESSES = table(
    "bad_addresses",
    *(column(name) for name in ("id", "address", "kind", "why")),
    column("since", UTCDateTime()),
    column("cleared_at", UTCDateTime()),
)


def recovery() -> ColumnElement[bool]:
    """Only cases of a failed payment, where the tables know others."""
    kind = table_of(CaseRow).c.get("kind")
    return true() if kind is None else kind == "recovery"


def not_found(alert: Alert, what: Any) -> ColumnElement[bool]:
    """Whether this was not found before."""
    key = literal(f"{alert}/").concat(cast(what, String))
    return ~exists(select(1).where(col(StaffNewsRow.key) == key))


def _found(news: Iterable[News]) -> Found:
    found = list(news)
    return Found(found, len(found) < LIMIT)


def _opened(row: CaseRow) -> News:
    due = Money(row.amount_due, row.currency)
    return News(
        key=f"{Alert.HIGH_VALUE}/{row.id}",
        alert=Alert.HIGH_VALUE,
        at=row.recorded_at,
        one=f"A payment of {due} failed",
        cells=(str(due), row.customer or "unknown", row.decline_code or "not said", row.id),
        money=due,
    )


# --- steps -----------------------------------------------------------------------------------

# Word for word as its index has it, or the index is not used.
_TOLD = text("(steps.kind = 'suspend' OR steps.result = 'doubtful')")


def _steps(
    session: Session, alert: Alert, since: datetime, *where: ColumnElement[bool]
) -> Sequence[Row]:
    query = (
        select(
            col(StepRow.key),
            col(StepRow.kind),
            col(StepRow.ended_at),
            col(StepRow.why),
            col(CaseRow.id),
            col(CaseRow.customer),
            col(CaseRow.amount_at_risk),
            col(CaseRow.currency),
        )
        .join(CaseRow, col(CaseRow.id) == col(StepRow.case_id))
        .where(_TOLD, col(StepRow.ended_at) > since, *where, not_found(alert, col(StepRow.key)))
        .order_by(col(StepRow.ended_at))
        .limit(LIMIT)
    )
    return session.execute(query).all()


def _suspended(session: Session, since: datetime) -> list[News]:
    was_done = col(StepRow.result) == StepResult.DONE.value
    is_one = col(StepRow.kind) == StepKind.SUSPEND.value
    news = []
    for row in _steps(session, Alert.SUSPENDED, since, is_one, was_done):
        owed = Money(row.amount_at_risk, row.currency)
        news.append(
            News(
                key=f"{Alert.SUSPENDED}/{row.key}",
                alert=Alert.SUSPENDED,
                at=row.ended_at,
                one=f"Service of {row.customer or 'a customer'} suspended: {owed} is owed",
                cells=(str(owed), row.customer or "unknown", row.id),
                money=owed,
            )
        )
    return news


def _doubtful(session: Session, since: datetime) -> list[News]:
    is_one = col(StepRow.result) == StepResult.DOUBTFUL.value
    return [
        News(
            key=f"{Alert.NEEDS_PERSON}/{row.key}",
            alert=Alert.NEEDS_PERSON,
            at=row.ended_at,
            one=f"Nobody knows whether this happened: {row.key.rpartition('/')[2]} of {row.id}",
            cells=(f"{row.key.rpartition('/')[2]} in doubt", row.id, row.why),
        )
        for row in _steps(session, Alert.NEEDS_PERSON, since, is_one)
    ]


# --- calls, webhooks, holds, promises --------------------------------------------------------


def _dead_calls(session: Session, since: datetime) -> list[News]:
    query = (
        select(OutboxRow)
        .where(
            text("outbox.state = 'dead'"),
            col(OutboxRow.wake_at) > since,
            not_found(Alert.NEEDS_PERSON, literal("call:").concat(col(OutboxRow.key))),
        )
        .order_by(col(OutboxRow.wake_at))
        .limit(LIMIT)
    )
    return [
        News(
            key=f"{Alert.NEEDS_PERSON}/call:{row.key}",
            alert=Alert.NEEDS_PERSON,
            at=row.wake_at,
            one=f"Your product was not told of {row.type} of {row.case_id}",
            cells=(f"call {row.type} given up", row.case_id, row.error),
        )
        for row in session.scalars(query)
    ]


def _parked(session: Session, since: datetime) -> list[News]:
    query = (
        select(col(InboxRow.id), col(InboxRow.source), col(InboxRow.type), col(InboxRow.reason),
               col(InboxRow.handled_at))
        .where(
            text("inbox.state = 'parked'"),
            col(InboxRow.handled_at) > since,
            not_found(Alert.PARKED, col(InboxRow.id)),
        )
        .order_by(col(InboxRow.id))
        .limit(LIMIT)
    )  # fmt: skip
    return [
        News(
            key=f"{Alert.PARKED}/{row.id}",
            alert=Alert.PARKED,
            at=row.handled_at,
            one=f"A webhook of {row.source} was not understood: {row.type}",
            cells=(row.type, row.source, row.reason, str(row.id)),
        )
        for row in session.execute(query)
    ]


def _breaker(session: Session, since: datetime) -> list[News]:
    query = (
        select(BreakerChangeRow)
        .where(
            col(BreakerChangeRow.at) > since,
            not_found(Alert.BREAKER, col(BreakerChangeRow.id)),
        )
        .order_by(col(BreakerChangeRow.id))
        .limit(LIMIT)
    )
    said: Mapping[str, str] = {"held": "are held", "released": "go on"}
    return [
        News(
            key=f"{Alert.BREAKER}/{row.id}",
            alert=Alert.BREAKER,
            at=row.at,
            one=f"Charges and emails of {row.source} {said.get(row.change, row.change)}",
            cells=(row.source, row.change, row.by, row.why),
        )
        for row in session.scalars(query)
    ]


def _promises(session: Session, since: datetime, now: datetime) -> list[News]:
    query = (
        select(ActRow, CaseRow)
        .join(CaseRow, col(CaseRow.id) == col(ActRow.case_id))
        .where(
            col(ActRow.act) == "promise",
            col(ActRow.until) > since,
            col(ActRow.until) <= now,
            col(CaseRow.amount_at_risk) > 0,
            not_found(Alert.PROMISE_BROKEN, col(ActRow.id)),
        )
        .order_by(col(ActRow.until))
        .limit(LIMIT)
    )
    return [
        _broken(act, row)
        for act, row in session.execute(query)
        if any(
            one.ending is Ending.BROKEN and one.promise.until == act.until
            for one in judged(read_facts(row), now)
        )
    ]


def _broken(act: ActRow, row: CaseRow) -> News:
    owed = Money(row.amount_at_risk, row.currency)
    until = act.until
    assert until is not None
    return News(
        key=f"{Alert.PROMISE_BROKEN}/{act.id}",
        alert=Alert.PROMISE_BROKEN,
        at=until,
        one=f"{row.customer or 'A customer'} promised to pay and did not: {owed} is owed",
        cells=(str(owed), row.customer or "unknown", f"{until:%Y-%m-%d %H:%M} UTC", row.id),
        money=owed,
    )
