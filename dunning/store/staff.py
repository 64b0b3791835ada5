"""Tables of what staff are told: how far was looked, what was found, the messages, the reports."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary
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


class FinanceReportRow(SQLModel, table=True):
    """The report of a month as finance got it, kept for good; its messages are staff notices."""

    __tablename__ = "finance_reports"
    __table_args__ = (Index("ix_finance_reports_made", "made_at"),)

    name: str = Field(primary_key=True)  # of the month, or of the month and when it was asked for
    period: str  # 2026-10
    made_at: datetime = _when(nullable=False)
    made_by: str = ""  # who asked for it; nobody: it was due
    subject: str = _text()
    text: str = _text()
    html: str = _text()
    page: str = _text()  # attached: the whole report as one file
    workbook: bytes = Field(sa_column=Column(LargeBinary(), nullable=False))
    digest: str = ""  # of the month's statement, if its books were closed by then
