"""Fixed values: what customers and people do, and how our own steps end; see `tests.builders`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from dunning.core.events import (
    Adopted,
    ButtonPressed,
    ClosedByHand,
    CustomerReported,
    Exempted,
    ExemptionLifted,
    Held,
    MethodChanged,
    MethodNews,
    PageOpened,
    PolicyChanged,
    Promised,
    RenewalUpcoming,
    Resumed,
    RetryAsked,
    Standing,
    StepAdvanced,
    StepDeferred,
    StepEnded,
    StepKind,
    StepResult,
    SubscriptionReported,
)
from dunning.core.visits import PAY
from tests.builders import (
    AMOUNT,
    CUSTOMER,
    INVOICE,
    NEW_CARD,
    SUBSCRIPTION,
    T0,
    USD,
    empty,
    event_id,
)

# --- the customer ------------------------------------------------------------------------------


def method(news: MethodNews, at: datetime = T0, name: str | None = NEW_CARD) -> MethodChanged:
    """A way to pay came, changed or went."""
    return MethodChanged(
        id=event_id(f"method_{news.value}", at), at=at, customer=CUSTOMER, news=news, method=name
    )


def new_card(at: datetime = T0, name: str = NEW_CARD) -> MethodChanged:
    """The customer gave a new card."""
    return method(MethodNews.NEW, at, name)


def customer(at: datetime = T0, **other: Any) -> CustomerReported:
    """The customer as the provider knows them."""
    return CustomerReported(id=event_id("customer", at), at=at, customer=CUSTOMER, **other)


def subscription(
    at: datetime = T0, *, status: str = "active", name: str = SUBSCRIPTION, **other: Any
) -> SubscriptionReported:
    """The subscription as the provider knows it; see `ended` for one that is over."""
    return SubscriptionReported(
        id=event_id(f"{name}_{status}", at),
        at=at,
        subscription=name,
        customer=CUSTOMER,
        status=status,
        **other,
    )


def ended(
    at: datetime = T0, *, reason: str | None = "cancellation_requested", by_us: bool = False
) -> SubscriptionReported:
    """The subscription is over; `reason="payment_failed"` when the provider ended it for that."""
    return subscription(at, status="canceled", ended_at=at, end_reason=reason, ended_by_us=by_us)


def renewal(at: datetime = T0) -> RenewalUpcoming:
    """The next renewal is near."""
    return RenewalUpcoming(
        id=event_id("renewal", at),
        at=at,
        customer=CUSTOMER,
        subscription=SUBSCRIPTION,
        amount=AMOUNT,
        currency=USD,
        due_at=at + timedelta(days=7),
    )


# --- people and our own steps ------------------------------------------------------------------


def held(at: datetime = T0, until: datetime | None = None) -> Held:
    """A person stopped the case."""
    return Held(id=event_id("held", at), at=at, until=until, why="they called", by="ops")


def resumed(at: datetime = T0) -> Resumed:
    """A person let the case go on."""
    return Resumed(id=event_id("resumed", at), at=at, why="talked", by="ops")


def retry_asked(at: datetime = T0, *, forced: bool = False) -> RetryAsked:
    """A person wants a charge now."""
    name = event_id("asked", at)
    return RetryAsked(id=name, at=at, why="they said now", by="ops", forced=forced)


def promised(
    at: datetime = T0, until: datetime | None = None, amount: int | None = None
) -> Promised:
    """The customer named a date: five days later, if none is given."""
    return Promised(
        id=event_id("promised", at),
        at=at,
        until=until or at + timedelta(days=5),
        amount=amount,
        why="they called",
        by="ops",
    )


def exempted(at: datetime = T0, until: datetime | None = None) -> Exempted:
    """A person took the customer out of dunning."""
    name = event_id("exempted", at)
    return Exempted(id=name, at=at, customer=CUSTOMER, until=until, why="a partner", by="ops")


def unexempted(at: datetime = T0) -> ExemptionLifted:
    """A person let dunning go on for the customer."""
    name = event_id("unexempted", at)
    return ExemptionLifted(id=name, at=at, customer=CUSTOMER, why="no partner", by="ops")


def advanced(name: str, at: datetime = T0) -> StepAdvanced:
    """A person wants a step of the timeline now."""
    told = event_id(f"advanced_{name}", at)
    return StepAdvanced(id=told, at=at, step=step_key(name), why="they asked", by="ops")


def closed_by_hand(at: datetime = T0) -> ClosedByHand:
    """A person ended the case."""
    return ClosedByHand(id=event_id("closed", at), at=at, why="goodwill", by="ops")


def page_opened(at: datetime = T0) -> PageOpened:
    """The page behind a link was fetched."""
    return PageOpened(id=event_id("page", at), at=at, invoice=INVOICE)


def pressed(at: datetime = T0, button: str = PAY) -> ButtonPressed:
    """The customer pressed a button of the page."""
    hour = int(at.timestamp()) // 3600
    return ButtonPressed(id=f"{button}:{hour}", at=at, invoice=INVOICE, button=button)


def policy_changed(
    at: datetime = T0, to: str = "2222222222222222", *, number: int = 1, notice: float = 7
) -> PolicyChanged:
    """A person moved the case to another version of its policy."""
    return PolicyChanged(
        id=f"policy:{number}",
        at=at,
        policy="standard",
        version=to,
        former_policy="standard",
        former_version="1111111111111111",
        why="a trial",
        by="ops",
        suspends_from=at + timedelta(days=notice),
        gives_up_from=at + timedelta(days=notice),
    )


def adopted(
    at: datetime = T0,
    *,
    failed_at: datetime | None = None,
    standing: Standing = Standing.NORMAL,
    resumes_at: datetime | None = None,
) -> Adopted:
    """The debt was taken over from whoever pursued it before."""
    return Adopted(
        id="adopt:in_1",
        at=at,
        invoice=INVOICE,
        failed_at=failed_at or at,
        resumes_at=resumes_at or at,
        standing=standing,
    )


def step_key(name: str) -> str:
    """The key of a step of the default case: `step_key("retry:1")`."""
    return f"{empty().id}/{name}"


def step(
    name: str,
    at: datetime = T0,
    result: StepResult = StepResult.DONE,
    *,
    template: str | None = None,
) -> StepEnded:
    """A step of ours ended, such as `retry:1`, `email:2`, `suspend:1` or `retry:card:17…`."""
    kind = StepKind(name.partition(":")[0])
    return StepEnded(id=step_key(name), at=at, kind=kind, result=result, template=template)


def deferred(name: str, at: datetime, until: datetime) -> StepDeferred:
    """A step of ours could not be done and is due again at `until`."""
    return StepDeferred(id=step_key(name), at=at, until=until, why="the provider is away")
