"""Claim cases whose next step is due, under a lease; hold, renew and release; how it all stands.

`schedule` is a narrow table with one index, over the moments. A claim writes a token and the end
of its lease beside the moment and leaves the moment alone: if the worker dies, the case is free
again by itself, and what the dead one might still write is refused, since its token is no longer
the case's.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    bindparam,
    column,
    func,
    or_,
    select,
    text,
    tuple_,
    type_coerce,
    update,
)
from sqlmodel import Session, col

from dunning.core.shares import share_out
from dunning.store import (
    ScheduleRow,
    UTCDateTime,
    among,
    is_postgres,
    listed,
    one_of,
    table_of,
)


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


# Where a search begins: with this moment and id.
Place = tuple[datetime, str]
BEGINNING: Place = (datetime.min.replace(tzinfo=UTC), "")


# --- claiming ------------------------------------------------------------------------------


def claim_due(
    session: Session, now: datetime, *, limit: int, lease: timedelta, sources: Sequence[str]
) -> list[Claim]:
    """Take up to `limit` cases whose moment has come, in turn from each of these sources."""
    start = dict.fromkeys(sources, BEGINNING)
    due = {source: _count_due(session, source, now, limit) for source in sources}
    taken, _ = take(session, now, share_out(limit, {}, due), start, lease)
    return [claim for part in taken for claim in part.claims()]


# The search is driven by the list of sources, so that no estimate of how much is due can lead to
# reading the whole table. What was found is changed where it lies, without another search; of a
# row that somebody else has changed in that very moment nothing is told, and it is found again.
_TAKE = text(
    """
    WITH due AS MATERIALIZED (
        SELECT found.place
        FROM unnest(
            CAST(:sources AS text[]), CAST(:shares AS int[]),
            CAST(:moments AS timestamptz[]), CAST(:names AS text[])
        ) AS asked (source, share, moment, name)
        CROSS JOIN LATERAL (
            SELECT ctid AS place FROM schedule
            WHERE source = asked.source AND due_at <= :now
              AND (due_at, case_id) >= (asked.moment, asked.name)
              AND (leased_until IS NULL OR leased_until <= :now)
            ORDER BY due_at, case_id
            LIMIT asked.share
            FOR UPDATE SKIP LOCKED
        ) AS found
    ), taken AS (
        UPDATE schedule SET leased_until = :until, lease_token = :token
        WHERE ctid = ANY(ARRAY(SELECT place FROM due))
        RETURNING source, due_at, case_id
    )
    SELECT source, array_agg(case_id ORDER BY due_at, case_id) AS ids, max(due_at) AS last
    FROM taken GROUP BY source
    """
)


def take(
    session: Session,
    now: datetime,
    shares: Mapping[str, int],
    places: Mapping[str, Place],
    lease: timedelta,
) -> tuple[list[Taken], dict[str, Place]]:
    """Claim so many of each source, from those places on; and the last of each."""
    if not shares:
        return [], {}
    token = secrets.token_hex(8)
    if session.get_bind().dialect.name == "postgresql":
        asked = {
            "sources": list(shares),
            "shares": list(shares.values()),
            "moments": [places[source][0] for source in shares],
            "names": [places[source][1] for source in shares],
        }
        until = {"now": now, "until": now + lease, "token": token}
        found = [tuple(row) for row in session.execute(_TAKE, asked | until)]
    else:
        found = [
            row
            for source, share in shares.items()
            for row in _take_on_sqlite(session, source, now, places[source], share, lease, token)
        ]
    taken = [Taken(source, token, tuple(ids)) for source, ids, _ in found]
    return taken, {source: (last.astimezone(UTC), ids[-1]) for source, ids, last in found}


def _take_on_sqlite(
    session: Session,
    source: str,
    now: datetime,
    place: Place,
    most: int,
    lease: timedelta,
    token: str,
) -> list[tuple[Any, ...]]:
    """One writer at a time: what is found is still there when it is changed."""
    at, name = place
    asked = {"of": source, "now": now, "most": most, "at": at, "name": name}
    given = {"until": now + lease, "token": token}
    rows = session.execute(_take_free(), asked | given)
    found = sorted((due_at, case_id) for due_at, case_id in rows)
    if not found:
        return []
    last = datetime.fromisoformat(found[-1][0]).replace(tzinfo=UTC)
    return [(source, [case_id for _, case_id in found], last)]


@cache
def _take_free() -> Any:
    """Built once, as are the other statements that run again and again: that costs most."""
    table = table_of(ScheduleRow)
    at, name = table.c.due_at, table.c.case_id
    place = tuple_(bindparam("at", type_=UTCDateTime()), bindparam("name", type_=String()))
    first = select(name).where(due(), tuple_(at, name) >= place, is_free())
    first = first.order_by(at, name).limit(bindparam("most", type_=Integer())).correlate(None)
    return (
        update(table)
        .where(name.in_(first))
        .values(leased_until=bindparam("until"), lease_token=bindparam("token"))
        .returning(type_coerce(at, String), name)  # as it is stored: thousands need no reading
    )


def due() -> ColumnElement[bool]:
    """Of the source given as `of`, and its moment has come by `now`; whoever holds it.

    What is given bears no column's name: an UPDATE would take it for a new value.
    """
    table = table_of(ScheduleRow)
    return (table.c.source == bindparam("of")) & (table.c.due_at <= bindparam("now"))


def is_free() -> ColumnElement[bool]:
    """Nobody holds it, or nobody does any more by `now`."""
    until = table_of(ScheduleRow).c.leased_until
    return or_(until.is_(None), until <= bindparam("now"))


def _count_due(session: Session, source: str, now: datetime, most: int) -> int:
    found: Select[str] = (
        select(col(ScheduleRow.case_id))
        .where(due(), is_free())
        .order_by(col(ScheduleRow.due_at), col(ScheduleRow.case_id))
        .limit(most)
    )
    counted = select(func.count()).select_from(found.subquery())
    return int(session.execute(counted, {"of": source, "now": now}).scalar_one())


# --- what a holder does --------------------------------------------------------------------


def hold(session: Session, claims: Collection[Claim], now: datetime, until: datetime) -> set[Claim]:
    """Which of these claims hold still; their leases now run until then.

    Their cases are locked before, and stay so: nobody claims one of them meanwhile.
    """
    if not claims:
        return set()
    given = {
        "names": listed(session, (claim.case_id for claim in claims)),
        "tokens": listed(session, (f"{claim.case_id} {claim.token}" for claim in claims)),
    }
    rows = session.execute(
        _hold(postgres=is_postgres(session)), given | {"now": now, "until": until}
    )
    ours = {(case_id, found) for case_id, found in rows}
    return {claim for claim in claims if (claim.case_id, claim.token) in ours}


@cache
def _hold(*, postgres: bool) -> Any:
    table = table_of(ScheduleRow)
    name, token = table.c.case_id, table.c.lease_token
    return (
        update(table)
        .where(
            one_of(name, "names", postgres=postgres),
            one_of(name + " " + token, "tokens", postgres=postgres),
            table.c.leased_until > bindparam("now"),
        )
        .values(leased_until=bindparam("until"))
        .returning(name, token)
    )


def renew(session: Session, claims: Sequence[Claim], until: datetime) -> None:
    """Move the end of the lease of whatever of this is still held by the same token."""
    _change(session, _still_ours(session, claims), leased_until=until)


def release(session: Session, claims: Sequence[Claim]) -> None:
    """Give claims back unused, so that others need not wait for the lease to run out.

    A case whose next step was changed meanwhile is looked at once too often.
    """
    _change(session, _still_ours(session, claims), leased_until=None, lease_token=None)


def _change(session: Session, ids: Collection[str], **values: Any) -> None:
    if ids:
        session.execute(
            update(ScheduleRow)
            .where(among(session, col(ScheduleRow.case_id), ids))
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def _still_ours(session: Session, claims: Sequence[Claim]) -> list[str]:
    """The cases these claims still hold, locked; never waits for what somebody else works on."""
    held = {(claim.case_id, claim.token) for claim in claims}
    query = (
        select(col(ScheduleRow.case_id), col(ScheduleRow.lease_token))
        .where(among(session, col(ScheduleRow.case_id), sorted({name for name, _ in held})))
        .order_by(col(ScheduleRow.case_id))
        .with_for_update(skip_locked=True)
    )
    return [name for name, token in session.execute(query) if (name, token) in held]


def is_claimed(session: Session, case_id: str) -> bool:
    """Whether somebody has claimed this case and not said yet what came of it; nobody does now."""
    query = select(col(ScheduleRow.lease_token)).where(col(ScheduleRow.case_id) == case_id)
    return session.execute(query.with_for_update()).scalar() is not None


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
    nexts = (at for part in parts for at in (part.next_at, part.lease_ends_at) if at)
    return Backlog(
        due=sum(part.due for part in parts),
        claimed=sum(part.claimed for part in parts),
        oldest_due_at=min((part.oldest_at for part in parts if part.oldest_at), default=None),
        next_at=min(nexts, default=None),
    )


def next_moment(session: Session, now: datetime, sources: Sequence[str]) -> datetime | None:
    """When anything is due next, or when a claim runs out."""
    return backlog(session, now, sources).next_at


_STANDING = (
    text(
        """
        SELECT
            count(*) FILTER (WHERE free) AS due,
            count(*) FILTER (WHERE NOT free) AS claimed,
            min(due_at) AS oldest_at,
            min(leased_until) FILTER (WHERE NOT free) AS lease_ends_at,
            (SELECT min(due_at) FROM schedule
              WHERE source = :source AND due_at > :now) AS next_at
        FROM (
            SELECT due_at, leased_until, leased_until IS NULL OR leased_until <= :now AS free
            FROM schedule WHERE source = :source AND due_at <= :now
        ) AS found
        """
    )
    .bindparams(bindparam("now", type_=UTCDateTime()))
    .columns(
        column("due", Integer),
        column("claimed", Integer),
        column("oldest_at", UTCDateTime()),
        column("lease_ends_at", UTCDateTime()),
        column("next_at", UTCDateTime()),
    )
)
