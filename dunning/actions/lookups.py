"""What a message asks our own tables for: other cases, cards, addresses marked bad."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select
from sqlmodel import col

from dunning.actions.wording import Card
from dunning.case_rows import read_facts
from dunning.cases import CaseBook
from dunning.core.facts import Case
from dunning.core.policy import Policy
from dunning.store import CaseRow, MethodRow, reading


def why_bad(engine: Engine, address: str) -> str | None:
    """Why nobody writes to an address any more. Nothing marks addresses yet."""
    del engine, address
    return None


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
