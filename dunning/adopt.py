"""Take open debts over from whoever pursued them before, each at its place on the timeline.

Every invoice is looked at once, becomes a case in one transaction of its own, and is passed over
once there is a case: a run that was stopped goes on, and a second one changes nothing. A dry run
does the same in a transaction that is taken back, so it shows what the real one would do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter

from sqlalchemy import Engine, select
from sqlmodel import Session, col

from dunning.cases import CaseBook
from dunning.core.case import case_id
from dunning.core.events import (
    Adopted,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    Standing,
    StepKind,
    SubscriptionReported,
)
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.places import offsets, starts_at
from dunning.core.plan import Plan
from dunning.core.policy import Policy, Retries
from dunning.core.ports import Provider, View
from dunning.core.status import State
from dunning.errors import ProviderRefusedError
from dunning.routing import everything_named
from dunning.store import CaseRow, guard, reading, transaction

PAGE = 100
# The first steps of the cases taken over are spread over so long, evenly and always alike.
SPREAD = timedelta(days=1)
_FAILED = frozenset((AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a debt is taken over."""

    spread: timedelta = SPREAD
    lift_pauses: bool = False  # a pause made before is for this debt, and ends when it is paid
    since: datetime | None = None  # leave out what failed before
    fresh: timedelta | None = None  # what failed within so long before is a case like any other
    dry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of one invoice, or would. `outcome`: adopted, known or left_out."""

    source: str
    invoice: str
    outcome: str
    why: str = ""
    case: str = ""
    customer: str | None = None
    amount: int = 0
    currency: str = ""
    failed_at: datetime | None = None
    attempts: int = 0
    policy: str = ""
    day: float | None = None  # the place on the policy's timeline, in days
    last_day: float | None = None
    next_step: str | None = None
    next_at: datetime | None = None
    charges: bool = False  # whether that step is a charge
    suspends_at: datetime | None = None
    gives_up_at: datetime | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Adoption:
    """Takes invoices of one source over."""

    engine: Engine
    cases: CaseBook
    source: str
    provider: Provider
    terms: Terms
    now: Callable[[], datetime]

    def all(self, *, limit: int | None = None) -> Iterator[Line]:
        """Every open invoice that failed and has no case yet, up to so many."""
        bills = self.provider.open_invoices()
        taken = 0
        while page := list(islice(bills, PAGE)):
            known = known_cases(self.engine, self.source, page)
            for bill in page:
                if limit is not None and taken >= limit:
                    return
                line = self._known(bill) if bill.invoice in known else self.take(bill)
                taken += line.outcome == "adopted"
                yield line

    def take(self, bill: Bill) -> Line:
        """Look at one invoice, and make it a case."""
        try:
            view = self.provider.look(bill.invoice)
        except ProviderRefusedError as error:
            return self._left_out(bill, f"the provider does not show it: {error}")
        now = self.now()
        failed_at = first_failure(view) or now
        if view.bill.status is not InvoiceStatus.OPEN or view.bill.remaining <= 0:
            return self._left_out(view.bill, f"it is {view.bill.status.value} by now")
        if not view.bill.automatic and failed_at > now:
            return self._left_out(view.bill, "it is to be paid by hand, and not due yet", failed_at)
        if self.terms.since is not None and failed_at < self.terms.since:
            return self._left_out(view.bill, "it failed before --since", failed_at)
        fresh = self.terms.fresh is not None and failed_at > now - self.terms.fresh
        news = self._fresh(view, failed_at) if fresh else self._adopted(view, failed_at, now)
        events: list[BillingEvent] = [*view.events, news]
        with transaction(self.engine) as session:
            guard(session, everything_named(self.source, events))
            if session.get(CaseRow, case_id(self.source, bill.invoice)) is not None:
                return self._known(bill)  # its webhook was quicker
            attempt = session.begin_nested()
            self.cases.apply(session, self.source, self.provider.name, events, now)
            line = self._told(session, view, failed_at, now)
            if self.terms.dry or line.outcome != "adopted":
                attempt.rollback()
        return line

    # --- parts -----------------------------------------------------------------------------

    def _fresh(self, view: View, failed_at: datetime) -> InvoiceReported:
        """The failure, as its webhook would have told it.

        What is paid or credited by now may have come after it, and is told by the view.
        """
        bill = view.bill
        whole = bill.remaining + bill.paid + bill.credited
        untouched = replace(bill, remaining=whole, paid=0, credited=0)
        news = InvoiceNews.PAYMENT_FAILED if bill.automatic else InvoiceNews.OVERDUE
        return InvoiceReported(id=f"open:{bill.invoice}", at=failed_at, news=news, bill=untouched)

    def _adopted(self, view: View, failed_at: datetime, now: datetime) -> Adopted:
        name = case_id(self.source, view.bill.invoice)
        return Adopted(
            id=f"adopt:{view.bill.invoice}",
            at=now,
            invoice=view.bill.invoice,
            failed_at=failed_at,
            resumes_at=now + jitter(name, self.terms.spread),
            standing=_standing(view, lift_pauses=self.terms.lift_pauses),
        )

    def _known(self, bill: Bill) -> Line:
        name = case_id(self.source, bill.invoice)
        return Line(
            source=self.source,
            invoice=bill.invoice,
            outcome="known",
            why="there is a case already",
            case=name,
            customer=bill.customer,
            amount=bill.remaining,
            currency=bill.currency,
        )

    def _left_out(self, bill: Bill, why: str, failed_at: datetime | None = None) -> Line:
        return Line(
            source=self.source,
            invoice=bill.invoice,
            outcome="left_out",
            why=why,
            customer=bill.customer,
            amount=bill.remaining,
            currency=bill.currency,
            failed_at=failed_at,
        )

    def _told(self, session: Session, view: View, failed_at: datetime, now: datetime) -> Line:
        row = session.get(CaseRow, case_id(self.source, view.bill.invoice))
        if row is None:
            return self._left_out(view.bill, "nothing of it is at risk", failed_at)
        if not State(row.state).is_open:
            return self._left_out(view.bill, f"it is over: {row.closed_reason}", failed_at)
        case, ahead = self.cases.plan_of(session, row, now)
        return _line(row, case, self.cases.policy_of(session, row.policy_version), ahead, now)


def known_cases(engine: Engine, source: str, bills: Sequence[Bill]) -> dict[str, CaseRow]:
    """The cases there are of these invoices."""
    with reading(engine) as session:
        query = select(CaseRow).where(
            col(CaseRow.source) == source,
            col(CaseRow.invoice).in_([bill.invoice for bill in bills]),
        )
        return {row.invoice: row for row in session.scalars(query)}


def first_failure(view: View) -> datetime | None:
    """The first try that failed; where none is on record, when it was due, or made.

    Of a bill to be paid by hand the due date, whatever the customer tried before.
    """
    if not view.bill.automatic and view.bill.due_at is not None:
        return view.bill.due_at
    failed = [
        event.attempt.at
        for event in view.events
        if isinstance(event, AttemptReported) and event.attempt.status in _FAILED
    ]
    return min(failed, default=None) or view.bill.due_at or view.bill.issued_at


def jitter(name: str, spread: timedelta) -> timedelta:
    """A part of the spread: the same for the same case each time, and even over many."""
    digest = hashlib.sha256(f"adopt\x00{name}".encode()).digest()
    return timedelta(seconds=int(spread.total_seconds() * int.from_bytes(digest[:6]) / 2**48))


def _standing(view: View, *, lift_pauses: bool) -> Standing:
    told = next((e for e in view.events if isinstance(e, SubscriptionReported)), None)
    if told is None:
        return Standing.NORMAL
    if told.status == "unpaid":
        return Standing.SUSPENDED
    if not told.paused:
        return Standing.NORMAL
    return Standing.SUSPENDED if lift_pauses else Standing.PAUSED


def _line(row: CaseRow, case: Case, policy: Policy, ahead: Plan, now: datetime) -> Line:
    left = [step for step in ahead.steps if step.kind is not StepKind.RECONCILE]
    to_do = sorted((s for s in left if s.skip is None and not s.held), key=attrgetter("due_at"))
    first = to_do[0] if to_do else None
    doors = {step.kind: step.due_at for step in left if step.skip is None}
    start = starts_at(case, policy)
    resumes_at = case.adopted.resumes_at if case.adopted else now
    return Line(
        source=row.source,
        invoice=row.invoice,
        outcome="adopted",
        case=row.id,
        customer=case.customer,
        amount=row.amount_at_risk,
        currency=row.currency,
        failed_at=case.failed_at,
        attempts=max(len(case.attempts), case.bill.attempt_count if case.bill else 0),
        policy=policy.name,
        day=round((resumes_at - start) / timedelta(days=1), 1),
        last_day=round(max(offset for _, offset in offsets(policy)) / timedelta(days=1), 1),
        next_step=first.key.removeprefix(case.id + "/") if first else None,
        next_at=first.due_at if first else None,
        charges=first is not None and first.kind is StepKind.RETRY,
        suspends_at=doors.get(StepKind.SUSPEND),
        gives_up_at=doors.get(StepKind.GIVE_UP),
        skipped=tuple((s.key.removeprefix(case.id + "/"), s.skip) for s in left if s.skip),
        warnings=tuple(_warnings(case, policy, now)),
    )


def _warnings(case: Case, policy: Policy, now: datetime) -> Iterator[str]:
    standing = case.adopted.standing if case.adopted else Standing.NORMAL
    if standing is Standing.PAUSED:
        yield "collection is paused already; that pause is left as it is, also after payment"
    if standing is Standing.SUSPENDED:
        yield "the subscription is suspended already; it comes back when this is paid"
    if case.subscription is None:
        yield "it belongs to no subscription"
    bill = case.bill
    if bill is not None and bill.next_attempt_at is not None:
        if policy.retries in (Retries.OURS, Retries.SIGNAL):
            yield "the provider plans retries of its own; they are switched off by the first step"
        else:
            yield "the provider keeps its retries, as the policy says"
    if standing_still := freeze(case, now):
        yield f"it stands still: {standing_still.why}"
    if not case.word("email"):
        yield "no email address is known"
