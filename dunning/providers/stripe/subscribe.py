"""The event types a Stripe webhook endpoint for dunning should be sent; the README lists them.

More are understood; `EVENTS` are enough to open, follow and end every case, and leave out what
Stripe sends for each healthy payment as well. Notices of what lies ahead need `NOTICE_EVENTS` too.
"""

from __future__ import annotations

EVENTS = (
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.paid",
    "invoice.voided",
    "invoice.marked_uncollectible",
    "invoice.overdue",
    "invoice.updated",
    "invoice_payment.paid",
    "charge.failed",
    "charge.refunded",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "credit_note.created",
    "credit_note.voided",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_method.attached",
    "payment_method.updated",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "setup_intent.succeeded",
    "mandate.updated",
    "customer.updated",
    "customer.deleted",
    "customer.source.updated",
    "customer.subscription.updated",
    "customer.subscription.deleted",
)
NOTICE_EVENTS = (
    "invoice.upcoming",
    "customer.created",
    "customer.subscription.created",
    "customer.source.created",
    "customer.source.deleted",
)
