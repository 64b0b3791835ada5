"""Stripe's invoice and what takes money off it, in every shape since 2018, as our own values.

Which API version wrote an object is decided by the fields it has, never by `api_version`. Where a
transitional object has the old and the new field, they have to agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from dunning.core.events import (
    Bill,
    ChargeRefunded,
    CreditNoted,
    DisputeReported,
    DisputeStatus,
    InvoiceStatus,
    PaymentReceived,
    RefundReported,
    RenewalUpcoming,
)
from dunning.providers.stripe.fields import FieldError, Fields, fields

Source = Mapping[str, Any] | Fields

_REFUND_LIVE: Final = {
    "pending": True,
    "requires_action": True,
    "succeeded": True,
    "failed": False,
    "canceled": False,
}
_NAMED: Final = {(3, "month"): "quarter", (6, "month"): "half_year", (12, "month"): "year"}
_PAID_BY: Final = frozenset(("payment_intent", "charge", "payment_record"))
_CREDIT_LIVE: Final = {"issued": True, "void": False}
_DISPUTES: Final = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.INQUIRY,
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    # An appeal follows a loss: the money is with the cardholder while it is argued again.
    "appeal_needs_response": DisputeStatus.OPEN,
    "appeal_under_review": DisputeStatus.OPEN,
    "won": DisputeStatus.WON,
    "prevented": DisputeStatus.INQUIRY,
    # Until 2019: an inquiry that ended in an ordinary refund, which is told as a refund.
    "charge_refunded": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}


def bill(invoice: Source) -> Bill:
    """The invoice as this object shows it; FieldError names what cannot be used."""
    f = fields(invoice, "invoice")
    status = _status(f)
    remaining, paid = f.amount("amount_remaining"), f.amount("amount_paid")
    out_of_band = _out_of_band(f)
    if status is InvoiceStatus.PAID and f.flag_or_none("paid_out_of_band"):
        # Before 2025-03-31 what was paid elsewhere stayed in `amount_remaining`.
        remaining, paid = 0, paid + remaining
    times, lines = f.inner("status_transitions"), f.each("lines")
    return Bill(
        invoice=f.id("id"),
        status=status,
        currency=f.currency(),
        remaining=remaining,
        paid=paid,
        credited=f.amount_or_none("pre_payment_credit_notes_amount") or 0,
        customer=f.id_or_none("customer"),
        subscription=subscription_of(f),
        number=f.text_or_none("number"),
        email=f.text_or_none("customer_email"),
        name=f.text_or_none("customer_name"),
        country=f.inner("customer_address").text_or_none("country"),
        attempt_count=f.count_or_none("attempt_count") or 0,
        next_attempt_at=f.time_or_none("next_payment_attempt"),
        auto_advance=f.flag_or_none("auto_advance"),
        automatic=_collection(f) != "send_invoice",
        out_of_band=out_of_band,
        paid_at=times.time_or_none("paid_at"),
        voided_at=times.time_or_none("voided_at"),
        uncollectible_at=times.time_or_none("marked_uncollectible_at"),
        due_at=f.time_or_none("due_date"),
        issued_at=times.time_or_none("finalized_at") or f.time_or_none("created"),
        products=products_of(lines),
        plans=plans_of(lines),
        intervals=intervals_of(lines),
        metadata=_metadata(f),
        what_for=what_for(lines),
    )


def _metadata(f: Fields) -> tuple[tuple[str, str], ...]:
    """The invoice's own pairs, and behind them those its subscription had when it was made."""
    # Before 2025-03-31 these stood in a field of the invoice itself.
    details = f.inner("subscription_details"), f.inner("parent").inner("subscription_details")
    pairs: dict[str, str] = {}
    for place in (*details, f):
        pairs.update(place.metadata())
    return tuple(sorted(pairs.items()))


def _status(f: Fields) -> InvoiceStatus:
    if f.has("status"):
        word = f.word("status")
        try:
            return InvoiceStatus(word)
        except ValueError:
            raise f.unknown("status", "draft, open, paid, uncollectible or void") from None
    # Before 2018-11-08 there were two flags instead; what was neither paid nor forgiven was owed.
    paid, forgiven = f.flag_or_none("paid"), f.flag_or_none("forgiven")
    if paid is None or forgiven is None:
        raise f.wrong("status", "draft, open, paid, uncollectible or void")
    if paid:
        return InvoiceStatus.PAID
    return InvoiceStatus.UNCOLLECTIBLE if forgiven else InvoiceStatus.OPEN


def _out_of_band(f: Fields) -> bool:
    elsewhere = f.amount_or_none("amount_paid_off_stripe") or 0
    return bool(f.flag_or_none("paid_out_of_band")) or elsewhere > 0


def _collection(f: Fields) -> str | None:
    # Called `billing` before 2019-10-17.
    return f.word_or_none("collection_method") or f.word_or_none("billing")


def subscription_of(invoice: Fields) -> str | None:
    """The subscription the invoice is for; before 2025-03-31 a field of its own."""
    details = invoice.inner("parent").inner("subscription_details")
    return agreed(invoice, details, "subscription")


def agreed(old: Fields, new: Fields, name: str) -> str | None:
    """The one id that two places give, or the only one given; FieldError when they differ."""
    before, after = old.id_or_none(name), new.id_or_none(name)
    if before and after and before != after:
        message = f"{old.path}.{name} and {new.path}.{name} differ (expected the same id)"
        raise FieldError(message)
    return after or before


# "1 × Gold (at $20.00 / month)", in English whatever the customer reads: its middle is the name.
_DESCRIBED = re.compile(r"(?:1 × )?(.+?)(?: \((?:at|per) [^()]*\))*")
_MOST_NAMES = 3


def what_for(lines: tuple[Fields, ...]) -> str | None:
    """What the invoice is for, as the merchant calls it: the names of its lines, three at most."""
    told = (
        line.text_or_none("description") for line in lines if not line.flag_or_none("proration")
    )
    names = [found[1].strip() for text in told if text and (found := _DESCRIBED.fullmatch(text))]
    return ", ".join(list(dict.fromkeys(names))[:_MOST_NAMES]) or None


def products_of(lines: tuple[Fields, ...]) -> tuple[str, ...]:
    """Price and product ids of invoice lines or subscription items, in order, each once."""
    found = (name for line in lines for name in _line_products(line))
    return tuple(dict.fromkeys(name for name in found if name))


def _line_products(line: Fields) -> Iterator[str | None]:
    new = line.inner("pricing").inner("price_details")
    yield agreed(line, new, "price")
    yield new.id_or_none("product")
    for name in ("price", "plan"):
        inner = line.expanded(name)
        if inner is not None:
            yield inner.id_or_none("id")
            yield inner.id_or_none("product")


def plans_of(lines: tuple[Fields, ...]) -> tuple[str, ...]:
    """How a merchant may call the prices of invoice lines or items: id, nickname, lookup key."""
    found: list[str | None] = []
    for line in lines:
        found.append(agreed(line, line.inner("pricing").inner("price_details"), "price"))
        for inner in _prices(line):
            found.append(inner.id_or_none("id"))
            found += [inner.text_or_none(name) for name in ("nickname", "lookup_key")]
    return tuple(dict.fromkeys(name for name in found if name))


def intervals_of(lines: tuple[Fields, ...]) -> tuple[str, ...]:
    """How often they are billed: `month`, `quarter`, `2 weeks`; nothing where it is not said."""
    found = []
    for line in lines:
        for inner in _prices(line):
            terms = inner.inner("recurring") if inner.given("recurring") else inner
            every = terms.count_or_none("interval_count") if terms.given("interval_count") else 1
            if (unit := terms.word_or_none("interval")) and every:
                found.append(_NAMED.get((every, unit), unit if every == 1 else f"{every} {unit}s"))
    return tuple(dict.fromkeys(found))


def _prices(line: Fields) -> Iterator[Fields]:
    """The prices of a line that came whole, as a price or as a plan."""
    for name in ("price", "plan"):
        inner = line.expanded(name)
        if inner is not None:
            yield inner


def upcoming(invoice: Source, *, id: str, at: datetime) -> RenewalUpcoming:
    """The announcement of a renewal; this invoice has no id yet."""
    f = fields(invoice, "invoice")
    return RenewalUpcoming(
        id=id,
        at=at,
        customer=f.id("customer"),
        subscription=subscription_of(f),
        amount=f.amount("amount_due"),
        currency=f.currency(),
        due_at=f.time_or_none("next_payment_attempt") or f.time_or_none("due_date"),
        period_end=f.time_or_none("period_end"),
    )


def payments_of(invoice: Source, told: Bill, *, id: str, at: datetime) -> list[PaymentReceived]:
    """What the invoice says was paid by which payment; nothing when it names none.

    Old shape: the one payment intent or charge of a paid invoice. New shape: `payments`, which is
    there only when the caller asked for it.
    """
    f = fields(invoice, "invoice")
    if f.given("payments"):
        parts = [p for p in f.each("payments") if p.word("status") == "paid"]
        return [payment(p, id=f"{id}/{p.id('id')}", at=at, invoice=told.invoice) for p in parts]
    intent, charge = f.id_or_none("payment_intent"), f.id_or_none("charge")
    name = intent or charge
    settled = told.status is InvoiceStatus.PAID and told.paid > 0 and not told.out_of_band
    if not settled or name is None:
        return []
    received = PaymentReceived(
        id=f"{id}/payment",
        at=told.paid_at or at,
        invoice=told.invoice,
        payment=name,
        amount=told.paid,
        currency=told.currency,
        payment_intent=intent,
        charge=charge,
    )
    return [received]


def payment(part: Source, *, id: str, at: datetime, invoice: str | None = None) -> PaymentReceived:
    """An InvoicePayment that was paid: one of perhaps several payments of one invoice.

    It is named after its payment intent, charge or payment record, as other reports name it.
    """
    f = fields(part, "invoice_payment")
    paid_by = f.inner("payment")
    kind = paid_by.word("type")
    return PaymentReceived(
        id=id,
        at=f.inner("status_transitions").time_or_none("paid_at") or at,
        invoice=invoice or f.id("invoice"),
        payment=paid_by.id(kind) if kind in _PAID_BY else f.id("id"),
        amount=f.amount("amount_paid"),
        currency=f.currency(),
        payment_intent=paid_by.id_or_none("payment_intent"),
        charge=paid_by.id_or_none("charge"),
    )


def refund(
    obj: Source, *, id: str, at: datetime, failed: bool = False, charge: Fields | None = None
) -> RefundReported:
    """One refund; `charge` is the charge it was found in. `failed` when the event said so."""
    f = fields(obj, "refund")
    live = _REFUND_LIVE.get(f.word("status"))
    if live is None:
        raise f.unknown("status", "one of " + ", ".join(_REFUND_LIVE))
    around = charge or f.expanded("charge")
    return RefundReported(
        id=id,
        at=at,
        refund=f.id("id"),
        amount=f.amount("amount"),
        currency=f.currency(),
        live=live and not failed,
        refunded_at=f.time("created"),
        charge=charge.id("id") if charge else f.id_or_none("charge"),
        payment_intent=f.id_or_none("payment_intent") or _of(around, "payment_intent"),
        invoice=_of(around, "invoice") or _of(f.expanded("payment_intent"), "invoice"),
    )


def _of(around: Fields | None, name: str) -> str | None:
    return around.id_or_none(name) if around else None


def refunds_of_charge(
    charge: Source, *, id: str, at: datetime
) -> list[RefundReported | ChargeRefunded]:
    """What was given back of a charge: each refund if all are listed, else the sum so far.

    Since 2022-11-15 charges come without the list; a list cut short is no use either.
    """
    f = fields(charge, "charge")
    whole = f.inner("refunds").flag_or_none("has_more") is not True
    listed = f.each("refunds") if whole else ()
    if listed:
        return [refund(r, id=f"{id}/{r.id('id')}", at=at, charge=f) for r in listed]
    total = ChargeRefunded(
        id=id,
        at=at,
        charge=f.id("id"),
        amount=f.amount("amount_refunded"),
        currency=f.currency(),
        payment_intent=f.id_or_none("payment_intent"),
        invoice=f.id_or_none("invoice"),
    )
    return [total]


def dispute(obj: Source, *, id: str, at: datetime) -> DisputeReported:
    """A dispute as its status has it."""
    f = fields(obj, "dispute")
    status = _DISPUTES.get(f.word("status"))
    if status is None:
        raise f.unknown("status", "one of " + ", ".join(_DISPUTES))
    charge = f.expanded("charge")
    return DisputeReported(
        id=id,
        at=at,
        dispute=f.id("id"),
        status=status,
        amount=f.amount("amount"),
        currency=f.currency(),
        opened_at=f.time("created"),
        charge=f.id_or_none("charge"),
        payment_intent=f.id_or_none("payment_intent") or _of(charge, "payment_intent"),
        invoice=_of(charge, "invoice"),
    )


def credit_note(obj: Source, *, id: str, at: datetime) -> CreditNoted:
    """What a credit note takes off the amount still owed; `amount` is 0 when it takes nothing."""
    f = fields(obj, "credit_note")
    live = _CREDIT_LIVE.get(f.word("status"))
    if live is None:
        raise f.unknown("status", "issued or void")
    return CreditNoted(
        id=id,
        at=at,
        invoice=f.id("invoice"),
        credit_note=f.id("id"),
        amount=_credited(f),
        currency=f.currency(),
        live=live,
        credited_at=f.time("created"),
    )


def _credited(f: Fields) -> int:
    if f.given("pre_payment_amount"):
        return f.amount("pre_payment_amount")
    # Before 2025-05-28 a note was all of one kind.
    kind = f.word("type")
    if kind == "pre_payment":
        return f.amount("amount")
    if kind == "post_payment":
        return 0
    raise f.unknown("type", "pre_payment or post_payment, or pre_payment_amount beside it")
