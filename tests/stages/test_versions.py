"""Which program works on which tables; and a migration that dies half-way has done nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text
from sqlmodel import col, select

from dunning import crashpoints, ledger, store
from dunning.core.events import StepEnded, StepKind, StepResult
from dunning.errors import ConfigError
from dunning.schedule import claim_due
from dunning.store import CaseRow, FitRow, InboxRow, engine_for, transaction
from dunning.store.versions import MIGRATIONS, known_versions
from tests.providers.stripe.bodies import event, invoice, paid_invoice
from tests.servers import clean_environment
from tests.sharing import ROOT
from tests.stages.kit import Stage, later, named, on_database

MIGRATE = "import sys; from dunning.store import migrate; migrate(sys.argv[1])"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An empty database."""
    engine = engine_for(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def newer(migrated_url: str) -> Iterator[Stage]:
    """This program on the tables of the next one, which added to them."""
    for stage in on_database(migrated_url, announces=True):
        with stage.writing() as session:
            for change in (
                text("ALTER TABLE inbox ADD COLUMN note TEXT"),
                text("ALTER TABLE cases ADD COLUMN note TEXT"),
                text("ALTER TABLE entries ADD COLUMN note TEXT"),
                text("ALTER TABLE outbox ADD COLUMN note TEXT DEFAULT 'none'"),
                text("CREATE TABLE notes (id INTEGER PRIMARY KEY, words TEXT)"),
                text("UPDATE alembic_version SET version_num = '0099'"),
            ):
                session.execute(change)
        yield stage


def fits_from(stage: Stage, oldest: str) -> None:
    with stage.writing() as session:
        session.get_one(FitRow, 1).oldest = oldest


# --- which program works on which tables -------------------------------------------------------


def test_the_names_of_the_files_are_the_migrations_in_their_order() -> None:
    """Read off the names: a process that starts would need a library for it otherwise."""
    walked = ScriptDirectory(os.fspath(MIGRATIONS)).walk_revisions()
    assert known_versions() == [script.revision for script in walked]


def test_an_empty_or_older_database_is_to_be_migrated(engine: Engine, database_url: str) -> None:
    assert store.misfit(engine) == (
        f"stands at nothing, this version needs {store.newest_version()}; run `dunning migrate`"
    )
    store.migrate(database_url)
    assert store.misfit(engine) is None


def test_the_program_goes_on_while_a_newer_one_has_added_to_the_tables(newer: Stage) -> None:
    """Keep, handle, claim and conclude, as in the minutes in which both are at work."""
    assert store.misfit(newer.engine) is None
    store.migrate(newer.url)
    assert store.version(newer.engine) == "0099"
    newer.hears(named(event("invoice.payment_failed", invoice())))
    case = newer.case()
    now = newer.clock.passes(days=20)
    with newer.writing() as session:
        (claim,) = claim_due(session, now, limit=5, lease=timedelta(minutes=2), sources=["stripe"])
    done = StepEnded(
        id=f"{case.id}/email:1",
        at=now,
        kind=StepKind.EMAIL,
        result=StepResult.SKIPPED,
    )
    with newer.writing() as session:
        newer.book.apply_to(session, claim, [done], now)
    newer.hears(named(later(event("invoice.paid", paid_invoice()), 600)))
    assert newer.case().state == "recovered"
    with newer.writing() as session:
        assert ledger.guarded(session)
        states = session.execute(select(col(InboxRow.state))).scalars().all()
    assert set(states) == {"handled"}
    assert len(newer.all(CaseRow)) == 1


def test_tables_that_need_a_newer_program_are_refused(newer: Stage) -> None:
    fits_from(newer, "0099")
    known = store.newest_version()
    why = f"stands at 0099 and wants a program that knows 0099, this one knows {known}"
    assert store.misfit(newer.engine) == f"{why}; update dunning"
    with pytest.raises(ConfigError, match="update dunning"):
        store.migrate(newer.url)
    assert store.version(newer.engine) == "0099"


def test_tables_that_say_nothing_of_older_programs_are_refused(newer: Stage) -> None:
    with newer.writing() as session:
        session.execute(text("DROP TABLE fits"))
    why = store.misfit(newer.engine)
    assert why is not None
    assert "update dunning" in why


# --- killed half-way ---------------------------------------------------------------------------


def test_a_migration_that_is_killed_has_done_nothing_and_starts_again(
    engine: Engine, database_url: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", MIGRATE, database_url],
        cwd=ROOT,
        env=clean_environment() | {crashpoints.VARIABLE: "migrate.before_commit"},
        timeout=90,
        check=False,
    )
    assert killed.returncode == crashpoints.EXIT_CODE
    assert inspect(engine).get_table_names() == []
    assert store.version(engine) is None
    store.migrate(database_url)
    assert store.misfit(engine) is None
    with transaction(engine) as session:
        assert ledger.guarded(session)


def test_going_back_is_refused_and_changes_nothing(engine: Engine, database_url: str) -> None:
    from alembic import command
    from alembic.config import Config

    store.migrate(database_url)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "dunning" / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        with pytest.raises(RuntimeError, match="no way back"):
            command.downgrade(config, "base")
    assert store.misfit(engine) is None
    with transaction(engine) as session:
        assert ledger.guarded(session)


# --- sessions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("patient", "statement"), [(False, "1min"), (True, "0")])
def test_a_session_has_limits(migrated_url: str, patient: bool, statement: str) -> None:
    engine = engine_for(migrated_url, role="web", patient=patient)
    with engine.connect() as connection:
        shown = {
            name: connection.execute(
                text("SELECT current_setting(:name)"), {"name": name}
            ).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "tcp_keepalives_idle")
        }
    assert shown["statement_timeout"] == statement
    assert shown["lock_timeout"] == "30s"
    engine.dispose()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_process_opens_no_more_connections_than_its_kind(migrated_url: str) -> None:
    for role, (size, more) in store.POOLS.items():
        engine = engine_for(migrated_url, role=role)
        pool: Any = engine.pool
        assert (pool.size(), pool._max_overflow) == (size, more)
        engine.dispose()
