"""Tables of the storage itself: what was seen, counted, summed, pruned, and which program fits."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, Text
from sqlmodel import Field, SQLModel

from dunning.store.tables import UTCDateTime


class SeenRow(SQLModel, table=True):
    """An event that was kept, for longer than its body: the same one is never kept twice.

    `created_at` is the event's own and the same at every delivery, so that the rows of a week
    can be let go of together.
    """

    __tablename__ = "seen"
    __table_args__ = {"sqlite_with_rowid": False}

    event_id: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), primary_key=True))
    inbox_id: int = Field(sa_type=BigInteger)


class TallyRow(SQLModel, table=True):
    """How many entries a case has. Written by the database as it takes them, by nobody else."""

    __tablename__ = "tallies"

    case_id: str = Field(primary_key=True)
    entries: int


class RevenueRow(SQLModel, table=True):
    """What a customer has paid of one invoice; kept only where a policy file asks for it."""

    __tablename__ = "revenues"
    __table_args__ = (Index("ix_revenues_customer", "source", "customer"),)

    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    customer: str
    amount: int = Field(sa_type=BigInteger)
    currency: str


class RollupRow(SQLModel, table=True):
    """The entries of a month added up, net of what was taken back.

    Many writers share a month; each adds to the rows of its own `slot`, so that none waits.
    """

    __tablename__ = "rollups"

    source: str = Field(primary_key=True)
    month: str = Field(primary_key=True)  # 2026-01, UTC
    currency: str = Field(primary_key=True)
    debit: str = Field(primary_key=True)
    credit: str = Field(primary_key=True)
    cause: str = Field(primary_key=True)
    how: str = Field(primary_key=True)
    slot: int = Field(primary_key=True)
    amount: int = Field(sa_type=BigInteger)
    entries: int = Field(sa_type=BigInteger)


class PruningRow(SQLModel, table=True):
    """What was let go of on a day. The row `begun` is the right of one process to do it."""

    __tablename__ = "prunings"

    day: str = Field(primary_key=True)
    what: str = Field(primary_key=True)
    at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    before: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    removed: int = Field(sa_type=BigInteger)


class FitRow(SQLModel, table=True):
    """One row: the oldest version of the program that still works on these tables."""

    __tablename__ = "fits"

    id: int = Field(primary_key=True)
    oldest: str = Field(sa_column=Column(Text(), nullable=False))
