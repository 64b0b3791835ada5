"""Alive, ready, and the numbers."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from sqlmodel import select

from dunning.core.events import StepKind
from dunning.core.gate import Pulse
from dunning.core.ports import Incomplete, Reading
from dunning.core.turns import Limits
from dunning.errors import ProviderDownError
from dunning.in_force import Text
from dunning.pace import Pacer
from dunning.store import ScheduleRow, transaction
from tests.providers.stripe.bodies import event, invoice, thin
from tests.stages.kit import named
from tests.stages.parts import acting
from tests.web.edge import Edge, served

LATE = timedelta(minutes=15)

FAILED = named(event("invoice.payment_failed", invoice()), "evt_1")


def handle(edge: Edge) -> None:
    ids = [row.id for row in edge.kept() if row.id is not None]
    edge.program.inbox.handle(ids, edge.clock.now())


def test_alive(edge: Edge) -> None:
    answer = edge.get("/healthz")
    assert (answer.status, answer.body) == (200, b"ok\n")


def test_ready_with_nothing_to_do(edge: Edge) -> None:
    answer = edge.get("/readyz")
    assert answer.status == 200
    assert answer.json() == {
        "ready": True,
        "database": "ok",
        "broker": "in this process",
        "problems": [],
        "oldest_unhandled_event": None,
        "oldest_overdue_step": None,
        "inbox": {"new": 0, "fetching": 0, "parked": 0},
        "held": {},
        "policy": {"in_force": edge.program.policies.hash, "refused": []},
        "acting": {"stripe": "no: without an API key it decides and shows only"},
    }


def test_a_source_that_somebody_holds_is_told_of_and_is_not_red(edge: Edge) -> None:
    now = edge.clock.now()
    edge.program.breaker.hold("stripe", by="eve", why="an audit", now=now)
    ready = edge.get("/readyz")
    assert ready.status == 200
    assert ready.json()["held"] == {"stripe": "an audit"}
    assert 'dunning_breaker_open{source="stripe"} 1.0' in edge.get("/metrics").body.decode()
    edge.program.breaker.release("stripe", by="eve", why="over", now=now)
    assert edge.get("/readyz").json()["held"] == {}
    assert 'dunning_breaker_open{source="stripe"} 0.0' in edge.get("/metrics").body.decode()


def codes(edge: Edge) -> list[str]:
    ready = edge.get("/readyz")
    found = [each["code"] for each in ready.json()["problems"]]
    assert ready.status == (503 if found else 200)
    assert f"dunning_ready {0 if found else 1}.0" in edge.get("/metrics").body.decode()
    # Whoever receives goes on receiving: a load balancer does not ask this.
    assert edge.get("/healthz").status == 200
    return found


def test_a_source_that_the_breaker_holds_is_red(edge: Edge) -> None:
    assert codes(edge) == []
    now = edge.clock.now()
    fell = [Pulse("stripe", StepKind.RETRY, "down")] * 30
    with transaction(edge.program.engine) as session:
        edge.program.breaker.note(session, fell, now)
    assert codes(edge) == ["source_held"]
    (problem,) = edge.get("/readyz").json()["problems"]
    assert problem["what"].startswith("charges and emails of stripe are held: ")
    assert "dunning breaker release stripe" in problem["do"]
    edge.program.breaker.release("stripe", by="eve", why="over", now=now)
    assert codes(edge) == []


def test_a_key_that_the_provider_refuses_is_red(migrated_url: str, tmp_path: Path) -> None:
    with served(migrated_url, tmp_path, provider=acting()) as edge:
        # As any process tells it that calls the provider; a receiver calls nobody.
        worker = Pacer(edge.program.engine, "stripe", Limits(account=100, endpoint=25))
        worker.answered(key_accepted=True)
        assert codes(edge) == []
        worker.answered(key_accepted=False)
        assert codes(edge) == ["key_refused"]
        (problem,) = edge.get("/readyz").json()["problems"]
        assert "API key of stripe" in problem["what"]
        assert "give a valid key" in problem["do"]
        worker.answered(key_accepted=True)
        assert codes(edge) == []


def test_a_broker_that_is_away_is_red(migrated_url: str, tmp_path: Path) -> None:
    with served(migrated_url, tmp_path, broker_url="redis://127.0.0.1:1/0") as edge:
        assert codes(edge) == ["broker_away"]
        (problem,) = edge.get("/readyz").json()["problems"]
        assert problem["what"] == "the broker does not answer: away (ConnectionError)"
        assert "DUNNING_BROKER_URL" in problem["do"]
        assert "dunning_broker_up 0.0" in edge.get("/metrics").body.decode()
        assert edge.hook(FAILED).status == 200


def test_a_policy_file_that_is_wrong_is_told_of_and_is_not_red(edge: Edge) -> None:
    wrong = Text("version: 3", "policies.yaml")
    edge.program.policies.begin()
    edge.program.policies.offer(wrong)
    ready = edge.get("/readyz")
    assert ready.status == 200
    (told,) = ready.json()["policy"]["refused"]
    assert told["file"] == "policies.yaml"
    assert "version" in told["what"]
    assert "policy check" in told["do"]


def test_behind_with_a_webhook_nobody_handled(edge: Edge) -> None:
    edge.hook(FAILED)
    began = edge.clock.now()
    edge.clock.passes(seconds=LATE.total_seconds())
    ready = edge.get("/readyz")
    assert ready.status == 200
    assert ready.json()["oldest_unhandled_event"] == began.isoformat().replace("+00:00", "Z")
    assert ready.json()["inbox"]["new"] == 1
    edge.clock.passes(seconds=1)
    behind = edge.get("/readyz")
    assert behind.status == 503
    assert behind.json()["ready"] is False
    (problem,) = behind.json()["problems"]
    assert problem["code"] == "events_late"
    assert problem["what"] == "the oldest unhandled webhook has waited 0:15:01"
    assert "dunning worker" in problem["do"]
    handle(edge)
    assert edge.get("/readyz").status == 200


def test_a_webhook_that_waits_to_be_fetched_is_not_late(migrated_url: str, tmp_path: Path) -> None:
    """The provider is away: taking the receiver away as well would lose what it sends."""
    with served(migrated_url, tmp_path, provider=acting(away)) as edge:
        edge.hook(thin("v1.invoice.payment_failed"))
        handle(edge)
        edge.clock.passes(hours=2)
        ready = edge.get("/readyz")
        assert ready.status == 200
        assert ready.json()["inbox"] == {"new": 1, "fetching": 1, "parked": 0}


def away(_thin: Incomplete) -> Reading:
    """What a provider answers while it is down."""
    raise ProviderDownError("no answer")


def test_a_parked_webhook_is_counted_and_not_late(edge: Edge) -> None:
    edge.hook(thin("v1.invoice.payment_failed"))
    handle(edge)
    edge.clock.passes(days=2)
    ready = edge.get("/readyz")
    assert (ready.status, ready.json()["inbox"]["parked"]) == (200, 1)


def test_behind_with_a_step_nobody_did(migrated_url: str, tmp_path: Path) -> None:
    with served(migrated_url, tmp_path, provider=acting()) as edge:
        edge.hook(FAILED)
        handle(edge)
        assert edge.get("/readyz").json()["acting"] == {"stripe": "yes"}
        edge.clock.passes(seconds=LATE.total_seconds() + 5)
        behind = edge.get("/readyz")
        assert behind.status == 503
        assert [each["code"] for each in behind.json()["problems"]] == ["steps_late"]
        # Claimed again and again by a dispatcher whose workers are dead.
        with transaction(edge.program.engine) as session:
            row = session.exec(select(ScheduleRow)).one()
            row.lease_token, row.leased_until = "x", edge.clock.now() + timedelta(minutes=2)
            session.add(row)
        assert edge.get("/readyz").status == 503


def test_without_a_key_nothing_is_overdue(edge: Edge) -> None:
    edge.hook(FAILED)
    handle(edge)
    edge.clock.passes(days=9)
    assert edge.get("/readyz").status == 200


def number(edge: Edge, name: str) -> float:
    page = edge.get("/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_the_numbers_are_counted_when_they_are_asked_for(edge: Edge) -> None:
    answer = edge.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    good = 'dunning_webhooks_total{answer="200",source="stripe"}'
    bad = 'dunning_webhooks_total{answer="400",source="stripe"}'
    edge.hook(FAILED)
    edge.hook(FAILED, secret="whsec_wrong")
    before = number(edge, good), number(edge, bad)
    edge.hook(named(FAILED, "evt_2"))
    edge.hook(FAILED, secret="whsec_wrong")
    assert (number(edge, good), number(edge, bad)) == (before[0] + 1, before[1] + 1)
    assert number(edge, "dunning_inbox_new") == 2
    handle(edge)
    assert number(edge, "dunning_inbox_new") == 0


def test_a_source_somebody_made_up_makes_no_number(edge: Edge) -> None:
    edge.hook(FAILED, source="made-up-by-somebody")
    assert b"made-up-by-somebody" not in edge.get("/metrics").body
    assert [row.state for row in edge.kept()] == []
