"""How kept webhooks are read: by the reader of their source, what they leave out being fetched."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import structlog
from sqlalchemy import bindparam, select, text
from sqlmodel import Session

from dunning.core.ports import Incomplete, Provider, Reader, Reading, Understood, Unreadable
from dunning.desk import Waiting
from dunning.errors import ProviderError
from dunning.redaction import in_words
from dunning.store import InboxRow, is_postgres, listed, one_of, table_of

log = structlog.get_logger(__name__)


class Kept(NamedTuple):
    """What handling needs of a kept row."""

    id: int
    source: str
    event_id: str
    type: str
    created_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class SourceReader:
    """How one source's webhooks are read, and who can fetch what they leave out."""

    reader: Reader
    provider: Provider | None


class Readers:
    """The readers of all sources."""

    def __init__(self, sources: Mapping[str, SourceReader]) -> None:
        self._sources = sources

    def name_of(self, source: str) -> str:
        """The provider behind a source that is configured."""
        return self._sources[source].reader.name

    def recall(self, session: Session, source: str, refs: Collection[str]) -> Iterator[Waiting]:
        """What was kept earlier and waits for one of these invoices, intents or charges."""
        reader = self._sources[source].reader if source in self._sources else None
        query = _waiting(postgres=is_postgres(session))
        found = session.execute(query, {"source": source, "refs": listed(session, refs)})
        for row_id, ref, body in found:
            told = reader.normalise(body) if reader else None
            if isinstance(told, Understood):
                yield Waiting(row_id, ref, tuple(told.events))

    def read(self, row: Kept) -> Reading | ProviderError:
        source = self._sources.get(row.source)
        if source is None:
            return Unreadable(why=f"source {row.source!r} is no longer configured")
        try:
            told = source.reader.normalise(row.body)
        except Exception as error:
            log.exception("inbox.unreadable", inbox=row.id)
            return Unreadable(why=f"reading it: {in_words(error)}")
        if not isinstance(told, Incomplete):
            return told
        if source.provider is None:
            why = f"{row.type}: a thin event; without an API key its object cannot be fetched"
            return Unreadable(why=why)
        try:
            return source.provider.fetch(told, event_id=row.event_id, created=row.created_at)
        except ProviderError as error:
            return error
        except Exception as error:
            log.exception("inbox.fetch_failed", inbox=row.id)
            return Unreadable(why=f"fetching what it speaks of: {in_words(error)}")


@cache
def _waiting(*, postgres: bool) -> Any:
    table = table_of(InboxRow)
    ours = table.c.source == bindparam("source")
    return (
        select(table.c.id, table.c.ref, table.c.body)
        # In the words of the partial index, which SQLite compares letter by letter.
        .where(text("waiting"), ours, one_of(table.c.ref, "refs", postgres=postgres))
        .order_by(table.c.id)
    )
