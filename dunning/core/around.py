"""What the plan of a case needs to know beside the case, looked up only where a policy asks."""

from __future__ import annotations

from dataclasses import dataclass

from dunning.core.money import Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """None is what nobody looked up; `begun` are the keys of steps whose ending nobody knows."""

    open_invoices: int | None = None
    revenue: Money | None = None
    begun: frozenset[str] = frozenset()


ALONE = Around()
