"""Ask the provider for what we may have missed: events of the last days, and open invoices.

What is found goes in through the same doors as everything else: events into the inbox (where one
that was kept before is a duplicate), invoices as news to their case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import Engine

from dunning.cases import CaseBook
from dunning.core.events import BillingEvent, InvoiceNews, InvoiceReported
from dunning.core.ports import Provider, Reader
from dunning.errors import MalformedError
from dunning.inbox import Inbox, Received, keep
from dunning.store import transaction

BATCH = 100


@dataclass(slots=True)
class Found:
    """What a reconciliation came across."""

    events: int = 0
    events_new: int = 0
    invoices: int = 0
    cases: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """One source, with what reads it and what asks it."""

    source: str
    reader: Reader
    provider: Provider


def reconcile(
    engine: Engine,
    cases: CaseBook,
    inbox: Inbox,
    account: Account,
    *,
    since: datetime,
    now: Callable[[], datetime],
    progress: Callable[[Found], None] = lambda _found: None,
) -> Found:
    """Take in every event since then, and every invoice that is open and failed."""
    found = Found()
    bodies = account.provider.missed(since)
    while batch := list(islice(bodies, BATCH)):
        received = list(_received(account, batch))
        with transaction(engine) as session:
            ids = keep(session, received, now())
        inbox.handle(ids, now())
        found.events += len(batch)
        found.events_new += len(ids)
        progress(found)
    for bill in account.provider.open_invoices():
        event: BillingEvent = InvoiceReported(
            id=f"open:{bill.invoice}",
            at=now(),
            # An open invoice somebody tried to collect is a failed one, whoever missed the news.
            news=InvoiceNews.PAYMENT_FAILED if bill.attempt_count else InvoiceNews.UPDATED,
            bill=bill,
        )
        with transaction(engine) as session:
            applied = cases.apply(session, account.source, account.provider.name, [event], now())
        found.invoices += 1
        found.cases += len(applied.cases)
        progress(found)
    return found


def _received(account: Account, bodies: list[bytes]) -> Iterator[Received]:
    for body in bodies:
        try:
            envelope = account.reader.open(body)
        except MalformedError:
            continue
        yield Received(source=account.source, envelope=envelope, body=body)
