"""Fills in what is known of subscriptions and cards from the provider's own list of them.

Where webhooks never came, as before dunning was set up, nobody knows of a renewal or a card. The
list is read page by page; a bookmark says how far it came, so that a stopped reading is gone on
with, and what is read goes in by the same door as a webhook's news.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine

from dunning import crashpoints
from dunning.cases import CaseBook
from dunning.core.events import BillingEvent, SubscriptionReported
from dunning.core.ports import Provider
from dunning.errors import ProviderRefusedError
from dunning.store import LookoutRow, reading, transaction


def fill(
    engine: Engine,
    cases: CaseBook,
    source: str,
    provider: Provider,
    now: Callable[[], datetime],
    progress: Callable[[int], None] = lambda _count: None,
) -> int:
    """Take in every subscription that goes on; how many there were."""
    with reading(engine) as session:
        row = session.get(LookoutRow, source)
        after = row.subscription if row else None
    count = 0
    try:
        count = _from(engine, cases, source, provider, now, after, progress)
    except ProviderRefusedError:
        if after is None:
            raise
        # The one we stopped at is not there any more: from the beginning, then.
        count = _from(engine, cases, source, provider, now, None, progress)
    _move(engine, source, now(), None)
    return count


def _from(
    engine: Engine,
    cases: CaseBook,
    source: str,
    provider: Provider,
    now: Callable[[], datetime],
    after: str | None,
    progress: Callable[[int], None],
) -> int:
    count = 0
    for page in provider.estate(after):
        count += _take(engine, cases, source, provider.name, page, now())
        progress(count)
    return count


def _take(
    engine: Engine,
    cases: CaseBook,
    source: str,
    provider: str,
    page: Sequence[BillingEvent],
    now: datetime,
) -> int:
    names = [event.subscription for event in page if isinstance(event, SubscriptionReported)]
    if names:
        with transaction(engine) as session:
            cases.apply(session, source, provider, page, now)
        crashpoints.reach("filling.page")
        _move(engine, source, now, names[-1])
    return len(names)


def _move(engine: Engine, source: str, now: datetime, subscription: str | None) -> None:
    """Write how far the list was read; None: to its end."""
    with transaction(engine) as session:
        row = session.get(LookoutRow, source)
        if row is None:
            # The daily look has not begun yet: let it be due at once.
            row = LookoutRow(source=source, began_at=now - timedelta(days=365), stage="done")
            session.add(row)
        row.subscription = subscription
        if subscription is None:
            row.filled_at = now
