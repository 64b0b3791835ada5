"""The days on which customers were written to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, Text
from sqlmodel import Field, SQLModel

from dunning.store.tables import UTCDateTime


def _text() -> Any:
    return Field(sa_column=Column(Text(), nullable=True), default=None)


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
    at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    # What is about to leave, written right before: its name, and the cases it speaks of, as JSON.
    template: str | None = _text()
    cases: str | None = _text()
