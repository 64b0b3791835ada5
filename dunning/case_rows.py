"""The rows of cases: locked, read back as facts, summed up for programs."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from dunning.clock import rfc3339
from dunning.core.facts import Case
from dunning.documents import parse_facts
from dunning.errors import NotFoundError
from dunning.store import CaseRow, among, guard, table_of


def read_facts(row: CaseRow) -> Case:
    """The facts of a stored case."""
    return parse_facts(row.facts)


COLUMNS = tuple(column.name for column in table_of(CaseRow).c)


def guard_cases(session: Session, ids: Collection[str], besides: Collection[str]) -> None:
    """Guard what is named, and of each case its invoice, customer and scope.

    What the product hears of access hangs on the other cases of the scope.
    """
    if session.get_bind().dialect.name == "postgresql":
        about = (col(CaseRow.invoice), col(CaseRow.customer), col(CaseRow.scope))
        known = select(col(CaseRow.source), *about).where(among(session, col(CaseRow.id), ids))
        names = {
            f"{source}/{one}" for source, *told in session.execute(known) for one in told if one
        }
        guard(session, {*besides, *names})


def locked(session: Session, name: str, besides: Collection[str] = ()) -> CaseRow:
    """The row of a case, locked until the transaction ends; `NotFoundError` if there is none."""
    guard_cases(session, [name], besides)
    row = session.scalars(_LOCKED, {"name": name}).one_or_none()
    if row is None:
        message = f"no case {name}; `dunning cases list` shows the ones there are"
        raise NotFoundError(message)
    return row


_LOCKED = select(CaseRow).where(col(CaseRow.id) == bindparam("name")).with_for_update()


def summary(row: CaseRow) -> dict[str, object]:
    """One case for programs: amounts in minor units, times in RFC 3339 UTC."""
    names = (
        "id source provider invoice customer subscription state access amount_due "
        "amount_at_risk currency decline_code advice policy policy_version holdout_of "
        "holdout_group"
    ).split()
    told: dict[str, object] = {name: getattr(row, name) for name in names}
    told["opened_at"] = rfc3339(row.opened_at)
    told["next_at"] = rfc3339(row.next_at)
    told["next_step"] = row.next_step
    told["closed_at"] = rfc3339(row.closed_at)
    told["closed_reason"] = row.closed_reason
    told["standing"] = row.standing
    told["standing_until"] = rfc3339(row.standing_until)
    told["kind"] = row.kind
    return told
