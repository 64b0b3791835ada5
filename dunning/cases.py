"""The one door: lock a case, advance it, append to the ledger, set its next step.

World (inbox), time (executor) and doubt (reconcile) all end in `CaseBook.apply`. One transaction,
which the caller opens; many events of many cases at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from dunning import ledger
from dunning.case_rows import COLUMNS, guard_cases, read_facts
from dunning.chosen import Chooser, Policies, may_choose_again
from dunning.columns import (
    columns_of,
    free_cursor,
    is_held,
    next_columns,
    pinned_columns,
)
from dunning.core.around import ALONE, Around
from dunning.core.case import case_id, new_case
from dunning.core.events import BillingEvent, InvoiceReported, RenewalUpcoming
from dunning.core.facts import Case
from dunning.core.plan import Plan, line_keys, plan
from dunning.core.policy import Policy
from dunning.core.status import State, Status, status
from dunning.core.terms import under
from dunning.desk import Desk, Held, Named, Recall, Row
from dunning.documents import parse_facts, write_facts
from dunning.errors import LeaseLostError
from dunning.hands import (
    Hand,
    advance_hand,
    call_off,
    complete,
    tell_when_durable,
)
from dunning.mirror import Mirror
from dunning.outbox import News, announce, changes_access, neighbourhood
from dunning.routing import (
    CustomerNews,
    cases_of,
    everything_named,
    gather,
    gather_for,
    invoice_of,
    paid_invoices,
    ref_of,
)
from dunning.schedule import Claim
from dunning.store import CaseRow, guard
from dunning.unfinished import charges_told, end_unfinished


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of events: the cases moved, and the refs nobody has a case for."""

    cases: tuple[str, ...]
    waiting: str | None


class CaseBook:
    """Advances cases; holds what that needs beyond the database: policies and a memory."""

    def __init__(
        self,
        *,
        choose: Chooser,
        recall: Recall | None = None,
        announces: bool = False,
        keeps_revenue: Callable[[], bool] = lambda: False,
        watches: Callable[[], bool] = lambda: False,
    ) -> None:
        self._policies = Policies(choose, keeps_revenue=keeps_revenue)
        self._recall, self._announces, self._watches = recall, announces, watches

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
        desk = self.desk(session)
        self.gather(desk, {source: events})
        with desk.drafting():
            applied = self.take(desk, source, provider, events, now)
        self.write(desk, now)
        return applied

    def apply_to(
        self, session: Session, claim: Claim, events: Sequence[BillingEvent], now: datetime
    ) -> Case:
        """Take in what a step brought, as the holder of the claim; `LeaseLostError` otherwise."""
        told = self.apply_to_many(session, [(claim, events)], now)[claim.case_id]
        if isinstance(told, Exception):
            raise told
        return told

    def apply_to_many(
        self,
        session: Session,
        brought: Sequence[tuple[Claim, Sequence[BillingEvent]]],
        now: datetime,
    ) -> dict[str, Case | Exception]:
        """Take in what steps brought, each as the holder of its claim, in one transaction.

        For each case its facts after, or the error that kept its events out, `LeaseLostError`
        for one: then nothing of that case is written, and the others are not touched by it.
        """
        desk = self.desk(session)
        told: defaultdict[str, list[BillingEvent]] = defaultdict(list)
        for claim, events in brought:
            told[claim.source].extend(events)
        names = [everything_named(source, events) for source, events in told.items()]
        ids = sorted({claim.case_id for claim, _ in brought})
        guard_cases(session, ids, set[str]().union(*names))
        desk.cases.load(ids)
        desk.schedule.load(ids)
        self._gather_for(desk, ids, told)
        after: dict[str, Case | Exception] = {}
        for claim, events in brought:
            try:
                with desk.drafting():
                    after[claim.case_id] = self._conclude(desk, claim, events, now)
            except DBAPIError:
                raise
            except Exception as error:  # noqa: BLE001 - told to the caller
                after[claim.case_id] = error
        self.write(desk, now)
        return after

    def apply_by_hand(
        self,
        session: Session,
        row: CaseRow,
        events: Sequence[BillingEvent],
        now: datetime,
        *,
        ending: Claim | None = None,
    ) -> Case:
        """Take events into a case already locked, whoever they are from; a claim may end so."""
        desk = self.desk(session)
        held = Held({name: getattr(row, name) for name in COLUMNS}, read_facts(row))
        desk.cases.assume(row.id, held)
        self._gather_for(desk, [row.id], {row.source: events})
        with desk.drafting():
            if ending is not None:
                self._end(desk, ending)
            case = self._move(desk, held, events, now)
        self.write(desk, now)
        return case

    def apply_by_hand_to_many(
        self, session: Session, told: Mapping[str, Sequence[BillingEvent]], now: datetime
    ) -> None:
        """The same for many cases, by id, in one read and one write."""
        desk = self.desk(session)
        desk.cases.load(sorted(told))
        self._gather_for(desk, sorted(told), {})
        with desk.drafting():
            for name, events in told.items():
                held = desk.cases.get(name)
                assert held is not None, "whoever locked it has seen it"
                self._move(desk, held, events, now)
        self.write(desk, now)

    # --- a batch, in the hands of whoever opened the transaction -----------------------------

    def desk(self, session: Session) -> Desk:
        """An empty desk for one transaction: gather, take what is to be taken in, write."""
        return Desk(session, parse_facts, self._recall)

    def gather(self, desk: Desk, told: Mapping[str, Sequence[BillingEvent]]) -> None:
        """Load all that events, by source, may touch; the guard over their names comes before."""
        gather(desk, told)
        if self._policies.keeps_revenue():
            desk.revenues.load(paid_invoices(told))
        self._policies.learn(desk)

    def take(
        self,
        desk: Desk,
        source: str,
        provider: str,
        events: Sequence[BillingEvent],
        now: datetime,
    ) -> Applied:
        """Take events in, in memory; `write` makes it last. An error leaves a draft behind."""
        mirror = Mirror(desk, source, now if self._watches() else None)
        hands: dict[str, Hand] = {}
        waiting: str | None = None
        for event in events:
            if isinstance(event, CustomerNews):
                mirror.take(event)
                for held in cases_of(desk, source, event):
                    hand = hands.setdefault(held.case.invoice, Hand(held.case, held))
                    advance_hand(hand, event)
                continue
            if isinstance(event, RenewalUpcoming):
                mirror.take(event)
                continue
            if self._policies.keeps_revenue() and isinstance(event, InvoiceReported):
                mirror.paid(event)
            invoice = invoice_of(desk, source, event)
            if invoice is None:
                waiting = ref_of(event)
                continue
            if invoice not in hands:
                held_or_none = desk.cases.get(case_id(source, invoice))
                if held_or_none is None:
                    hands[invoice] = Hand(new_case(source, provider, invoice), None)
                else:
                    hands[invoice] = Hand(held_or_none.case, held_or_none)
            advance_hand(hands[invoice], event)
        moved = []
        for invoice, hand in hands.items():
            complete(desk, hand, mirror)
            if self._settle(desk, hand, mirror, now):
                moved.append(hand.case.id)
            elif waiting is None:
                waiting = invoice
        return Applied(cases=tuple(moved), waiting=waiting if not moved else None)

    def write(self, desk: Desk, now: datetime) -> None:
        """Write what was taken in, with the next step of every case that moved."""
        moved = desk.cases.changes()
        besides = self._policies.around(desk, moved.values())
        for name in moved:
            if desk.cases.stored(name) is None:
                desk.schedule.assume(name)  # a case that begins is in no schedule yet
        desk.schedule.load(moved)
        with desk.drafting():
            for name, held in moved.items():
                policy = self.policy_of(desk.session, held.row["policy_version"])
                ahead = plan(held.case, policy, now, held.present, besides.get(name, ALONE))
                row = {**held.row, **next_columns(held.case, ahead)}
                row["facts"] = write_facts(held.case)
                desk.cases.put(name, replace(held, row=row))
                if not is_held(desk.schedule.get(name), now):
                    desk.schedule.put(name, free_cursor(held.case, ahead.next_at))
        desk.write()
        tell_when_durable(desk)

    # --- reading ---------------------------------------------------------------------------

    def policy_of(self, session: Session, version: str) -> Policy:
        """The policy a case is pinned to, as it was when the case began."""
        return self._policies.of(session, version)

    def besides(self, session: Session, rows: Sequence[CaseRow]) -> dict[str, Around]:
        """What the plans of stored cases need to know beside them, of those that need anything."""
        return self._policies.around_stored(session, rows)

    def plan_of(
        self, session: Session, row: CaseRow, now: datetime, besides: Around | None = None
    ) -> tuple[Case, Plan]:
        """The facts of a case and the steps still to do, as of now."""
        around = besides or self.besides(session, (row,)).get(row.id, ALONE)
        case = read_facts(row)
        return case, plan(case, self.policy_of(session, row.policy_version), now, around=around)

    # --- parts -----------------------------------------------------------------------------

    def _gather_for(
        self, desk: Desk, case_ids: Sequence[str], told: Mapping[str, Sequence[BillingEvent]]
    ) -> None:
        gather_for(desk, case_ids, told)
        if self._announces and any(changes_access(e) for events in told.values() for e in events):
            about = (neighbourhood(held.case) for held in desk.cases.values())
            desk.scopes.load(frozenset[Named]().union(*about))
        self._policies.learn(desk)

    def _conclude(
        self, desk: Desk, claim: Claim, events: Sequence[BillingEvent], now: datetime
    ) -> Case:
        held = desk.cases.get(claim.case_id)
        if held is None:
            raise LeaseLostError(f"{claim.case_id}: there is no such case")
        self._end(desk, claim)
        return self._move(desk, held, events, now)

    def _end(self, desk: Desk, claim: Claim) -> None:
        """Only the holder of the token gets past this; then nobody holds the case."""
        cursor = desk.schedule.get(claim.case_id)
        if cursor is None or cursor["lease_token"] != claim.token:
            message = f"{claim.case_id}: the lease ran out and somebody else holds the case"
            raise LeaseLostError(message)
        desk.schedule.put(claim.case_id, {**cursor, "leased_until": None, "lease_token": None})

    def _move(self, desk: Desk, held: Held, events: Sequence[BillingEvent], now: datetime) -> Case:
        """Take events into one case that is stored."""
        hand = Hand(held.case, held)
        mirror = Mirror(desk, held.case.source)
        for event in events:
            if isinstance(event, CustomerNews | RenewalUpcoming):
                mirror.take(event)
            advance_hand(hand, event)
        complete(desk, hand, mirror)
        self._settle(desk, hand, mirror, now)
        return hand.case

    def _settle(self, desk: Desk, hand: Hand, mirror: Mirror, now: datetime) -> bool:
        """Put down what follows from the facts. False: there is no case to speak of (yet)."""
        present = status(hand.case)
        if hand.before is None and present.state is State.NONE:
            return False
        row = dict(hand.before.row) if hand.before else self._begin(desk, hand, present, now)
        if not row:
            return False  # nobody is to be told of it
        row |= pinned_columns(hand.case)
        present = self._under_terms(desk, hand, row, present)
        if hand.before is not None:
            told = hand.case
            if present.ended_at is not None or charges_told(told):
                self._end_what_was_begun(desk, hand, now)
                if hand.case is not told:
                    present = status(hand.case)
            if present.state.is_open and may_choose_again(hand.before.case, hand.case):
                row |= self._policies.look_again(desk, hand, present, row, now)
                present = self._under_terms(desk, hand, row, present)
        case = hand.case
        if ledger.record(desk, ledger.posting_of(case, present), now):
            heard = (*desk.because.changes().get(case.id, ()), *hand.heard)
            desk.because.put(case.id, tuple(dict.fromkeys(heard)))
        policy = self.policy_of(desk.session, row["policy_version"])
        mirror.remember(case, hand.before.case if hand.before else None, policy.declines)
        if self._announces and case.notice is None:
            ahead = partial(plan, case, policy, now, present)
            policy_of = partial(self.policy_of, desk.session)
            news = News(case, present, policy, ahead, policy_of)
            announce(desk, news, now)
        row.update(columns_of(case, present, policy))
        row["version"] += 1
        desk.cases.put(case.id, Held(row, case, present))
        call_off(desk, hand, now)
        return True

    def _under_terms(self, desk: Desk, hand: Hand, row: Row, present: Status) -> Status:
        """Give the case its policy's terms of access and cancelling; how it stands, drawn so."""
        terms = under(hand.case, self.policy_of(desk.session, row["policy_version"]))
        drawn_before = hand.before.case.drawn if hand.before else None
        if terms is hand.case and terms.drawn is drawn_before:
            return present
        hand.case = terms
        return status(terms)

    def _end_what_was_begun(self, desk: Desk, hand: Hand, now: datetime) -> None:
        """What a dead worker left behind, or the end of the case overtook, ends on record."""
        if not desk.steps.get(hand.case.id):
            return
        if is_held(desk.schedule.get(hand.case.id), now):
            return  # whoever holds the case will say how it ended
        assert hand.before is not None
        policy = self.policy_of(desk.session, hand.before.row["policy_version"])
        planned = {step.key for step in plan(hand.case, policy, now).steps}
        if status(hand.case).state.is_open:
            planned |= line_keys(hand.case, policy)  # of whichever branch
        for event in end_unfinished(desk, hand.case, planned, now):
            advance_hand(hand, event)

    def _begin(self, desk: Desk, hand: Hand, present: Status, now: datetime) -> dict[str, Any]:
        chosen = self._policies.begin(desk, hand, present, now)
        if chosen is None:
            return {}
        begun = dict.fromkeys(COLUMNS) | chosen
        case = hand.case
        return begun | {
            "id": case.id,
            "source": case.source,
            "provider": case.provider,
            "invoice": case.invoice,
            "recorded_at": now,
            "version": 0,
        }
