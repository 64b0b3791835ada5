"""Tables of the closed books: which periods are closed, their statements, what was proved."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, Text
from sqlmodel import Field, SQLModel

from dunning.store.tables import UTCDateTime, _Id


def _time() -> Column[datetime]:
    return Column(UTCDateTime(), nullable=False)


class ClosingRow(SQLModel, table=True):
    """A closed period: from then on the database takes no entry into it. One follows the other."""

    __tablename__ = "closings"

    period: str = Field(primary_key=True)  # 2026-10, by the calendar of `zone`
    zone: str
    starts_at: datetime = Field(sa_column=_time())
    ends_at: datetime = Field(sa_column=_time())
    closed_at: datetime = Field(sa_column=_time())
    closed_by: str
    why: str = Field(sa_column=Column(Text(), nullable=False), default="")
    # JSON: what was not settled yet, and was passed over with that reason.
    loose_ends: str = Field(sa_column=Column(Text(), nullable=False), default="{}")


class StatementRow(SQLModel, table=True):
    """What the books of a closed period say, sealed: written once, after its closing."""

    __tablename__ = "statements"

    period: str = Field(primary_key=True)
    content: str = Field(sa_column=Column(Text(), nullable=False))  # canonical JSON
    digest: str  # SHA-256 of the content, which names the digest of the one before
    written_at: datetime = Field(sa_column=_time())


class ProofRow(SQLModel, table=True):
    """How far the ledger was proved, and when: the next proof goes on from there."""

    __tablename__ = "proofs"

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    kind: str  # full | onward
    at: datetime = Field(sa_column=_time())
    last_entry: int = Field(sa_type=BigInteger)  # the highest id there could be by then
    entries: int = Field(sa_type=BigInteger)  # how many it looked at
    cases: int = Field(sa_type=BigInteger)
    totals: str = Field(sa_column=Column(Text(), nullable=False))  # JSON: the sums as they stood
