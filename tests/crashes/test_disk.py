"""The embedded database when its disk is full, or the power takes the end of its log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from dunning.inbox import Received
from dunning.keeper import Keeper
from dunning.store import InboxRow, engine_for, reading, transaction
from tests.databases import sqlite_url
from tests.providers.stripe.bodies import event as webhook
from tests.providers.stripe.bodies import invoice
from tests.stages.kit import Stage, named, put, received

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)
on_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def told(name: str) -> Received:
    """A webhook that needs some pages of its own."""
    body = webhook("invoice.payment_failed", invoice(footer="x" * 9_000))
    return received(named(body, name))


def kept(engine: Engine) -> set[str]:
    with reading(engine) as session:
        return set(session.exec(select(InboxRow.event_id)).all())


@pytest.fixture
def stage(migrated_url: str) -> Iterator[Stage]:
    made = Stage(migrated_url)
    yield made
    made.close()


@on_sqlite
def test_a_full_disk_refuses_whole_batches_and_goes_on_when_there_is_room(stage: Stage) -> None:
    """A file that may not grow any more, as on a disk that is full."""
    full = [False]

    def limit(connection: Any, _record: object, _proxy: object) -> None:
        # No less than it has: then it is as large as it may ever be.
        if full[0]:
            connection.execute("PRAGMA max_page_count = 1")
        else:
            connection.execute("PRAGMA max_page_count = 1000000")

    event.listen(stage.engine, "checkout", limit)
    answered: set[str] = set()
    refused: list[str] = []
    for disk_is_full in (False, True, False):
        full[0] = disk_is_full
        keeper = Keeper(stage.engine, stage.clock, lambda _ids: None)
        keeper.start()
        for _ in range(12):
            name = f"evt_{len(answered) + len(refused)}"
            error = put(keeper, told(name)).exception(60)
            if error is None:
                answered.add(name)
            else:
                assert isinstance(error, OperationalError)
                refused.append(str(error.orig))
        keeper.stop()
        stage.engine.dispose()
        assert kept(stage.engine) == answered
    assert len(answered) >= 24
    assert set(refused) == {"database or disk is full"}


@on_sqlite
def test_whatever_the_power_takes_of_the_log_what_was_answered_is_there(
    stage: Stage, tmp_path: Path
) -> None:
    """The file and its log as they were at each moment, the log cut anywhere after a commit."""
    file = Path(str(stage.engine.url.database))
    log = file.with_name(file.name + "-wal")
    ends: list[int] = []
    for number in range(6):
        stage.keep(named(webhook("invoice.payment_failed", invoice()), f"evt_{number}"))
        ends.append(log.stat().st_size)
    whole = log.read_bytes()
    for number, end in enumerate(ends):
        after = ends[number + 1] if number + 1 < len(ends) else end + 1
        for cut in {end, (end + after) // 2, after - 1}:
            folder = tmp_path / f"cut-{cut}"
            folder.mkdir(exist_ok=True)
            shutil.copy(file, folder / "dunning.db")
            (folder / "dunning.db-wal").write_bytes(whole[:cut])
            engine = engine_for(sqlite_url(folder / "dunning.db"))
            assert kept(engine) >= {f"evt_{one}" for one in range(number + 1)}, cut
            assert kept(engine) <= {f"evt_{one}" for one in range(number + 2)}, cut
            engine.dispose()
            shutil.rmtree(folder)


def test_a_connection_opens_while_its_own_process_writes(migrated_url: str) -> None:
    """Otherwise a thread that writes and needs another look waits for itself."""
    engine = engine_for(migrated_url)
    with transaction(engine) as session:
        session.execute(text("UPDATE fits SET oldest = oldest"))
        with reading(engine) as other:
            assert other.execute(text("SELECT count(*) FROM cases")).scalar() == 0
    engine.dispose()
