"""What all processes share: the schedule, the policy in force; a source's pace and breaker."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, Index, Integer
from sqlmodel import Field, SQLModel

from dunning.store.tables import UTCDateTime, _Id, _text, _when


class ScheduleRow(SQLModel, table=True):
    """When a case is looked at next, and who holds it. Nothing ahead and nobody there: no row.

    No index holds a column that a claim writes, so PostgreSQL changes the row where it is and
    leaves the indexes alone. While the case is held `due_at` stays as it was: what is held is
    among what is due, and a lease that runs out needs nobody to notice.
    """

    __tablename__ = "schedule"
    __table_args__ = (
        Index("ix_schedule_due", "source", "due_at", "case_id"),
        {"sqlite_with_rowid": False},
    )

    case_id: str = Field(primary_key=True)
    source: str
    due_at: datetime = _when(nullable=False)
    leased_until: datetime | None = _when()
    lease_token: str | None = None


class PaceRow(SQLModel, table=True):
    """The board of turns to call a source's provider, as one document (`core.turns`)."""

    __tablename__ = "paces"

    source: str = Field(primary_key=True)
    board: str = _text()


class PulseRow(SQLModel, table=True):
    """How many steps ended how in five minutes; in parts, so that writers do not queue up."""

    __tablename__ = "pulses"

    source: str = Field(primary_key=True)
    at: datetime = Field(sa_column=Column(UTCDateTime(), primary_key=True))
    part: int = Field(primary_key=True, sa_type=Integer)
    calls: int = 0
    troubled: int = 0
    charges: int = 0
    paid: int = 0


class BreakerRow(SQLModel, table=True):
    """How a source's breaker stands, and what is normal for the source (`core.breaking`)."""

    __tablename__ = "breakers"

    source: str = Field(primary_key=True)
    signal: str | None = None
    why: str = _text()
    since: datetime | None = _when()
    probe_at: datetime | None = _when()
    rounds: int = 0
    normal: str = _text()
    learnt_to: datetime | None = _when()
    judged_at: datetime | None = _when()


class BreakerChangeRow(SQLModel, table=True):
    """When a source was held or released, by whom (a person, or dunning itself), and why."""

    __tablename__ = "breaker_changes"
    __table_args__ = (Index("ix_breaker_changes_source", "source", "id"),)

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    source: str
    change: str
    by: str
    why: str = _text()
    at: datetime = _when(nullable=False)


class PolicyFileRow(SQLModel, table=True):
    """A text that came into force: the newest row is what holds for new cases.

    `open_cases` says which open cases were to be moved to it, and `finished_at` that they were.
    """

    __tablename__ = "policy_files"

    id: int | None = Field(default=None, sa_column=Column(_Id, primary_key=True))
    kind: str  # first | file | apply | rollback
    hash: str = Field(index=True)
    name: str = _text()  # the file it came from
    text: str = _text()
    versions: str = _text()  # JSON: the version of each of its policies
    by: str
    why: str = _text()
    at: datetime = _when(nullable=False)
    open_cases: str = _text()  # JSON: the policies whose open cases go along; null: all
    choose_again: bool = False
    back_to: int | None = Field(default=None, sa_type=Integer)  # a rollback's: the row it is at
    moved: int = 0
    finished_at: datetime | None = _when()


class CatchUpRow(SQLModel, table=True):
    """How far one way of asking a source for what was missed has come: by the clock, by hand."""

    __tablename__ = "catch_ups"

    source: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)  # sweep | run
    state: str = "new"  # new | estate | events | invoices | done
    since: datetime = _when(nullable=False)  # where the pass begins, or began
    seen_to: datetime = _when(nullable=False)  # every event up to then is kept
    invoice: str | None = None  # the last open invoice that was taken in
    began_at: datetime | None = _when()
    ended_at: datetime | None = _when()  # when the last whole pass ended
    events: int = 0  # of the present or last pass
    missed: int = 0  # of them, those a webhook should have brought
    missed_types: str = _text()
    in_a_row: int = 0  # passes, one after the other, that found such events
    missed_in_all: int = 0
    error: str = _text()  # why the last pass did not come to its end
    wake_at: datetime | None = _when()  # when the next pass is due; while one goes on, its lease
    lease_token: str | None = None


class LookAgainRow(SQLModel, table=True):
    """A customer of whom something was heard: what lies ahead of them is looked at anew."""

    __tablename__ = "look_again"
    __table_args__ = (Index("ix_look_again_since", "since"),)

    source: str = Field(primary_key=True)
    customer: str = Field(primary_key=True)
    since: datetime = _when(nullable=False)


class LookoutRow(SQLModel, table=True):
    """How far the daily look at all renewals and cards of a source has come."""

    __tablename__ = "lookouts"

    source: str = Field(primary_key=True)
    policies: str = ""  # of which policies it is: others are looked for from the beginning
    stage: str = "done"  # cards | renewals | done
    place: str = _text()  # the last one that was looked at
    began_at: datetime = _when(nullable=False)
    ended_at: datetime | None = _when()
    subscription: str | None = None  # how far the provider's own list was read in, if it was
    filled_at: datetime | None = _when()
