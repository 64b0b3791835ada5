"""A case that is being moved: events merged in, with what was heard before there was a case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from sqlalchemy import event as hooks

from dunning import metrics
from dunning.core.case import advance
from dunning.core.events import BillingEvent, RenewalUpcoming, SubscriptionReported
from dunning.core.facts import Case
from dunning.core.holdout import Drawn, draw, walked_by
from dunning.core.policy import Policy
from dunning.desk import Desk, Held, Line, Named, Waiting
from dunning.errors import MoneyError
from dunning.mirror import Mirror

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Hand:
    """A case that is being moved: its facts, and how it stood before (None: not stored yet)."""

    case: Case
    before: Held | None = None
    recalled: list[Waiting] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)  # of which events, by their ids


def advance_hand(hand: Hand, event: BillingEvent) -> None:
    """Merge one event in; `MoneyError` when it is in another currency."""
    _same_currency(hand.case, event)
    hand.case = advance(hand.case, event)
    hand.heard.append(event.id)


def complete(desk: Desk, hand: Hand, mirror: Mirror) -> None:
    """Add what was heard before: kept events of this invoice, and of its customer."""
    known = hand.before is not None
    if not known and hand.case.failed_at is None and hand.case.notice is None:
        return
    source = hand.case.source
    asked = hand.before.case.links if hand.before else frozenset[str]()
    while new := hand.case.links - asked:
        asked |= new
        found = [one for name in new for one in desk.waiting.get(Named(source, name)) or ()]
        for one in sorted(found, key=lambda one: one.id):
            hand.recalled.append(one)
            for event in one.events:
                advance_hand(hand, event)
    # Whose case it is may be heard late; until then nothing of the customer reached it.
    nobodys = hand.before is None or hand.before.case.customer is None
    if nobodys and hand.case.customer:
        for event in mirror.known(hand.case.customer, hand.case.subscription):
            advance_hand(hand, event)


def draw_group(hand: Hand, chosen: Policy) -> Policy:
    """Draw the case for a hold-out of its policy; the policy that walks it."""
    hand.case = replace(hand.case, drawn=_drawn(hand.case, chosen))
    return walked_by(chosen, hand.case.drawn)


def walks_for(case: Case, chosen: Policy) -> Policy:
    """The policy that would walk the case if it were drawn now."""
    return walked_by(chosen, _drawn(case, chosen))


def _drawn(case: Case, chosen: Policy) -> Drawn | None:
    # Whoever was pursued by others before says nothing of what our policy does.
    return None if case.adopted else draw(chosen, case.source, case.customer)


def call_off(desk: Desk, hand: Hand, now: datetime) -> None:
    """What waited for this case has found it, and counts from now on."""
    for one in hand.recalled:
        key = Named(hand.case.source, one.ref)
        left = tuple(other for other in desk.waiting.get(key) or () if other.id != one.id)
        desk.waiting.put(key, left)
        desk.recalled.put(one.id, {"ref": hand.case.id, "handled_at": now})


def _same_currency(case: Case, event: BillingEvent) -> None:
    bill = getattr(event, "bill", None) or getattr(event, "attempt", None) or event
    currency = getattr(bill, "currency", None)
    about_invoice = not isinstance(event, SubscriptionReported | RenewalUpcoming)
    if currency and case.currency and about_invoice and currency != case.currency:
        message = f"{case.invoice} is in {case.currency}, but {event.id} speaks of {currency}"
        raise MoneyError(message)


def tell_when_durable(desk: Desk) -> None:
    """Say what the ledger got and of which events and steps, once it is durable."""
    lines = tuple(desk.lines.changes().values())
    because = dict(desk.because.changes())
    if lines:
        hooks.listen(desk.session, "after_commit", lambda _: _tell(lines, because), once=True)


def _tell(lines: Sequence[Line], because: Mapping[str, Sequence[str]]) -> None:
    money: defaultdict[str, list[str]] = defaultdict(list)
    monthly: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.subscription is None:
            metrics.entries(line.source, line.cause)
        (money if line.subscription is None else monthly)[line.case_id].append(line.key)
    for event, book in (("ledger.recorded", money), ("recurring.recorded", monthly)):
        for case, keys in book.items():
            log.info(event, case=case, entries=keys, because=because.get(case, ()))
