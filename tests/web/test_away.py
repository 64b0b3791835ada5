"""The database goes away and comes back: no 2xx without a row, and nothing waits for ever."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event as hooks
from sqlalchemy.engine import make_url

from dunning import keeper, store
from dunning.web import webhooks
from tests.providers.stripe.bodies import Body, event, invoice
from tests.servers import Server
from tests.stages.kit import eventually, named
from tests.web.client import Answer
from tests.web.edge import Edge, refused, served


def failed(number: int) -> Body:
    return named(event("invoice.payment_failed", invoice()), f"evt_{number}")


def come_again(answer: Answer) -> None:
    refused(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "5"


def test_a_postgresql_that_is_stopped_is_waited_for_by_the_sender(
    private_postgres: Server, tmp_path: Path
) -> None:
    url = make_url(private_postgres.url).set(drivername="postgresql+psycopg")
    address = url.render_as_string(hide_password=False)
    store.migrate(address)
    with served(address, tmp_path) as edge:
        assert edge.hook(failed(1)).status == 200
        private_postgres.stop()
        come_again(edge.hook(failed(2)))
        not_ready = edge.get("/readyz")
        assert not_ready.status == 503
        assert not_ready.json()["database"].startswith("away")
        assert edge.get("/healthz").status == 200
        private_postgres.start()
        assert edge.hook(failed(2)).status == 200
        private_postgres.kill()
        come_again(edge.hook(failed(3)))
        private_postgres.start()
        assert edge.hook(failed(3)).status == 200
        assert [row.event_id for row in edge.kept()] == ["evt_1", "evt_2", "evt_3"]
        assert edge.get("/readyz").status == 200


def test_whatever_was_answered_200_around_a_crash_is_there(
    private_postgres: Server, tmp_path: Path
) -> None:
    url = make_url(private_postgres.url).set(drivername="postgresql+psycopg")
    address = url.render_as_string(hide_password=False)
    store.migrate(address)
    with served(address, tmp_path) as edge:
        answered: list[tuple[int, int]] = []

        def send(first: int) -> None:
            answered.extend(
                (number, edge.hook(failed(number)).status) for number in range(first, first + 60)
            )

        senders = [threading.Thread(target=send, args=(first,)) for first in (100, 200)]
        for sender in senders:
            sender.start()
        eventually(lambda: len(answered) > 30)
        private_postgres.kill()
        private_postgres.start()
        for sender in senders:
            sender.join(60)
        assert {status for _, status in answered} <= {200, 503}
        taken = {f"evt_{number}" for number, status in answered if status == 200}
        assert len(taken) > 30
        assert taken <= {row.event_id for row in edge.kept()}
        for number, status in answered:
            if status != 200:
                assert edge.hook(failed(number)).status == 200
        assert len(edge.kept()) == 120


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_file_somebody_holds_is_not_waited_for_longer_than_the_sender_does(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "KEEP_SECONDS", 0.3)
    path = edge.program.engine.url.database
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        come_again(edge.hook(failed(1)))
        other.execute("ROLLBACK")
    assert edge.hook(failed(2)).status == 200
    assert edge.hook(failed(1)).status == 200
    assert sorted(row.event_id for row in edge.kept()) == ["evt_1", "evt_2"]


def _is_keeper() -> bool:
    return threading.current_thread().name == "inbox-keeper"


def held_back(edge: Edge) -> Callable[[], None]:
    """Nothing is written until the given call is made."""
    gate = threading.Event()

    def wait(_connection: object) -> None:
        if _is_keeper():
            gate.wait(30)

    hooks.listen(edge.program.engine, "begin", wait)
    return gate.set


def test_no_200_before_the_commit(edge: Edge) -> None:
    go_on = held_back(edge)
    answers: list[int] = []
    sender = threading.Thread(target=lambda: answers.append(edge.hook(failed(1)).status))
    sender.start()
    sender.join(0.5)
    assert answers == []
    go_on()
    sender.join(30)
    assert answers == [200]


def test_more_than_can_wait_are_told_to_come_again(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WAITING", 3)
    with served(migrated_url, tmp_path) as edge:
        writing = threading.Event()

        def seen(_connection: object) -> None:
            if _is_keeper():
                writing.set()

        hooks.listen(edge.program.engine, "begin", seen)
        go_on = held_back(edge)
        answers: list[Answer] = []
        senders = [
            threading.Thread(target=lambda n=n: answers.append(edge.hook(failed(n))))
            for n in range(12)
        ]
        senders[0].start()
        assert writing.wait(30)  # the first is being written alone: what comes now must wait
        for sender in senders[1:]:
            sender.start()
        eventually(lambda: len(answers) >= 8)  # three wait, the others are refused
        go_on()
        for sender in senders:
            sender.join(30)
        for answer in answers:
            if answer.status != 200:
                come_again(answer)
        assert [answer.status for answer in answers].count(200) == len(edge.kept()) == 4


def test_a_fault_of_ours_tells_nothing_of_itself(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> object:
        raise RuntimeError("a secret detail of evt_1")

    monkeypatch.setattr(edge.clock, "fresh", broken)
    answer = edge.post("/webhooks/stripe", b"{}", {"Stripe-Signature": "t=1,v1=x"})
    refused(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "30"
    assert b"secret detail" not in answer.body
