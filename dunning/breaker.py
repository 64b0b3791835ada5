"""The breaker of each source: held when too much goes wrong, released when it is well again.

The counts are written with the steps they count, and judged there by whoever finds that nobody did
lately; a hold is one row that every process reads at most once a second. `core.breaking` decides.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Engine, bindparam, delete, func, select
from sqlmodel import Session, col

from dunning import metrics
from dunning.core.breaking import (
    HOLDS,
    HOUR,
    LONG,
    PAUSE,
    PROBES,
    SHORT,
    Counts,
    Failures,
    Fuse,
    Normal,
    Seen,
    Signal,
    count,
    decide,
    learn,
    waits_until,
)
from dunning.core.events import StepKind
from dunning.core.gate import Held, Pulse
from dunning.core.status import State
from dunning.errors import RefusedError
from dunning.store import (
    BreakerChangeRow,
    BreakerRow,
    CaseRow,
    PulseRow,
    insert_into,
    put_rows,
    reading,
    transaction,
)

log = structlog.get_logger(__name__)


FRESH = timedelta(seconds=1)
JUDGED_EVERY = timedelta(seconds=15)
WINDOW = timedelta(minutes=5)
KEPT = timedelta(days=2)
# Threads write to rows of their own, as far as it goes, instead of queueing up at one.
PARTS = 16
US = "dunning"
_ALL = select(BreakerRow)
# How a source stands that nobody has ever held.
_WHOLE = Fuse()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a source's breaker stands, for people."""

    source: str
    open: bool
    signal: str | None
    why: str
    since: datetime | None
    by: str


class Breaker:
    """See `ports.Gate`."""

    def __init__(self, engine: Engine, *, on: bool = True) -> None:
        self._engine = engine
        self._on = on
        self._lock = threading.Lock()
        self._known: Mapping[str, Fuse] = {}
        self._read_at: datetime | None = None
        self._probes: Counter[tuple[str, int]] = Counter()
        self._judged: dict[str, datetime] = {}

    # --- the gate --------------------------------------------------------------------------

    def refresh(self, now: datetime) -> None:
        """Read how all sources stand, at most once a second; not while a transaction is open."""
        read_at = self._read_at
        if not self._on or (read_at is not None and abs(now - read_at) < FRESH):
            return
        with reading(self._engine) as session:
            self._known = {row.source: _fuse_of(row) for row in session.scalars(_ALL)}
        self._read_at = now

    def held(self, source: str, kind: StepKind, now: datetime, case: str = "") -> Held | None:
        """Whether a step of this kind must wait, by what was read last; asks no database."""
        if not self._on or kind not in HOLDS:
            return None
        fuse = self._known.get(source, _WHOLE)
        if not fuse.is_open(now) or (fuse.lets_probe(kind, now) and self._may_probe(source, now)):
            return None
        return Held(until=waits_until(fuse, now, case), why=f"{source} is held: {fuse.why}")

    def note(self, session: Session, pulses: Sequence[Pulse], now: datetime) -> None:
        """Count how steps ended; now and then say what that means."""
        if not self._on:
            return
        part = (os.getpid() + threading.get_ident()) % PARTS
        for source in sorted({pulse.source for pulse in pulses}):
            counts = count(pulse for pulse in pulses if pulse.source == source)
            if counts.calls:
                _add(session, source, part, counts, now)
            if now - self._judged.get(source, now - 2 * JUDGED_EVERY) >= JUDGED_EVERY:
                self._judged[source] = now
                self.judge(session, source, now)

    def _may_probe(self, source: str, now: datetime) -> bool:
        """A few steps of each process and pause are let through, to see how it stands."""
        turn = (source, int(now.timestamp() // PAUSE.total_seconds()))
        with self._lock:
            if turn not in self._probes:
                for old in [key for key in self._probes if key[0] == source]:
                    del self._probes[old]
            self._probes[turn] += 1
            return self._probes[turn] <= PROBES

    # --- judging ---------------------------------------------------------------------------

    def judge(self, session: Session, source: str, now: datetime) -> None:
        """Trip or release, if what was counted says so and nobody else has just looked."""
        row = _claimed(session, source)
        if row is None or (row.judged_at and abs(now - row.judged_at) < JUDGED_EVERY):
            return
        row.judged_at = now
        fuse = _fuse_of(row)
        normal = _normal_of(row)
        if not fuse.is_open(now):
            normal = _learnt(session, row, normal, now)
        after = decide(fuse, _seen(session, row, now), normal, now)
        if after != fuse:
            self._change(session, row, fuse, after, now)
        session.add(row)
        session.flush()

    def _change(
        self, session: Session, row: BreakerRow, before: Fuse, after: Fuse, now: datetime
    ) -> None:
        _set(row, after)
        # What was counted before the change has had its say.
        session.execute(delete(PulseRow).where(col(PulseRow.source) == row.source))
        self._read_at = None
        if after.signal is not None and before.since != after.since:
            log.error(
                "breaker.tripped", source=row.source, signal=after.signal.value, why=after.why
            )
            session.add(_record(row.source, "held", US, after.why, now))
        elif after.signal is None:
            log.warning("breaker.released", source=row.source, held_since=before.since)
            session.add(_record(row.source, "released", US, f"well again: {before.why}", now))

    # --- by hand ---------------------------------------------------------------------------

    def hold(self, source: str, *, by: str, why: str, now: datetime) -> Standing:
        """A person holds the source until a person releases it."""
        with transaction(self._engine) as session:
            row = _made(session, source)
            if _fuse_of(row).signal is Signal.HAND:
                raise RefusedError(f"{source} is held already: {row.why}")
            _set(row, Fuse(signal=Signal.HAND, why=why, since=now))
            return self._by_hand(session, row, "held", by, why, now)

    def release(self, source: str, *, by: str, why: str, now: datetime) -> Standing:
        """A person lets the source go on; what held it must come about anew to hold it again."""
        with transaction(self._engine) as session:
            row = _made(session, source)
            if not _fuse_of(row).is_open(now):
                raise RefusedError(f"{source} is not held, so there is nothing to release")
            _set(row, Fuse(since=now))
            return self._by_hand(session, row, "released", by, why, now)

    def _by_hand(
        self, session: Session, row: BreakerRow, change: str, by: str, why: str, now: datetime
    ) -> Standing:
        session.execute(delete(PulseRow).where(col(PulseRow.source) == row.source))
        session.add_all([row, _record(row.source, change, by, why, now)])
        session.flush()
        self._read_at = None
        return _standing(session, row, now)


def standings(session: Session, sources: Sequence[str], now: datetime) -> list[Standing]:
    """How these sources stand, for `doctor`, /readyz, /metrics and `breaker list`."""
    rows = {row.source: row for row in session.scalars(select(BreakerRow)).all()}
    found = [_standing(session, rows.get(one) or _new(one), now) for one in sources]
    for standing in found:
        metrics.breaker(standing.source, is_open=standing.open)
    return found


def _standing(session: Session, row: BreakerRow, now: datetime) -> Standing:
    fuse = _fuse_of(row)
    is_open = fuse.is_open(now)
    last = session.scalar(
        select(BreakerChangeRow)
        .where(col(BreakerChangeRow.source) == row.source)
        .order_by(col(BreakerChangeRow.id).desc())
        .limit(1)
    )
    return Standing(
        source=row.source,
        open=is_open,
        signal=fuse.signal.value if fuse.signal and is_open else None,
        why=last.why if last else "",
        since=last.at if last else None,
        by=last.by if last else "",
    )


# --- rows ------------------------------------------------------------------------------------


def _new(source: str) -> BreakerRow:
    return BreakerRow(source=source, why="", normal="{}")


def _claimed(session: Session, source: str) -> BreakerRow | None:
    """The row under its lock; None while somebody else has it."""
    row = session.scalar(_CLAIMED, {"source": source})
    if row is None and session.get(BreakerRow, source) is None:
        row = _made(session, source)
    return row


_CLAIMED = (
    select(BreakerRow)
    .where(col(BreakerRow.source) == bindparam("source"))
    .with_for_update(skip_locked=True)
)


def _made(session: Session, source: str) -> BreakerRow:
    values = {"source": source, "why": "", "rounds": 0, "normal": "{}"}
    session.execute(insert_into(session, BreakerRow).values(**values).on_conflict_do_nothing())
    query = select(BreakerRow).where(col(BreakerRow.source) == source)
    return session.scalars(query.with_for_update()).one()


def _record(source: str, change: str, by: str, why: str, now: datetime) -> BreakerChangeRow:
    return BreakerChangeRow(source=source, change=change, by=by, why=why, at=now)


def _fuse_of(row: BreakerRow) -> Fuse:
    return Fuse(
        signal=Signal(row.signal) if row.signal else None,
        why=row.why,
        since=row.since,
        probe_at=row.probe_at,
        rounds=row.rounds,
    )


def _set(row: BreakerRow, fuse: Fuse) -> None:
    row.signal = fuse.signal.value if fuse.signal else None
    row.why, row.since, row.probe_at, row.rounds = fuse.why, fuse.since, fuse.probe_at, fuse.rounds


def _normal_of(row: BreakerRow) -> Normal:
    kept: Mapping[str, Any] = json.loads(row.normal or "{}")
    return Normal(**kept)


def _learnt(session: Session, row: BreakerRow, normal: Normal, now: datetime) -> Normal:
    """Take in the whole hours since last time; what is too old is let go of."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    begin = row.learnt_to or hour
    if row.learnt_to is not None and hour <= begin:
        return normal
    row.learnt_to = hour
    if hour > begin:
        hours = int((hour - begin) / HOUR)
        counts = _counted(session, row.source, begin, hour)
        normal = learn(normal, hours, counts, _failures(session, row.source, begin, hour))
        row.normal = json.dumps(asdict(normal))
        old = delete(PulseRow).where(
            col(PulseRow.source) == row.source, col(PulseRow.at) < now - KEPT
        )
        session.execute(old)
    return normal


# --- counting --------------------------------------------------------------------------------


def _add(session: Session, source: str, part: int, counts: Counts, now: datetime) -> None:
    at = now - timedelta(seconds=now.timestamp() % WINDOW.total_seconds())
    more = asdict(counts)
    row = {"source": source, "at": at.replace(microsecond=0), "part": part, **more}
    put_rows(session, PulseRow, [row], add=tuple(more))


def _seen(session: Session, row: BreakerRow, now: datetime) -> Seen:
    end = now + WINDOW
    return Seen(
        short=_counted(session, row.source, now - SHORT, end),
        middle=_counted(session, row.source, now - HOUR, end),
        long=_counted(session, row.source, now - LONG, end),
        since=_counted(session, row.source, now - KEPT, end),
        hour=_failures(session, row.source, now - HOUR, end),
    )


def _counted(session: Session, source: str, begin: datetime, end: datetime) -> Counts:
    found = session.execute(_COUNTED, {"source": source, "begin": begin, "end": end}).one()
    calls, troubled, charges, paid = (int(number or 0) for number in found)
    return Counts(calls=calls, troubled=troubled, charges=charges, paid=paid)


_COUNTED = select(
    *(func.sum(getattr(PulseRow, name)) for name in ("calls", "troubled", "charges", "paid"))
).where(
    col(PulseRow.source) == bindparam("source"),
    col(PulseRow.at) >= bindparam("begin"),
    col(PulseRow.at) < bindparam("end"),
)


def _failures(session: Session, source: str, begin: datetime, end: datetime) -> Failures:
    """Cases that began meanwhile, by decline code; found by the index on state and time."""
    asked = {"source": source, "begin": begin, "end": end}
    found = [(code, int(number)) for code, number in session.execute(_FAILURES, asked)]
    codes = {code: number for code, number in found if code}
    return Failures(count=sum(number for _, number in found), codes=codes)


_FAILURES = (
    select(col(CaseRow.decline_code), func.count())
    .where(
        col(CaseRow.state).in_([state.value for state in State]),
        col(CaseRow.opened_at) >= bindparam("begin"),
        col(CaseRow.opened_at) < bindparam("end"),
        col(CaseRow.source) == bindparam("source"),
    )
    .group_by(col(CaseRow.decline_code))
)
