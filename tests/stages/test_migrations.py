"""The tables: made by the migrations, the same as the models, on both databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, String, bindparam, inspect, text
from sqlalchemy.exc import StatementError
from sqlmodel import SQLModel, select

from dunning import ledger, store
from dunning.config.rungs import STEP_KEYS
from dunning.errors import ConfigError
from dunning.store import (
    CaseRow,
    FitRow,
    PolicyRow,
    ScheduleRow,
    UTCDateTime,
    engine_for,
    transaction,
)
from dunning.store.partitions import TABLES, names
from tests.servers import clean_environment
from tests.sharing import ROOT

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database."""
    engine = engine_for(database_url)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"} - parts(engine)


def parts(engine: Engine) -> set[str]:
    """Partitions are tables too, and in no model."""
    if engine.dialect.name == "sqlite":
        return set()
    with engine.connect() as connection:
        return {name for table in TABLES for name in names(connection, table)}


def compared(engine: Engine) -> list[Any]:
    """What the models say and the database has not, or the other way round."""
    left_out = parts(engine)

    def concerns(item: Any, name: str | None, kind: str, *_: object) -> bool:
        of = item if kind == "table" else item.table
        return of.name not in left_out

    options = {"compare_type": True, "include_object": concerns}
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, SQLModel.metadata))


def test_an_empty_database_gets_every_table_and_guard(engine: Engine, database_url: str) -> None:
    assert store.version(engine) is None
    store.migrate(database_url)
    assert store.version(engine) == store.newest_version()
    assert tables(engine) == set(SQLModel.metadata.tables)
    with transaction(engine) as session:
        assert ledger.guarded(session)


def test_the_migrations_make_what_the_models_say(engine: Engine, database_url: str) -> None:
    store.migrate(database_url)
    assert compared(engine) == []


def test_a_table_too_few_is_found(engine: Engine, database_url: str) -> None:
    store.migrate(database_url)
    with transaction(engine) as session:
        session.execute(text("DROP INDEX ix_cases_state"))
        session.execute(text("DROP TABLE acts"))
    assert {difference[0] for difference in compared(engine)} == {"add_table", "add_index"}


def test_migrating_again_changes_nothing(engine: Engine, database_url: str) -> None:
    store.migrate(database_url)
    with transaction(engine) as session:
        session.add(PolicyRow(version="v", name="kept", first_used_at=NOON))
    store.migrate(database_url)
    with transaction(engine) as session:
        assert session.get_one(PolicyRow, "v").first_used_at == NOON


def at_version(engine: Engine, version: str) -> None:
    """The tables as an older program had made them."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "dunning" / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)


# Of each case: next step, end of the lease or the same again, token; and what the schedule says.
_OLD_CASES: dict[str, tuple[datetime | None, datetime | None, str | None]] = {
    "waits": (NOON, NOON, None),
    "over": (None, None, None),
    "held": (NOON, NOON + HOUR, "a"),
    "held_put_off": (NOON + 9 * HOUR, NOON + HOUR, "b"),
    "held_over": (None, NOON + HOUR, "c"),
}
_SCHEDULE = {
    "waits": (NOON, None, None),
    "held": (NOON, NOON + HOUR, "a"),
    "held_put_off": (NOON + HOUR, NOON + HOUR, "b"),
    "held_over": (NOON + HOUR, NOON + HOUR, "c"),
}
_OLD_CASE = text(
    """
    INSERT INTO cases (id, source, provider, invoice, scope, state, access, currency, amount_due,
        amount_at_risk, policy, policy_version, opened_at, recorded_at, facts, version,
        next_at, wake_at, lease_token)
    VALUES (:id, 'stripe', 'stripe', :id, 'sub', 'in_grace', 'full', 'usd', 0, 0, 'standard', 'v',
        :noon, :noon, 'facts of ' || :id, 3, :next_at, :wake_at, :token)
    """
).bindparams(
    *(bindparam(name, type_=UTCDateTime()) for name in ("noon", "next_at", "wake_at")),
    bindparam("id", type_=String()),
)


def test_the_schedule_is_taken_out_of_the_cases(engine: Engine, database_url: str) -> None:
    at_version(engine, "0002")
    with transaction(engine) as session:
        for name, (next_at, wake_at, token) in _OLD_CASES.items():
            row = {"id": name, "next_at": next_at, "wake_at": wake_at, "token": token}
            session.execute(_OLD_CASE, row | {"noon": NOON})
    at_version(engine, "0003")
    with transaction(engine) as session:
        # A program that does not know the table would claim and write past it.
        assert session.get_one(FitRow, 1).oldest == "0003"
    store.migrate(database_url)
    with transaction(engine) as session:
        found = session.exec(select(ScheduleRow)).all()
        assert {
            row.case_id: (row.due_at, row.leased_until, row.lease_token) for row in found
        } == _SCHEDULE
        assert {row.source for row in found} == {"stripe"}
        cases = session.exec(select(CaseRow)).all()
        assert {row.id: row.next_at for row in cases} == {
            name: next_at for name, (next_at, _, _) in _OLD_CASES.items()
        }
        assert {(row.facts, row.version) for row in cases} == {
            (f"facts of {name}", 3) for name in _OLD_CASES
        }
    assert compared(engine) == []


# From which migration on programs know what a line of a policy may do.
_KNOWN_SINCE = {
    **dict.fromkeys("retry email restrict suspend give_up".split(), "0001"),
    "announce": "0009",
    "sms": "0017",
}


def test_a_program_that_cannot_read_a_policy_does_not_fit(migrated_url: str) -> None:
    assert {kind.value for kind in STEP_KEYS} == set(_KNOWN_SINCE), "and from when is it known?"
    engine = engine_for(migrated_url)
    with transaction(engine) as session:
        assert session.get_one(FitRow, 1).oldest >= max(_KNOWN_SINCE.values())
    engine.dispose()


def test_two_processes_may_migrate_at_once(engine: Engine, database_url: str) -> None:
    code = "import sys; from dunning.store import migrate; migrate(sys.argv[1])"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, database_url],
            cwd=ROOT,
            env=clean_environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        _, said = process.communicate(timeout=90)
        assert process.returncode == 0, said
    assert tables(engine) == set(SQLModel.metadata.tables)
    with transaction(engine) as session:
        assert session.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1


def test_a_time_without_a_zone_is_refused(engine: Engine, database_url: str) -> None:
    store.migrate(database_url)
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(StatementError, match="naive time"), transaction(engine) as session:
        session.add(PolicyRow(version="v", name="x", first_used_at=naive))
    with transaction(engine) as session:
        assert session.get(PolicyRow, "v") is None


def test_a_time_of_any_zone_comes_back_as_the_same_instant_in_utc(
    engine: Engine, database_url: str
) -> None:
    store.migrate(database_url)
    vienna = NOON.astimezone(timezone(timedelta(hours=2))) + timedelta(microseconds=7)
    with transaction(engine) as session:
        session.add(PolicyRow(version="v", name="x", first_used_at=vienna))
    with transaction(engine) as session:
        told = session.get_one(PolicyRow, "v").first_used_at
    assert told == vienna
    assert told.tzinfo is UTC
    column = UTCDateTime()
    assert column.process_bind_param(None, engine.dialect) is None
    assert column.process_result_value(None, engine.dialect) is None


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="use sqlite or postgresql"):
        engine_for("mysql://localhost/x")
