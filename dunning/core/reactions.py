"""Steps no policy line asks for: what an event calls for at once, and what follows the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dunning.core.backups import backup_charges
from dunning.core.calendar import opening
from dunning.core.declines import Advice
from dunning.core.entries import Cause
from dunning.core.events import AttemptStatus, OnCancel, StepEnded, StepKind, StepResult
from dunning.core.facts import Case
from dunning.core.freezing import exempt
from dunning.core.local import hours_of, local_of
from dunning.core.permission import template_for, why_held_out, why_no_charge, why_no_email
from dunning.core.policy import Policy, Retries
from dunning.core.remembered import per_policy
from dunning.core.status import Access, State, Status, last_decline, spoken_of
from dunning.core.steps import Step, fitting_template

# A customer hears at once that only they can help, unless a message is due within this time.
SOON = timedelta(days=1)
# Advice that nobody but the customer can follow.
_ASKS_THEM = frozenset((Advice.AUTHENTICATE, Advice.NEW_METHOD, Advice.STOP))
# By names of their own: to look `StepKind.EMAIL` up takes as long as to call a function.
_EMAIL, _RECONCILE, _SUSPEND = StepKind.EMAIL, StepKind.RECONCILE, StepKind.SUSPEND
_VOIDS = (OnCancel.VOID, OnCancel.VOID_IF_WHOLLY_UNPAID)
# Reasons to end a case after which nothing is owed, so the service comes back.
_NOTHING_OWED = frozenset(
    (
        Cause.VOIDED.value,
        Cause.CREDITED.value,
        Cause.CLOSED_BY_HAND.value,
        Cause.WRITTEN_OFF_ELSEWHERE.value,
    )
)


def while_open(case: Case, policy: Policy, ladder: Sequence[Step]) -> Iterator[Step]:
    """What the facts of an open case call for beside its timeline."""
    failed_at = case.failed_at
    assert failed_at is not None
    yield Step(
        key=f"{case.id}/reconcile:open",
        kind=_RECONCILE,
        due_at=failed_at,
        why="ask the provider what the event did not carry, and who owns the retries",
    )
    if case.method_at is not None:
        yield from _charge_new_card(case, policy)
    if case.retries_asked:
        yield from _charges_by_hand(case, policy)
    if policy.backup_methods:
        yield from backup_charges(case, policy, ladder)
    yield from _tell_of_advice(case, policy, ladder)
    yield from _tell_of_suspension(case, policy)


def after_end(case: Case, policy: Policy, present: Status) -> Iterator[Step]:
    """What is left to do once the case has ended: never a charge."""
    ended_at = present.ended_at
    assert ended_at is not None
    recovered = present.state is State.RECOVERED
    closed = present.state is State.CLOSED
    owes_nothing = recovered or (closed and present.reason in _nothing_owed(case))
    if owes_nothing and (present.access is not Access.FULL or _in_doubt(case)):
        yield Step(
            # A case may end, be restored, open again (a credit note is voided) and end again.
            key=f"{case.id}/restore:{_restored(case) + 1}",
            kind=StepKind.RESTORE,
            due_at=ended_at,
            why=f"{present.reason}: access comes back",
        )
    if closed and present.reason == Cause.CANCELLED and case.terms.on_cancel in _VOIDS:
        yield Step(
            key=f"{case.id}/void:1",
            kind=StepKind.VOID,
            due_at=ended_at,
            why="the customer has cancelled, and the policy voids what they owe",
        )
    if recovered and _emails(case):
        yield Step(
            key=f"{case.id}/email:recovered",
            kind=StepKind.EMAIL,
            due_at=_window(case, policy, ended_at),
            template="recovered",
            why="the customer was told of the debt, so they are told it is settled",
            skip=_spared(case, ended_at) or why_no_email(case, policy),
        )
    if recovered and not _succeeded(case):
        yield Step(
            key=f"{case.id}/reconcile:paid",
            kind=StepKind.RECONCILE,
            due_at=ended_at,
            why="ask which charge it was: a later refund finds its case, a try of ours its end",
        )


def _nothing_owed(case: Case) -> frozenset[str]:
    """The ends after which access comes back: for who has cancelled only if it is theirs at all.

    One subscription is gone by then; a customer may have others.
    """
    left = (Cause.CANCELLED.value,) if case.terms.wide else ()
    return _NOTHING_OWED.union(left)


def _in_doubt(case: Case) -> bool:
    """Whether a suspension was begun, and nobody knows whether it came about."""
    last = max((s.at for s in case.done if s.kind is StepKind.RESTORE), default=None)
    return any(
        step.kind is StepKind.SUSPEND
        and step.result is StepResult.DOUBTFUL
        and (last is None or step.at > last)
        for step in case.done
    )


def _spared(case: Case, at: datetime) -> str | None:
    """A customer who is exempt is not written to, not even to say that all is well."""
    standing = exempt(case, at)
    return standing.why if standing else None


def _charge_new_card(case: Case, policy: Policy) -> Iterator[Step]:
    at, failed_at = case.method_at, case.failed_at
    if at is None or failed_at is None or at < failed_at:
        return
    key = f"{case.id}/retry:card:{int(at.timestamp())}"
    # The customer's own try with the new card already answered what ours would ask.
    if any(
        attempt.at > at or (attempt.at == at and attempt.method == case.method)
        for attempt in case.attempts
        if attempt.key != key
    ):
        return
    yield Step(
        key=key,
        kind=_charge(policy),
        due_at=at,
        why="the customer gave a new card",
        skip=why_no_charge(case, policy),
    )


def _charges_by_hand(case: Case, policy: Policy) -> Iterator[Step]:
    last = max(case.retries_asked, key=lambda asked: (asked.at, asked.id), default=None)
    for asked in case.retries_asked:
        key = f"{case.id}/retry:hand:{asked.id}"
        skip = why_no_charge(case, policy, forced=asked.forced)
        if asked is not last:
            skip = "it was asked for again since"
        if any(attempt.at > asked.at and attempt.key != key for attempt in case.attempts):
            skip = "a charge was tried since it was asked for"
        yield Step(
            key=key,
            kind=_charge(policy),
            due_at=asked.at,
            why=f"{'forced' if asked.forced else 'asked for'} by {asked.by}: {asked.why}",
            skip=skip,
            forced=asked.forced,
        )


def _charge(policy: Policy) -> StepKind:
    """Where the billing system makes the charges, we say when."""
    return StepKind.SIGNAL if policy.retries is Retries.SIGNAL else StepKind.RETRY


def _tell_of_advice(case: Case, policy: Policy, ladder: Sequence[Step]) -> Iterator[Step]:
    """Write when a later decline asks for something only the customer can do."""
    said = spoken_of(case, policy.declines)
    if said is None or said.advice not in _ASKS_THEM:
        return
    last, template = last_decline(case), fitting_template("payment_failed", said)
    if last is None or template == "payment_failed":
        return
    emails = _emails(case)
    told_before = [email.template for email in emails if email.at < last.at]
    told_this = told_before and template in [email.template for email in emails]
    if not told_before or told_this:
        return
    soon = last.at + SOON
    if any(s.kind is _EMAIL and s.skip is None and s.due_at <= soon for s in ladder):
        return
    yield Step(
        key=f"{case.id}/email:{template}",
        kind=StepKind.EMAIL,
        due_at=_window(case, policy, last.at),
        template=template,
        why=f"{said.advice.value}: {said.reason}",
        skip=why_held_out(case) or why_no_email(case, policy),
    )


def _tell_of_suspension(case: Case, policy: Policy) -> Iterator[Step]:
    suspended = [
        step for step in case.done if step.kind is _SUSPEND and step.result is StepResult.DONE
    ]
    if not suspended or tells_of_suspension(policy):
        return  # or the timeline says it in its own time
    key = f"{case.id}/email:suspended"
    if case.step(key) is not None:
        return
    template = template_for(case, "suspended", policy)
    if any(told.template == template and told.id != key for told in _emails(case)):
        return  # a line that held before has said it
    for step in suspended:
        yield Step(
            key=key,
            kind=StepKind.EMAIL,
            due_at=_window(case, policy, step.at),
            template=template,
            why="the service was suspended",
            skip=why_held_out(case) or why_no_email(case, policy),
        )


@per_policy
def tells_of_suspension(policy: Policy) -> bool:
    """Whether a line of the policy tells of a suspension, in its own time."""
    return any(rung.template == "suspended" for rung in policy.timeline)


def _restored(case: Case) -> int:
    done = (step.result is StepResult.DONE for step in case.done if step.kind is StepKind.RESTORE)
    return sum(done)


def _emails(case: Case) -> list[StepEnded]:
    """Messages that reached, or may have reached, the customer."""
    return [step for step in case.done if step.kind is _EMAIL and step.told]


def _succeeded(case: Case) -> bool:
    return any(attempt.status is AttemptStatus.SUCCEEDED for attempt in case.attempts)


def _window(case: Case, policy: Policy, moment: datetime) -> datetime:
    return opening(moment, hours_of(None, StepKind.EMAIL, policy), local_of(case, policy))
