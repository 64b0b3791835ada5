"""How many emails a second may leave: all together, and to single domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dunning.core.turns import ACCOUNT, Lane

# A board of turns is named like a source; no source has a colon in its name.
BOARD = "mail:"
ALL = "all domains"
# Turns lie on a grid of so many a second; the rates themselves are lanes, which may be slow.
GRID = Lane(name=ACCOUNT, rate=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRates:
    """Emails a second; None and nothing mean that there is no limit."""

    whole: float | None = None
    domains: Mapping[str, float] = field(default_factory=dict)

    def lanes(self, domain: str) -> tuple[Lane, ...]:
        """What a letter to this domain counts against; none: it may go at any time."""
        own = self.domains.get(domain)
        lanes = []
        if self.whole is not None:
            lanes.append(Lane(name=ALL, rate=self.whole))
        if own is not None:
            lanes.append(Lane(name=domain, rate=own))
        return (GRID, *lanes) if lanes else ()
