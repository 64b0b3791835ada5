"""The one door: lock a case, advance it, append to the ledger, set its next step.

World (inbox), time (executor) and doubt (reconcile) all end in `CaseBook.apply`. One transaction,
which the caller opens; many events of many cases at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlmodel import Session, col

from dunning import ledger
from dunning.clock import rfc3339
from dunning.core.case import advance, case_id, new_case
from dunning.core.entries import Account
from dunning.core.events import (
    BillingEvent,
    CustomerReported,
    MethodChanged,
    RenewalUpcoming,
    SubscriptionReported,
)
from dunning.core.facts import Case
from dunning.core.money import Money
from dunning.core.plan import Plan, plan
from dunning.core.policy import Policy, Subject, from_data, to_data
from dunning.core.status import State, Status, last_decline, status, verdict
from dunning.errors import LeaseLostError, MoneyError, NotFoundError
from dunning.mirror import Mirror
from dunning.outbox import announce
from dunning.routing import cases_of, everything_named, invoice_of, ref_of
from dunning.schedule import Claim
from dunning.store import CaseRow, PolicyRow, guard, insert_into
from dunning.unfinished import charges_told, end_unfinished

_FACTS = TypeAdapter(Case)

# Which policy a new case begins under.
Chooser = Callable[[Subject], Policy]
# The events kept earlier that are about these provider ids: they came before there was a case.
Recall = Callable[[Session, str, Sequence[str]], Iterable[BillingEvent]]


def read_facts(row: CaseRow) -> Case:
    """The facts of a stored case."""
    return _FACTS.validate_json(row.facts)


@dataclass(slots=True)
class Open:
    """A case in hand: its row (None: not stored yet), its facts, and what was so before."""

    case: Case
    row: CaseRow | None = None
    before: Status | None = None
    known: Case | None = None  # the facts as they are stored


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of events: the cases moved, and the refs nobody has a case for."""

    cases: tuple[str, ...]
    waiting: str | None


class CaseBook:
    """Advances cases; holds what that needs beyond the database: policies and a memory."""

    def __init__(
        self, *, choose: Chooser, recall: Recall | None = None, announces: bool = False
    ) -> None:
        self._choose = choose
        self._recall = recall
        self._announces = announces
        self._pinned: dict[str, Policy] = {}

    def remember_with(self, recall: Recall) -> None:
        """Set who remembers events that came before their case (the inbox does)."""
        self._recall = recall

    # --- the door --------------------------------------------------------------------------

    def apply(
        self,
        session: Session,
        source: str,
        provider: str,
        events: Sequence[BillingEvent],
        now: datetime,
    ) -> Applied:
        """Take events in, in any order. `waiting` names the thing that has no case yet."""
        guard(session, everything_named(source, events))
        mirror = Mirror(session, source)
        hands: dict[str, Open] = {}
        waiting: str | None = None
        for event in events:
            if isinstance(event, MethodChanged | CustomerReported | SubscriptionReported):
                mirror.take(event)
                for row in cases_of(session, source, event):
                    hand = hands.setdefault(row.invoice, self._hold(row))
                    self._advance(hand, event)
                continue
            if isinstance(event, RenewalUpcoming):
                continue
            invoice = invoice_of(mirror, event)
            if invoice is None:
                waiting = ref_of(event)
                continue
            hand = hands.get(invoice) or self._take(session, source, provider, invoice)
            hands[invoice] = hand
            self._advance(hand, event)
        moved = []
        for invoice, hand in hands.items():
            self._complete(session, hand, mirror)
            if self._settle(session, hand, mirror, now):
                moved.append(hand.case.id)
            elif waiting is None:
                waiting = invoice
        return Applied(cases=tuple(moved), waiting=waiting if not moved else None)

    def apply_to(
        self, session: Session, claim: Claim, events: Sequence[BillingEvent], now: datetime
    ) -> Case:
        """Take in what a step brought, as the holder of the claim; `LeaseLostError` otherwise."""
        row = locked(session, claim.case_id, everything_named(claim.source, events))
        if row.lease_token != claim.token:
            message = f"{claim.case_id}: the lease ran out and somebody else holds the case"
            raise LeaseLostError(message)
        row.lease_token = None
        return self.apply_by_hand(session, row, events, now)

    def apply_by_hand(
        self, session: Session, row: CaseRow, events: Sequence[BillingEvent], now: datetime
    ) -> Case:
        """Take events into a case already locked, whoever they are from."""
        hand = self._hold(row)
        mirror = Mirror(session, row.source)
        for event in events:
            if isinstance(event, MethodChanged | CustomerReported | SubscriptionReported):
                mirror.take(event)
            self._advance(hand, event)
        self._complete(session, hand, mirror)
        self._settle(session, hand, mirror, now)
        return hand.case

    # --- reading ---------------------------------------------------------------------------

    def policy_of(self, session: Session, version: str) -> Policy:
        """The policy a case is pinned to, as it was when the case began."""
        if version not in self._pinned:
            row = session.get(PolicyRow, version)
            if row is None:
                message = f"policy version {version} is not in the database"
                raise NotFoundError(message)
            self._pinned[version] = from_data(json.loads(row.body))
        return self._pinned[version]

    def plan_of(self, session: Session, row: CaseRow, now: datetime) -> tuple[Case, Plan]:
        """The facts of a case and the steps still to do, as of now."""
        case = read_facts(row)
        return case, plan(case, self.policy_of(session, row.policy_version), now)

    # --- parts -----------------------------------------------------------------------------

    def _take(self, session: Session, source: str, provider: str, invoice: str) -> Open:
        name = case_id(source, invoice)
        row = session.scalars(
            select(CaseRow).where(col(CaseRow.id) == name).with_for_update()
        ).one_or_none()
        return self._hold(row) if row else Open(case=new_case(source, provider, invoice))

    def _hold(self, row: CaseRow) -> Open:
        case = read_facts(row)
        return Open(case=case, row=row, before=status(case), known=case)

    def _advance(self, hand: Open, event: BillingEvent) -> None:
        _same_currency(hand.case, event)
        hand.case = advance(hand.case, event)

    def _complete(self, session: Session, hand: Open, mirror: Mirror) -> None:
        """Add what was heard before: kept events of this invoice, and of its customer."""
        known = hand.row is not None
        if not known and hand.case.failed_at is None:
            return
        asked = hand.known.links if hand.known else frozenset[str]()
        while self._recall is not None and (new := hand.case.links - asked):
            asked |= new
            for event in self._recall(session, hand.case.source, sorted(new)):
                self._advance(hand, event)
        if not known and hand.case.customer:
            for event in mirror.known(hand.case.customer, hand.case.subscription):
                self._advance(hand, event)

    def _settle(self, session: Session, hand: Open, mirror: Mirror, now: datetime) -> bool:
        """Write what follows from the facts. False: there is no case to speak of (yet)."""
        present = status(hand.case)
        if hand.row is None:
            if present.state is State.NONE:
                return False
            hand.row = self._begin(session, hand.case, present, now)
        elif present.ended_at is not None or charges_told(hand.case):
            self._end_what_was_begun(session, hand, now)
            present = status(hand.case)
        case, row = hand.case, hand.row
        policy = self.policy_of(session, row.policy_version)
        posted = hand.before.books.entries if hand.before else ()
        if present.books.entries != posted:
            posting = ledger.Posting(
                case_id=case.id,
                source=case.source,
                currency=case.currency,
                entries=present.books.entries,
            )
            ledger.record(session, [posting], now)
        mirror.remember(case, hand.known)
        ahead = plan(case, policy, now, present)
        if self._announces:
            announce(session, case, hand.before, present, now)
        _fill(row, case, present, ahead, now)
        session.add(row)
        session.flush()
        return True

    def _end_what_was_begun(self, session: Session, hand: Open, now: datetime) -> None:
        """What a dead worker left behind, or the end of the case overtook, ends on record."""
        assert hand.row is not None
        if hand.row.lease_token is not None and hand.row.wake_at and hand.row.wake_at > now:
            return  # whoever holds the case will say how it ended
        policy = self.policy_of(session, hand.row.policy_version)
        planned = {step.key for step in plan(hand.case, policy, now).steps}
        for event in end_unfinished(session, hand.case, planned, now):
            self._advance(hand, event)

    def _begin(self, session: Session, case: Case, present: Status, now: datetime) -> CaseRow:
        policy = self._choose(_subject(case, present))
        version = policy.version
        session.execute(
            insert_into(session, PolicyRow)
            .values(
                version=version,
                name=policy.name,
                body=json.dumps(to_data(policy), sort_keys=True),
                first_used_at=now,
            )
            .on_conflict_do_nothing()
        )
        self._pinned[version] = policy
        assert case.failed_at is not None
        return CaseRow(
            id=case.id,
            source=case.source,
            provider=case.provider,
            invoice=case.invoice,
            scope=case.scope,
            state=present.state.value,
            access=present.access.value,
            currency=case.currency,
            policy=policy.name,
            policy_version=version,
            opened_at=case.failed_at,
            recorded_at=now,
        )


def locked(session: Session, name: str, besides: Collection[str] = ()) -> CaseRow:
    """The row of a case, locked until the transaction ends; `NotFoundError` if there is none.

    Guarded first, with what else is named: the case's scope and customer, since what the product
    hears of access hangs on the other cases of the scope.
    """
    if session.get_bind().dialect.name == "postgresql":
        about = (col(CaseRow.invoice), col(CaseRow.customer), col(CaseRow.scope))
        known = select(col(CaseRow.source), *about).where(col(CaseRow.id) == name)
        for source, *names in session.execute(known):
            guard(session, {*besides, *(f"{source}/{one}" for one in names if one)})
    row = session.scalars(
        select(CaseRow).where(col(CaseRow.id) == name).with_for_update()
    ).one_or_none()
    if row is None:
        message = f"no case {name}; `dunning cases list` shows the ones there are"
        raise NotFoundError(message)
    return row


def _fill(row: CaseRow, case: Case, present: Status, ahead: Plan, now: datetime) -> None:
    """Write the columns that follow from the facts."""
    opened = sum(e.amount for e in present.books.entries if e.debit is Account.OWED)
    last, said = last_decline(case), verdict(_with_its_cards(case, present))
    next_step = next((step for step in ahead.steps if not step.held), None)
    row.customer = case.customer
    row.subscription = case.subscription
    row.scope = case.scope
    row.state = present.state.value
    row.access = present.access.value
    row.currency = case.currency
    row.amount_due = opened
    row.amount_at_risk = present.at_risk
    row.decline_code = _code(last.decline) if last and last.decline else None
    row.advice = said.advice.value if said else None
    assert case.failed_at is not None
    row.opened_at = case.failed_at
    row.next_at = ahead.next_at
    row.next_step = next_step.key.removeprefix(case.id + "/") if next_step else None
    row.closed_at = present.ended_at
    row.closed_reason = present.reason or None
    row.facts = _FACTS.dump_json(case).decode()
    row.version += 1
    # Somebody holds the case: it wakes when they are done, or when their lease runs out.
    if row.lease_token is None or row.wake_at is None or row.wake_at <= now:
        row.wake_at = row.next_at
        row.lease_token = None


def _with_its_cards(case: Case, present: Status) -> Case:
    """A case that is over does not hear of every new card: the advice is the bank's, without."""
    if present.ended_at is None:
        return case
    return replace(case, method=None, method_at=None, method_fixed_at=None)


def _code(decline: object) -> str | None:
    code = getattr(decline, "code", None) or getattr(decline, "outcome_reason", None)
    return code or getattr(decline, "error_code", None)


def _subject(case: Case, present: Status) -> Subject:
    bill = case.bill
    return Subject(
        source=case.source,
        amount=Money(sum(e.amount for e in present.books.entries[:1]), case.currency),
        country=case.word("country"),
        products=bill.products if bill else (),
        metadata=bill.metadata if bill else (),
    )


def _same_currency(case: Case, event: BillingEvent) -> None:
    bill = getattr(event, "bill", None) or getattr(event, "attempt", None) or event
    currency = getattr(bill, "currency", None)
    about_invoice = not isinstance(event, SubscriptionReported | RenewalUpcoming)
    if currency and case.currency and about_invoice and currency != case.currency:
        message = f"{case.invoice} is in {case.currency}, but {event.id} speaks of {currency}"
        raise MoneyError(message)


def summary(row: CaseRow) -> dict[str, object]:
    """One case for programs: amounts in minor units, times in RFC 3339 UTC."""
    names = (
        "id source provider invoice customer subscription state access amount_due "
        "amount_at_risk currency decline_code advice policy policy_version"
    ).split()
    told: dict[str, object] = {name: getattr(row, name) for name in names}
    told["opened_at"] = rfc3339(row.opened_at)
    told["next_at"] = rfc3339(row.next_at)
    told["next_step"] = row.next_step
    told["closed_at"] = rfc3339(row.closed_at)
    told["closed_reason"] = row.closed_reason
    return told
