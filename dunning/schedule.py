"""Claim cases whose next step is due, under a lease, shared out between sources; renew; release.

One indexed column, `cases.wake_at`, is the whole schedule. A claim moves it to the end of the
lease and leaves a token: if the worker dies, the case wakes up again by itself, and what the dead
one might still write is refused, since its token is no longer the case's.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    Integer,
    Select,
    String,
    bindparam,
    column,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlmodel import Session, col

from dunning.core.shares import share_out
from dunning.store import CaseRow, UTCDateTime


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on one case until the lease runs out."""

    case_id: str
    source: str
    token: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Claims of one source made together: they share a token."""

    source: str
    token: str
    ids: tuple[str, ...]

    def claims(self) -> list[Claim]:
        """The same one by one."""
        return [Claim(name, self.source, self.token) for name in self.ids]

    def parts(self, size: int) -> list[Taken]:
        """The same in parts of at most so many."""
        starts = range(0, len(self.ids), size)
        return [replace(self, ids=self.ids[start : start + size]) for start in starts]


# Where a search begins: past this moment and id.
_Place = tuple[datetime, str]
BEGINNING: _Place = (datetime.min.replace(tzinfo=UTC), "")


# --- claiming ------------------------------------------------------------------------------


def claim_due(
    session: Session, now: datetime, *, limit: int, lease: timedelta, sources: Sequence[str]
) -> list[Claim]:
    """Take up to `limit` cases whose moment has come, in turn from each of these sources."""
    due = _due(session, now, dict.fromkeys(sources, BEGINNING), limit)
    shares = share_out(limit, {}, due)
    taken, _ = _take(session, now, shares, dict.fromkeys(sources, BEGINNING), lease)
    return [claim for part in taken for claim in part.claims()]


# The search is driven by the list of sources; what was found stays found while it is updated by
# id, so that no estimate of how much it will be can lead to reading the whole table.
_TAKE = text(
    """
    WITH due AS MATERIALIZED (
        SELECT found.id, found.wake_at, asked.source
        FROM unnest(
            CAST(:sources AS text[]), CAST(:shares AS int[]),
            CAST(:moments AS timestamptz[]), CAST(:names AS text[])
        ) AS asked (source, share, moment, name)
        CROSS JOIN LATERAL (
            SELECT id, wake_at FROM cases
            WHERE source = asked.source AND wake_at <= :now
              AND (wake_at, id) > (asked.moment, asked.name)
            ORDER BY wake_at, id
            LIMIT asked.share
            FOR UPDATE SKIP LOCKED
        ) AS found
    ), taken AS (
        UPDATE cases SET wake_at = :until, lease_token = :token
        WHERE id = ANY(ARRAY(SELECT id FROM due))
    )
    SELECT source, array_agg(id ORDER BY wake_at, id) AS ids, max(wake_at) AS last
    FROM due GROUP BY source
    """
)


def _take(
    session: Session,
    now: datetime,
    shares: Mapping[str, int],
    places: Mapping[str, _Place],
    lease: timedelta,
) -> tuple[list[Taken], dict[str, _Place]]:
    """Claim so many of each source, from those places on; and how far that went."""
    if not shares:
        return [], {}
    token = secrets.token_hex(8)
    found: list[tuple[str, list[str], datetime]]
    if session.get_bind().dialect.name == "postgresql":
        asked = {
            "sources": list(shares),
            "shares": list(shares.values()),
            "moments": [places[source][0] for source in shares],
            "names": [places[source][1] for source in shares],
        }
        until = {"now": now, "until": now + lease, "token": token}
        found = [(s, ids, last) for s, ids, last in session.execute(_TAKE, asked | until)]
    else:
        found = []
        for source, share in shares.items():
            rows = session.execute(_first_due(source, now, places[source], share)).all()
            if rows:
                found.append((source, [name for name, _ in rows], rows[-1][1]))
        _claim_on_sqlite(session, [name for _, ids, _ in found for name in ids], now + lease, token)
    taken = [Taken(source, token, tuple(ids)) for source, ids, _ in found]
    return taken, {source: (last.astimezone(UTC), ids[-1]) for source, ids, last in found}


def _first_due(
    source: str, now: datetime, place: _Place, most: int
) -> Select[str, datetime | None]:
    at, name = col(CaseRow.wake_at), col(CaseRow.id)
    return (
        select(name, at)
        .where(
            col(CaseRow.source) == source,
            at <= now,
            tuple_(at, name) > tuple_(literal(place[0], UTCDateTime()), literal(place[1])),
        )
        .order_by(at, name)
        .limit(most)
    )


def _claim_on_sqlite(session: Session, ids: list[str], until: datetime, token: str) -> None:
    """One list for any number of ids, of which a statement takes only so many as parameters."""
    listed = select(func.json_each(json.dumps(ids)).table_valued("value").c.value)
    session.execute(
        update(CaseRow)
        .where(col(CaseRow.id).in_(listed))
        .values(wake_at=until, lease_token=token)
        .execution_options(synchronize_session=False)
    )


# --- what a holder does --------------------------------------------------------------------


def release(session: Session, claims: Sequence[Claim]) -> None:
    """Give claims back unused, so that others need not wait for the lease to run out."""
    ours = _still_ours(session, claims)
    session.execute(
        update(CaseRow)
        .where(col(CaseRow.id).in_(ours))
        .values(wake_at=col(CaseRow.next_at), lease_token=None)
        .execution_options(synchronize_session=False)
    )


def renew(session: Session, claims: Sequence[Claim], until: datetime) -> None:
    """Move the end of the lease of whatever of this is still held by the same token."""
    ours = _still_ours(session, claims)
    session.execute(
        update(CaseRow)
        .where(col(CaseRow.id).in_(ours))
        .values(wake_at=until)
        .execution_options(synchronize_session=False)
    )


def _still_ours(session: Session, claims: Sequence[Claim]) -> list[str]:
    """The cases these claims still hold, locked; never waits for what somebody else works on."""
    ours: list[str] = []
    for start in range(0, len(claims), 5_000):
        pairs = [(claim.case_id, claim.token) for claim in claims[start : start + 5_000]]
        query = (
            select(col(CaseRow.id))
            .where(tuple_(col(CaseRow.id), col(CaseRow.lease_token)).in_(pairs))
            .order_by(col(CaseRow.id))
            .with_for_update(skip_locked=True)
        )
        ours += session.scalars(query)
    return ours


# --- one who claims again and again --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Glance:
    """What is due and what is claimed, by source; counted no further than anybody needs."""

    due: Mapping[str, int]
    claimed: Mapping[str, int]


# Searches from the very beginning may take this part of the time at most.
_RESCANS = 1 / 20
_RARELY = 10.0  # seconds
# Counts go no further than this, or than the window where that is larger.
_COUNTED = 100


class Dispatcher:
    """Claims again and again, and remembers how far it has come.

    Index entries of what was claimed before stay where they are until a vacuum may remove them,
    and while somebody holds an old snapshot it may not. Whoever begins at the left end each time
    wades through all of them. So a search begins where the last one ended; what came in below is
    found by a search of everything, as often as that is cheap.
    """

    def __init__(self, sources: Sequence[str], *, window: int, lease: timedelta) -> None:
        self.window = window
        self._lease = lease
        self._start: dict[str, _Place] = dict.fromkeys(sources, BEGINNING)
        self._places = dict(self._start)
        self._oldest_claim: datetime | None = None
        self._everything = True
        self._rescan_at = 0.0
        self._spent = 0.0

    def look(self, session: Session, now: datetime, *, everything: bool = False) -> Glance:
        """See what is due and what is claimed, by anybody."""
        began = time.monotonic()
        self._everything = everything or began >= self._rescan_at
        most = max(self.window, _COUNTED)
        glance = Glance(_due(session, now, self._from(), most), self._claimed(session, now, most))
        self._spent = 0.0
        self._took(time.monotonic() - began)
        return glance

    def take(self, session: Session, now: datetime, glance: Glance) -> list[Taken]:
        """Claim what there is room for, in turn from each source."""
        began = time.monotonic()
        shares = share_out(self.window, glance.claimed, glance.due)
        taken, ends = _take(session, now, shares, self._from(), self._lease)
        for part in taken:
            end, before = ends[part.source], self._places[part.source]
            # Fewer than asked for: nothing is left up to where an earlier search has ended.
            full = len(part.ids) == shares[part.source]
            self._places[part.source] = end if full else max(end, before)
        self._took(time.monotonic() - began)
        return taken

    def _from(self) -> Mapping[str, _Place]:
        return self._start if self._everything else self._places

    def _took(self, seconds: float) -> None:
        self._spent += seconds
        if self._everything:
            self._rescan_at = time.monotonic() + min(self._spent / _RESCANS, _RARELY)

    def _claimed(self, session: Session, now: datetime, most: int) -> dict[str, int]:
        """Claims that have not run out, from the oldest one seen last time on."""
        since = now if self._everything else max(self._oldest_claim or now, now)
        known = {"now": now, "since": since, "most": most + 1}
        found = session.execute(_CLAIMED, known).all()
        self._oldest_claim = min((oldest for _, _, oldest in found), default=since)
        return {source: count for source, count, _ in found if source in self._start}


_CLAIMED = (
    text(
        """
        SELECT source, count(*) AS count, min(wake_at) AS oldest FROM (
            SELECT source, wake_at FROM cases
            WHERE lease_token IS NOT NULL AND wake_at > :now AND wake_at >= :since
            ORDER BY wake_at
            LIMIT :most
        ) AS claims GROUP BY source
        """
    )
    .bindparams(bindparam("now", type_=UTCDateTime()), bindparam("since", type_=UTCDateTime()))
    .columns(column("source", String), column("count", Integer), column("oldest", UTCDateTime()))
)

_DUE = text(
    """
    SELECT asked.source, (
        SELECT count(*) FROM (
            SELECT 1 FROM cases
            WHERE source = asked.source AND wake_at <= :now
              AND (wake_at, id) > (asked.moment, asked.name)
            ORDER BY wake_at, id  -- so that the index is read, however many it believes to be due
            LIMIT :most
        ) AS found
    ) AS count
    FROM unnest(
        CAST(:sources AS text[]), CAST(:moments AS timestamptz[]), CAST(:names AS text[])
    ) AS asked (source, moment, name)
    """
)


def _due(
    session: Session, now: datetime, places: Mapping[str, _Place], most: int
) -> dict[str, int]:
    """How much of each source is due from those places on, counted no further than `most`."""
    if session.get_bind().dialect.name == "postgresql":
        asked = {
            "sources": list(places),
            "moments": [at for at, _ in places.values()],
            "names": [name for _, name in places.values()],
        }
        found = session.execute(_DUE, asked | {"now": now, "most": most}).all()
        return {source: count for source, count in found}  # noqa: C416 - mypy wants it spelt out
    return {
        source: session.execute(
            select(func.count()).select_from(_first_due(source, now, place, most).subquery())
        ).scalar_one()
        for source, place in places.items()
    }


# --- how it stands -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backlog:
    """How the schedule stands."""

    due: int
    claimed: int
    oldest_due_at: datetime | None  # of those claimed as well: a claim is no work done
    next_at: datetime | None


def backlog(session: Session, now: datetime, sources: Sequence[str]) -> Backlog:
    """Count what is due and what is being worked on, and find the next moment anything is due."""
    parts = [session.execute(_STANDING, {"now": now, "source": source}).one() for source in sources]
    olds = (at for part in parts for at in (part.oldest_due_at, part.oldest_claimed_at) if at)
    return Backlog(
        due=sum(part.due for part in parts),
        claimed=sum(part.claimed for part in parts),
        oldest_due_at=min(olds, default=None),
        next_at=min((part.next_at for part in parts if part.next_at), default=None),
    )


def next_moment(session: Session, now: datetime, sources: Sequence[str]) -> datetime | None:
    """When anything is due next, or when a claim runs out."""
    at = col(CaseRow.wake_at)
    moments = (
        session.execute(
            select(func.min(at)).where(col(CaseRow.source) == source, at > now)
        ).scalar()
        for source in sources
    )
    return min((moment for moment in moments if moment), default=None)


_STANDING = (
    text(
        """
        SELECT
            (SELECT count(*) FROM cases WHERE source = :source AND wake_at <= :now) AS due,
            (SELECT count(*) FROM cases
              WHERE source = :source AND wake_at > :now AND lease_token IS NOT NULL) AS claimed,
            (SELECT min(next_at) FROM cases
              WHERE source = :source AND wake_at <= :now) AS oldest_due_at,
            (SELECT min(next_at) FROM cases
              WHERE source = :source AND wake_at > :now AND lease_token IS NOT NULL
                AND next_at <= :now) AS oldest_claimed_at,
            (SELECT min(wake_at) FROM cases
              WHERE source = :source AND wake_at > :now) AS next_at
        """
    )
    .bindparams(bindparam("now", type_=UTCDateTime()))
    .columns(
        column("due", Integer),
        column("claimed", Integer),
        column("oldest_due_at", UTCDateTime()),
        column("oldest_claimed_at", UTCDateTime()),
        column("next_at", UTCDateTime()),
    )
)
