"""What the tests of the stages share: a clock that a test moves, and the stages on a database."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlmodel import Session, SQLModel, select

from dunning.cases import CaseBook
from dunning.core.case import case_id
from dunning.core.choosing import Subject
from dunning.core.events import BillingEvent
from dunning.core.policy import Policy
from dunning.core.ports import Provider
from dunning.inbox import Inbox, Received, keep
from dunning.keeper import Keeper
from dunning.providers.stripe.reader import StripeReader
from dunning.readers import SourceReader
from dunning.store import CaseRow, InboxRow, ScheduleRow, engine_for, transaction
from tests.builders import INVOICE, SOURCE, T0
from tests.policies import STANDARD
from tests.providers.stripe.bodies import AT, Body, raw

Row = TypeVar("Row", bound=SQLModel)
PATIENCE = 30.0
_THINGS = re.compile(r'"(in|inpay|il|ch|pi|re|dp|cn|cus|sub|si|pm|seti|mandate)_1"')


class ManualClock:
    """A clock that stands until a test moves it."""

    def __init__(self, start: datetime = AT) -> None:
        self.time = start

    def now(self) -> datetime:
        return self.time

    def fresh(self) -> datetime:
        return self.time

    def passes(self, **span: float) -> datetime:
        self.time += timedelta(**span)
        return self.time


def eventually(so: Callable[[], object], what: str = "") -> None:
    """Wait until it is so; fail when it does not come true within a generous time."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.02)):
        if so():
            return
        pause.wait(0.02)
    raise AssertionError(f"it never came true: {what or so}")


class Together:
    """Runs calls at once on threads, and hands back what each gave or raised."""

    def __init__(self, *calls: Callable[[], Any]) -> None:
        self.errors: list[BaseException] = []
        self.given: list[Any] = [None] * len(calls)
        self._gate = threading.Barrier(len(calls))
        threads = [
            threading.Thread(target=self._run, args=(number, call))
            for number, call in enumerate(calls)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * 2)
            assert not thread.is_alive(), "they wait for each other"

    def _run(self, number: int, call: Callable[[], Any]) -> None:
        self._gate.wait(PATIENCE)
        try:
            self.given[number] = call()
        except BaseException as error:  # noqa: BLE001 - told by the caller
            self.errors.append(error)


_numbers = itertools.count(1)


def named(body: Body, name: str | None = None, **fields: Any) -> Body:
    """The event under an id of its own."""
    return body | {"id": name or f"evt_{next(_numbers)}"} | fields


def put(keeper: Keeper, webhook: Received) -> Future[bool]:
    """Hand a webhook to the keeper, for a test that waits; cancelled, its sender has gone away."""
    future: Future[bool] = Future()

    def settled(error: Exception | None) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if error is None:
            future.set_result(True)
        else:
            future.set_exception(error)

    ticket = keeper.put(webhook, settled)
    future.add_done_callback(lambda done: setattr(ticket, "given_up", done.cancelled()))
    return future


def received(body: Body, source: str = SOURCE) -> Received:
    whole = raw(body)
    return Received(source=source, envelope=StripeReader().open(whole), body=whole)


class Stage:
    """Inbox and cases on one database, at a moment a test decides."""

    def __init__(
        self, url: str, *, provider: Provider | None = None, announces: bool = False
    ) -> None:
        self.url = url
        self.engine = engine_for(url)
        self.clock = ManualClock()
        self.policy: Policy = STANDARD
        self.subjects: list[Subject] = []
        self.book = CaseBook(choose=self._choose, announces=announces)
        reader = SourceReader(StripeReader(), provider)
        self.inbox = Inbox(self.engine, self.book, {SOURCE: reader})

    def _choose(self, subject: Subject) -> Policy:
        self.subjects.append(subject)
        return self.policy

    def writing(self) -> AbstractContextManager[Session]:
        return transaction(self.engine)

    def keep(self, *bodies: Body, source: str = SOURCE) -> list[int]:
        """Keep these webhooks; the ids of those that were new."""
        with self.writing() as session:
            told = [received(body, source) for body in bodies]
            return sorted(keep(session, told, self.clock.now()))

    def hears(self, *bodies: Body) -> list[InboxRow]:
        """Keep and handle, each by itself; how the rows stand after."""
        ids = []
        for body in bodies:
            ids += self.keep(body)
            self.inbox.handle(ids[-1:], self.clock.now())
        return self.inbox_rows(ids)

    def tell(self, *events: BillingEvent, now: datetime = T0) -> None:
        """Hand events to the cases, as the inbox does."""
        with self.writing() as session:
            self.book.apply(session, SOURCE, "stripe", events, now)

    def inbox_rows(self, ids: Sequence[int] | None = None) -> list[InboxRow]:
        rows = sorted(self.all(InboxRow), key=lambda row: row.id or 0)
        return [row for row in rows if ids is None or row.id in ids]

    def all(self, table: type[Row]) -> list[Row]:
        with self.writing() as session:
            return list(session.exec(select(table)).all())

    def case(self, invoice: str = INVOICE) -> CaseRow:
        with self.writing() as session:
            return session.get_one(CaseRow, case_id(SOURCE, invoice))

    def cursor(self, invoice: str = INVOICE) -> ScheduleRow | None:
        """When the case is looked at next, and who holds it."""
        with self.writing() as session:
            return session.get(ScheduleRow, case_id(SOURCE, invoice))

    def leased(self) -> int:
        """How many cases somebody holds."""
        return sum(row.lease_token is not None for row in self.all(ScheduleRow))

    def close(self) -> None:
        self.engine.dispose()


def on_database(url: str, **options: Any) -> Iterator[Stage]:
    stage = Stage(url, **options)
    yield stage
    stage.close()


def renamed(body: Body, mark: str) -> Body:
    """The same event about another customer, with everything of theirs: in_1 becomes in_<mark>."""
    told: Body = json.loads(_THINGS.sub(rf'"\1_{mark}"', json.dumps(body)))
    return told


def later(body: Body, seconds: int) -> Body:
    """The same event, with every time in it so much later."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: moved(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [moved(inner) for inner in value]
        known = type(value) is int and value > 1_000_000_000
        return value + seconds if known else value

    told: Body = moved(body)
    return told
