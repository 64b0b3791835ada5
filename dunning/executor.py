"""Run the next step of claimed cases: intent, act, outcome.

The intent is committed before the act and the outcome after it; nothing is open in between. A
worker that dies leaves a running step behind: whoever takes the case next knows that it may have
happened. One step a claim, so never two charges of a case in a row.

Many cases share a transaction at both ends. What fails together is tried one by one, so that one
bad case fails alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session, col

from dunning import begun, crashpoints, mail_days, metrics, returns
from dunning.addresses import mark
from dunning.begun import Beginning, Done, Intent
from dunning.case_rows import locked
from dunning.cases import CaseBook
from dunning.clock import Clock
from dunning.core.around import ALONE
from dunning.core.daily import Put
from dunning.core.events import StepDeferred, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.gate import Gate, Held
from dunning.core.plan import Plan, plan
from dunning.core.ports import Action, Asked, Doing, Ended, PutOff, Saying
from dunning.core.status import status
from dunning.core.steps import Step
from dunning.errors import (
    DayOverError,
    LeaseLostError,
    ProviderBusyError,
    ProviderDownError,
    ProviderRefusedError,
)
from dunning.mail_days import Wish
from dunning.mail_turns import take_days
from dunning.outbox import News
from dunning.outbox import put as put_call
from dunning.schedule import Claim, hold
from dunning.store import CaseRow, StepRow, is_away, is_passing, transaction
from dunning.trying import failed, put_off, refused

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=30)
# So often the outcome of a step is written anew after the database was busy with itself.
CONCLUDING = 4


class Executor:
    """Runs steps; knows an action for each kind. Usable from any thread."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        cases: CaseBook,
        actions: Mapping[StepKind, Action],
        *,
        announces: bool,
        lease: timedelta = LEASE,
        gate: Gate | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._cases = cases
        self._actions = actions
        self._announces = announces
        self._lease = lease
        self._gate = gate

    def run(self, claim: Claim) -> str | None:
        """Do the next due step of a claimed case; its key, or None when nothing was due."""
        for intent in self._begin_alone(claim):
            if (done := self.act(intent)) is not None and self._conclude_surely([done]):
                return intent.doing.step.key
        return None

    def run_many(self, claims: Sequence[Claim]) -> None:
        """Do the next due step of each, one after the other; one that fails, fails alone."""
        for claim in claims:
            try:
                self.run(claim)
            except Exception:
                # The others are cases of their own; this one's lease runs out.
                log.exception("case.failed", case=claim.case_id)

    # --- intent ----------------------------------------------------------------------------

    def begin(self, claims: Sequence[Claim]) -> list[Intent]:
        """Write the intents of these claims' next steps. The lease of each begins anew."""
        intents: list[Intent] = []
        try:
            intents, alone = self._begin_many(claims)
        except DBAPIError as error:
            if is_away(error) or len(claims) == 1:
                raise
            log.warning("step.begun_apart", count=len(claims), error=type(error).__name__)
            alone = list(claims)
        for claim in alone:
            try:
                intents += self._begin_alone(claim)
            except Exception:
                log.exception("case.failed", case=claim.case_id)
        return intents

    def _begin_many(self, claims: Sequence[Claim]) -> tuple[list[Intent], list[Claim]]:
        """The intents of the plain cases together, and the claims that need a closer look."""
        now = self._clock.now()
        wanted = {claim.case_id: claim for claim in claims}
        beginnings: list[Beginning] = []
        alone: list[Claim] = []
        self._ask_gate(now)
        with transaction(self._engine) as session:
            # What somebody is working on right now is waited for alone, so that nobody stops.
            rows = session.scalars(
                select(CaseRow)
                .where(col(CaseRow.id).in_(wanted))
                .order_by(col(CaseRow.id))
                .with_for_update(skip_locked=True)
            ).all()
            found = {row.id for row in rows}
            besides = self._cases.besides(session, rows)
            alone += [claim for name, claim in wanted.items() if name not in found]
            # The lease runs from the beginning of the step, however long its claim had to wait.
            ours = hold(session, [wanted[row.id] for row in rows], now, now + self._lease)
            for row in rows:
                claim = wanted[row.id]
                if claim not in ours:
                    continue
                try:
                    around = besides.get(row.id, ALONE)
                    case, ahead = self._cases.plan_of(session, row, now, around)
                except Exception:  # noqa: BLE001 - told when it is looked at alone
                    alone.append(claim)
                    continue
                due = next(iter(ahead.due(now)), None)
                if due is None or due.skip or self._held(case, due, now):
                    alone.append(claim)
                else:
                    beginnings.append(Beginning(claim, case, due, row.policy_version))
            intents, put = self._write(session, beginnings, now)
            alone += put
            crashpoints.reach("intent.before_commit")
        crashpoints.reach("intent.committed")
        return intents, alone

    def _begin_alone(self, claim: Claim) -> list[Intent]:
        now = self._clock.now()
        self._ask_gate(now)
        with transaction(self._engine) as session:
            row = locked(session, claim.case_id)
            if not hold(session, [claim], now, now + self._lease):
                return []  # somebody else has the case, or may have it at any moment
            intents: list[Intent] = []
            put: dict[Claim, Put] = {}
            while not intents:
                case, due = self._next(session, row, now)
                if due is None:
                    # What who died had begun, and is not due again, is looked after as well.
                    self._cases.apply_by_hand(session, row, [], now, ending=claim)
                    return []
                one = Beginning(claim, case, due, row.policy_version)
                intents, put = self._write(session, [one], now)
                if not put:
                    break  # this very claim has begun it
                told = begun.put_by(session, one, put[claim], now)
                self._cases.apply_by_hand(session, row, [told], now)
            crashpoints.reach("intent.before_commit")
        crashpoints.reach("intent.committed")
        return intents

    def _write(
        self, session: Session, beginnings: Sequence[Beginning], now: datetime
    ) -> tuple[list[Intent], dict[Claim, Put]]:
        """Write down what is begun, but for what this very claim has begun before.

        And which messages do not leave now, as the day is another's.
        """
        keys = [one.step.key for one in beginnings]
        known = begun.known_steps(session, keys, taking_over=True)
        open_ones = [
            one for one in beginnings if not begun.is_under_way(known.get(one.step.key), one.claim)
        ]
        days, put = take_days(self._cases, session, open_ones, known, now)
        open_ones = [one for one in open_ones if one.claim not in put]
        begun.begin(session, open_ones, known, now)
        intents = [
            self._intent(session, one, known.get(one.step.key), now, days.get(one.claim))
            for one in open_ones
        ]
        return intents, put

    def _intent(
        self,
        session: Session,
        one: Beginning,
        known: StepRow | None,
        now: datetime,
        day: Wish | None,
    ) -> Intent:
        doing = Doing(
            case=one.case,
            policy=self._cases.policy_of(session, one.policy_version),
            step=one.step,
            now=now,
            again=begun.was_begun(known),
            first_started_at=known.first_started_at if known else now,
            tries=known.tries + 1 if known else 1,
            refusals=known.refusals if known else 0,
            asked=begun.asked_before(known),
            others=day.others if day else (),
            asking=partial(self._asking, one.step.key, one.claim.token, day),
        )
        return Intent(doing, one.claim)

    def _ask_gate(self, now: datetime) -> None:
        """Read what holds while no transaction is open: a thread needs one connection at a time."""
        if self._gate:
            self._gate.refresh(now)

    def _held(self, case: Case, step: Step, now: datetime) -> Held | None:
        return self._gate.held(case.source, step.kind, now, case.id) if self._gate else None

    def _next(self, session: Session, row: CaseRow, now: datetime) -> tuple[Case, Step | None]:
        """The step to be begun now. What is not to be done, or not now, goes on record first."""
        while True:
            case, ahead = self._cases.plan_of(session, row, now)
            case, ahead = self._pass_over(session, row, case, ahead, now)
            due = next(iter(ahead.due(now)), None)
            if due is None or (hold := self._held(case, due, now)) is None:
                return case, due
            log.info("step.held", case=case.id, step=due.key, why=hold.why)
            later = StepDeferred(id=due.key, at=now, until=hold.until, why=hold.why)
            self._cases.apply_by_hand(session, row, [later], now)

    def _pass_over(
        self, session: Session, row: CaseRow, case: Case, ahead: Plan, now: datetime
    ) -> tuple[Case, Plan]:
        """Put on record the due steps that are not to be done, with the reason."""
        while skipped := [step for step in ahead.due(now) if step.skip]:
            version = row.policy_version
            events = [begun.record_skip(session, case, step, version, now) for step in skipped]
            self._cases.apply_by_hand(session, row, events, now)
            case, ahead = self._cases.plan_of(session, row, now)
        return case, ahead

    # --- act -------------------------------------------------------------------------------

    def act(self, intent: Intent) -> Done | None:
        """Do it. None: somebody else has the case by now, and nothing was done."""
        try:
            outcome, ending = self._act(intent.doing)
        except LeaseLostError as lost:
            metrics.lease_lost()
            log.warning("step.lease_lost", step=intent.doing.step.key, why=str(lost))
            return None
        crashpoints.reach("act.done")
        return Done(intent, outcome, ending)

    def _act(self, doing: Doing) -> tuple[Ended | PutOff, str]:
        step = doing.step
        if doing.again and step.kind is StepKind.EMAIL:
            why = begun.NOT_SENT_TWICE
            return _with_its_ending(Ended(result=StepResult.DOUBTFUL, why=why))
        try:
            return _with_its_ending(self._actions[step.kind].act(doing))
        except LeaseLostError:
            raise
        except DayOverError as error:
            return PutOff(until=self._clock.now(), why=str(error)), "put_off"
        except ProviderBusyError as error:
            return put_off(doing, str(error), self._clock.now(), error.retry_after), "put_off"
        except ProviderDownError as error:
            return put_off(doing, str(error), self._clock.now(), error.retry_after), "down"
        except ProviderRefusedError as error:
            now = self._clock.now()
            return refused(doing, str(error), now, unknown=doing.again), "refused"
        except Exception as error:  # noqa: BLE001 - told by `failed`
            passing = isinstance(error, PoolTimeoutError) or (
                isinstance(error, DBAPIError) and is_passing(error)
            )
            if passing:
                # Our database is asked before the provider is asked to do anything, never after.
                return put_off(doing, "the database was away", self._clock.now()), "put_off"
            return failed(doing, error, self._clock.now()), "refused"

    def _asking(self, key: str, token: str, wish: Wish | None, asked: Asked | Saying) -> None:
        """Remember what is about to be asked for, or said, unless the step is not ours now."""
        with transaction(self._engine) as session:
            if wish is not None and isinstance(asked, Saying):
                if self._clock.now() >= wish.day.ends_at:
                    raise DayOverError(f"{key}: its day ended before it could be sent")
                if not mail_days.about_to_say(session, wish, asked):
                    raise LeaseLostError(f"{key}: somebody else writes to the customer today")
            request = asked if isinstance(asked, Asked) else Asked(method=None)
            if not begun.remember_asked(session, key, token, request):
                raise LeaseLostError(f"{key}: the lease ran out and somebody else has the step")
            crashpoints.reach("asking.before_commit")
        crashpoints.reach("asking.committed")

    # --- outcome ---------------------------------------------------------------------------

    def conclude(self, done: Sequence[Done]) -> list[Done]:
        """Write these outcomes together; what is left over waits for the database to come back.

        Written twice, an outcome is written once: the claim is over after the first time.
        """
        try:
            self._conclude_surely(done)
        except Exception as error:
            if isinstance(error, DBAPIError) and is_passing(error):
                return list(done)
            if len(done) == 1:
                log.exception("case.failed", case=done[0].intent.claim.case_id)
                return []
            half = len(done) // 2
            return [*self.conclude(done[:half]), *self.conclude(done[half:])]
        return []

    def _conclude_surely(self, done: Sequence[Done]) -> bool:
        """What was done to the world is not forgotten over a deadlock, which passes."""
        for tries in range(1, CONCLUDING + 1):
            try:
                self._conclude(done)
                return True
            except LeaseLostError as lost:
                if len(done) > 1:
                    raise
                # Another worker has the case and will ask what happened; or the answer to our
                # first commit got lost, and all of it is written.
                step = done[0].key
                metrics.lease_lost()
                log.warning("step.lease_lost", step=step, tries=tries, why=str(lost))
                return False
            except DBAPIError as error:
                if tries == CONCLUDING or not is_passing(error):
                    raise
                log.warning("step.concluded_again", count=len(done), tries=tries)
        raise AssertionError

    def _conclude(self, done: Sequence[Done]) -> None:
        now = self._clock.now()
        with transaction(self._engine) as session:
            rows = begun.known_steps(session, [one.key for one in done])
            for one in done:
                # Said before the case is advanced: where that ends it, it ends what is left begun.
                begun.end(rows[one.key], one.intent.doing, one.outcome, now)
            told = [(one.intent.claim, one.events(now)) for one in done]
            after = self._cases.apply_to_many(session, told, now)
            for one in done:
                case = after[one.intent.claim.case_id]
                if isinstance(case, Exception):
                    raise case  # all of it is rolled back, and the others go without this one
                if isinstance(one.outcome, Ended):
                    row = rows[one.key]
                    begun.end(row, one.intent.doing, one.outcome, now)
                    self._tell(session, case, one.intent.doing, one.outcome, now)
            if self._gate:
                self._gate.note(session, [one.pulse for one in done], now)
            crashpoints.reach("outcome.before_commit")
        crashpoints.reach("outcome.committed")
        for one in done:
            one.log()

    def _tell(
        self, session: Session, case: Case, doing: Doing, outcome: Ended, now: datetime
    ) -> None:
        if outcome.said:
            said = outcome.said
            returns.keep(session, begun.message(case, doing.step, said, now), now)
            if said.dead:
                key = doing.step.key
                mark(session, said.recipient, kind="refused", why=said.why, now=now, reference=key)
        if outcome.announce and self._announces:
            ahead = partial(plan, case, doing.policy, now)
            policy_of = partial(self._cases.policy_of, session)
            news = News(case, status(case), doing.policy, ahead, policy_of)
            put_call(session, news, outcome.announce, doing.step, now)


def _with_its_ending(outcome: Ended | PutOff) -> tuple[Ended | PutOff, str]:
    if isinstance(outcome, Ended):
        return outcome, outcome.result.value
    if outcome.refused:
        return outcome, "refused"
    if outcome.down:
        return outcome, "down"
    return outcome, "unknown" if outcome.unknown else "put_off"
