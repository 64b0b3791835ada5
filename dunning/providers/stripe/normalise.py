"""What each type of Stripe event means to us: one closed table, and one door to it.

A type that is not in the table is ignored, never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from dunning.core.events import AttemptStatus, InvoiceNews, InvoiceStatus, MethodNews
from dunning.core.ports import Ignored, Reading, Unreadable
from dunning.providers.stripe import attempts, handlers
from dunning.providers.stripe.fields import FieldError, Fields
from dunning.providers.stripe.handlers import Handler, News

THIN_PREFIX: Final = "v1."


@dataclass(frozen=True, slots=True)
class Rule:
    """Which objects may come with an event type, and who reads them."""

    kinds: tuple[str, ...]
    read: Handler


def read_object(
    type: str,
    obj: Mapping[str, Any],
    *,
    event_id: str,
    created: datetime,
    request: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
) -> Reading:
    """Say what an object means that came with, or was fetched for, an event; never raises.

    `type` may carry the `v1.` of thin events. `request` is the event's `request`, None when that
    is not known, which is not the same as knowing that there was none.
    """
    name = type.removeprefix(THIN_PREFIX)
    rule = RULES.get(name)
    if rule is None:
        return Ignored(why=f"{name} events are not used")
    try:
        asked = None if request is None else Fields(request, "request")
        news = News(
            type=name,
            id=event_id,
            at=created,
            obj=_checked(Fields(obj, "data.object"), rule),
            previous=Fields(previous or {}, "data.previous_attributes"),
            cause=attempts.cause_of(asked),
            unasked=asked is None or not asked.given("id"),
        )
        return rule.read(news)
    except FieldError as error:
        return Unreadable(why=f"{name}: {error}")


def _checked(obj: Fields, rule: Rule) -> Fields:
    # Very old and hand-made objects do not say what they are; their fields have to.
    kind = obj.word_or_none("object")
    if kind is not None and kind not in rule.kinds:
        raise obj.unknown("object", " or ".join(rule.kinds))
    return obj


# --- the table -------------------------------------------------------------------------------

_INVOICE: Final = ("invoice",)
_CHARGE: Final = ("charge",)
_INTENT: Final = ("payment_intent",)
_DISPUTE: Final = ("dispute",)
_CREDIT: Final = ("credit_note",)
_METHOD: Final = ("payment_method",)
_SOURCE: Final = ("card", "bank_account", "source")
_SUBSCRIPTION: Final = ("subscription",)
_STATUS: Final = InvoiceStatus
_GONE: Final = (_STATUS.UNCOLLECTIBLE, _STATUS.PAID, _STATUS.VOID)

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "invoice.payment_failed": Rule(_INVOICE, handlers.invoice(InvoiceNews.PAYMENT_FAILED)),
        "invoice.payment_action_required": Rule(
            _INVOICE, handlers.invoice(InvoiceNews.ACTION_REQUIRED)
        ),
        "invoice.paid": Rule(_INVOICE, handlers.invoice(InvoiceNews.PAID, _STATUS.PAID)),
        "invoice.payment_succeeded": Rule(_INVOICE, handlers.payment_succeeded),
        "invoice.voided": Rule(_INVOICE, handlers.invoice(InvoiceNews.VOIDED, _STATUS.VOID)),
        "invoice.marked_uncollectible": Rule(
            _INVOICE, handlers.invoice(InvoiceNews.UNCOLLECTIBLE, *_GONE)
        ),
        "invoice.overdue": Rule(_INVOICE, handlers.invoice(InvoiceNews.OVERDUE)),
        "invoice.updated": Rule(_INVOICE, handlers.invoice(InvoiceNews.UPDATED)),
        "invoice.upcoming": Rule(_INVOICE, handlers.upcoming),
        "invoice_payment.paid": Rule(("invoice_payment",), handlers.invoice_payment),
        "charge.failed": Rule(_CHARGE, handlers.charge(AttemptStatus.DECLINED)),
        "charge.pending": Rule(_CHARGE, handlers.charge()),
        "charge.succeeded": Rule(_CHARGE, handlers.charge(AttemptStatus.SUCCEEDED)),
        "charge.updated": Rule(_CHARGE, handlers.charge_updated),
        "charge.refunded": Rule(_CHARGE, handlers.charge_refunded),
        "payment_intent.payment_failed": Rule(_INTENT, handlers.intent(failed=True)),
        "payment_intent.processing": Rule(_INTENT, handlers.intent()),
        "payment_intent.requires_action": Rule(_INTENT, handlers.intent()),
        "payment_intent.succeeded": Rule(_INTENT, handlers.intent(AttemptStatus.SUCCEEDED)),
        "payment_intent.canceled": Rule(_INTENT, handlers.intent(AttemptStatus.CANCELED)),
        "refund.created": Rule(("refund",), handlers.refund()),
        "refund.updated": Rule(("refund",), handlers.refund()),
        "refund.failed": Rule(("refund",), handlers.refund(failed=True)),
        "charge.refund.updated": Rule(("refund",), handlers.refund()),
        "charge.dispute.created": Rule(_DISPUTE, handlers.dispute(handlers.AS_IT_IS)),
        "charge.dispute.updated": Rule(_DISPUTE, handlers.dispute(handlers.AS_IT_IS)),
        "charge.dispute.closed": Rule(_DISPUTE, handlers.dispute(handlers.AS_IT_IS)),
        "charge.dispute.funds_withdrawn": Rule(_DISPUTE, handlers.dispute(handlers.WITHDRAWN)),
        "charge.dispute.funds_reinstated": Rule(_DISPUTE, handlers.dispute(handlers.REINSTATED)),
        "credit_note.created": Rule(_CREDIT, handlers.credit_note),
        "credit_note.updated": Rule(_CREDIT, handlers.credit_note),
        "credit_note.voided": Rule(_CREDIT, handlers.credit_note),
        "payment_method.attached": Rule(_METHOD, handlers.method(MethodNews.NEW)),
        "payment_method.updated": Rule(_METHOD, handlers.method(MethodNews.CHANGED)),
        "payment_method.automatically_updated": Rule(
            _METHOD, handlers.method(MethodNews.NETWORK_UPDATED)
        ),
        # Its name until it was no longer for cards alone.
        "payment_method.card_automatically_updated": Rule(
            _METHOD, handlers.method(MethodNews.NETWORK_UPDATED)
        ),
        "payment_method.detached": Rule(_METHOD, handlers.detached),
        "setup_intent.succeeded": Rule(("setup_intent",), handlers.setup_done),
        "mandate.updated": Rule(("mandate",), handlers.mandate),
        "customer.created": Rule(("customer",), handlers.customer),
        "customer.updated": Rule(("customer",), handlers.customer_updated),
        "customer.deleted": Rule(("customer",), handlers.customer_deleted),
        "customer.source.created": Rule(_SOURCE, handlers.method(MethodNews.NEW)),
        "customer.source.updated": Rule(_SOURCE, handlers.source_updated),
        # customer.source.expiring is left out: as a changed card it would look like a mended one.
        "customer.source.deleted": Rule(_SOURCE, handlers.method(MethodNews.REMOVED)),
        **dict.fromkeys(
            (
                "customer.subscription.created",
                "customer.subscription.updated",
                "customer.subscription.paused",
                "customer.subscription.resumed",
                # Finer names that only thin events have.
                "customer.subscription.active",
                "customer.subscription.default_payment_method_changed",
                "customer.subscription.incomplete",
                "customer.subscription.incomplete_expired",
                "customer.subscription.past_due",
                "customer.subscription.trialing",
                "customer.subscription.unpaid",
            ),
            Rule(_SUBSCRIPTION, handlers.subscription()),
        ),
        "customer.subscription.deleted": Rule(_SUBSCRIPTION, handlers.subscription(deleted=True)),
    }
)
