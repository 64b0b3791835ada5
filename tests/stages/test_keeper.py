"""Group commit: requests share commits, one bad row fails alone, and memory stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import pytest
from sqlalchemy import event as hooks
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session

from dunning import keeper as module
from dunning.inbox import Received
from dunning.keeper import BusyError, Keeper
from tests.providers.stripe.bodies import event, invoice
from tests.stages.kit import Stage, eventually, named, put, received


class Bench:
    """A keeper whose writer a test can hold back, and what it told of."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.hints: list[list[int]] = []
        self.commits = 0
        self.tells_badly = False
        self.open = threading.Event()
        self.open.set()
        self.waiting = threading.Event()
        self.keeper = Keeper(stage.engine, stage.clock, self._kept)
        hooks.listen(stage.engine, "begin", self._begin)
        hooks.listen(stage.engine, "commit", self._commit)
        self.keeper.start()

    def _kept(self, ids: Sequence[int]) -> None:
        self.hints.append(sorted(ids))
        if self.tells_badly:
            raise ConnectionError("the broker is away")

    def _begin(self, _connection: object) -> None:
        if threading.current_thread().name == "inbox-keeper":
            self.waiting.set()
            assert self.open.wait(30)

    def _commit(self, _connection: object) -> None:
        if threading.current_thread().name == "inbox-keeper":
            self.commits += 1

    def put(self, name: str) -> Future[bool]:
        return put(self.keeper, webhook(name))

    def behind_a_commit(self, names: Sequence[str]) -> list[Future[bool]]:
        """Hand these over while a commit is under way, then let it go on."""
        self.open.clear()
        self.waiting.clear()
        first = self.put("evt_first")
        assert self.waiting.wait(30)
        rest = [self.put(name) for name in names]
        self.open.set()
        return [first, *rest]


@pytest.fixture
def bench(stage: Stage) -> Iterator[Bench]:
    """A running keeper."""
    bench = Bench(stage)
    yield bench
    bench.open.set()
    bench.keeper.stop()


def webhook(name: str) -> Received:
    return received(named(event("invoice.payment_failed", invoice()), name))


def kept(bench: Bench) -> set[str]:
    return {row.event_id for row in bench.stage.inbox_rows()}


def refuses(stage: Stage, name: str) -> None:
    """From now on the database refuses the event of that name."""
    made = {
        "sqlite": [
            (
                "CREATE TRIGGER no BEFORE INSERT ON inbox WHEN NEW.event_id = '{}' "
                "BEGIN SELECT RAISE(ABORT, 'a bad row'); END"
            )
        ],
        "postgresql": [
            (
                "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'a bad row' USING ERRCODE = '22000'; END $$"
            ),
            (
                "CREATE TRIGGER no BEFORE INSERT ON inbox FOR EACH ROW "
                "WHEN (NEW.event_id = '{}') EXECUTE FUNCTION no()"
            ),
        ],
    }[stage.engine.dialect.name]
    with stage.writing() as session:
        for statement in made:
            _run(session, statement.replace("{}", name))


def _run(session: Session, statement: str) -> None:
    session.execute(text(statement.replace(":", "\\:")))


def test_a_single_webhook_is_durable_when_its_future_is_done(bench: Bench) -> None:
    assert bench.put("evt_a").result(30) is True
    assert kept(bench) == {"evt_a"}
    eventually(lambda: len(bench.hints) == 1)


def test_what_comes_during_a_commit_shares_the_next(bench: Bench) -> None:
    names = [f"evt_{number}" for number in range(50)]
    for future in bench.behind_a_commit(names):
        assert future.result(30)
    assert bench.commits == 2
    assert kept(bench) == {"evt_first", *names}
    eventually(lambda: [len(ids) for ids in bench.hints] == [1, 50])


def test_a_batch_has_a_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 20)
    for future in bench.behind_a_commit([f"evt_{number}" for number in range(50)]):
        future.result(30)
    assert bench.commits == 4


def test_a_duplicate_in_the_batch_is_durable_for_each_of_its_senders(bench: Bench) -> None:
    for future in bench.behind_a_commit(["evt_a", "evt_a", "evt_first"]):
        assert future.result(30)
    eventually(lambda: [len(ids) for ids in bench.hints] == [1, 1])
    assert bench.put("evt_a").result(30)
    assert bench.put("evt_b").result(30)
    eventually(lambda: len(bench.hints) == 3)


def test_one_bad_row_fails_alone(bench: Bench) -> None:
    refuses(bench.stage, "evt_bad")
    names = ["evt_a", "evt_bad", "evt_b", "evt_c"]
    _, *futures = bench.behind_a_commit(names)
    with pytest.raises(DBAPIError, match="a bad row"):
        futures[1].result(30)
    assert [futures[n].result(30) for n in (0, 2, 3)] == [True] * 3
    assert kept(bench) == {"evt_first", "evt_a", "evt_b", "evt_c"}
    eventually(lambda: sorted(len(ids) for ids in bench.hints) == [1, 1, 1, 1])


def test_when_the_database_is_away_each_caller_is_told_and_nothing_is_tried_row_by_row(
    bench: Bench,
) -> None:
    tries = 0

    def away(_connection: object) -> None:
        nonlocal tries
        if threading.current_thread().name == "inbox-keeper" and bench.open.is_set():
            tries += 1
            raise OperationalError("BEGIN", {}, Exception("the server is away"))

    hooks.listen(bench.stage.engine, "begin", away)
    for future in bench.behind_a_commit([f"evt_{number}" for number in range(30)]):
        with pytest.raises(OperationalError):
            future.result(30)
    assert tries == 2
    assert bench.hints == []
    hooks.remove(bench.stage.engine, "begin", away)
    assert kept(bench) == set()
    assert bench.put("evt_a").result(30)


@contextmanager
def no_room(stage: Stage) -> Iterator[None]:
    """What is written can be written, and cannot be committed."""

    def refuse(_connection: object) -> None:
        if threading.current_thread().name == "inbox-keeper":
            raise OperationalError("COMMIT", {}, Exception("disk full"))

    if stage.engine.dialect.name == "sqlite":
        hooks.listen(stage.engine, "commit", refuse)
        yield
        hooks.remove(stage.engine, "commit", refuse)
        return
    with stage.writing() as session:
        _run(
            session,
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END $$",
        )
        _run(
            session,
            "CREATE CONSTRAINT TRIGGER no_room AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION no_room()",
        )
    yield
    with stage.writing() as session:
        _run(session, "DROP FUNCTION no_room() CASCADE")


def test_a_commit_that_fails_is_told_to_each_caller(bench: Bench) -> None:
    with no_room(bench.stage):
        for future in bench.behind_a_commit(["evt_a", "evt_b"]):
            with pytest.raises(OperationalError, match="disk full"):
                future.result(30)
    assert kept(bench) == set()
    assert bench.put("evt_a").result(30)
    assert kept(bench) == {"evt_a"}


def test_a_fault_nobody_foresaw_ends_the_batch_and_not_the_writer(bench: Bench) -> None:
    broken: list[object] = [1]

    def now() -> object:
        if broken:
            broken.clear()
            raise OSError("the sandbox's clock is away")
        return bench.stage.clock.time

    bench.stage.clock.now = now  # type: ignore[assignment,method-assign]
    with pytest.raises(OSError, match="clock is away"):
        bench.put("evt_a").result(30)
    assert bench.put("evt_b").result(30)


def test_a_caller_that_went_away_harms_nobody(bench: Bench) -> None:
    bench.open.clear()
    bench.waiting.clear()
    first = bench.put("evt_first")
    assert bench.waiting.wait(30)
    gone, stays = bench.put("evt_gone"), bench.put("evt_stays")
    assert gone.cancel()
    bench.open.set()
    assert first.result(30)
    assert stays.result(30)
    assert bench.put("evt_after").result(30)
    assert kept(bench) >= {"evt_first", "evt_stays", "evt_after"}


def test_a_lost_hint_is_not_an_error(bench: Bench) -> None:
    bench.tells_badly = True
    assert bench.put("evt_a").result(30)
    assert bench.put("evt_b").result(30)
    assert kept(bench) == {"evt_a", "evt_b"}
    eventually(lambda: len(bench.hints) == 2)


def test_beyond_its_bound_the_caller_is_told_to_come_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING", 5)
    bench = Bench(stage)
    try:
        futures = bench.behind_a_commit([])
        bench.open.clear()
        bench.waiting.clear()
        futures.append(bench.put("evt_second"))
        assert bench.waiting.wait(30)
        futures += [bench.put(f"evt_{number}") for number in range(5)]
        with pytest.raises(BusyError):
            bench.put("evt_too_many")
        bench.open.set()
        assert all(future.result(30) for future in futures)
        assert "evt_too_many" not in kept(bench)
        assert bench.put("evt_too_many").result(30)
    finally:
        bench.open.set()
        bench.keeper.stop()


def test_stopping_writes_what_was_accepted_and_takes_no_more(stage: Stage) -> None:
    bench = Bench(stage)
    names = [f"evt_{number}" for number in range(30)]
    bench.open.clear()
    bench.waiting.clear()
    futures = [bench.put("evt_first")]
    assert bench.waiting.wait(30)
    futures += [bench.put(name) for name in names]
    stopper = threading.Thread(target=bench.keeper.stop)
    stopper.start()
    bench.open.set()
    stopper.join(30)
    assert not stopper.is_alive()
    assert all(future.done() and future.result() for future in futures)
    assert kept(bench) == {"evt_first", *names}
    with pytest.raises(BusyError):
        bench.put("evt_late")
    with suppress(RuntimeError):
        bench.keeper.stop()
