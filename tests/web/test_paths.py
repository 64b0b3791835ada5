"""Paths, methods and requests that play tricks."""

from __future__ import annotations

import pytest

from dunning.web import protocol
from tests.providers.stripe.bodies import event, invoice, raw
from tests.stages.kit import named
from tests.stages.parts import SECRET
from tests.web.client import head, read_answer, signed
from tests.web.edge import Edge, refused

FAILED = named(event("invoice.payment_failed", invoice()), "evt_1")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/webhooks",
        "/webhooks/",
        "/webhooks/stripe/",
        "/webhooks//stripe",
        "//webhooks/stripe",
        "/webhooks/../webhooks/stripe",
        "/webhooks/../x",
        "/webhooks/%2e%2e/x",
        "/webhooks/stripe%00",
        "/webhooks/%00",
        "/webhooks/stripe%2f",
        "/webhooks/stripe%0d%0aX-Injected:1",
        "/webhooks/stripe;x=1",
        "/webhooks/.",
        "/webhooks/stripe.json",
        "/webhooks/STRIPE",
        "/WEBHOOKS/stripe",
        "/webhooks/%ff%fe",
        "/webhooks/" + "a" * 5000,
        "/etc/passwd",
        "/.env",
        "/metrics/x",
        "/docs",
        "/openapi.json",
        "/r/",
        "/r/../../etc/passwd",
    ],
)
def test_any_other_path_is_not_found(edge: Edge, path: str) -> None:
    body = raw(FAILED)
    answer = edge.post(path, body, signed(body, SECRET, edge.clock.time))
    refused(answer, 404)
    assert "x-injected" not in answer.headers
    assert edge.kept() == []


def test_a_question_mark_changes_nothing(edge: Edge) -> None:
    body = raw(FAILED)
    answer = edge.post("/webhooks/stripe?x=1", body, signed(body, SECRET, edge.clock.time))
    assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
def test_webhooks_are_posted(edge: Edge, method: str) -> None:
    body = raw(FAILED)
    answer = edge.request(method, "/webhooks/stripe", body, signed(body, SECRET, edge.clock.time))
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":
        refused(answer, 405, "method_not_allowed")
    assert edge.kept() == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/r/x"])
def test_pages_are_read(edge: Edge, path: str) -> None:
    refused(edge.post(path, b"x"), 405, "method_not_allowed")


HOST = {"Host": "x"}
BOTH = {**HOST, "Content-Length": "6", "Transfer-Encoding": "chunked"}
SMUGGLED = b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
NOT_HTTP: dict[str, bytes] = {
    "two sizes": head("POST", "/webhooks/stripe", BOTH) + SMUGGLED,
    "a size twice": b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Content-Length: 6\r\n\r\n123456",
    "a coding nobody knows": head("POST", "/webhooks/stripe", HOST | {"Transfer-Encoding": "xx"}),
    "a coding in disguise": b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "NUL in a header": b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    "no version": b"POST /webhooks/stripe\r\n\r\n",
    "another version": b"POST /webhooks/stripe HTTP/9.9\r\nHost: x\r\n\r\n",
    "a method nobody knows": b"BREW /webhooks/stripe HTTP/1.1\r\nHost: x\r\n\r\n",
    "no words at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + b"\x00" * 64 + b"\r\n\r\n",
    "a space in the path": b"POST /webhooks/str ipe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad chunk": head("POST", "/webhooks/stripe", HOST | {"Transfer-Encoding": "chunked"})
    + b"xyz\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("trick", NOT_HTTP, ids=list(NOT_HTTP))
def test_what_is_not_http_is_refused_and_not_taken_for_two(edge: Edge, trick: str) -> None:
    with edge.connect() as line:
        line.sendall(NOT_HTTP[trick])
        line.settimeout(2)
        told = b""
        try:
            while part := line.recv(65536):
                told += part
        except (TimeoutError, ConnectionResetError):
            pass
    statuses = [int(one[:3]) for one in told.split(b"HTTP/1.1 ")[1:]]
    assert all(400 <= status < 500 for status in statuses[:1]), told
    assert b"dunning_inbox_new" not in told
    assert b"Traceback" not in told
    assert edge.kept() == []
    assert edge.get("/healthz").status == 200


@pytest.mark.parametrize(
    "part", [b"X: " + b"a" * 8_000 + b"\r\n", b"a" * 8_000], ids=["many", "one"]
)
def test_headers_without_an_end_are_not_kept_in_memory(
    edge: Edge, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 600)  # it is their length that ends it
    answer = edge.send(b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX: ", *[part] * 1_000)
    assert answer.status in (400, 431, 0)
    assert edge.get("/healthz").status == 200


def test_a_sender_of_endless_heads_is_cut_off(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    lines = [edge.connect() for _ in range(30)]
    try:
        for number, line in enumerate(lines):
            if number % 3:  # the others say nothing at all
                line.sendall(b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX: ")
        assert edge.get("/healthz").status == 200
        for line in lines:
            assert line.recv(1) == b""
    finally:
        for line in lines:
            line.close()


def test_a_second_request_on_the_line_has_its_time_too(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = head("GET", "/healthz", {"Host": "x"})
    with edge.connect() as line:
        for _ in range(3):
            line.sendall(ask)
            assert read_answer(line).status == 200
        monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
        line.sendall(ask[:-2])
        assert line.recv(1) == b""


def test_nobody_speaks_another_protocol_here(edge: Edge) -> None:
    upgrade = {
        "Host": "x",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    assert edge.send(head("GET", "/healthz", upgrade)).status in (200, 400)


def test_nothing_says_what_runs_here(edge: Edge) -> None:
    for path in ("/healthz", "/nowhere", "/metrics"):
        assert "server" not in edge.get(path).headers
