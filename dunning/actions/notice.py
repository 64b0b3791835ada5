"""What a message of a notice says, and what speaks against it by the freshest view."""

from __future__ import annotations

from collections.abc import Sequence

from dunning.actions.looking import Seen
from dunning.core.ahead import Outlook
from dunning.core.case import advance
from dunning.core.events import (
    BillingEvent,
    CustomerReported,
    MethodChanged,
    RenewalUpcoming,
    StepResult,
    SubscriptionReported,
)
from dunning.core.facts import Case
from dunning.core.local import local_of
from dunning.core.money import Money
from dunning.core.outlook import Billed, Card, Person, news
from dunning.core.plan import plan
from dunning.core.ports import Doing, Ended, Provider, PutOff
from dunning.core.status import status
from dunning.messages import Facts

_TERMS = {"quarter": "3 months", "half_year": "6 months"}
_UNITS = ("week", "month", "year")


def look_ahead(provider: Provider, doing: Doing) -> Seen:
    """Ask the provider afresh what lies ahead of the customer, and fold it into a copy."""
    case = doing.case
    told = case.notice
    assert told is not None
    events: Sequence[BillingEvent] = provider.ahead(told.customer, told.subscription)
    for event in events:
        case = advance(case, event)
    person = _person(case, events)
    # What else lies ahead of them is told by cases of its own.
    fresh = [
        one for one in news(person, {told.invoice: told}, doing.now) if one.invoice == told.invoice
    ]
    for one in fresh:
        case = advance(case, one)
    return Seen(case=case, status=status(case), events=(*events, *fresh))


def _person(case: Case, events: Sequence[BillingEvent]) -> Person:
    """The customer as these events show them: they are the whole that the provider knows."""
    assert case.notice is not None
    upcoming = {
        event.subscription: (ends, event.amount, event.currency)
        for event in events
        if isinstance(event, RenewalUpcoming) and (ends := event.period_end or event.due_at)
    }
    people = [event for event in events if isinstance(event, CustomerReported)]
    return Person(
        id=case.notice.customer,
        timezone=case.word("timezone"),
        country=case.word("country"),
        default=next((event.default_method for event in people), None),
        deleted=any(event.deleted for event in people),
        cards=tuple(_card(event) for event in events if isinstance(event, MethodChanged)),
        billed=tuple(
            Billed(
                id=event.subscription,
                status=event.status,
                outlook=event.outlook or Outlook(),
                ended=event.ended_at is not None,
                upcoming=upcoming.get(event.subscription),
            )
            for event in events
            if isinstance(event, SubscriptionReported)
        ),
    )


def _card(event: MethodChanged) -> Card:
    return Card(
        id=event.method or "",
        type=event.method_type,
        network=event.network,
        last4=event.last4,
        exp_month=event.exp_month,
        exp_year=event.exp_year,
    )


def stopped(doing: Doing, seen: Seen) -> Ended | PutOff | None:
    """What the fresh view says against telling it, if anything."""
    if not seen.status.state.is_open:
        why = f"not sent: {seen.status.reason}"
        return Ended(result=StepResult.SKIPPED, why=why, events=seen.events)
    ahead = plan(seen.case, doing.policy, doing.now)
    step = next((one for one in ahead.steps if one.key == doing.step.key), None)
    if step is None:
        why = "not sent: what it tells of was moved to another date"
        return Ended(result=StepResult.SKIPPED, why=why, events=seen.events)
    if step.skip is not None:
        return Ended(result=StepResult.SKIPPED, why=step.skip, events=seen.events)
    if step.due_at > doing.now:
        why = "what it tells of was moved"
        return PutOff(until=step.due_at, why=why, events=seen.events)
    return None


def facts(doing: Doing, seen: Seen, template: str) -> Facts:
    """What the message may say; who writes, and the links, are added where they are known."""
    case, told = seen.case, seen.case.notice
    assert told is not None
    ahead = told.ahead
    zone = local_of(case, doing.policy).zone
    amount = None if ahead.amount is None else Money(ahead.amount, ahead.currency)
    expiry = None
    if ahead.exp_month and ahead.exp_year:
        expiry = f"{ahead.exp_month:02}/{ahead.exp_year}"
    return Facts(
        template=template,
        company="",
        # Every message has these two; those of notices say `renewal_amount`, where it is known.
        amount=amount or Money(0, ahead.currency or "usd"),
        failed_on=doing.now.astimezone(zone).date(),
        renews_on=ahead.renews_at.astimezone(zone).date(),
        renewal_amount=amount,
        term=_term(ahead.term),
        customer_name=case.word("name"),
        locale=case.word("locale") or "en",
        card_last4=ahead.last4,
        card_brand=ahead.network,
        card_expiry=expiry,
    )


def _term(term: str | None) -> str | None:
    """`year`, `3 months`: what messages have a word for."""
    plain = _TERMS.get(term or "", term)
    unit = (plain or "").rpartition(" ")[2].removesuffix("s")
    return plain if unit in _UNITS else None
