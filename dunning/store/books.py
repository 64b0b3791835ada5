"""Tables of the books beside money: closed periods and statements, proofs, recurring revenue."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, Text, text
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


class RecurringRow(SQLModel, table=True):
    """One movement of what a subscription brings in a month; beside the money, never added to it.

    `base` is the fact it stands for; `reverses` undoes another row.
    """

    __tablename__ = "recurring_entries"
    __table_args__ = (
        Index("uq_recurring_entries_case", "case_id", "place", unique=True),
        Index("ix_recurring_entries_subscription", "source", "subscription"),
        Index("ix_recurring_entries_occurred", "occurred_at"),
        Index(
            "ix_recurring_entries_counter",
            "reverses",
            sqlite_where=text("reverses IS NOT NULL"),
            postgresql_where=text("reverses IS NOT NULL"),
        ),
        Index(
            "ix_recurring_entries_posted",
            "posted_at",
            sqlite_where=text("posted_at IS NOT NULL"),
            postgresql_where=text("posted_at IS NOT NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    key: str
    base: str
    case_id: str
    place: int  # 1, 2, 3 … within its case; the database refuses a gap and a repetition
    source: str
    subscription: str
    debit: str
    credit: str
    amount: int = Field(sa_type=BigInteger)  # a month, in minor units
    currency: str
    cause: str
    how: str = ""
    occurred_at: datetime = Field(sa_column=_time())
    recorded_at: datetime = Field(sa_column=_time())
    reverses: str | None = None
    posted_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    closed_period: str | None = None


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
    last_recurring: int = Field(default=0, sa_type=BigInteger)  # the same of recurring revenue
    entries: int = Field(sa_type=BigInteger)  # how many it looked at
    cases: int = Field(sa_type=BigInteger)
    totals: str = Field(sa_column=Column(Text(), nullable=False))  # JSON: the sums as they stood
