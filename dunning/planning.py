"""What a policy file would change for the cases now open, before it does.

Every case is planned twice by the program's own rules, under the version it has and under the one
it would get. Cases are read in one unmoving view and planned by as many processes as there are
cores; what stays as it is costs next to nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlmodel import Session, col

from dunning.core.around import ALONE
from dunning.core.policy import to_data
from dunning.core.status import State
from dunning.foreseen import Asked, Given, Outcome, Planner, Row, Target, plan_page, start
from dunning.store import CaseRow, PolicyRow, table_of
from dunning.surroundings import Wanted, around

PAGE = 500
# Below so many cases the start of another process costs more than it brings.
FEW = 3_000
SHOWN = 20
# Notices stay with the version they began under: they are over within weeks.
OPEN = tuple(state.value for state in State if state.is_open and state is not State.AHEAD)
BASIS = (
    "as if every charge failed and nobody paid, wrote or called; what a hold of a source or a "
    "card network's limit puts off is not foreseen"
)


Progress = Callable[[int, int], None]


def look(
    session: Session,
    target: Target,
    asked: Asked,
    progress: Progress = lambda _done, _whole: None,
    *,
    processes: int | None = None,
    few: int = FEW,
    page: int = PAGE,
) -> Outcome:
    """Plan every open case of an unmoving view of the database; nothing happens."""
    where = _open(asked)
    whole = session.execute(select(func.count()).where(*where)).scalar_one()
    known = bodies(session)
    found = Outcome()
    planner = Planner(asked, known, target)
    pages = (with_around(session, planner, rows) for rows in _pages(session, where, page))
    count = processes or os.cpu_count() or 1
    if whole <= few or count == 1:
        for rows in pages:
            found.merge(planner.plan(rows))
            progress(found.cases, whole)
    else:
        made = [json.dumps(to_data(version.policy)) for version in target.versions.values()]
        for part in _spread(pages, Given(asked, known, made, target.choices, target.terms), count):
            found.merge(part)
            progress(found.cases, whole)
    found.sooner.sort()
    return found


def _spread(pages: Iterator[Sequence[Row]], given: Given, count: int) -> Iterator[Outcome]:
    """Hand pages out, a few ahead of those who plan them."""
    with ProcessPoolExecutor(
        count, mp_context=get_context("spawn"), initializer=start, initargs=(given,)
    ) as pool:
        under_way: set[Future[Outcome]] = set()
        for rows in pages:
            under_way.add(pool.submit(plan_page, rows))
            if len(under_way) > 3 * count:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        yield from (each.result() for each in under_way)


def _open(asked: Asked) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [col(CaseRow.state).in_(OPEN)]
    if asked.policies is not None:
        where.append(col(CaseRow.policy).in_(asked.policies))
    if asked.source is not None:
        where.append(col(CaseRow.source) == asked.source)
    return where


def bodies(session: Session) -> dict[str, str]:
    """Every policy that a case ever was under, by version; there are few."""
    query = select(col(PolicyRow.version), col(PolicyRow.body))
    return {row.version: row.body for row in session.execute(query)}


def with_around(session: Session, planner: Planner, rows: Sequence[Row]) -> Sequence[Row]:
    """The rows with what their policies ask for; as they are where none asks."""
    if planner.asks_nothing:
        return rows
    wanted = (
        Wanted(row.id, (row.source, row.customer or ""), row.currency, planner.asks(row))
        for row in rows
    )
    found = around(session, wanted)
    return [row._replace(around=found.get(row.id, ALONE)) for row in rows] if found else rows


def _pages(
    session: Session, where: Sequence[ColumnElement[bool]], size: int
) -> Iterator[Sequence[Row]]:
    table = table_of(CaseRow).c  # as plain columns, which are read in less time than fields
    columns = (
        table.id, table.source, table.customer, table.policy, table.policy_version,
        table.currency, table.amount_at_risk, table.state, table.access, table.facts,
    )  # fmt: skip
    query: Select[Any] = select(*columns).where(*where)
    rows = session.execute(query, execution_options={"yield_per": size})
    for page in rows.partitions(size):
        yield [Row(*row) for row in page]
