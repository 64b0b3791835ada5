"""What the buttons do: lead on to the provider, promise a day. The token is all they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import structlog

from dunning import unsubscribed
from dunning.acts import ByHand, Person
from dunning.case_rows import locked
from dunning.core.events import BillingEvent, ButtonPressed, PageOpened
from dunning.core.facts import Case
from dunning.core.promising import CUSTOMER
from dunning.core.visits import CARD
from dunning.errors import ProviderError, RefusedError
from dunning.store import transaction
from dunning.web.page.reading import Invoice, Seen

if TYPE_CHECKING:
    from dunning.wiring import Program

log = structlog.get_logger(__name__)

# More clicks than these say nothing new of a case.
MOST_PRESSES = 200


@dataclass(frozen=True, slots=True)
class LedOn:
    """Where the customer goes next; None: there is no such page right now."""

    url: str | None


def opened(program: Program, case: Case, now: datetime) -> None:
    """Put on record that the page was fetched, once."""
    if case.page_opened_at is None:
        _record(program, case, PageOpened(id=f"{case.id}/page", at=now, invoice=case.invoice), now)


def lead_on(
    program: Program, case: Case, button: str, now: datetime, return_url: str | None
) -> LedOn:
    """Record the click; then a fresh page of the provider to pay or to give a card on."""
    if len(case.presses) < MOST_PRESSES:
        hour = int(now.timestamp()) // 3600
        name = f"{case.id}/press:{button}:{hour}"
        pressed = ButtonPressed(id=name, at=now, invoice=case.invoice, button=button)
        if all(press.id != name for press in case.presses):
            _record(program, case, pressed, now)
    return LedOn(_fresh(program, case, button, return_url))


def _fresh(program: Program, case: Case, button: str, return_url: str | None) -> str | None:
    provider = program.providers.get(case.source)
    if provider is None:
        return None
    try:
        # A notice tells of no invoice; there is a card to be given all the same.
        invoice = case.invoice if case.notice is None else None
        fresh = provider.links(invoice, case.customer, return_url=return_url)
    except ProviderError as error:
        log.warning("page.unavailable", case=case.id, why=str(error))
        return None
    # Whoever cannot be shown where to give a card can pay with a new one.
    return _allowed(program, case, (fresh.update_card if button == CARD else None) or fresh.pay)


def _allowed(program: Program, case: Case, target: str | None) -> str | None:
    if target is not None and not program.sources[case.source].pages.allow(target):
        why = "not a page of the provider; see DUNNING_PAGE_HOSTS"
        log.warning("link.refused", source=case.source, case=case.id, why=why)
        return None
    return target


def portal(program: Program, case: Case, return_url: str | None) -> str | None:
    """A fresh page of the provider on which the subscription can be seen and ended."""
    provider = program.providers.get(case.source)
    if provider is None or case.customer is None:
        return None
    try:
        return _allowed(program, case, provider.portal(case.customer, return_url=return_url))
    except ProviderError as error:
        log.warning("page.unavailable", case=case.id, why=str(error))
        return None


def stop(program: Program, case: Case, now: datetime) -> None:
    """The customer wants no more notices of what lies ahead."""
    with transaction(program.engine) as session:
        unsubscribed.stop(session, case, now)


def _record(program: Program, case: Case, event: BillingEvent, now: datetime) -> None:
    with transaction(program.engine) as session:
        row = locked(session, case.id)
        program.cases.apply_by_hand(session, row, [event], now)


def promise(program: Program, seen: Seen, until: date, now: datetime) -> bool:
    """The customer pays all of it by the end of that day; False: it is not granted."""
    granted = seen.promise_until
    if granted is None or not granted[0] <= until <= granted[1]:
        return False
    hands = ByHand(program.engine, program.cases)
    said = Person(by=CUSTOMER, why="said so on the payment page", now=now)
    kept = [_promised(hands, one, said, until) for one in seen.invoices if one.pursued]
    return any(kept)


def _promised(hands: ByHand, invoice: Invoice, said: Person, until: date) -> bool:
    try:
        hands.promise(invoice.case.id, said, until=until, alone=True)
    except RefusedError as error:
        # Paid meanwhile, or promised in another window: what is there stands.
        log.info("page.no_promise", case=invoice.case.id, why=str(error))
        return False
    return True


def chosen(invoices: Sequence[Invoice], name: str) -> Invoice | None:
    """The invoice of that name, if it is still owed."""
    return next((one for one in invoices if one.name == name), None)
