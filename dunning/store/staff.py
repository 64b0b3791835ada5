"""Tables of staff notices: how far was looked, what was found, and the messages made of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index
from sqlmodel import Field, SQLModel

from dunning.store.tables import _Id, _partial, _text, _when


class StaffMarkRow(SQLModel, table=True):
    """How far one kind of alert, or the digest, has come; nothing before `began_at` is told."""

    __tablename__ = "staff_marks"

    what: str = Field(primary_key=True)
    began_at: datetime = _when(nullable=False)
    seen_to: datetime = _when(nullable=False)
    told_at: datetime | None = _when()  # when the last message of the kind was written


class StaffNewsRow(SQLModel, table=True):
    """One thing that staff are to hear of, once: its key says which."""

    __tablename__ = "staff_news"
    __table_args__ = (
        _partial("ix_staff_news_untold", "alert", "found_at", where="notice IS NULL"),
        Index("ix_staff_news_found", "found_at"),
    )

    key: str = Field(primary_key=True)  # the alert and what it is about
    alert: str
    at: datetime = _when(nullable=False)  # when it happened
    found_at: datetime = _when(nullable=False)
    body: str = _text()
    notice: str | None = None  # the message it was told in


class StaffNoticeRow(SQLModel, table=True):
    """A message to staff, one row for each who gets it. pending -> sent | dead."""

    __tablename__ = "staff_notices"
    __table_args__ = (
        Index("uq_staff_notices_key", "key", unique=True),
        _partial("ix_staff_notices_pending", "wake_at", "id", where="state = 'pending'"),
        Index("ix_staff_notices_created", "created_at"),
    )

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    key: str  # its name, and where it goes
    name: str
    alert: str  # what it is of: an alert, or the digest
    way: str  # email | chat
    recipient: str = _text()  # the address of an email
    body: str = _text()
    state: str = "pending"
    tries: int = 0
    leased: bool = False  # somebody is sending it right now, or died over it
    created_at: datetime = _when(nullable=False)
    wake_at: datetime = _when(nullable=False)
    sent_at: datetime | None = _when()
    error: str = _text()
