"""What actions ask the database while they act, each time in a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, bindparam, select
from sqlmodel import Session, col

from dunning import addresses, unsubscribed
from dunning.actions.wording import Card
from dunning.case_rows import read_facts
from dunning.cases import CaseBook
from dunning.core.events import Actor, Attempt, AttemptStatus
from dunning.core.facts import Case
from dunning.core.policy import Policy
from dunning.core.status import Access, State
from dunning.store import AttemptRow, CaseRow, MethodRow, reading


def why_bad(engine: Engine, address: str) -> str | None:
    """Why nobody writes to this address any more."""
    with reading(engine) as session:
        marked = addresses.is_bad(session, address)
    return (
        f"the address is marked bad since {marked.since:%Y-%m-%d}: {marked.why}" if marked else None
    )


def wants_no_notices(engine: Engine, source: str, customer: str) -> datetime | None:
    """Since when the customer wants no notices of what lies ahead, if that is so."""
    with reading(engine) as session:
        return unsubscribed.since(session, source, customer)


def card_history(engine: Engine, source: str, method: str, known: frozenset[str]) -> list[Attempt]:
    """Tries on the card behind a payment method, under whatever name it was given to us."""
    with reading(engine) as session:
        kept = session.get(MethodRow, (source, method))
        prints = known | ({kept.fingerprint} if kept and kept.fingerprint else set())
        if not prints:
            return []
        asked = {"source": source, "prints": sorted(prints)}
        rows = session.scalars(_ON_CARD, asked).all()
    return [
        Attempt(
            id=row.id,
            at=row.at,
            status=AttemptStatus(row.status),
            amount=row.amount,
            currency=row.currency,
            by=Actor(row.by),
            method=row.method,
            # Rows from before the column, or of a report that left it out: the card's own word.
            method_type=row.method_type or (kept.type if kept else None),
            network=row.network,
            fingerprint=row.fingerprint,
        )
        for row in rows
    ]


_ON_CARD = select(AttemptRow).where(
    col(AttemptRow.source) == bindparam("source"),
    col(AttemptRow.fingerprint).in_(bindparam("prints", expanding=True)),
)


def card(engine: Engine, source: str, method: str) -> Card | None:
    """What is printed on the card, as the provider told us when it was last heard of."""
    with reading(engine) as session:
        kept = session.get(MethodRow, (source, method))
        if kept is None:
            return None
        return Card(
            brand=kept.network,
            last4=kept.last4,
            exp_month=kept.exp_month,
            exp_year=kept.exp_year,
        )


def stored(engine: Engine, cases: CaseBook, names: Sequence[str]) -> list[tuple[Case, Policy]]:
    """The cases as they are known now, in the order of their age, each with its policy."""
    with reading(engine) as session:
        query = select(CaseRow).where(col(CaseRow.id).in_(names)).order_by(col(CaseRow.opened_at))
        rows = session.scalars(query).all()
        return [(read_facts(row), cases.policy_of(session, row.policy_version)) for row in rows]


def held_by_others(engine: Engine, case: Case, subscription: str) -> bool:
    """The same as `others_suspend`, in a transaction of its own."""
    with reading(engine) as session:
        return others_suspend(session, case, subscription)


def others_suspend(session: Session, case: Case, subscription: str) -> bool:
    """Whether another case still keeps it suspended: one of its own, or of the whole customer."""
    query = select(col(CaseRow.id)).where(
        col(CaseRow.source) == case.source,
        col(CaseRow.scope).in_([subscription, *([case.customer] if case.customer else [])]),
        col(CaseRow.id) != case.id,
        col(CaseRow.access) == Access.SUSPENDED.value,
        col(CaseRow.state).in_((State.SUSPENDED.value, State.LOST.value)),
    )
    return session.execute(query.limit(1)).first() is not None
