"""read(): the cases on record that can be walked again, and those that are told apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime

from sqlalchemy import Select, select
from sqlmodel import Session, col

from dunning.case_rows import read_facts
from dunning.core.choosing import Subject
from dunning.core.facts import Case
from dunning.core.policy import Policy, Retries, from_data
from dunning.core.status import status
from dunning.core.subject import subject_of
from dunning.evidence.records import Record, record_of
from dunning.reports.freshness import data_until
from dunning.reports.periods import span, zone_named
from dunning.store import CaseRow, PolicyRow
from dunning.workdays import works_on

# Why a case is not walked, in the words of the output.
APART = {
    "young": "whose window has not closed yet, under either policy",
    "open": "still open, on hold or frozen beyond their window",
    "adopted": "taken over from whoever pursued them before",
    "by_hand": "paid by hand: there is no card to charge",
    "provider": "in which the provider would own the retries, which nobody here can walk",
}


@dataclass(slots=True)
class History:
    """What is on record; `apart` counts what is not walked, by reason."""

    data_until: datetime
    records: list[Record] = field(default_factory=list)
    apart: Counter[str] = field(default_factory=Counter)
    templates: set[str] = field(default_factory=set)  # that were ever sent


def read(
    session: Session,
    now: datetime,
    choose: Callable[[Subject], Policy],
    *,
    since: date | None = None,
    until: date | None = None,
    source: str | None = None,
    policy: str | None = None,
) -> History:
    """Every case whose window has closed; both dates are of the first failure, in UTC."""
    found = History(data_until(session, now)[0])
    starts, ends = span(since, until, zone_named("UTC"))
    failed = (col(CaseRow.state) != "none", col(CaseRow.kind) == "recovery")
    query = select(CaseRow).where(*failed).order_by(col(CaseRow.id))
    if starts is not None:
        query = query.where(col(CaseRow.opened_at) >= starts)
    if ends is not None:
        query = query.where(col(CaseRow.opened_at) < ends)
    query = _chosen(query, source, policy)
    known: dict[str, Policy] = {}
    for row in session.scalars(query.execution_options(yield_per=500)):
        if row.policy_version not in known:
            body = session.get_one(PolicyRow, row.policy_version).body
            known[row.policy_version] = from_data(json.loads(body), works_on)
        _take(found, read_facts(row), known[row.policy_version], choose)
        session.expunge(row)
    return found


def _chosen(query: Select[CaseRow], source: str | None, policy: str | None) -> Select[CaseRow]:
    if source is not None:
        query = query.where(col(CaseRow.source) == source)
    return query if policy is None else query.where(col(CaseRow.policy) == policy)


def _take(found: History, case: Case, own: Policy, choose: Callable[[Subject], Policy]) -> None:
    present = status(case)
    if not present.books.entries:
        return
    assert case.failed_at is not None
    subject = subject_of(case, present)
    other = choose(subject)
    found.templates |= {step.template for step in case.done if step.template}
    if case.failed_at + max(own.window, other.window) > found.data_until:
        found.apart["young"] += 1
    elif present.ended_at is None:
        found.apart["open"] += 1
    elif case.adopted is not None:
        found.apart["adopted"] += 1
    elif case.bill is not None and not case.bill.automatic:
        found.apart["by_hand"] += 1
    elif other.retries in (Retries.PROVIDER, Retries.PROVIDER_FIRST):
        found.apart["provider"] += 1
    else:
        found.records.append(record_of(case, present, own, subject))
