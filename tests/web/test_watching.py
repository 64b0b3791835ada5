"""Red before customers notice: what turns /readyz, what is counted, and where."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest
import requests
from sqlalchemy import text

from dunning.store import transaction
from dunning.web import protocol, webhooks
from tests import secrets
from tests.cli.test_processes import started
from tests.providers.stripe.bodies import event, invoice
from tests.servers import free_port
from tests.stages.kit import eventually, named
from tests.web.client import head, read_answer
from tests.web.edge import Edge, refused, served

FAILED = named(event("invoice.payment_failed", invoice()), "evt_1")


def troubles(edge: Edge) -> dict[str, str]:
    """The problems /readyz tells of, and what to do about each; alive all the while."""
    ready = edge.get("/readyz")
    found = {each["code"]: each["do"] for each in ready.json()["problems"]}
    assert ready.status == (503 if found else 200)
    assert ready.json()["ready"] is not bool(found)
    assert edge.get("/healthz").status == 200
    return found


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_disk_that_is_nearly_full(migrated_url: str, tmp_path: Path) -> None:
    environ = {"DUNNING_LEAST_FREE_BYTES": "999999999999"}
    with served(migrated_url, tmp_path, environ=environ) as edge:
        assert "make room" in troubles(edge)["disk_nearly_full"]
        assert edge.hook(FAILED).status == 200
        assert b"dunning_ready 0.0" in edge.get("/metrics").body


def test_a_database_behind_this_version(edge: Edge) -> None:
    def stands_at(version: str | None) -> None:
        with transaction(edge.program.engine) as session:
            session.execute(text("DELETE FROM alembic_version"))
            if version is not None:
                insert = text("INSERT INTO alembic_version VALUES (:version)")
                session.execute(insert, {"version": version})

    assert troubles(edge) == {}
    stands_at(None)
    assert troubles(edge) == {"migrations_behind": "run `dunning migrate`"}
    # Of a program newer than this one, which has migrated first.
    stands_at("9999")
    assert troubles(edge) == {}


def test_the_limits_of_late_are_settings(migrated_url: str, tmp_path: Path) -> None:
    environ = {"DUNNING_LATE_EVENT_SECONDS": "60"}
    with served(migrated_url, tmp_path, environ=environ) as edge:
        edge.hook(FAILED)
        edge.clock.passes(seconds=60)
        assert troubles(edge) == {}
        edge.clock.passes(seconds=1)
        assert "dunning worker" in troubles(edge)["events_late"]


# --- refusals below the application --------------------------------------------------------------


def test_what_is_not_http_is_refused_in_the_form_of_all_refusals(edge: Edge) -> None:
    answer = edge.send(b"nonsense\r\n\r\n")
    refused(answer, 400, "bad_request")
    assert answer.headers["connection"] == "close"
    assert b'dunning_http_refused_total{status="400"}' in edge.get("/metrics").body


def test_beyond_the_connections_there_is_room_for_one_is_told(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "most_connections", lambda: 3)
    lines = [edge.connect() for _ in range(3)]
    try:
        for line in lines:  # each is known to the server by its answer
            line.sendall(head("GET", "/healthz", {"Host": "x"}))
            assert read_answer(line).status == 200
        answer = edge.send(head("GET", "/healthz", {"Host": "x"}))
        if answer.status:  # else the line was cut while we were still speaking
            refused(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "5"
        lines.pop().close()
        eventually(lambda: edge.get("/healthz").status == 200)
    finally:
        for line in lines:
            line.close()


def test_a_body_nobody_waits_for_is_not_listened_to_for_ever(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)
    with edge.connect() as line:
        line.sendall(head("POST", "/healthz", {"Host": "x", "Content-Length": "1000"}))
        assert read_answer(line).status == 405
        assert line.recv(1) == b""


def test_a_flood_of_forgeries_is_told_as_a_number(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(webhooks, "TOLD_A_SECOND", 0)
    for _ in range(20):
        refused(edge.hook(FAILED, secret="whsec_wrong"), 400, "bad_signature")
    assert "webhook.refused" not in capsys.readouterr().out
    monkeypatch.setattr(webhooks, "TOLD_A_SECOND", 1_000)
    edge.hook(FAILED, secret="whsec_wrong")
    assert re.search(r"webhook.refused.*left_out_before=20", capsys.readouterr().out)


# --- numbers -------------------------------------------------------------------------------------


def test_every_number_says_what_it_is_and_has_few_labels(edge: Edge) -> None:
    edge.hook(FAILED)
    page = edge.get("/metrics").body.decode()
    families = re.findall(r"^# HELP (dunning_\w+) (.+)$", page, re.MULTILINE)
    assert len(families) == len({name for name, _ in families}) > 30
    assert all(re.match("[A-Z0-9]", what) and len(what) > 10 for _, what in families)
    for words in ("evt_1", "in_1", "cus_1", "whsec"):
        assert words not in page
    assert len(page.splitlines()) < 1_000
    assert 'dunning_webhook_seconds_count{source="stripe"}' in page
    assert re.search(r'dunning_build_info\{python="3[^}]*version="[^}]+"\} 1\.0', page)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize("command", ["worker", "dispatch"])
def test_worker_and_dispatch_can_be_watched(
    migrated_url: str, redis_url: str, tmp_path: Path, command: str
) -> None:
    address = f"127.0.0.1:{free_port()}"
    env = {
        "STRIPE_WEBHOOK_SECRET": secrets.SIGNING,
        "DUNNING_DATABASE_URL": migrated_url,
        "DUNNING_BROKER_URL": redis_url,
        "DUNNING_METRICS_ADDRESS": address,
    }
    with started(tmp_path, command, **env) as process:
        process.until("policies")
        eventually(lambda: listens(address))
        assert requests.get(f"http://{address}/healthz", timeout=30).text == "ok\n"
        assert requests.get(f"http://{address}/readyz", timeout=30).json()["broker"] == "ok"
        assert "dunning_inbox_new 0.0" in requests.get(f"http://{address}/metrics", timeout=30).text
        posted = requests.post(f"http://{address}/webhooks/stripe", data=b"{}", timeout=30)
        assert posted.status_code == 404
        assert process.stop(signal.SIGTERM)[0] == 0


def listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return False
    return True
