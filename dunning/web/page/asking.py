"""Asks the provider how an invoice stands, and takes the answer in by the one door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from dunning.core.facts import Case
from dunning.errors import ProviderError
from dunning.store import transaction

if TYPE_CHECKING:
    from dunning.wiring import Program

log = structlog.get_logger(__name__)


def ask(program: Program, case: Case) -> None:
    """Hear of a payment or a new card at once, and not when its webhook comes.

    Where the provider is away the page shows what is known; the webhook will come.
    """
    provider = program.providers.get(case.source)
    if provider is None:
        return
    try:
        view = provider.look(case.invoice)
    except ProviderError as error:
        log.warning("page.not_asked", case=case.id, why=str(error))
        return
    now = program.clock.now()
    with transaction(program.engine) as session:
        program.cases.apply(session, case.source, provider.name, view.events, now)
