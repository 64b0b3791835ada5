"""The embedded database when its disk is full, or the power takes the end of its log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

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


def told(number: int, size: int = 1) -> Received:
    body = webhook("invoice.payment_failed", invoice(footer="x" * size))
    return received(named(body, f"evt_{number}"))


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
    """The file may grow by some pages only, as on a disk that is full."""
    room = [40]

    def limit(connection: object, _record: object, _proxy: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        most = pages + room[0] if room[0] < 1_000 else 1_000_000
        connection.execute(f"PRAGMA max_page_count = {most}")  # type: ignore[attr-defined]

    event.listen(stage.engine, "checkout", limit)
    keeper = Keeper(stage.engine, stage.clock, lambda _ids: None)
    keeper.start()
    answered: set[str] = set()
    refused = 0
    for number in range(60):
        room[0] = 0 if number > 30 else 40
        error = put(keeper, told(number, 9_000)).exception(60)
        if error is None:
            answered.add(f"evt_{number}")
        else:
            assert isinstance(error, OperationalError)
            assert "full" in str(error)
            refused += 1
    assert refused
    assert answered
    assert kept(stage.engine) == answered
    room[0] = 1_000_000
    stage.engine.dispose()
    keeper.stop()
    again = Keeper(stage.engine, stage.clock, lambda _ids: None)
    again.start()
    put(again, told(99, 9_000)).result(60)
    again.stop()
    assert kept(stage.engine) == answered | {"evt_99"}


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
