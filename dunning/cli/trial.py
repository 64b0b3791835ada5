"""A customer to try a policy on: who they are, and what the program would hear of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dunning.core.ahead import Ahead, NoticeReported
from dunning.core.calendar import zone_of
from dunning.core.case import advance, new_case
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    CustomerReported,
    Decline,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    SubscriptionReported,
)
from dunning.core.facts import Case
from dunning.core.money import Money
from dunning.core.notices import BEGINS_AHEAD, expires_at, longest_lead
from dunning.core.policy import Policy
from dunning.core.words import Kind

SOURCE, INVOICE = "stripe", "in_preview"
CUSTOMER, SUBSCRIPTION, METHOD = "cus_preview", "sub_preview", "pm_preview"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The customer to try the policy on; `tenure` is how long they have been one."""

    amount: Money
    failed_at: datetime
    code: str | None = None
    advice_code: str | None = None
    timezone: str | None = None
    country: str | None = None
    source: str = SOURCE
    method: str = "card"
    plans: tuple[str, ...] = ()
    interval: str | None = None
    yearly: Money | None = None
    tenure: timedelta | None = None
    metadata: tuple[tuple[str, str], ...] = field(default=())
    subscription: bool = True
    by_hand: bool = False

    @property
    def decline(self) -> Decline | None:
        """What the bank said, if it said anything."""
        if self.code is None and self.advice_code is None:
            return None
        return Decline(code=self.code, advice_code=self.advice_code, method_type=self.method)


def begun(asked: Asked) -> Case:
    """The case as the first webhooks make it."""
    at = asked.failed_at
    events: list[BillingEvent] = [
        InvoiceReported(id="evt_1", at=at, news=InvoiceNews.PAYMENT_FAILED, bill=_bill(asked)),
        _customer(asked, at),
    ]
    if asked.subscription:
        events.append(_subscription(asked))
    if not asked.by_hand:
        events.append(declined(asked, at, "ch_first", Actor.PROVIDER))
    case = new_case(asked.source, "stripe", INVOICE)
    for event in events:
        case = advance(case, event)
    return case


def _customer(asked: Asked, at: datetime) -> CustomerReported:
    return CustomerReported(
        id="evt_2",
        at=at,
        customer=CUSTOMER,
        email="customer@example.com",
        country=asked.country,
        timezone=asked.timezone,
        since=None if asked.tenure is None else at - asked.tenure,
        metadata=asked.metadata,
    )


def _bill(asked: Asked) -> Bill:
    return Bill(
        invoice=INVOICE,
        status=InvoiceStatus.OPEN,
        currency=asked.amount.currency,
        remaining=asked.amount.minor,
        customer=CUSTOMER,
        subscription=SUBSCRIPTION if asked.subscription else None,
        email="customer@example.com",
        country=asked.country,
        attempt_count=0 if asked.by_hand else 1,
        automatic=not asked.by_hand,
        products=asked.plans,
        plans=asked.plans,
        intervals=(asked.interval,) if asked.interval else (),
    )


def _subscription(asked: Asked) -> SubscriptionReported:
    return SubscriptionReported(
        id="evt_3",
        at=asked.failed_at,
        subscription=SUBSCRIPTION,
        customer=CUSTOMER,
        status="past_due",
        products=asked.plans,
        plans=asked.plans,
        intervals=(asked.interval,) if asked.interval else (),
        yearly=asked.yearly.minor if asked.yearly else None,
        currency=asked.yearly.currency if asked.yearly else None,
    )


def declined(asked: Asked, at: datetime, name: str, by: Actor) -> AttemptReported:
    """A charge that fails as the first one did."""
    attempt = Attempt(
        id=name,
        at=at,
        status=AttemptStatus.DECLINED,
        amount=asked.amount.minor,
        currency=asked.amount.currency,
        by=by,
        charge=name,
        method=METHOD,
        method_type=asked.method,
        decline=asked.decline,
    )
    return AttemptReported(
        id=f"evt_{name}", at=at, attempt=attempt, invoice=INVOICE, customer=CUSTOMER
    )


def noticed(asked: Asked, policy: Policy) -> Case:
    """The case of a notice; what it tells of comes when the charge would have failed.

    Of a card that is the end of its last month, and it renews the day after.
    """
    zone = zone_of(asked.timezone, asked.country, policy.timezone)
    month = asked.failed_at.astimezone(zone)
    expiry = expires_at(month.year, month.month, zone)
    card = policy.kind is Kind.CARD_EXPIRY
    ahead = Ahead(
        customer=CUSTOMER,
        subscription=SUBSCRIPTION,
        renews_at=expiry + timedelta(days=1) if card else asked.failed_at,
        amount=asked.amount.minor,
        currency=asked.amount.currency,
        term=asked.interval,
        method=METHOD,
        method_type=asked.method,
        last4="4242",
        exp_month=month.month if card else None,
        exp_year=month.year if card else None,
    )
    at = asked.failed_at - longest_lead(policy) - BEGINS_AHEAD
    told = NoticeReported(id="evt_1", at=at, invoice=INVOICE, kind=policy.kind, ahead=ahead)
    case = new_case(asked.source, "stripe", INVOICE)
    for event in (told, _customer(asked, at), _subscription(asked)):
        case = advance(case, event)
    return case
