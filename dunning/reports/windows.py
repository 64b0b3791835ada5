"""The window of each case, in SQL: how long after the first failure its policy pursues it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Integer, Interval, Text, case, cast, false, func, literal
from sqlalchemy import select as choose
from sqlmodel import Session, col

from dunning.core.policy import from_data
from dunning.store import CaseRow, EntryRow, PolicyRow
from dunning.workdays import works_on

Windows = Sequence[tuple[timedelta, Sequence[str]]]  # a window, and the versions that have it


def windows(session: Session) -> Windows:
    """The windows of all policies that a case was ever under, the shortest first."""
    found: defaultdict[timedelta, list[str]] = defaultdict(list)
    for version, body in session.execute(choose(col(PolicyRow.version), col(PolicyRow.body))):
        found[from_data(json.loads(body), works_on).window].append(version)
    return [(window, sorted(found[window])) for window in sorted(found)]


def in_words(known: Windows) -> str:
    """The lengths there are: `28 d`, `14 to 28 d`."""
    if not known:
        return "the policy's"
    days = [f"{window / timedelta(days=1):g}" for window, _ in known]
    return f"{days[0]} d" if len(days) == 1 else f"{days[0]} to {days[-1]} d"


def within(dialect: str, span: timedelta) -> ColumnElement[bool]:
    """Whether the entry came no later than this after the first failure, to the second."""
    occurred, opened = col(EntryRow.occurred_at), col(CaseRow.opened_at)
    if dialect == "sqlite":
        return _seconds(occurred) - _seconds(opened) <= int(span.total_seconds())
    return occurred <= opened + literal(span, Interval())


def within_window(dialect: str, known: Windows) -> ColumnElement[bool]:
    """Whether the entry came before the window of its case had closed."""
    return _each(known, lambda window: within(dialect, window))


def has_closed(known: Windows, until: datetime) -> ColumnElement[bool]:
    """Whether the window of the case had closed by that moment."""
    return _each(known, lambda window: col(CaseRow.opened_at) <= until - window)


def _each(known: Windows, rule: Any) -> ColumnElement[bool]:
    whens = [(col(CaseRow.policy_version).in_(which), rule(window)) for window, which in known]
    return case(*whens, else_=false()) if whens else false()


def _seconds(moment: Any) -> ColumnElement[int]:
    return cast(func.strftime("%s", func.substr(cast(moment, Text()), 1, 19)), Integer())
