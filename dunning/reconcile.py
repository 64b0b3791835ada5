"""Ask the provider for what we may have missed: events, open invoices, and steps left unknown.

What is found goes in through the same doors as everything else: events into the inbox (where one
that was kept before is a duplicate), invoices as news to their case. A pass goes page by page,
and a bookmark says how far it came, so that one that was stopped is gone on with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import structlog
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from dunning import crashpoints
from dunning.adopt import Adoption, Terms, known_cases
from dunning.bookmarks import RUN, Bookmark
from dunning.case_rows import locked, read_facts
from dunning.cases import CaseBook
from dunning.core.events import Bill, InvoiceNews, InvoiceReported, StepDeferred
from dunning.core.ports import Provider, Reader
from dunning.errors import LeaseLostError, MalformedError, ProviderRefusedError
from dunning.inbox import Inbox, Received, keep
from dunning.redaction import in_words
from dunning.schedule import is_claimed
from dunning.store import CaseRow, InboxRow, StepRow, is_passing, reading, transaction

log = structlog.get_logger(__name__)

PAGE = 100
# Events older than this are not to be had from the provider any more.
HORIZON = timedelta(days=30)
# A webhook may be this late before it counts as one that did not come.
LATE = timedelta(minutes=5)
# An open invoice without a case that failed within so long is a case like any other; an older
# one is taken over with all the care that `adopt` takes.
FRESH = timedelta(days=3)


@dataclass(slots=True)
class Found:
    """What a pass came across."""

    events: int = 0
    events_new: int = 0
    missed: int = 0  # of the new ones, those whose webhook should surely have come by then
    types: Counter[str] = field(default_factory=Counter)  # of those, how many of each type
    invoices: int = 0
    cases: int = 0  # moved by what their open invoice shows
    adopted: int = 0
    woken: int = 0  # steps of unknown ending that are asked about now
    resumed: datetime | None = None  # where an earlier pass was gone on with

    @property
    def duplicates(self) -> int:
        """Events that were known."""
        return self.events - self.events_new


@dataclass(frozen=True, slots=True)
class Account:
    """One source, with what reads it and what asks it."""

    source: str
    reader: Reader
    provider: Provider


@dataclass(slots=True)
class Pass:
    """One time of asking one account, and how far it is."""

    engine: Engine
    cases: CaseBook
    inbox: Inbox
    account: Account
    now: Callable[[], datetime]
    bookmark: Bookmark
    progress: Callable[[Found], None] = lambda _found: None
    dry: bool = False
    page: int = PAGE
    found: Found = field(default_factory=Found)

    def events(self, since: datetime, until: datetime) -> None:
        """Take in every event since then; what is older than `until` was missed if it is new."""
        bodies = self.account.provider.missed(since)
        while page := list(islice(bodies, self.page)):
            received = list(self._received(page))
            self.found.events += len(page)
            if received and self.dry:
                self._count_unknown(received)
            elif received:
                self._keep(received, until)
            self.progress(self.found)

    def _keep(self, received: Sequence[Received], until: datetime) -> None:
        now = self.now()
        with transaction(self.engine) as session:
            ids = keep(session, received, now)
            late = _types(session, ids, until - LATE, self.account.reader.awaited)
        crashpoints.reach("reconcile.page")
        found = self.found
        found.events_new += len(ids)
        found.missed += late.total()
        found.types.update(late)
        self.bookmark.move(
            now,
            seen_to=max(item.envelope.created for item in received),
            events=found.events,
            missed=found.missed,
            missed_types=_most(found.types),
        )
        try:
            self.inbox.handle(ids, self.now())
        except DBAPIError as error:
            if not is_passing(error):
                raise
            # They are kept: the dispatcher sweeps up what nobody handled.
            log.warning("reconcile.handled_later", source=self.account.source, why=str(error.orig))

    def _count_unknown(self, received: Sequence[Received]) -> None:
        names = {item.envelope.id for item in received}
        with reading(self.engine) as session:
            query = select(func.count()).where(
                col(InboxRow.source) == self.account.source, col(InboxRow.event_id).in_(names)
            )
            self.found.events_new += len(names) - session.execute(query).scalar_one()

    def _received(self, bodies: Sequence[bytes]) -> Iterator[Received]:
        for body in bodies:
            try:
                envelope = self.account.reader.open(body)
            except MalformedError as error:
                log.warning("reconcile.unreadable", source=self.account.source, why=str(error))
                continue
            yield Received(source=self.account.source, envelope=envelope, body=body)

    def invoices(self, since: datetime | None, after: str | None) -> None:
        """Take in every open invoice that failed, and was made since then if that is said."""
        for page in self._pages(since, after):
            known = known_cases(self.engine, self.account.source, page)
            for bill in page:
                self._take(bill, known.get(bill.invoice))
                self.found.invoices += 1
                self.progress(self.found)
            if not self.dry:
                self.bookmark.move(self.now(), invoice=page[-1].invoice)

    def _pages(self, since: datetime | None, after: str | None) -> Iterator[list[Bill]]:
        try:
            yield from _paged(self.account.provider.open_invoices(since=since, after=after))
        except ProviderRefusedError:
            if after is None:
                raise
            # The invoice we stopped at is not open any more: from the beginning, then.
            yield from _paged(self.account.provider.open_invoices(since=since))

    def _take(self, bill: Bill, row: CaseRow | None) -> None:
        source, provider = self.account.source, self.account.provider
        if row is None:
            terms = Terms(fresh=FRESH, dry=self.dry)
            adoption = Adoption(self.engine, self.cases, source, provider, terms, self.now)
            line = adoption.take(bill)
            self.found.adopted += line.outcome == "adopted"
            return
        facts = read_facts(row)
        if facts.bill == bill:
            return
        self.found.cases += 1
        if self.dry:
            return
        now = self.now()
        name = f"open:{bill.invoice}"
        # Our clock may be behind: this view is newer than the one we have, whatever it says.
        at = now if facts.bill_at is None else max(now, facts.bill_at + timedelta(seconds=1))
        news = InvoiceReported(id=name, at=at, news=InvoiceNews.UPDATED, bill=bill)
        with transaction(self.engine) as session:
            self.cases.apply(session, source, provider.name, [news], now)

    def doubts(self) -> None:
        """Have every step whose ending is unknown asked about now, and not when it was put off to.

        The step itself asks, as it knows how: see `unknown endings` in the design.
        """
        last = ""
        while keys := self._unknown(last):
            last = keys[-1][0]
            for key, case in keys:
                self.found.woken += self._wake(key, case)

    def _unknown(self, after: str) -> list[tuple[str, str]]:
        query = (
            select(col(StepRow.key), col(StepRow.case_id))
            .join(CaseRow, col(CaseRow.id) == col(StepRow.case_id))
            .where(
                col(StepRow.state) == "unknown",
                col(StepRow.key) > after,
                col(CaseRow.source) == self.account.source,
            )
            .order_by(col(StepRow.key))
            .limit(PAGE)
        )
        with reading(self.engine) as session:
            return [(key, case) for key, case in session.execute(query)]

    def _wake(self, key: str, case: str) -> bool:
        now = self.now()
        with transaction(self.engine) as session:
            row = locked(session, case)
            until = {step.id: step.until for step in read_facts(row).deferred}
            if is_claimed(session, case) or until.get(key, now) <= now:
                return False  # somebody is at it, or will be in a moment
            if not self.dry:
                why = "asked for: what became of it"
                event = StepDeferred(id=key, at=now, until=now, why=why)
                self.cases.apply_by_hand(session, row, [event], now)
        return True


def _paged(bills: Iterator[Bill]) -> Iterator[list[Bill]]:
    while page := list(islice(bills, PAGE)):
        yield page


def _has_cases(engine: Engine, source: str) -> bool:
    with reading(engine) as session:
        one = select(col(CaseRow.id)).where(col(CaseRow.source) == source).limit(1)
        return session.scalars(one).first() is not None


def _types(
    session: Session, ids: Sequence[int], before: datetime, awaited: frozenset[str]
) -> Counter[str]:
    query = select(col(InboxRow.type)).where(
        col(InboxRow.id).in_(ids),
        col(InboxRow.created_at) < before,
        col(InboxRow.type).in_(awaited),
    )
    return Counter(session.scalars(query))


def _most(types: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in types.most_common(5))


def reconcile(
    engine: Engine,
    cases: CaseBook,
    inbox: Inbox,
    account: Account,
    *,
    since: datetime,
    now: Callable[[], datetime],
    progress: Callable[[Found], None] = lambda _found: None,
    dry: bool = False,
    page: int = PAGE,
) -> Found:
    """Take in what was missed since then, going on where an earlier run was stopped."""
    bookmark = Bookmark(engine, account.source, RUN)
    asking = Pass(engine, cases, inbox, account, now, bookmark, progress, dry, page)
    began = now()
    since = max(since, began - HORIZON)
    start, after = since, None
    known = bookmark.row()
    stopped = known is not None and known.state in ("events", "invoices") and not dry
    # Where there is no case yet, old debts are taken over with care before their events come in.
    estate = not dry and (
        (known is not None and known.state == "estate") or not _has_cases(engine, account.source)
    )
    if known is not None and stopped and known.since <= since < known.seen_to:
        start, asking.found.resumed = known.seen_to, known.seen_to
        after = known.invoice if known.state == "invoices" else None
    elif not dry:
        bookmark.begin(since, began)
    try:
        if estate:
            behind = known.invoice if known is not None and known.state == "estate" else None
            bookmark.move(now(), state="estate", invoice=behind)
            asking.invoices(None, behind)
            bookmark.move(now(), state="events", invoice=None)
        asking.events(start, began)
        if not dry:
            bookmark.move(now(), state="invoices", invoice=after, seen_to=began)
        if not estate:
            asking.invoices(None, after)
        asking.doubts()
    except LeaseLostError:
        raise
    except Exception as error:
        if not dry:
            bookmark.move(now(), error=in_words(error))
        raise
    if not dry:
        bookmark.move(now(), state="done", ended_at=now(), error="")
    return asking.found
