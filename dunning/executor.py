"""Run the claimed case's next step: intent, act, outcome.

The intent is committed before the act and the outcome after it; nothing is open in between. A
worker that dies leaves a running step behind: whoever takes the case next knows that it may have
happened. One step a claim, so never two charges of a case in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from dunning.cases import CaseBook, locked
from dunning.clock import Clock
from dunning.core.events import BillingEvent, StepDeferred, StepEnded, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.plan import Plan
from dunning.core.ports import Action, Doing, Ended, PutOff, Said
from dunning.core.status import status
from dunning.core.steps import Step
from dunning.errors import LeaseLostError, ProviderDownError, ProviderRefusedError
from dunning.outbox import put
from dunning.schedule import Claim
from dunning.store import CaseRow, MessageRow, StepRow, is_passing, transaction

log = structlog.get_logger(__name__)

# How long a step waits after each failure that is not its own: 1, 2, 4 … minutes, then hours.
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)
# A step that cannot be done for reasons of its own is given up after so many tries, on record.
REFUSALS = 6
# Without these a case would stand open for ever, or a paying customer without service: they are
# tried on, and ops are told.
NEVER_SKIPPED = frozenset((StepKind.SUSPEND, StepKind.RESTORE, StepKind.GIVE_UP))
# So often the outcome of a step is written anew after the database was busy with itself.
CONCLUDING = 4


def backoff(tries: int) -> timedelta:
    """How long to leave a step alone after its n-th fruitless try."""
    doublings: int = min(max(tries, 1) - 1, 10)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class _Intent:
    doing: Doing
    claim: Claim


class Executor:
    """Runs steps; knows an action for each kind."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        cases: CaseBook,
        actions: Mapping[StepKind, Action],
        *,
        announces: bool,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._cases = cases
        self._actions = actions
        self._announces = announces

    def run(self, claim: Claim) -> str | None:
        """Do the next due step of a claimed case; its key, or None when nothing was due."""
        intent = self._intend(claim)
        if intent is None:
            return None
        outcome = self._act(intent.doing)
        try:
            self._conclude_surely(intent, outcome)
        except LeaseLostError as lost:
            # Another worker has the case; it found our running step and will ask what happened.
            log.warning("step.lease_lost", step=intent.doing.step.key, why=str(lost))
            return None
        return intent.doing.step.key

    # --- intent ----------------------------------------------------------------------------

    def _intend(self, claim: Claim) -> _Intent | None:
        now = self._clock.now()
        with transaction(self._engine) as session:
            row = locked(session, claim.case_id)
            if row.lease_token != claim.token or row.wake_at is None or row.wake_at <= now:
                return None  # somebody else has the case, or may have it at any moment
            case, ahead = self._cases.plan_of(session, row, now)
            case, ahead = self._pass_over(session, row, case, ahead, now)
            due = next(iter(ahead.due(now)), None)
            if due is None:
                # What somebody who died had begun, and is not due again, is looked after as well.
                row.lease_token = None
                self._cases.apply_by_hand(session, row, [], now)
                return None
            if _is_under_way(session, due, claim):
                return None  # the broker gave this very message to two workers
            step_row, again = _begin(session, case, due, row, claim, now)
            policy = self._cases.policy_of(session, row.policy_version)
            doing = Doing(
                case=case,
                policy=policy,
                step=due,
                now=now,
                again=again,
                first_started_at=step_row.first_started_at,
                tries=step_row.tries,
            )
            return _Intent(doing, claim)

    def _pass_over(
        self, session: Session, row: CaseRow, case: Case, ahead: Plan, now: datetime
    ) -> tuple[Case, Plan]:
        """Put on record the due steps that are not to be done, with the reason."""
        while skipped := [step for step in ahead.due(now) if step.skip]:
            events: list[BillingEvent] = []
            for step in skipped:
                why = step.skip or ""
                _record_skip(session, case, step, row, why, now)
                events.append(
                    StepEnded(
                        id=step.key,
                        at=now,
                        kind=step.kind,
                        result=StepResult.SKIPPED,
                        why=why,
                        template=step.template,
                    )
                )
                log.info("step.skipped", case=case.id, step=step.key, why=why)
            self._cases.apply_by_hand(session, row, events, now)
            case, ahead = self._cases.plan_of(session, row, now)
        return case, ahead

    # --- act -------------------------------------------------------------------------------

    def _act(self, doing: Doing) -> Ended | PutOff:
        step = doing.step
        if doing.again and step.kind is StepKind.EMAIL:
            why = "the worker that sent it died before it could say so; not sent twice"
            return Ended(result=StepResult.DOUBTFUL, why=why)
        try:
            return self._actions[step.kind].act(doing)
        except ProviderDownError as error:
            wait = max(backoff(doing.tries), timedelta(seconds=error.retry_after or 0))
            # What an earlier try under this key did is still not known.
            return PutOff(until=self._clock.now() + wait, why=str(error), unknown=doing.again)
        except ProviderRefusedError as error:
            return self._refused(doing, str(error), unknown=doing.again)
        except Exception as error:
            # A fault of ours must not stop the case for ever, nor repeat a charge blindly.
            log.exception("step.failed", step=step.key)
            return self._refused(doing, f"{type(error).__name__}: {error}", unknown=True)

    def _refused(self, doing: Doing, why: str, *, unknown: bool = False) -> Ended | PutOff:
        kind = doing.step.kind
        final = kind not in NEVER_SKIPPED and not (kind is StepKind.RETRY and unknown)
        if doing.tries >= REFUSALS:
            log.error("step.refused", step=doing.step.key, tries=doing.tries, why=why)
            if final:
                return Ended(result=StepResult.SKIPPED, why=why)
        until = self._clock.now() + max(backoff(doing.tries), timedelta(minutes=10))
        return PutOff(until=until, why=why, unknown=unknown)

    # --- outcome ---------------------------------------------------------------------------

    def _conclude_surely(self, intent: _Intent, outcome: Ended | PutOff) -> None:
        """What was done to the world is not forgotten over a deadlock, which passes."""
        for tries in range(1, CONCLUDING + 1):
            try:
                return self._conclude(intent, outcome)
            except DBAPIError as error:
                if tries == CONCLUDING or not is_passing(error):
                    raise
                log.warning("step.concluded_again", step=intent.doing.step.key, tries=tries)
        return None

    def _conclude(self, intent: _Intent, outcome: Ended | PutOff) -> None:
        now = self._clock.now()
        doing, step = intent.doing, intent.doing.step
        last: StepEnded | StepDeferred
        if isinstance(outcome, Ended):
            said = outcome.said
            last = StepEnded(
                id=step.key,
                at=now,
                kind=step.kind,
                result=outcome.result,
                why=outcome.why,
                template=said.template if said else step.template,
            )
        else:
            last = StepDeferred(id=step.key, at=now, until=outcome.until, why=outcome.why)
        with transaction(self._engine) as session:
            row = session.get_one(StepRow, step.key)
            # Said before the case is advanced: where that ends it, it ends what is left begun.
            _end(row, outcome, now)
            case = self._cases.apply_to(session, intent.claim, [*outcome.events, last], now)
            if isinstance(outcome, Ended):
                _end(row, outcome, now)
            if isinstance(outcome, Ended) and outcome.said:
                session.add(_message(case, step, outcome.said, now))
            if isinstance(outcome, Ended) and outcome.announce and self._announces:
                name = f"{outcome.announce}:{step.key.rpartition('/')[2]}"
                put(session, case, status(case), outcome.announce, name, now)
        ending = outcome.result.value if isinstance(outcome, Ended) else "put_off"
        log.info(f"step.{ending}", case=doing.case.id, step=step.key, why=outcome.why)


def _is_under_way(session: Session, step: Step, claim: Claim) -> bool:
    known = session.get(StepRow, step.key)
    return known is not None and (known.state, known.lease_token) == ("running", claim.token)


def _begin(
    session: Session, case: Case, step: Step, row: CaseRow, claim: Claim, now: datetime
) -> tuple[StepRow, bool]:
    """Write the intent. True: a step of this key was begun before and its end is not known."""
    known = session.get(StepRow, step.key)
    again = known is not None and known.state in ("running", "unknown")
    if known is None:
        known = StepRow(
            key=step.key,
            case_id=case.id,
            kind=step.kind.value,
            state="running",
            due_at=step.due_at,
            first_started_at=now,
            started_at=now,
            tries=0,
        )
    known.state = "running"
    known.started_at = now
    known.tries += 1
    known.template = step.template
    known.lease_token = claim.token
    known.policy_version = row.policy_version
    session.add(known)
    session.flush()
    return known, again


def _record_skip(
    session: Session, case: Case, step: Step, row: CaseRow, why: str, now: datetime
) -> None:
    known = session.get(StepRow, step.key) or StepRow(
        key=step.key,
        case_id=case.id,
        kind=step.kind.value,
        state="ended",
        due_at=step.due_at,
        started_at=now,
        first_started_at=now,
        tries=0,
        template=step.template,
        policy_version=row.policy_version,
    )
    known.state, known.result, known.why, known.ended_at = "ended", "skipped", why, now
    session.add(known)


def _end(row: StepRow, outcome: Ended | PutOff, now: datetime) -> None:
    row.why = outcome.why
    row.lease_token = None
    if isinstance(outcome, Ended):
        row.state, row.result, row.ended_at = "ended", outcome.result.value, now
    else:
        row.state = "unknown" if outcome.unknown else "deferred"


def _message(case: Case, step: Step, said: Said, now: datetime) -> MessageRow:
    return MessageRow(
        step_key=step.key,
        case_id=case.id,
        source=case.source,
        customer=case.customer,
        template=said.template,
        recipient=said.recipient,
        locale=said.locale,
        subject=said.subject,
        state=said.state,
        at=now,
        reference=said.reference,
        why=said.why,
    )
