"""Case, State, advance(case, event) -> Case.

A case is the set of facts heard so far about one invoice. `advance` merges one more fact in: every
merge is commutative and idempotent (the earliest time, the latest word, the union by id), so any
order and any repetition of the same events gives the same case. Nothing here is a counter.

What the facts mean is computed from them each time: the money by `core.entries`, the state by
`core.status`, the steps still to do by `core.plan`.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import lru_cache
from typing import assert_never

from dunning.core.events import (
    ActEvent,
    Adopted,
    AttemptReported,
    BillingEvent,
    ButtonPressed,
    ChargeRefunded,
    ClosedByHand,
    CreditNoted,
    CustomerEvent,
    CustomerReported,
    DisputeReported,
    Exempted,
    ExemptionLifted,
    Held,
    InvoiceEvent,
    InvoiceReported,
    MethodChanged,
    NoticeReported,
    PageOpened,
    PaymentReceived,
    PolicyChanged,
    Promised,
    RefundReported,
    RenewalUpcoming,
    Resumed,
    RetryAsked,
    StepAdvanced,
    StepDeferred,
    StepEnded,
    SubscriptionReported,
)
from dunning.core.facts import Case, Payment
from dunning.core.heard import with_monthly
from dunning.core.merge import (
    earlier,
    later,
    later_exemption,
    merge_payment,
    put_first,
    put_latest,
    put_merged,
    with_adoption,
    with_attempt,
    with_bill,
    with_currency,
    with_customer,
    with_dispute,
    with_failure,
    with_subscription,
)
from dunning.core.methods import with_method
from dunning.core.notices import with_notice


@lru_cache(maxsize=4096)
def case_id(source: str, invoice: str) -> str:
    """The case's name: a function of what it is about, so a rebuilt database finds the same keys.

    Twenty base32 letters: no hex pair may follow an equals sign in a mail's encoding.
    """
    digest = hashlib.sha256(f"{source}\x00{invoice}".encode()).digest()
    return "case_" + base64.b32encode(digest[:15]).decode().lower()[:20]


def new_case(source: str, provider: str, invoice: str) -> Case:
    """Begin with no facts: not yet a case anybody has to work on."""
    return Case(id=case_id(source, invoice), source=source, provider=provider, invoice=invoice)


def advance(case: Case, event: BillingEvent) -> Case:
    """Merge one event into the facts. The same event twice, or two in any order: the same case."""
    match event:
        case (
            InvoiceReported()
            | AttemptReported()
            | PaymentReceived()
            | RefundReported()
            | ChargeRefunded()
            | DisputeReported()
            | CreditNoted()
            | PageOpened()
            | ButtonPressed()
            | Adopted()
            | NoticeReported()
        ):
            return _about_invoice(case, event)
        case (
            MethodChanged()
            | CustomerReported()
            | SubscriptionReported()
            | RenewalUpcoming()
            | Exempted()
            | ExemptionLifted()
        ):
            return _about_customer(case, event)
        case StepEnded() | StepDeferred():
            return _about_step(case, event)
        case (
            Held()
            | Resumed()
            | Promised()
            | RetryAsked()
            | StepAdvanced()
            | ClosedByHand()
            | PolicyChanged()
        ):
            return _by_hand(case, event)
        case _:
            assert_never(event)


def _about_invoice(case: Case, event: InvoiceEvent) -> Case:
    match event:
        case InvoiceReported():
            case = with_currency(case, event.bill.currency)
            return with_monthly(with_failure(with_bill(case, event), event))
        case AttemptReported():
            case = with_currency(case, event.attempt.currency)
            return with_monthly(with_failure(with_attempt(case, event), event))
        case PageOpened():
            return replace(case, page_opened_at=min(case.page_opened_at or event.at, event.at))
        case ButtonPressed():
            return replace(case, presses=put_merged(case.presses, event, earlier))
        case Adopted():
            return with_monthly(with_adoption(case, event))
        case NoticeReported():
            return with_notice(case, event)
        case (
            PaymentReceived()
            | RefundReported()
            | ChargeRefunded()
            | DisputeReported()
            | CreditNoted()
        ):
            return _about_money(with_currency(case, event.currency), event)
        case _:
            assert_never(event)


def _about_money(
    case: Case,
    event: PaymentReceived | RefundReported | ChargeRefunded | DisputeReported | CreditNoted,
) -> Case:
    match event:
        case PaymentReceived():
            payment = Payment(
                id=event.payment_intent or event.charge or event.payment,
                at=event.at,
                amount=event.amount,
                charge=event.charge,
            )
            return replace(case, payments=put_merged(case.payments, payment, merge_payment))
        case RefundReported():
            return replace(case, refunds=put_latest(case.refunds, event, lambda e: e.refund))
        case ChargeRefunded():
            told = put_latest(case.charge_refunds, event, lambda e: e.charge)
            return replace(case, charge_refunds=told)
        case DisputeReported():
            return with_dispute(case, event)
        case CreditNoted():
            return replace(case, credits=put_latest(case.credits, event, lambda e: e.credit_note))
        case _:
            assert_never(event)


def _about_customer(case: Case, event: CustomerEvent) -> Case:
    match event:
        case MethodChanged():
            return with_method(case, event)
        case CustomerReported():
            return with_customer(case, event)
        case SubscriptionReported():
            return with_subscription(case, event)
        case Exempted() | ExemptionLifted():
            return replace(case, exemption=later_exemption(case.exemption, event))
        case RenewalUpcoming():
            return case
        case _:
            assert_never(event)


def _about_step(case: Case, event: StepEnded | StepDeferred) -> Case:
    match event:
        case StepEnded():
            return replace(case, done=put_first(case.done, event))
        case StepDeferred():
            return replace(case, deferred=put_latest(case.deferred, event, lambda e: e.id))
        case _:
            assert_never(event)


def _by_hand(case: Case, event: ActEvent) -> Case:
    match event:
        case Held():
            return replace(case, hold=later(case.hold, event))
        case Resumed():
            told = put_latest(case.resumptions, event, lambda e: e.id)
            return replace(case, hold=later(case.hold, event), resumptions=told)
        case Promised():
            return replace(case, promises=put_latest(case.promises, event, lambda e: e.id))
        case RetryAsked():
            asked = put_latest(case.retries_asked, event, lambda e: e.id)
            return replace(case, retries_asked=asked)
        case PolicyChanged():
            changes = put_latest(case.policy_changes, event, lambda e: e.id)
            return replace(case, policy_changes=changes)
        case StepAdvanced():
            return replace(case, advanced=put_latest(case.advanced, event, lambda e: e.step))
        case ClosedByHand():
            known = case.closed_by_hand
            first = event if known is None else min(known, event, key=lambda e: (e.at, e.id))
            return replace(case, closed_by_hand=first)
        case _:
            assert_never(event)
