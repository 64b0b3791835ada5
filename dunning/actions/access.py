"""Restrict, suspend, restore, give up: what a case does to the customer's service and the debt."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dunning.actions.looking import look, news_of
from dunning.core.events import Bill, InvoiceReported, InvoiceStatus, StepResult
from dunning.core.facts import Case
from dunning.core.freezing import freeze
from dunning.core.policy import Collection, Invoice, Subscription
from dunning.core.ports import Doing, Ended, Provider, PutOff

# Whether another case still keeps this case's scope suspended.
HeldByOthers = Callable[[Case], bool]


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
        """Pause collection of the subscription as the policy says, if the debt still stands."""
        provider = self._providers[doing.case.source]
        looked = look(provider, doing)
        if not looked.status.state.is_open:
            return Ended(result=StepResult.NOT_OWED, why="paid meanwhile", events=looked.events)
        if standing := freeze(looked.case, doing.now):
            until = standing.until or doing.now
            return PutOff(until=until, why=standing.why, events=looked.events)
        rung = doing.step.rung
        collection = rung.collection if rung else Collection.KEEP_AS_DRAFT
        if looked.case.subscription and collection is not Collection.GO_ON:
            provider.suspend(
                looked.case.subscription, collection=collection.value, key=doing.step.key
            )
        return Ended(result=StepResult.DONE, why="suspended", events=looked.events)


class Restore:
    """The `restore` step."""

    def __init__(self, providers: Mapping[str, Provider], held: HeldByOthers) -> None:
        self._providers = providers
        self._held = held

    def act(self, doing: Doing) -> Ended:
        """Let collection go on, unless another unpaid invoice still keeps the service off."""
        case = doing.case
        if self._held(case):
            why = "this case lets go; another one still suspends the subscription"
            return Ended(result=StepResult.DONE, why=why)
        if case.subscription:
            self._providers[case.source].restore(case.subscription, key=doing.step.key)
        return Ended(result=StepResult.DONE, why="restored")


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
        rung = doing.step.rung
        bill = looked.view.bill
        if rung and rung.invoice is Invoice.VOID:
            bill = provider.void(doing.case.invoice, key=f"{key}:void")
        elif rung and rung.invoice is Invoice.UNCOLLECTIBLE:
            bill = provider.write_off(doing.case.invoice, key=f"{key}:write_off")
        if bill.status is InvoiceStatus.PAID:
            events = (*looked.events, _report(doing, bill))
            return Ended(result=StepResult.NOT_OWED, why="paid at the last moment", events=events)
        if rung and rung.subscription is Subscription.CANCEL and looked.case.subscription:
            why = "unpaid invoice, recovery window closed"
            provider.cancel(looked.case.subscription, why=why, key=f"{key}:cancel")
        return Ended(result=StepResult.DONE, why="the window closed", events=looked.events)


_CLOSED = (InvoiceStatus.VOID, InvoiceStatus.UNCOLLECTIBLE)


def _report(doing: Doing, bill: Bill) -> InvoiceReported:
    return InvoiceReported(
        id=f"{doing.step.key}/outcome", at=doing.now, news=news_of(bill.status), bill=bill
    )
