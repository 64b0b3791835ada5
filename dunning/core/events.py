"""BillingEvent: everything that can happen to an invoice, whoever tells us. A closed union.

`at` is when it happened, not when we heard; `id` is the same each time the same news comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dunning.core.ahead import NoticeReported, Outlook
from dunning.core.by_hand import (
    ClosedByHand,
    Exempted,
    ExemptionLifted,
    Held,
    Promised,
    Resumed,
    RetryAsked,
    StepAdvanced,
)
from dunning.core.monthly import Monthly
from dunning.core.visits import ButtonPressed, PageOpened
from dunning.core.words import (
    HEARD,
    MESSAGES,
    Actor,
    AttemptStatus,
    DisputeStatus,
    InvoiceNews,
    InvoiceStatus,
    MethodNews,
    OnCancel,
    Standing,
    StepKind,
    StepResult,
)

__all__ = [
    "Actor",
    "Adopted",
    "Attempt",
    "AttemptReported",
    "AttemptStatus",
    "Bill",
    "BillingEvent",
    "ButtonPressed",
    "CaseEvent",
    "ChargeRefunded",
    "ClosedByHand",
    "CreditNoted",
    "CustomerEvent",
    "CustomerReported",
    "Decline",
    "DisputeReported",
    "DisputeStatus",
    "Exempted",
    "ExemptionLifted",
    "Held",
    "InvoiceEvent",
    "InvoiceNews",
    "InvoiceReported",
    "InvoiceStatus",
    "MethodChanged",
    "MethodNews",
    "NoticeReported",
    "OnCancel",
    "PageOpened",
    "PaymentReceived",
    "Promised",
    "RefundReported",
    "RenewalUpcoming",
    "Resumed",
    "RetryAsked",
    "Standing",
    "StepAdvanced",
    "StepDeferred",
    "StepEnded",
    "StepKind",
    "StepResult",
    "SubscriptionReported",
]


@dataclass(frozen=True, kw_only=True)  # no slots: see `documents`
class Decline:
    """Why a charge failed, in every word the provider and the networks gave."""

    code: str | None = None
    error_code: str | None = None
    advice_code: str | None = None
    network_code: str | None = None
    network_advice_code: str | None = None
    network: str | None = None
    outcome_type: str | None = None
    outcome_reason: str | None = None
    method_type: str | None = None


@dataclass(frozen=True, kw_only=True)  # no slots: see `documents`
class Bill:
    """The invoice as one message showed it; `remaining` + `paid` + `credited` never changes."""

    invoice: str
    status: InvoiceStatus
    currency: str
    remaining: int
    paid: int = 0
    credited: int = 0
    customer: str | None = None
    subscription: str | None = None
    number: str | None = None
    email: str | None = None
    name: str | None = None
    country: str | None = None
    attempt_count: int = 0
    next_attempt_at: datetime | None = None
    auto_advance: bool | None = None
    automatic: bool = True  # False: the customer is sent the bill and pays it by hand
    out_of_band: bool = False
    paid_at: datetime | None = None
    voided_at: datetime | None = None
    uncollectible_at: datetime | None = None
    due_at: datetime | None = None
    issued_at: datetime | None = None
    products: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()  # prices by id, nickname and key, where the provider has such
    intervals: tuple[str, ...] = ()  # month, year, …
    metadata: tuple[tuple[str, str], ...] = ()
    what_for: str | None = None  # in the merchant's words


@dataclass(frozen=True, kw_only=True)  # no slots: see `documents`
class Attempt:
    """One charge try by anyone. `id` is the charge id, else the payment intent's."""

    id: str
    at: datetime
    status: AttemptStatus
    amount: int
    currency: str
    by: Actor = Actor.UNKNOWN
    key: str | None = None  # our idempotency key, when the try was ours
    charge: str | None = None
    payment_intent: str | None = None
    method: str | None = None
    method_type: str | None = None
    network: str | None = None
    fingerprint: str | None = None
    decline: Decline | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceReported:
    """The provider showed us the invoice; `key` when a request of ours under it caused the news."""

    id: str
    at: datetime
    news: InvoiceNews
    bill: Bill
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReported:
    """Somebody tried to charge; `invoice` is None when the message did not say for what."""

    id: str
    at: datetime
    attempt: Attempt
    invoice: str | None = None
    customer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReceived:
    """A payment, whole or in part, was applied to the invoice."""

    id: str
    at: datetime
    invoice: str
    payment: str
    amount: int
    currency: str
    payment_intent: str | None = None
    charge: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundReported:
    """One refund; `live` is False once it failed or was canceled."""

    id: str
    at: datetime
    refund: str
    amount: int
    currency: str
    live: bool
    refunded_at: datetime
    charge: str | None = None
    payment_intent: str | None = None
    invoice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRefunded:
    """How much of a charge has been given back so far, when single refunds are not told."""

    id: str
    at: datetime
    charge: str
    amount: int
    currency: str
    payment_intent: str | None = None
    invoice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeReported:
    """The cardholder's bank disputes a charge."""

    id: str
    at: datetime
    dispute: str
    status: DisputeStatus
    amount: int
    currency: str
    opened_at: datetime
    charge: str | None = None
    payment_intent: str | None = None
    invoice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNoted:
    """A credit note took `amount` off what is still owed; `live` is False once it was voided."""

    id: str
    at: datetime
    invoice: str
    credit_note: str
    amount: int
    currency: str
    live: bool
    credited_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodChanged:
    """A customer's way of paying came, changed or went.

    `off_session`: the customer agreed to charges while they are away.
    """

    id: str
    at: datetime
    customer: str
    news: MethodNews
    method: str | None = None
    method_type: str | None = None
    network: str | None = None
    last4: str | None = None
    fingerprint: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    country: str | None = None
    off_session: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerReported:
    """The customer as the provider knows them."""

    id: str
    at: datetime
    customer: str
    email: str | None = None
    name: str | None = None
    locale: str | None = None
    country: str | None = None
    timezone: str | None = None
    phone: str | None = None  # as it was written down; see `core.phones`
    default_method: str | None = None
    deleted: bool = False
    since: datetime | None = None  # a customer since then
    metadata: tuple[tuple[str, str], ...] | None = None  # None: the message did not say


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionReported:
    """The subscription; `end_reason` is the provider's word, `ended_by_us` our own mark on it."""

    id: str
    at: datetime
    subscription: str
    customer: str | None
    status: str
    ended_at: datetime | None = None
    end_reason: str | None = None
    ended_by_us: bool = False
    paused: bool = False
    default_method: str | None = None
    products: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    intervals: tuple[str, ...] = ()
    started_at: datetime | None = None
    recurring: int | None = None  # in a month
    heard: tuple[Monthly, ...] | None = None  # told before as well; None: only this
    yearly: int | None = None
    currency: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    outlook: Outlook | None = None  # None: the message did not show it


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalUpcoming:
    """The next renewal is near; the invoice does not exist yet."""

    id: str
    at: datetime
    customer: str
    subscription: str | None
    amount: int
    currency: str
    due_at: datetime | None
    period_end: datetime | None = None  # of the term that ends with it


@dataclass(frozen=True, kw_only=True)  # no slots: see `documents`
class StepEnded:
    """A step of ours ended. `id` is the step key; `off`: giving up took the service away.

    `said_in`: a message that was not sent, as that of another step said it on the same day.
    """

    id: str
    at: datetime
    kind: StepKind
    result: StepResult
    why: str = ""
    template: str | None = None
    off: bool = False
    said_in: str | None = None

    @property
    def told(self) -> bool:
        """Whether the customer heard this message, or may have, from this step or another."""
        return self.kind in MESSAGES and (self.result in HEARD or self.said_in is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDeferred:
    """A step could not be done now and is due again at `until`; it has not been used up."""

    id: str
    at: datetime
    until: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """The case was taken over from whoever pursued the debt before; see `core.places`."""

    id: str
    at: datetime
    invoice: str
    failed_at: datetime  # the first failure, as far as the provider's records say
    resumes_at: datetime  # nothing is done before this moment
    standing: Standing = Standing.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChanged:
    """A person moved the open case to another version of its policy; see `core.places`."""

    id: str  # by which change of the policy file: `policy:12`
    at: datetime
    policy: str
    version: str
    former_policy: str
    former_version: str
    why: str
    by: str
    suspends_from: datetime  # neither door opens sooner
    gives_up_from: datetime
    owed: tuple[StepKind, ...] = ()  # kinds of which the former policy still had one to do


_Money = InvoiceReported | AttemptReported | PaymentReceived | RefundReported | ChargeRefunded
InvoiceEvent = (
    _Money | DisputeReported | CreditNoted | PageOpened | ButtonPressed | Adopted | NoticeReported
)
_Customer = MethodChanged | CustomerReported | SubscriptionReported | RenewalUpcoming
CustomerEvent = _Customer | Exempted | ExemptionLifted
ActEvent = Held | Resumed | Promised | RetryAsked | StepAdvanced | ClosedByHand | PolicyChanged
CaseEvent = StepEnded | StepDeferred | ActEvent
BillingEvent = InvoiceEvent | CustomerEvent | CaseEvent
