"""The newest payment of each case that holds, with how it came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlmodel import col

from dunning.reports.flows import standing
from dunning.reports.origins import payment_keys
from dunning.reports.periods import span, zone_named
from dunning.reports.scope import Scope
from dunning.store import EntryRow


def last_payments(keys: Sequence[str], came_in: ColumnElement[bool], scope: Scope) -> Select[Any]:
    """One row for each case with a payment: the case, and these keys of its newest one."""
    newest = func.row_number().over(
        partition_by=col(EntryRow.case_id),
        order_by=(col(EntryRow.occurred_at).desc(), col(EntryRow.id).desc()),
    )
    told: list[Any] = [payment_keys[key].label(key) for key in keys]
    query: Select[Any] = select(col(EntryRow.case_id).label("case_id"), newest.label("turn"), *told)
    query = query.where(came_in, *standing())
    starts, _ = span(scope.since, scope.until, zone_named(scope.zone))
    if starts is not None:
        # No case is paid before it fails, so older months need not be opened.
        query = query.where(col(EntryRow.occurred_at) >= starts)
    each = query.subquery()
    return select(each.c.case_id, *(each.c[key] for key in keys)).where(each.c.turn == 1)
