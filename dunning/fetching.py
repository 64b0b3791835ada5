"""What a desk reads: statements that are built once, each for any number of names.

To build a statement anew costs several times what it takes to run it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, cast, null, select, union, union_all
from sqlmodel import Session, SQLModel

from dunning.core.status import State
from dunning.store import (
    CaseRow,
    EntryRow,
    RecurringRow,
    ScheduleRow,
    StepRow,
    fetch,
    is_postgres,
    listed,
    one_of,
    table_of,
)

Found = list[dict[str, Any]]

BOOKS = (EntryRow, RecurringRow)
# Ended, and what was owed may still come in.
UNPAID = (State.LOST.value, State.CLOSED.value)


def cases(session: Session, ids: Collection[str]) -> Found:
    """The cases, locked in one order by all."""
    return _locked(session, CaseRow, "id", ids)


def schedule(session: Session, ids: Collection[str]) -> Found:
    """Their rows of the schedule, locked: whoever waits for one has its case locked before."""
    return _locked(session, ScheduleRow, "case_id", ids)


def _locked(session: Session, model: type[SQLModel], key: str, ids: Collection[str]) -> Found:
    query = _locking(table_of(model), key, postgres=is_postgres(session))
    return fetch(session, query, {"ids": listed(session, sorted(ids))})


@cache
def _locking(table: Table, key: str, *, postgres: bool) -> Any:
    its = table.c[key]
    found = select(table).where(one_of(its, "ids", postgres=postgres))
    return found.order_by(its).with_for_update()


def cases_about(
    session: Session,
    source: str,
    customers: Iterable[str],
    scopes: Iterable[str],
    since: datetime,
    *,
    unpaid: bool,
) -> list[str]:
    """The ids of these customers' and scopes' cases that had not ended before that moment.

    With `unpaid` also those that had, and may still be paid late.
    """
    query = _about(unpaid=unpaid, postgres=is_postgres(session))
    about = {"customers": listed(session, customers), "scopes": listed(session, scopes)}
    return list(session.scalars(query, {"source": source, "since": since, **about}))


@cache
def _about(*, unpaid: bool, postgres: bool) -> Any:
    table = table_of(CaseRow)
    open_then = table.c.closed_at.is_(None) | (table.c.closed_at >= bindparam("since"))
    if unpaid:
        open_then |= table.c.state.in_(UNPAID)
    # Two looks at two indexes: for one condition with OR, SQLite would walk the table.
    looks = [
        select(table.c.id).where(
            table.c.source == bindparam("source"),
            one_of(column, names, postgres=postgres),
            open_then,
        )
        for column, names in ((table.c.customer, "customers"), (table.c.scope, "scopes"))
    ]
    return union(*looks)


def entries(session: Session, ids: Collection[str], names: tuple[str, ...]) -> Found:
    """Their entries of money and of recurring revenue, in one journey."""
    query = _entries(names, postgres=is_postgres(session))
    return fetch(session, query, {"ids": listed(session, ids)})


@cache
def _entries(names: tuple[str, ...], *, postgres: bool) -> Any:
    lines = [
        select(*_columns(table, names)).where(one_of(table.c.case_id, "ids", postgres=postgres))
        for table in (table_of(model) for model in BOOKS)
    ]
    return union_all(*lines).order_by("case_id", "place")


def _columns(table: Table, names: Iterable[str]) -> Iterator[ColumnElement[Any]]:
    """What a line has, and nothing in the place of what this table does not keep of it."""
    kinds = {column.name: column.type for model in BOOKS for column in table_of(model).c}
    for name in names:
        yield table.c.get(name, cast(null(), kinds[name]).label(name))


def steps(session: Session, ids: Collection[str]) -> Found:
    """The steps of each case that were begun and have not ended."""
    query = _steps(postgres=is_postgres(session))
    return fetch(session, query, {"ids": listed(session, ids)})


@cache
def _steps(*, postgres: bool) -> Any:
    table = table_of(StepRow)
    mine = one_of(table.c.case_id, "ids", postgres=postgres)
    return select(table).where(mine, table.c.state != "ended").order_by(table.c.key)


def named(
    session: Session,
    model: type[SQLModel],
    about: str,
    source: str,
    ids: Iterable[str],
    names: tuple[str, ...] = (),
) -> Found:
    """Rows of one source by what they are named under; all their columns, or those of `names`."""
    query = _named(table_of(model), about, names, postgres=is_postgres(session))
    return fetch(session, query, {"source": source, "ids": listed(session, ids)})


@cache
def _named(table: Table, about: str, names: tuple[str, ...], *, postgres: bool) -> Any:
    wanted = [table.c[name] for name in ("source", about, *names)] if names else [table]
    mine = one_of(table.c[about], "ids", postgres=postgres)
    return select(*wanted).where(table.c.source == bindparam("source"), mine)
