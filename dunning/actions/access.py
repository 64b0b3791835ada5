"""What a case does to the customer's service and to the debt, and what it only says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from dunning.actions.looking import look, news_of
from dunning.core.entries import Cause
from dunning.core.events import (
    Bill,
    InvoiceReported,
    InvoiceStatus,
    OnCancel,
    Standing,
    StepResult,
)
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.permission import why_no_access
from dunning.core.policy import Collection, Invoice, Rung, Subscription
from dunning.core.ports import Doing, Ended, Provider, PutOff, Subscribed

# Whether another case still keeps this subscription suspended.
HeldByOthers = Callable[[Case, str], bool]


class Restrict:
    """The `restrict` step: the merchant's product is told; nothing changes at the provider."""

    def act(self, doing: Doing) -> Ended:
        """End at once; the change of access is announced with it."""
        del doing
        return Ended(result=StepResult.DONE, why="restricted")


class Suspend:
    """The `suspend` step."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def act(self, doing: Doing) -> Ended | PutOff:
        """Pause collection as the policy says, if the debt and the service still stand."""
        provider = self._providers[doing.case.source]
        looked = look(provider, doing)
        if not looked.status.state.is_open:
            return Ended(result=StepResult.NOT_OWED, why="paid meanwhile", events=looked.events)
        if standing := freeze(looked.case, doing.now):
            until = standing.until or doing.now
            return PutOff(until=until, why=standing.why, events=looked.events)
        if why := why_no_access(looked.case):
            return Ended(result=StepResult.SKIPPED, why=why, events=looked.events)
        rung = doing.step.rung
        collection = rung.collection if rung else Collection.KEEP_AS_DRAFT
        if collection is not Collection.GO_ON:
            _pause(provider, looked.case, collection, doing.step.key)
        return Ended(result=StepResult.DONE, why="suspended", events=looked.events)


class Restore:
    """The `restore` step."""

    def __init__(self, providers: Mapping[str, Provider], held: HeldByOthers) -> None:
        self._providers = providers
        self._held = held

    def act(self, doing: Doing) -> Ended:
        """Let collection go on, but for what another unpaid invoice still keeps off."""
        case, key = doing.case, doing.step.key
        provider = self._providers[case.source]
        paused = _paused_for(provider, case)
        held = [name for name in paused if self._held(case, name)]
        for name in paused:
            if name not in held:
                provider.restore(name, key=_key(case, name, key))
        if held:
            why = "this case lets go; another one still suspends " + (
                "the subscription" if held == paused else ", ".join(held)
            )
            return Ended(result=StepResult.DONE, why=why)
        return Ended(result=StepResult.DONE, why="restored")


def _pause(provider: Provider, case: Case, collection: Collection, key: str) -> None:
    """Pause the subscription; where access is the customer's, all that they have.

    What others paused for reasons of their own is left as it is, and not restored later.
    """
    for one in _in_reach(provider, case):
        if not one.paused or one.paused_under:
            name = one.id
            provider.suspend(name, collection=collection.value, key=_key(case, name, key))


def _paused_for(provider: Provider, case: Case) -> list[str]:
    """What was paused by us and is in this case's reach; or by others, for this debt."""
    standing = case.adopted.standing if case.adopted else Standing.NORMAL
    before = standing is Standing.SUSPENDED
    return [
        one.id
        for one in _in_reach(provider, case)
        if one.paused_under or (before and one.paused and one.id == case.subscription)
    ]


def _in_reach(provider: Provider, case: Case) -> list[Subscribed]:
    """The subscriptions whose access this case may take."""
    if case.customer is None:
        return []
    theirs = provider.subscriptions(case.customer)
    return [one for one in theirs if case.terms.wide or one.id == case.subscription]


def _key(case: Case, subscription: str, key: str) -> str:
    return key if subscription == case.subscription else f"{key}:{subscription}"


class GiveUp:
    """The `give_up` step: the window closed."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def act(self, doing: Doing) -> Ended | PutOff:
        """End subscription and invoice as the policy says; a last look may still save them."""
        provider, key = self._providers[doing.case.source], doing.step.key
        looked = look(provider, doing)
        # An earlier try of this step may have closed the invoice itself: then it goes on.
        ended_by_us = doing.again and looked.view.bill.status in _CLOSED
        if not looked.status.state.is_open and not ended_by_us:
            return Ended(result=StepResult.NOT_OWED, why="no longer owed", events=looked.events)
        if standing := freeze(looked.case, doing.now):
            until = standing.until or doing.now
            return PutOff(until=until, why=standing.why, events=looked.events)
        rung = doing.step.rung or Rung(do=doing.step.kind)
        bill = looked.view.bill
        if rung.invoice is Invoice.VOID:
            bill = provider.void(doing.case.invoice, key=f"{key}:void")
        elif rung.invoice is Invoice.UNCOLLECTIBLE:
            bill = provider.write_off(doing.case.invoice, key=f"{key}:write_off")
        if bill.status is InvoiceStatus.PAID:
            events = (*looked.events, _report(doing, bill))
            return Ended(result=StepResult.NOT_OWED, why="paid at the last moment", events=events)
        off = _end_subscription(provider, looked.case, rung.subscription, key)
        why = "the window closed"
        return Ended(result=StepResult.DONE, why=why, events=looked.events, off=off)


def _end_subscription(provider: Provider, case: Case, end: Subscription, key: str) -> bool:
    """Do to the subscription what giving up does; whether the service is off by that."""
    if case.subscription is None or case.end is not None:
        return False
    if end is Subscription.CANCEL:
        why = "unpaid invoice, recovery window closed"
        provider.cancel(case.subscription, why=why, key=f"{key}:cancel")
    if end in _AFTER_GIVING_UP:
        _pause(provider, case, _AFTER_GIVING_UP[end], f"{key}:pause")
    return end in _AFTER_GIVING_UP


class Void:
    """The `void` step: the customer has cancelled, and the policy lets the debt go."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def act(self, doing: Doing) -> Ended | PutOff:
        """Void the invoice, unless it was paid after all, or is being paid."""
        provider = self._providers[doing.case.source]
        looked = look(provider, doing)
        bill, case = looked.view.bill, looked.case
        if looked.status.reason != Cause.CANCELLED:
            why = f"not voided: the invoice is {bill.status.value}, and it is owed"
            return Ended(result=StepResult.NOT_OWED, why=why, events=looked.events)
        if standing := freeze(case, doing.now):
            until = standing.until or doing.now + FROZEN_WAIT
            return PutOff(until=until, why=standing.why, events=looked.events)
        if bill.paid and case.terms.on_cancel is OnCancel.VOID_IF_WHOLLY_UNPAID:
            why = "not voided: a part was paid since the customer cancelled"
            return Ended(result=StepResult.SKIPPED, why=why, events=looked.events)
        bill = provider.void(doing.case.invoice, key=doing.step.key)
        events = (*looked.events, _report(doing, bill))
        if bill.status is InvoiceStatus.PAID:
            return Ended(result=StepResult.NOT_OWED, why="paid at the last moment", events=events)
        return Ended(result=StepResult.DONE, why="voided", events=events)


class Announce:
    """The `announce` step: the merchant's product is told; nothing changes anywhere else."""

    def act(self, doing: Doing) -> Ended:
        """End at once; the call is written with it."""
        name = doing.step.rung.name if doing.step.rung else None
        why = f"told the product: {name}"
        return Ended(result=StepResult.DONE, why=why, announce="case.announced")


class Signal:
    """The `signal` step: we say when, the billing system charges (`retries: signal`)."""

    def act(self, doing: Doing) -> Ended:
        """Tell the merchant's application that a retry is due."""
        del doing
        why = "told the billing system that a retry is due"
        return Ended(result=StepResult.DONE, why=why, announce="retry.due")


FROZEN_WAIT = timedelta(hours=6)
_CLOSED = (InvoiceStatus.VOID, InvoiceStatus.UNCOLLECTIBLE)
# What becomes of the later invoices of a subscription that is paused, or left unpaid, in the end.
_AFTER_GIVING_UP = {
    Subscription.PAUSE: Collection.VOID,
    Subscription.UNPAID: Collection.KEEP_AS_DRAFT,
}


def _report(doing: Doing, bill: Bill) -> InvoiceReported:
    return InvoiceReported(
        id=f"{doing.step.key}/outcome", at=doing.now, news=news_of(bill.status), bill=bill
    )
