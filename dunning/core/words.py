"""The closed lists of words that events and facts are written in."""

from __future__ import annotations

import enum


class InvoiceStatus(enum.StrEnum):
    """Where the provider says the invoice stands."""

    DRAFT = "draft"
    OPEN = "open"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"
    PAID = "paid"


class InvoiceNews(enum.StrEnum):
    """Why the provider told us of the invoice."""

    PAYMENT_FAILED = "payment_failed"
    ACTION_REQUIRED = "action_required"
    PAID = "paid"
    VOIDED = "voided"
    UNCOLLECTIBLE = "uncollectible"
    OVERDUE = "overdue"  # to be paid by hand, and not paid by its due date
    UPDATED = "updated"


class AttemptStatus(enum.StrEnum):
    """How one charge try stands; a later member wins over an earlier one."""

    PROCESSING = "processing"
    ACTION_NEEDED = "action_needed"
    DECLINED = "declined"
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"


class Actor(enum.StrEnum):
    """Who made a charge try."""

    OURS = "ours"
    PROVIDER = "provider"
    CUSTOMER = "customer"
    UNKNOWN = "unknown"


class DisputeStatus(enum.StrEnum):
    """What a dispute means for the money."""

    INQUIRY = "inquiry"  # a question; nothing has been taken
    OPEN = "open"  # taken back while it is argued
    WON = "won"
    LOST = "lost"


class MethodNews(enum.StrEnum):
    """What happened to a customer's way of paying."""

    NEW = "new"  # the customer gave one, or chose another as the default
    SAVED = "saved"  # it is there, beside others; nobody gave it just now
    CHANGED = "changed"  # the customer or the merchant corrected it
    NETWORK_UPDATED = "network_updated"  # the card network sent fresh details by itself
    REMOVED = "removed"
    MANDATE_GONE = "mandate_gone"  # the bank debit mandate is no longer valid


class StepKind(enum.StrEnum):
    """One thing a case does at a time."""

    # That of an enum is worked out in Python, each time one is looked up.
    __hash__ = str.__hash__

    RETRY = "retry"
    EMAIL = "email"
    SMS = "sms"  # a short text to the customer's phone
    RESTRICT = "restrict"
    SUSPEND = "suspend"
    RESTORE = "restore"
    GIVE_UP = "give_up"
    ANNOUNCE = "announce"  # a call to the merchant's product, with words of the policy
    SIGNAL = "signal"  # we say when, the billing system charges
    VOID = "void"  # the customer has cancelled, and the policy lets the debt go
    RECONCILE = "reconcile"


# The template of the one message that follows a payment.
THANKS = "recovered"
# The steps that say something to the customer: at most one of them a day.
MESSAGES = (StepKind.EMAIL, StepKind.SMS)


class OnCancel(enum.StrEnum):
    """What a cancellation by the customer does to what is owed."""

    CLOSE = "close"  # it is not pursued any more; the invoice stays as it is at the provider
    KEEP = "keep"  # it is owed all the same, and pursued
    VOID = "void"
    VOID_IF_WHOLLY_UNPAID = "void_if_wholly_unpaid"  # a part was paid: it is owed all the same


class StepResult(enum.StrEnum):
    """How a step ended."""

    DONE = "done"
    DECLINED = "declined"
    ACTION_NEEDED = "action_needed"
    PROCESSING = "processing"
    NOT_OWED = "not_owed"
    SKIPPED = "skipped"
    DOUBTFUL = "doubtful"  # it may have happened; it is not done again, and it is counted


# How a message ended that the customer has heard, or may have.
HEARD = (StepResult.DONE, StepResult.DOUBTFUL)


class Standing(enum.StrEnum):
    """How the service stood when a case was taken over; see `Adopted`."""

    NORMAL = "normal"
    MOVED = "moved"  # another term began in its place
    PAUSED = "paused"  # by others, for reasons of their own: it is left as it is
    SUSPENDED = "suspended"  # for this debt: it comes back when that is paid


class Kind(enum.StrEnum):
    """What a case is about, and which policies are for it."""

    RECOVERY = "recovery"  # a failed charge
    CARD_EXPIRY = "card_expiry"  # the card that will be charged expires before a renewal
    RENEWAL = "renewal"  # a subscription renews

    @property
    def is_notice(self) -> bool:
        """Whether the customer is only told of what lies ahead: no money is at risk."""
        return self is not Kind.RECOVERY


class Over(enum.StrEnum):
    """Why there is nothing to tell the customer of any more."""

    NEW_CARD = "new_card"  # another one will be charged
    UPDATED = "updated"  # the same card has a later date: by its network, or by hand
    REMOVED = "removed"  # the card is gone, and no other has come
    CANCELLED = "cancelled"  # no renewal comes after it
    RENEWED = "renewed"
    MOVED = "moved"  # another term began in its place
    PAUSED = "paused"  # the subscription stands still: nothing is charged
    PASSED = "passed"  # the moment came, and nothing had changed
    EXEMPT = "exempt"  # the customer is taken out of dunning until after it
    BY_HAND = "closed_by_hand"
