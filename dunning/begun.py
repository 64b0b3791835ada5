"""Steps begun, as rows: the intent before the act, the outcome after it, and what was skipped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy import bindparam, func, select, update
from sqlmodel import Session, col

from dunning import metrics
from dunning.core.daily import Put
from dunning.core.events import BillingEvent, StepDeferred, StepEnded, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.gate import Pulse
from dunning.core.ports import Asked, Doing, Ended, PutOff, Said
from dunning.core.steps import Step
from dunning.core.words import MESSAGES
from dunning.schedule import Claim
from dunning.store import MessageRow, StepRow, put_rows, table_of

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beginning:
    """A step about to be begun by the holder of a claim."""

    claim: Claim
    case: Case
    step: Step
    policy_version: str


NOT_SENT_TWICE = "the worker that sent it died before it could say so; not sent twice"
NOT_KNOWN = "it was asked for, and nobody knows what became of it"
# Steps that call nobody: they end as soon as they are begun.
AT_ONCE = frozenset((StepKind.RESTRICT, StepKind.ANNOUNCE, StepKind.SIGNAL))


@dataclass(frozen=True, slots=True)
class Intent:
    """A step that is written down as begun, and whose act comes next."""

    doing: Doing
    claim: Claim

    @property
    def at_once(self) -> bool:
        """Whether the act calls nobody."""
        return self.doing.step.kind in AT_ONCE


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was acted on, and whose outcome is to be written; see Pulse for `ending`."""

    intent: Intent
    outcome: Ended | PutOff
    ending: str

    @property
    def key(self) -> str:
        """The step's key."""
        return self.intent.doing.step.key

    @property
    def pulse(self) -> Pulse:
        """The same for whoever watches over the source."""
        return Pulse(self.intent.claim.source, self.intent.doing.step.kind, self.ending)

    def events(self, now: datetime) -> list[BillingEvent]:
        """What the case is to hear of it."""
        step, outcome = self.intent.doing.step, self.outcome
        if isinstance(outcome, PutOff):
            later = StepDeferred(id=step.key, at=now, until=outcome.until, why=outcome.why)
            return [*outcome.events, later]
        template = outcome.said.template if outcome.said else step.template
        told = ended(step, outcome.result, outcome.why, template, now, off=outcome.off)
        return [*outcome.events, told]

    def log(self) -> None:
        """Say how it ended."""
        doing, outcome = self.intent.doing, self.outcome
        known = {"case": doing.case.id, "step": self.key, "why": outcome.why}
        if isinstance(outcome, Ended):
            log.info(f"step.{outcome.result.value}", **known)
        elif outcome.unknown:
            # For ops: it may have happened, and the provider has not said so yet.
            log.warning("step.unknown", **known, since=doing.first_started_at, tries=doing.tries)
        else:
            log.info("step.put_off", **known)


def ended(
    step: Step,
    result: StepResult,
    why: str,
    template: str | None,
    now: datetime,
    *,
    off: bool = False,
) -> StepEnded:
    """The news that a step is over."""
    kind = step.kind
    return StepEnded(
        id=step.key, at=now, kind=kind, result=result, why=why, template=template, off=off
    )


def known_steps(
    session: Session, keys: Sequence[str], *, taking_over: bool = False
) -> dict[str, StepRow]:
    """The rows of those steps that were begun before.

    Who takes them over locks them: whoever had them may be about to remember what it asks for, and
    either that is seen here, or it is refused there.
    """
    query = _TAKEN_OVER if taking_over else _KNOWN
    return {row.key: row for row in session.scalars(query, {"keys": keys})}


_KNOWN = (
    select(StepRow)
    .where(col(StepRow.key).in_(bindparam("keys", expanding=True)))
    .order_by(col(StepRow.key))
)
_TAKEN_OVER = _KNOWN.with_for_update()


def is_under_way(known: StepRow | None, claim: Claim) -> bool:
    """Whether this very claim has begun it: the broker gave its message to two workers."""
    return known is not None and (known.state, known.lease_token) == ("running", claim.token)


def begin(
    session: Session,
    beginnings: Sequence[Beginning],
    known: Mapping[str, StepRow],
    now: datetime,
) -> None:
    """Write the intents, all in one statement."""
    if not beginnings:
        return
    rows = []
    for one in beginnings:
        before = known.get(one.step.key)
        rows.append(
            {
                "key": one.step.key,
                "case_id": one.case.id,
                "kind": one.step.kind.value,
                "state": "running",
                "due_at": one.step.due_at,
                "first_started_at": before.first_started_at if before else now,
                "started_at": now,
                "tries": before.tries + 1 if before else 1,
                "refusals": before.refusals if before else 0,
                "why": "",
                "template": one.step.template,
                "lease_token": one.claim.token,
                "policy_version": one.policy_version,
            }
        )
    changed = ("state", "started_at", "tries", "template", "lease_token", "policy_version")
    put_rows(session, StepRow, rows, update=changed)


def was_begun(known: StepRow | None) -> bool:
    """Whether a try of this step was begun whose ending nobody knows.

    A message is remembered right before it is handed over: where none is, none can have left.
    """
    if known is None or known.state not in ("running", "unknown"):
        return False
    return known.kind not in MESSAGES or known.asked is not None


def asked_before(known: StepRow | None) -> Asked | None:
    """What the provider was asked for under the step's key, if it may have been."""
    return Asked(**json.loads(known.asked)) if known is not None and known.asked else None


def remember_asked(session: Session, key: str, token: str, asked: Asked) -> bool:
    """Write down what the provider is about to be asked for; False: the step is not ours now."""
    said = {"its_key": key, "token": token, "said": json.dumps(asdict(asked))}
    return session.execute(_REMEMBER, said).first() is not None


_STEPS = table_of(StepRow)
_REMEMBER = (
    update(_STEPS)
    .where(
        _STEPS.c.key == bindparam("its_key"),
        _STEPS.c.lease_token == bindparam("token"),
        # The case may have ended meanwhile, and its steps with it.
        _STEPS.c.state == "running",
    )
    .values(asked=bindparam("said"))
    .returning(_STEPS.c.key)
)


def end(row: StepRow, doing: Doing, outcome: Ended | PutOff, now: datetime) -> None:
    """Write how the try ended."""
    row.why = outcome.why
    row.lease_token = None
    if isinstance(outcome, Ended):
        row.state, row.result, row.ended_at = "ended", outcome.result.value, now
        if moved := doing.step.moved:
            row.why = f"{outcome.why}; {moved}"
        return
    row.state = "unknown" if outcome.unknown else "deferred"
    row.refusals = doing.refusals + outcome.refused
    if not outcome.unknown and not doing.again:
        row.asked = None  # nothing was done under the key, so it stands for nothing yet


def record_skip(
    session: Session, case: Case, step: Step, policy_version: str, now: datetime
) -> StepEnded:
    """Put on record a step that is not done, and why.

    A message that may have left is in doubt, and so is a charge that may have been asked for: what
    became of that the next charge finds at the provider, before it asks for anything.
    """
    result, why = StepResult.SKIPPED, step.skip or ""
    row = session.get(StepRow, step.key)
    if row is not None and row.asked is not None and was_begun(row):
        if step.kind in MESSAGES:
            result, why = StepResult.DOUBTFUL, NOT_SENT_TWICE
        elif step.kind is StepKind.RETRY:
            result, why = StepResult.DOUBTFUL, f"{NOT_KNOWN}; {why}"
    row = row or StepRow(
        key=step.key,
        case_id=case.id,
        kind=step.kind.value,
        state="ended",
        due_at=step.due_at,
        started_at=now,
        first_started_at=now,
        tries=0,
        template=step.template,
        policy_version=policy_version,
    )
    row.state, row.result, row.why, row.ended_at = "ended", result.value, why, now
    session.add(row)
    metrics.step_ended(step.kind.value, result.value)
    log.info("step.skipped", case=case.id, step=step.key, result=result.value, why=why)
    return ended(step, result, why, step.template, now)


def put_by(session: Session, one: Beginning, put: Put, now: datetime) -> BillingEvent:
    """A message that does not leave now: said elsewhere, and so over, or later."""
    case, step = one.case, one.step
    if put.said_in is not None:
        skipped = step._replace(skip=put.why)
        told = record_skip(session, case, skipped, one.policy_version, now)
        return replace(told, said_in=put.said_in)
    assert put.until is not None
    log.info("step.held", case=case.id, step=step.key, why=put.why)
    return StepDeferred(id=step.key, at=now, until=put.until, why=put.why)


def message(case: Case, step: Step, said: Said, now: datetime) -> MessageRow:
    """What was said to the customer, as it is kept."""
    return MessageRow(
        step_key=step.key,
        case_id=case.id,
        source=case.source,
        customer=case.customer,
        channel=said.channel,
        template=said.template,
        recipient=said.recipient,
        locale=said.locale,
        subject=said.subject,
        state=said.state,
        at=now,
        reference=said.reference,
        why=said.why,
    )


@dataclass(frozen=True, slots=True)
class Unknown:
    """Steps that may have happened, which somebody has to find out."""

    count: int
    oldest_at: datetime | None


def unknown_steps(session: Session) -> Unknown:
    """Count the steps whose ending is not known; of a charge that is worth a person's look."""
    count, oldest_at = session.execute(
        select(func.count(), func.min(col(StepRow.first_started_at))).where(
            col(StepRow.state) == "unknown"
        )
    ).one()
    return Unknown(count, oldest_at)
