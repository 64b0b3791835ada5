"""Tables of what people did by hand, with reason and author."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, Text
from sqlmodel import Field, SQLModel

from dunning.store.tables import UTCDateTime

# SQLite counts row ids only in INTEGER columns.
_Id = BigInteger().with_variant(Integer(), "sqlite")


def _when(*, nullable: bool = True) -> Any:
    return Field(sa_column=Column(UTCDateTime(), nullable=nullable), default=None)


def _text(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(Text(), nullable=nullable), default=None if nullable else "")


class ActRow(SQLModel, table=True):
    """What a person did by hand, and why."""

    __tablename__ = "acts"
    __table_args__ = (Index("ix_acts_case", "case_id", "id"),)

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    case_id: str
    act: str
    by: str
    why: str = _text()
    until: datetime | None = _when()
    at: datetime = _when(nullable=False)
    # Which step it is about, or how much was promised.
    about: str | None = _text(nullable=True)


class ExemptionRow(SQLModel, table=True):
    """A customer taken out of dunning by a person, or back in; the last word counts."""

    __tablename__ = "exemptions"
    __table_args__ = (Index("ix_exemptions_customer", "source", "customer", "at"),)

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    source: str
    customer: str
    act: str  # exempt | unexempt
    by: str
    why: str = _text()
    until: datetime | None = _when()
    at: datetime = _when(nullable=False)


class UnsubscribedRow(SQLModel, table=True):
    """A customer who wants no notices of what lies ahead, since when, and by which one's link."""

    __tablename__ = "unsubscribed"

    source: str = Field(primary_key=True)
    customer: str = Field(primary_key=True)
    at: datetime = _when(nullable=False)
    case_id: str
