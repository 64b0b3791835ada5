"""Our side of the tie-out, read from the database; and whose invoice a booking of theirs is."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlmodel import Session, col

from dunning.case_rows import read_facts
from dunning.closed import booked_at, booked_between
from dunning.core.bookings import Booking, Flow, Known, Posted, Webhook
from dunning.core.entries import Account, books
from dunning.core.events import AttemptStatus, DisputeStatus
from dunning.core.facts import Case
from dunning.core.money import currency_code
from dunning.core.moves import left_out, too_much
from dunning.reports.periods import FIRST, LAST, label_at, span, unit_of, zone_named
from dunning.reports.report import refuse_unknown
from dunning.store import CaseRow, EntryRow, InboxRow, LinkRow, among

# When the provider says it happened, or where the books count what came too late for its month.
Dated = Literal["occurred", "books"]
DATED: tuple[Dated, ...] = get_args(Dated)
RECOVERY = "recovery"
_BACK = {Account.REFUNDED.value: Flow.REFUNDED, Account.DISPUTED.value: Flow.DISPUTED}
_NAMED = re.compile(r"/(?:refund|dispute)/([^:]+):")
_WORDS = re.compile(rb"[\w.-]{3,255}")  # of a body: the provider's names are among them

Key = tuple[Flow, str, str | None]  # what it did, in which currency, in which period
Sums = Counter[Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is compared: which days by whose calendar, which source and currency."""

    by: tuple[str, ...] = ()
    since: date | None = None
    until: date | None = None
    source: str | None = None
    currency: str | None = None
    zone: str = "UTC"
    year_from: int = 1
    date: Dated = "occurred"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, before anybody is asked."""
        unit_of(self.by)
        span(self.since, self.until, zone_named(self.zone))
        refuse_unknown("date", self.date, DATED)
        if self.currency is not None:
            object.__setattr__(self, "currency", currency_code(self.currency))

    def between(self) -> tuple[datetime, datetime]:
        """The moments between which things count, the second one no longer."""
        zone = zone_named(self.zone)
        starts, ends = span(self.since or FIRST, self.until or LAST, zone)
        assert starts is not None
        assert ends is not None
        return starts, ends

    def period(self, at: datetime) -> str | None:
        """The label of the period a moment lies in, where the breakdown is by one."""
        unit = unit_of(self.by)
        return label_at(unit, at, zone_named(self.zone), self.year_from) if unit else None

    def filters(self) -> dict[str, Any]:
        """As the report states it."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "by": list(self.by),
            "source": self.source,
            "currency": self.currency,
            "zone": self.zone,
            "date": self.date,
            "fiscal_year_start": self.year_from,
        }


# --- the entries ---------------------------------------------------------------------------


def flow_of(debit: str, credit: str) -> tuple[Flow, int] | None:
    """What an entry says that money did, and its sign; None: nothing that a provider books."""
    if credit == Account.RECOVERED:
        return (_BACK[debit], -1) if debit in _BACK else (Flow.PAID, 1)
    if debit == Account.RECOVERED and credit in _BACK:
        return _BACK[credit], 1
    return None


class _Line(NamedTuple):
    case_id: str
    key: str
    base: str
    debit: str
    credit: str
    amount: int
    currency: str
    how: str
    occurred_at: datetime
    counted_at: datetime
    reverses: str | None
    closed_period: str | None


def _lines(question: Question, upto: int) -> Select[Any]:
    counted = booked_at() if question.date == "books" else col(EntryRow.occurred_at)
    names = ("case_id", "key", "base", "debit", "credit", "amount", "currency", "how")
    columns: list[Any] = [getattr(EntryRow, name) for name in names]
    columns += [EntryRow.occurred_at, counted, EntryRow.reverses, EntryRow.closed_period]
    recovered = Account.RECOVERED.value
    moved = or_(col(EntryRow.debit) == recovered, col(EntryRow.credit) == recovered)
    return select(*columns).where(moved, col(EntryRow.id) <= upto)


def _of(line: _Line) -> tuple[Flow, int] | None:
    """A counter-entry is what it takes back, with a minus."""
    if line.reverses is None:
        found = flow_of(line.debit, line.credit)
        return (found[0], found[1] * line.amount) if found else None
    found = flow_of(line.credit, line.debit)
    return (found[0], -found[1] * line.amount) if found else None


def newest(session: Session) -> int:
    """The newest entry there is: what is written later is no part of the comparison."""
    return session.scalar(select(func.max(col(EntryRow.id)))) or 0


def first_entry(session: Session, source: str) -> datetime | None:
    """When the first thing in the ledger of a source occurred."""
    query = select(func.min(col(EntryRow.occurred_at))).where(col(EntryRow.source) == source)
    return session.scalar(query)


def our_sums(session: Session, question: Question, source: str, upto: int) -> dict[str, Sums]:
    """What came in and went back of each case of a source within the question."""
    starts, ends = question.between()
    occurred = col(EntryRow.occurred_at)
    within: ColumnElement[bool] = (occurred >= starts) & (occurred < ends)
    if question.date == "books":
        within = booked_between(starts, ends)
    query = _lines(question, upto).where(within, col(EntryRow.source) == source)
    if question.currency is not None:
        query = query.where(col(EntryRow.currency) == question.currency)
    sums: defaultdict[str, Sums] = defaultdict(Counter)
    for row in session.execute(query.execution_options(yield_per=5_000)):
        line = _Line(*row)
        found = _of(line)
        if found is not None:
            key = (found[0], line.currency, question.period(line.counted_at))
            sums[line.case_id][key] += found[1]
    return dict(sums)


def posted(
    session: Session, question: Question, cases: Collection[str], upto: int
) -> dict[str, list[Posted]]:
    """All that the ledger has of these cases, without corrections and what they correct."""
    query = _lines(question, upto).where(among(session, col(EntryRow.case_id), cases))
    found: defaultdict[str, dict[str, _Line]] = defaultdict(dict)
    for row in session.execute(query.order_by(col(EntryRow.id))):
        line = _Line(*row)
        target = found[line.case_id].get(line.reverses or "")
        # One of a closed month stays, and so does what takes it back in another.
        if target is not None and target.counted_at == line.counted_at:
            del found[line.case_id][target.key]
        else:
            found[line.case_id][line.key] = line
    return {case: [_posted(line) for line in lines.values()] for case, lines in found.items()}


def _posted(line: _Line) -> Posted:
    told = _of(line)
    assert told is not None
    named = _NAMED.search(line.base)
    return Posted(
        flow=told[0],
        amount=told[1],
        currency=line.currency,
        at=line.occurred_at,
        counted_at=line.counted_at,
        about=named[1] if named else "",
        outside=line.how == "outside",
        closed=line.closed_period,
    )


# --- whose a booking is ----------------------------------------------------------------------


@dataclass(slots=True)
class Sorted:
    """Bookings of one page: of cases, of nobody here, and those that the provider must place."""

    ours: list[tuple[str, Booking]] = field(default_factory=list)
    strange: list[Booking] = field(default_factory=list)
    unclear: list[Booking] = field(default_factory=list)


def sort_out(session: Session, source: str, bookings: Sequence[Booking]) -> Sorted:
    """By the invoice it names, else by the payment that is known, else by its customer."""
    named = {name for one in bookings if one.invoice is None for name in one.all_names}
    links = select(col(LinkRow.object_id), col(LinkRow.invoice)).where(
        col(LinkRow.source) == source, among(session, col(LinkRow.object_id), named)
    )
    known = {row[0]: row[1] for row in session.execute(links)}
    told = [one.invoice or _first(known, one.all_names) for one in bookings]
    cases = _cases(session, source, CaseRow.invoice, {name for name in told if name})
    whose = {one.customer for one in bookings if one.customer}
    customers = _cases(session, source, CaseRow.customer, whose)
    found = Sorted()
    for one, invoice in zip(bookings, told, strict=True):
        if invoice is not None and invoice in cases:
            found.ours.append((cases[invoice], replace(one, invoice=invoice)))
        elif invoice is None and one.customer in customers:
            found.unclear.append(one)
        else:
            found.strange.append(one)
    return found


def _first(known: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((known[name] for name in sorted(names) if name in known), None)


def _cases(session: Session, source: str, column: Any, names: Collection[str]) -> dict[str, str]:
    query = select(col(column), col(CaseRow.id)).where(
        col(CaseRow.source) == source,
        col(CaseRow.kind) == RECOVERY,
        among(session, col(column), names),
    )
    return {row[0]: row[1] for row in session.execute(query)}


def unpaid(session: Session, source: str, ends: datetime) -> Iterator[tuple[str, str]]:
    """The open cases of a source that had begun by then: case and invoice."""
    query = select(col(CaseRow.id), col(CaseRow.invoice)).where(
        col(CaseRow.source) == source,
        col(CaseRow.kind) == RECOVERY,
        col(CaseRow.amount_at_risk) > 0,
        col(CaseRow.opened_at) < ends,
    )
    yield from ((case, invoice) for case, invoice in session.execute(query))


# --- what is known beside the entries ----------------------------------------------------------


def known(session: Session, cases: Collection[str]) -> dict[str, Known]:
    """What is on record of these cases; one whose facts cannot be read is told by its row."""
    rows = session.scalars(select(CaseRow).where(among(session, col(CaseRow.id), cases)))
    return {row.id: _known(row, read_facts(row)) for row in rows}


def _known(row: CaseRow, case: Case) -> Known:
    failed_at = case.failed_at
    credited = books(case).forgiven
    return Known(
        case=row.id,
        source=row.source,
        invoice=row.invoice,
        currency=row.currency,
        opened_at=failed_at,
        adopted_at=case.adopted.at if case.adopted else None,
        forgiven=credited,
        too_much=too_much(case, credited),
        heard=_heard(case),
        uncounted=left_out(case, failed_at) if failed_at else frozenset(),
        failed_refunds=frozenset(told.refund for told in case.refunds if not told.live),
    )


def _heard(case: Case) -> dict[Flow, frozenset[str]]:
    paid = {name for one in case.payments for name in (one.id, one.charge) if name}
    for tried in case.attempts:
        if tried.status is AttemptStatus.SUCCEEDED:
            paid |= {x for x in (tried.id, tried.charge, tried.payment_intent) if x}
    refunds = {told.refund for told in case.refunds}
    singly = {told.charge for told in case.refunds}
    # Where refunds are told as a sum for each charge, its name is the only one there is.
    refunds |= {told.charge for told in case.charge_refunds if told.charge not in singly}
    disputes = {told.dispute for told in case.disputes}
    won = {f"{one.dispute}/back" for one in case.disputes if one.status is DisputeStatus.WON}
    return {
        Flow.PAID: frozenset(paid),
        Flow.REFUNDED: frozenset(refunds),
        Flow.DISPUTED: frozenset(disputes | won),
    }


def waiting(session: Session, source: str, names: Collection[str]) -> dict[str, Webhook]:
    """Which of these names stand in a webhook that was kept and not taken in."""
    wanted = {name.encode() for name in names}
    found: dict[str, Webhook] = {}
    if not wanted:
        return found
    columns = (InboxRow.id, InboxRow.event_id, InboxRow.type, InboxRow.state, InboxRow.body)
    for state in ("new", "parked"):
        query = select(*(col(column) for column in columns)).where(
            col(InboxRow.state) == state, col(InboxRow.source) == source
        )
        rows = session.execute(query.order_by(col(InboxRow.id)).execution_options(yield_per=500))
        for row_id, event, kind, where, body in rows:
            hook = Webhook(id=row_id, event=event, type=kind, state=where)
            for name in wanted & set(_WORDS.findall(body)):
                found.setdefault(name.decode(), hook)
    return found
