"""Tables of emails: the days on which customers were written to, and what came back."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index
from sqlmodel import Field, SQLModel

from dunning.store.tables import UTCDateTime, _Id, _partial, _text, _when


class MailDayRow(SQLModel, table=True):
    """A day of a customer, taken by the step that writes to them on it.

    It is the step's for as long as it is under way, and for good once its message has left, or
    may have. Of a step that sent nothing the day is free again: its row says so, not this one.
    """

    __tablename__ = "mail_days"

    source: str = Field(primary_key=True)
    customer: str = Field(primary_key=True)
    day: str = Field(primary_key=True)  # 2026-03-01, of the customer's zone
    step_key: str
    at: datetime = _when(nullable=False)
    # What is about to leave, written right before: its name, and the cases it speaks of, as JSON.
    template: str | None = _text(nullable=True)
    cases: str | None = _text(nullable=True)


class BadAddressRow(SQLModel, table=True):
    """An address that is not written to any more; one row for each time it was marked.

    It belongs to no source: a mailbox that is gone is gone for all of them.
    """

    __tablename__ = "bad_addresses"
    __table_args__ = (
        Index("ix_bad_addresses_address", "address", "id"),
        # Two who mark it at once: the second finds it marked.
        _partial("uq_bad_addresses_marked", "address", where="cleared_at IS NULL", unique=True),
    )

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    address: str  # as `core.addresses.normalised` writes it
    since: datetime = _when(nullable=False)
    kind: str  # bounce | complaint | refused | hand
    why: str = _text()
    by: str
    reference: str | None = _text(nullable=True)  # the message it was found out by
    cleared_at: datetime | None = _when()
    cleared_by: str | None = None
    cleared_why: str | None = _text(nullable=True)


class ReturnRow(SQLModel, table=True):
    """A bounce or a complaint as it was reported, once."""

    __tablename__ = "returns"
    __table_args__ = (
        Index("uq_returns_key", "key", unique=True),
        Index("ix_returns_address", "address", "id"),
        _partial("ix_returns_step", "step_key", where="step_key IS NOT NULL"),
    )

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    key: str  # a report that comes again is known by it
    at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    kind: str  # permanent | temporary | delayed | complaint
    address: str
    status: str | None = None  # 5.1.1
    why: str = _text()
    via: str  # mailbox, or the name of the mail service
    message_id: str | None = _text(nullable=True)
    step_key: str | None = None  # the message it is about; null: none of ours is known
    proven: bool = False  # it names the message itself, or a service we trust says so
