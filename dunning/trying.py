"""What it means for a step that a try of it came to nothing: later, refused, or given up."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from dunning.core.events import StepKind, StepResult
from dunning.core.ports import Doing, Ended, PutOff
from dunning.redaction import in_words

log = structlog.get_logger(__name__)

# How long a step waits after each failure that is not its own: 1, 2, 4 … minutes, then hours.
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=6)
REFUSED_WAIT = timedelta(minutes=10)
# A step that cannot be done for reasons of its own is given up after so many tries, on record.
REFUSALS = 6
# Without these a case would stand open for ever, or a paying customer without service: they are
# tried on, and ops are told.
NEVER_SKIPPED = frozenset((StepKind.SUSPEND, StepKind.RESTORE, StepKind.GIVE_UP))


def backoff(tries: int) -> timedelta:
    """How long to leave a step alone after its n-th fruitless try."""
    doublings: int = min(max(tries, 1) - 1, 10)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


def put_off(doing: Doing, why: str, now: datetime, seconds: float | None = None) -> PutOff:
    """Somebody was away: nothing was decided, and what was not known before still is not."""
    wait = max(backoff(doing.tries), timedelta(seconds=seconds or 0))
    return PutOff(until=now + wait, why=why, unknown=doing.again)


def refused(doing: Doing, why: str, now: datetime, *, unknown: bool = False) -> Ended | PutOff:
    """It cannot be done as it stands; after some tries that is its end, on record."""
    kind = doing.step.kind
    final = kind not in NEVER_SKIPPED and not (kind is StepKind.RETRY and unknown)
    if doing.refusals + 1 >= REFUSALS:
        log.error("step.refused", step=doing.step.key, tries=doing.tries, why=why)
        if final:
            return Ended(result=StepResult.SKIPPED, why=why)
    until = now + max(backoff(doing.tries), REFUSED_WAIT)
    return PutOff(until=until, why=why, unknown=unknown, refused=True)


def failed(doing: Doing, error: Exception, now: datetime) -> Ended | PutOff:
    """A fault of ours must not stop the case for ever, nor repeat a charge blindly."""
    log.error("step.failed", step=doing.step.key, exc_info=error)
    return refused(doing, in_words(error), now, unknown=True)
