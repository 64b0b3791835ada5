"""Bodies of every kind of wrong: too large, too slow, too deep, not what they say."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator

import psutil
import pytest

from dunning.web import bodies
from tests.providers.stripe.bodies import event, invoice, raw
from tests.stages.kit import eventually, named
from tests.stages.parts import SECRET
from tests.web.client import head, read_answer, signed
from tests.web.edge import Edge, refused

PATH = "/webhooks/stripe"
LIMIT = 1_048_576
FAILED = named(event("invoice.payment_failed", invoice()), "evt_1")


def deep(depth: int) -> bytes:
    return b'{"object":"event","data":' + b"[" * depth + b"]" * depth + b"}"


def with_id(name: str) -> bytes:
    return json.dumps(FAILED | {"id": name}).encode()


MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "not UTF-8": b'{"id":"\xff\xfe"}',
    "UTF-16": json.dumps(FAILED).encode("utf-16"),
    "a list": b"[]",
    "a number": b"1e308",
    "a string": b'"evt_1"',
    "null": b"null",
    "NaN": raw(FAILED).replace(b"1790000000", b"NaN", 1),
    "Infinity": b'{"created":Infinity}',
    "nested 100,000 deep": deep(100_000),
    "half of one": raw(FAILED)[:200],
    "two": raw(FAILED) * 2,
    "single quotes": b"{'id': 1}",
    "not an event": raw({"id": "evt_1", "object": "charge", "type": "x", "created": 1}),
    "no id": raw({key: value for key, value in FAILED.items() if key != "id"}),
    "a number for an id": raw(FAILED | {"id": 17}),
    "NUL in the id": with_id("evt_\x00"),
    "a lone surrogate in the id": with_id("evt_\ud800"),
    "an endless id": with_id("evt_" + "x" * 5000),
    "no type": raw(FAILED | {"type": None}),
    "a time of the far future": raw(FAILED | {"created": 10**15}),
    "a time in words": raw(FAILED | {"created": "yesterday"}),
    "a fraction of a second": raw(FAILED | {"created": 1.5}),
    "livemode in words": raw(FAILED | {"livemode": "yes"}),
}


@pytest.mark.parametrize("wrong", MALFORMED, ids=list(MALFORMED))
def test_a_body_that_is_no_event_is_refused(edge: Edge, wrong: str) -> None:
    refused(edge.hook(MALFORMED[wrong]), 400, "malformed")
    assert edge.kept() == []


def test_what_is_odd_inside_an_event_is_kept_for_a_person(edge: Edge) -> None:
    """Signed by the provider: it is not lost, whatever its object looks like."""
    odd = {
        "evt_nul": {"id": "in_\x00"},
        "evt_surrogate": {"id": "in_\ud800"},
        "evt_huge": {"amount_remaining": 10**400},
        "evt_list": {"lines": []},
    }
    for name, fields in odd.items():
        strange = invoice(**fields)  # type: ignore[arg-type]
        body = named(event("invoice.payment_failed", strange), name)
        assert edge.hook(body).status == 200
    assert [row.event_id for row in edge.kept()] == list(odd)
    ids = [row.id for row in edge.kept() if row.id is not None]
    edge.program.inbox.handle(ids, edge.clock.now())
    assert {row.state for row in edge.kept()} <= {"parked", "handled"}
    assert [row.state for row in edge.kept()][2] == "parked"


def test_a_word_said_twice_is_read_as_everybody_reads_it(edge: Edge) -> None:
    body = raw(FAILED).replace(b'"id": "evt_1"', b'"id": "evt_0", "id": "evt_1"', 1)
    assert edge.hook(body).status == 200
    assert edge.kept()[0].event_id == "evt_1"


# --- size --------------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    body = raw(FAILED)
    return body + b" " * (size - len(body))


def test_a_body_of_the_largest_size_is_taken(edge: Edge) -> None:
    assert edge.hook(padded(LIMIT)).status == 200
    assert len(edge.kept()[0].body) == LIMIT


def test_one_byte_more_is_too_large(edge: Edge) -> None:
    answer = edge.hook(padded(LIMIT + 1))
    refused(answer, 413, "too_large")
    assert answer.headers["connection"] == "close"
    assert edge.kept() == []


def test_an_announced_size_is_believed_where_it_says_too_much(edge: Edge) -> None:
    lines = {"Host": "x", "Content-Length": str(100 * LIMIT)}
    answer = edge.send(head("POST", PATH, lines))  # and not one byte of it
    refused(answer, 413, "too_large")


def chunked(body: bytes, size: int = 65_536) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        part = body[start : start + size]
        yield f"{len(part):x}\r\n".encode() + part + b"\r\n"
    yield b"0\r\n\r\n"


def chunks_of(body: bytes) -> tuple[bytes, ...]:
    lines = {"Host": "x", "Transfer-Encoding": "chunked"}
    return head("POST", PATH, {**lines, **signature_of(body)}), *chunked(body)


def signature_of(body: bytes) -> dict[str, str]:
    from tests.providers.stripe.bodies import AT

    return signed(body, SECRET, AT)


def test_a_body_in_chunks_is_taken(edge: Edge) -> None:
    body = padded(300_000)
    assert edge.send(*chunks_of(body)).status == 200
    assert edge.kept()[0].body == body


def test_a_body_without_an_announced_size_is_cut_at_the_limit(edge: Edge) -> None:
    refused(edge.send(*chunks_of(padded(LIMIT + 1))), 413, "too_large")
    assert edge.kept() == []


def test_an_endless_body_does_not_fill_the_memory(edge: Edge) -> None:
    edge.send(*chunks_of(padded(LIMIT + 1)))
    before = psutil.Process().memory_info().rss
    endless = (head("POST", PATH, {"Host": "x", "Transfer-Encoding": "chunked"}),)
    part = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    for _ in range(3):
        answer = edge.send(*endless, *[part] * 1_000)  # 64 MB, were it taken
        assert answer.status in (413, 0)
    assert psutil.Process().memory_info().rss - before < 20_000_000


@pytest.mark.parametrize("length", ["-1", "+5", "5, 6", "0x10", "5 5", "٥", "1e3", " "])
def test_a_size_that_is_no_number_is_refused(edge: Edge, length: str) -> None:
    text = length.encode("utf-8").decode("latin-1")
    answer = edge.send(head("POST", PATH, {"Host": "x", "Content-Length": text}), b"12345")
    assert answer.status in {400, 0}
    assert b"Traceback" not in answer.body
    assert edge.kept() == []


def test_fewer_bytes_than_announced_and_a_closed_line_keep_nothing(edge: Edge) -> None:
    body = raw(FAILED)
    lines = {"Host": "x", "Content-Length": str(len(body) + 10), **signature_of(body)}
    with edge.connect() as line:
        line.sendall(head("POST", PATH, lines) + body)
    assert edge.get("/healthz").status == 200
    assert edge.kept() == []


def test_more_bytes_than_announced_are_not_of_this_request(edge: Edge) -> None:
    body = raw(FAILED)
    lines = {"Host": "x", "Content-Length": str(len(body)), **signature_of(body)}
    answer = edge.send(head("POST", PATH, lines) + body + b"GARBAGE\r\n\r\n")
    assert answer.status in (200, 400)
    eventually(lambda: [row.body for row in edge.kept()] == [body])


def test_what_is_packed_is_not_unpacked(edge: Edge) -> None:
    """The signature is of the bytes; a bomb of 100 MB is some 100 KB that are no JSON."""
    bomb = gzip.compress(b" " * 100_000_000)
    assert len(bomb) < LIMIT
    refused(edge.hook(bomb, headers={"Content-Encoding": "gzip"}), 400, "malformed")
    plain = edge.hook(FAILED, headers={"Content-Encoding": "gzip"})
    assert plain.status == 200


# --- time --------------------------------------------------------------------------------------


def test_a_slow_sender_is_cut_off_and_keeps_nobody_waiting(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    body = raw(FAILED)
    lines = {"Host": "x", "Content-Length": str(len(body)), **signature_of(body)}
    slow = [edge.connect() for _ in range(40)]
    try:
        for line in slow:
            line.sendall(head("POST", PATH, lines) + body[:100])
        assert edge.hook(named(FAILED, "evt_2")).status == 200
        for line in slow:
            answer = read_answer(line)
            refused(answer, 408, "too_slow")
            assert answer.headers["connection"] == "close"
            assert line.recv(1) == b""  # and hung up
    finally:
        for line in slow:
            line.close()
    assert [row.event_id for row in edge.kept()] == ["evt_2"]


def test_a_sender_that_hangs_up_half_way_leaves_nothing_behind(edge: Edge) -> None:
    body = raw(FAILED)
    lines = {"Host": "x", "Content-Length": str(len(body)), **signature_of(body)}
    before = threading.active_count()
    for _ in range(20):
        with edge.connect() as line:
            line.sendall(head("POST", PATH, lines) + body[:50])
    assert edge.hook(named(FAILED, "evt_2")).status == 200
    eventually(lambda: threading.active_count() <= before + 5)
    assert [row.event_id for row in edge.kept()] == ["evt_2"]
