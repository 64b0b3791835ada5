"""What a batch has in hand: read in a few statements, changed in memory, written in a few.

A desk belongs to one transaction. Its drawers hold what is stored of each table, what the batch
has made of it, and on top the draft of the event that is being taken in: if that goes wrong, the
draft is dropped and the rest of the batch stands as it was. Values in a drawer are never changed
in place; a change puts a new value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm.attributes import set_committed_value
from sqlmodel import Session, SQLModel

from dunning import fetching, rollups
from dunning.core.attribution import TOUCH
from dunning.core.events import BillingEvent
from dunning.core.facts import Case
from dunning.core.status import Access, Status
from dunning.core.telling import Stand
from dunning.drawers import Drawer, Fetch
from dunning.store import (
    AttemptRow,
    CaseRow,
    CustomerRow,
    ExemptionRow,
    InboxRow,
    LinkRow,
    LookAgainRow,
    MethodRow,
    OutboxRow,
    PolicyRow,
    RevenueRow,
    ScheduleRow,
    StepRow,
    SubscriptionRow,
    add_rows,
    change_rows,
    drop_rows,
    put_rows,
    table_of,
)

Row = Mapping[str, Any]


class Named(NamedTuple):
    """A thing of one source, by the provider's name for it."""

    source: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the ledger, as it is stored or will be."""

    key: str
    base: str
    case_id: str
    place: int  # 1, 2, 3 … within its case
    source: str
    debit: str
    credit: str
    amount: int
    currency: str
    cause: str
    how: str
    occurred_at: datetime
    recorded_at: datetime
    reverses: str | None
    # Where it is of a payment, what the customer had last heard and done.
    email_step: str | None = None
    email_template: str | None = None
    email_at: datetime | None = None
    click: str | None = None
    click_at: datetime | None = None
    # Where it is of recurring revenue.
    subscription: str | None = None


WHOLE_LINE = tuple(Line.__dataclass_fields__)
LINE = tuple(name for name in WHOLE_LINE if name != "subscription")
RECURRING_LINE = tuple(name for name in WHOLE_LINE if name not in TOUCH)


@dataclass(frozen=True, slots=True)
class Held:
    """A case in hand: its columns, its facts, and what follows from them."""

    row: Row
    case: Case
    present: Status | None = None  # None: as it was stored, nobody has asked yet


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event kept earlier that waits for its case under `ref`."""

    id: int  # of the inbox row
    ref: str
    events: tuple[BillingEvent, ...]


# The events kept earlier that wait for one of these names.
Recall = Callable[[Session, str, Collection[str]], Iterable[Waiting]]
# The facts of a stored case.
ReadFacts = Callable[[str], Case]


class Desk:
    """Everything one transaction reads and writes of cases and of what belongs to them."""

    def __init__(
        self, session: Session, read_facts: ReadFacts, recall: Recall | None = None
    ) -> None:
        self.session = session
        # What was guarded before anything was read; and whether to wait for what comes up later.
        self.guarded: frozenset[str] = frozenset()
        self.patient = True
        self._read_facts = read_facts
        self._recall = recall
        self.cases: Drawer[str, Held] = Drawer(self._fetch_cases)
        self.schedule: Drawer[str, Row] = Drawer(self._fetch_schedule)
        self.entries: Drawer[str, tuple[Line, ...]] = Drawer(self._fetch_entries)
        self.lines: Drawer[str, Line] = Drawer()  # of these the new ones, in their order
        self.because: Drawer[str, tuple[str, ...]] = Drawer()  # the events that brought them
        self.steps: Drawer[str, tuple[Row, ...]] = Drawer(self._fetch_steps)
        self.ended_steps: Drawer[str, Row] = Drawer()
        self.links: Drawer[Named, str] = Drawer(self._fetch_links)
        self.attempts: Drawer[Named, Row] = Drawer(self._named(AttemptRow))
        self.customers: Drawer[Named, Row] = Drawer(self._named(CustomerRow))
        self.subscriptions: Drawer[Named, Row] = Drawer(self._named(SubscriptionRow))
        self.methods: Drawer[Named, Row] = Drawer(self._named(MethodRow))
        self.revenues: Drawer[Named, Row] = Drawer(self._named(RevenueRow))
        # By customer the last word; what is put here is a row of its own.
        self.exemptions: Drawer[Named, Row] = Drawer(self._fetch_exemptions)
        self.look_again: Drawer[Named, Row] = Drawer()
        self.scopes: Drawer[Named, Mapping[str, Stand]] = Drawer(self._fetch_scopes)
        self.waiting: Drawer[Named, tuple[Waiting, ...]] = Drawer(self._fetch_waiting)
        self.policies: Drawer[str, Row] = Drawer()
        self.calls: Drawer[str, Row] = Drawer()
        self.inbox: Drawer[int, Row] = Drawer()
        self.recalled: Drawer[int, Row] = Drawer()
        self._drawers = [each for each in vars(self).values() if isinstance(each, Drawer)]
        # What the session has in hand is read here from the tables.
        session.flush()

    @contextmanager
    def drafting(self) -> Iterator[None]:
        """Take in one thing wholly, or, when an error comes of it, not at all."""
        try:
            yield
        except BaseException:
            for drawer in self._drawers:
                drawer.drop()
            raise
        for drawer in self._drawers:
            drawer.keep()

    # --- reading ---------------------------------------------------------------------------

    def _fetch_cases(self, ids: Collection[str]) -> Mapping[str, Held]:
        found = fetching.cases(self.session, ids)
        return {row["id"]: Held(row, self._read_facts(row["facts"])) for row in found}

    def _fetch_schedule(self, ids: Collection[str]) -> Mapping[str, Row]:
        return {row["case_id"]: row for row in fetching.schedule(self.session, ids)}

    def cases_about(
        self,
        source: str,
        customers: Collection[str],
        scopes: Collection[str],
        since: datetime,
        unpaid: bool = False,
    ) -> Sequence[str]:
        """The ids of these customers' and scopes' cases that had not ended before that moment.

        With `unpaid` also those that had, and may still be paid late.
        """
        return fetching.cases_about(self.session, source, customers, scopes, since, unpaid=unpaid)

    def _fetch_entries(self, ids: Collection[str]) -> Mapping[str, tuple[Line, ...]]:
        found: defaultdict[str, list[Line]] = defaultdict(list)
        for row in fetching.entries(self.session, ids, WHOLE_LINE):
            found[row["case_id"]].append(Line(**row))
        return {case_id: tuple(lines) for case_id, lines in found.items()}

    def _fetch_steps(self, ids: Collection[str]) -> Mapping[str, tuple[Row, ...]]:
        """The steps of each case that were begun and have not ended."""
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row in fetching.steps(self.session, ids):
            found[row["case_id"]].append(row)
        return {case_id: tuple(rows) for case_id, rows in found.items()}

    def _fetch_links(self, keys: Collection[Named]) -> Mapping[Named, str]:
        rows = self._rows_named(LinkRow, "object_id", keys)
        return {Named(row["source"], row["object_id"]): row["invoice"] for row in rows}

    def _named(self, model: type[SQLModel]) -> Fetch[Named, Row]:
        def fetch(keys: Collection[Named]) -> Mapping[Named, Row]:
            rows = self._rows_named(model, "id", keys)
            return {Named(row["source"], row["id"]): row for row in rows}

        return fetch

    def _fetch_exemptions(self, keys: Collection[Named]) -> Mapping[Named, Row]:
        rows = self._rows_named(ExemptionRow, "customer", keys)
        # Of two words of one moment the one that ends an exemption came later.
        told = sorted(rows, key=lambda row: (row["at"], row["act"] == "unexempt", row["id"]))
        return {Named(row["source"], row["customer"]): row for row in told}

    def _fetch_scopes(self, keys: Collection[Named]) -> Mapping[Named, Mapping[str, Stand]]:
        """The access that each stored case of a customer, or of a scope, leaves, by case id."""
        found: dict[Named, dict[str, Stand]] = {key: {} for key in keys}
        for about, other in (("customer", "scope"), ("scope", "customer")):
            wanted = (other, "id", "access", "policy_version")
            for row in self._rows_named(CaseRow, about, keys, *wanted):
                stand = Stand(row["scope"], Access(row["access"]), row["policy_version"])
                found[Named(row["source"], row[about])][row["id"]] = stand
        return found

    def _rows_named(
        self, model: type[SQLModel], about: str, keys: Collection[Named], *names: str
    ) -> Iterator[Row]:
        """The rows of these names: one statement for each source, of which there is mostly one."""
        for source in sorted({key.source for key in keys}):
            ids = sorted({key.id for key in keys if key.source == source})
            yield from fetching.named(self.session, model, about, source, ids, names)

    def _fetch_waiting(self, keys: Collection[Named]) -> Mapping[Named, tuple[Waiting, ...]]:
        found: dict[Named, list[Waiting]] = {}
        if self._recall is not None:
            for source in sorted({key.source for key in keys}):
                refs = sorted({key.id for key in keys if key.source == source})
                for one in self._recall(self.session, source, refs):
                    found.setdefault(Named(source, one.ref), []).append(one)
        return {key: tuple(several) for key, several in found.items()}

    # --- writing ---------------------------------------------------------------------------

    def write(self) -> None:
        """Write everything that was kept, each table in one statement, in one order by all."""
        session = self.session
        put_rows(session, PolicyRow, list(self.policies.changes().values()))
        cases = {name: held.row for name, held in self.cases.changes().items()}
        known = [name for name in cases if self.cases.stored(name) is not None]
        fresh = [name for name in cases if self.cases.stored(name) is None]
        add_rows(session, CaseRow, [cases[name] for name in fresh])
        change_rows(session, CaseRow, [cases[name] for name in known])
        self._write_schedule()
        lines = self.lines.changes().values()
        rollups.append(
            session, _rows(lines, LINE, monthly=False), _rows(lines, RECURRING_LINE, monthly=True)
        )
        self._write_attempts()
        links = [
            {"source": key.source, "object_id": key.id, "invoice": invoice}
            for key, invoice in self.links.changes().items()
        ]
        put_rows(session, LinkRow, links)
        for model, drawer in (
            (CustomerRow, self.customers),
            (SubscriptionRow, self.subscriptions),
            (MethodRow, self.methods),
            (RevenueRow, self.revenues),
        ):
            rows = list(drawer.changes().values())
            put_rows(session, model, rows, update=_all_but(model, "source", "id"))
        add_rows(session, ExemptionRow, list(self.exemptions.changes().values()))
        put_rows(session, LookAgainRow, list(self.look_again.changes().values()))
        steps = list(self.ended_steps.changes().values())
        change_rows(session, StepRow, steps)
        put_rows(session, OutboxRow, list(self.calls.changes().values()))
        # Last, since two workers may recall one row, and whoever has it must wait for nothing more.
        change_rows(session, InboxRow, list(self.inbox.changes().values()))
        found = [
            {"id": row_id, "waiting": False, "reason": "", **told}
            for row_id, told in sorted(self.recalled.changes().items())
        ]
        change_rows(session, InboxRow, found)
        for name in known:
            _tell(session, CaseRow, name, cases[name])
        for row in steps:
            _tell(session, StepRow, row["key"], row)

    def _write_schedule(self) -> None:
        """Only what differs: most news does not change when a case is looked at next."""
        changed = [
            (name, row)
            for name, row in self.schedule.changes().items()
            if row != self.schedule.stored(name)
        ]
        due = [row for _, row in changed if row["due_at"] is not None]
        put_rows(self.session, ScheduleRow, due, update=_all_but(ScheduleRow, "case_id"))
        over = [name for name, row in changed if row["due_at"] is None]
        drop_rows(self.session, ScheduleRow, [n for n in over if self.schedule.stored(n)])

    def _write_attempts(self) -> None:
        """Told apart by reading: a partitioned table knows no conflict of source and id alone."""
        changes = self.attempts.changes()
        self.attempts.load(changes)
        known = [row for name, row in changes.items() if self.attempts.stored(name) is not None]
        fresh = [row for name, row in changes.items() if self.attempts.stored(name) is None]
        add_rows(self.session, AttemptRow, fresh)
        change_rows(self.session, AttemptRow, [{n: row[n] for n in _ATTEMPT} for row in known])


def _rows(lines: Iterable[Line], names: tuple[str, ...], *, monthly: bool) -> list[Row]:
    """The new lines of the ledger, or those of recurring revenue, as rows."""
    wanted = (line for line in lines if (line.subscription is not None) is monthly)
    return [{name: getattr(line, name) for name in names} for line in wanted]


def _all_but(model: type[SQLModel], *names: str) -> tuple[str, ...]:
    return tuple(column.name for column in table_of(model).c if column.name not in names)


# Whose case a try was written for first stays.
_ATTEMPT = _all_but(AttemptRow, "case_id", "currency")


def _tell(session: Session, model: type[SQLModel], key: str, row: Row) -> None:
    """Bring an object the session holds of this row up to what was written past it."""
    held = session.identity_map.get(session.identity_key(model, key))
    if held is not None:
        for name, value in row.items():
            set_committed_value(held, name, value)
