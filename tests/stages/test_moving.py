"""One command moves everything from the file to PostgreSQL, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, text
from sqlmodel import Session, SQLModel

from dunning import crashpoints, ledger, store
from dunning.crashpoints import Killed
from dunning.errors import ConfigError
from dunning.moving import BATCH, move
from dunning.reports import recovered, snapshot, verify_all
from dunning.reports.scope import Scope
from dunning.store import InboxRow, engine_for, transaction
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.providers.stripe.bodies import Body, event, invoice, paid_invoice
from tests.providers.stripe.bodies_people import customer, method
from tests.reports.shop import NOW, Shop, on
from tests.stages.kit import Stage, later, named, renamed


@pytest.fixture
def source(tmp_path: Path, sqlite_databases: SqliteDatabases) -> str:
    """A migrated file with a little of everything in it, which nobody has open."""
    url = sqlite_databases.copy_migrated(tmp_path / "dunning.db")
    shop = Shop(url)
    unpaid = shop.failed(on(1, 5))
    unpaid.given_up(on(2, 2))
    unpaid.paid(on(1, 30))
    shop.failed(on(3, 5), 1234, "eur")
    shop.engine.dispose()
    stage = Stage(url, announces=True)
    for number in range(3):
        fail = event("invoice.payment_failed", invoice())
        told = [fail, event("customer.updated", customer()), event("nobody.knows", {})]
        told += [event("payment_method.attached", method(id="pm_2"))]
        told += [later(event("invoice.paid", paid_invoice()), 600)] if number else []
        stage.hears(*(renamed(named(body), str(number)) for body in told))
        stage.clock.passes(days=number * 9)
    stage.keep(failed("evt_new"))
    stage.close()
    return url


def failed(name: str) -> Body:
    return renamed(named(event("invoice.payment_failed", invoice()), name), "late")


@pytest.fixture
def target(postgres_databases: PostgresDatabases) -> Iterator[str]:
    url = postgres_databases.create()
    yield url
    postgres_databases.drop(url)


def told(url: str) -> dict[str, Any]:
    """Everything in a database."""
    engine = engine_for(url)
    try:
        with snapshot(engine) as session:
            everything: dict[str, Any] = {
                name: [tuple(row) for row in session.execute(_whole(name))]
                for name in SQLModel.metadata.tables
                if name != "fits"
            }
            proof = verify_all(session)
            assert proof.faults == []
            report = recovered(session, NOW, Scope(by=("month", "mechanism")))
            return everything | {
                "proof": proof.summary(),
                "report": (report.rows, report.totals),
                "export": list(ledger.export(session)),
            }
    finally:
        engine.dispose()


def _whole(name: str) -> Any:
    table = SQLModel.metadata.tables[name]
    return select(table).order_by(*table.primary_key)


def rows_of(engine: Engine) -> int:
    with Session(engine) as session:
        return sum(
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in SQLModel.metadata.sorted_tables
            if table.name != "fits"
        )


def test_everything_is_there_under_the_same_ids(source: str, target: str) -> None:
    before = told(source)
    heard: list[tuple[str, int, int]] = []
    moved = move(source, target, lambda *how_far: heard.append(how_far))
    after = told(target)
    for what in before:
        assert after[what] == before[what], what
    assert sum(moved.rows.values()) > 40
    assert {name for name, done, whole in heard if done == whole} == {
        name for name, count in moved.rows.items() if count
    }
    assert told(source) == before


def test_what_comes_after_goes_on_from_there(source: str, target: str) -> None:
    move(source, target)
    stage = Stage(target, announces=True)
    stage.clock.passes(days=27)
    known = {row.id for row in stage.inbox_rows()}
    assert stage.keep(failed("evt_new")) == []
    fresh = stage.keep(*(renamed(failed(f"evt_after_{n}"), str(n)) for n in range(20)))
    assert len(fresh) == 20
    assert not known & set(fresh)
    stage.inbox.handle([*known, *fresh], stage.clock.now())  # type: ignore[list-item]
    with snapshot(stage.engine) as session:
        assert verify_all(session).faults == []
    stage.close()


def test_a_move_that_is_stopped_has_done_nothing_and_is_begun_again(
    source: str, target: str
) -> None:
    for point in ("move.batch", "move.before_commit"):
        with crashpoints.listening(_dies_at(point)), pytest.raises(Killed):
            move(source, target)
        engine = engine_for(target)
        assert rows_of(engine) == 0
        engine.dispose()
    before = told(source)
    move(source, target)
    assert told(target)["export"] == before["export"]


def _dies_at(point: str) -> crashpoints.Listener:
    def listen(name: str) -> None:
        if name == point:
            raise Killed

    return listen


def test_a_file_that_somebody_has_open_is_not_moved(source: str, target: str) -> None:
    engine = engine_for(source)
    with transaction(engine) as session:
        session.execute(text("SELECT count(*) FROM inbox")).scalar_one()
    # The connection lies in its pool, as those of a program that waits for work.
    with pytest.raises(ConfigError, match="stop `dunning up`"):
        move(source, target)
    engine.dispose()
    move(source, target)


def test_a_target_with_anything_in_it_is_refused(source: str, target: str) -> None:
    move(source, target)
    with pytest.raises(ConfigError, match="the target is not empty"):
        move(source, target)


def test_more_than_one_batch(source: str, target: str) -> None:
    engine = engine_for(source)
    rows = [
        {
            "id": 260101000000000 + number,
            "source": "stripe",
            "event_id": f"evt_many_{number}",
            "type": "x",
            "created_at": NOW,
            "received_at": NOW,
            "body": bytes([0, 255, number % 256]),
            "state": "handled",
            "reason": "",
            "waiting": False,
            "wake_at": NOW,
            "tries": 1,
        }
        for number in range(BATCH + 7)
    ]
    with transaction(engine) as session:
        session.execute(insert(InboxRow), rows)
    engine.dispose()
    assert move(source, target).rows["inbox"] > BATCH
    assert told(target)["inbox"] == told(source)["inbox"]


def test_a_ledger_that_does_not_hold_is_not_moved(source: str, target: str) -> None:
    engine = engine_for(source)
    with transaction(engine) as session:
        session.execute(text("UPDATE rollups SET amount = amount + 1"))
    engine.dispose()
    with pytest.raises(ConfigError, match="ledger does not hold"):
        move(source, target)


def test_only_from_a_file_to_postgresql(source: str, target: str, tmp_path: Path) -> None:
    for one, other, words in (
        (target, target, "only an embedded database is moved"),
        (source, source, "give --to the address of a PostgreSQL"),
        (f"sqlite:///{tmp_path}/none.db", target, "there is no database"),
    ):
        with pytest.raises(ConfigError, match=words):
            move(one, other)
    assert store.newest_version()
