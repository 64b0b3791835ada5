"""Remembering in SQL: the tables, the engine, one transaction at a time, and the versions."""

from dunning.store.engine import engine_for, guard, insert_into, reading, transaction
from dunning.store.tables import (
    ActRow,
    AttemptRow,
    CaseRow,
    CustomerRow,
    EntryRow,
    InboxRow,
    LinkRow,
    MessageRow,
    MethodRow,
    OutboxRow,
    PolicyRow,
    StepRow,
    SubscriptionRow,
    UTCDateTime,
)
from dunning.store.versions import migrate, newest_version, version

__all__ = [
    "ActRow",
    "AttemptRow",
    "CaseRow",
    "CustomerRow",
    "EntryRow",
    "InboxRow",
    "LinkRow",
    "MessageRow",
    "MethodRow",
    "OutboxRow",
    "PolicyRow",
    "StepRow",
    "SubscriptionRow",
    "UTCDateTime",
    "engine_for",
    "guard",
    "insert_into",
    "migrate",
    "newest_version",
    "reading",
    "transaction",
    "version",
]
