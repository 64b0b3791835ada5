"""Just before acting, look again: the provider's view, and what it makes of the case."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dunning.core.case import advance
from dunning.core.events import BillingEvent, InvoiceNews, InvoiceStatus
from dunning.core.facts import Case
from dunning.core.ports import Doing, Provider, View
from dunning.core.status import Status, status

_NEWS = {
    InvoiceStatus.PAID: InvoiceNews.PAID,
    InvoiceStatus.VOID: InvoiceNews.VOIDED,
    InvoiceStatus.UNCOLLECTIBLE: InvoiceNews.UNCOLLECTIBLE,
    InvoiceStatus.OPEN: InvoiceNews.UPDATED,
    InvoiceStatus.DRAFT: InvoiceNews.UPDATED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The case as it is once what the provider just said is taken in."""

    case: Case
    status: Status
    events: tuple[BillingEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked(Seen):
    """The same of an invoice, with what was said of it."""

    view: View


def look(provider: Provider, doing: Doing) -> Looked:
    """Ask the provider, and fold its answer into a copy of the case."""
    view = provider.look(doing.case.invoice)
    return fold(doing.case, view)


def look_with_methods(provider: Provider, doing: Doing) -> Looked:
    """The same, and what else the customer has saved, where the policy may charge that."""
    looked = look(provider, doing)
    customer = looked.case.customer
    if not doing.policy.backup_methods or customer is None or not looked.status.state.is_open:
        return looked
    case = looked.case
    saved = provider.methods(customer)
    for event in saved:
        case = advance(case, event)
    return replace(looked, case=case, events=(*looked.events, *saved))


def fold(case: Case, view: View) -> Looked:
    """What the view makes of the case; the events are handed on to be remembered."""
    for event in view.events:
        case = advance(case, event)
    return Looked(view=view, case=case, status=status(case), events=view.events)


def news_of(status_: InvoiceStatus) -> InvoiceNews:
    """What an invoice in this status is news of."""
    return _NEWS[status_]
