"""Ask the provider what an event did not carry; take the retries over if they are ours."""

from __future__ import annotations

from collections.abc import Mapping

from dunning.actions.looking import look_with_methods, news_of
from dunning.actions.notice import look_ahead
from dunning.core.events import InvoiceReported, StepResult
from dunning.core.policy import Retries
from dunning.core.ports import Doing, Ended, Provider


class Reconcile:
    """The `reconcile` step."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def act(self, doing: Doing) -> Ended:
        """Look; where the policy says `ours`, stop the provider's own retries before ours begin."""
        provider = self._providers[doing.case.source]
        if doing.case.notice is not None:
            return _of_notice(provider, doing)
        looked = look_with_methods(provider, doing)
        bill = looked.view.bill
        # A bill to be paid by hand advances as well: by reminders of the provider's, not charges.
        theirs = bill.automatic and (bill.next_attempt_at is not None or bill.auto_advance is True)
        ours = doing.policy.retries in (Retries.OURS, Retries.SIGNAL)
        events, why = looked.events, "asked the provider"
        if theirs and ours and looked.status.state.is_open:
            bill = provider.take_over(bill.invoice, key=f"{doing.step.key}:take_over")
            report = InvoiceReported(
                id=f"{doing.step.key}/take_over",
                at=doing.now,
                news=news_of(bill.status),
                bill=bill,
            )
            events = (*events, report)
            taken = bill.next_attempt_at is None and bill.auto_advance is not True
            why += " and took its retries over" if taken else ", which keeps its own retries"
        return Ended(result=StepResult.DONE, why=why, events=events)


def _of_notice(provider: Provider, doing: Doing) -> Ended:
    """The moment has come: how it went is the last that this case is told."""
    seen = look_ahead(provider, doing)
    return Ended(result=StepResult.DONE, why="asked the provider how it went", events=seen.events)
