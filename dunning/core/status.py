"""What the facts of a case mean right now: its state, its access, what the bank advises.

            payment failed
                 ▼            grace ended            window closed
             in_grace ───────────▶ suspended ───────────▶ lost ─┐ a late payment still counts
                 │                     │                        │
                 ├── paid ─────────────┴──▶ recovered ◀─────────┘
                 └── voided · cancelled by the customer · credited · written off elsewhere ─▶ closed

Every value here is a function of the facts, so it cannot disagree with them or with the ledger:
a case is open exactly while its books hold money at risk. A notice has no books: it lies ahead
until it is over.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from operator import attrgetter

from dunning.core.declines import STRICTNESS, UNKNOWN, Advice, Override, Verdict, advise
from dunning.core.entries import Account, Books, Cause, books
from dunning.core.events import (
    Attempt,
    AttemptStatus,
    Decline,
    Standing,
    StepEnded,
    StepKind,
    StepResult,
)
from dunning.core.facts import Case, of_backup
from dunning.core.notices import ending


class State(enum.StrEnum):
    """Where a case stands. NONE: nothing failed, so there is no case."""

    NONE = "none"
    IN_GRACE = "in_grace"
    SUSPENDED = "suspended"
    RECOVERED = "recovered"
    LOST = "lost"
    CLOSED = "closed"
    # of notices, in which nothing is at risk
    AHEAD = "ahead"
    OVER = "over"

    @property
    def is_open(self) -> bool:
        """Whether the timeline goes on: money is still at risk, or what is told of lies ahead."""
        return self in _OPEN


_OPEN = (State.IN_GRACE, State.SUSPENDED, State.AHEAD)


class Access(enum.StrEnum):
    """What the customer may use, from best to worst."""

    FULL = "full"
    RESTRICTED = "restricted"
    SUSPENDED = "suspended"


ACCESS_ORDER = {access: rank for rank, access in enumerate(Access)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that follows from the facts of one case."""

    state: State
    reason: str  # why it ended; empty while it is open
    ended_at: datetime | None
    access: Access
    at_risk: int  # what is still owed and pursued, in minor units
    case: Case = field(repr=False, compare=False)
    sheet: Books | None = None

    @property
    def books(self) -> Books:
        """What the ledger should say of the case."""
        return books(self.case) if self.sheet is None else self.sheet


def status(case: Case) -> Status:
    """Compute the status from the facts."""
    if case.notice is not None:
        return _of_notice(case)
    sheet = books(case)
    access = _access(case)
    state, reason = _state(sheet, access)
    ended_at = None if state.is_open or state is State.NONE else _ended_at(sheet, state)
    return Status(
        state=state,
        reason=reason,
        ended_at=ended_at,
        access=access,
        at_risk=sheet.balance(Account.AT_RISK),
        case=case,
        sheet=sheet,
    )


def as_stored(case: Case, state: State, access: Access, at_risk: int) -> Status:
    """The status of an open case whose columns are at hand: its books are made if asked for."""
    assert state.is_open
    return Status(state=state, reason="", ended_at=None, access=access, at_risk=at_risk, case=case)


def _of_notice(case: Case) -> Status:
    ended = ending(case)
    return Status(
        state=State.AHEAD if ended is None else State.OVER,
        reason="" if ended is None else ended[0].value,
        ended_at=None if ended is None else ended[1],
        access=Access.FULL,
        at_risk=0,
        case=case,
        sheet=Books(),
    )


_LOST = frozenset((Cause.GIVEN_UP, Cause.ENDED_FOR_NON_PAYMENT))


def _state(sheet: Books, access: Access) -> tuple[State, str]:
    if not sheet.entries:
        return State.NONE, ""
    if sheet.balance(Account.AT_RISK) > 0:
        return (State.SUSPENDED if access is Access.SUSPENDED else State.IN_GRACE), ""
    ended_by = sheet.ended_by
    assert ended_by is not None
    if sheet.balance(Account.LOST) > 0:
        return (State.LOST if ended_by in _LOST else State.CLOSED), ended_by.value
    paid = any(entry.cause is Cause.PAID for entry in sheet.entries)
    if sheet.balance(Account.WITHDRAWN) > _credited(sheet, paid=paid):
        return State.CLOSED, ended_by.value
    # Whatever is not written off or withdrawn was paid or credited, in time or late.
    return (State.RECOVERED, Cause.PAID.value) if paid else (State.CLOSED, Cause.CREDITED.value)


def _credited(sheet: Books, *, paid: bool) -> int:
    """What credit notes took off; before the end only, unless the rest was paid after it."""
    if paid:
        return sheet.forgiven
    return sum(entry.amount for entry in sheet.entries if entry.cause is Cause.CREDITED)


def _ended_at(sheet: Books, state: State) -> datetime | None:
    if state is not State.RECOVERED or sheet.ended_at is None:
        return sheet.ended_at
    # A case given up or withdrawn is recovered once the last of it has come in.
    settles = (Cause.PAID, Cause.CREDITED)
    return max([sheet.ended_at, *(e.at for e in sheet.entries if e.cause in settles)])


_LEVEL = {StepKind.RESTRICT: Access.RESTRICTED, StepKind.SUSPEND: Access.SUSPENDED}


def _level(step: StepEnded) -> Access | None:
    """What a step that was done left of the service; None when it took nothing."""
    if step.kind is StepKind.GIVE_UP:
        return Access.SUSPENDED if step.off else None
    return _LEVEL.get(step.kind)


def _access(case: Case) -> Access:
    """The worst that was done to the service since it was last restored."""
    done = [step for step in case.done if step.result is StepResult.DONE]
    restored = max((s.at for s in done if s.kind is StepKind.RESTORE), default=None)
    taken = [
        level
        for step in done
        # What happened within one second: what was taken is what came back.
        if (level := _level(step)) and (restored is None or step.at > restored)
    ]
    if restored is None:
        taken.append(access_before(case))
    return max(taken, key=ACCESS_ORDER.__getitem__, default=Access.FULL)


def access_before(case: Case) -> Access:
    """What the customer could use before we did anything: all of it, but for a case taken over.

    What others paused for reasons of their own is not taken away by this case, nor given back.
    """
    off = case.adopted is not None and case.adopted.standing is Standing.SUSPENDED
    return Access.SUSPENDED if off else Access.FULL


# --- what the bank says --------------------------------------------------------------------

# By names of their own: to look `Advice.STOP` up takes as long as to call a function.
_ACTION_NEEDED = AttemptStatus.ACTION_NEEDED
_FAILED = (AttemptStatus.DECLINED, _ACTION_NEEDED)
_NEW_METHOD = Advice.NEW_METHOD
_LASTING = (Advice.NEW_METHOD, Advice.STOP)


def counts(case: Case, attempt: Attempt) -> bool:
    """Whether an attempt still speaks about the card that would be charged now."""
    if of_backup(case, attempt):
        return False
    if case.method_at is None or attempt.at > case.method_at:
        return True
    # Within the second in which the card changed, the card's own name decides.
    same_second = attempt.at == case.method_at
    because = f"{case.id}/retry:card:{int(case.method_at.timestamp())}"
    return same_second and (attempt.method in (None, case.method) or attempt.key == because)


Overrides = tuple[Override, ...]
_ASKED = Decline(code="authentication_required")
_NAMES = tuple(field.name for field in fields(Decline))
_words = attrgetter(*_NAMES)


@lru_cache(maxsize=4096)
def _advised(words: tuple[str | None, ...], declines: Overrides) -> Verdict:
    """By the words alone, as they are found in a third of the time a record takes."""
    return advise(Decline(**dict(zip(_NAMES, words, strict=True))), declines)


def _said_of(attempt: Attempt, declines: Overrides) -> Verdict:
    if attempt.decline is not None:
        return _advised(_words(attempt.decline), declines)
    # A try that waits for the customer to authenticate was not declined, so nobody says why.
    return _advised(_words(_ASKED), declines) if attempt.status is _ACTION_NEEDED else UNKNOWN


def verdict(case: Case, declines: Overrides) -> Verdict | None:
    """The strictest advice on the present way of paying; None when nobody told us of a decline."""
    standing = standing_decline(case, declines)
    return standing[1] if standing else None


_Standing = tuple[Attempt, Verdict] | None
# A plan asks of one case again and again: the last answer, with all that it hangs on.
_last: tuple[Case, Overrides, _Standing] | None = None


def standing_decline(case: Case, declines: Overrides) -> tuple[Attempt, Verdict] | None:
    """The failed try whose answer is the strictest that still counts, and what it says.

    `declines` are the words of the policy the case is pinned to; nobody may forget to ask them.

    A detail the customer corrected, or the network refreshed, answers "new method"; it does not
    answer "stop". A new method answers both.
    """
    global _last  # noqa: PLW0603 - read and written whole, so threads do not disturb each other
    known = _last
    if known is not None and known[0] is case and known[1] is declines:
        return known[2]
    if known is not None and known[1] is declines and _same_ways_to_pay(known[0], case):
        found = known[2]
    else:
        found = _standing_decline(case, declines)
    _last = (case, declines, found)
    return found


def _same_ways_to_pay(one: Case, other: Case) -> bool:
    """Whether nothing was heard of either that the other lacks, as far as a decline goes."""
    return (
        one.attempts is other.attempts
        and one.id == other.id
        and one.method == other.method
        and one.method_at == other.method_at
        and one.method_fixed_at == other.method_fixed_at
    )


def _standing_decline(case: Case, declines: Overrides) -> _Standing:
    fixed_at = case.method_fixed_at
    valid = [
        (attempt, said)
        for attempt in case.attempts
        if attempt.status in _FAILED
        and counts(case, attempt)
        and not (
            (said := _said_of(attempt, declines)).advice is _NEW_METHOD
            and fixed_at is not None
            and fixed_at > attempt.at
        )
    ]
    if len(valid) < 2:
        return valid[0] if valid else None
    newest = max([attempt.at for attempt, _ in valid])
    standing = [(a, said) for a, said in valid if a.at == newest or said.advice in _LASTING]
    if len(standing) == 1:
        return standing[0]
    return max(standing, key=lambda each: STRICTNESS[each[1].advice])


def spoken_of(case: Case, declines: Overrides) -> Verdict | None:
    """What a message may ask the customer for; nothing where there is no card to speak of."""
    return None if case.by_hand else verdict(case, declines)


def last_decline(case: Case) -> Attempt | None:
    """The newest attempt that failed, on whatever card this debt is to be paid with."""
    for one in reversed(case.attempts):
        if one.status in _FAILED and not of_backup(case, one):
            return one
    return None


def method_gone(case: Case) -> bool:
    """Whether the card that would be charged was taken away, with nothing in its place."""
    if not case.methods_gone:
        return False
    own = (one for one in reversed(case.attempts) if not of_backup(case, one))
    last = next((one for one in own if one.method), None)
    present = case.method
    # What was tried since the last news of a method is what would be tried again.
    if last is not None and (case.method_at is None or last.at > case.method_at):
        present = last.method
    return any(
        (not name or name == present) and (case.method_at is None or at > case.method_at)
        for name, at in case.methods_gone
    )
