"""The tables on one page. Nothing here decides: rows are rows.

Times are aware and UTC, refused otherwise; money is 64-bit integers of minor units.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    TypeDecorator,
    text,
)
from sqlmodel import Field, SQLModel

from dunning.clock import utc


class UTCDateTime(TypeDecorator[datetime]):
    """An aware time, kept as UTC on both databases; SQLite alone would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        moment = utc(value)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite counts row ids only in INTEGER columns.
_Id = BigInteger().with_variant(Integer(), "sqlite")

SQLModel.metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _when(*, nullable: bool = True) -> Any:
    return Field(sa_column=Column(UTCDateTime(), nullable=nullable), default=None)


def _money() -> Any:
    return Field(sa_type=BigInteger, default=0)


def _text(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(Text(), nullable=nullable), default=None if nullable else "")


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


class InboxRow(SQLModel, table=True):
    """A webhook as it came, once. new -> handled | ignored | parked; parked -> new (replay).

    Its id begins with the day it came (`store.day_of_id`); that it comes once, `seen` sees to.
    """

    __tablename__ = "inbox"
    __table_args__ = (
        _partial("ix_inbox_new", "wake_at", "id", where="state = 'new'"),
        _partial("ix_inbox_waiting", "source", "ref", where="waiting"),
        _partial("ix_inbox_parked", "id", where="state = 'parked'"),
    )

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    source: str
    event_id: str
    type: str
    created_at: datetime = _when(nullable=False)
    received_at: datetime = _when(nullable=False)
    body: bytes = Field(sa_column=Column(LargeBinary(), nullable=False))
    state: str = "new"
    reason: str = _text()
    # Understood, but about an invoice no case exists for (yet); found again by `ref`.
    ref: str | None = None
    waiting: bool = False
    wake_at: datetime = _when(nullable=False)
    tries: int = 0
    handled_at: datetime | None = _when()


class PolicyRow(SQLModel, table=True):
    """A policy as some case began under it, by the hash of its content."""

    __tablename__ = "policies"

    version: str = Field(primary_key=True)
    name: str
    body: str = _text()
    first_used_at: datetime = _when(nullable=False)


class CustomerRow(SQLModel, table=True):
    """The customer as last heard of, and the newest way to pay they gave."""

    __tablename__ = "customers"

    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    as_of: datetime = _when(nullable=False)
    email: str | None = None
    name: str | None = None
    locale: str | None = None
    country: str | None = None
    timezone: str | None = None
    deleted_at: datetime | None = _when()
    method: str | None = None
    method_at: datetime | None = _when()
    method_fixed_at: datetime | None = _when()
    since: datetime | None = _when()
    pairs: str | None = _text(nullable=True)  # the metadata
    default_method: str | None = None  # what is charged where a subscription says nothing


class SubscriptionRow(SQLModel, table=True):
    """The subscription as last heard of."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_customer", "source", "customer"),
        Index("ix_subscriptions_renews_at", "source", "renews_at", "id"),
        Index("ix_subscriptions_ended", "ended_at"),
    )

    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    as_of: datetime = _when(nullable=False)
    customer: str | None = None
    status: str = ""
    started_at: datetime | None = _when()
    ended_at: datetime | None = _when()
    end_reason: str | None = None
    ended_by_us: bool = False
    recurring: int | None = Field(default=None, sa_type=BigInteger)
    currency: str | None = None
    details: str | None = _text(nullable=True)  # what conditions ask for
    outlook: str | None = _text(nullable=True)  # when it renews, and what is charged
    renews_at: datetime | None = _when()  # of the outlook
    upcoming: str | None = _text(nullable=True)  # the bill that was announced last
    monthly: str | None = _text(nullable=True)  # JSON: the last reports of what it brings in


class MethodRow(SQLModel, table=True):
    """A way to pay as last heard of: enough to find an expiring card."""

    __tablename__ = "payment_methods"
    __table_args__ = (
        Index("ix_payment_methods_customer", "source", "customer"),
        Index("ix_payment_methods_expiry", "source", "exp_year", "exp_month", "id"),
    )

    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    as_of: datetime = _when(nullable=False)
    customer: str
    type: str | None = None
    network: str | None = None
    last4: str | None = None
    fingerprint: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    gone_at: datetime | None = _when()


class CaseRow(SQLModel, table=True):
    """A case: its facts as one document, and what follows from them as columns.

    When it is looked at next, and who holds it, is in `schedule`: no claim writes to this row.
    """

    __tablename__ = "cases"
    __table_args__ = (
        Index("uq_cases_source_invoice", "source", "invoice", unique=True),
        Index("ix_cases_customer", "source", "customer"),
        Index("ix_cases_scope", "source", "scope"),
        Index("ix_cases_state", "state", "opened_at"),
        Index("ix_cases_recorded", "recorded_at"),
        Index("ix_cases_opened", "opened_at"),
    )

    id: str = Field(primary_key=True)
    source: str
    provider: str
    kind: str = Field(default="recovery", sa_column_kwargs={"server_default": "recovery"})
    invoice: str  # of a notice: the name of what it tells of
    customer: str | None = None
    subscription: str | None = None
    scope: str
    state: str
    access: str
    currency: str
    amount_due: int = _money()
    amount_at_risk: int = _money()
    decline_code: str | None = None
    advice: str | None = None
    policy: str
    policy_version: str
    policy_why: str | None = _text(nullable=True)
    segments: str | None = _text(nullable=True)  # of the policy file, as the case began: eu+vip
    opened_at: datetime = _when(nullable=False)
    recorded_at: datetime = _when(nullable=False)
    next_at: datetime | None = _when()
    next_step: str | None = None
    closed_at: datetime | None = _when()
    closed_reason: str | None = None
    # The policy that holds customers out and how, the group (treated | held_out), and until when
    # what comes in counts for the comparison.
    holdout_of: str | None = None
    holdout_terms: str | None = None
    holdout_group: str | None = None
    matures_at: datetime | None = _when()
    facts: str = _text()
    version: int = 0
    # Why the timeline stands still, in a word, and until when (None: until something happens).
    standing: str | None = None
    standing_until: datetime | None = _when()


class LinkRow(SQLModel, table=True):
    """Which invoice a charge or a payment intent is about."""

    __tablename__ = "links"

    source: str = Field(primary_key=True)
    object_id: str = Field(primary_key=True)
    invoice: str


class StepRow(SQLModel, table=True):
    """A step that was begun: intent first, outcome after. running -> ended | deferred."""

    __tablename__ = "steps"
    __table_args__ = (
        Index("ix_steps_case", "case_id", "started_at"),
        _partial("ix_steps_unknown", "first_started_at", where="state = 'unknown'"),
        _partial("ix_steps_told", "ended_at", where="kind = 'suspend' OR result = 'doubtful'"),
    )

    key: str = Field(primary_key=True)
    case_id: str
    kind: str
    state: str
    due_at: datetime = _when(nullable=False)
    started_at: datetime = _when(nullable=False)
    first_started_at: datetime = _when(nullable=False)
    ended_at: datetime | None = _when()
    result: str | None = None
    why: str = _text()
    template: str | None = None
    tries: int = 1
    refusals: int = 0
    lease_token: str | None = None
    policy_version: str = ""
    # What the provider was asked for under this key: the same key means the same request.
    asked: str | None = _text(nullable=True)


class AttemptRow(SQLModel, table=True):
    """One charge try by anyone; the limits of a card are counted here, across invoices."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_card", "source", "fingerprint", "at"),
        Index("ix_attempts_case", "case_id", "at"),
        Index("ix_attempts_at", "at", postgresql_using="brin"),
    )

    source: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    case_id: str
    at: datetime = _when(nullable=False)
    status: str
    amount: int = _money()
    currency: str
    by: str
    key: str | None = None
    method: str | None = None
    network: str | None = None
    fingerprint: str | None = None
    decline_code: str | None = None
    network_code: str | None = None
    advice: str | None = None
    method_type: str | None = None
    network_advice_code: str | None = None


class MessageRow(SQLModel, table=True):
    """What was said to whom: sent | bounced | doubtful, and sent -> bounced | complained."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_case", "case_id", "at"),
        Index("ix_messages_recipient", "recipient", "at"),
    )

    step_key: str = Field(primary_key=True)
    case_id: str
    source: str
    customer: str | None = None
    channel: str = "email"
    template: str
    recipient: str
    locale: str
    subject: str = _text()
    state: str
    at: datetime = _when(nullable=False)
    reference: str | None = None
    why: str = _text()


class EntryRow(SQLModel, table=True):
    """One immutable transfer. `base` is the fact it stands for; `reverses` undoes another row."""

    __tablename__ = "entries"
    __table_args__ = (
        Index("ix_entries_case", "case_id", "place"),
        Index("ix_entries_occurred", "occurred_at", "currency"),
        Index("ix_entries_recorded", "recorded_at", postgresql_using="brin"),
        _partial("ix_entries_posted", "posted_at", where="posted_at IS NOT NULL"),
        _partial("ix_entries_further", "occurred_at", where="place <> 2 AND debit <> 'owed'"),
    )

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    key: str
    base: str
    case_id: str
    place: int  # 1, 2, 3 … within its case; the database refuses a gap and a repetition
    source: str
    debit: str
    credit: str
    amount: int = _money()
    currency: str
    cause: str
    how: str = ""
    occurred_at: datetime = _when(nullable=False)
    recorded_at: datetime = _when(nullable=False)
    reverses: str | None = None
    # Heard of when its period was closed: booked when one was open again, by the statement's name.
    posted_at: datetime | None = _when()
    closed_period: str | None = None
    # Of a payment, the last before it: '' where there was none, NULL where nobody kept it yet.
    email_step: str | None = _text(nullable=True)
    email_template: str | None = _text(nullable=True)
    email_at: datetime | None = _when()
    click: str | None = _text(nullable=True)
    click_at: datetime | None = _when()


class OutboxRow(SQLModel, table=True):
    """A signed call to the merchant's product. pending -> sent | dead; in order per case."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("uq_outbox_key", "key", unique=True),
        _partial("ix_outbox_pending", "wake_at", "id", where="state = 'pending'"),
        Index("ix_outbox_case", "case_id", "id"),
        _partial("ix_outbox_dead", "wake_at", where="state = 'dead'"),
    )

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    key: str
    case_id: str
    source: str
    type: str
    body: str = _text()
    state: str = "pending"
    tries: int = 0
    leased: bool = False  # somebody is calling right now
    created_at: datetime = _when(nullable=False)
    wake_at: datetime = _when(nullable=False)
    sent_at: datetime | None = _when()
    error: str = _text()
