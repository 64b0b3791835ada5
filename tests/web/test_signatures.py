"""Who may post a webhook, and what everybody else is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.providers.stripe.bodies import Body, event, invoice, raw, thin
from tests.secrets import API_KEY, MARK
from tests.stages.kit import named
from tests.stages.parts import SECRET
from tests.web.client import signature, signed
from tests.web.edge import Edge, refused, served

FAILED = event("invoice.payment_failed", invoice())


def failed(name: str = "evt_1") -> Body:
    return named(FAILED, name)


# --- what is taken -----------------------------------------------------------------------------


def test_a_signed_webhook_is_kept_and_then_answered(edge: Edge) -> None:
    answer = edge.hook(failed())
    assert (answer.status, answer.json()) == (200, {"received": True})
    (row,) = edge.kept()
    assert (row.source, row.event_id, row.body) == ("stripe", "evt_1", raw(failed()))


def test_the_same_webhook_again_is_answered_the_same_and_kept_once(edge: Edge) -> None:
    assert [edge.hook(failed()).status for _ in range(3)] == [200] * 3
    assert len(edge.kept()) == 1


def test_a_type_nobody_uses_is_taken_too(edge: Edge) -> None:
    assert edge.hook(named(event("radar.early_fraud_warning.created", {}))).status == 200
    assert edge.hook(named(event("made.up.tomorrow", {"id": "x_1"}))).status == 200
    assert len(edge.kept()) == 2


def test_a_thin_event_is_taken(edge: Edge) -> None:
    assert edge.hook(thin("v1.invoice.payment_failed")).status == 200
    assert [row.event_id for row in edge.kept()] == ["evt_test_1"]


def test_a_body_is_kept_byte_by_byte(edge: Edge) -> None:
    body = json.dumps(failed(), indent=7, ensure_ascii=False).encode() + b"\n \t\r\n"
    assert edge.hook(body).status == 200
    assert edge.kept()[0].body == body


def test_what_the_headers_call_the_body_does_not_matter(edge: Edge) -> None:
    for number, kind in enumerate(("text/plain", "application/json; charset=utf-16", "x")):
        headers = {"Content-Type": kind}
        assert edge.hook(failed(f"evt_{number}"), headers=headers).status == 200


# --- what is not -------------------------------------------------------------------------------


def nothing_kept(edge: Edge) -> None:
    assert edge.kept() == []


def test_another_secret_is_refused(edge: Edge) -> None:
    refused(edge.hook(failed(), secret="whsec_another"), 400, "bad_signature")
    nothing_kept(edge)


def test_a_body_changed_after_it_was_signed_is_refused(edge: Edge) -> None:
    headers = signed(raw(failed()), SECRET, edge.clock.time)
    other = json.dumps(failed(), separators=(",", ":")).encode()  # the same JSON, other bytes
    for body in (other, raw(failed()) + b" ", raw(failed())[:-1], b""):
        refused(edge.post("/webhooks/stripe", body, headers), 400, "bad_signature")
    nothing_kept(edge)


@pytest.mark.parametrize("age", [301, -301, 86_400, -86_400])
def test_a_signature_too_old_or_from_the_future_is_refused(edge: Edge, age: float) -> None:
    refused(edge.hook(failed(), age=age), 400, "bad_signature")
    nothing_kept(edge)


@pytest.mark.parametrize("age", [299, -299])
def test_a_signature_within_the_tolerance_is_good(edge: Edge, age: float) -> None:
    assert edge.hook(failed(), age=age).status == 200


def test_a_replay_within_the_tolerance_keeps_nothing_new(edge: Edge) -> None:
    headers = signed(raw(failed()), SECRET, edge.clock.time)
    edge.clock.passes(seconds=200)
    for _ in range(2):
        assert edge.post("/webhooks/stripe", raw(failed()), headers).status == 200
    assert len(edge.kept()) == 1


Header = Callable[[int, str], str]
STRANGE: dict[str, Header] = {
    "v0 only": lambda stamp, good: f"t={stamp},v0={good}",
    "no time": lambda _stamp, good: f"v1={good}",
    "two times": lambda stamp, good: f"t={stamp},t={stamp},v1={good}",
    "a time in words": lambda _stamp, good: f"t=now,v1={good}",
    "a negative time": lambda stamp, good: f"t=-{stamp},v1={good}",
    "a fraction": lambda stamp, good: f"t={stamp}.0,v1={good}",
    "a far time": lambda _stamp, good: f"t={10**30},v1={good}",
    "no signature": lambda stamp, _good: f"t={stamp}",
    "an empty signature": lambda stamp, _good: f"t={stamp},v1=",
    "half a signature": lambda stamp, good: f"t={stamp},v1={good[:32]}",
    "capital letters": lambda stamp, good: f"t={stamp},v1={good.upper()}",
    "other words": lambda _stamp, _good: "let me in",
    "commas": lambda _stamp, _good: "," * 500,
    "64 KB": lambda stamp, _good: f"t={stamp},v1=" + "a" * 65_536,
    "many signatures": lambda stamp, good: f"t={stamp}," + ",".join([f"v1={good}"] * 40),
    "other letters": lambda stamp, _good: f"t={stamp},v1=\xe9\xff\x80",
}


@pytest.mark.parametrize("strange", STRANGE, ids=list(STRANGE))
def test_a_strange_header_is_refused(edge: Edge, strange: str) -> None:
    body = raw(failed())
    stamp = int(edge.clock.time.timestamp())
    header = STRANGE[strange](stamp, signature(body, SECRET, stamp))
    refused(edge.post("/webhooks/stripe", body, {"Stripe-Signature": header}), 400)
    nothing_kept(edge)


def test_no_header_is_refused(edge: Edge) -> None:
    refused(edge.post("/webhooks/stripe", raw(failed())), 400, "bad_signature")
    nothing_kept(edge)


def test_one_good_signature_of_several_is_enough(edge: Edge) -> None:
    body = raw(failed())
    stamp = int(edge.clock.time.timestamp())
    good = signature(body, SECRET, stamp)
    header = f"t={stamp},v1={'0' * 64},v0={good},v1={good}"
    assert edge.post("/webhooks/stripe", body, {"Stripe-Signature": header}).status == 200


# --- several secrets and sources ---------------------------------------------------------------

SOURCES = """
version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    timeline: [{at: 1d, do: retry}, {at: 28d, do: give_up}]
choose: [{policy: standard}]
sources:
  - {name: live, provider: stripe, webhook_secrets_env: [LIVE_SECRET], mode: live}
  - {name: test, provider: stripe, webhook_secrets_env: [TEST_SECRET], mode: test}
  - {name: rolled, provider: stripe, webhook_secrets_env: [OLD_SECRET, NEW_SECRET]}
"""
LIVE, TEST, OLD, NEW = (f"whsec_{MARK}{name}" for name in ("live", "test", "old", "new"))
SECRETS = {
    "LIVE_SECRET": LIVE,
    "TEST_SECRET": TEST,
    "OLD_SECRET": OLD,
    "NEW_SECRET": NEW,
    "STRIPE_WEBHOOK_SECRET": "",
}


@pytest.fixture
def several(migrated_url: str, tmp_path: Path) -> Iterator[Edge]:
    """Three sources: live, test, and one whose secret is being rolled."""
    with served(migrated_url, tmp_path, environ=SECRETS, policy_text=SOURCES) as edge:
        yield edge


def test_while_a_secret_is_rolled_both_are_good(several: Edge) -> None:
    assert several.hook(failed("evt_a"), source="rolled", secret=OLD).status == 200
    assert several.hook(failed("evt_b"), source="rolled", secret=NEW).status == 200
    body = raw(failed("evt_c"))
    stamp = int(several.clock.time.timestamp())
    both = ",".join(f"v1={signature(body, each, stamp)}" for each in (OLD, NEW))
    headers = {"Stripe-Signature": f"t={stamp},{both}"}
    assert several.post("/webhooks/rolled", body, headers).status == 200


def test_the_secret_of_another_source_is_no_secret(several: Edge) -> None:
    for secret in (LIVE, TEST, SECRET):
        refused(several.hook(failed(), source="rolled", secret=secret), 400, "bad_signature")
    assert several.kept() == []


def test_each_source_takes_its_own_mode_only(several: Edge) -> None:
    live = failed() | {"livemode": True}
    refused(several.hook(failed(), source="live", secret=LIVE), 400, "wrong_mode")
    refused(several.hook(live, source="test", secret=TEST), 400, "wrong_mode")
    assert several.kept() == []
    assert several.hook(live, source="live", secret=LIVE).status == 200
    assert several.hook(failed(), source="test", secret=TEST).status == 200
    assert several.hook(live, source="rolled", secret=NEW).status == 200
    assert sorted(row.source for row in several.kept()) == ["live", "rolled", "test"]


def test_a_source_nobody_knows_is_not_found(edge: Edge) -> None:
    refused(edge.hook(failed(), source="nobody"), 404, "unknown_source")
    refused(edge.hook(failed(), source="Stripe"), 404, "unknown_source")
    nothing_kept(edge)


def test_a_source_without_a_secret_trusts_nobody(migrated_url: str, tmp_path: Path) -> None:
    environ = {"STRIPE_WEBHOOK_SECRET": "", "STRIPE_API_KEY": API_KEY}
    with served(migrated_url, tmp_path, environ=environ) as edge:
        for secret in ("", SECRET):
            refused(edge.hook(failed(), secret=secret), 400, "bad_signature")
        assert edge.kept() == []
