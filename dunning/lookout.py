"""Looks at what lies ahead of customers: of whomever there is news, and once a day of all.

The provider has no event for a card that will expire, and one for a renewal only days ahead; so it
is read off what is known of subscriptions and cards. A look is worth what the rows say, whoever
wrote them in whatever order: looking again changes nothing. Any number of processes may look.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Engine, delete, literal, select, tuple_
from sqlmodel import Session

from dunning import crashpoints
from dunning.cases import CaseBook
from dunning.core.ahead import NoticeReported, outlook_from, upcoming_from
from dunning.core.calendar import zone_of
from dunning.core.notices import BEGINS_AHEAD, moment_of_ahead
from dunning.core.outlook import Billed, Card, Person, news
from dunning.core.watching import Watch
from dunning.core.words import Kind
from dunning.documents import parse_facts
from dunning.errors import MoneyError
from dunning.mirror import NO_DEFAULT
from dunning.store import (
    CaseRow,
    CustomerRow,
    LookAgainRow,
    LookoutRow,
    MethodRow,
    SubscriptionRow,
    among,
    guard,
    reading,
    table_of,
    transaction,
)

log = structlog.get_logger(__name__)

EVERY = timedelta(days=1)
# So many customers are looked at in one transaction.
BATCH = 200
# A customer's day may end so much later than the day of UTC.
ZONES = timedelta(days=1)
# Notices that ended longer ago are of no use to know which were given.
REMEMBERED = timedelta(days=400)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Page:
    """Some customers of the daily look, and where it goes on after them."""

    customers: Collection[str]
    stage: str
    place: str


class Lookout:
    """One for each process; `sources` are the accounts that are looked at, by their provider."""

    def __init__(
        self,
        engine: Engine,
        cases: CaseBook,
        watch: Callable[[], Watch],
        sources: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._cases = cases
        self._watch = watch
        self._sources = sources

    def tick(self, now: datetime) -> int:
        """One turn of bounded length; how many customers were looked at, 0 when nothing is left."""
        watch = self._watch()
        if not watch.leads:
            return 0
        looked = self._news(watch, now)
        for source in self._sources:
            looked += self._turn(source, watch, now)
        return looked

    def run(self, now: datetime, *, stopped: Callable[[], bool] = lambda: False) -> int:
        """Turn after turn until nothing is left to look at."""
        looked = 0
        while not stopped() and (one := self.tick(now)):
            looked += one
        return looked

    def follow(self, now: datetime) -> datetime | None:
        """Look at all there is now, and say when to look again: for whoever moves the clock."""
        self.run(now)
        return self._next_at(now)

    def _next_at(self, now: datetime) -> datetime | None:
        """When there is something to look at again; None: nobody is told of anything."""
        if not self._watch().leads or not self._sources:
            return None
        with reading(self._engine) as session:
            if session.execute(select(table_of(LookAgainRow).c.source).limit(1)).first():
                return now
            table = table_of(LookoutRow)
            query = select(table.c.source, table.c.began_at)
            began = {row.source: row.began_at for row in session.execute(query)}
        return min((began[s] + EVERY if s in began else now) for s in self._sources)

    # --- whom there is news of -------------------------------------------------------------

    def _news(self, watch: Watch, now: datetime) -> int:
        table = table_of(LookAgainRow)
        query = select(table.c.source, table.c.customer).order_by(table.c.since).limit(BATCH)
        with reading(self._engine) as session:
            waiting = session.execute(query).all()
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in waiting:
            found[row.source].append(row.customer)
        for source, customers in found.items():
            with transaction(self._engine) as session:
                if source in self._sources:
                    self._look(session, source, customers, watch, now)
                mine = table.c.source == source
                session.execute(delete(table).where(mine, table.c.customer.in_(customers)))
                crashpoints.reach("lookout.before_commit")
        return len(waiting)

    # --- all of them, once a day -----------------------------------------------------------

    def _turn(self, source: str, watch: Watch, now: datetime) -> int:
        """The next page of the daily look, if it is due or under way."""
        with reading(self._engine) as session:
            row = session.get(LookoutRow, source)
            if row is not None and not _is_due(row, watch, now):
                return 0
        with transaction(self._engine) as session:
            guard(session, {f"lookout/{source}"})
            row = session.get(LookoutRow, source)
            if row is None:
                row = LookoutRow(source=source, began_at=now - EVERY, policies="")
                session.add(row)
            if not _is_due(row, watch, now):
                return 0  # another process was quicker
            if row.stage == "done" or row.policies != watch.mark:
                row.stage, row.place = "cards", ""
                row.began_at, row.ended_at, row.policies = now, None, watch.mark
            page = self._page(session, row, watch, now)
            if page.customers:
                self._look(session, source, page.customers, watch, now)
            row.stage, row.place = page.stage, page.place
            if page.stage == "done":
                row.ended_at = now
            crashpoints.reach("lookout.before_commit")
        return max(len(page.customers), 1)

    def _page(self, session: Session, row: LookoutRow, watch: Watch, now: datetime) -> _Page:
        began = row.began_at
        if row.stage == "cards":
            lead = watch.leads.get(Kind.CARD_EXPIRY)
            found = [] if lead is None else _cards(session, row, began + lead, began)
            return _next(found, "cards", "renewals")
        lead = watch.leads.get(Kind.RENEWAL)
        found = [] if lead is None else _renewals(session, row, began + lead, began)
        return _next(found, "renewals", "done")

    # --- one look --------------------------------------------------------------------------

    def _look(
        self,
        session: Session,
        source: str,
        customers: Collection[str],
        watch: Watch,
        now: datetime,
    ) -> None:
        """See what lies ahead of these, and tell their cases; whoever has news of them waits."""
        guard(session, {f"{source}/{customer}" for customer in customers})
        told = {
            person.id: list(_worth(person, known, watch, now))
            for person, known in _people(session, source, customers, now)
        }
        told = {name: events for name, events in told.items() if events}
        if not told:
            return
        desk = self._cases.desk(session)
        self._cases.gather(desk, {source: [event for events in told.values() for event in events]})
        for name, events in told.items():
            try:
                with desk.drafting():
                    self._cases.take(desk, source, self._sources[source], events, now)
            except MoneyError as error:
                log.warning("lookout.left_out", source=source, customer=name, why=str(error))
        self._cases.write(desk, now)


def _is_due(row: LookoutRow, watch: Watch, now: datetime) -> bool:
    return row.stage != "done" or row.policies != watch.mark or row.began_at + EVERY <= now


def _next(found: Sequence[tuple[str, list[Any]]], stage: str, following: str) -> _Page:
    """The customers of a page, and where to go on: a page that is not full was the last."""
    customers = {customer for customer, _ in found}
    if len(found) < BATCH:
        return _Page(customers, following, "")
    return _Page(customers, stage, json.dumps(found[-1][1]))


def _cards(
    session: Session, row: LookoutRow, until: datetime, began: datetime
) -> list[tuple[str, list[Any]]]:
    """The next cards whose last day comes within that time, with where each stands."""
    table = table_of(MethodRow)
    since = json.loads(row.place) if row.place else [*_month(began - ZONES), ""]
    place = tuple_(table.c.exp_year, table.c.exp_month, table.c.id)
    query = (
        select(table.c.customer, table.c.exp_year, table.c.exp_month, table.c.id)
        .where(
            table.c.source == row.source,
            place > _literals(since),
            tuple_(table.c.exp_year, table.c.exp_month)
            <= _literals([*_month(until + BEGINS_AHEAD + ZONES)]),
        )
        .order_by(table.c.exp_year, table.c.exp_month, table.c.id)
        .limit(BATCH)
    )
    return [(customer, list(at)) for customer, *at in session.execute(query)]


def _renewals(
    session: Session, row: LookoutRow, until: datetime, began: datetime
) -> list[tuple[str, list[Any]]]:
    """The next subscriptions that renew within that time."""
    table = table_of(SubscriptionRow)
    at, name = json.loads(row.place) if row.place else [(began - ZONES).isoformat(), ""]
    since = literal(datetime.fromisoformat(at), table.c.renews_at.type)
    query = (
        select(table.c.customer, table.c.renews_at, table.c.id)
        .where(
            table.c.source == row.source,
            table.c.renews_at >= since,
            (table.c.renews_at > since) | (table.c.id > name),
            table.c.renews_at <= until + BEGINS_AHEAD,
            table.c.customer.is_not(None),
        )
        .order_by(table.c.renews_at, table.c.id)
        .limit(BATCH)
    )
    return [(who, [when.isoformat(), name]) for who, when, name in session.execute(query)]


def _month(moment: datetime) -> tuple[int, int]:
    return moment.year, moment.month


def _literals(values: Sequence[Any]) -> ColumnElement[Any]:
    return tuple_(*(literal(value) for value in values))


# --- what is known of a customer -------------------------------------------------------------


def _worth(
    person: Person, known: Mapping[str, NoticeReported], watch: Watch, now: datetime
) -> Iterator[NoticeReported]:
    """What one look says, but for what lies further ahead than any notice."""
    for event in news(person, known, now):
        lead = watch.leads.get(event.kind)
        if event.invoice in known:
            yield event
        elif lead is not None:
            zone = zone_of(person.timezone, person.country, "UTC")
            at = moment_of_ahead(event.kind, event.ahead, zone)
            if at <= now + lead + BEGINS_AHEAD + ZONES:
                yield event


def _people(
    session: Session, source: str, customers: Collection[str], now: datetime
) -> Iterator[tuple[Person, dict[str, NoticeReported]]]:
    """What the tables know of these customers, and the notices they have."""
    names = sorted(customers)
    own = {row["id"]: row for row in _rows(session, CustomerRow, source, "id", names)}
    subscriptions, cards = (
        _by_customer(_rows(session, model, source, "customer", names))
        for model in (SubscriptionRow, MethodRow)
    )
    known = _notices(session, source, names, now)
    for name in names:
        person = _person(name, own.get(name), subscriptions[name], cards[name])
        yield person, known[name]


def _person(name: str, row: Row | None, billed: Sequence[Row], cards: Sequence[Row]) -> Person:
    known = row or {}
    default = known.get("default_method")
    return Person(
        id=name,
        timezone=known.get("timezone"),
        country=known.get("country"),
        default=None if default == NO_DEFAULT else default,
        deleted=known.get("deleted_at") is not None,
        cards=tuple(map(_card, cards)),
        billed=tuple(map(_billed, billed)),
    )


def _card(row: Row) -> Card:
    names = ("id", "type", "network", "last4", "exp_month", "exp_year")
    # A card that came back after it was taken away was heard of later.
    gone = row["gone_at"] is not None and row["gone_at"] >= row["as_of"]
    return Card(**{name: row[name] for name in names}, gone=gone)


def _billed(row: Row) -> Billed:
    return Billed(
        id=row["id"],
        status=row["status"],
        outlook=outlook_from(row["outlook"]),
        ended=row["ended_at"] is not None,
        upcoming=upcoming_from(row["upcoming"]),
    )


def _by_customer(rows: Iterator[Row]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: str(row["id"])):
        found[row["customer"]].append(row)
    return found


def _rows(
    session: Session, model: type[Any], source: str, about: str, names: Sequence[str]
) -> Iterator[Row]:
    table = table_of(model)
    query = select(table).where(table.c.source == source, among(session, table.c[about], names))
    yield from (dict(row) for row in session.execute(query).mappings())


def _notices(
    session: Session, source: str, names: Sequence[str], now: datetime
) -> defaultdict[str, dict[str, NoticeReported]]:
    """The notices of each customer by name, as last told, the open ones and those just ended."""
    table = table_of(CaseRow)
    query = select(table.c.customer, table.c.invoice, table.c.facts).where(
        table.c.source == source,
        among(session, table.c.customer, names),
        table.c.kind != Kind.RECOVERY.value,
        table.c.closed_at.is_(None) | (table.c.closed_at > now - REMEMBERED),
    )
    found: defaultdict[str, dict[str, NoticeReported]] = defaultdict(dict)
    for customer, name, facts in session.execute(query):
        told = parse_facts(facts).notice
        if told is not None:
            found[customer][name] = told
    return found
