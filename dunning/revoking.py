"""Links taken back: every link of a case that was made until then leads nowhere any more.

The record of what people did is all there is to it; nothing of the case itself changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, select
from sqlmodel import Session, col

from dunning.acts import Person
from dunning.case_rows import locked
from dunning.errors import NotFoundError
from dunning.links import Named
from dunning.store import ActRow, CaseRow, guard, transaction

REVOKE = "revoke-links"


class Revoking:
    """The acts, each in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_case(self, name: str, person: Person) -> Sequence[str]:
        """Take back the links of one case."""
        with transaction(self._engine) as session:
            row = locked(session, name)
            return self._revoke(session, [row.id], person)

    def of_customer(self, source: str, customer: str, person: Person) -> Sequence[str]:
        """Take back the links of every case of a customer, over or not."""
        with transaction(self._engine) as session:
            guard(session, {f"{source}/{customer}"})
            theirs = select(col(CaseRow.id)).where(
                col(CaseRow.source) == source, col(CaseRow.customer) == customer
            )
            ids = session.scalars(theirs.order_by(col(CaseRow.id))).all()
            if not ids:
                message = f"no case of {customer} at {source}, so there are no links"
                raise NotFoundError(message)
            return self._revoke(session, ids, person)

    def _revoke(self, session: Session, ids: Sequence[str], person: Person) -> Sequence[str]:
        session.add_all(
            ActRow(
                case_id=one, act=REVOKE, by=person.by.strip(), why=person.why.strip(), at=person.now
            )
            for one in ids
        )
        return ids


def is_revoked(session: Session, named: Named) -> bool:
    """Whether the link was taken back; one that does not say when it was made, by any act."""
    latest = (
        select(col(ActRow.at))
        .where(col(ActRow.case_id) == named.case_id, col(ActRow.act) == REVOKE)
        .order_by(col(ActRow.at).desc())
        .limit(1)
    )
    at = session.scalars(latest).first()
    return at is not None and (named.issued_at is None or named.issued_at <= at)
