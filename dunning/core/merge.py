"""How two facts become one: every function here is commutative, associative and idempotent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from typing import Protocol, TypeVar

from dunning.core.events import (
    Adopted,
    Attempt,
    AttemptReported,
    AttemptStatus,
    Bill,
    CreditNoted,
    CustomerReported,
    Decline,
    DisputeReported,
    DisputeStatus,
    Exempted,
    ExemptionLifted,
    Held,
    InvoiceNews,
    InvoiceReported,
    InvoiceStatus,
    RefundReported,
    Resumed,
    StepEnded,
    StepKind,
    SubscriptionReported,
)
from dunning.core.facts import Case, End, Payment, Word
from dunning.core.heard import (
    monthly_of,
    with_monthly,
    words_of_customer,
    words_of_subscription,
)
from dunning.errors import MoneyError

_ATTEMPT_RANK = {status: rank for rank, status in enumerate(AttemptStatus)}
_DISPUTE_RANK = {status: rank for rank, status in enumerate(DisputeStatus)}
_STATUS_RANK = {status: rank for rank, status in enumerate(InvoiceStatus)}
_FAILURES = frozenset((InvoiceNews.PAYMENT_FAILED, InvoiceNews.ACTION_REQUIRED))
_FAILED = frozenset((AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED))
# These take days: such a try is dated when it began, not when it failed or went through.
DEBITS = frozenset(
    (
        "us_bank_account",
        "ach_debit",
        "sepa_debit",
        "bacs_debit",
        "acss_debit",
        "au_becs_debit",
        "nz_bank_account",
    )
)


class _Identified(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def at(self) -> datetime: ...


Told = TypeVar("Told", bound=_Identified)


def earliest(known: datetime | None, heard: datetime | None) -> datetime | None:
    """The earlier of two times, either of which may be unknown."""
    if known is None or heard is None:
        return known or heard
    return min(known, heard)


def latest(known: datetime | None, heard: datetime | None) -> datetime | None:
    """The later of two times, either of which may be unknown."""
    if known is None or heard is None:
        return known or heard
    return max(known, heard)


def put_latest(
    known: tuple[Told, ...], heard: Told, about: Callable[[Told], str]
) -> tuple[Told, ...]:
    """Keep the last word on each thing; equal times are decided by id, then by content."""
    by_name = {about(item): item for item in known}
    name = about(heard)
    by_name[name] = _last(by_name.get(name), heard)
    return tuple(by_name[name] for name in sorted(by_name))


def put_first(known: tuple[StepEnded, ...], heard: StepEnded) -> tuple[StepEnded, ...]:
    """Keep the first ending of each step: a step ends once."""
    by_key = {step.id: step for step in known}
    by_key[heard.id] = min(by_key.get(heard.id, heard), heard, key=_order)
    return tuple(by_key[key] for key in sorted(by_key))


def earlier(one: Told, other: Told) -> Told:
    """Of two reports of one thing the first; equal times are decided by content."""
    return min(one, other, key=lambda told: (told.at, repr(told)))


def put_merged(
    known: tuple[Told, ...], heard: Told, merge: Callable[[Told, Told], Told]
) -> tuple[Told, ...]:
    """Keep one record of each id, two reports of it merged; in order of time."""
    by_id = {item.id: item for item in known}
    by_id[heard.id] = merge(by_id[heard.id], heard) if heard.id in by_id else heard
    return tuple(sorted(by_id.values(), key=lambda item: (item.at, item.id)))


def _last(known: Told | None, heard: Told) -> Told:
    """The later of two; only what happened at one moment is compared in every word."""
    if known is None or known.at < heard.at:
        return heard
    return known if known.at > heard.at else max(known, heard, key=_order)


def _order(item: _Identified) -> tuple[datetime, int, str, str]:
    # Within one second a dispute that is further along, a refund that failed and a hold or an
    # exemption that was ended came later.
    rank = 0
    if isinstance(item, DisputeReported):
        rank = _DISPUTE_RANK[item.status]
    elif isinstance(item, RefundReported | CreditNoted):
        rank = int(not item.live)
    elif isinstance(item, Resumed | ExemptionLifted):
        rank = 1
    return (item.at, rank, item.id, repr(item))


def later(known: Held | Resumed | None, heard: Held | Resumed) -> Held | Resumed:
    """The last thing people said about holding the case."""
    return heard if known is None else max(known, heard, key=_order)


def later_exemption(
    known: Exempted | ExemptionLifted | None, heard: Exempted | ExemptionLifted
) -> Exempted | ExemptionLifted:
    """The last thing people said about exempting the customer."""
    return heard if known is None else max(known, heard, key=_order)


def merge_payment(known: Payment, heard: Payment) -> Payment:
    """Two reports of one payment."""
    return Payment(
        id=known.id,
        at=min(known.at, heard.at),
        amount=max(known.amount, heard.amount),
        charge=_either(known.charge, heard.charge),
    )


def merge_attempt(known: Attempt, heard: Attempt) -> Attempt:
    """Two reports of one charge try: what one does not know the other may."""
    status = max(known.status, heard.status, key=_ATTEMPT_RANK.__getitem__)
    return Attempt(
        id=known.id,
        at=min(known.at, heard.at),
        status=status,
        amount=max(known.amount, heard.amount),
        currency=max(known.currency, heard.currency),
        by=min(known.by, heard.by, key=list(type(known.by)).index),
        key=_either(known.key, heard.key),
        charge=_either(known.charge, heard.charge),
        payment_intent=_either(known.payment_intent, heard.payment_intent),
        method=_either(known.method, heard.method),
        method_type=_either(known.method_type, heard.method_type),
        network=_either(known.network, heard.network),
        fingerprint=_either(known.fingerprint, heard.fingerprint),
        decline=_merge_decline(known.decline, heard.decline),
    )


def _merge_decline(known: Decline | None, heard: Decline | None) -> Decline | None:
    if known is None or heard is None:
        return known or heard
    pairs = {f.name: _either(getattr(known, f.name), getattr(heard, f.name)) for f in fields(known)}
    return Decline(**pairs)


def _either(known: str | None, heard: str | None) -> str | None:
    return max(known or "", heard or "") or None


def with_words(case: Case, at: datetime, event_id: str, **told: str | None) -> Case:
    """Take what an event says of who and what the case is about."""
    return replace(case, words=_words(case, at, event_id, **told))


def _words(case: Case, at: datetime, event_id: str, **told: str | None) -> tuple[Word, ...]:
    words = {word.about: word for word in case.words}
    for about, value in told.items():
        if value:
            word = Word(about=about, value=value, at=at, id=event_id)
            words[about] = _last(words.get(about), word)
    return tuple(words[about] for about in sorted(words))


def with_currency(case: Case, currency: str) -> Case:
    """An invoice has one currency; MoneyError when something about it is in another."""
    if case.currency and case.currency != currency:
        raise MoneyError(f"{case.invoice} is in {case.currency}, not in {currency}")
    return case if case.currency else replace(case, currency=currency)


def with_bill(case: Case, event: InvoiceReported) -> Case:
    """Take what one view of the invoice shows; the newest view stays, sums only grow."""
    bill = event.bill
    # A draft may still change; nobody has been asked to pay it.
    whole = 0 if bill.status is InvoiceStatus.DRAFT else bill.remaining + bill.paid + bill.credited
    known = (case.bill_at, case.bill_id, case.bill)
    newest = _newest(known, (event.at, event.id, bill))
    words = _words(
        case,
        event.at,
        event.id,
        customer=bill.customer,
        subscription=bill.subscription,
        number=bill.number,
        what_for=bill.what_for,
        email=bill.email,
        name=bill.name,
        country=bill.country,
    )
    # The echo of our own giving up says nothing new: how that step ended does.
    echo = (event.key or "").startswith(f"{case.id}/{StepKind.GIVE_UP.value}:")
    return replace(
        case,
        words=words,
        bill_at=newest[0],
        bill_id=newest[1],
        bill=newest[2],
        billed=max(case.billed, whole if bill.remaining > 0 else 0),
        settled=max(case.settled, whole),
        paid_at=earliest(case.paid_at, _paid_at(event)),
        overdue_at=earliest(case.overdue_at, _overdue_at(event)),
        seen_automatic=case.seen_automatic or bill.automatic,
        voided_at=earliest(case.voided_at, None if echo else _voided_at(event)),
        uncollectible_at=earliest(
            case.uncollectible_at, None if echo else _uncollectible_at(event)
        ),
        out_of_band=case.out_of_band or bill.out_of_band,
        paid_marks=_mark(case.paid_marks, bill.paid, event.at),
        credit_marks=_mark(case.credit_marks, bill.credited, event.at),
    )


def _paid_at(event: InvoiceReported) -> datetime | None:
    if event.bill.status is InvoiceStatus.PAID:
        return event.bill.paid_at or event.at
    return None


def _overdue_at(event: InvoiceReported) -> datetime | None:
    """The due date, if it has passed with something left to be paid by hand."""
    bill = event.bill
    owed = bill.status is InvoiceStatus.OPEN and bill.remaining > 0
    if bill.automatic or not owed:
        return None
    if bill.due_at is not None and bill.due_at <= event.at:
        return bill.due_at
    return event.at if event.news is InvoiceNews.OVERDUE else None


def _voided_at(event: InvoiceReported) -> datetime | None:
    if event.bill.status is InvoiceStatus.VOID:
        return event.bill.voided_at or event.at
    return None


def _uncollectible_at(event: InvoiceReported) -> datetime | None:
    told = event.bill.uncollectible_at
    return told or (event.at if event.news is InvoiceNews.UNCOLLECTIBLE else None)


_View = tuple[datetime | None, str, Bill | None]


def _newest(known: _View, heard: _View) -> _View:
    if known[2] is None:
        return heard
    return max(known, heard, key=_view_order)


def _view_order(view: _View) -> tuple[datetime | None, int, int, int, int, str, str]:
    at, event_id, bill = view
    assert bill is not None
    # Two views of one second: the one further along is the later one.
    rank = _STATUS_RANK[bill.status]
    return (at, rank, bill.paid, bill.credited, -bill.remaining, event_id, repr(bill))


def _mark(
    marks: tuple[tuple[int, datetime], ...], total: int, at: datetime
) -> tuple[tuple[int, datetime], ...]:
    if total <= 0:
        return marks
    seen = dict(marks)
    seen[total] = min(seen.get(total, at), at)
    return tuple(sorted(seen.items()))


def with_failure(case: Case, event: InvoiceReported | AttemptReported) -> Case:
    """Remember the first failure; the last time the customer was asked to authenticate."""
    if isinstance(event, InvoiceReported):
        failed = event.news in _FAILURES
        asked = event.news is InvoiceNews.ACTION_REQUIRED
        at = event.at
    else:
        failed = event.attempt.status in _FAILED
        asked = event.attempt.status is AttemptStatus.ACTION_NEEDED
        at = event.attempt.at
    if not failed:
        return case
    if isinstance(event, AttemptReported) and event.attempt.method_type in DEBITS:
        return replace(case, debit_begun_at=earliest(case.debit_begun_at, at))
    return replace(
        case,
        refused_at=earliest(case.refused_at, at),
        action_at=latest(case.action_at, at if asked else None),
    )


def with_adoption(case: Case, event: Adopted) -> Case:
    """Remember that the case was taken over: once, whoever did it first."""
    first = event if case.adopted is None else min(case.adopted, event, key=_order)
    return replace(case, adopted=first, refused_at=earliest(case.refused_at, event.failed_at))


def with_attempt(case: Case, event: AttemptReported) -> Case:
    """Take one report of a charge try."""
    attempt = event.attempt
    told = with_words(case, event.at, event.id, customer=event.customer)
    return replace(
        told,
        attempts=put_merged(case.attempts, attempt, merge_attempt),
    )


def with_dispute(case: Case, event: DisputeReported) -> Case:
    """Take news of a dispute. Each status is kept: that it was open once says money was taken."""
    told = {(dispute.dispute, dispute.status): dispute for dispute in case.disputes}
    name = (event.dispute, event.status)
    # The money came back when it was first said to be won; other words are as of the last time.
    choose = min if event.status is DisputeStatus.WON else max
    told[name] = choose(told.get(name, event), event, key=_order)
    return replace(case, disputes=tuple(told[name] for name in sorted(told)))


def last_words(disputes: tuple[DisputeReported, ...]) -> tuple[DisputeReported, ...]:
    """How each dispute stands now."""
    if not disputes:
        return ()
    last = {told.dispute: told for told in sorted(disputes, key=_order)}
    return tuple(last[name] for name in sorted(last))


def with_customer(case: Case, event: CustomerReported) -> Case:
    """Take what the provider knows of the customer."""
    told = with_words(
        case,
        event.at,
        event.id,
        customer=event.customer,
        email=event.email,
        name=event.name,
        locale=event.locale,
        country=event.country,
        timezone=event.timezone,
        **words_of_customer(event),
    )
    deleted = earliest(case.customer_deleted_at, event.at if event.deleted else None)
    since = earliest(case.customer_since, event.since)
    return replace(told, customer_deleted_at=deleted, customer_since=since)


def with_subscription(case: Case, event: SubscriptionReported) -> Case:
    """Take what the provider knows of a subscription; it ends once, at the earliest end."""
    case = with_words(case, event.at, event.id, **words_of_subscription(event))
    case = replace(case, customer_since=earliest(case.customer_since, event.started_at))
    case = with_monthly(case, monthly_of(event))
    if event.ended_at is None:
        return case
    heard = End(
        subscription=event.subscription,
        at=event.ended_at,
        reason=event.end_reason,
        by_us=event.ended_by_us,
    )
    ends = {end.subscription: end for end in case.ends}
    known = ends.get(event.subscription, heard)
    first = min(known, heard, key=lambda end: (end.at, end.reason or ""))
    ends[event.subscription] = replace(first, by_us=known.by_us or heard.by_us)
    return replace(case, ends=tuple(ends[name] for name in sorted(ends)))
