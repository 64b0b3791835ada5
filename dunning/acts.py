"""What people do with a case by hand. Each act in one transaction, each on record.

An act is an event like any other (`core.events`) and a row that says who did it and why. What
makes no sense is refused, with the rule that forbids it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from dunning.begun import record_skip
from dunning.case_rows import locked, read_facts, summary
from dunning.cases import CaseBook
from dunning.core.case import advance
from dunning.core.events import (
    BillingEvent,
    ClosedByHand,
    Held,
    Promised,
    Resumed,
    RetryAsked,
    StepAdvanced,
    StepKind,
)
from dunning.core.facts import Case
from dunning.core.freezing import exempt, freeze
from dunning.core.local import local_of
from dunning.core.money import Money
from dunning.core.overriding import past_which, too_soon, why_not_now
from dunning.core.permission import why_no_charge
from dunning.core.plan import Plan, plan
from dunning.core.policy import Policy
from dunning.core.promises import FURTHEST, furthest, running
from dunning.core.promising import last_day_to_promise
from dunning.core.status import State
from dunning.core.steps import Step
from dunning.errors import RefusedError
from dunning.store import ActRow, CaseRow, StepRow, reading, transaction


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


@dataclass(frozen=True, slots=True)
class _Case:
    """The case that is acted on, locked, with its policy and its plan as of now."""

    session: Session
    row: CaseRow
    case: Case
    policy: Policy
    ahead: Plan
    event: str  # an id that nothing else has


# Makes the event; raises RefusedError instead.
_Make = Callable[[_Case], BillingEvent]
# Each case comes to its end, and access comes back to who has paid: these are not skipped.
_NEVER_SKIPPED = {
    StepKind.GIVE_UP: "a case must come to an end; hold it, or exempt the customer",
    StepKind.RESTORE: "access comes back to who owes nothing",
    StepKind.RECONCILE: "it only asks the provider how the invoice stands",
}
_UNDER_WAY = ("running", "unknown")


class ByHand:
    """The acts. Each returns the case as it stands after, as `case_rows.summary` has it."""

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

        def make(on: _Case) -> BillingEvent:
            _still_open(on.row, "held")
            return Held(id=on.event, at=person.now, until=until, why=person.why, by=person.by)

        return self._do(name, "hold", person, make, until=until)

    def resume(self, name: str, person: Person) -> dict[str, object]:
        """Let a held case go on, and withdraw a promise."""

        def make(on: _Case) -> BillingEvent:
            _still_open(on.row, "resumed")
            held = on.case.hold
            on_hold = isinstance(held, Held) and (not held.until or held.until > person.now)
            if not on_hold and running(on.case, person.now) is None:
                message = f"{on.row.id} is not on hold, so there is nothing to resume"
                if exempt(on.case, person.now):
                    message += "; its customer is exempt, see `dunning customers unexempt`"
                raise RefusedError(message)
            return Resumed(id=on.event, at=person.now, why=person.why, by=person.by)

        return self._do(name, "resume", person, make)

    def promise(
        self,
        name: str,
        person: Person,
        *,
        until: datetime | date,
        amount: Money | None = None,
        alone: bool = False,
    ) -> dict[str, object]:
        """The customer pays by then: the timeline stands still, doors and all.

        A date is the whole of that day, as the customer's clock has it. `alone`: the customer says
        so with nobody of ops in between, and gets what the policy grants.
        """

        def make(on: _Case) -> BillingEvent:
            _still_open(on.row, "promised")
            end = _end_of(until, local_of(on.case, on.policy).zone)
            _may_promise(on, person.now, end, amount)
            if alone:
                _may_promise_alone(on, person.now, until)
            minor = amount.minor if amount else None
            return Promised(
                id=on.event, at=person.now, until=end, amount=minor, why=person.why, by=person.by
            )

        return self._do(name, "promise", person, make, about=str(amount) if amount else None)

    def skip(self, name: str, wanted: str, person: Person) -> dict[str, object]:
        """Leave a planned step out for good; the others stay where they are."""

        def make(on: _Case) -> BillingEvent:
            _still_open(on.row, "changed")
            step = _planned(on, wanted)
            if rule := _NEVER_SKIPPED.get(step.kind):
                raise RefusedError(f"{_short(step)} cannot be skipped: {rule}")
            _not_begun(on, step)
            why = f"skipped by {person.by.strip()}: {person.why.strip()}"
            # Its moment is the person's: nothing is put on record before it is due.
            left_out = step._replace(skip=why, due_at=min(step.due_at, person.now))
            return record_skip(on.session, on.case, left_out, on.row.policy_version, person.now)

        return self._do(name, "skip", person, make, about=wanted)

    def advance(self, name: str, wanted: str, person: Person) -> dict[str, object]:
        """Do a planned step of the timeline now, or as soon as its hours allow."""

        def make(on: _Case) -> BillingEvent:
            _still_open(on.row, "changed")
            step = _planned(on, wanted)
            _not_begun(on, step)
            if against := why_not_now(on.case, on.policy, on.ahead, step, person.now):
                raise RefusedError(f"{_short(step)} cannot be brought forward: {against}")
            told = StepAdvanced(
                id=on.event, at=person.now, step=step.key, why=person.why, by=person.by
            )
            # Whatever else the plan knows of it has the last word.
            after = plan(advance(on.case, told), on.policy, person.now)
            moved = next((one for one in after.steps if one.key == step.key), None)
            if moved is None or moved.skip:
                why = moved.skip if moved else "it would not be done at all"
                raise RefusedError(f"{_short(step)} cannot be brought forward: {why}")
            return told

        return self._do(name, "advance", person, make, about=wanted)

    def retry(self, name: str, person: Person, *, forced: bool = False) -> dict[str, object]:
        """Have the card charged as soon as a worker takes the case.

        `forced`: whatever the provider's advice, the bank's wait and our own ceiling say.
        """

        def make(on: _Case) -> BillingEvent:
            _still_open(on.row, "charged")
            _may_charge(on, person.now, forced=forced)
            return RetryAsked(
                id=on.event, at=person.now, why=person.why, by=person.by, forced=forced
            )

        return self._do(name, "retry --force" if forced else "retry", person, make)

    def currency_of(self, name: str) -> str:
        """The currency of the case's invoice."""
        with reading(self._engine) as session:
            return session.get_one(CaseRow, name).currency

    def overridden(self, name: str, now: datetime) -> list[str]:
        """What speaks against a charge now that `retry --force` would go past."""
        with reading(self._engine) as session:
            row = session.get_one(CaseRow, name)
            case = read_facts(row)
            policy = self._cases.policy_of(session, row.policy_version)
        return past_which(case, policy, now)

    def close(self, name: str, person: Person) -> dict[str, object]:
        """End the case: the debt is no longer pursued, and what was at risk is withdrawn."""

        def make(on: _Case) -> BillingEvent:
            _still_open(on.row, "closed")
            return ClosedByHand(id=on.event, at=person.now, why=person.why, by=person.by)

        return self._do(name, "close", person, make)

    # --- parts -----------------------------------------------------------------------------

    def _do(
        self,
        name: str,
        act: str,
        person: Person,
        make: _Make,
        *,
        until: datetime | None = None,
        about: str | None = None,
    ) -> dict[str, object]:
        with transaction(self._engine) as session:
            row = locked(session, name)
            case = read_facts(row)
            policy = self._cases.policy_of(session, row.policy_version)
            event = make(
                _Case(
                    session=session,
                    row=row,
                    case=case,
                    policy=policy,
                    ahead=plan(case, policy, person.now),
                    event=_event_id(session, row, person.now),
                )
            )
            self._cases.apply_by_hand(session, row, [event], person.now)
            end = event.until if isinstance(event, Promised) else until
            session.add(
                ActRow(
                    case_id=row.id,
                    act=act,
                    by=person.by.strip(),
                    why=person.why.strip(),
                    until=end,
                    at=person.now,
                    about=about,
                )
            )
            return summary(row)


# --- what is refused, and by which rule ------------------------------------------------------


def _may_charge(on: _Case, now: datetime, *, forced: bool) -> None:
    standing = freeze(on.case, now)
    why = standing.why if standing else why_no_charge(on.case, on.policy, forced=forced)
    if why is None and not forced:
        why = too_soon(on.case, on.policy, now)
    if why:
        message = f"{on.row.id} cannot be charged: {why}"
        raise RefusedError(message)
    ended = {step.id for step in on.case.done}
    for asked in on.case.retries_asked:
        if f"{on.case.id}/retry:hand:{asked.id}" not in ended:
            message = (
                f"{on.row.id}: the retry that {asked.by} asked for at {asked.at:%Y-%m-%d %H:%M} "
                "UTC has not been made yet"
            )
            raise RefusedError(message)


def _may_promise(on: _Case, now: datetime, end: datetime, amount: Money | None) -> None:
    if end <= now:
        message = f"cannot wait until {end:%Y-%m-%d %H:%M} UTC: that moment has passed"
        raise RefusedError(message)
    latest = furthest(on.case, on.policy, now)
    if end > latest:
        message = (
            f"{end:%Y-%m-%d} is too far: a promise reaches to the end of the policy's window, or "
            f"{FURTHEST.days} days ahead, here to {latest:%Y-%m-%d %H:%M} UTC; hold the case, or "
            "exempt the customer, for longer"
        )
        raise RefusedError(message)
    if said := exempt(on.case, now):
        message = f"{on.row.id} needs no promise: {said.why}"
        raise RefusedError(message)
    owed = Money(on.row.amount_at_risk, on.row.currency)
    if amount is not None and (amount.currency != owed.currency or amount.minor > owed.minor):
        message = f"{amount} was promised, but {owed} is owed"
        raise RefusedError(message)


def _may_promise_alone(on: _Case, now: datetime, until: datetime | date) -> None:
    last = last_day_to_promise(on.case, on.policy, now)
    if last is None or isinstance(until, datetime) or until > last:
        granted = f"no further than {last}" if last else "no promise now"
        raise RefusedError(f"{on.row.id}: its policy grants the customer {granted}")


def _end_of(until: datetime | date, zone: ZoneInfo) -> datetime:
    """A time as it is; of a day the moment at which it is over for the customer."""
    if isinstance(until, datetime):
        return until
    try:
        return datetime.combine(until + timedelta(days=1), time.min, zone).astimezone(UTC)
    except OverflowError:
        raise RefusedError(f"{until} is too far") from None


def _planned(on: _Case, wanted: str) -> Step:
    """The planned step of that name, such as `email:2`; its kind will do where there is one."""
    name = wanted.strip()
    by_name = {_short(step): step for step in on.ahead.steps}
    if name in by_name:
        return by_name[name]
    ended = on.case.step(f"{on.case.id}/{name}")
    if ended is not None:
        message = (
            f"{name} is over: {ended.result.value} on {ended.at:%Y-%m-%d %H:%M} UTC"
            f"{f' ({ended.why})' if ended.why else ''}"
        )
        raise RefusedError(message)
    of_kind = [step for step in on.ahead.steps if step.kind.value == name]
    if len(of_kind) == 1:
        return of_kind[0]
    known = ", ".join(by_name) or "nothing"
    what = f"{name} could be any of {len(of_kind)}" if of_kind else f"no step {name} is planned"
    raise RefusedError(f"{what}; planned for {on.row.id}: {known}")


def _not_begun(on: _Case, step: Step) -> None:
    row = on.session.get(StepRow, step.key)
    if row is not None and row.state in _UNDER_WAY:
        message = f"{_short(step)} is under way since {row.started_at:%Y-%m-%d %H:%M} UTC"
        raise RefusedError(message)
    if step.skip:
        raise RefusedError(f"{_short(step)} will not be done anyway: {step.skip}")


def _short(step: Step) -> str:
    return step.key.partition("/")[2]


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
