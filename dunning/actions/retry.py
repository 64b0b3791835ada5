"""Charge the invoice: look first, take over if need be, keep within the card's limits.

A charge whose ending is not known is asked about first. Within the life of its key the very same
request may be repeated, so often; after that it is only read about, ever more rarely, until the
provider's records say how it ended, or that there was none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import assert_never

import structlog

from dunning import metrics
from dunning.actions.looking import Looked, look_with_methods, news_of
from dunning.core.backups import why_no_backup
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    Decline,
    InvoiceReported,
    StepResult,
)
from dunning.core.freezing import freeze
from dunning.core.limits import Limit, allowed, built_in, in_force
from dunning.core.permission import why_no_charge
from dunning.core.policy import Retries
from dunning.core.ports import (
    ActionNeeded,
    Asked,
    ChargeOutcome,
    Declined,
    Doing,
    Ended,
    NotKnown,
    NotOwed,
    NotSent,
    Paid,
    Processing,
    Provider,
    PutOff,
    Refused,
)

log = structlog.get_logger(__name__)

# Stripe keeps idempotency keys for at least 24 hours; past this age of a try, only reading is safe.
KEY_LIFE = timedelta(hours=20)
# By then the key is forgotten for certain, and what it stood for with it.
KEY_FORGOTTEN = timedelta(hours=25)
# An answer that stays the same is the provider's memory of the first one, not news.
MOST_ASKED = 3
UNKNOWN_WAIT = timedelta(minutes=5)
LONGEST_UNKNOWN_WAIT = timedelta(hours=6)
# A provider that answers and after so long still cannot say what happened never will.
UNKNOWN_LIFE = timedelta(days=7)
SETTLED_WAIT = timedelta(minutes=1)
FROZEN_WAIT = timedelta(hours=1)
LIMIT_PATIENCE = timedelta(days=2)
REFUSED_TRIES = 5

# Every charge try seen on the card behind a payment method, by anyone and for any invoice:
# (source, method, fingerprints it is known by) -> tries.
CardHistory = Callable[[str, str, frozenset[str]], Sequence[Attempt]]


class Retry:
    """The `retry` step."""

    def __init__(self, providers: Mapping[str, Provider], history: CardHistory) -> None:
        self._providers = providers
        self._history = history

    def act(self, doing: Doing) -> Ended | PutOff:
        """Charge once, if nothing that can be known speaks against it."""
        provider = self._providers[doing.case.source]
        looked = look_with_methods(provider, doing)
        known = looked.view.own_attempts.get(doing.step.key)
        if known is not None and known.status is not AttemptStatus.PROCESSING:
            return _already(doing, looked, known)
        if stopped := self._stopped(doing, looked):
            return stopped
        bill = looked.view.bill
        if doing.policy.retries is not Retries.PROVIDER_FIRST and _theirs(bill):
            bill = provider.take_over(bill.invoice, key=f"{doing.step.key}:take_over")
            if _theirs(bill):
                why = "refused: the provider still retries this invoice by itself"
                return Ended(result=StepResult.SKIPPED, why=why, events=looked.events)
        may_repeat = not doing.again or _may_repeat(doing)
        asked = _request(doing, looked)
        if may_repeat:
            # Remembered before it is sent: under the same key it must be the same for ever.
            doing.asking(asked)
        outcome = provider.charge(
            doing.case.invoice, key=doing.step.key, method=asked.method, may_repeat=may_repeat
        )
        _tell(doing, outcome)
        if not may_repeat and (over := _given_up(doing, looked, outcome)):
            return over
        # "Not sent" speaks of this call; only a provider that was asked and did not charge speaks
        # of the earlier ones as well.
        return _conclude(doing, looked, outcome, doubt=doing.again and may_repeat)

    def _stopped(self, doing: Doing, looked: Looked) -> Ended | PutOff | None:
        """What the fresh view says against a charge, if anything."""
        if not looked.status.state.is_open:
            why = f"not owed any more: {looked.status.reason or looked.view.bill.status.value}"
            return Ended(result=StepResult.NOT_OWED, why=why, events=looked.events)
        if standing := freeze(looked.case, doing.now):
            until = standing.until or doing.now + FROZEN_WAIT
            return _later(doing, looked, until, standing.why)
        method, forced = doing.step.method, doing.step.forced
        if method is None:
            reason = why_no_charge(looked.case, doing.policy, forced=forced)
        else:
            reason = why_no_backup(looked.case, doing.policy, method)
        if reason is not None:
            return Ended(result=StepResult.SKIPPED, why=reason, events=looked.events)
        return self._over_limit(doing, looked)

    def _over_limit(self, doing: Doing, looked: Looked) -> Ended | PutOff | None:
        """What the limits of the very card that would be charged say."""
        tries = self._tries_on(doing.case.source, looked, _target(doing, looked))
        blocked = allowed(
            tries,
            network=_last_word(tries, "network"),
            method_type=_last_word(tries, "method_type"),
            amount=looked.status.at_risk,
            now=doing.now,
            debt={attempt.id for attempt in looked.case.attempts},
            limits=_limits(doing),
        )
        if blocked is None:
            return None
        # A limit of a month does not hold up the timeline for a month: the rung is ruled out.
        if blocked.until is None or blocked.until > doing.now + LIMIT_PATIENCE:
            return Ended(result=StepResult.SKIPPED, why=blocked.why, events=looked.events)
        return _later(doing, looked, blocked.until, blocked.why)

    def _tries_on(self, source: str, looked: Looked, method: str | None) -> list[Attempt]:
        """Every known try on the card that would be charged; all of the case's if none is named."""
        attempts = looked.case.attempts
        if method is None:
            return list(attempts)
        prints = {one.fingerprint for one in attempts if one.method == method}
        prints |= {one.fingerprint for one in looked.case.saved if one.id == method}
        known = frozenset(name for name in prints if name)
        seen = self._history(source, method, known)
        prints |= {one.fingerprint for one in seen}
        named = (None, method)
        mine = (
            one
            for one in attempts
            if one.method in named or (one.fingerprint and one.fingerprint in prints)
        )
        return [*seen, *mine]


def _limits(doing: Doing) -> tuple[Limit, ...]:
    """The limits in force; a person may go past our own caution, and past no network's rule."""
    limits = in_force(doing.policy.limits)
    if doing.step.forced:
        networks = set(built_in())
        return tuple(limit for limit in limits if limit in networks and not limit.is_house)
    return limits


def _last_word(tries: Sequence[Attempt], about: str) -> str | None:
    """What the newest try that says so was made by: a report may leave it out."""
    newest = sorted(tries, key=lambda attempt: (attempt.at, attempt.id), reverse=True)
    return next((word for one in newest if (word := getattr(one, about))), None)


def _tell(doing: Doing, outcome: ChargeOutcome) -> None:
    ending = type(outcome).__name__.lower()
    metrics.charge(doing.case.source, ending)
    attempt = getattr(outcome, "attempt", None)
    log.info(f"charge.{ending}", attempt=attempt.id if attempt else None)


def _target(doing: Doing, looked: Looked) -> str | None:
    """The method to charge: the step's own, else what the provider would take."""
    return doing.step.method or looked.view.method


def _theirs(bill: Bill) -> bool:
    return bill.next_attempt_at is not None or bill.auto_advance is True


def _may_repeat(doing: Doing) -> bool:
    """Whether a request of unknown ending may be sent again, under its key."""
    fresh = doing.now - doing.first_started_at < KEY_LIFE
    return fresh and (doing.asked is None or doing.asked.times < MOST_ASKED)


def _request(doing: Doing, looked: Looked) -> Asked:
    """What to ask for: the same as before as long as the provider may remember the key."""
    before = doing.asked
    if before is None:
        return Asked(method=_target(doing, looked))
    remembered = doing.now - doing.first_started_at < KEY_FORGOTTEN
    method = before.method if remembered else _target(doing, looked)
    return Asked(method=method, times=before.times + 1)


def _given_up(doing: Doing, looked: Looked, outcome: ChargeOutcome) -> Ended | None:
    """The end of a charge that was only read about and of which nothing is to be learned."""
    times = doing.asked.times if doing.asked else 0
    if isinstance(outcome, NotSent) and times >= MOST_ASKED:
        why = f"asked {times} times without an answer of use; {outcome.why}"
        return Ended(result=StepResult.SKIPPED, why=why, events=looked.events)
    since = doing.first_started_at
    if isinstance(outcome, NotKnown) and doing.now - since > UNKNOWN_LIFE:
        why = f"not known since {since:%Y-%m-%d %H:%M} UTC: {outcome.why}"
        return Ended(result=StepResult.DOUBTFUL, why=why, events=looked.events)
    return None


def _later(doing: Doing, looked: Looked, until: datetime, why: str) -> PutOff:
    """Not now; and what an earlier try did is known no better for that."""
    return PutOff(until=until, why=why, events=looked.events, unknown=doing.again)


def _already(doing: Doing, looked: Looked, attempt: Attempt) -> Ended:
    """An earlier try under this key did happen: its ending is this step's."""
    results = {
        AttemptStatus.SUCCEEDED: StepResult.DONE,
        AttemptStatus.ACTION_NEEDED: StepResult.ACTION_NEEDED,
    }
    result = results.get(attempt.status, StepResult.DECLINED)
    events = (*looked.events, _of(doing, attempt))
    return Ended(result=result, why="found at the provider after an unknown ending", events=events)


def _conclude(
    doing: Doing, looked: Looked, outcome: ChargeOutcome, *, doubt: bool
) -> Ended | PutOff:
    """Each ending of a charge, and what it means to the step."""
    seen = looked.events
    match outcome:
        case Paid(bill=bill, attempt=attempt):
            events = (*seen, *_told(doing, attempt), _bill(doing, bill))
            return Ended(result=StepResult.DONE, why="paid", events=events)
        case Declined(decline=decline, attempt=attempt):
            made = attempt or _made(doing, looked, AttemptStatus.DECLINED, decline)
            events = (*seen, _of(doing, made))
            return Ended(result=StepResult.DECLINED, why=_words(decline), events=events)
        case ActionNeeded(decline=decline, attempt=attempt):
            made = attempt or _made(doing, looked, AttemptStatus.ACTION_NEEDED, decline)
            events = (*seen, _of(doing, made))
            why = "the customer has to authenticate"
            return Ended(result=StepResult.ACTION_NEEDED, why=why, events=events)
        case NotOwed(bill=bill):
            why = f"nothing charged: the invoice is {bill.status.value}"
            events = (*seen, _bill(doing, bill))
            return Ended(result=StepResult.NOT_OWED, why=why, events=events)
        case Processing(attempt=attempt):
            made = attempt or _made(doing, looked, AttemptStatus.PROCESSING, None)
            events = (*seen, _of(doing, made))
            why = "the payment is in process"
            return Ended(result=StepResult.PROCESSING, why=why, events=events)
        case NotSent(why=why, retry_after_seconds=seconds, down=down):
            # Once it is known that no earlier try charged anything, nothing has to be waited for.
            settled = doing.again and not doubt
            until = doing.now + SETTLED_WAIT if settled else _again(doing, seconds)
            return PutOff(until=until, why=why, events=seen, unknown=doubt, down=down)
        case NotKnown(why=why):
            until = doing.now + min(UNKNOWN_WAIT * doing.tries, LONGEST_UNKNOWN_WAIT)
            return PutOff(until=until, why=why, events=seen, unknown=True)
        case Refused(why=why):
            if doing.refusals + 1 >= REFUSED_TRIES and not doubt:
                return Ended(result=StepResult.SKIPPED, why=why, events=seen)
            until = _again(doing, 3600)
            return PutOff(until=until, why=why, events=seen, unknown=doubt, refused=True)
        case _:
            assert_never(outcome)


def _again(doing: Doing, seconds: float | None) -> datetime:
    wait = timedelta(minutes=min(2**doing.tries, 360))
    return doing.now + max(wait, timedelta(seconds=seconds or 0))


def _words(decline: Decline) -> str:
    code = decline.code or decline.outcome_reason or decline.error_code or "no reason given"
    return f"declined: {code}"


def _told(doing: Doing, attempt: Attempt | None) -> tuple[BillingEvent, ...]:
    return (_of(doing, attempt),) if attempt else ()


def _of(doing: Doing, attempt: Attempt) -> AttemptReported:
    return AttemptReported(
        id=f"{doing.step.key}/outcome",
        at=doing.now,
        attempt=attempt,
        invoice=doing.case.invoice,
        customer=doing.case.customer,
    )


def _bill(doing: Doing, bill: Bill) -> InvoiceReported:
    return InvoiceReported(
        id=f"{doing.step.key}/outcome", at=doing.now, news=news_of(bill.status), bill=bill
    )


def _made(doing: Doing, looked: Looked, status: AttemptStatus, decline: Decline | None) -> Attempt:
    """Our own record of a try of which the provider gave no charge."""
    return Attempt(
        id=doing.step.key,
        at=doing.now,
        status=status,
        amount=looked.status.at_risk,
        currency=looked.case.currency,
        by=Actor.OURS,
        key=doing.step.key,
        method=_target(doing, looked),
        decline=decline,
    )
