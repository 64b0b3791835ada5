"""Bring another policy file into force, move open cases to it, and go back.

The text comes into force in one transaction; open cases follow in batches, each move an event of
the case like any other. A run that was stopped goes on where it was: a case that was moved has the
version it was to get. A case with a charge under way, or one of which nobody knows how it ended, is
left alone until that is known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import Engine, or_, select, update
from sqlmodel import Session, col

from dunning import crashpoints
from dunning.acts import Person as Author
from dunning.case_rows import read_facts
from dunning.cases import CaseBook
from dunning.config import PolicyFile
from dunning.core.changes import Person, change_to, look_ahead
from dunning.core.events import PolicyChanged
from dunning.errors import NotFoundError, RefusedError
from dunning.foreseen import Asked, Planner, Row, Target
from dunning.in_force import Text, alone, newest, versions_of
from dunning.pinned import row_of
from dunning.planning import OPEN, bodies, with_around
from dunning.store import (
    ActRow,
    CaseRow,
    PolicyFileRow,
    PolicyRow,
    StepRow,
    add_rows,
    among,
    put_rows,
    reading,
    transaction,
)

log = structlog.get_logger(__name__)

BATCH = 100
# So long it is waited for charges under way; what takes longer is told and left.
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be in force, who wants it and why, and which open cases go along."""

    text: Text
    file: PolicyFile
    author: Author
    open_cases: tuple[str, ...] | None = ()  # None: all
    choose_again: bool = False
    back_to: int | None = None  # of a rollback


@dataclass(slots=True)
class Moved:
    """What became of the open cases."""

    row: int
    moved: int = 0
    busy: set[str] = field(default_factory=set)  # a charge is under way, or in doubt
    unlisted: set[str] = field(default_factory=set)  # suspended sooner, and nobody was told


# --- what is in force ----------------------------------------------------------------------------


def bring_into_force(engine: Engine, order: Order) -> int:
    """Make the text the one in force; its row. The same order, stopped before its end, goes on."""
    scope = json.dumps(order.open_cases)
    with transaction(engine) as session:
        alone(session)
        before = newest(session)
        if before is not None and _goes_on(before, order, scope):
            assert before.id is not None
            return before.id
        now = order.author.now
        row = PolicyFileRow(
            kind="apply" if order.back_to is None else "rollback",
            hash=order.text.hash,
            name=order.text.name,
            text=order.text.text,
            versions=versions_of(order.file),
            by=order.author.by.strip(),
            why=order.author.why.strip(),
            at=now,
            open_cases=scope,
            choose_again=order.choose_again,
            back_to=order.back_to,
            finished_at=now if order.open_cases == () else None,
        )
        session.add(row)
        session.flush()
        assert row.id is not None
        made = row.id
        crashpoints.reach("policy.before_commit")
    crashpoints.reach("policy.committed")
    log.info("policy.applied", hash=order.text.hash, kind=row.kind, by=row.by, why=row.why)
    return made


def _goes_on(before: PolicyFileRow, order: Order, scope: str) -> bool:
    same = (before.hash, before.open_cases, before.back_to, before.choose_again)
    return before.finished_at is None and same == (
        order.text.hash,
        scope,
        order.back_to,
        order.choose_again,
    )


def changes_nothing(engine: Engine, order: Order) -> bool:
    """Whether the text is in force already, and no open case was to be moved."""
    with reading(engine) as session:
        before = newest(session)
    return before is not None and before.hash == order.text.hash and order.open_cases == ()


def history(session: Session) -> list[PolicyFileRow]:
    """Everything that was in force, the newest first."""
    return list(session.scalars(select(PolicyFileRow).order_by(col(PolicyFileRow.id).desc())))


def named(session: Session, name: str) -> PolicyFileRow:
    """The newest row whose hash begins so; `NotFoundError` when there is none, or two texts."""
    found = [row for row in history(session) if row.hash.startswith(name)]
    if len({row.hash for row in found}) != 1:
        trouble = "stands for several texts" if found else "was never in force here"
        raise NotFoundError(f"{name} {trouble}; `dunning policy history` lists what was")
    return found[0]


def former(session: Session, to: str | None = None) -> PolicyFileRow:
    """The row that a rollback goes back to."""
    rows = history(session)
    if not rows:
        raise NotFoundError("nothing is in force yet, so there is nothing to go back to")
    current = rows[0]
    own = [row for row in rows if row.kind != "rollback"]
    if to is not None:
        text = named(session, to)
        if text.hash == current.hash:
            raise RefusedError(f"{current.hash} is in force already")
        return next(row for row in own if row.hash == text.hash)
    place = current.back_to or current.id or 0
    for row in own:
        if (row.id or 0) < place and row.hash != current.hash:
            return row
    raise NotFoundError(f"{current.hash} is the first policy here: there is none before it")


# --- the open cases ------------------------------------------------------------------------------

Progress = Callable[[int], None]


class Mover:
    """Moves open cases, batch by batch, to the version each is to go on under."""

    def __init__(
        self,
        engine: Engine,
        cases: CaseBook,
        order: Order,
        target: Target,
        clock: Callable[[], datetime],
        *,
        may_suspend_sooner: frozenset[str],
        batch: int = BATCH,
    ) -> None:
        self._engine = engine
        self._cases = cases
        self._order = order
        self._target = target
        self._clock = clock
        self._listed = may_suspend_sooner
        self._batch = batch
        self._planner: Planner | None = None

    def run(
        self,
        row: int,
        progress: Progress = lambda _moved: None,
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> Moved:
        """Move them all; what is busy is come back to for a while."""
        done = Moved(row)
        last = ""
        while page := self._page(last):
            last = page[-1]
            self._move(page, done)
            progress(done.moved)
        began = time.monotonic()
        while done.busy and time.monotonic() - began < patience:
            time.sleep(PAUSE_SECONDS)
            again, done.busy = sorted(done.busy), set()
            for start in range(0, len(again), self._batch):
                self._move(again[start : start + self._batch], done)
            progress(done.moved)
        if not done.busy and not done.unlisted:
            with transaction(self._engine) as session:
                session.get_one(PolicyFileRow, row).finished_at = self._clock()
        log.info("policy.moved", row=row, moved=done.moved, left=len(done.busy))
        return done

    def _page(self, after: str) -> list[str]:
        where = [col(CaseRow.state).in_(OPEN), col(CaseRow.id) > after]
        if self._order.open_cases is not None:
            where.append(col(CaseRow.policy).in_(self._order.open_cases))
        query = select(col(CaseRow.id)).where(*where).order_by(col(CaseRow.id)).limit(self._batch)
        with reading(self._engine) as session:
            return list(session.scalars(query))

    def _move(self, names: Sequence[str], done: Moved) -> None:
        """One batch: lock, leave alone what is busy, tell the others, all in one transaction."""
        now = self._clock()
        with transaction(self._engine) as session:
            rows = self._locked(session, names)
            busy = _busy(session, [row.id for row in rows])
            done.busy |= (set(names) - self._present(session, rows, names)) | busy
            told = self._events(session, [r for r in rows if r.id not in busy], done, now)
            if not told:
                return
            self._pin(session, told, now)
            by_case = {name: [event] for name, event in told.items()}
            self._cases.apply_by_hand_to_many(session, by_case, now)
            add_rows(session, ActRow, [self._act(name, e) for name, e in told.items()])
            session.execute(
                update(PolicyFileRow)
                .where(col(PolicyFileRow.id) == done.row)
                .values(moved=col(PolicyFileRow.moved) + len(told))
                .execution_options(synchronize_session=False)
            )
            crashpoints.reach("policy.batch")
        done.moved += len(told)

    def _locked(self, session: Session, names: Sequence[str]) -> list[CaseRow]:
        query = (
            select(CaseRow)
            .where(among(session, col(CaseRow.id), names), col(CaseRow.state).in_(OPEN))
            .order_by(col(CaseRow.id))
            .with_for_update(skip_locked=True)
        )
        return list(session.scalars(query))

    @staticmethod
    def _present(session: Session, rows: Sequence[CaseRow], names: Sequence[str]) -> set[str]:
        """Those locked, and those that ended meanwhile; the rest is in somebody's hands."""
        found = {row.id for row in rows}
        if len(found) == len(names):
            return found
        query = select(col(CaseRow.id)).where(
            among(session, col(CaseRow.id), names), col(CaseRow.state).not_in(OPEN)
        )
        return found | set(session.scalars(query))

    def _events(
        self, session: Session, rows: Sequence[CaseRow], done: Moved, now: datetime
    ) -> dict[str, PolicyChanged]:
        author, told = self._order.author, {}
        who = Person(id=f"policy:{done.row}", at=now, why=author.why.strip(), by=author.by.strip())
        planner = self._planner_for(session, rows)
        for row, shown in zip(
            rows, with_around(session, planner, list(map(_shown, rows))), strict=True
        ):
            case = read_facts(row)
            new = planner.goes_to(shown, case)
            if new.hash == row.policy_version:
                continue
            old = planner.version(row.policy_version)
            change = look_ahead(case, old, new, who, around=shown.around)
            if change is not None and change.suspends_sooner and row.id not in self._listed:
                done.unlisted.add(row.id)
                continue
            told[row.id] = change.event if change else change_to(case, old, new, who, shown.around)
        return told

    def _planner_for(self, session: Session, rows: Sequence[CaseRow]) -> Planner:
        """The one planner of this run; read anew when a case has a version it has not met."""
        if self._planner is None or any(r.policy_version not in self._planner for r in rows):
            asked = Asked(
                now=self._clock(),
                choose_again=self._order.choose_again,
                back_to=self._order.back_to,
            )
            self._planner = Planner(asked, bodies(session), self._target)
        return self._planner

    def _pin(self, session: Session, told: Mapping[str, PolicyChanged], now: datetime) -> None:
        """Keep the policies that cases are moved to, as those they begin under are kept."""
        wanted = {event.version for event in told.values()}
        made = [v for v in self._target.versions.values() if v.hash in wanted]
        put_rows(session, PolicyRow, [row_of(v.policy, v.hash, now) for v in made])

    def _act(self, name: str, event: PolicyChanged) -> dict[str, object]:
        return {
            "case_id": name,
            "act": "policy",
            "by": event.by,
            "why": f"{event.former_version} -> {event.version}: {event.why}",
            "until": None,
            "at": event.at,
        }


def _shown(row: CaseRow) -> Row:
    return Row(
        id=row.id,
        source=row.source,
        customer=row.customer,
        policy=row.policy,
        version=row.policy_version,
        currency=row.currency,
        at_risk=row.amount_at_risk,
        state=row.state,
        access=row.access,
        facts=row.facts,
    )


def _busy(session: Session, names: Sequence[str]) -> set[str]:
    """The cases with a step under way, or of which nobody knows how it ended."""
    doubtful = or_(
        col(StepRow.state).in_(("running", "unknown")),
        (col(StepRow.state) == "deferred") & col(StepRow.asked).is_not(None),
    )
    query = select(col(StepRow.case_id)).where(
        among(session, col(StepRow.case_id), names), doubtful
    )
    return set(session.scalars(query))
