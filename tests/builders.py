"""Fixed values: bills, events about them, and cases, with defaults that make sense together.

Everything is about invoice `in_1` of 49.00 USD, which customer `cus_1` did not pay on Monday
5 January 2026 at noon (`T0`). A test names only what it is about:

    case = case_of(failed(), paid(at=days(3)))
    case = case_of(failed(), declined("lost_card"), new_card(at=days(2)))

Amounts are minor units. Event ids follow from what happened when, so the same call twice is the
same news twice; give `id=` to tell two reports of one moment apart. Events about the customer, by
people and of our own steps are in `tests.happenings`, policies in `tests.policies`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from dunning.core.case import advance, new_case
from dunning.core.events import (
    Actor,
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    BillingEvent,
    ChargeRefunded,
    CreditNoted,
    Decline,
    DisputeReported,
    DisputeStatus,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    PaymentReceived,
    RefundReported,
)
from dunning.core.facts import Case

T0 = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)  # a Monday, inside every send window
AMOUNT = 4900
USD = "usd"
SOURCE = "stripe"
PROVIDER = "stripe"
INVOICE = "in_1"
CUSTOMER = "cus_1"
SUBSCRIPTION = "sub_1"
CARD = "pm_old"
NEW_CARD = "pm_new"


def days(number: float) -> datetime:
    """That many days after the first failure."""
    return T0 + timedelta(days=number)


def hours(number: float) -> datetime:
    """That many hours after the first failure."""
    return T0 + timedelta(hours=number)


def minutes(number: float) -> datetime:
    """That many minutes after the first failure."""
    return T0 + timedelta(minutes=number)


def event_id(what: str, at: datetime) -> str:
    """An event id: the same for the same news, another one a second later."""
    return f"evt_{what}_{int((at - T0).total_seconds())}"


# --- the invoice -----------------------------------------------------------------------------


def bill(
    amount: int = AMOUNT,
    *,
    status: InvoiceStatus = InvoiceStatus.OPEN,
    paid: int | None = None,
    credited: int = 0,
    **other: Any,
) -> Bill:
    """An invoice of `amount`, of which `paid` has been paid: nothing, or all once its status
    is paid. `other` sets any further field of `Bill`.
    """
    if paid is None:
        paid = amount - credited if status is InvoiceStatus.PAID else 0
    given: dict[str, Any] = {
        "invoice": INVOICE,
        "currency": USD,
        "customer": CUSTOMER,
        "subscription": SUBSCRIPTION,
        "number": "R-0001",
        "email": "ann@example.com",
        "name": "Ann",
        "country": "GB",
        "remaining": amount - paid - credited,
    }
    return Bill(status=status, paid=paid, credited=credited, **(given | other))


def reported(
    news: InvoiceNews = InvoiceNews.UPDATED,
    at: datetime = T0,
    told: Bill | None = None,
    *,
    id: str | None = None,
) -> InvoiceReported:
    """The provider shows the invoice."""
    return InvoiceReported(
        id=id or event_id(f"invoice_{news.value}", at), at=at, news=news, bill=told or bill()
    )


def failed(
    at: datetime = T0, told: Bill | None = None, *, id: str | None = None
) -> InvoiceReported:
    """A payment of the invoice failed: what opens a case."""
    return reported(InvoiceNews.PAYMENT_FAILED, at, told, id=id)


def paid(at: datetime = T0, told: Bill | None = None, *, id: str | None = None) -> InvoiceReported:
    """The whole invoice was paid at that moment."""
    whole = told or bill(status=InvoiceStatus.PAID, paid_at=at)
    return reported(InvoiceNews.PAID, at, whole, id=id)


def partly_paid(amount: int, at: datetime = T0, *, id: str | None = None) -> InvoiceReported:
    """The invoice now shows `amount` as paid so far."""
    return reported(
        InvoiceNews.UPDATED, at, bill(paid=amount), id=id or event_id(f"part{amount}", at)
    )


def voided(at: datetime = T0, *, id: str | None = None) -> InvoiceReported:
    """The invoice was voided."""
    told = bill(status=InvoiceStatus.VOID, voided_at=at)
    return reported(InvoiceNews.VOIDED, at, told, id=id)


def uncollectible(at: datetime = T0, *, id: str | None = None) -> InvoiceReported:
    """The invoice was marked uncollectible."""
    told = bill(status=InvoiceStatus.UNCOLLECTIBLE, uncollectible_at=at)
    return reported(InvoiceNews.UNCOLLECTIBLE, at, told, id=id)


# --- charge tries ----------------------------------------------------------------------------


def attempt(
    status: AttemptStatus = AttemptStatus.DECLINED,
    at: datetime = T0,
    *,
    code: str | None = None,
    name: str | None = None,
    **other: Any,
) -> Attempt:
    """One charge try on the old card; `code` is the decline code of one that failed."""
    charge = name or f"ch_{int((at - T0).total_seconds())}"
    given: dict[str, Any] = {
        "amount": AMOUNT,
        "currency": USD,
        "charge": charge,
        "method": CARD,
        "method_type": "card",
        "network": "visa",
        "fingerprint": "fp_old",
        "decline": Decline(code=code, network="visa", method_type="card") if code else None,
    }
    return Attempt(id=charge, at=at, status=status, **(given | other))


def attempted(
    told: Attempt, *, id: str | None = None, at: datetime | None = None
) -> AttemptReported:
    """Somebody told us of that try."""
    return AttemptReported(
        id=id or f"evt_{told.id}_{told.status.value}",
        at=at or told.at,
        attempt=told,
        invoice=INVOICE,
        customer=CUSTOMER,
    )


def declined(
    code: str = "insufficient_funds", at: datetime = T0, *, by: Actor = Actor.PROVIDER, **other: Any
) -> AttemptReported:
    """A charge try failed with this decline code."""
    return attempted(attempt(AttemptStatus.DECLINED, at, code=code, by=by, **other))


def succeeded(at: datetime = T0, *, by: Actor = Actor.UNKNOWN, **other: Any) -> AttemptReported:
    """A charge try went through."""
    return attempted(attempt(AttemptStatus.SUCCEEDED, at, by=by, **other))


def processing(at: datetime = T0, **other: Any) -> AttemptReported:
    """A bank debit is under way."""
    return attempted(attempt(AttemptStatus.PROCESSING, at, method_type="sepa_debit", **other))


def action_needed(at: datetime = T0, **other: Any) -> AttemptReported:
    """The bank wants the customer to authenticate."""
    told = attempt(AttemptStatus.ACTION_NEEDED, at, code="authentication_required", **other)
    return attempted(told)


# --- money that comes, goes back, or is forgiven -----------------------------------------------


def payment(
    amount: int = AMOUNT, at: datetime = T0, *, name: str = "pi_1", **other: Any
) -> PaymentReceived:
    """A payment was applied to the invoice."""
    given: dict[str, Any] = {"payment_intent": name, "currency": USD, "invoice": INVOICE}
    return PaymentReceived(
        id=f"evt_{name}_{amount}", at=at, payment=name, amount=amount, **(given | other)
    )


def refund(
    amount: int = AMOUNT,
    at: datetime = T0,
    *,
    name: str = "re_1",
    live: bool = True,
    made_at: datetime | None = None,
    **other: Any,
) -> RefundReported:
    """One refund made at `made_at`, as told at `at`; `live=False` once it failed."""
    given: dict[str, Any] = {"currency": USD, "charge": "ch_0", "invoice": INVOICE}
    return RefundReported(
        id=event_id(f"{name}_{live}", at),
        at=at,
        refund=name,
        amount=amount,
        live=live,
        refunded_at=made_at or at,
        **(given | other),
    )


def charge_refunded(
    amount: int = AMOUNT, at: datetime = T0, *, charge: str = "ch_0", **other: Any
) -> ChargeRefunded:
    """So much of the charge has been given back so far."""
    given: dict[str, Any] = {"currency": USD, "invoice": INVOICE}
    return ChargeRefunded(
        id=event_id(f"{charge}_back{amount}", at),
        at=at,
        charge=charge,
        amount=amount,
        **(given | other),
    )


def dispute(
    status: DisputeStatus = DisputeStatus.OPEN,
    at: datetime = T0,
    amount: int = AMOUNT,
    *,
    name: str = "dp_1",
    opened_at: datetime | None = None,
    **other: Any,
) -> DisputeReported:
    """The cardholder's bank disputes a charge of the invoice."""
    given: dict[str, Any] = {"currency": USD, "charge": "ch_0", "invoice": INVOICE}
    return DisputeReported(
        id=event_id(f"{name}_{status.value}", at),
        at=at,
        dispute=name,
        status=status,
        amount=amount,
        opened_at=opened_at or at,
        **(given | other),
    )


def credit_note(
    amount: int = AMOUNT,
    at: datetime = T0,
    *,
    name: str = "cn_1",
    live: bool = True,
    made_at: datetime | None = None,
) -> CreditNoted:
    """A credit note took that much off what is owed; `live=False` once it was voided."""
    return CreditNoted(
        id=event_id(f"{name}_{live}", at),
        at=at,
        invoice=INVOICE,
        credit_note=name,
        amount=amount,
        currency=USD,
        live=live,
        credited_at=made_at or at,
    )


# --- cases -----------------------------------------------------------------------------------


def empty(invoice: str = INVOICE) -> Case:
    """A case of which nothing has been heard."""
    return new_case(SOURCE, PROVIDER, invoice)


def fold(case: Case, events: Iterable[BillingEvent]) -> Case:
    """The case with these events taken in, in this order."""
    for event in events:
        case = advance(case, event)
    return case


def case_of(*events: BillingEvent) -> Case:
    """The default case, having heard these events."""
    return fold(empty(), events)
