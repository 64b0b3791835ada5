"""The one door: lock a case, advance it, append to the ledger, set its next step.

World (inbox), time (executor) and doubt (reconcile) all end in `CaseBook.apply`. One transaction,
which the caller opens; many events of many cases at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from pydantic import TypeAdapter
from sqlalchemy import event as hooks
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col

from dunning import ledger, metrics
from dunning.chosen import Chooser, Policies, looked_first
from dunning.clock import rfc3339
from dunning.columns import columns_of, schedule_columns
from dunning.core.around import ALONE, Around
from dunning.core.case import case_id, new_case
from dunning.core.events import BillingEvent, InvoiceReported, RenewalUpcoming
from dunning.core.facts import Case
from dunning.core.plan import Plan, line_keys, plan
from dunning.core.policy import Policy
from dunning.core.status import State, Status, status
from dunning.desk import Desk, Held, Line, Named, Recall, Row
from dunning.errors import LeaseLostError, NotFoundError
from dunning.hands import Hand, advance_hand, call_off, complete
from dunning.mirror import Mirror
from dunning.outbox import announce, changes_access
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
from dunning.store import CaseRow, among, guard, table_of
from dunning.unfinished import charges_told, end_unfinished

log = structlog.get_logger(__name__)

_FACTS = TypeAdapter(Case)


def read_facts(row: CaseRow) -> Case:
    """The facts of a stored case."""
    return _FACTS.validate_json(row.facts)


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
        keeps_revenue: bool = False,
    ) -> None:
        self._policies = Policies(choose, keeps_revenue=keeps_revenue)
        self._recall = recall
        self._announces = announces

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
        _guard_cases(session, ids, set[str]().union(*names))
        desk.cases.load(ids)
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
        self, session: Session, row: CaseRow, events: Sequence[BillingEvent], now: datetime
    ) -> Case:
        """Take events into a case already locked, whoever they are from."""
        desk = self.desk(session)
        held = Held({name: getattr(row, name) for name in _COLUMNS}, read_facts(row))
        desk.cases.assume(row.id, held)
        self._gather_for(desk, [row.id], {row.source: events})
        with desk.drafting():
            case = self._move(desk, held, events, now)
        self.write(desk, now)
        return case

    # --- a batch, in the hands of whoever opened the transaction -----------------------------

    def desk(self, session: Session) -> Desk:
        """An empty desk for one transaction: gather, take what is to be taken in, write."""
        return Desk(session, _FACTS.validate_json, self._recall)

    def gather(self, desk: Desk, told: Mapping[str, Sequence[BillingEvent]]) -> None:
        """Load all that events, by source, may touch; the guard over their names comes before."""
        gather(desk, told)
        if self._policies.keeps_revenue:
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
        mirror = Mirror(desk, source)
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
                continue
            if self._policies.keeps_revenue and isinstance(event, InvoiceReported):
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
        changed = desk.cases.changes()
        besides = self._policies.around(desk, changed.values())
        with desk.drafting():
            for name, held in changed.items():
                policy = self.policy_of(desk.session, held.row["policy_version"])
                ahead = plan(held.case, policy, now, held.present, besides.get(name, ALONE))
                row = dict(held.row)
                row.update(schedule_columns(row, held.case, ahead, now))
                row["facts"] = _FACTS.dump_json(held.case).decode()
                desk.cases.put(name, replace(held, row=row))
        desk.write()
        if lines := tuple(desk.lines.changes().values()):
            because = dict(desk.because.changes())
            tell = partial(_tell, lines, because)
            hooks.listen(desk.session, "after_commit", lambda _: tell(), once=True)

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
            desk.scopes.load(
                Named(held.case.source, held.case.scope) for held in desk.cases.values()
            )
        self._policies.learn(desk)

    def _conclude(
        self, desk: Desk, claim: Claim, events: Sequence[BillingEvent], now: datetime
    ) -> Case:
        held = desk.cases.get(claim.case_id)
        if held is None or held.row["lease_token"] != claim.token:
            message = f"{claim.case_id}: the lease ran out and somebody else holds the case"
            raise LeaseLostError(message)
        free = replace(held, row={**held.row, "lease_token": None})
        return self._move(desk, free, events, now)

    def _move(self, desk: Desk, held: Held, events: Sequence[BillingEvent], now: datetime) -> Case:
        """Take events into one case that is stored."""
        hand = Hand(held.case, held)
        mirror = Mirror(desk, held.case.source)
        for event in events:
            if isinstance(event, CustomerNews):
                mirror.take(event)
            advance_hand(hand, event)
        complete(desk, hand, mirror)
        self._settle(desk, hand, mirror, now)
        return hand.case

    def _settle(self, desk: Desk, hand: Hand, mirror: Mirror, now: datetime) -> bool:
        """Put down what follows from the facts. False: there is no case to speak of (yet)."""
        present = status(hand.case)
        if hand.before is None:
            if present.state is State.NONE:
                return False
            row = self._begin(desk, hand.case, present, now)
        else:
            row = dict(hand.before.row)
            told = hand.case
            if present.ended_at is not None or charges_told(told):
                self._end_what_was_begun(desk, hand, row, now)
                if hand.case is not told:
                    present = status(hand.case)
            if looked_first(hand.before.case, hand.case) and present.state.is_open:
                row |= self._policies.look_again(desk, hand.case, present, row, now)
        case = hand.case
        posting = ledger.Posting(
            case_id=case.id,
            source=case.source,
            currency=case.currency,
            entries=present.books.entries,
        )
        if ledger.record(desk, posting, now):
            heard = (*desk.because.changes().get(case.id, ()), *hand.heard)
            desk.because.put(case.id, tuple(dict.fromkeys(heard)))
        mirror.remember(case, hand.before.case if hand.before else None)
        if self._announces:
            announce(desk, case, present, now)
        row.update(columns_of(case, present))
        row["version"] += 1
        desk.cases.put(case.id, Held(row, case, present))
        call_off(desk, hand, now)
        return True

    def _end_what_was_begun(self, desk: Desk, hand: Hand, row: Row, now: datetime) -> None:
        """What a dead worker left behind, or the end of the case overtook, ends on record."""
        if row["lease_token"] is not None and row["wake_at"] and row["wake_at"] > now:
            return  # whoever holds the case will say how it ended
        if not desk.steps.get(hand.case.id):
            return
        policy = self.policy_of(desk.session, row["policy_version"])
        planned = {step.key for step in plan(hand.case, policy, now).steps}
        if status(hand.case).state.is_open:
            planned |= line_keys(hand.case, policy)  # of whichever branch
        for event in end_unfinished(desk, hand.case, planned, now):
            advance_hand(hand, event)

    def _begin(self, desk: Desk, case: Case, present: Status, now: datetime) -> dict[str, Any]:
        begun = dict.fromkeys(_COLUMNS) | self._policies.begin(desk, case, present, now)
        return begun | {
            "id": case.id,
            "source": case.source,
            "provider": case.provider,
            "invoice": case.invoice,
            "recorded_at": now,
            "version": 0,
        }


_COLUMNS = tuple(column.name for column in table_of(CaseRow).c)


def _guard_cases(session: Session, ids: Collection[str], besides: Collection[str]) -> None:
    """Guard what is named, and of each case its invoice, customer and scope.

    What the product hears of access hangs on the other cases of the scope.
    """
    if session.get_bind().dialect.name == "postgresql":
        about = (col(CaseRow.invoice), col(CaseRow.customer), col(CaseRow.scope))
        known = select(col(CaseRow.source), *about).where(among(session, col(CaseRow.id), ids))
        names = {
            f"{source}/{one}" for source, *told in session.execute(known) for one in told if one
        }
        guard(session, {*besides, *names})


def locked(session: Session, name: str, besides: Collection[str] = ()) -> CaseRow:
    """The row of a case, locked until the transaction ends; `NotFoundError` if there is none."""
    _guard_cases(session, [name], besides)
    row = session.scalars(
        select(CaseRow).where(col(CaseRow.id) == name).with_for_update()
    ).one_or_none()
    if row is None:
        message = f"no case {name}; `dunning cases list` shows the ones there are"
        raise NotFoundError(message)
    return row


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


def _tell(lines: Sequence[Line], because: Mapping[str, Sequence[str]]) -> None:
    """Say what the ledger got and of which events and steps, once it is durable."""
    by_case: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        metrics.entries(line.source, line.cause)
        by_case[line.case_id].append(line.key)
    for case, keys in by_case.items():
        log.info("ledger.recorded", case=case, entries=keys, because=because.get(case, ()))
