"""What plans need to know beside their cases: looked up in bulk, and only for policies that ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Session

from dunning.core.around import Around
from dunning.core.facts import Case
from dunning.core.money import Money
from dunning.core.status import status
from dunning.core.words import Kind
from dunning.desk import Desk
from dunning.store import CaseRow, RevenueRow, StepRow, among, table_of

REVENUE = frozenset(("lifetime_revenue",))


_Who = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A case, and what its policy asks for: see `core.branches.asks`."""

    id: str
    who: _Who  # its source and customer
    currency: str
    asks: frozenset[str]

    @classmethod
    def by_case(cls, case: Case, asks: frozenset[str]) -> Wanted:
        """For a case in hand."""
        return cls(case.id, _who(case), case.currency, asks)

    @classmethod
    def by_row(cls, row: CaseRow, asks: frozenset[str]) -> Wanted:
        """For a case as it is stored."""
        return cls(row.id, (row.source, row.customer or ""), row.currency, asks)


def around(
    session: Session, wanted: Iterable[Wanted], desk: Desk | None = None
) -> dict[str, Around]:
    """What each case has around it; a case whose policy asks for nothing is left out.

    What a desk is about to write counts as written.
    """
    asking = [one for one in wanted if one.asks]
    if not asking:
        return {}
    begun = _begun(session, [one.id for one in asking if "begun" in one.asks])
    counted = _open_invoices(session, [o for o in asking if "open_invoices" in o.asks], desk)
    paid = _revenue(session, [o for o in asking if "lifetime_revenue" in o.asks], desk)
    return {
        one.id: Around(
            open_invoices=counted.get(one.who),
            revenue=paid.get((*one.who, one.currency)),
            begun=begun.get(one.id, frozenset()),
        )
        for one in asking
    }


def _who(case: Case) -> _Who:
    return case.source, case.customer or ""


def _by_source(wanted: Sequence[Wanted]) -> Mapping[str, Collection[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for source, customer in (one.who for one in wanted):
        if customer:
            found[source].add(customer)
    return found


def _begun(session: Session, ids: Sequence[str]) -> dict[str, frozenset[str]]:
    """The steps of each case that may have happened, as far as anybody knows."""
    if not ids:
        return {}
    table = table_of(StepRow)
    query = select(table.c.case_id, table.c.key).where(
        among(session, table.c.case_id, ids), table.c.state.in_(("running", "unknown"))
    )
    found: defaultdict[str, set[str]] = defaultdict(set)
    for case_id, key in session.execute(query):
        found[case_id].add(key)
    return {case_id: frozenset(keys) for case_id, keys in found.items()}


def _open_invoices(
    session: Session, wanted: Sequence[Wanted], desk: Desk | None
) -> dict[_Who, int]:
    """How many unpaid invoices each customer has that failed, the present one among them."""
    changed = desk.cases.changes() if desk else {}
    count: defaultdict[_Who, int] = defaultdict(int)
    table = table_of(CaseRow)
    for source, customers in _by_source(wanted).items():
        query = select(table.c.id, table.c.customer).where(
            table.c.source == source,
            among(session, table.c.customer, sorted(customers)),
            table.c.closed_at.is_(None),
            table.c.kind == Kind.RECOVERY.value,
        )
        for case_id, customer in session.execute(query):
            if case_id not in changed:
                count[source, customer] += 1
        for customer in customers:
            count[source, customer] += 0
    for held in changed.values():
        who = _who(held.case)
        if (
            held.case.notice is None
            and who in count
            and (held.present or status(held.case)).state.is_open
        ):
            count[who] += 1
    return dict(count)


def _revenue(
    session: Session, wanted: Sequence[Wanted], desk: Desk | None
) -> dict[tuple[str, str, str], Money]:
    """What each customer has paid, in each currency."""
    table, amounts = table_of(RevenueRow), defaultdict[tuple[str, str, str], int](int)
    sources = _by_source(wanted)
    present = list(desk.revenues.values()) if desk else []
    for source, customers in sources.items():
        known = [row["id"] for row in present if row["source"] == source]
        query = (
            select(table.c.customer, table.c.currency, func.sum(table.c.amount))
            .where(table.c.source == source, among(session, table.c.customer, sorted(customers)))
            .group_by(table.c.customer, table.c.currency)
        )
        if known:
            query = query.where(~among(session, table.c.id, known))
        for customer, currency, amount in session.execute(query):
            amounts[source, customer, currency] += int(amount)
    for row in present:
        if row["customer"] in sources.get(row["source"], ()):
            amounts[row["source"], row["customer"], row["currency"]] += row["amount"]
    return {key: Money(amount, key[2]) for key, amount in amounts.items()}
