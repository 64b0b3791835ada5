"""The whole corpus against a real process, on each database: it refuses, keeps or parks."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dunning.clock import SystemClock
from tests.adversarial import corpus
from tests.adversarial.server import HOOK, Server, tells_nothing, up
from tests.providers.stripe.bodies import raw
from tests.secrets import MARK
from tests.web.client import head, read_answer, signed


@pytest.fixture
def server(migrated_url: str, tmp_path: Path) -> Iterator[Server]:
    """A process; after whatever was done to it, it is well and has told nobody anything."""
    with up(migrated_url, tmp_path) as server:
        yield server
        after = raw(corpus.failed("after"))
        assert server.hook(after).status == 200
        assert server.settled()["after"].state == "handled"
        assert server.get("/healthz").status == 200
        said = server.said()
        assert "Traceback" not in said
        for told in (said, server.stored(), *(server.get(p).body.decode() for p in PAGES)):
            assert MARK not in told


PAGES = ("/metrics", "/readyz", "/nowhere")


def test_poison_is_refused_or_parked_and_harms_no_mate(server: Server) -> None:
    wrong = []
    for why, body in corpus.REFUSED.items():
        answer = server.hook(body)
        if answer.status != 400 or not tells_nothing(answer):
            wrong.append(f"{why}: {answer.status} {answer.body[:200]!r}")
    assert server.rows() == {}
    for number, (why, body) in enumerate(corpus.KEPT.items()):
        answer = server.hook(body)
        mate = server.hook(raw(corpus.failed(f"mate{number}")))
        if (answer.status, mate.status) != (200, 200):
            wrong.append(f"{why}: {answer.status} {answer.body[:200]!r}, its mate {mate.status}")
    rows = server.settled()
    assert len(rows) == 2 * len(corpus.KEPT)
    wrong += [
        f"{name}: {row.state} {row.reason}"
        for name, row in rows.items()
        if (name.startswith("mate") and row.state != "handled")
        or row.state not in ("handled", "parked", "ignored")
        or (row.state == "parked" and not row.reason)
    ]
    assert not wrong, "\n".join(wrong)
    # What would be a wrong sum of money is never guessed at.
    for name in ("e308", "e400", "fraction", "bits", "wide", "string", "items", "bool"):
        assert rows[name].state == "parked", name


def test_no_forged_signature_leaves_a_row(server: Server) -> None:
    wrong = []
    now = int(SystemClock().now().timestamp())
    for forged in corpus.FORGED:
        header = forged.header(now)
        given = {} if header is None else {"Stripe-Signature": as_sent(header)}
        answer = server.post(corpus.PATH, forged.body, given)
        if answer.status != 400 or not tells_nothing(answer):
            wrong.append(f"{forged.why}: {answer.status} {answer.body[:200]!r}")
    assert not wrong, "\n".join(wrong)
    assert server.rows() == {}


def as_sent(header: str) -> str:
    return header.encode("utf-8").decode("latin-1")


def test_both_secrets_while_one_is_rolled_and_a_replay_keeps_nothing_new(server: Server) -> None:
    sent = corpus.rolled("rolled")
    for _ in range(3):
        for why, body, headers in sent:
            assert server.post(corpus.PATH, body, headers).status == 200, why
    assert sorted(server.rows()) == ["rolled0", "rolled1", "rolled2"]


def test_after_the_roll_the_old_secret_is_no_secret(migrated_url: str, tmp_path: Path) -> None:
    with up(migrated_url, tmp_path, STRIPE_WEBHOOK_SECRET=HOOK) as server:
        answers = [
            server.post(corpus.PATH, body, headers).status
            for _, body, headers in corpus.rolled("late")
        ]
        assert answers == [400, 200, 200]


def answers_to(server: Server, sent: bytes) -> bytes:
    """Everything that comes back until the other side hangs up or has nothing more to say."""
    told = b""
    with server.connect() as line:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        line.settimeout(3)
        try:
            while part := line.recv(65_536):
                told += part
        except (TimeoutError, ConnectionResetError):
            pass
    return told


def test_nothing_is_smuggled(server: Server) -> None:
    wrong = []
    for why, sent in corpus.SMUGGLED.items():
        told = answers_to(server, sent)
        statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", told)]
        if corpus.SEEN in told or any(status < 400 for status in statuses) or len(statuses) > 1:
            wrong.append(f"{why}: {told[:300]!r}")
    assert not wrong, "\n".join(wrong)
    assert server.rows() == {}


def test_two_requests_on_one_line_are_two_and_in_order(server: Server) -> None:
    first, second = raw(corpus.failed("first")), raw(corpus.failed("second"))
    with server.connect() as line:
        for body in (first, second):
            given = signed(body, HOOK, SystemClock().now())
            lines = {"Host": "x", "Content-Length": str(len(body)), **given}
            line.sendall(head("POST", corpus.PATH, lines) + body)
        line.sendall(head("GET", "/healthz", {"Host": "x"}))
        line.shutdown(socket.SHUT_WR)  # and it still gets its answers
        told = b""
        while part := line.recv(65_536):
            told += part
    assert re.findall(rb"HTTP/1\.1 (\d{3})", told) == [b"200"] * 3
    assert told.count(b'{"received":true}') == 2
    assert told.endswith(b"ok\n")
    assert list(server.rows()) == ["first", "second"]


def test_no_path_but_its_own_leads_to_a_source(server: Server) -> None:
    wrong = []
    for path in corpus.PATHS:
        for method in ("POST", "GET"):
            told = answers_to(server, corpus.bare(method, path))
            status = re.match(rb"HTTP/1\.1 (4\d\d) ", told)
            if status is None or b"passwd" in told.replace(path.encode(), b""):
                wrong.append(f"{method} {path[:80]!r}: {told[:200]!r}")
    assert not wrong, "\n".join(wrong)
    assert server.rows() == {}


def test_a_whole_address_in_the_request_line_is_the_path_in_it(server: Server) -> None:
    body = raw(corpus.failed("absolute"))
    given = signed(body, HOOK, SystemClock().now())
    lines = {"Host": "evil.example", "Content-Length": str(len(body)), **given}
    sent = head("POST", f"http://elsewhere.example{corpus.PATH}", lines) + body
    with server.connect() as line:
        line.sendall(sent)
        answer = read_answer(line)
    assert answer.status == 200
    assert b"elsewhere" not in answer.body
    assert list(server.rows()) == ["absolute"]
