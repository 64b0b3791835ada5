"""Days on which customers are written to: taken with the intent, by one step each.

Who has a day is decided by the key of its row, between any number of workers. Whether it is still
taken follows from the step: one that surely sent nothing left it free, whatever it died of.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_, select, update
from sqlmodel import Session

from dunning.core.daily import MailDay, Taken
from dunning.core.events import StepResult
from dunning.core.facts import Case
from dunning.core.ports import Saying
from dunning.core.words import THANKS
from dunning.store import (
    CaseRow,
    MailDayRow,
    StepRow,
    among,
    is_postgres,
    listed,
    new_rows,
    one_of,
    table_of,
)

_Key = tuple[str, str, str]
_LEFT = (StepResult.DONE.value, StepResult.DOUBTFUL.value)


@dataclass(frozen=True, slots=True)
class Wish:
    """A message about to be begun, and the day it takes."""

    step: str
    day: MailDay
    strength: int  # of the messages of one batch the strongest has the day
    others: tuple[str, ...] = ()  # the customer's other cases


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another case of the customer that may have something to say."""

    id: str
    next_at: datetime | None  # when its next step is


def take(session: Session, wishes: Sequence[Wish], now: datetime) -> dict[str, Taken]:
    """Take these days; for each step that could not have its day, who has it.

    In one order, so that nobody waits in a circle. Rows of the steps' own cases are locked.
    """
    first: dict[_Key, Wish] = {}
    for wish in sorted(wishes, key=lambda one: -one.strength):
        first.setdefault(wish.day.key, wish)
    if not first:
        return {}
    rows = [_row(first[key], now) for key in sorted(first)]
    mine = set(new_rows(session, MailDayRow, rows))
    refused = _settle(session, [first[key] for key in sorted(first.keys() - mine)], now)
    for wish in wishes:
        got = first[wish.day.key]
        if got is not wish:
            refused[wish.step] = refused.get(got.step) or Taken(got.step, None, (), left=False)
    return refused


def _row(wish: Wish, now: datetime) -> dict[str, object]:
    source, customer, day = wish.day.key
    fresh = {"step_key": wish.step, "at": now, "template": None, "cases": None}
    return {"source": source, "customer": customer, "day": day, **fresh}


def _settle(session: Session, wishes: Sequence[Wish], now: datetime) -> dict[str, Taken]:
    """Of days that somebody took before: whether they still have them. Else they are ours now.

    The rows are locked before the steps are read: whoever had them either has said how it ended,
    or is found under way.
    """
    if not wishes:
        return {}
    table = table_of(MailDayRow)
    keys = (table.c.source, table.c.customer, table.c.day)
    named = or_(*(_of(wish.day.key) for wish in wishes))
    found = session.execute(select(table).where(named).order_by(*keys).with_for_update()).all()
    rows = {(row.source, row.customer, row.day): row for row in found}
    steps = table_of(StepRow)
    names = {row.step_key for row in found}
    query = select(steps.c.key, steps.c.state, steps.c.result)
    query = query.where(among(session, steps.c.key, sorted(names)))
    known = {row.key: row for row in session.execute(query)}
    refused: dict[str, Taken] = {}
    for wish in wishes:
        row = rows[wish.day.key]
        step = known.get(row.step_key)
        if row.step_key != wish.step and step is not None and _has_it(step.state, step.result):
            cases = tuple(json.loads(row.cases)) if row.cases else ()
            left = step.state == "ended"
            refused[wish.step] = Taken(row.step_key, row.template, cases, left=left)
        else:
            session.execute(update(table).where(_of(wish.day.key)).values(_row(wish, now)))
    return refused


def _of(key: _Key) -> ColumnElement[bool]:
    table = table_of(MailDayRow)
    source, customer, day = key
    return and_(table.c.source == source, table.c.customer == customer, table.c.day == day)


def _has_it(state: str, result: str | None) -> bool:
    return state in ("running", "unknown") or (state == "ended" and result in _LEFT)


def about_to_say(session: Session, wish: Wish, saying: Saying) -> bool:
    """Write down what the message is and of which cases it speaks; False: the day is not ours."""
    source, customer, day = wish.day.key
    said = {"said": saying.template, "speaks_of": json.dumps(list(saying.cases))}
    ours = {"of": source, "to": customer, "on": day, "step": wish.step}
    return session.execute(_SAY, said | ours).first() is not None


_DAYS = table_of(MailDayRow)
_SAY = (
    update(_DAYS)
    .where(
        _DAYS.c.source == bindparam("of"),
        _DAYS.c.customer == bindparam("to"),
        _DAYS.c.day == bindparam("on"),
        _DAYS.c.step_key == bindparam("step"),
    )
    .values(template=bindparam("said"), cases=bindparam("speaks_of"))
    .returning(_DAYS.c.step_key)
)


def neighbours(session: Session, cases: Sequence[Case]) -> Mapping[str, list[Neighbour]]:
    """The other cases of each customer: those open, and those whose thanks are still to be said."""
    by_source: defaultdict[str, set[str]] = defaultdict(set)
    for case in cases:
        if case.customer:
            by_source[case.source].add(case.customer)
    found: defaultdict[tuple[str, str], list[Neighbour]] = defaultdict(list)
    query = _neighbours(postgres=is_postgres(session))
    for source, customers in by_source.items():
        asked = {"source": source, "customers": listed(session, sorted(customers))}
        for name, customer, next_at in session.execute(query, asked):
            found[source, customer].append(Neighbour(name, next_at))
    return {
        case.id: [
            one for one in found.get((case.source, case.customer or ""), ()) if one.id != case.id
        ]
        for case in cases
    }


@cache
def _neighbours(*, postgres: bool) -> Any:
    table = table_of(CaseRow)
    columns = (table.c.id, table.c.customer, table.c.next_at)
    found = select(*columns).where(
        table.c.source == bindparam("source"),
        one_of(table.c.customer, "customers", postgres=postgres),
        or_(table.c.closed_at.is_(None), table.c.next_step == f"email:{THANKS}"),
    )
    return found.order_by(table.c.id)
