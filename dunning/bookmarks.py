"""How far each source has been asked for what was missed; who is asking, under a lease.

One row for each source and way of asking. What is kept comes first, then the bookmark moves: a
process that is killed in between asks for one page twice, and leaves none out.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select, update
from sqlmodel import Session, col

from dunning.errors import LeaseLostError
from dunning.store import CatchUpRow, InboxRow, insert_into, reading, transaction

SWEEP, RUN = "sweep", "run"
# A pass whose process died is gone on with by another after this long; each page renews it.
LEASE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """One pass's place in what the provider lists; `token` when it is held under a lease."""

    engine: Engine
    source: str
    kind: str
    token: str | None = None

    def row(self) -> CatchUpRow | None:
        """How it stands."""
        with reading(self.engine) as session:
            return session.get(CatchUpRow, (self.source, self.kind))

    def begin(self, since: datetime, now: datetime) -> CatchUpRow:
        """Put it at the beginning of a new pass."""
        with transaction(self.engine) as session:
            _ensure(session, self.source, self.kind, since)
        began: dict[str, Any] = {"since": since, "seen_to": since, "began_at": now}
        self.move(now, state="events", invoice=None, events=0, missed=0, missed_types="", **began)
        row = self.row()
        assert row is not None
        return row

    def move(self, now: datetime, **values: Any) -> None:
        """Write where the pass is now; `LeaseLostError` if somebody else took it over."""
        mine = [col(CatchUpRow.source) == self.source, col(CatchUpRow.kind) == self.kind]
        if self.token is not None:
            mine.append(col(CatchUpRow.lease_token) == self.token)
            values = {"wake_at": now + LEASE, **values}
        with transaction(self.engine) as session:
            written: Any = session.execute(update(CatchUpRow).where(*mine).values(**values))
        if written.rowcount == 0:
            message = f"{self.source}: somebody else is asking for what was missed by now"
            raise LeaseLostError(message)


def _ensure(session: Session, source: str, kind: str, since: datetime) -> None:
    new = CatchUpRow(source=source, kind=kind, since=since, seen_to=since)
    session.execute(
        insert_into(session, CatchUpRow).values(**new.model_dump()).on_conflict_do_nothing()
    )


def claim(engine: Engine, source: str, now: datetime) -> Bookmark | None:
    """The right to sweep this source now; None when it is not due, or somebody else does."""
    token = secrets.token_hex(8)
    with transaction(engine) as session:
        if session.get(CatchUpRow, (source, SWEEP)) is None:
            _ensure(session, source, SWEEP, _last_heard(session, source) or now)
        taken: Any = session.execute(
            update(CatchUpRow)
            .where(
                col(CatchUpRow.source) == source,
                col(CatchUpRow.kind) == SWEEP,
                col(CatchUpRow.wake_at).is_(None) | (col(CatchUpRow.wake_at) <= now),
            )
            .values(wake_at=now + LEASE, lease_token=token)
            .execution_options(synchronize_session=False)
        )
    return Bookmark(engine, source, SWEEP, token) if taken.rowcount else None


def _last_heard(session: Session, source: str) -> datetime | None:
    """When the newest of the webhooks kept was made: a database older than this table has some."""
    query = select(col(InboxRow.created_at)).where(col(InboxRow.source) == source)
    return session.scalars(query.order_by(col(InboxRow.id).desc()).limit(1)).first()


def sweeps(session: Session) -> Sequence[CatchUpRow]:
    """How the sweep of each source stands: last success, and what webhooks had missed."""
    query = select(CatchUpRow).where(col(CatchUpRow.kind) == SWEEP)
    return session.scalars(query.order_by(col(CatchUpRow.source))).all()
