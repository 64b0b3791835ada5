"""The program as it runs in earnest: three kinds of process on PostgreSQL and Redis."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlmodel import col, select

from dunning.clock import SystemClock
from dunning.store import CaseRow, InboxRow, engine_for, transaction
from tests.providers.stripe.bodies import Body, event, invoice, paid_invoice, raw, thin
from tests.servers import Server, clean_environment
from tests.sharing import ROOT
from tests.stages.kit import eventually, later, named, renamed
from tests.stages.parts import SECRET
from tests.stages.running import Process, running
from tests.web.client import Client, signed

ON_POSTGRES = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def environment(database_url: str, broker_url: str) -> dict[str, str]:
    return {
        "DUNNING_DATABASE_URL": database_url,
        "DUNNING_BROKER_URL": broker_url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
    }


def failed(mark: str) -> Body:
    return renamed(named(event("invoice.payment_failed", invoice())), mark)


def client_of(web: Process) -> Client:
    address = urlsplit(web.ready()["webhooks_stripe"])
    assert address.port is not None
    return Client(address.port)


def posts(client: Client, body: Body) -> int:
    whole = raw(body)
    headers = signed(whole, SECRET, SystemClock().now())
    return client.post("/webhooks/stripe", whole, headers).status


@ON_POSTGRES
def test_webhooks_become_cases_across_three_processes(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    engine = engine_for(migrated_url)

    def states() -> dict[str, str]:
        with transaction(engine) as session:
            rows = session.exec(select(CaseRow).order_by(col(CaseRow.invoice))).all()
            return {row.invoice: row.state for row in rows}

    def inbox() -> list[str]:
        with transaction(engine) as session:
            rows = session.exec(select(InboxRow).order_by(col(InboxRow.id))).all()
            return [row.state for row in rows]

    with running(environment(migrated_url, redis_url), tmp_path) as processes:
        client = client_of(processes["web"])
        assert posts(client, failed("a")) == posts(client, failed("b")) == 200
        assert posts(client, thin("v1.invoice.payment_failed")) == 200
        paid = later(renamed(named(event("invoice.paid", paid_invoice())), "a"), 600)
        assert [posts(client, paid) for _ in range(3)] == [200] * 3
        eventually(lambda: "new" not in inbox() and len(inbox()) == 4)
        assert inbox() == ["handled", "handled", "parked", "handled"]
        assert states() == {"in_a": "recovered", "in_b": "in_grace"}
        ready = client.get("/readyz").json()
        assert ready["acting"] == {
            "stripe": "no: without an API key it decides and shows only",
        }
        assert ready["broker"] == "ok"
        said = {kind: process.stop() for kind, process in processes.items()}
    assert said == dict.fromkeys(processes, 0)
    handled = [line for line in processes["worker"].logs() if line["event"] == "inbox.handled"]
    assert {line["event_id"] for line in handled} >= {paid["id"]}
    for process in processes.values():
        assert "Traceback" not in process.said()
        assert SECRET not in process.said()
    engine.dispose()


@ON_POSTGRES
def test_a_broker_that_goes_and_comes_back_costs_nothing_but_time(
    migrated_url: str, private_redis: Server, tmp_path: Path
) -> None:
    engine = engine_for(migrated_url)

    def handled(count: int) -> bool:
        with transaction(engine) as session:
            rows = session.exec(select(InboxRow).where(InboxRow.state == "handled")).all()
        return len(rows) == count

    with running(environment(migrated_url, private_redis.url), tmp_path) as processes:
        client = client_of(processes["web"])
        assert posts(client, failed("a")) == 200
        eventually(lambda: handled(1))
        private_redis.kill()
        assert posts(client, failed("b")) == 200
        ready = client.get("/readyz")
        assert ready.status == 503
        assert ready.json()["broker"].startswith("away")
        assert [each["code"] for each in ready.json()["problems"]] == ["broker_away"]
        assert client.get("/healthz").status == 200
        private_redis.start()
        eventually(lambda: client.get("/readyz").json()["broker"] == "ok")
        assert posts(client, failed("c")) == 200
        eventually(lambda: handled(3) or handled(2))
        with transaction(engine) as session:  # the lost hint: its lease is over
            for row in session.exec(select(InboxRow).where(InboxRow.state == "new")).all():
                row.wake_at = row.received_at
                session.add(row)
        eventually(lambda: handled(3))
        assert {kind: process.stop() for kind, process in processes.items()} == dict.fromkeys(
            processes, 0
        )
    engine.dispose()


@ON_POSTGRES
def test_a_database_without_tables_is_refused_with_what_to_do(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    for kind in ("web", "worker", "dispatch"):
        ended = subprocess.run(
            [sys.executable, "-m", "dunning", kind],
            cwd=tmp_path,
            env={
                **clean_environment(),
                "PYTHONPATH": str(ROOT),
                **environment(database_url, redis_url),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode in (1, 2)
        assert "dunning migrate" in ended.stderr
        assert "Traceback" not in ended.stderr


@ON_POSTGRES
def test_ctrl_c_ends_each_kind_in_order(migrated_url: str, redis_url: str, tmp_path: Path) -> None:
    with running(environment(migrated_url, redis_url), tmp_path) as processes:
        for process in processes.values():
            assert process.stop(signal.SIGINT) == 0
            assert "Traceback" not in process.said()
