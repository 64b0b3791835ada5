"""Other saved methods of the customer that may be charged when the present one may not be.

Only what the customer saved for charges while they are away, in the order the policy states, each
once for a case, and a day apart: several cards within minutes look like somebody trying cards out.
A method stays what it is: none is made the default, and what its bank says is said of it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache

from dunning.core.declines import Advice, Verdict, table
from dunning.core.events import Attempt, StepKind, StepResult
from dunning.core.facts import BACKUP, Case, Saved, of_backup
from dunning.core.places import DOORS, starts_at
from dunning.core.policy import ANY_METHOD, Policy, Retries
from dunning.core.status import last_decline, method_gone, verdict
from dunning.core.steps import Step

APART = timedelta(days=1)
# The customer does not want to be charged, whatever the card: another one is no way around that.
_REFUSED = frozenset(
    (
        "customer_decline",
        "debit_not_authorized",
        "invalid_authorization",
        "payment_disputed",
        "payment_method_customer_decline",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stop_payment_order",
    )
)


def backup_charges(case: Case, policy: Policy, ladder: Sequence[Step]) -> Iterator[Step]:
    """The charges of other methods that the case calls for now, the next one first."""
    begins = _begins_at(case, policy, ladder)
    if begins is None:
        return
    since, why = begins
    last = max((one.at for one in case.attempts if of_backup(case, one)), default=None)
    first = since if last is None else max(since, last + APART)
    for place, saved in enumerate(choices(case, policy)):
        due_at = first + APART * place
        ahead_of_all = place == 0 and last is None
        offset = int((due_at - starts_at(case, policy)).total_seconds())
        yield Step(
            key=key_of(case, saved.id),
            kind=StepKind.RETRY,
            due_at=due_at,
            # The first goes ahead of every door; those after it hold up none for days.
            order=0 if ahead_of_all else 10 + max(offset, 0),
            method=saved.id,
            why=f"{why}: charge another saved method ({saved.type or 'of unknown type'})",
            held=place > 0,
        )


def choices(case: Case, policy: Policy) -> list[Saved]:
    """The methods that may be charged, the next one first; what was begun goes before all."""
    found = [saved for saved in case.saved if _fits(case, policy, saved)]
    order = policy.backup_methods
    begun = {step.id for step in case.deferred} | {one.key for one in case.attempts}

    def place(saved: Saved) -> tuple[bool, int, float, str]:
        rank = order.index(saved.type) if saved.type in order else len(order)
        return (key_of(case, saved.id) not in begun, rank, -saved.since.timestamp(), saved.id)

    return sorted(found, key=place)


def why_no_backup(case: Case, policy: Policy, method: str) -> str | None:
    """The reason not to charge this other method now, or None."""
    if why := _why_none(case, policy):
        return why
    saved = next((one for one in case.saved if one.id == method), None)
    if saved is None or not _fits(case, policy, saved):
        return "this method is not one that may be charged in place of the present one any more"
    return None


def key_of(case: Case, method: str) -> str:
    """The step's key: one charge of a method for a case."""
    return f"{case.id}/{BACKUP}{method}"


def _begins_at(case: Case, policy: Policy, ladder: Sequence[Step]) -> tuple[datetime, str] | None:
    """From when on other methods may be charged, and why; None: not now."""
    if _why_none(case, policy):
        return None
    last, said = last_decline(case), verdict(case, policy.declines)
    if method_gone(case):
        gone = max((at for _, at in case.methods_gone), default=None)
        return (gone or case.failed_at or starts_at(case, policy)), "the payment method is gone"
    if last and said and said.advice in (Advice.NEW_METHOD, Advice.STOP):
        return last.at, f"{said.advice.value}: {said.reason}"
    if policy.backup_after_last_retry and (at := _last_retry(case, ladder)):
        return at, "the last retry before a door was declined"
    return None


def _why_none(case: Case, policy: Policy) -> str | None:
    """What speaks against any other method."""
    if not policy.backup_methods:
        return "the policy charges no other method"
    if case.by_hand:
        return "the customer pays this invoice by hand"
    if policy.retries in (Retries.PROVIDER, Retries.SIGNAL):
        return "the charges of this policy are not ours"
    theirs = case.bill is not None and case.bill.next_attempt_at is not None
    if policy.retries is Retries.PROVIDER_FIRST and theirs:
        return "the provider has not finished its own retries"
    said = verdict(case, policy.declines)
    if said is None:
        return None
    if said.advice is Advice.AUTHENTICATE:
        return f"{said.advice.value}: {said.reason}"
    return f"{said.advice.value}: {said.reason}" if _forbids_all(said) else None


def _forbids_all(said: Verdict) -> bool:
    """Whether what was said is about the customer or the merchant, and not about one method."""
    words = {source.rpartition(" ")[2] for source in said.sources}
    return said.quiet or said.tell_ops or not words.isdisjoint(_REFUSED | _fraud())


@cache
def _fraud() -> frozenset[str]:
    return frozenset(row.code for row in table() if row.category == "fraud_block")


def _fits(case: Case, policy: Policy, saved: Saved) -> bool:
    order = policy.backup_methods
    wanted = order == (ANY_METHOD,) or saved.type in order
    gone = any(name == saved.id for name, _ in case.methods_gone)
    return (
        wanted
        and saved.off_session
        and case.step(key_of(case, saved.id)) is None
        and not gone
        and not any(_same(saved, one) for one in _others(case, saved))
    )


def _others(case: Case, saved: Saved) -> Iterator[Attempt]:
    """The tries for this invoice but for our own with this very method."""
    own = key_of(case, saved.id)
    return (one for one in case.attempts if one.key != own)


def _same(saved: Saved, attempt: Attempt) -> bool:
    """Whether the try was made with this method, or with the same card under another name."""
    same_card = saved.fingerprint is not None and saved.fingerprint == attempt.fingerprint
    return attempt.method == saved.id or same_card


def _last_retry(case: Case, ladder: Sequence[Step]) -> datetime | None:
    """When the last charge ahead of the next door was declined, if nothing is left before it."""
    doors = [step.order for step in ladder if step.kind in DOORS]
    if not doors:
        return None
    left = any(step.kind is StepKind.RETRY and step.order < min(doors) for step in ladder)
    tried = [
        step.at
        for step in case.done
        if step.kind is StepKind.RETRY
        and step.result is StepResult.DECLINED
        and not step.id.startswith(f"{case.id}/{BACKUP}")
    ]
    return None if left or not tried else max(tried)
