"""What people do by hand: hold, resume, retry, close. Each in one transaction, each on record.

An act is an event like any other (`core.events`) and a row that says who did it and why. What
makes no sense is refused, with the rule that forbids it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from dunning.cases import CaseBook, locked, read_facts, summary
from dunning.core.events import BillingEvent, ClosedByHand, Held, Resumed, RetryAsked
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.permission import why_no_charge
from dunning.core.status import State
from dunning.errors import RefusedError
from dunning.store import ActRow, CaseRow, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who acts, when, and why."""

    by: str
    why: str
    now: datetime

    def __post_init__(self) -> None:
        """Refuse an act without a reason or an author: the record is all that is left of it."""
        for what in ("by", "why"):
            if not getattr(self, what).strip():
                message = f"--{what} is empty: what is done by hand says who did it and why"
                raise RefusedError(message)


# Makes the event, given the id that nothing else has; raises RefusedError instead.
_Make = Callable[[Session, CaseRow, Case, str], BillingEvent]


class ByHand:
    """The acts. Each returns the case as it stands after, as `cases.summary` has it."""

    def __init__(self, engine: Engine, cases: CaseBook) -> None:
        self._engine = engine
        self._cases = cases

    def hold(
        self, name: str, person: Person, *, until: datetime | None = None
    ) -> dict[str, object]:
        """Stop the case's timeline until then; None: until it is resumed."""
        if until is not None and until <= person.now:
            message = f"cannot hold until {until:%Y-%m-%d %H:%M} UTC: that moment has passed"
            raise RefusedError(message)

        def make(_session: Session, row: CaseRow, _case: Case, event: str) -> BillingEvent:
            _still_open(row, "held")
            return Held(id=event, at=person.now, until=until, why=person.why, by=person.by)

        return self._do(name, "hold", person, make, until=until)

    def resume(self, name: str, person: Person) -> dict[str, object]:
        """Let a held case go on."""

        def make(_session: Session, row: CaseRow, case: Case, event: str) -> BillingEvent:
            _still_open(row, "resumed")
            held = case.hold
            if not isinstance(held, Held) or (held.until and held.until <= person.now):
                message = f"{row.id} is not on hold, so there is nothing to resume"
                raise RefusedError(message)
            return Resumed(id=event, at=person.now, why=person.why, by=person.by)

        return self._do(name, "resume", person, make)

    def retry(self, name: str, person: Person) -> dict[str, object]:
        """Have the card charged as soon as a worker takes the case."""

        def make(session: Session, row: CaseRow, case: Case, event: str) -> BillingEvent:
            _still_open(row, "charged")
            self._may_charge(session, row, case, person.now)
            return RetryAsked(id=event, at=person.now, why=person.why, by=person.by)

        return self._do(name, "retry", person, make)

    def close(self, name: str, person: Person) -> dict[str, object]:
        """End the case: the debt is no longer pursued, and what was at risk is withdrawn."""

        def make(_session: Session, row: CaseRow, _case: Case, event: str) -> BillingEvent:
            _still_open(row, "closed")
            return ClosedByHand(id=event, at=person.now, why=person.why, by=person.by)

        return self._do(name, "close", person, make)

    # --- parts -----------------------------------------------------------------------------

    def _do(
        self, name: str, act: str, person: Person, make: _Make, *, until: datetime | None = None
    ) -> dict[str, object]:
        with transaction(self._engine) as session:
            row = locked(session, name)
            event = make(session, row, read_facts(row), _event_id(session, row, person.now))
            self._cases.apply_by_hand(session, row, [event], person.now)
            session.add(
                ActRow(
                    case_id=row.id,
                    act=act,
                    by=person.by.strip(),
                    why=person.why.strip(),
                    until=until,
                    at=person.now,
                )
            )
            return summary(row)

    def _may_charge(self, session: Session, row: CaseRow, case: Case, now: datetime) -> None:
        policy = self._cases.policy_of(session, row.policy_version)
        standing = freeze(case, now)
        why = standing.why if standing else why_no_charge(case, policy)
        if why:
            message = f"{row.id} cannot be charged: {why}"
            raise RefusedError(message)
        ended = {step.id for step in case.done}
        for asked in case.retries_asked:
            if f"{case.id}/retry:hand:{asked.id}" not in ended:
                message = (
                    f"{row.id}: the retry that {asked.by} asked for at {asked.at:%Y-%m-%d %H:%M} "
                    "UTC has not been made yet"
                )
                raise RefusedError(message)


def _still_open(row: CaseRow, done: str) -> None:
    """Refuse to act on a case that is over."""
    if State(row.state).is_open:
        return
    ended = f" on {row.closed_at:%Y-%m-%d}" if row.closed_at else ""
    reason = f" ({row.closed_reason})" if row.closed_reason else ""
    message = f"{row.id} cannot be {done}: it ended{ended} as {row.state}{reason}"
    raise RefusedError(message)


def _event_id(session: Session, row: CaseRow, now: datetime) -> str:
    """A name no other act of this case has: it becomes part of the charge's idempotency key."""
    count = select(func.count()).where(col(ActRow.case_id) == row.id)
    return f"{int(now.timestamp())}-{session.execute(count).scalar_one() + 1}"
