"""Keep the letters to one domain, and all together, within what was set, with all other workers.

The board and its arithmetic are those of the calls to a provider (`pace`, `core.turns`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dunning.core.mail_rates import BOARD, GRID, MailRates
from dunning.core.turns import SECOND, Limits
from dunning.errors import ProviderBusyError
from dunning.pace import Pacer

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Short: the invoice was read just before, and ought not to be paid meanwhile.
PATIENCE = SECOND
# Nobody counts letters by the millisecond: a turn that a busy machine slept over is still good.
LATE = 5 * SECOND


class Turns:
    """Says whether one more letter may go to a domain just now."""

    def __init__(self, engine: Engine, rates: MailRates) -> None:
        self._rates = rates
        none = Limits(account=GRID.rate, endpoint=GRID.rate)
        self._pacer = Pacer(engine, BOARD, none, patience=PATIENCE, late=LATE)

    def why_not(self, domain: str) -> str | None:
        """None when it may, as soon as this returns; else why not."""
        lanes = self._rates.lanes(domain)
        if not lanes:
            return None
        name = lanes[-1].name
        try:
            self._pacer.turn_in(name, lanes)
        except ProviderBusyError:
            return f"as many emails go to {name} as DUNNING_MAIL_RATE allows"
        return None
