"""The facts of a case, as plain records; `core.case` says how they grow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dunning.core.events import (
    Adopted,
    Attempt,
    Bill,
    ButtonPressed,
    ChargeRefunded,
    ClosedByHand,
    CreditNoted,
    DisputeReported,
    Exempted,
    ExemptionLifted,
    Held,
    NoticeReported,
    OnCancel,
    PolicyChanged,
    Promised,
    RefundReported,
    Resumed,
    RetryAsked,
    StepAdvanced,
    StepDeferred,
    StepEnded,
)
from dunning.core.holdout import Drawn
from dunning.core.monthly import Monthly


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """Money applied to the invoice; `id` is the payment intent, else the charge or payment."""

    id: str
    at: datetime
    amount: int
    charge: str | None = None


@dataclass(frozen=True, kw_only=True)  # no slots: see `documents`
class Word:
    """The last word on one thing; a later `at` wins, and `id` decides between equals."""

    about: str
    value: str
    at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A subscription that is over; `reason` is the provider's word, `by_us` when we ended it."""

    subscription: str
    at: datetime
    reason: str | None
    by_us: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A method the customer has saved; `off_session` once they agreed to charges while away."""

    id: str
    at: datetime  # when it was last heard of
    since: datetime
    type: str | None = None
    fingerprint: str | None = None
    off_session: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What of its policy a case carries along, as the meaning of its facts hangs on it.

    `wide`: access is that of the whole customer, and not of one subscription.
    """

    on_cancel: OnCancel = OnCancel.CLOSE
    wide: bool = False


# No slots: see `documents`. A copy takes a sixth of the time besides.
@dataclass(frozen=True, kw_only=True)
class Case:
    """The facts about one invoice. `(id, at)` pairs order the last word; amounts in minor units."""

    id: str
    source: str
    provider: str
    invoice: str
    currency: str = ""
    terms: Terms = Terms()
    words: tuple[Word, ...] = ()  # who and what it is about: the last word on each

    # the invoice
    bill: Bill | None = None
    bill_at: datetime | None = None
    bill_id: str = ""
    billed: int = 0  # the whole bill, as seen while some of it was still to be paid
    settled: int = 0  # the whole bill, as seen once nothing was left; may hold an overpayment
    refused_at: datetime | None = None  # the first failure, as the invoice or a card had it
    debit_begun_at: datetime | None = None  # when the first bank debit that failed had begun
    overdue_at: datetime | None = None  # the due date of a bill to be paid by hand, once it passed
    seen_automatic: bool = False  # whether the provider ever was to collect it by itself
    action_at: datetime | None = None  # when the customer was last asked to authenticate
    paid_at: datetime | None = None
    voided_at: datetime | None = None
    uncollectible_at: datetime | None = None
    out_of_band: bool = False
    paid_marks: tuple[tuple[int, datetime], ...] = ()  # (paid so far, first seen)
    credit_marks: tuple[tuple[int, datetime], ...] = ()
    payments: tuple[Payment, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[RefundReported, ...] = ()
    charge_refunds: tuple[ChargeRefunded, ...] = ()
    disputes: tuple[DisputeReported, ...] = ()
    credits: tuple[CreditNoted, ...] = ()

    # the ways to pay
    method: str | None = None  # the newest one the customer gave
    method_at: datetime | None = None
    method_fixed_at: datetime | None = None  # details corrected or refreshed by the network
    network_updates: tuple[datetime, ...] = ()  # when the network itself refreshed a card
    saved: tuple[Saved, ...] = ()  # all that are known, whichever would be charged
    methods_gone: tuple[tuple[str, datetime], ...] = ()

    # the relation
    customer_since: datetime | None = None  # or since their first subscription
    ends: tuple[End, ...] = ()
    monthly: tuple[Monthly, ...] = ()  # what subscriptions bring in a month, as it was told
    customer_deleted_at: datetime | None = None

    # people
    hold: Held | Resumed | None = None
    resumptions: tuple[Resumed, ...] = ()  # each of them: a promise before it is withdrawn
    promises: tuple[Promised, ...] = ()
    exemption: Exempted | ExemptionLifted | None = None  # of the customer
    advanced: tuple[StepAdvanced, ...] = ()
    retries_asked: tuple[RetryAsked, ...] = ()
    closed_by_hand: ClosedByHand | None = None
    link_opened_at: datetime | None = None  # a link followed before there was a page behind it
    page_opened_at: datetime | None = None  # the page was fetched, by whomever
    presses: tuple[ButtonPressed, ...] = ()  # the customer's clicks there
    adopted: Adopted | None = None  # taken over from whoever pursued the debt before
    policy_changes: tuple[PolicyChanged, ...] = ()  # moved to another version since it began

    # what it tells of, where it is no recovery: the last look at it, and when the first was
    notice: NoticeReported | None = None
    noticed_at: datetime | None = None

    drawn: Drawn | None = None  # the group of a hold-out, drawn when the case began

    # what we did
    done: tuple[StepEnded, ...] = ()
    deferred: tuple[StepDeferred, ...] = ()

    def word(self, about: str) -> str | None:
        """The last word on one thing, such as `email`."""
        for word in self.words:
            if word.about == about:
                return word.value
        return None

    @property
    def policy_change(self) -> PolicyChanged | None:
        """The last move to another version of the policy; what was moved last decides."""
        changes = self.policy_changes
        if len(changes) > 1:
            return max(changes, key=lambda change: (change.at, change.id))
        return changes[0] if changes else None

    @property
    def gross(self) -> int:
        """The whole bill: what was ever asked for. While no bill was seen, the dearest try."""
        tried = max((attempt.amount for attempt in self.attempts), default=0)
        return self.billed or self.settled or tried

    @property
    def failed_at(self) -> datetime | None:
        """The first failure: every step is an offset from it.

        A bank debit says when it began, days before it failed; that is only the last resort. Of an
        invoice that was only ever to be paid by hand it is the due date: that a try of the customer
        failed before it says nothing.
        """
        if self.by_hand and not self.seen_automatic:
            return self.overdue_at or (self.adopted.failed_at if self.adopted else None)
        return self.refused_at or self.debit_begun_at or self.overdue_at

    @property
    def first_sign(self) -> datetime | None:
        """The earliest that is known of a failure; what is heard later only moves it back."""
        known = (self.refused_at, self.debit_begun_at, self.overdue_at)
        return min((at for at in known if at is not None), default=None)

    @property
    def by_hand(self) -> bool:
        """Whether the customer is sent the bill and pays it by hand."""
        return self.bill is not None and not self.bill.automatic

    @property
    def customer(self) -> str | None:
        """The provider's customer id."""
        return self.word("customer")

    @property
    def subscription(self) -> str | None:
        """The provider's subscription id; None for a one-off invoice."""
        return self.word("subscription")

    @property
    def scope(self) -> str:
        """What access hangs on: the subscription, else the customer, else this invoice.

        The customer, whatever they subscribe to, where the policy says so.
        """
        if self.terms.wide and self.customer:
            return self.customer
        return self.subscription or self.customer or self.invoice

    @property
    def end(self) -> End | None:
        """How this invoice's subscription ended, if it did."""
        return next((end for end in self.ends if end.subscription == self.subscription), None)

    @property
    def clicked(self) -> bool:
        """Whether the customer followed a link of ours: fetching the page alone is no click."""
        return bool(self.presses) or self.link_opened_at is not None

    def step(self, key: str) -> StepEnded | None:
        """How the step with this key ended, if it did."""
        for step in self.done:
            if step.id == key:
                return step
        return None

    @property
    def links(self) -> frozenset[str]:
        """Every provider id known to be about this invoice: charges and payment intents."""
        known = {self.invoice}
        for attempt in self.attempts:
            known.update(x for x in (attempt.id, attempt.charge, attempt.payment_intent) if x)
        for payment in self.payments:
            known.update(x for x in (payment.id, payment.charge) if x)
        return frozenset(known)


def moved_to(case: Case, change: PolicyChanged) -> Case:
    """The case with one more move to another version of its policy.

    As `dataclasses.replace` does it, in a fraction of the time: a plan of open cases moves each.
    """
    moved = object.__new__(Case)
    vars(moved).update(vars(case), policy_changes=(*case.policy_changes, change))
    return moved


# The keys of charges of other saved methods, behind the case's name; see `core.backups`.
BACKUP = "retry:backup:"


def of_backup(case: Case, attempt: Attempt) -> bool:
    """Whether the try was ours, with a method that is not the one this debt is paid with."""
    key = attempt.key
    return key is not None and BACKUP in key and key.startswith(f"{case.id}/{BACKUP}")
